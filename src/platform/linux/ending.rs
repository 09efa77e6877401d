//! The end of a connection, in one packet with the last that is said.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, send};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Writes what the end of the stream follows at once: the kernel keeps it for that packet.
pub(crate) fn poll_write_last(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        match stream.try_io(Interest::WRITABLE, || Ok(send(stream, bytes, flags)?)) {
            Err(blocked) if blocked.kind() == ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}
