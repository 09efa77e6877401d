//! The last that is said on a connection.

use std::io;

use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Writes what the end of the stream follows at once: the kernel keeps it for that packet.
///
/// # Errors
/// Those of `send`, and `WouldBlock`.
pub(crate) fn try_write_last(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
    stream.try_io(Interest::WRITABLE, || Ok(send(stream, bytes, flags)?))
}
