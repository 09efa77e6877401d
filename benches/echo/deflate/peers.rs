//! The servers that compress, and how each is started.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::Terms;
use crate::Failure;
use crate::peers::Peer;
use crate::rounds::Bench;
use crate::servers::{self, Role, Running, Started};
use crate::traffic::Wire;
use crate::uwebsockets;

const PYTHON_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/echo.py");
const NODE_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/echo.js");

/// Servers that run.
pub struct Servers {
    pub running: Vec<Running>,
    /// Sentences about those that cannot.
    pub missing: Vec<&'static str>,
}

/// Starts all servers that agree to the terms, echobeat first, on the core of this thread.
pub fn start(bench: &Bench, terms: Terms) -> Result<Servers, Failure> {
    let mut servers = Servers {
        running: Vec::new(),
        missing: Vec::new(),
    };
    let flags = [
        "--compression",
        if terms.has_takeover() {
            "takeover"
        } else {
            "on"
        },
    ];
    for (name, path) in bench.args.echobeats(&bench.built) {
        let started = servers::start_echobeat(&path, &flags.map(str::to_owned), 1)?;
        let role = match name {
            "echobeat" => Role::Echobeat,
            _ => Role::Other,
        };
        servers
            .running
            .push(Running::new(name, started, Wire::WebSocket, role));
    }
    // It has no window of the client's that a client may name.
    if !matches!(terms, Terms::Takeover(_)) && bench.args.asks_for(Peer::Uwebsockets) {
        servers.add(
            "uWebSockets",
            uwebsockets::start_compressing(terms.has_takeover())?,
        );
    }
    if bench.args.asks_for_all() {
        servers.add_websockets(terms)?;
        servers.add_ws(terms)?;
    }
    Ok(servers)
}

impl Servers {
    fn add(&mut self, name: &str, started: Started) {
        self.running
            .push(Running::new(name, started, Wire::WebSocket, Role::Peer));
    }

    fn add_websockets(&mut self, terms: Terms) -> Result<(), Failure> {
        let python = env::var_os("PYTHON").unwrap_or_else(|| OsString::from("python3"));
        if !succeeds(&python, &["-c", "import websockets.asyncio.server"]) {
            self.missing.push(
                "Python's websockets is not installed where $PYTHON or python3 is, \
                 so compression is measured without it.",
            );
            return Ok(());
        }
        let mut command = Command::new(python);
        command.arg(PYTHON_SERVER);
        if let Terms::Takeover(bits) = terms {
            command.arg(bits.to_string());
        }
        self.add("websockets", servers::start_program(command)?);
        Ok(())
    }

    fn add_ws(&mut self, terms: Terms) -> Result<(), Failure> {
        if matches!(terms, Terms::Takeover(_)) {
            return Ok(());
        }
        if !succeeds(&OsString::from("node"), &["-e", "require('ws')"]) {
            self.missing.push(
                "Node's ws is not installed where $NODE_PATH says, so compression is measured \
                 without it.",
            );
            return Ok(());
        }
        let mut command = Command::new("node");
        command.arg(NODE_SERVER);
        self.add("ws", servers::start_program(command)?);
        Ok(())
    }
}

/// Whether a program is there, and ends well.
fn succeeds(program: &OsString, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
