//! The write buffer: frames that are to be written, in memory that is borrowed from the thread.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::runtime::budget::{self, Budget};
use crate::ws::frames::{self, Opcode};

/// Size from which a payload is large: it is written straight from the memory into which it was
/// read. A smaller payload is copied, so that many go out in one write.
pub(super) const LARGE: usize = 16 << 10;

/// Maximum bytes of a large payload in one write: other sessions have their turn in between.
pub(super) const LARGEST_WRITE: usize = 1 << 20;

/// Bytes that are collected before a write, unless a flush comes first.
const FULL: usize = 64 << 10;

thread_local! {
    /// Batch for the next session of this thread that has something to send.
    static SPARE: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
}

/// Frames that are to be written, in order. Without any it takes hardly any memory.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer(Option<Box<Batch>>);

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Number of the bytes that have been written.
    written: usize,
    /// A large payload, or a large frame, which is written after the bytes.
    large: Bytes,
    /// Whether the last write stopped because its turn was over.
    gave_way: bool,
}

impl WriteBuffer {
    /// Whether the frames must be written before any more are put in.
    pub(super) fn is_full(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|batch| batch.bytes.len() >= FULL || !batch.large.is_empty())
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|batch| batch.bytes.is_empty() && batch.large.is_empty())
    }

    /// Whether the last write stopped only because its turn was over.
    pub(super) fn gave_way(&self) -> bool {
        self.0.as_ref().is_some_and(|batch| batch.gave_way)
    }

    /// Puts in a frame with a copy of this payload.
    // Inlined, for it is called for every message: see benches/README.md.
    #[inline]
    pub(super) fn put(&mut self, opcode: Opcode, payload: &[u8]) {
        let buffer = self.replies();
        frames::put_header(opcode, payload.len(), buffer);
        buffer.extend_from_slice(payload);
    }

    /// Puts in a frame with this payload, which is not copied.
    pub(super) fn put_large(&mut self, opcode: Opcode, payload: Bytes) {
        let batch = self.batch();
        frames::put_header(opcode, payload.len(), &mut batch.bytes);
        batch.large = payload;
    }

    /// Puts in a copy of a frame, or of the rest of one.
    pub(super) fn put_frame(&mut self, frame: &[u8]) {
        self.replies().extend_from_slice(frame);
    }

    /// Puts in a frame, or the rest of one, without a copy.
    pub(super) fn put_large_frame(&mut self, frame: Bytes) {
        self.batch().large = frame;
    }

    /// Bytes to which answers to control frames are appended.
    pub(super) fn replies(&mut self) -> &mut Vec<u8> {
        &mut self.batch().bytes
    }

    fn batch(&mut self) -> &mut Batch {
        self.0
            .get_or_insert_with(|| SPARE.take().unwrap_or_default())
    }

    /// Writes everything that was put in, or as much as fits into a turn.
    pub(super) fn poll_write<W>(&mut self, io: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        let mut io = Pin::new(io);
        if let Some(batch) = &mut self.0 {
            ready!(batch.poll_write(io.as_mut(), cx))?;
        }
        if let Some(batch) = self.0.take() {
            batch.give_back();
        }
        io.poll_flush(cx)
    }
}

impl Batch {
    fn poll_write<W>(&mut self, mut io: Pin<&mut W>, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: AsyncWrite,
    {
        let mut budget = Budget::new();
        self.gave_way = false;
        loop {
            let waiting = &self.bytes[self.written..];
            let large = &self.large[..self.large.len().min(LARGEST_WRITE)];
            let written = match (waiting, large) {
                ([], []) => return Poll::Ready(Ok(())),
                _ if budget.is_spent() => {
                    self.gave_way = true;
                    budget::give_way(cx);
                    return Poll::Pending;
                }
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
            budget.call(written);
            self.written += of_bytes;
            self.large.advance(written - of_bytes);
        }
    }

    /// Becomes the thread's spare batch, unless it has grown too large for that.
    fn give_back(mut self: Box<Self>) {
        if self.bytes.capacity() <= 2 * FULL {
            self.bytes.clear();
            self.written = 0;
            self.large = Bytes::new();
            SPARE.set(Some(self));
        }
    }
}
