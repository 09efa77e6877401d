//! Listening sockets.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};
use tracing::{info, warn};

use super::address::{Address, BindError, Endpoint, UnixAddress};
use super::connection_info::Peer;
use super::stream::Stream;
use crate::platform::{self, LocalListener, PassedSocket, TcpAcceptor};
use crate::runtime::counter::Counter;

/// One listening socket, which survives errors of `accept`.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    is_passed: bool,
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
    /// Binds. For a host name this takes the first of its addresses that can be bound. Later
    /// failures are counted in `errors`.
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
                Socket::of_tcp(listener)?
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
            Address::Passed(descriptor) => match platform::passed_socket(*descriptor)? {
                PassedSocket::Tcp(listener) => Socket::of_tcp(listener)?,
                PassedSocket::Local(listener, path) => {
                    (Socket::Local(listener), Endpoint::Unix(path))
                }
            },
        };
        Ok(Self {
            socket,
            endpoint,
            is_passed: matches!(address, Address::Passed(_)),
            pause: None,
            errors,
        })
    }

    /// The endpoint that this listens on.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether another process keeps the socket open when this one stops.
    pub(crate) fn is_passed(&self) -> bool {
        self.is_passed
    }

    /// The next connection. A failure to accept, such as a lack of file descriptors, is logged
    /// once, and accepting is tried again: after 5 ms at first, and after 1 s at most.
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

/// Whether an error is that of one connection, which went away before it was accepted.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

impl Socket {
    fn of_tcp(listener: TcpListener) -> io::Result<(Self, Endpoint)> {
        let bound = listener.local_addr()?;
        let socket = Self::Tcp(TcpAcceptor::new(listener)?);
        Ok((socket, Endpoint::Tcp(bound)))
    }

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
