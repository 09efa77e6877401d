//! Peers that cost the server much work for few bytes, and the peers that share it with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use echobeat_frames::{
    CONTINUED, CONTINUED_LAST, PING, TEXT, TEXT_BEGUN, frame, text_echo, text_frame,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, interval, sleep};

use super::process::serve_many;
use crate::support::{Raw, soon, upgrade_request};
use crate::tls::{Issued, Trusting};

/// Peers that do the same at once.
const PEERS: usize = 50;

/// Time for which the others are watched.
const WATCH: Duration = Duration::from_secs(2);

/// Time within which 99 of 100 echoes of others must come, as a rule.
const QUICK: Duration = Duration::from_millis(20);

/// The same beside messages as large as they may be.
const QUICK_BESIDE_LARGE: Duration = Duration::from_millis(500);

/// Traffic of the peers that make work.
struct Deed {
    name: &'static str,
    /// First bytes of the connection.
    request: Vec<u8>,
    /// Sent over and over again, in writes of so many bytes.
    bytes: Vec<u8>,
    write: usize,
    /// The time between two of these writes.
    pause: Duration,
    /// Within this, 99 of 100 echoes of others must come.
    quick: Duration,
}

impl Deed {
    fn session(name: &'static str, bytes: Vec<u8>) -> Self {
        Self::asked(name, "/", bytes)
    }

    fn asked(name: &'static str, path: &str, bytes: Vec<u8>) -> Self {
        Self {
            name,
            request: upgrade_request(path).into_bytes(),
            write: bytes.len().max(1),
            bytes,
            pause: Duration::ZERO,
            quick: QUICK,
        }
    }

    fn requests(name: &'static str, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Self {
            request: Vec::new(),
            ..Self::session(name, request.repeat(1_000).into_bytes())
        }
    }

    /// A session over HTTP/2 without TLS.
    fn http2(name: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            request: http2_session(),
            ..Self::session(name, bytes)
        }
    }
}

/// The frames that begin a connection of HTTP/2, and a session on its stream 1.
pub fn http2_session() -> Vec<u8> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const END_HEADERS: u8 = 4;
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "localhost"),
        ("sec-websocket-version", "13"),
    ];
    // Literal fields, not indexed (RFC 7541, section 6.2.2).
    let mut head = Vec::new();
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            head.push(text.len() as u8);
            head.extend(text.as_bytes());
        }
    }
    let settings = http2_frame(4, 0, 0, b"");
    let headers = http2_frame(1, END_HEADERS, 1, &head);
    [PREFACE, &settings, &headers].concat()
}

fn http2_frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let header = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&header, payload].concat()
}

/// Frames of DATA with one byte each.
fn data(bytes: &[u8]) -> Vec<u8> {
    let frames = bytes.iter().map(|byte| http2_frame(0, 0, 1, &[*byte]));
    frames.flatten().collect()
}

/// A text in 40,000 fragments of this payload.
fn fragments(payload: &[u8]) -> Vec<u8> {
    let begun = frame(TEXT_BEGUN, payload);
    let middle = frame(CONTINUED, payload).repeat(39_998);
    [begun, middle, frame(CONTINUED_LAST, payload)].concat()
}

fn deeds() -> Vec<Deed> {
    let empty = frame(TEXT, b"").repeat(10_000);
    let long = text_frame(&"x".repeat(60_000));
    vec![
        Deed::session("fragments, empty", fragments(b"")),
        Deed::session("fragments of a byte", fragments(b"x")),
        Deed::asked("a burst", "/?do=burst:134217728x8,fragment:1", Vec::new()),
        Deed::asked("echoes in fragments", "/?do=fragment:1", long),
        Deed::session("messages, empty", empty.clone()),
        Deed::asked("messages, no echoes", "/?do=echo:off", empty.clone()),
        Deed {
            write: 7,
            ..Deed::session("a segment each", text_frame("x").repeat(1_000))
        },
        Deed {
            quick: QUICK_BESIDE_LARGE,
            ..Deed::session("messages of 16 MiB", text_frame(&"é".repeat(8 << 20)))
        },
        Deed {
            write: 10,
            pause: Duration::from_millis(5),
            ..Deed::session("Pings", frame(PING, b"ping"))
        },
        Deed::requests("GET /healthz", "/healthz"),
        Deed::requests("GET /metrics", "/metrics"),
        Deed::requests("GET /", "/"),
        Deed::requests("GET /nowhere", "/nowhere"),
        Deed::http2(
            "HTTP/2: DATA, empty",
            http2_frame(0, 0, 1, b"").repeat(10_000),
        ),
        Deed::http2("HTTP/2: DATA of a byte", data(&empty)),
        Deed::http2("HTTP/2: fragments", {
            let bytes = fragments(b"");
            let frames = bytes
                .chunks(16 << 10)
                .map(|bytes| http2_frame(0, 0, 1, bytes));
            frames.flatten().collect()
        }),
        Deed::http2(
            "HTTP/2: PING",
            http2_frame(6, 0, 0, b"12345678").repeat(10_000),
        ),
    ]
}

fn deeds_over_tls() -> Vec<Deed> {
    vec![
        Deed {
            write: 1,
            ..Deed::session("TLS: records of a byte", frame(TEXT, b"").repeat(1_000))
        },
        Deed::session("TLS: fragments, empty", fragments(b"")),
        Deed {
            quick: QUICK_BESIDE_LARGE,
            ..Deed::session("TLS: messages of 16 MiB", text_frame(&"é".repeat(8 << 20)))
        },
    ]
}

/// Way to reach a server.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    tls: Option<Trusting>,
}

impl Way {
    async fn connect(&self) -> Raw<Box<dyn Socket>> {
        let stream: Box<dyn Socket> = match &self.tls {
            Some(tls) => Box::new(tls.connect(self.address).await.stream),
            None => {
                let stream = Raw::connect(self.address).await.stream;
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
        };
        Raw { stream }
    }
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Runs a future on a thread of its own.
fn on_a_thread<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(future)
    })
}

/// Does what the deed is, and says when it begins.
async fn misbehave(way: Way, deed: Arc<Deed>, begun: mpsc::Sender<()>) {
    let mut raw = way.connect().await;
    // Where many come at once, the server may have given it up already.
    let _ = raw.stream.write_all(&deed.request).await;
    begun.send(()).await.expect("somebody waits for it");
    let (mut reader, mut writer) = split(raw.stream);
    let reading = async {
        let mut buffer = vec![0; 64 << 10];
        while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    let writing = async {
        let mut pace = interval(deed.pause.max(Duration::from_micros(1)));
        while !deed.bytes.is_empty() {
            for piece in deed.bytes.chunks(deed.write) {
                if !deed.pause.is_zero() {
                    pace.tick().await;
                }
                if writer.write_all(piece).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::join!(reading, writing);
}

/// The times that echoes take in a session of another peer, in their order.
async fn echo_times(way: Way) -> Vec<Duration> {
    let mut raw = way.connect().await;
    raw.send(upgrade_request("/")).await;
    assert_eq!(raw.head().await.status, 101);
    let end = Instant::now() + WATCH;
    let mut times = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        raw.send(text_frame("hello")).await;
        assert_eq!(raw.read(7).await, text_echo("hello"));
        times.push(begun.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    times.sort_unstable();
    times
}

/// The longest time that `/healthz` takes, on new connections.
async fn health_time(way: Way) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let begun = Instant::now();
        let mut raw = way.connect().await;
        raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        assert_eq!(raw.response().await.status, 200);
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// The 99th percentile of the times of others' echoes, and the longest time of `/healthz`, while
/// peers do this.
async fn times_beside(deed: Arc<Deed>, way: Way) -> (Duration, Duration) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (begun, mut begins) = mpsc::channel(PEERS);
    let (name, others) = (deed.name, way.clone());
    let misbehaving = on_a_thread(async move {
        let mut peers = JoinSet::new();
        for _ in 0..PEERS {
            peers.spawn(misbehave(way.clone(), Arc::clone(&deed), begun.clone()));
        }
        let _ = stopped.await;
    });
    for _ in 0..PEERS {
        soon(begins.recv()).await.expect("all begin");
    }
    let watching = on_a_thread(async {
        let times = echo_times(others.clone()).await;
        (times, health_time(others).await)
    });
    let watched = spawn_blocking(|| watching.join()).await.expect("a thread");
    let (times, health) = watched.expect("echoes");
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{name:25} p50 {p50:?}, p99 {p99:?}, /healthz {health:?}");
    drop(stop);
    misbehaving.join().expect("the peers did what they do");
    (p99, health)
}

/// Expects that others are quick, whatever those peers do. The best of three counts, for other
/// programs can only make it slower.
async fn expect_quick(deed: Deed, way: Way) {
    let deed = Arc::new(deed);
    for _ in 0..3 {
        let (p99, health) = times_beside(Arc::clone(&deed), way.clone()).await;
        if p99 <= deed.quick && health <= 5 * deed.quick {
            return;
        }
    }
    panic!("{} make others slow", deed.name);
}

#[tokio::test]
#[ignore = "takes a minute, and needs an otherwise idle machine"]
async fn peers_that_make_work_do_not_slow_others_down() {
    for deed in deeds() {
        let running = serve_many(&["--threads=2", "--h2c"]).await;
        let (address, tls) = (running.address(), None);
        expect_quick(deed, Way { address, tls }).await;
    }
}

#[tokio::test]
#[ignore = "needs an otherwise idle machine"]
async fn peers_that_make_work_over_tls_do_not_slow_others_down() {
    let issued = Issued::new("fairness");
    for deed in deeds_over_tls() {
        let running = issued.run(&["--threads=2"]).await;
        let address = running.address();
        let tls = Some(issued.trusted());
        expect_quick(deed, Way { address, tls }).await;
    }
}
