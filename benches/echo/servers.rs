//! The servers that are measured: how each is started, found, and stopped.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::Failure;
use crate::bridge::{Bridge, Handshakes, Link};
use crate::peers::Peer;
use crate::traffic::Wire;
use crate::uwebsockets;

/// A server that can be started.
#[derive(Debug)]
pub struct Contender {
    pub name: String,
    program: Program,
}

/// What a server is.
#[derive(Debug)]
pub enum Program {
    /// An echobeat, by its path, and what it is spoken to over.
    Echobeat(PathBuf, Link),
    /// An echobeat with these flags, by its path.
    WithFlags(PathBuf, &'static [&'static str]),
    /// A peer.
    Peer(Peer),
    /// uWebSockets, and what it is spoken to over.
    Uwebsockets(Link),
    /// One that runs already: its address, and the id of its process.
    Runs(SocketAddr, u32),
}

/// A server that runs, until this is dropped.
#[derive(Debug)]
pub struct Running {
    pub name: String,
    pub address: SocketAddr,
    pub pid: u32,
    pub wire: Wire,
    pub role: Role,
    bridge: Option<Bridge>,
    child: Option<Child>,
}

impl Running {
    /// A server that was started.
    pub fn new(name: &str, started: Started, wire: Wire, role: Role) -> Self {
        let (address, pid, child) = started;
        Self {
            name: name.to_owned(),
            address,
            pid,
            wire,
            role,
            bridge: None,
            child,
        }
    }

    /// The same, reached over a bridge.
    pub fn bridged(mut self, bridge: Bridge) -> Self {
        self.address = bridge.address;
        self.bridge = Some(bridge);
        self
    }

    /// The handshakes of TLS with it, if it is reached over a bridge.
    pub fn handshakes(&self) -> Option<&Handshakes> {
        self.bridge.as_ref().map(|bridge| &*bridge.handshakes)
    }

    /// As many connections as make sense: a bridge has two more files open for each.
    pub fn most_connections(&self) -> usize {
        match self.bridge {
            Some(_) => 2_000,
            None => usize::MAX,
        }
    }
}

/// What a server is to the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Echobeat,
    /// Another echobeat, compared with no peer.
    Other,
    Peer,
    /// The floor: no WebSocket at all.
    Floor,
    /// What the proxies stand in front of, without a proxy.
    Direct,
}

impl Contender {
    pub fn new(name: &str, program: Program) -> Self {
        Self {
            name: name.to_owned(),
            program,
        }
    }

    /// The same server with these flags, and over nothing else, if it is an echobeat.
    pub fn with_flags(mut self, flags: &'static [&'static str]) -> Self {
        self.program = match self.program {
            Program::Echobeat(path, _) => Program::WithFlags(path, flags),
            other => other,
        };
        self
    }

    /// What it is spoken to over.
    pub fn link(&self) -> Link {
        match self.program {
            Program::Echobeat(_, link) | Program::Uwebsockets(link) => link,
            Program::WithFlags(..) | Program::Peer(_) | Program::Runs(..) => Link::Plain,
        }
    }

    /// Whether it can be told on how many threads to run.
    pub fn takes_threads(&self) -> bool {
        !matches!(self.program, Program::Uwebsockets(_) | Program::Runs(..))
    }

    /// Starts the server, and waits until it listens.
    pub fn start(&self, threads: usize) -> Result<Running, Failure> {
        let started = match &self.program {
            Program::Echobeat(path, link) => start_echobeat(path, &link.flags(), threads)?,
            Program::WithFlags(path, flags) => {
                let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
                start_echobeat(path, &flags, threads)?
            }
            Program::Peer(peer) => start_own(&["serve", peer.name(), &threads.to_string()])?,
            Program::Uwebsockets(link) => uwebsockets::start(*link)?,
            Program::Runs(address, pid) => (*address, *pid, None),
        };
        Ok(Running::new(&self.name, started, self.wire(), self.role()))
    }

    fn wire(&self) -> Wire {
        match self.program {
            Program::Peer(Peer::Floor) => Wire::Tcp,
            _ => Wire::WebSocket,
        }
    }

    fn role(&self) -> Role {
        match self.program {
            Program::Echobeat(..) | Program::WithFlags(..) => match &*self.name {
                "echobeat" => Role::Echobeat,
                _ => Role::Other,
            },
            Program::Peer(Peer::Floor) => Role::Floor,
            Program::Peer(_) | Program::Uwebsockets(_) | Program::Runs(..) => Role::Peer,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where a server listens, the id of its process, and the process if it ends with the benchmark.
pub type Started = (SocketAddr, u32, Option<Child>);

/// Log filter without the lines of single connections. `connection` is what `echo` was called in
/// older builds that are measured beside this one.
const LOG_FILTER: &str = "info,echobeat::echo=warn,echobeat::session=warn,echobeat::proxy=warn,\
    echobeat::connection=warn";

/// Starts an echobeat as its users have it, with two exceptions: it has so many threads, and does
/// not log connections, for the peers log nothing (benches/README.md says what that costs). `flags`
/// come first, for one may be a subcommand.
pub fn start_echobeat(path: &Path, flags: &[String], threads: usize) -> Result<Started, Failure> {
    let mut command = Command::new(path);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("ECHOBEAT_") {
            command.env_remove(name);
        }
    }
    command.args(flags);
    command.args(["--listen", "127.0.0.1:0", "--threads", &threads.to_string()]);
    let mut child = command
        .env("RUST_LOG", LOG_FILTER)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
    // Of the certificate it may have to say something first.
    let lines = log.by_ref().lines().map_while(Result::ok);
    let address = lines.filter_map(|line| Some(line.split_once("address=")?.1.to_owned()));
    let address = { address }.next().unwrap_or_default();
    thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    listening(&address, child)
}

/// Starts this program as a server.
pub fn start_own(arguments: &[&str]) -> Result<Started, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--bench").args(arguments);
    start_program(command)
}

/// Starts a server whose first line is its address.
pub fn start_program(mut command: Command) -> Result<Started, Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut address = String::new();
    // A server that cannot be read from says no address, and fails for that.
    let _ = output.read_line(&mut address);
    listening(&address, child)
}

fn listening(address: &str, mut child: Child) -> Result<Started, Failure> {
    let address = address.split_whitespace().next().unwrap_or_default();
    match address.parse() {
        Ok(address) => Ok((address, child.id(), Some(child))),
        Err(_) => {
            let _ = child.kill();
            Err(format!("it does not say where it listens ({})", child.wait()?).into())
        }
    }
}
