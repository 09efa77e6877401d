//! The last bytes of a connection, and its end.

use std::io;
use std::time::Duration;

use rustix::net::{SendFlags, send};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Writes bytes after which the end of the stream follows at once: the kernel keeps them for its
/// packet.
///
/// # Errors
/// Those of `send`, and `WouldBlock`.
pub(crate) fn try_write_last(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    stream.try_io(Interest::WRITABLE, || Ok(send(stream, bytes, flags)?))
}

/// Limits how long a peer may take nothing before the kernel gives it up, even after the socket is
/// closed.
pub(crate) fn linger_at_most(stream: &TcpStream, limit: Duration) {
    // Fails only for a connection that is gone already.
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(limit));
}
