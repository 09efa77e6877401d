//! The report of what was measured with compression.

use super::memory::Memory;
use super::{Measured, Measurement};
use crate::markdown::{Table, grouped, number, share};
use crate::servers::Role;
use crate::table::cpu_with_range;

/// Tables of what was measured; nothing if nothing was.
pub fn render(measured: &Measured) -> String {
    let mut report = messages(&measured.loads) + &memory(&measured.memory);
    for sentence in &measured.missing {
        report += &format!("{sentence}\n\n");
    }
    report
}

fn messages(cases: &[Measurement]) -> String {
    let mut table = Table::new(
        2,
        &[
            "case",
            "server",
            "CPU µs/message (min–max)",
            "÷ echobeat",
            "÷ best peer",
            "echo ÷ plain",
            "messages/s",
            "cores",
            "p50 µs",
            "p99 µs",
        ],
    );
    for case in cases {
        let results = &case.results;
        for (row, ratio) in results.rows.iter().zip(&case.ratios) {
            table.add(vec![
                results.name.clone(),
                row.server.clone(),
                cpu_with_range(row),
                share(results.ratio(row, Role::Echobeat)),
                share(results.ratio(row, Role::Peer)),
                share(Some(*ratio)),
                number(row.per_second()),
                share(row.cores()),
                number(row.latency(0.5)),
                number(row.latency(0.99)),
            ]);
        }
    }
    table.render("Compressed messages")
}

fn memory(rows: &[Memory]) -> String {
    let mut table = Table::new(
        1,
        &[
            "server",
            "bits of the windows",
            "sessions",
            "anonymous KiB/session",
        ],
    );
    for row in rows {
        table.add(vec![
            row.server.clone(),
            row.bits.to_string(),
            grouped(row.sessions as u64),
            number(row.each.map(|bytes| bytes / 1024.0)),
        ]);
    }
    table.render("Idle sessions with context takeover")
}
