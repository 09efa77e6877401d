//! Listening sockets, and the connections that they accept.

mod watched;

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tracing::{Span, info, info_span, warn};

use crate::net::address::{Address, BindError, Endpoint, UnixAddress};
use crate::net::wire::{Hangup, Transport};
use crate::platform::{self, LocalListener, LocalStream, TcpAcceptor};
use watched::Watched;

/// Silence after which TCP's keepalive asks for an answer, every quarter of it.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Who connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Local,
}

impl Peer {
    /// A peer at this address. An IPv4 address is shown as one even over an IPv6 socket (RFC 4291,
    /// section 2.5.5.2).
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self::Tcp(match address.ip().to_canonical() {
            mapped @ IpAddr::V4(_) => SocketAddr::new(mapped, address.port()),
            // Kept unchanged, because a link-local address has a scope.
            IpAddr::V6(_) => address,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Local => f.write_str("unix"),
        }
    }
}

/// Who is at the other end of a session, as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Connections of this server are counted from 1.
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    /// The version of HTTP, once it is known.
    pub(crate) http: Option<Http>,
    pub(crate) tls: Option<TlsVersion>,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    /// With the number of a stream, or 0 for the whole connection (RFC 9113, section 5.1.1).
    Two(u32),
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

impl TlsVersion {
    /// As it is written.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl Caller {
    pub(crate) fn new(number: u64, peer: Peer) -> Self {
        Self {
            number,
            peer,
            http: None,
            tls: None,
        }
    }

    /// The same, by this version of HTTP.
    pub(crate) fn over(self, http: Http) -> Self {
        Self {
            http: Some(http),
            ..self
        }
    }

    /// The span of its log lines. It is made for each anew: kept, it would take memory for as
    /// long as the connection lasts.
    pub(crate) fn span(&self) -> Span {
        let (transport, stream) = match self.http {
            None => (None, None),
            Some(Http::One) => (Some("h1"), None),
            Some(Http::Two(0)) => (Some("h2"), None),
            Some(Http::Two(stream)) => (Some("h2"), Some(stream)),
        };
        let tls = self.tls.map(TlsVersion::number);
        info_span!(
            "connection",
            conn = self.number,
            peer = %self.peer,
            transport,
            stream,
            tls
        )
    }
}

/// One listening socket, which survives errors of `accept`.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    pause: Option<Pause>,
    errors: Counter,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpAcceptor),
    Local(LocalListener),
}

/// The time until `accept` is tried again.
#[derive(Debug)]
struct Pause {
    timer: Pin<Box<Sleep>>,
    length: Duration,
}

impl Pause {
    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);

    /// The pause to take after `previous` did not help.
    fn after(previous: Option<&Self>) -> Self {
        let length = previous.map_or(Self::SHORTEST, |p| (p.length * 2).min(Self::LONGEST));
        Self {
            timer: Box::pin(sleep(length)),
            length,
        }
    }
}

impl Listener {
    /// Binds, which for a host name means the first of its addresses that can be bound.
    /// What fails later is counted in `errors`.
    pub(crate) async fn bind(address: &Address, errors: Counter) -> Result<Self, BindError> {
        let bound = Self::try_bind(address, errors).await;
        bound.map_err(|source| BindError {
            address: address.clone(),
            source,
        })
    }

    async fn try_bind(address: &Address, errors: Counter) -> io::Result<Self> {
        let (socket, endpoint) = match address {
            Address::Tcp { host, port } => {
                let listener = TcpListener::bind(format!("{host}:{port}")).await?;
                let bound = listener.local_addr()?;
                (
                    Socket::Tcp(TcpAcceptor::new(listener)?),
                    Endpoint::Tcp(bound),
                )
            }
            Address::Unix(UnixAddress { path, mode, group }) => {
                let group = match group {
                    Some(name) => Some(platform::group_id(name).await?),
                    None => None,
                };
                (
                    Socket::Local(LocalListener::bind(path, *mode, group)?),
                    Endpoint::Unix(path.clone()),
                )
            }
        };
        Ok(Self {
            socket,
            endpoint,
            pause: None,
            errors,
        })
    }

    /// Where this listens.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The next connection. Failure to accept, for want of file descriptors say, is logged once
    /// and tried again, after 5 ms at first and 1 s at most.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(Stream, Peer)> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.timer.as_mut().poll(cx));
            }
            match ready!(self.socket.poll_accept(cx)) {
                Ok(accepted) => {
                    if self.pause.take().is_some() {
                        info!(address = %self.endpoint, "accepting again");
                    }
                    return Poll::Ready(accepted);
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    self.errors.inc();
                    if self.pause.is_none() {
                        let address = &self.endpoint;
                        warn!(%address, %error, "cannot accept connections for now");
                    }
                    self.pause = Some(Pause::after(self.pause.as_ref()));
                }
            }
        }
    }
}

/// Errors of one connection that went away before it was accepted.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

impl Socket {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, peer)| (stream.into(), Peer::at(peer))),
            Self::Local(listener) => listener
                .poll_accept(cx)
                .map_ok(|stream| (stream.into(), Peer::Local)),
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream, Watched),
    Local(LocalStream, Watched),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream, Watched::default())
    }
}

impl From<LocalStream> for Stream {
    fn from(stream: LocalStream) -> Self {
        Self::Local(stream, Watched::default())
    }
}

impl Stream {
    /// Waits for the first byte, and leaves it to be read; `None` at the end of the stream.
    pub(crate) async fn peek_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let length = match self {
            Self::Tcp(stream, _) => stream.peek(&mut byte).await?,
            Self::Local(stream, _) => platform::peek_local(stream, &mut byte).await?,
        };
        Ok((length > 0).then_some(byte[0]))
    }

    /// Has the kernel ask a silent peer whether it is there, as it may be silent for long.
    pub(crate) fn keep_alive(&self) {
        if let Self::Tcp(stream, _) = self {
            let probes = TcpKeepalive::new()
                .with_time(KEEP_ALIVE)
                .with_interval(KEEP_ALIVE / 4);
            // Fails only for a connection that is gone already, which its reader will see.
            let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
        }
    }
}

impl Transport for Stream {
    fn reset(self) {
        self.reset_on_drop();
    }

    fn reset_on_drop(&self) {
        if let Self::Tcp(stream, _) = self {
            let _ = stream.set_zero_linger();
        }
    }

    fn linger_at_most(&self, limit: Duration) {
        if let Self::Tcp(stream, _) = self {
            platform::linger_at_most(stream, limit);
        }
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        match self {
            Self::Tcp(stream, watched) => watched.poll_hangup(stream, cx),
            Self::Local(stream, watched) => watched.poll_hangup(stream, cx),
        }
    }

    fn is_socket(&self) -> bool {
        true
    }

    fn poll_write_last(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream, _) = &*self else {
            return self.poll_write(cx, bytes);
        };
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match platform::try_write_last(stream, bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

/// Calls a method of whichever stream it is.
macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp(stream, _) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Local(stream, _) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream, watched) => watched.poll_read(stream, cx, buf),
            Self::Local(stream, watched) => watched.poll_read(stream, cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream, _) => stream.is_write_vectored(),
            Self::Local(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_of_ipv4_is_named_as_such_and_others_as_they_are() {
        for (address, named) in [
            ("192.0.2.1:5", "192.0.2.1:5"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1:5"),
            ("[::1]:5", "[::1]:5"),
            ("[::c000:201]:5", "[::c000:201]:5"),
            ("[fe80::1%3]:5", "[fe80::1%3]:5"),
        ] {
            assert_eq!(Peer::at(address.parse().unwrap()).to_string(), named);
        }
    }
}
