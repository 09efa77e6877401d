//! The rounds: which servers run for which case, and whose turn it is.

use std::path::PathBuf;

use crate::Failure;
use crate::args::Args;
use crate::batches;
use crate::beats::{self, Beats};
use crate::bridge::{self, Link};
use crate::cases::{self, Load};
use crate::idle::{self, Idle};
use crate::load;
use crate::machine::Machine;
use crate::opening;
use crate::results::{CaseResults, Sample};
use crate::servers::{Contender, Role, Running};
use crate::traffic::Traffic;

/// Opens and closes so many connections of a server.
type Opening = fn(&Running, usize) -> Result<Sample, Failure>;

/// What is asked for, and where it runs.
pub struct Bench {
    pub args: Args,
    pub machine: Machine,
    /// The echobeat that was built for this.
    pub built: PathBuf,
}

impl Bench {
    /// Messages: those of the loads that are asked for.
    pub fn loads(&self, loads: Vec<Load>) -> Result<Vec<CaseResults>, Failure> {
        self.loads_of(loads, &self.args.contenders(&self.built))
    }

    /// The same, for echobeat alone, without and with TLS and HTTP/2.
    pub fn links(&self, loads: Vec<Load>) -> Result<Vec<CaseResults>, Failure> {
        let mut contenders = self.args.contenders(&self.built);
        contenders.truncate(1);
        contenders.extend(self.args.links(&self.built));
        self.loads_of(loads, &contenders)
    }

    /// The loads that are asked for, of these servers.
    pub fn loads_of(
        &self,
        loads: Vec<Load>,
        contenders: &[Contender],
    ) -> Result<Vec<CaseResults>, Failure> {
        let wanted = loads.iter().filter(|load| self.args.wants(&load.name));
        wanted.map(|load| self.load(load, contenders)).collect()
    }

    /// Connections that come and go, a few at any time or in batches.
    pub fn openings(&self) -> Result<Vec<CaseResults>, Failure> {
        let batches = cases::batches(batches::SIZE);
        let cases: [(&str, Opening); 2] =
            [(cases::OPENING, opening::round), (&batches, batches::round)];
        let wanted = cases.into_iter().filter(|(name, _)| self.args.wants(name));
        wanted
            .map(|(name, round)| self.opening(name, round))
            .collect()
    }

    fn opening(&self, name: &str, round: Opening) -> Result<CaseResults, Failure> {
        let servers = self.start(&self.args.contenders(&self.built), 1)?;
        let connections = self.args.opened();
        let results = CaseResults::new(name, None, &servers);
        self.take_turns(results, &servers, 1, |server| round(server, connections))
    }

    /// Connections that say nothing: once, for a server's memory is not the same again.
    pub fn idle(&self) -> Result<Vec<Idle>, Failure> {
        if !self.args.wants(cases::IDLE) {
            return Ok(Vec::new());
        }
        let (wanted, periods) = self.args.idle();
        let connections = idle::allowed(wanted);
        if connections < wanted {
            println!("The limit of open files allows {connections} connections, not {wanted}.\n");
        }
        let mut contenders = self.args.contenders(&self.built);
        contenders.extend(self.args.links(&self.built));
        let servers = self.start(&contenders, 1)?;
        let upgrading = servers.iter().filter(|server| server.role != Role::Floor);
        let measure = |server: &Running| {
            eprintln!("{}: {}", cases::IDLE, server.name);
            let connections = connections.min(server.most_connections());
            let work = || idle::measure(server, connections, periods);
            let measured = self.machine.on_generator_core(1, work);
            measured.map_err(|failure| blame(server, cases::IDLE, &failure))
        };
        upgrading.map(measure).collect()
    }

    /// Heart beats, of the servers that send some.
    pub fn beats(&self) -> Result<Vec<Beats>, Failure> {
        let mut measured = Vec::new();
        for wanted in beats::SESSIONS {
            let case = cases::beats(wanted);
            let sessions = idle::allowed(wanted);
            if !self.args.wants(&case) || self.args.quick && wanted > 1_000 {
                continue;
            }
            let contenders = self.args.contenders(&self.built).into_iter();
            let silent = contenders.map(|contender| contender.with_flags(beats::NO_PINGS));
            let servers = self.start(&silent.collect::<Vec<_>>(), 1)?;
            for server in servers.iter().filter(|server| server.role != Role::Floor) {
                eprintln!("{case}: {}", server.name);
                let work = || beats::measure(server, sessions, self.args.beats());
                let beats = self.machine.on_generator_core(1, work);
                measured.extend(beats.map_err(|failure| blame(server, &case, &failure))?);
            }
        }
        Ok(measured)
    }

    fn load(&self, load: &Load, contenders: &[Contender]) -> Result<CaseResults, Failure> {
        // Servers inherit the limit of open files that this raises.
        let allowed = idle::allowed(load.connections);
        if allowed < load.connections {
            return Err(format!("the limit of open files allows {allowed} connections").into());
        }
        let able = |contender: &&Contender| load.threads == 1 || contender.takes_threads();
        let servers = self.start(contenders.iter().filter(able), load.threads)?;
        let timing = self.args.timing();
        let results = CaseResults::new(&load.name, Some(load), &servers);
        self.take_turns(results, &servers, load.threads, |server| {
            let traffic = Traffic::new(load, server.wire);
            load::round(server, load, &traffic, &timing)
        })
    }

    /// Starts each server on its core.
    pub fn start<'c>(
        &self,
        contenders: impl IntoIterator<Item = &'c Contender>,
        threads: usize,
    ) -> Result<Vec<Running>, Failure> {
        let start = |contender: &Contender| {
            let start = || contender.start(threads);
            let started = self.machine.on_server_core(threads, start);
            started
                .and_then(|running| self.bridge(running, contender.link(), threads))
                .map_err(|failure| format!("{} does not start: {failure}", contender.name).into())
        };
        contenders.into_iter().map(start).collect()
    }

    /// Puts a bridge, on the generator's core, before a server that needs one.
    pub fn bridge(&self, running: Running, link: Link, threads: usize) -> Result<Running, Failure> {
        if link == Link::Plain {
            return Ok(running);
        }
        let start = || bridge::start(running.address, link);
        let bridge = self.machine.on_generator_core(threads, start)?;
        Ok(running.bridged(bridge))
    }

    /// Measures every server once a round. Each round begins with another, so that none is always
    /// the first to have a machine that has just cooled down, or the last to have a hot one.
    pub fn take_turns(
        &self,
        mut results: CaseResults,
        servers: &[Running],
        threads: usize,
        measure: impl Fn(&Running) -> Result<Sample, Failure> + Sync,
    ) -> Result<CaseResults, Failure> {
        let rounds = self.args.timing().rounds;
        for round in 0..rounds {
            eprintln!("{}: round {} of {rounds}", results.name, round + 1);
            for turn in 0..servers.len() {
                let index = (round + turn) % servers.len();
                let server = &servers[index];
                let measured = self.machine.on_generator_core(threads, || measure(server));
                let sample = measured.map_err(|failure| blame(server, &results.name, &failure))?;
                results.add(index, sample);
            }
        }
        Ok(results)
    }
}

/// Says whose fault a failure is.
pub fn blame(server: &Running, case: &str, failure: &Failure) -> Failure {
    format!("{}, {case}: {failure}", server.name).into()
}
