//! A connection of HTTP/2 that yields to others. h2 takes all frames that it can read, and they can
//! be many: a frame may have only nine bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::turn::{self, Turn};

/// Bytes that a client begins with, before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// Bytes of a frame's header (RFC 9113, section 4.1).
const HEADER: usize = 9;

/// Bytes of a frame's header that say how long its payload is.
const LENGTH: usize = 3;

/// Work that h2 has with a frame, beside that for a WebSocket frame within it.
const FRAME: usize = 3 << 10;

/// Stream of a client's frames, which reports nothing more to read once its turn is over.
#[derive(Debug)]
pub(super) struct Fair<S> {
    io: S,
    turn: Turn,
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

impl<S> Fair<S> {
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            turn: Turn::new(),
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

impl<S: AsyncRead + Unpin> AsyncRead for Fair<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, turn, frames } = self.get_mut();
        if turn.is_over() {
            *turn = Turn::new();
            turn::give_way(cx);
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(io).poll_read(cx, buf);
        if read.is_pending() {
            *turn = Turn::new();
            return Poll::Pending;
        }
        let bytes = &buf.filled()[before..];
        turn.call(bytes.len());
        for _ in 0..frames.pass(bytes) {
            turn.frame(FRAME);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fair<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
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
            let mut frames = Fair::new(()).frames;
            let begun: usize = bytes.chunks(piece).map(|bytes| frames.pass(bytes)).sum();
            assert_eq!(begun, 5, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_turn_ends_after_a_bounded_number_of_frames() {
        const FRAMES: usize = 10_000;
        let bytes = client(FRAMES);
        let mut fair = Fair::new(&bytes[..]);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut read, mut turns) = (0, 1);
        while read < bytes.len() {
            let mut space = [0; 90];
            let mut buf = ReadBuf::new(&mut space);
            match Pin::new(&mut fair).poll_read(&mut cx, &mut buf) {
                Poll::Ready(result) => result.unwrap(),
                Poll::Pending => turns += 1,
            }
            read += buf.filled().len();
        }
        assert!(turns >= FRAMES / 128, "{turns} turns");
    }
}
