//! One connection, from accept to close: HTTP, then perhaps a session, then an orderly end of TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{Span, info, info_span};

use crate::close::Parting;
use crate::config::ServerConfig;
use crate::http::{self, Outcome, Routes, Upgrade};
use crate::listen::{Peer, Stream};
use crate::session::{self, Report};
use crate::shutdown::Drain;

/// Time for a peer to read our last bytes and close.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of unread input that a lingering connection discards.
const LINGER_BYTES: u64 = 256 << 10;

/// Serves WebSocket connections: what every connection of one server shares.
#[derive(Debug)]
pub(crate) struct EchoService {
    config: Arc<ServerConfig>,
    /// One permit for each session that may still begin.
    places: Arc<Semaphore>,
    connections: AtomicU64,
}

impl EchoService {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let places = config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            config: Arc::new(config),
            places: Arc::new(Semaphore::new(places)),
            connections: AtomicU64::new(0),
        }
    }

    /// Sessions that run.
    pub(crate) fn sessions(&self) -> usize {
        let places = self.config.max_connections.min(Semaphore::MAX_PERMITS);
        places - self.places.available_permits()
    }

    /// Serves one connection to its end. `opening` is given back once it is a session.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: Stream,
        peer: Peer,
        opening: OwnedSemaphorePermit,
        drain: Drain,
    ) {
        let conn = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let span = info_span!("connection", conn, %peer);
        let routes = Routes::new(
            Arc::clone(&self.config),
            Arc::clone(&self.places),
            drain.clone(),
            span.clone(),
        );
        // Boxed, for what HTTP takes must not stay with the session.
        let (mut stream, outcome) = Box::pin(http::serve(stream, routes, drain.clone())).await;
        match outcome {
            Outcome::TimedOut => {}
            Outcome::Done => linger(stream).await,
            Outcome::Session(upgrade) => {
                drop(opening);
                let parting = self.run_session(&mut stream, *upgrade, drain, span).await;
                match parting {
                    Parting::Linger => linger(stream).await,
                    Parting::Drop => {}
                    Parting::Reset => stream.reset(),
                }
            }
        }
    }

    async fn run_session(
        &self,
        stream: &mut Stream,
        upgrade: Upgrade,
        drain: Drain,
        span: Span,
    ) -> Parting {
        let Upgrade {
            path,
            handshake,
            early,
            place,
        } = upgrade;
        let subprotocol = handshake.subprotocol.as_ref().map(|name| name.as_str());
        span.in_scope(|| info!(path, subprotocol, "open"));
        drop((path, handshake));
        let report = session::run(stream, early, &self.config, drain).await;
        drop(place);
        span.in_scope(|| log_end(&report));
        report.parting
    }
}

fn log_end(report: &Report) {
    let Report {
        end,
        received,
        sent,
        lasted,
        ..
    } = report;
    info!(
        why = end.word(),
        code = end.code(),
        reason = %end,
        messages_in = received.messages,
        bytes_in = received.bytes,
        messages_out = sent.messages,
        bytes_out = sent.bytes,
        seconds = lasted.as_secs_f64(),
        "end",
    );
}

/// Shuts the write side down, and discards what the peer still sends: to drop a socket with unread
/// input sends a reset, which can destroy our last bytes on their way.
async fn linger(mut stream: Stream) {
    let farewell = async {
        if stream.shutdown().await.is_ok() {
            let mut rest = stream.take(LINGER_BYTES);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    };
    let _ = timeout(LINGER, farewell).await;
}
