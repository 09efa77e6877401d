//! What comes before HTTP on a connection: TLS, and the question which version of HTTP follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::debug;

use crate::http::Terms;
use crate::http::head::{self, Reject};
use crate::http::preface::{self, Rewound};
use crate::net::listen::{Caller, Http, Peer, Stream};
use crate::runtime::deadline::timeout_at;
use crate::runtime::shutdown::Drain;
use crate::telemetry::rejects::Rejects;
use crate::tls::{self, Acceptor, MaybeTls};

/// How those who connect are let in.
#[derive(Debug)]
pub(crate) struct Entry {
    tls: Option<Arc<Acceptor>>,
    /// Whether HTTP/2 is spoken without TLS too.
    h2c: bool,
    /// Time until the first request's head has arrived.
    patience: Duration,
    connections: AtomicU64,
    rejects: Arc<Rejects>,
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
            rejects: Arc::new(Rejects::new()),
        }
    }

    /// Connections that were turned away.
    pub(crate) fn rejects(&self) -> &Rejects {
        &self.rejects
    }

    /// Deadlines and settings of a connection that has entered.
    pub(crate) fn terms(&self, visit: &Visit) -> Terms {
        Terms {
            caller: visit.caller,
            first_by: visit.deadline,
            patience: self.patience,
            preserves_case: false,
            rejects: Arc::clone(&self.rejects),
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

    /// Performs the TLS handshake within the deadline.
    async fn secure(&self, stream: Stream, visit: &Visit) -> Result<MaybeTls, Entered> {
        let Some(tls) = &self.tls else {
            return Ok(MaybeTls::Plain(stream));
        };
        match timeout_at(visit.deadline, self.handshake(tls, stream, visit)).await {
            Ok(done) => done,
            Err(_late) => {
                debug!(parent: &visit.caller.span(), "no TLS handshake in time");
                Err(Entered::Over)
            }
        }
    }

    /// Performs the TLS handshake. A client that does not speak TLS is told so in plain HTTP; one
    /// that only checks whether the port is open leaves no line in the log.
    async fn handshake(
        &self,
        tls: &Acceptor,
        stream: Stream,
        visit: &Visit,
    ) -> Result<MaybeTls, Entered> {
        match stream.peek_byte().await {
            Ok(Some(byte)) if byte.is_ascii() && !tls::begins_with(byte) => {
                return Err(self.turn_away(stream, visit).await);
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(Entered::Over),
        }
        tls.accept(stream).await.map_err(|(error, stream)| {
            let (cause, reason) = tls::complaint(&error);
            self.rejects.note(visit.caller, cause, &reason);
            debug!(parent: &visit.caller.span(), %error, "no TLS handshake");
            Entered::Refused(MaybeTls::Plain(stream))
        })
    }

    /// Reads a request without TLS, and answers that this port speaks TLS.
    async fn turn_away(&self, mut stream: Stream, visit: &Visit) -> Entered {
        let mut read = Vec::new();
        while !head::is_clear(&read) {
            match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                Ok(0) => break,
                Err(_lost) => return Entered::Over,
            }
        }
        let reject = Reject::no_tls(&read);
        let reason = &reject.refusal.sentence;
        self.rejects.note(visit.caller, reject.cause, reason);
        match stream.write_all(&reject.answer()).await {
            Ok(()) => Entered::Refused(MaybeTls::Plain(stream)),
            Err(_lost) => Entered::Over,
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
