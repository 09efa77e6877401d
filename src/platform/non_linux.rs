//! Systems other than Linux: sockets are used in tokio's way.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// A listening TCP socket.
#[derive(Debug)]
pub(crate) struct TcpAcceptor(TcpListener);

impl TcpAcceptor {
    /// # Errors
    /// Never on this platform.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Self(listener))
    }

    /// The next connection, which sends without delay.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.0.poll_accept(cx).map_ok(|(stream, peer)| {
            // Fails only for a connection that is gone already, which its reader will see.
            let _ = stream.set_nodelay(true);
            (stream, peer)
        })
    }
}

/// Writes bytes after which the end of the stream follows at once, just like any other bytes.
///
/// # Errors
/// Those of a write, and `WouldBlock`.
pub(crate) fn try_write_last(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    stream.try_write(bytes)
}

/// Does nothing: this system has its own limit for a peer that takes nothing.
pub(crate) fn linger_at_most(_: &TcpStream, _: Duration) {}
