//! A connection of HTTP/2 that yields to others. h2 takes all frames that it can read, and they can
//! be many: a frame may have only nine bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::stream::delegate_write;
use crate::runtime::budget::{self, Budget};

/// Length of the preface, which a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// Length of a frame's header (RFC 9113, section 4.1).
const HEADER: usize = 9;

/// Bytes of a frame's header that say how long its payload is.
const LENGTH: usize = 3;

/// Work of h2 for a frame, beside that for a WebSocket frame within it.
const FRAME: usize = 3 << 10;

/// Stream of a client's frames. Once its budget is spent, it reports nothing more to read.
#[derive(Debug)]
pub(super) struct Cooperative<S> {
    io: S,
    budget: Budget,
    frames: Frames,
}

/// Position within the frames of a stream.
#[derive(Debug)]
struct Frames {
    /// Bytes of the current payload that are still to come.
    left: usize,
    /// Bytes of the next header that have come.
    header: usize,
    /// Length of the payload, from the bytes of the header.
    length: usize,
}

impl<S> Cooperative<S> {
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            budget: Budget::new(),
            frames: Frames {
                left: PREFACE,
                header: 0,
                length: 0,
            },
        }
    }
}

impl Frames {
    /// Advances over `bytes`, and returns how many frames begin in them.
    fn pass(&mut self, mut bytes: &[u8]) -> usize {
        let mut begun = 0;
        loop {
            let passed = self.left.min(bytes.len());
            self.left -= passed;
            bytes = &bytes[passed..];
            let Some((byte, rest)) = bytes.split_first() else {
                return begun;
            };
            bytes = rest;
            if self.header < LENGTH {
                self.length = self.length << 8 | usize::from(*byte);
            }
            self.header += 1;
            if self.header == HEADER {
                begun += 1;
                (self.left, self.header, self.length) = (self.length, 0, 0);
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cooperative<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, budget, frames } = self.get_mut();
        if budget.is_spent() {
            *budget = Budget::new();
            budget::give_way(cx);
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(io).poll_read(cx, buf);
        if read.is_pending() {
            *budget = Budget::new();
            return Poll::Pending;
        }
        let bytes = &buf.filled()[before..];
        budget.call(bytes.len());
        for _ in 0..frames.pass(bytes) {
            budget.frame(FRAME);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cooperative<S> {
    delegate_write!(Self { io, .. } => io);
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Bytes that a client sends: its preface, and empty frames of DATA.
    fn client(frames: usize) -> Vec<u8> {
        let frame = [0, 0, 0, 0, 0, 0, 0, 0, 1];
        [vec![b'p'; PREFACE], frame.repeat(frames)].concat()
    }

    #[test]
    fn frames_are_counted_wherever_reads_cut_them() {
        let long = [vec![0, 1, 2], vec![0; HEADER - LENGTH + 0x102]].concat();
        let bytes = [client(2), long, vec![0; 2 * HEADER]].concat();
        for piece in 1..=bytes.len() {
            let mut frames = Cooperative::new(()).frames;
            let begun: usize = bytes.chunks(piece).map(|bytes| frames.pass(bytes)).sum();
            assert_eq!(begun, 5, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_turn_ends_after_a_bounded_number_of_frames() {
        const FRAMES: usize = 10_000;
        let bytes = client(FRAMES);
        let mut stream = Cooperative::new(&bytes[..]);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut read, mut turns) = (0, 1);
        while read < bytes.len() {
            let mut space = [0; 90];
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut stream).poll_read(&mut cx, &mut buf) {
                Poll::Ready(result) => result.unwrap(),
                Poll::Pending => turns += 1,
            }
            read += buf.filled().len();
        }
        assert!(turns >= FRAMES / 128, "{turns} turns");
    }
}
