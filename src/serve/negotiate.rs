//! Negotiation before HTTP on a connection: the PROXY protocol, TLS, and which version of HTTP
//! follows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::debug;

use super::proxy_protocol::{self, HeaderError};
use crate::config::Peers;
use crate::http::HttpContext;
use crate::http::forwarded;
use crate::http::head::{self, Reject};
use crate::http::preface;
use crate::net::connection_info::{ConnectionInfo, Http, Peer};
use crate::net::stream::Prefixed;
use crate::net::stream::Stream;
use crate::net::transport::{Transport, has_left};
use crate::runtime::deadline::timeout_at;
use crate::runtime::shutdown::Drain;
use crate::telemetry::rejects::Rejects;
use crate::tls::{self, Acceptor, Ending, FailedHandshake, MaybeTls};

/// Settings and state by which connections are negotiated.
#[derive(Debug)]
pub(crate) struct Negotiator {
    tls: Option<Arc<Acceptor>>,
    /// Whether HTTP/2 is spoken without TLS too.
    h2c: bool,
    /// Time until the first request's head has arrived.
    patience: Duration,
    /// Peers whose connections begin with a header of the PROXY protocol.
    balancers: Vec<Peers>,
    connections: AtomicU64,
    rejects: Arc<Rejects>,
}

/// A connection on its way to sessions, or to tunnels.
pub(crate) struct PendingConnection {
    pub(crate) info: ConnectionInfo,
    pub(crate) accepted_at: Instant,
    /// Moment by which the head of the first request must have arrived.
    pub(crate) deadline: Instant,
    /// Permit of a connection that has no session or tunnel yet, given back once it has.
    pub(crate) opening: OwnedSemaphorePermit,
    pub(crate) drain: Drain,
}

/// Outcome of a negotiation: what is to be done with the connection.
pub(crate) enum Negotiated {
    /// Answer its HTTP/1.1 requests.
    Http1(Prefixed<MaybeTls>),
    /// Answer its HTTP/2 requests.
    Http2(Prefixed<MaybeTls>),
    /// End it in good order, so that the TLS alert or the answer arrives.
    Refused(MaybeTls),
    /// Nothing: the connection is over.
    Over,
}

impl Negotiator {
    pub(crate) fn new(tls: Option<Arc<Acceptor>>, h2c: bool, patience: Duration) -> Self {
        Self {
            tls,
            h2c,
            patience,
            balancers: Vec::new(),
            connections: AtomicU64::new(0),
            rejects: Arc::new(Rejects::default()),
        }
    }

    /// The same, where connections of these peers begin with a header of the PROXY protocol.
    pub(crate) fn behind(self, balancers: &[Peers]) -> Self {
        Self {
            balancers: balancers.to_vec(),
            ..self
        }
    }

    /// Rejected connections.
    pub(crate) fn rejects(&self) -> &Rejects {
        &self.rejects
    }

    /// Deadlines and settings for the HTTP of a connection that was negotiated.
    pub(crate) fn http_context(&self, connection: &PendingConnection) -> HttpContext {
        HttpContext {
            info: connection.info,
            first_by: connection.deadline,
            patience: self.patience,
            send_timeout: None,
            preserves_case: false,
            rejects: Arc::clone(&self.rejects),
        }
    }

    /// Counts a connection that was just accepted.
    pub(crate) fn connection(
        &self,
        peer: Peer,
        opening: OwnedSemaphorePermit,
        drain: Drain,
    ) -> PendingConnection {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let accepted_at = Instant::now();
        PendingConnection {
            info: ConnectionInfo::new(number, peer),
            accepted_at,
            deadline: accepted_at + self.patience,
            opening,
            drain,
        }
    }

    /// Reads the header of the PROXY protocol, if the peer sends one, performs the TLS handshake, if
    /// TLS is on, and finds the version of HTTP. All must be done by one deadline. Log lines name
    /// the client and both versions from then on.
    pub(crate) async fn enter(
        &self,
        stream: Stream,
        connection: &mut PendingConnection,
    ) -> Negotiated {
        let stream = match self.identify(stream, connection).await {
            Ok(stream) => stream,
            Err(failed) => return failed,
        };
        let stream = match self.secure(stream, connection).await {
            Ok(stream) => stream,
            Err(failed) => return failed,
        };
        connection.info.tls = stream.version();
        match self.version(stream, connection).await {
            Some((true, stream)) => {
                connection.info = connection.info.over(Http::Two);
                Negotiated::Http2(stream)
            }
            Some((false, stream)) => {
                connection.info = connection.info.over(Http::One);
                Negotiated::Http1(stream)
            }
            None => Negotiated::Over,
        }
    }

    /// Reads the header of the PROXY protocol within the deadline, if the peer is one that sends it.
    /// From then on the client that it names is the peer.
    async fn identify(
        &self,
        mut stream: Stream,
        connection: &mut PendingConnection,
    ) -> Result<Stream, Negotiated> {
        let peer = connection.info.peer;
        if !forwarded::is_trusted(peer, &self.balancers) {
            return Ok(stream);
        }
        // Boxed, because other connections would have room for it too.
        let header = Box::pin(proxy_protocol::read_header(&mut stream));
        let error = match timeout_at(connection.deadline, header).await {
            Ok(Ok(client)) => {
                connection.info.peer = client.map_or(peer, Peer::at);
                debug!(parent: &connection.info.span(), balancer = %peer, "PROXY protocol");
                return Ok(stream);
            }
            Ok(Err(error)) => error,
            Err(_late) => HeaderError::Late,
        };
        Err(Box::pin(self.refuse_without_header(stream, connection, error)).await)
    }

    /// Counts and logs a connection that should have begun with a header, and answers it if it
    /// seems to be HTTP. One that only checks whether the port is open leaves no line in the log.
    async fn refuse_without_header(
        &self,
        mut stream: Stream,
        connection: &PendingConnection,
        error: HeaderError,
    ) -> Negotiated {
        if matches!(error, HeaderError::Empty) {
            return Negotiated::Over;
        }
        let reject = Reject::no_proxy_header(&error);
        let reason = &reject.refusal.sentence;
        self.rejects.note(connection.info, reject.cause, reason);
        if let HeaderError::Absent(read) = &error
            && read.first().is_some_and(u8::is_ascii_uppercase)
        {
            // What the peer does not take at once is not worth waiting for.
            let answer = reject.answer();
            let _ = timeout_at(connection.deadline, stream.write_all(&answer)).await;
        }
        Negotiated::Refused(MaybeTls::Plain(stream))
    }

    /// Performs the TLS handshake within the deadline.
    async fn secure(
        &self,
        stream: Stream,
        connection: &PendingConnection,
    ) -> Result<MaybeTls, Negotiated> {
        let Some(tls) = &self.tls else {
            return Ok(MaybeTls::Plain(stream));
        };
        // Boxed, because a connection without TLS would have room for it too.
        let handshake = Box::pin(self.handshake(tls, stream, connection));
        match timeout_at(connection.deadline, handshake).await {
            Ok(done) => done,
            Err(_late) => {
                debug!(parent: &connection.info.span(), "no TLS handshake in time");
                Err(Negotiated::Over)
            }
        }
    }

    /// Performs the TLS handshake. A client that does not speak TLS is told so in plain HTTP; one
    /// that only checks whether the port is open leaves no line in the log.
    async fn handshake(
        &self,
        tls: &Acceptor,
        stream: Stream,
        connection: &PendingConnection,
    ) -> Result<MaybeTls, Negotiated> {
        match stream.peek_byte().await {
            Ok(Some(byte)) if byte.is_ascii() && !tls::begins_with(byte) => {
                return Err(self.turn_away(stream, connection).await);
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(Negotiated::Over),
        }
        match tls.accept(stream).await {
            Ok(stream) => Ok(stream),
            Err(failed) => Err(self.give_up(failed, connection).await),
        }
    }

    /// Counts and logs a handshake that failed, and says what is to be done with its connection.
    async fn give_up(&self, failed: FailedHandshake, connection: &PendingConnection) -> Negotiated {
        let (info, error) = (connection.info, &failed.error);
        self.rejects.note(info, failed.cause, &failed.reason);
        debug!(parent: &info.span(), %error, "no TLS handshake");
        match failed.ending {
            Ending::Orderly(stream) => Negotiated::Refused(MaybeTls::Plain(stream)),
            Ending::Reset(stream) => {
                stream.reset();
                Negotiated::Over
            }
            Ending::Stalled(mut stream) => {
                has_left(|cx| stream.poll_hangup(cx)).await;
                Negotiated::Over
            }
        }
    }

    /// Reads a request without TLS, and answers that this port speaks TLS.
    async fn turn_away(&self, mut stream: Stream, connection: &PendingConnection) -> Negotiated {
        let mut read = Vec::new();
        while !head::is_clear(&read) {
            match stream.read_buf(&mut read).await {
                Ok(1..) => {}
                Ok(0) => break,
                Err(_lost) => return Negotiated::Over,
            }
        }
        let reject = Reject::no_tls(&read);
        let reason = &reject.refusal.sentence;
        self.rejects.note(connection.info, reject.cause, reason);
        match stream.write_all(&reject.answer()).await {
            Ok(()) => Negotiated::Refused(MaybeTls::Plain(stream)),
            Err(_lost) => Negotiated::Over,
        }
    }

    /// Finds out whether the peer speaks HTTP/2: from ALPN, or from its first bytes if h2c is on.
    async fn version(
        &self,
        stream: MaybeTls,
        connection: &PendingConnection,
    ) -> Option<(bool, Prefixed<MaybeTls>)> {
        if !self.h2c || connection.info.tls.is_some() {
            return Some((stream.is_http2(), Prefixed::new(Vec::new(), stream)));
        }
        timeout_at(connection.deadline, preface::peek(stream))
            .await
            .ok()?
            .ok()
    }
}
