//! Many nodes as one, with a real NATS server.

mod connections;
mod failures;
mod foreign;
mod pushes;

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::api::{ask, ask_with};
use crate::cli::{Running, echobeat};
use crate::support::{soon, until};
use crate::unix::{kill, kill_child};

/// A NATS server on a free port.
pub struct Nats {
    child: Child,
    pub port: u16,
}

impl Nats {
    pub async fn start() -> Self {
        Self::start_on("-1", &[]).await
    }

    /// Starts it on this port, or on a free one for -1, with these flags too.
    pub async fn start_on(port: &str, flags: &[&str]) -> Self {
        let mut child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", port])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("nats-server runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let listening = "Listening for client connections on 127.0.0.1:";
        let (mut port, mut is_ready) = (None, false);
        while !is_ready {
            let line = soon(log.next_line()).await.expect("UTF-8");
            let line = line.expect("nats-server listens");
            if let Some((_, found)) = line.split_once(listening) {
                port = found.trim().parse().ok();
            }
            is_ready = line.contains("Server is ready");
        }
        // It goes on to log.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self {
            child,
            port: port.expect("a port"),
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn signal(&self, signal: &str) {
        kill_child(signal, &self.child).await;
    }

    /// Kills it, and returns its port.
    pub async fn kill(mut self) -> u16 {
        soon(self.child.kill()).await.expect("it is killed");
        self.port
    }
}

/// A node, which is a process.
pub struct Node {
    pub running: Running,
    pub address: SocketAddr,
}

impl Node {
    pub async fn start(name: &str, url: &str) -> Self {
        Self::start_with(name, url, &[]).await
    }

    pub async fn start_with(name: &str, url: &str, flags: &[&str]) -> Self {
        let usual = [
            "127.0.0.1:0",
            "--api",
            "--heartbeat=off",
            "--ping-interval=off",
        ];
        let own = ["--node", name, "--nats", url];
        let running = Running::start(echobeat(&[&usual[..], &own, flags].concat())).await;
        let address = running.address();
        Self { running, address }
    }

    pub async fn ask(&self, request: &str) -> (u16, Value) {
        ask(self.address, request).await
    }

    /// Asks with a text as the body.
    pub async fn post(&self, path: &str, text: &str) -> (u16, Value) {
        let request = format!("POST {path}");
        ask_with(self.address, &request, "", text.as_bytes()).await
    }

    pub async fn signal(&self, signal: &str) {
        kill(signal, &self.running).await;
    }

    /// Waits until it sees these nodes, and no others, each with its state.
    pub async fn sees(&self, nodes: &[(&str, &str)]) {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(node, state)| (Some(*node), Some(*state)))
            .collect();
        until(async || {
            let (_, shown) = self.ask("GET /cluster").await;
            let list = shown["nodes"].as_array().expect("a list").iter();
            let list = list.map(|node| (node["node"].as_str(), node["state"].as_str()));
            list.collect::<Vec<_>>() == nodes
        })
        .await;
    }

    /// Waits until NATS is connected, or is not.
    pub async fn is(&self, state: &str) {
        until(async || self.ask("GET /cluster").await.1["cluster"] == state).await;
    }

    pub async fn metric(&self, name: &str) -> u64 {
        let name = format!("echobeat_cluster_{name}");
        self.running.metric(&name).await
    }
}

/// Three nodes that know each other, and their NATS server.
pub async fn three() -> (Nats, [Node; 3]) {
    let nats = Nats::start().await;
    let nodes = three_on(&nats.url()).await;
    (nats, nodes)
}

pub async fn three_on(url: &str) -> [Node; 3] {
    let a = Node::start("a", url).await;
    let b = Node::start("b", url).await;
    let c = Node::start("c", url).await;
    for node in [&a, &b, &c] {
        node.sees(&[("a", "here"), ("b", "here"), ("c", "here")])
            .await;
    }
    [a, b, c]
}
