//! What other systems than Linux are not asked, or are asked in tokio's way.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use tokio::net::{TcpListener, TcpStream};

use super::Usage;

/// What this process takes: this system is not asked.
pub(crate) fn usage() -> Option<Usage> {
    None
}

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

/// Writes what the end of the stream follows at once, as if it did not.
pub(crate) fn poll_write_last(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_write(bytes) {
            Err(blocked) if blocked.kind() == ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}
