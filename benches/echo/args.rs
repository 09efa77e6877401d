//! The command line of the benchmark.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::bridge::Link;
use crate::peers::Peer;
use crate::servers::{Contender, Program};
use crate::uwebsockets;

/// Measures what a message costs echobeat and its peers.
#[derive(Debug, Parser)]
#[command(
    override_usage = "cargo bench -p echobeat-bench -- [OPTIONS]",
    max_term_width = 100
)]
pub struct Args {
    /// Measure for some three minutes, less exactly
    #[arg(long)]
    pub quick: bool,

    /// Measure only the cases whose name contains TEXT; spaces do not count, and x is as good as ×
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Compare echobeat only with this server; may be repeated
    #[arg(long, value_name = "NAME", value_enum)]
    server: Vec<Peer>,

    /// Rounds to take medians of [default: 7, or 3 with --quick]
    #[arg(long, value_name = "N", value_parser = rounds)]
    rounds: Option<usize>,

    /// Measure this echobeat too, as the server "other"
    #[arg(long, value_name = "PATH")]
    echobeat: Option<PathBuf>,

    /// Draw the CPU times as an SVG picture
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,

    /// Measure a WebSocket echo server that runs already, too; may be repeated. Pin it yourself, to
    /// the core that the report's first line names
    #[arg(long, value_name = "NAME=ADDR,PID")]
    external: Vec<External>,

    /// What cargo says to a benchmark that is to measure
    #[arg(long, hide = true)]
    bench: bool,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the benchmark starts itself for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve as one of the peers
    #[command(hide = true)]
    Serve {
        /// Which
        peer: Peer,
        /// Threads to serve on
        threads: usize,
    },
    /// Serve as what the proxies stand in front of
    #[command(hide = true)]
    Backend,
}

/// How long is measured, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How often each server has its turn.
    pub rounds: usize,
    /// Load before what is measured.
    pub warm_up: Duration,
    /// Load that is measured.
    pub measured: Duration,
}

impl Args {
    /// How long is measured, and how often.
    pub fn timing(&self) -> Timing {
        let (rounds, warm_up, measured) = if self.quick {
            (3, 80, 250)
        } else {
            (7, 300, 1000)
        };
        Timing {
            rounds: self.rounds.unwrap_or(rounds),
            warm_up: Duration::from_millis(warm_up),
            measured: Duration::from_millis(measured),
        }
    }

    /// Connections that each server opens and closes in a round.
    pub fn opened(&self) -> usize {
        if self.quick { 400 } else { 1000 }
    }

    /// Connections that are idle, and the heart beats that each of them is to get.
    pub fn idle(&self) -> (usize, u32) {
        if self.quick { (1000, 1) } else { (10_000, 3) }
    }

    /// Heart beats that each session is to get.
    pub fn beats(&self) -> u32 {
        if self.quick { 2 } else { 5 }
    }

    /// Whether the case is among those asked for.
    pub fn wants(&self, case: &str) -> bool {
        let only = self.only.as_deref().unwrap_or_default();
        plain(case).contains(&plain(only))
    }

    /// The echobeat that was built for this, over TLS and HTTP/2.
    pub fn links(&self, built: &Path) -> Vec<Contender> {
        let links = [("echobeat, wss", Link::Tls), ("echobeat, h2", Link::Http2)];
        let contender =
            |(name, link)| Contender::new(name, Program::Echobeat(built.to_owned(), link));
        links.map(contender).into()
    }

    /// The servers asked for that speak TLS themselves, over it.
    pub fn over_tls(&self, built: &Path, link: Link) -> Vec<Contender> {
        let echobeats = self.echobeats(built).into_iter();
        let contender = |(name, path)| Contender::new(name, Program::Echobeat(path, link));
        let mut contenders: Vec<_> = echobeats.map(contender).collect();
        if self.asks_for(Peer::Uwebsockets) {
            let name = Peer::Uwebsockets.name();
            contenders.push(Contender::new(name, Program::Uwebsockets(link)));
        }
        contenders
    }

    /// Whether echobeat is to be compared with this peer. If none is named, it is with all there
    /// are.
    pub fn asks_for(&self, peer: Peer) -> bool {
        match self.server[..] {
            [] => peer != Peer::Uwebsockets || uwebsockets::is_built(),
            _ => self.server.contains(&peer),
        }
    }

    /// Whether echobeat is to be compared with all that are there.
    pub fn asks_for_all(&self) -> bool {
        self.server.is_empty()
    }

    /// Sessions that keep windows of compression.
    pub fn deflate_sessions(&self) -> usize {
        if self.quick { 100 } else { 500 }
    }

    /// The echobeats that are asked for, by their paths.
    pub fn echobeats(&self, built: &Path) -> Vec<(&'static str, PathBuf)> {
        let other = self.echobeat.clone().map(|path| ("other", path));
        [("echobeat", built.to_owned())]
            .into_iter()
            .chain(other)
            .collect()
    }

    /// Tunnels that are idle.
    pub fn idle_tunnels(&self) -> usize {
        if self.quick { 1000 } else { 4000 }
    }

    /// The servers asked for. The first is the echobeat that was built for this.
    pub fn contenders(&self, built: &Path) -> Vec<Contender> {
        let mut contenders = vec![Contender::new(
            "echobeat",
            Program::Echobeat(built.to_owned(), Link::Plain),
        )];
        if let Some(other) = &self.echobeat {
            contenders.push(Contender::new(
                "other",
                Program::Echobeat(other.clone(), Link::Plain),
            ));
        }
        for peer in Peer::ALL.into_iter().filter(|peer| self.asks_for(*peer)) {
            let program = match peer {
                Peer::Uwebsockets => Program::Uwebsockets(Link::Plain),
                _ => Program::Peer(peer),
            };
            contenders.push(Contender::new(peer.name(), program));
        }
        for External { name, address, pid } in &self.external {
            contenders.push(Contender::new(name, Program::Runs(*address, *pid)));
        }
        contenders
    }
}

/// A name as it is compared: so that nobody needs to type a ×.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace('×', "x");
    name.chars().filter(|c| !c.is_whitespace()).collect()
}

fn rounds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1000) => Ok(number),
        _ => Err("write a number from 1 to 1000".to_owned()),
    }
}

impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rounds,
            warm_up,
            measured,
        } = self;
        let one = if *rounds == 1 {
            "1 round".to_owned()
        } else {
            format!("{rounds} rounds")
        };
        write!(
            f,
            "{one} of {measured:?} each, after {warm_up:?} to warm up. \
             Figures are medians of the rounds, ratios medians of the ratios in each round."
        )
    }
}

/// A server that the benchmark did not start.
#[derive(Debug, Clone)]
struct External {
    name: String,
    address: SocketAddr,
    pid: u32,
}

impl FromStr for External {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str = "write it as NAME=127.0.0.1:9001,4711, with the id of its process";
        let (name, rest) = text.split_once('=').ok_or(HINT)?;
        let (address, pid) = rest.split_once(',').ok_or(HINT)?;
        Ok(Self {
            name: name.to_owned(),
            address: address.parse().map_err(|_| HINT)?,
            pid: pid.parse().map_err(|_| HINT)?,
        })
    }
}
