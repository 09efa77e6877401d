//! Streams: sockets, and the wrappers around them that more than one room uses.

mod delegate;
mod prefixed;
mod watched;

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::transport::{Hangup, Transport};
use crate::platform::{self, LocalStream};
pub(crate) use delegate::{delegate_read, delegate_write};
pub(crate) use prefixed::Prefixed;
use watched::Watched;

/// Silence after which TCP's keepalive asks for an answer, and then asks after every quarter of it.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

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

    /// Makes the kernel ask a silent peer whether it is there: a peer may be silent for long.
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

    fn drains_by_short_read(&self) -> bool {
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
    delegate_write! {
        Self::Tcp(stream, _) => stream,
        Self::Local(stream, _) => stream,
    }
}
