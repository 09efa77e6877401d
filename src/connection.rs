//! One connection, from accept to close: HTTP, then perhaps a session, then an orderly end of TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{Span, info, info_span};

use crate::close::Parting;
use crate::config::{ServerConfig, Subprotocol};
use crate::http::{self, Outcome, Routes, Upgrade};
use crate::listen::{Peer, Stream};
use crate::session::{self, Report};
use crate::shutdown::Drain;

/// Silence that ends the wait for a peer to read our last bytes and close.
const LINGER_SILENCE: Duration = Duration::from_secs(2);

/// Time that a peer has in all to stop sending, once it has been told.
const LINGER_TIME: Duration = Duration::from_secs(10);

/// Bytes of unread input that are discarded in that time. A browser or Node sends a message to its
/// end before it reads our Close: with 256 KiB here, Node's `ws` saw 1006 in 10 to 18 of 20 tries
/// of a 17 MiB message, where it was sent 1009.
const LINGER_BYTES: usize = 256 << 20;

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
                let (early, _place) = begin(*upgrade, &span);
                let report = session::run(&mut stream, early, &self.config, drain, &span).await;
                log_end(&span, &report);
                match report.parting {
                    Parting::Linger => linger(stream).await,
                    Parting::Drop => {}
                    Parting::Reset => stream.reset(),
                }
            }
        }
    }
}

/// Logs that a session begins, and keeps what it needs for as long as it lasts.
fn begin(upgrade: Upgrade, span: &Span) -> (Vec<u8>, OwnedSemaphorePermit) {
    let Upgrade {
        path,
        handshake,
        early,
        place,
    } = upgrade;
    let subprotocol = handshake.subprotocol.as_ref().map(Subprotocol::as_str);
    match &handshake.passed_over {
        None => info!(parent: span, path, subprotocol, "open"),
        // A browser fails such a connection, and does not say why.
        Some(offered) => info!(parent: span, path, offered, "open, without a subprotocol"),
    }
    (early, place)
}

fn log_end(span: &Span, report: &Report) {
    let Report {
        end,
        clean,
        received,
        sent,
        lasted,
        ..
    } = report;
    info!(
        parent: span,
        why = end.word(),
        code = end.code(),
        clean,
        reason = end.to_string(),
        messages_in = received.messages,
        bytes_in = received.bytes,
        messages_out = sent.messages,
        bytes_out = sent.bytes,
        seconds = lasted.as_millis() as f64 / 1e3,
        "end",
    );
}

/// Shuts the write side down, and discards what the peer still sends: to drop a socket with unread
/// input sends a reset, which can destroy our last bytes on their way.
async fn linger(mut stream: Stream) {
    let farewell = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut discarded = 0;
        let mut buffer = vec![0; 16 << 10];
        while discarded < LINGER_BYTES {
            match timeout(LINGER_SILENCE, stream.read(&mut buffer)).await {
                Ok(Ok(read @ 1..)) => discarded += read,
                _ => break,
            }
        }
    };
    let _ = timeout(LINGER_TIME, farewell).await;
}
