//! Fan-out across nodes: messages that are posted to a topic on one of three nodes, whose subscribers
//! are spread over all of them, beside one node that has as many.
//!
//! A post is answered when all nodes have, so that it takes a message over NATS and back. All servers
//! share one core, and so does NATS: latencies are those of one core's work.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::cases::{self, Load};
use crate::client::{self, PATIENCE};
use crate::fanout;
use crate::idle;
use crate::installed::{find, free_address, until_it_listens};
use crate::results::CaseResults;
use crate::rounds::Bench;
use crate::servers::{Role, Running, start_echobeat};
use crate::traffic::Wire;

const NATS: &str = "nats-server";

const NODES: [&str; 3] = ["a", "b", "c"];

/// Names of what is measured.
const ONE: &str = "echobeat";
const THREE: &str = "three nodes";
const WITH_NATS: &str = "three nodes and NATS";

/// Measures the cases that are asked for, and writes the report on them.
pub fn report(bench: &Bench) -> Result<String, Failure> {
    let loads = cases::cluster().into_iter();
    let wanted: Vec<_> = loads.filter(|load| bench.args.wants(&load.name)).collect();
    match find(NATS) {
        _ if wanted.is_empty() => Ok(String::new()),
        None => Ok(format!(
            "{NATS} is not installed, so no cluster is measured.\n\n"
        )),
        Some(nats) => {
            let measured = wanted.iter().map(|load| measure(bench, &nats, load));
            let measured = measured.collect::<Result<Vec<_>, _>>()?;
            Ok(fanout::render("Fan-out across nodes", &measured))
        }
    }
}

fn measure(bench: &Bench, nats: &Path, load: &Load) -> Result<CaseResults, Failure> {
    // Servers inherit the limit of open files that this raises.
    let allowed = idle::allowed(load.connections);
    if allowed < load.connections {
        return Err(format!("the limit of open files allows {allowed} subscribers").into());
    }
    let start = || -> Result<_, Failure> {
        Ok((
            start_node(&bench.built, ONE, &[])?,
            Cluster::start(nats, &bench.built)?,
        ))
    };
    let (one, cluster) = bench.machine.on_server_core(1, start)?;
    let (nodes, with_nats) = (cluster.as_one(THREE), cluster.as_one(WITH_NATS));
    let servers = [one, nodes, with_nats];
    let timing = bench.args.timing();
    let results = CaseResults::new(&load.name, Some(load), &servers);
    bench.take_turns(results, &servers, 1, |server| match &*server.name {
        ONE => fanout::round(&[server.address], &[server.pid], load, &timing),
        name => {
            let (addresses, mut pids) = (cluster.addresses(), cluster.pids());
            if name == WITH_NATS {
                pids.push(cluster.nats.pid);
            }
            fanout::round(&addresses, &pids, load, &timing)
        }
    })
}

/// Nodes that know one another.
struct Cluster {
    nodes: Vec<Running>,
    nats: Running,
}

impl Cluster {
    fn start(nats: &Path, echobeat: &Path) -> Result<Self, Failure> {
        let nats = start_nats(nats)?;
        let url = format!("nats://{}", nats.address);
        let node = |name: &&str| {
            let flags = ["--nats", &url, "--node", name];
            start_node(echobeat, name, &flags)
        };
        let nodes = NODES.iter().map(node).collect::<Result<Vec<_>, _>>()?;
        for node in &nodes {
            until_it_knows_all(node)?;
        }
        Ok(Self { nodes, nats })
    }

    /// A row of the table for all of it, in the place of its first node.
    fn as_one(&self, name: &str) -> Running {
        let first = &self.nodes[0];
        let started = (first.address, first.pid, None);
        Running::new(name, started, Wire::WebSocket, Role::Other)
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.pid).collect()
    }
}

fn start_node(echobeat: &Path, name: &str, flags: &[&str]) -> Result<Running, Failure> {
    let flags = ["--api"].iter().chain(flags).map(|flag| (*flag).to_owned());
    let started = start_echobeat(echobeat, &flags.collect::<Vec<_>>(), 1)?;
    let role = match name {
        ONE => Role::Echobeat,
        _ => Role::Other,
    };
    Ok(Running::new(name, started, Wire::WebSocket, role))
}

fn start_nats(program: &Path) -> Result<Running, Failure> {
    let address = free_address()?;
    let mut command = Command::new(program);
    command.args(["-a", &address.ip().to_string()]);
    command.args(["-p", &address.port().to_string()]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = quiet.stderr(Stdio::null()).spawn()?;
    let started = until_it_listens(address, child)?;
    Ok(Running::new(NATS, started, Wire::Tcp, Role::Other))
}

/// Waits until a node has heard of all others.
fn until_it_knows_all(node: &Running) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let mut stream = client::connect(node.address, Wire::Tcp)?;
        stream
            .write_all(b"GET /cluster HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.matches(r#""state":"here""#).count() == NODES.len() {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Err(format!("node {} does not know all others", node.name).into())
}
