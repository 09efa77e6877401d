//! Sessions over an in-memory stream, with a clock that moves on when every task waits.

mod budget;
mod close;
mod deflate;
mod echo;
mod faulty;
mod pause;
mod properties;
mod pushes;
mod timing;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use echobeat_frames::{
    BINARY, BINARY_BEGUN, CLOSE, CONTINUED, CONTINUED_LAST, PING, PONG, TEXT, TEXT_BEGUN,
    close_frame, frame, header,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::{Report, SessionContext, run};
use crate::config::ServerConfig;
use crate::net::connection_info::{ConnectionInfo, Peer};
use crate::net::transport::{Hangup, Transport};
use crate::runtime::shutdown::{Drain, Shutdown};
use crate::runtime::timers::Timers;
use crate::ws::deflate::PermessageDeflate;

/// Bytes that the stream holds in each direction, unless a test says otherwise.
const PIPE: usize = 1 << 20;

/// Surroundings of a session with these settings, and a task that fires its timers.
fn context(config: ServerConfig, drain: Drain) -> SessionContext {
    let timers = Timers::default();
    tokio::spawn({
        let (timers, drain) = (timers.clone(), drain.clone());
        async move { timers.run(drain).await }
    });
    SessionContext {
        config: Arc::new(config),
        metrics: Arc::default(),
        timers,
        drain,
        info: ConnectionInfo::new(1, Peer::Local),
        deflate: None,
        connection: None,
    }
}

/// Longest time that a test waits, by its own clock.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A client that writes and reads bytes, and its session.
struct Client {
    stream: DuplexStream,
    session: JoinHandle<Report>,
    shutdown: Shutdown,
}

/// A session without heart beats and Pings.
fn quiet() -> ServerConfig {
    ServerConfig {
        heartbeat: None,
        ping_interval: None,
        ..ServerConfig::default()
    }
}

impl Client {
    fn start(config: ServerConfig) -> Self {
        Self::start_over(config, PIPE)
    }

    fn start_over(config: ServerConfig, pipe: usize) -> Self {
        Self::start_by(config, pipe, None)
    }

    fn start_by(config: ServerConfig, pipe: usize, deflate: Option<PermessageDeflate>) -> Self {
        let (stream, far_end) = duplex(pipe);
        let shutdown = Shutdown::new();
        let context = SessionContext {
            deflate,
            ..context(config, shutdown.subscribe())
        };
        let session = run(far_end, b"", context);
        let session = tokio::spawn(async { session.await.0 });
        Self {
            stream,
            session,
            shutdown,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        let sent = timeout(PATIENCE, self.stream.write_all(bytes));
        sent.await
            .expect("the session reads")
            .expect("the session runs");
    }

    /// Reads the next frame: its first byte, and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        timeout(PATIENCE, read_frame(&mut self.stream))
            .await
            .expect("a frame comes")
    }

    async fn expect(&mut self, first: u8, payload: &[u8]) {
        let (got_first, got) = self.frame().await;
        assert_eq!(
            got_first,
            first,
            "payload {:?}",
            String::from_utf8_lossy(&got)
        );
        assert!(
            got == payload,
            "{} bytes differ from {}",
            got.len(),
            payload.len()
        );
    }

    /// Expects Close with `code`, and nothing after it. Returns the session's report.
    async fn expect_close(mut self, code: u16) -> Report {
        let (first, payload) = self.frame().await;
        assert_eq!(first, CLOSE);
        assert_eq!(
            payload.get(..2),
            Some(&code.to_be_bytes()[..]),
            "code {code}"
        );
        self.expect_end().await
    }

    /// Expects that the session writes nothing more, and ends. Returns its report.
    async fn expect_end(mut self) -> Report {
        let report = timeout(PATIENCE, self.session)
            .await
            .expect("the session ends");
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        read.expect("the stream ends")
            .expect("the stream can be read");
        assert!(rest.is_empty(), "after the end: {rest:?}");
        report.expect("the session does not panic")
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.expect("a frame");
    let length = match stream.read_u8().await.unwrap() {
        126 => stream.read_u16().await.unwrap().into(),
        127 => stream.read_u64().await.unwrap(),
        short => short.into(),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream
        .read_exact(&mut payload)
        .await
        .expect("a whole frame");
    (first, payload)
}

impl Transport for DuplexStream {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }

    fn drains_by_short_read(&self) -> bool {
        true
    }
}

impl Transport for &mut DuplexStream {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }

    fn drains_by_short_read(&self) -> bool {
        true
    }
}

/// Bytes that an idle session may take in its future. With what tokio has for a task and a socket
/// that makes less than 1 KiB a connection.
const SESSION_SIZE: usize = 344;

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_small() {
    let (_client, mut far_end) = duplex(PIPE);
    let drain = Shutdown::new().subscribe();
    let session = run(&mut far_end, b"", context(quiet(), drain));
    let size = size_of_val(&session);
    assert!(size <= SESSION_SIZE, "{size} bytes");
}

/// Lets the session read everything that was sent so far.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}
