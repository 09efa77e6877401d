//! What is measured.

use crate::markdown::grouped;

/// The name of the case of connections that come and go.
pub const OPENING: &str = "open, upgrade, close";

/// The name of the case of connections that come and go together.
pub fn batches(connections: usize) -> String {
    format!("open {connections} at a time")
}

/// The name of the case of connections that say nothing.
pub const IDLE: &str = "idle";

/// The name of the case of so many sessions that get heart beats.
pub fn beats(sessions: usize) -> String {
    format!("beats: {sessions}")
}

/// These over TLS, where each handshake is a full one, or resumes an earlier session.
pub const TLS_OPENING: &str = "tls: open, upgrade, close";
pub const TLS_RESUMING: &str = "tls: open, upgrade, close, resumed";
pub const TLS_IDLE: &str = "tls: idle";

/// Bits of the windows of sessions whose memory is measured.
pub const DEFLATE_WINDOWS: [u8; 3] = [15, 12, 9];

/// The name of the case of sessions that keep windows of so many bits.
pub fn deflate_memory(bits: u8) -> String {
    format!("deflate: idle, {bits} bits")
}

/// Two of these through a proxy.
pub const PROXY_OPENING: &str = "proxy: open, upgrade, close";
pub const PROXY_IDLE: &str = "proxy: idle";

/// Messages of one kind, echoed over and over.
#[derive(Debug, Clone)]
pub struct Load {
    /// The case in a few words: the message, how many are in flight, on how many connections.
    pub name: String,
    pub content: Content,
    /// Bytes of payload in a message.
    pub size: usize,
    /// Messages that each connection has on their way.
    pub in_flight: usize,
    pub connections: usize,
    /// Threads of the server.
    pub threads: usize,
    /// Whether the generator looks for echoes all the time, so that no server has to wake it. To
    /// wake another core costs as much as a short message, and a server that is a little slower
    /// has to do it more often.
    pub never_sleeps: bool,
}

/// What a message consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Binary,
    /// Text in ASCII.
    Text,
    /// Text, most of which is not ASCII.
    Utf8,
    Json,
}

impl Load {
    fn new(content: Content, size: usize, in_flight: usize, connections: usize) -> Self {
        let kind = match content {
            Content::Binary => "",
            Content::Text => " text",
            Content::Utf8 => " UTF-8",
            Content::Json => " JSON",
        };
        Self {
            name: format!(
                "{}{kind} × {in_flight} × {}",
                bytes(size),
                grouped(connections as u64)
            ),
            content,
            size,
            in_flight,
            connections,
            threads: 1,
            never_sleeps: false,
        }
    }

    /// The same load as a case of this part of the benchmark.
    fn named(self, part: &str) -> Self {
        Self {
            name: format!("{part}: {}", self.name),
            ..self
        }
    }
}

/// The loads that are measured on one thread.
pub fn loads() -> Vec<Load> {
    use Content::{Binary, Text, Utf8};
    vec![
        Load::new(Binary, 64, 1, 50),
        Load::new(Binary, 64, 1, 5_000),
        Load::new(Binary, 20, 16, 100),
        Load::new(Text, 200, 16, 100),
        Load::new(Binary, 125, 200, 10),
        Load::new(Text, 125, 200, 10),
        Load::new(Binary, 16 << 10, 1, 20),
        Load::new(Utf8, 16 << 10, 1, 20),
        Load::new(Binary, 64 << 10, 2, 10),
        Load::new(Binary, 1 << 20, 1, 4),
        Load::new(Text, 1 << 20, 1, 4),
    ]
}

/// The loads that are measured over TLS and HTTP/2 too.
pub fn links() -> Vec<Load> {
    few().map(|load| load.named("links")).into()
}

/// The loads that are measured over TLS beside peers.
pub fn tls() -> Vec<Load> {
    few().map(|load| load.named("tls")).into()
}

/// The loads that are measured through a proxy. The first, with one message on its way at a time,
/// is for its latency.
pub fn proxied() -> Vec<Load> {
    let alone = Load::new(Content::Binary, 64, 1, 1);
    let loads = [alone].into_iter().chain(few());
    loads.map(|load| load.named("proxy")).collect()
}

/// The loads of compressed messages, without context takeover or with it.
pub fn deflate(takeover: bool) -> Vec<Load> {
    let part = match takeover {
        true => "deflate, takeover",
        false => "deflate",
    };
    let sizes = [(200, 50), (1 << 10, 50), (16 << 10, 10), (1 << 20, 2)].into_iter();
    let loads = sizes.flat_map(|(size, connections)| {
        [1, 16].map(|in_flight| Load::new(Content::Json, size, in_flight, connections))
    });
    loads.map(|load| load.named(part)).collect()
}

/// Messages that fill any window.
pub fn deflate_filling() -> Load {
    Load::new(Content::Json, 16 << 10, 1, 1)
}

fn few() -> [Load; 4] {
    [
        Load::new(Content::Binary, 64, 1, 50),
        Load::new(Content::Binary, 20, 16, 100),
        Load::new(Content::Binary, 16 << 10, 1, 20),
        Load::new(Content::Binary, 1 << 20, 1, 4),
    ]
}

/// The loads that are pushed to subscribers, of which there are as many as connections.
pub fn fanout() -> [Load; 2] {
    [64, 1 << 10].map(|size| Load::new(Content::Binary, size, 1, 5_000).named("fanout"))
}

/// The loads that are pushed to subscribers on three nodes, and to as many on one.
pub fn cluster() -> [Load; 2] {
    [3, 3_000].map(|subscribers| Load::new(Content::Binary, 64, 1, subscribers).named("cluster"))
}

/// The loads that are measured with the API, beside the same server without it.
pub fn api() -> Vec<Load> {
    let batch = Load::new(Content::Binary, 125, 200, 10);
    let [alone, small, large, _] = few();
    let loads = [alone, small, batch, large];
    let loads = loads.map(|load| load.named("api"));
    let awake = |load| Load {
        never_sleeps: true,
        ..load
    };
    loads.map(awake).into()
}

/// One load on ever more threads: 1, 2, 4, and so on to as many as there are cores.
pub fn threads(cores: usize) -> Vec<Load> {
    let doubled = (0..)
        .map(|power| 1 << power)
        .take_while(|&threads| threads < cores);
    let on = |threads: usize| Load {
        name: format!("threads: {threads}"),
        threads,
        ..Load::new(Content::Binary, 20, 16, 100)
    };
    doubled.chain([cores]).map(on).collect()
}

fn bytes(size: usize) -> String {
    match size {
        0x10_0000.. => format!("{} MiB", size >> 20),
        0x400.. => format!("{} KiB", size >> 10),
        _ => format!("{size} B"),
    }
}
