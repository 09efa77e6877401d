//! permessage-deflate: what a compressed message costs, and what a session with context takeover
//! keeps.
//!
//! The generator has compressed its messages before, each by itself, which is right with takeover
//! too. It inflates the echoes of one connection to check them, and of all others it counts the
//! frames: what is measured is the server alone.
//!
//! - `messages`: the frames that are sent, and how echoes are counted and checked
//! - `peers`: the servers, and how each is told to compress
//! - `memory`: sessions with takeover that say nothing any more
//! - `report`: the tables

mod memory;
mod messages;
mod peers;
mod report;

use crate::Failure;
use crate::cases::{self, Load};
use crate::client::Extensions;
use crate::idle;
use crate::load;
use crate::results::CaseResults;
use crate::rounds::{Bench, blame};
use crate::servers::Running;

use memory::Memory;
use messages::Compressed;

/// Terms of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// Each message is compressed by itself, with a window that the server chooses.
    Alone,
    /// The server's compressor has a window of 12 bits, and keeps it; the client keeps none.
    ServerTakeover,
    /// Both sides keep their windows, of so many bits.
    Takeover(u8),
}

/// Measurements of compressed messages.
#[derive(Debug, Default)]
struct Measured {
    loads: Vec<Measurement>,
    memory: Vec<Memory>,
    /// Peers that cannot take part, and why.
    missing: Vec<&'static str>,
}

/// A case.
#[derive(Debug)]
struct Measurement {
    results: CaseResults,
    /// Bytes of an echo by those of its message, for each server.
    ratios: Vec<f64>,
}

impl Terms {
    /// Bits of the window that the client's compressor has.
    fn client_window(self) -> u8 {
        match self {
            Self::Alone | Self::ServerTakeover => 15,
            Self::Takeover(bits) => bits,
        }
    }

    /// Whether the server's compressor keeps its window.
    fn has_takeover(self) -> bool {
        self != Self::Alone
    }

    /// The offer that leads to these terms.
    fn extensions(self) -> Extensions {
        let wanted = match self {
            Self::Alone => vec![
                "server_no_context_takeover".to_owned(),
                "client_no_context_takeover".to_owned(),
            ],
            Self::ServerTakeover => vec![
                "server_max_window_bits=12".to_owned(),
                "client_no_context_takeover".to_owned(),
            ],
            Self::Takeover(bits) => vec![
                format!("server_max_window_bits={bits}"),
                format!("client_max_window_bits={bits}"),
            ],
        };
        Extensions {
            offered: format!("permessage-deflate; {}", wanted.join("; ")),
            wanted,
            unwanted: match self {
                Self::Alone => "client_max_window_bits",
                Self::ServerTakeover | Self::Takeover(_) => "server_no_context_takeover",
            },
        }
    }
}

/// Measures the cases that are asked for, and writes the report on them.
pub fn report(bench: &Bench) -> Result<String, Failure> {
    let mut measured = Measured::default();
    for terms in [Terms::Alone, Terms::ServerTakeover] {
        for load in cases::deflate(terms.has_takeover()) {
            measured.load(bench, &load, terms)?;
        }
    }
    for bits in cases::DEFLATE_WINDOWS {
        measured.memory(bench, bits)?;
    }
    Ok(report::render(&measured))
}

impl Measured {
    fn load(&mut self, bench: &Bench, load: &Load, terms: Terms) -> Result<(), Failure> {
        if !bench.args.wants(&load.name) {
            return Ok(());
        }
        let servers = self.start(bench, terms)?;
        let messages = Compressed::new(load, terms);
        let check = |server: &Running| {
            let checked = bench
                .machine
                .on_generator_core(1, || messages.check(server));
            checked.map_err(|failure| blame(server, &load.name, &failure))
        };
        let ratios = servers.iter().map(check).collect::<Result<_, _>>()?;
        let timing = bench.args.timing();
        let results = CaseResults::new(&load.name, Some(load), &servers);
        let results = bench.take_turns(results, &servers, 1, |server| {
            load::round(server, load, &messages, &timing)
        })?;
        self.loads.push(Measurement { results, ratios });
        Ok(())
    }

    /// Sessions that keep their windows: once, for a server's memory is not the same again.
    fn memory(&mut self, bench: &Bench, bits: u8) -> Result<(), Failure> {
        let case = cases::deflate_memory(bits);
        if !bench.args.wants(&case) {
            return Ok(());
        }
        let connections = bench.args.deflate_sessions();
        for server in &self.start(bench, Terms::Takeover(bits))? {
            eprintln!("{case}: {}", server.name);
            let work = || memory::measure(server, connections, bits);
            let measured = bench.machine.on_generator_core(1, work);
            self.memory
                .push(measured.map_err(|failure| blame(server, &case, &failure))?);
        }
        Ok(())
    }

    /// Starts the servers that agree to these terms, each on its core.
    fn start(&mut self, bench: &Bench, terms: Terms) -> Result<Vec<Running>, Failure> {
        // Before the servers inherit the limit.
        idle::allowed(usize::MAX);
        let start = || peers::start(bench, terms);
        let started = bench.machine.on_server_core(1, start)?;
        self.missing = started.missing;
        Ok(started.running)
    }
}
