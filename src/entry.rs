//! What comes before HTTP on a connection: TLS, and the question which version of HTTP follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::debug;

use crate::deadline::timeout_at;
use crate::http::preface::{self, Rewound};
use crate::listen::{Caller, Http, Peer, Stream};
use crate::shutdown::Drain;
use crate::tls::{Acceptor, MaybeTls};

/// How those who connect are let in.
#[derive(Debug)]
pub(crate) struct Entry {
    tls: Option<Arc<Acceptor>>,
    /// Whether HTTP/2 is spoken without TLS too.
    h2c: bool,
    /// Time until the first request's head has arrived.
    patience: Duration,
    connections: AtomicU64,
}

/// A connection on its way to sessions, or to tunnels.
pub(crate) struct Visit {
    pub(crate) caller: Caller,
    pub(crate) accepted_at: Instant,
    /// When the first request must have arrived.
    pub(crate) deadline: Instant,
    /// Its place among those that are on this way.
    pub(crate) opening: OwnedSemaphorePermit,
    pub(crate) drain: Drain,
}

/// What is to be done with a connection.
pub(crate) enum Entered {
    /// To answer its requests of HTTP/1.1.
    Http1(Rewound<MaybeTls>),
    /// To answer those of HTTP/2.
    Http2(Rewound<MaybeTls>),
    /// To end it in good order, for the alert of TLS to arrive.
    Refused(MaybeTls),
    /// Nothing.
    Over,
}

impl Entry {
    pub(crate) fn new(tls: Option<Arc<Acceptor>>, h2c: bool, patience: Duration) -> Self {
        Self {
            tls,
            h2c,
            patience,
            connections: AtomicU64::new(0),
        }
    }

    /// Counts a connection that was just accepted.
    pub(crate) fn visit(&self, peer: Peer, opening: OwnedSemaphorePermit, drain: Drain) -> Visit {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let accepted_at = Instant::now();
        Visit {
            caller: Caller::new(number, peer),
            accepted_at,
            deadline: accepted_at + self.patience,
            opening,
            drain,
        }
    }

    /// Speaks TLS, if this is the way in, and finds the version of HTTP: both must be done by one
    /// deadline. The log knows them from then on.
    pub(crate) async fn enter(&self, stream: Stream, visit: &mut Visit) -> Entered {
        let stream = match self.secure(stream, visit).await {
            Ok(stream) => stream,
            Err(failed) => return failed,
        };
        visit.caller.tls = stream.version();
        match self.version(stream, visit).await {
            Some((true, stream)) => {
                visit.caller = visit.caller.over(Http::Two(0));
                Entered::Http2(stream)
            }
            Some((false, stream)) => {
                visit.caller = visit.caller.over(Http::One);
                Entered::Http1(stream)
            }
            None => Entered::Over,
        }
    }

    /// The TLS handshake. That it fails is the peer's affair, and quiet: anybody may try a port.
    async fn secure(&self, stream: Stream, visit: &Visit) -> Result<MaybeTls, Entered> {
        let Some(tls) = &self.tls else {
            return Ok(MaybeTls::Plain(stream));
        };
        match timeout_at(visit.deadline, tls.accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((error, stream))) => {
                debug!(parent: &visit.caller.span(), %error, "no TLS handshake");
                Err(Entered::Refused(MaybeTls::Plain(stream)))
            }
            Err(_late) => {
                debug!(parent: &visit.caller.span(), "no TLS handshake in time");
                Err(Entered::Over)
            }
        }
    }

    /// Whether the peer speaks HTTP/2: TLS has agreed on it, or it begins so where it may.
    async fn version(&self, stream: MaybeTls, visit: &Visit) -> Option<(bool, Rewound<MaybeTls>)> {
        if !self.h2c || visit.caller.tls.is_some() {
            return Some((stream.is_http2(), Rewound::fresh(stream)));
        }
        timeout_at(visit.deadline, preface::peek(stream))
            .await
            .ok()?
            .ok()
    }
}
