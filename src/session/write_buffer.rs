//! The outbox: frames on their way to the socket, in a buffer that is borrowed from the thread.

use std::cell::Cell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::runtime::budget::{self, Budget};
use crate::ws::frames::{self, Opcode};

/// A payload of this size or more is large: it is written straight from the memory that it was
/// received in. A smaller one is copied, so that many go out in one write.
pub(super) const LARGE: usize = 16 << 10;

/// The most that is written at once of a large payload: others have their turn in between.
pub(super) const LARGEST_WRITE: usize = 1 << 20;

/// Bytes that are gathered before a write, unless a flush comes first.
const FULL: usize = 64 << 10;

thread_local! {
    /// A batch for whoever has something to send next.
    static SPARE: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
}

/// Frames that are to be written, in their order. While there are none, it takes next to no memory.
#[derive(Debug, Default)]
pub(super) struct WriteBuffer(Option<Box<Batch>>);

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    /// How many of the bytes have been written.
    written: usize,
    /// A large payload, or a large frame, which goes behind the bytes.
    large: Bytes,
    /// Whether the last write stopped for others to have their turn.
    gave_way: bool,
}

impl WriteBuffer {
    /// Whether what is there must be written before anything is put in.
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

    /// Whether the last write stopped only for others to have their turn.
    pub(super) fn gave_way(&self) -> bool {
        self.0.as_ref().is_some_and(|batch| batch.gave_way)
    }

    /// Puts a frame in, with a copy of its payload.
    pub(super) fn put(&mut self, opcode: Opcode, payload: &[u8]) {
        let buffer = self.replies();
        frames::put_header(opcode, payload.len(), buffer);
        buffer.extend_from_slice(payload);
    }

    /// Puts a frame in, with no copy of its payload.
    pub(super) fn put_large(&mut self, opcode: Opcode, payload: Bytes) {
        let batch = self.batch();
        frames::put_header(opcode, payload.len(), &mut batch.bytes);
        batch.large = payload;
    }

    /// Puts in a copy of a frame, or of its rest.
    pub(super) fn put_frame(&mut self, frame: &[u8]) {
        self.replies().extend_from_slice(frame);
    }

    /// Puts a frame in, or its rest, with no copy.
    pub(super) fn put_large_frame(&mut self, frame: Bytes) {
        self.batch().large = frame;
    }

    /// Where answers to control frames are put in, if there are any.
    pub(super) fn replies(&mut self) -> &mut Vec<u8> {
        &mut self.batch().bytes
    }

    fn batch(&mut self) -> &mut Batch {
        self.0
            .get_or_insert_with(|| SPARE.take().unwrap_or_default())
    }

    /// Writes all that was put in, or as much as a turn has room for.
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

    /// Becomes the thread's spare one, unless it has grown too much for that.
    fn give_back(mut self: Box<Self>) {
        if self.bytes.capacity() <= 2 * FULL {
            self.bytes.clear();
            self.written = 0;
            self.large = Bytes::new();
            SPARE.set(Some(self));
        }
    }
}
