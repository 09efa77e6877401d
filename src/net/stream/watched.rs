//! Sockets that are watched for their end while they are not read, and read again later.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::net::transport::Hangup;
use crate::platform::Watch;

/// Whether a socket was watched for its end, and may have more to read than its readiness says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Watched(bool);

impl Watched {
    /// Waits for the end of a socket that is not read.
    pub(super) fn poll_hangup(
        &mut self,
        socket: &impl Watch,
        cx: &mut Context<'_>,
    ) -> Poll<Hangup> {
        loop {
            match socket.state() {
                Some(state) if state.is_write_closed() || state.is_error() => {
                    return Poll::Ready(Hangup::Reset);
                }
                Some(state) if state.is_read_closed() => return Poll::Ready(Hangup::HalfClosed),
                _ => {}
            }
            self.0 = true;
            if ready!(socket.poll_change(cx)).is_err() {
                return Poll::Ready(Hangup::Reset);
            }
        }
    }

    /// Reads from a socket that may have been watched.
    pub(super) fn poll_read<S>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: Watch + AsyncRead + Unpin,
    {
        if self.0
            && let Some(read) = self.read_now(socket, buf)
        {
            return Poll::Ready(read);
        }
        Pin::new(socket).poll_read(cx, buf)
    }

    /// Reads what has come while the socket was watched, until there is no more.
    #[cold]
    fn read_now(&mut self, socket: &impl Watch, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        match socket.read_now(buf.initialize_unfilled()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.0 = false;
                None
            }
            read => Some(read.map(|read| buf.advance(read))),
        }
    }
}
