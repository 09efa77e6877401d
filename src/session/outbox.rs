//! The outbox: frames on their way to the socket, in a buffer that is borrowed from the thread.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::frames::{self, Opcode};

/// A payload of this size or more is large: it is written straight from the memory that it was
/// received in. A smaller one is copied, so that many go out in one write.
pub(super) const LARGE: usize = 16 << 10;

/// Bytes that are gathered before a write, unless a flush comes first.
const FULL: usize = 64 << 10;

thread_local! {
    /// A buffer for whoever has something to send next.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Frames that are to be written, in their order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// How many of the bytes have been written.
    written: usize,
    /// A large payload, which goes behind the bytes.
    large: Bytes,
}

impl Outbox {
    /// Whether what is there must be written before anything is put in.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL || !self.large.is_empty()
    }

    /// Puts a frame in, with a copy of its payload.
    pub(super) fn put(&mut self, opcode: Opcode, payload: &[u8]) {
        let buffer = self.buffer();
        frames::put_header(opcode, payload.len(), buffer);
        buffer.extend_from_slice(payload);
    }

    /// Puts a frame in, with no copy of its payload.
    pub(super) fn put_large(&mut self, opcode: Opcode, payload: Bytes) {
        frames::put_header(opcode, payload.len(), self.buffer());
        self.large = payload;
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.take();
        }
        &mut self.bytes
    }

    /// Where answers to control frames are put in, if there are any.
    pub(super) fn replies(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes all that was put in.
    pub(super) fn poll_write<W>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        let mut io = Pin::new(io);
        loop {
            let waiting = &self.bytes[self.written..];
            let written = match (waiting, &*self.large) {
                ([], []) => break,
                (bytes, []) => io.as_mut().poll_write(cx, bytes),
                (bytes, large) => {
                    let both = [IoSlice::new(bytes), IoSlice::new(large)];
                    io.as_mut().poll_write_vectored(cx, &both)
                }
            };
            let written = match ready!(written)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => written,
            };
            let of_bytes = written.min(waiting.len());
            self.written += of_bytes;
            self.large.advance(written - of_bytes);
        }
        self.give_back();
        io.poll_flush(cx)
    }

    fn give_back(&mut self) {
        self.large = Bytes::new();
        self.written = 0;
        let mut bytes = mem::take(&mut self.bytes);
        if (1..=2 * FULL).contains(&bytes.capacity()) {
            bytes.clear();
            SPARE.set(bytes);
        }
    }
}
