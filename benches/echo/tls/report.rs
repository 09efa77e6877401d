//! The report of what was measured over TLS.

use super::{Agreed, Measured};
use crate::idle::Idle;
use crate::markdown::{Table, grouped, number, share};
use crate::results::CaseResults;
use crate::servers::Role;
use crate::table::cpu_with_range;

/// Tables of what was measured; nothing if nothing was.
pub fn render(measured: &Measured) -> String {
    let tables = [
        results(&measured.loads, "message", "Messages over TLS"),
        results(
            &measured.openings,
            "connection",
            "Connections that open, upgrade, and close over TLS",
        ),
        idle(&measured.idle),
        handshakes(&measured.handshakes),
    ]
    .concat();
    match measured.missing {
        Some(name) => {
            tables + &format!("{name} is not installed, so TLS is measured without it.\n\n")
        }
        None => tables,
    }
}

fn results(results: &[CaseResults], what: &str, title: &str) -> String {
    let (cpu, rate) = (format!("CPU µs/{what} (min–max)"), format!("{what}s/s"));
    let mut table = Table::new(
        2,
        &[
            "case",
            "server",
            &cpu,
            "÷ echobeat",
            "÷ best peer",
            &rate,
            "cores",
            "p50 µs",
            "p99 µs",
        ],
    );
    for case in results {
        for row in &case.rows {
            table.add(vec![
                case.name.clone(),
                row.server.clone(),
                cpu_with_range(row),
                share(case.ratio(row, Role::Echobeat)),
                share(case.ratio(row, Role::Peer)),
                number(row.per_second()),
                share(row.cores()),
                number(row.latency(0.5)),
                number(row.latency(0.99)),
            ]);
        }
    }
    table.render(title)
}

fn idle(rows: &[Idle]) -> String {
    let mut table = Table::new(1, &["server", "connections", "resident KiB/connection"]);
    for row in rows {
        table.add(vec![
            row.server.clone(),
            grouped(row.connections as u64),
            number(row.memory.map(|bytes| bytes / 1024.0)),
        ]);
    }
    table.render("Idle connections over TLS")
}

fn handshakes(rows: &[Agreed]) -> String {
    let mut table = Table::new(2, &["server", "agreed on", "resumed %"]);
    for row in rows {
        table.add(vec![
            row.server.clone(),
            row.agreed.clone(),
            row.percent_resumed.to_string(),
        ]);
    }
    table.render("Handshakes of TLS")
}
