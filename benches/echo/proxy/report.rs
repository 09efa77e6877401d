//! The report of the proxies.

use super::Measured;
use crate::idle::Idle;
use crate::markdown::{NOTHING, Table, grouped, number, share};
use crate::results::{CaseResults, Row};
use crate::servers::Role;
use crate::table::cpu_with_range;

/// What was measured, or nothing if nothing was.
pub fn render(measured: &Measured) -> String {
    let tables = [
        messages(&measured.loads),
        opening(measured.opening.as_ref()),
        idle(&measured.idle),
    ]
    .concat();
    let missing = measured.missing.iter().map(|name| {
        format!("{name} is not installed, so the proxies are compared without it.\n\n")
    });
    match tables.is_empty() {
        true => tables,
        false => tables + &missing.collect::<String>(),
    }
}

fn messages(results: &[CaseResults]) -> String {
    let mut table = Table::new(
        2,
        &[
            "message × in flight × connections",
            "through",
            "CPU µs/message (min–max)",
            "÷ best other",
            "messages/s",
            "cores",
            "p50 µs",
            "p99 µs",
            "added p50",
            "added p99",
            "resident MiB",
        ],
    );
    for case in results {
        for row in &case.rows {
            let [cpu, ratio] = costs(case, row);
            let is_proxy = row.role != Role::Direct;
            let direct = case.rows.iter().find(|row| row.role == Role::Direct);
            let direct = direct.filter(|_| is_proxy);
            let added = |quantile| number(direct.and_then(|d| row.added_latency(d, quantile)));
            let resident = row.resident().map(|bytes| bytes / f64::from(1 << 20));
            table.add(vec![
                case.name.clone(),
                row.server.clone(),
                cpu,
                ratio,
                number(row.per_second()),
                share(row.cores().filter(|_| is_proxy)),
                number(row.latency(0.5)),
                number(row.latency(0.99)),
                added(0.5),
                added(0.99),
                number(resident.filter(|_| is_proxy)),
            ]);
        }
    }
    table.render("Messages through a proxy")
}

fn opening(results: Option<&CaseResults>) -> String {
    let mut table = Table::new(
        1,
        &[
            "through",
            "CPU µs/connection (min–max)",
            "÷ best other",
            "connections/s",
            "p50 µs",
            "p99 µs",
        ],
    );
    if let Some(case) = results {
        for row in &case.rows {
            let [cpu, ratio] = costs(case, row);
            table.add(vec![
                row.server.clone(),
                cpu,
                ratio,
                number(row.per_second()),
                number(row.latency(0.5)),
                number(row.latency(0.99)),
            ]);
        }
    }
    table.render("Connections that open, upgrade, and close through a proxy")
}

fn idle(rows: &[Idle]) -> String {
    let mut table = Table::new(1, &["through", "tunnels", "resident KiB/tunnel"]);
    for row in rows {
        table.add(vec![
            row.server.clone(),
            grouped(row.connections as u64),
            number(row.memory.map(|bytes| bytes / 1024.0)),
        ]);
    }
    table.render("Idle tunnels")
}

/// The CPU time of a proxy, and how many times that of the better of the others it is. That of the
/// backend is none of this.
fn costs(case: &CaseResults, row: &Row) -> [String; 2] {
    match row.role {
        Role::Direct => [NOTHING.to_owned(), NOTHING.to_owned()],
        _ => [cpu_with_range(row), share(case.ratio(row, Role::Peer))],
    }
}
