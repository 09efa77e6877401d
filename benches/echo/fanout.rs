//! Fan-out: messages that are posted to a topic, and pushed to each of its subscribers.
//!
//! A post goes out when the one before has been answered and received by all. Its latency is the
//! time until the last subscriber has it.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use echobeat_frames::close_frame;

use crate::Failure;
use crate::args::Timing;
use crate::bridge::Link;
use crate::cases::{self, Load};
use crate::idle;
use crate::markdown::{Table, number, share};
use crate::peers::Peer;
use crate::process;
use crate::results::{self, CaseResults, Sample};
use crate::rounds::Bench;
use crate::servers::{Contender, Program, Role};
use crate::table::cpu_with_range;
use crate::topic::Topic;
use crate::traffic::{Traffic, Wire};
use crate::uwebsockets;

/// Time that a server has to close its side of all subscriptions.
const SETTLE: Duration = Duration::from_millis(300);

/// Measures the cases that are asked for, and writes the report on them.
pub fn report(bench: &Bench) -> Result<String, Failure> {
    let loads = cases::fanout().into_iter();
    let wanted = loads.filter(|load| bench.args.wants(&load.name));
    let measured = wanted.map(|load| measure(bench, &load));
    let measured = measured.collect::<Result<Vec<_>, _>>()?;
    let mut report = render("Fan-out", &measured);
    if !measured.is_empty() && bench.args.asks_for_all() && !uwebsockets::is_built() {
        report += "uWebSockets is not built, so fan-out is measured without it.\n\n";
    }
    Ok(report)
}

fn measure(bench: &Bench, load: &Load) -> Result<CaseResults, Failure> {
    // Servers inherit the limit of open files that this raises.
    let allowed = idle::allowed(load.connections);
    if allowed < load.connections {
        return Err(format!("the limit of open files allows {allowed} subscribers").into());
    }
    let servers = bench.start(&contenders(bench), load.threads)?;
    let timing = bench.args.timing();
    let results = CaseResults::new(&load.name, Some(load), &servers);
    bench.take_turns(results, &servers, load.threads, |server| {
        round(&[server.address], &[server.pid], load, &timing)
    })
}

/// The servers asked for that have topics.
fn contenders(bench: &Bench) -> Vec<Contender> {
    let echobeats = bench.args.echobeats(&bench.built).into_iter();
    let contender = |(name, path)| Contender::new(name, Program::WithFlags(path, &["--api"]));
    let mut contenders: Vec<_> = echobeats.map(contender).collect();
    if bench.args.asks_for(Peer::Uwebsockets) {
        let name = Peer::Uwebsockets.name();
        contenders.push(Contender::new(name, Program::Uwebsockets(Link::Plain)));
    }
    contenders
}

/// Measures servers that have a topic together once. The processes have these ids.
pub fn round(
    addresses: &[SocketAddr],
    pids: &[u32],
    load: &Load,
    timing: &Timing,
) -> Result<Sample, Failure> {
    let traffic = Traffic::new(load, Wire::WebSocket);
    let mut topic = Topic::open(addresses, load.connections, &traffic)?;
    let cpu_time = || pids.iter().map(|pid| process::cpu_time(*pid)).sum();
    topic.post_for(timing.warm_up, |_| ())?;
    let mut latency = results::latencies();
    let begun = Instant::now();
    let before = cpu_time();
    topic.post_for(timing.measured, |took| {
        latency.saturating_record(took.as_nanos() as u64);
    })?;
    let after = cpu_time();
    let elapsed = begun.elapsed();
    let resident = pids.iter().map(|pid| process::resident(*pid)).sum();
    topic.close(&close_frame(1000, b""));
    thread::sleep(SETTLE);
    Ok(Sample {
        count: latency.len() * load.connections as u64,
        elapsed,
        cpu: results::between(before, after),
        resident,
        latency,
    })
}

/// The table of these cases.
pub fn render(title: &str, cases: &[CaseResults]) -> String {
    let mut table = Table::new(
        2,
        &[
            "message × posts in flight × subscribers",
            "server",
            "CPU µs/delivery (min–max)",
            "÷ echobeat",
            "÷ uWebSockets",
            "deliveries/s",
            "cores",
            "the last, p50 ms",
            "p99 ms",
            "resident MiB",
        ],
    );
    for case in cases {
        for row in &case.rows {
            let millis = |quantile| row.latency(quantile).map(|micros| micros / 1e3);
            table.add(vec![
                case.name.clone(),
                row.server.clone(),
                cpu_with_range(row),
                share(case.ratio(row, Role::Echobeat)),
                share(case.ratio(row, Role::Peer)),
                number(row.per_second()),
                share(row.cores()),
                number(millis(0.5)),
                number(millis(0.99)),
                number(row.resident().map(|bytes| bytes / f64::from(1 << 20))),
            ]);
        }
    }
    table.render(title)
}
