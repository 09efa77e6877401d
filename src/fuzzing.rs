//! Internals for the fuzz targets in `fuzz/`. They are no public interface: they are built only
//! under `--cfg fuzzing`.

use std::future::pending;
use std::num::NonZero;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, Join, join, split};
use tokio::time::sleep;

use crate::config::ServerConfig;
use crate::handshake;
use crate::net::connection_info::{ConnectionInfo, Peer};
use crate::net::transport::{Hangup, Transport};
use crate::runtime::shutdown::Shutdown;
use crate::runtime::timers::Timers;
use crate::session::{self, Report, SessionContext};
use crate::ws::close::Teardown;
use crate::ws::deflate::PermessageDeflate;

/// Answers a request that asks for a session. The body of a refusal is its sentence.
#[must_use]
pub fn answer(request: &Request<()>, config: &ServerConfig) -> Option<Response<String>> {
    handshake::is_asked_for(request).then(|| {
        match handshake::answer(request, config).and_then(|handshake| handshake.distorted(config)) {
            Ok(handshake) => handshake.response(),
            Err(refusal) => {
                let mut response = Response::new(refusal.sentence.into_owned());
                *response.status_mut() = refusal.status;
                response.headers_mut().extend(refusal.headers);
                response
            }
        }
    })
}

/// Transport over the streams of fuzz targets.
impl<R, W> Transport for Join<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }

    fn drains_by_short_read(&self) -> bool {
        true
    }
}

/// Outcome of a session.
#[derive(Debug)]
pub struct Ending {
    /// The close code, as the log has it.
    pub code: u16,
    /// The reason, as the log has it.
    pub reason: String,
    /// Whether TCP is ended in good order, after everything was written.
    pub lingers: bool,
    /// Text and binary messages received.
    pub received: u64,
    /// Text and binary messages sent.
    pub sent: u64,
}

/// Runs a session. If `drain_after` is given, a drain begins after that time.
pub async fn session<S>(
    stream: &mut S,
    early: Vec<u8>,
    config: &ServerConfig,
    drain_after: Option<Duration>,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    run(stream, early, config, drain_after, None).await
}

/// Runs a session with compression, in which both sides have takeover or none. The server's window
/// has this many bits, if they are named.
pub async fn compressed_session<S>(
    stream: &mut S,
    takeover: bool,
    window: Option<u8>,
    config: &ServerConfig,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let agreed = PermessageDeflate {
        server_takeover: takeover,
        client_takeover: takeover,
        server_window: window.and_then(NonZero::new),
        client_window: None,
    };
    run(stream, Vec::new(), config, None, Some(agreed)).await
}

async fn run<S>(
    stream: &mut S,
    early: Vec<u8>,
    config: &ServerConfig,
    drain_after: Option<Duration>,
    deflate: Option<PermessageDeflate>,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shutdown = Shutdown::new();
    let drain = async {
        if let Some(time) = drain_after {
            sleep(time).await;
            shutdown.begin(config.drain, usize::MAX);
        }
        pending().await
    };
    let timers = Timers::default();
    let (reader, writer) = split(stream);
    let context = SessionContext {
        config: Arc::new(config.clone()),
        metrics: Arc::default(),
        timers: timers.clone(),
        drain: shutdown.subscribe(),
        info: ConnectionInfo::new(1, Peer::Local),
        deflate,
        connection: None,
    };
    let session = session::run(join(reader, writer), &early, context);
    let report = tokio::select! {
        // Without this the order would be random, and one input could give two outcomes.
        biased;
        (report, _) = session => report,
        report = drain => report,
        never = timers.run(shutdown.subscribe()) => match never {},
    };
    let Report { end, teardown, .. } = &report;
    Ending {
        code: end.code(),
        reason: end.to_string(),
        lingers: *teardown == Teardown::Linger,
        received: report.received.messages,
        sent: report.sent.messages,
    }
}
