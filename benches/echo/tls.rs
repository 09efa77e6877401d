//! TLS: what a message costs over `wss`, beside the other servers that speak it.
//!
//! ```text
//! core of the generator: load generator ──▶ bridge ──┐     ┌──▶ backend of nginx
//! core of the servers:                               └▶ server
//! ```
//!
//! All have echobeat's certificate, whose key is one of ECDSA on P-256. nginx is the end of TLS for
//! the server that the proxies stand in front of, and only its own CPU time counts.
//!
//! - `report`: the tables

mod report;

use crate::Failure;
use crate::bridge::Link;
use crate::cases::{self, Load};
use crate::idle::{self, Idle};
use crate::load;
use crate::opening;
use crate::proxy::{self, Proxy};
use crate::results::{CaseResults, Sample};
use crate::rounds::{Bench, blame};
use crate::servers::Running;
use crate::traffic::Traffic;

/// Measurements over TLS.
#[derive(Debug, Default)]
struct Measured {
    loads: Vec<CaseResults>,
    openings: Vec<CaseResults>,
    idle: Vec<Idle>,
    /// Each of them once.
    handshakes: Vec<Agreed>,
    /// The proxy, if it is not installed.
    missing: Option<&'static str>,
}

/// Terms on which the handshakes with a server agreed.
#[derive(Debug, PartialEq, Eq)]
struct Agreed {
    server: String,
    agreed: String,
    percent_resumed: u64,
}

/// The servers of a case.
struct Servers {
    measured: Vec<Running>,
    /// Server behind nginx, as long as it is needed.
    _backend: Option<Running>,
    missing: Option<&'static str>,
}

/// Measures the cases that are asked for, and writes the report on them.
pub fn report(bench: &Bench) -> Result<String, Failure> {
    let mut measured = Measured::default();
    for load in cases::tls() {
        measured.load(bench, &load)?;
    }
    let opened = bench.args.opened();
    for (case, link) in [
        (cases::TLS_OPENING, Link::Tls),
        (cases::TLS_RESUMING, Link::ResumedTls),
    ] {
        let measure = |server: &Running| opening::round(server, opened);
        let results = measured.take_turns(bench, case, None, link, measure)?;
        measured.openings.extend(results);
    }
    measured.idle(bench)?;
    Ok(report::render(&measured))
}

impl Measured {
    fn load(&mut self, bench: &Bench, load: &Load) -> Result<(), Failure> {
        let timing = bench.args.timing();
        let measure = |server: &Running| {
            let traffic = Traffic::new(load, server.wire);
            load::round(server, load, &traffic, &timing)
        };
        let results = self.take_turns(bench, &load.name, Some(load), Link::Tls, measure)?;
        self.loads.extend(results);
        Ok(())
    }

    /// Connections that say nothing: once, for a server's memory is not the same again.
    fn idle(&mut self, bench: &Bench) -> Result<(), Failure> {
        let case = cases::TLS_IDLE;
        if !bench.args.wants(case) {
            return Ok(());
        }
        let (wanted, periods) = bench.args.idle();
        // nginx and the bridge have two files open for each.
        let allowed = idle::allowed(usize::MAX) / 4;
        let servers = start(bench, Link::Tls)?;
        for server in &servers.measured {
            eprintln!("{case}: {}", server.name);
            let connections = wanted.min(allowed).min(server.most_connections());
            let work = || idle::measure(server, connections, periods);
            let idle = bench.machine.on_generator_core(1, work);
            self.idle
                .push(idle.map_err(|failure| blame(server, case, &failure))?);
        }
        self.note(&servers);
        Ok(())
    }

    /// Measures every server once a round, if the case is asked for.
    fn take_turns(
        &mut self,
        bench: &Bench,
        case: &str,
        load: Option<&Load>,
        link: Link,
        measure: impl Fn(&Running) -> Result<Sample, Failure> + Sync,
    ) -> Result<Option<CaseResults>, Failure> {
        if !bench.args.wants(case) {
            return Ok(None);
        }
        let servers = start(bench, link)?;
        let results = CaseResults::new(case, load, &servers.measured);
        let results = bench.take_turns(results, &servers.measured, 1, measure)?;
        self.note(&servers);
        Ok(Some(results))
    }

    /// Notes what the handshakes with the servers agreed on.
    fn note(&mut self, servers: &Servers) {
        self.missing = servers.missing;
        for server in &servers.measured {
            let agreed = server.handshakes().map(|handshakes| Agreed {
                server: server.name.clone(),
                agreed: handshakes.agreed().to_owned(),
                percent_resumed: (handshakes.share_resumed() * 100.0).round() as u64,
            });
            let new = agreed.filter(|agreed| !self.handshakes.contains(agreed));
            self.handshakes.extend(new);
        }
    }
}

/// Starts the servers, echobeat first, which makes the certificate.
fn start(bench: &Bench, link: Link) -> Result<Servers, Failure> {
    // Before the servers inherit the limit.
    idle::allowed(usize::MAX);
    let contenders = bench.args.over_tls(&bench.built, link);
    let mut servers = Servers {
        measured: bench.start(&contenders, 1)?,
        _backend: None,
        missing: None,
    };
    match Proxy::tls_end() {
        Err(name) => servers.missing = Some(name),
        Ok(nginx) => {
            let backend = proxy::start_backend(bench)?;
            let start = || nginx.start(backend.address);
            let nginx = bench.machine.on_server_core(1, start)?;
            servers.measured.push(bench.bridge(nginx, link, 1)?);
            servers._backend = Some(backend);
        }
    }
    Ok(servers)
}
