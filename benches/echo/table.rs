//! The report: tables in Markdown, with columns aligned to be read as they are.

use crate::beats::Beats;
use crate::idle::Idle;
use crate::markdown::{NOTHING, Table, grouped, number, share};
use crate::results::{CaseResults, Row};
use crate::servers::Role;

/// Everything about the message cases.
pub fn loads(results: &[CaseResults]) -> String {
    let mut table = Table::new(
        2,
        &[
            "message × in flight × connections",
            "server",
            "CPU µs/message (min–max)",
            "÷ echobeat",
            "÷ floor",
            "messages/s",
            "cores",
            "MB/s",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "resident MiB",
        ],
    );
    for case in results {
        for row in &case.rows {
            table.add(load_row(case, row));
        }
    }
    table.render("Messages")
}

fn load_row(case: &CaseResults, row: &Row) -> Vec<String> {
    let size = case.load.as_ref().map(|load| load.size as f64);
    let megabytes = row
        .per_second()
        .zip(size)
        .map(|(rate, size)| rate * size / 1e6);
    vec![
        case.name.clone(),
        row.server.clone(),
        cpu_with_range(row),
        share(case.ratio(row, Role::Echobeat)),
        share(case.ratio(row, Role::Floor)),
        number(row.per_second()),
        share(row.cores()),
        number(megabytes),
        number(row.latency(0.5)),
        number(row.latency(0.99)),
        number(row.latency(0.999)),
        number(row.resident().map(|bytes| bytes / f64::from(1 << 20))),
    ]
}

/// Connections that come and go.
pub fn openings(results: &[CaseResults]) -> String {
    let mut table = Table::new(
        2,
        &[
            "case",
            "server",
            "CPU µs/connection (min–max)",
            "÷ echobeat",
            "÷ floor",
            "connections/s",
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
                share(case.ratio(row, Role::Floor)),
                number(row.per_second()),
                number(row.latency(0.5)),
                number(row.latency(0.99)),
            ]);
        }
    }
    table.render("Connections that open, upgrade, and close")
}

/// Connections that say nothing.
pub fn idle(rows: &[Idle]) -> String {
    let mut table = Table::new(
        1,
        &[
            "server",
            "connections",
            "resident KiB/connection",
            "heart beats",
            "CPU µs/heart beat",
        ],
    );
    for row in rows {
        let beats = Some(row.heart_beats as f64).filter(|beats| *beats > 0.0);
        table.add(vec![
            row.server.clone(),
            grouped(row.connections as u64),
            number(row.memory.map(|bytes| bytes / 1024.0)),
            beats.map_or(NOTHING.to_owned(), |beats| grouped(beats as u64)),
            number(row.cpu),
        ]);
    }
    table.render("Idle connections")
}

/// Heart beats.
pub fn beats(rows: &[Beats]) -> String {
    let mut table = Table::new(
        1,
        &[
            "server",
            "sessions",
            "heart beats",
            "CPU µs/heart beat",
            "off by, p50 µs",
            "p99 µs",
        ],
    );
    for row in rows {
        let off_by = |quantile| row.deviation.value_at_quantile(quantile) as f64 / 1e3;
        table.add(vec![
            row.server.clone(),
            grouped(row.sessions as u64),
            grouped(row.count),
            number(row.cpu),
            number(Some(off_by(0.5))),
            number(Some(off_by(0.99))),
        ]);
    }
    table.render("Heart beats")
}

/// The same echobeat over TLS and HTTP/2.
pub fn links(results: &[CaseResults]) -> String {
    beside(results, "TLS and HTTP/2")
}

/// Messages of the same echobeat as it is, and otherwise.
pub fn beside(results: &[CaseResults], title: &str) -> String {
    let mut table = Table::new(
        2,
        &[
            "message × in flight × connections",
            "server",
            "CPU µs/message (min–max)",
            "÷ echobeat",
        ],
    );
    for case in results {
        for row in &case.rows {
            table.add(vec![
                case.name.clone(),
                row.server.clone(),
                cpu_with_range(row),
                share(case.ratio(row, Role::Echobeat)),
            ]);
        }
    }
    table.render(title)
}

/// One load on ever more threads.
pub fn threads(results: &[CaseResults]) -> String {
    let mut table = Table::new(
        1,
        &[
            "server",
            "threads",
            "messages/s",
            "cores",
            "CPU µs/message",
            "p50 µs",
            "p99 µs",
        ],
    );
    for case in results {
        for row in &case.rows {
            table.add(vec![
                row.server.clone(),
                case.load
                    .as_ref()
                    .map_or(0, |load| load.threads)
                    .to_string(),
                number(row.per_second()),
                share(row.cores()),
                number(row.cpu()),
                number(row.latency(0.5)),
                number(row.latency(0.99)),
            ]);
        }
    }
    table.render("20 B × 16 × 100 by threads; only servers of one thread are pinned")
}

/// One line a case, one column a server.
pub fn summary(results: &[CaseResults]) -> String {
    let Some(first) = results.first() else {
        return String::new();
    };
    let servers = first.rows.iter().map(|row| row.server.as_str());
    let mut columns = vec!["CPU µs per message or connection"];
    columns.extend(servers);
    columns.extend(["echobeat ÷ best peer", "echobeat ÷ floor"]);
    let mut table = Table::new(1, &columns);
    for case in results {
        let mut cells = vec![case.name.clone()];
        cells.extend(case.rows.iter().map(|row| number(row.cpu())));
        cells.push(share(case.echobeat_ratio(Role::Peer)));
        cells.push(share(case.echobeat_ratio(Role::Floor)));
        table.add(cells);
    }
    table.render("Summary")
}

/// The median of the rounds, and what it lies between.
pub fn cpu_with_range(row: &Row) -> String {
    let Some((least, most)) = row.cpu_range() else {
        return NOTHING.to_owned();
    };
    format!(
        "{} ({}–{})",
        number(row.cpu()),
        number(Some(least)),
        number(Some(most))
    )
}
