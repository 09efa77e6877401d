//! The orderly end of a connection: the peer gets our last bytes, even if it is still sending.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use crate::net::transport::Transport;
use crate::runtime::deadline::timeout_at;

/// Silence that ends the wait for a peer to read our last bytes and close.
const LINGER_SILENCE: Duration = Duration::from_secs(2);

/// Time that a peer has in all to stop sending, once it has been told.
const LINGER_TIME: Duration = Duration::from_secs(10);

/// Bytes of unread input that are discarded in that time. A browser or Node sends a message to its
/// end before it reads our Close: with 256 KiB here, Node's `ws` saw 1006 in 10 to 18 of 20 tries
/// of a 17 MiB message, though it had been sent 1009.
const LINGER_BYTES: usize = 256 << 20;

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Way in which a peer ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerEnd {
    /// It ended its side, with or without the end that TLS asks for.
    Closed,
    /// It reset the connection.
    Reset,
    /// It did neither in time.
    Late,
}

impl PeerEnd {
    /// The way that an error tells of, if it tells of any.
    pub(crate) fn by_error(error: &io::Error) -> Option<Self> {
        match error.kind() {
            // The error of rustls when TCP ends without a close_notify.
            ErrorKind::UnexpectedEof => Some(Self::Closed),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::WriteZero => Some(Self::Reset),
            ErrorKind::TimedOut => Some(Self::Late),
            _ => None,
        }
    }
}

/// Shuts the write side down, and discards what the peer still sends: dropping a socket with unread
/// input sends a reset, which can destroy our last bytes on their way. Returns the way in which the
/// peer ended the connection, if it can be told.
pub(crate) async fn linger<S: Transport>(mut stream: S) -> Option<PeerEnd> {
    let end = Instant::now() + LINGER_TIME;
    match timeout_at(end, stream.shutdown()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return PeerEnd::by_error(&error),
        Err(_) => return Some(PeerEnd::Late),
    }
    let mut discarded = 0;
    while discarded < LINGER_BYTES {
        let silence = Instant::now() + LINGER_SILENCE;
        match timeout_at(silence.min(end), discard(&mut stream)).await {
            Ok(Ok(0)) => return Some(PeerEnd::Closed),
            Ok(Ok(read)) => discarded += read,
            Ok(Err(error)) => return PeerEnd::by_error(&error),
            Err(_) => return Some(PeerEnd::Late),
        }
    }
    Some(PeerEnd::Late)
}

/// Reads the bytes that are there, and says how many: 0 at the end.
async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
    poll_fn(|cx| {
        // On the stack, because most peers send nothing more.
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece))?;
        Poll::Ready(Ok(piece.filled().len()))
    })
    .await
}
