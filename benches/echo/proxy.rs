//! The reverse proxy: what it adds to a message, beside nginx and HAProxy where they are installed.
//!
//! ```text
//! core of the generator: load generator ──┐        ┌──▶ backend
//! core of the servers:                    └▶ proxy ┘
//! ```
//!
//! Each proxy has one thread, and the core of the servers to itself. What counts is its own CPU
//! time, and by how much latencies are longer than in a turn that goes to the backend directly.
//!
//! - `programs`: the proxies
//! - `backend`: what they stand in front of
//! - `report`: the tables

mod backend;
mod programs;
mod report;

pub use backend::serve as backend;
pub use programs::Proxy;

use crate::Failure;
use crate::cases;
use crate::idle::{self, Idle};
use crate::load;
use crate::opening;
use crate::results::{CaseResults, Sample};
use crate::rounds::{Bench, blame};
use crate::servers::{self, Role, Running};
use crate::traffic::{Traffic, Wire};

/// What was measured through proxies.
#[derive(Debug)]
struct Measured {
    loads: Vec<CaseResults>,
    opening: Option<CaseResults>,
    idle: Vec<Idle>,
    /// Proxies that are not installed.
    missing: Vec<&'static str>,
}

/// Measures the cases that are asked for, and writes the report on them.
pub fn report(bench: &Bench) -> Result<String, Failure> {
    let mut proxies: Vec<Proxy> = Proxy::echobeats(bench).collect();
    let mut missing = Vec::new();
    for other in Proxy::others() {
        match other {
            Ok(proxy) => proxies.push(proxy),
            Err(name) => missing.push(name),
        }
    }
    Ok(report::render(&Measured {
        loads: loads(bench, &proxies)?,
        opening: opening(bench, &proxies)?,
        idle: idle(bench, &proxies)?,
        missing,
    }))
}

fn loads(bench: &Bench, proxies: &[Proxy]) -> Result<Vec<CaseResults>, Failure> {
    let loads = cases::proxied().into_iter();
    let wanted = loads.filter(|load| bench.args.wants(&load.name));
    let timing = bench.args.timing();
    let measure = |load| {
        let traffic = Traffic::new(&load, Wire::Upgraded);
        take_turns(bench, proxies, &load.name, |server| {
            load::round(server, &load, &traffic, &timing)
        })
    };
    wanted.map(measure).collect()
}

fn opening(bench: &Bench, proxies: &[Proxy]) -> Result<Option<CaseResults>, Failure> {
    if !bench.args.wants(cases::PROXY_OPENING) {
        return Ok(None);
    }
    let connections = bench.args.opened();
    let measure = |server: &Running| opening::round(server, connections);
    take_turns(bench, proxies, cases::PROXY_OPENING, measure).map(Some)
}

/// Tunnels that say nothing: once, for a proxy's memory is not the same again.
fn idle(bench: &Bench, proxies: &[Proxy]) -> Result<Vec<Idle>, Failure> {
    if !bench.args.wants(cases::PROXY_IDLE) {
        return Ok(Vec::new());
    }
    // A proxy has two files open for each.
    let tunnels = bench.args.idle_tunnels().min(idle::allowed(usize::MAX) / 2);
    let servers = start(bench, proxies)?;
    let through = servers.iter().filter(|server| server.role != Role::Direct);
    let measure = |server: &Running| {
        eprintln!("{}: {}", cases::PROXY_IDLE, server.name);
        let work = || idle::measure(server, tunnels, 0);
        let measured = bench.machine.on_generator_core(1, work);
        measured.map_err(|failure| blame(server, cases::PROXY_IDLE, &failure))
    };
    through.map(measure).collect()
}

/// Measures every proxy, and the backend without one, once a round.
fn take_turns(
    bench: &Bench,
    proxies: &[Proxy],
    case: &str,
    measure: impl Fn(&Running) -> Result<Sample, Failure> + Sync,
) -> Result<CaseResults, Failure> {
    let servers = start(bench, proxies)?;
    let results = CaseResults::new(case, None, &servers);
    bench.take_turns(results, &servers, 1, measure)
}

/// Starts the proxies on their core, and on that of the load generator the backend, which is the
/// last of the servers.
fn start(bench: &Bench, proxies: &[Proxy]) -> Result<Vec<Running>, Failure> {
    // Before the proxies, which need two files for each tunnel, inherit the limit.
    idle::allowed(usize::MAX);
    let backend = start_backend(bench)?;
    let start = |proxy: &Proxy| {
        let start = || proxy.start(backend.address);
        bench.machine.on_server_core(1, start)
    };
    let mut servers = proxies.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    servers.push(backend);
    Ok(servers)
}

/// Starts what the proxies stand in front of, on the core of the load generator.
pub fn start_backend(bench: &Bench) -> Result<Running, Failure> {
    let start = || servers::start_own(&["backend"]);
    let started = bench.machine.on_generator_core(1, start)?;
    Ok(Running::new(
        "no proxy",
        started,
        Wire::Upgraded,
        Role::Direct,
    ))
}
