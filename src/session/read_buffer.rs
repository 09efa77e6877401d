//! The input: bytes that were read and are not taken yet.

use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::session::tracked_io::TrackedIo;

/// Bytes that are read at once. They are in the cache still when they are unmasked.
pub(super) const READ_AHEAD: usize = 256 << 10;

/// Bytes that are read past a long frame, if they are there. A read that gets fewer than it asked
/// for has got all, and need not be tried again.
const MARGIN: usize = 16;

/// The largest buffer that a thread keeps.
const KEPT: usize = 2 << 20;

/// Bytes that are set aside for a frame before they come. For a longer one it is up to twice what
/// came.
const TRUSTED: usize = KEPT;

/// Bytes that are moved to and fro between a buffer of their own, for as long as no more come, and
/// that of the thread, when more are read.
const MOVED: usize = 16 << 10;

/// The shortest part of a frame that is left in the thread's buffer, which then is the session's.
const WORTH_A_BUFFER: usize = READ_AHEAD / 4;

thread_local! {
    /// What the sessions of a thread read to, one after another.
    static SHARED: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
}

/// Bytes that were read and are not taken yet: those of part of a frame, as a rule. While there are
/// none, there is no buffer, but that of the thread is used to read. So an idle connection has none,
/// and a message finds one whose pages are there already.
#[derive(Debug)]
pub(super) struct ReadBuffer(Option<Box<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    bytes: BytesMut,
    /// What it takes in memory, at least.
    size: usize,
    /// Whether the last read got as much as it asked for.
    is_behind: bool,
}

impl ReadBuffer {
    /// Begins with the bytes that have been read already.
    pub(super) fn new(early: &[u8]) -> Self {
        Self::of(early, early.len())
    }

    /// Has these bytes in a buffer of this size, or in none, if that would do.
    fn of(bytes: &[u8], size: usize) -> Self {
        Self((size > 0).then(|| Box::new(Buffer::of(bytes, size))))
    }

    /// Whether the last read left more to read, as far as can be told.
    pub(super) fn is_behind(&self) -> bool {
        self.0.as_ref().is_some_and(|buffer| buffer.is_behind)
    }

    /// Takes bytes from the front, and the buffer along.
    pub(super) fn split_to(&mut self, count: usize) -> BytesMut {
        match &mut self.0 {
            Some(buffer) => buffer.bytes.split_to(count),
            None => BytesMut::new(),
        }
    }

    /// Reads more, and says how much; 0 at the end. `wanted` is how long the input is to become.
    // Every call less around a system call shows: see benches/README.md.
    #[inline(always)]
    pub(super) fn poll_fill<S>(
        &mut self,
        wanted: usize,
        io: &mut TrackedIo<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let (buffer, room) = match self.len() < MOVED {
            true => self.use_shared(),
            false => self.make_room(wanted),
        };
        let mut limited = (&mut buffer.bytes).limit(room);
        let read = pin!(io.read_buf(&mut limited)).poll(cx);
        buffer.is_behind = matches!(read, Poll::Ready(Ok(got)) if got == room);
        if read.is_pending() && self.len() < WORTH_A_BUFFER {
            self.shrink(self.len());
        }
        read
    }

    /// Takes the thread's buffer, unless this one is as good, and says how much to read to it.
    fn use_shared(&mut self) -> (&mut Buffer, usize) {
        let held = self.len();
        if self.0.as_ref().is_none_or(|own| own.size < READ_AHEAD) {
            self.0 = Some(Buffer::shared(self));
        }
        let buffer = self.0.get_or_insert_default();
        buffer.bytes.reserve(buffer.size - held);
        (buffer, READ_AHEAD - held)
    }

    /// Makes room for `wanted` bytes in all, and says how much to read to it.
    fn make_room(&mut self, wanted: usize) -> (&mut Buffer, usize) {
        let held = self.len();
        let wanted = wanted.saturating_add(MARGIN);
        let trusted = TRUSTED.max((held + 1).next_power_of_two());
        let size = wanted.min(trusted).max(held + 1);
        if held < WORTH_A_BUFFER && size < READ_AHEAD {
            self.shrink(size);
        }
        let buffer = self.0.get_or_insert_default();
        buffer.bytes.reserve(size - held);
        buffer.size = buffer.size.max(size);
        (buffer, READ_AHEAD.min(size - held))
    }

    /// Moves what is in a buffer of the thread's to one of its own, or to none.
    fn shrink(&mut self, size: usize) {
        if let Some(shared) = self.0.take_if(|buffer| buffer.size >= READ_AHEAD) {
            *self = Self::of(&shared.bytes, size);
            shared.give_back();
        }
    }

    /// Takes no more memory than the bytes need, for they may be here to stay. A payload that was
    /// taken out of the buffer keeps it, though, until it is sent.
    pub(super) fn settle(&mut self) {
        let Some(buffer) = &mut self.0 else {
            return;
        };
        let (held, size) = (buffer.bytes.len(), buffer.size);
        if held < size / 4 && buffer.bytes.try_reclaim(size - held) {
            self.shrink(held);
        }
    }
}

impl Drop for ReadBuffer {
    /// A session that ends has, as a rule, just read the peer's Close. The thread keeps no buffer of
    /// a large message that did not come whole.
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take_if(|buffer| buffer.size == READ_AHEAD) {
            buffer.give_back();
        }
    }
}

impl Buf for ReadBuffer {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self
    }

    /// Of a buffer that is empty then, all can be used again at once.
    fn advance(&mut self, count: usize) {
        match &mut self.0 {
            Some(buffer) if count == buffer.bytes.len() => buffer.bytes.clear(),
            Some(buffer) => buffer.bytes.advance(count),
            None => assert_eq!(count, 0, "there is no buffer"),
        }
    }
}

impl Deref for ReadBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |buffer| &buffer.bytes)
    }
}

impl DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |buffer| &mut buffer.bytes)
    }
}

impl Buffer {
    fn of(bytes: &[u8], size: usize) -> Self {
        let mut own = BytesMut::with_capacity(size);
        own.extend_from_slice(bytes);
        Self {
            bytes: own,
            size,
            is_behind: false,
        }
    }

    /// The thread's buffer, with these bytes.
    fn shared(bytes: &[u8]) -> Box<Self> {
        let mut shared = SHARED.take().unwrap_or_default();
        shared.size = shared.size.max(READ_AHEAD);
        shared.bytes.reserve(shared.size);
        shared.bytes.extend_from_slice(bytes);
        shared
    }

    /// Makes this the thread's buffer, if it is of the right size.
    fn give_back(mut self: Box<Self>) {
        if (READ_AHEAD..=KEPT).contains(&self.size) {
            self.bytes.clear();
            SHARED.set(Some(self));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Waker;

    use tokio::io::ReadBuf;

    use super::*;

    /// A socket that has these bytes, and waits for more.
    struct Socket<'a>(&'a [u8]);

    impl AsyncRead for Socket<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.0.is_empty() {
                true => Poll::Pending,
                false => Pin::new(&mut self.0).poll_read(cx, buf),
            }
        }
    }

    /// Fills the input from a socket that has `bytes`, once.
    fn fill(input: &mut ReadBuffer, wanted: usize, bytes: &[u8]) -> Option<usize> {
        let mut socket = Socket(bytes);
        let mut cx = Context::from_waker(Waker::noop());
        match input.poll_fill(wanted, &mut TrackedIo::new(&mut socket), &mut cx) {
            Poll::Ready(read) => Some(read.unwrap()),
            Poll::Pending => None,
        }
    }

    /// The size of the buffer that the thread has.
    fn kept_by_thread() -> usize {
        SHARED.take().map_or(0, |buffer| buffer.size)
    }

    /// The size of the input's own buffer.
    fn size(input: &ReadBuffer) -> usize {
        input.0.as_ref().map_or(0, |buffer| buffer.size)
    }

    #[test]
    fn an_idle_connection_has_no_buffer() {
        let mut input = ReadBuffer::new(b"");
        assert_eq!(fill(&mut input, 14, b"a message"), Some(9));
        input.advance(9);
        assert_eq!(fill(&mut input, 14, b""), None);
        assert!(input.0.is_none());
        assert_eq!(kept_by_thread(), READ_AHEAD);
    }

    #[test]
    fn a_session_that_ends_gives_the_thread_its_buffer_back() {
        let mut input = ReadBuffer::new(b"");
        fill(&mut input, 14, b"the last message");
        drop(input);
        assert_eq!(kept_by_thread(), READ_AHEAD);
    }

    #[test]
    fn part_of_a_frame_waits_in_a_buffer_of_its_size() {
        let mut input = ReadBuffer::new(b"");
        fill(&mut input, 14, b"part");
        assert_eq!(fill(&mut input, 100, b""), None);
        assert_eq!(size(&input), 4);
        assert_eq!(kept_by_thread(), READ_AHEAD);
        fill(&mut input, 100, b" of a frame");
        assert_eq!(&input[..], b"part of a frame");
    }

    #[test]
    fn a_frame_takes_memory_as_it_comes() {
        const GIB: usize = 1 << 30;
        let mut input = ReadBuffer::new(&[0; MOVED]);
        fill(&mut input, GIB, &[0; 10]);
        assert_eq!(size(&input), TRUSTED);
        let came = vec![0; TRUSTED];
        while input.len() < TRUSTED {
            fill(&mut input, GIB, &came);
        }
        fill(&mut input, GIB, &came);
        assert_eq!(size(&input), 2 * TRUSTED);
    }

    #[test]
    fn no_more_than_a_frame_is_read_into_a_large_buffer() {
        const FRAME: usize = KEPT / 2;
        let source = vec![0; KEPT];
        let mut input = ReadBuffer::new(b"");
        assert_eq!(fill(&mut input, 14, &source), Some(READ_AHEAD));
        while input.len() < FRAME + MARGIN {
            fill(&mut input, FRAME, &source);
        }
        assert_eq!(input.len(), FRAME + MARGIN);
        input.advance(input.len());
        // The buffer is the large one still, and yet:
        assert_eq!(fill(&mut input, 14, &source), Some(READ_AHEAD));
    }

    #[test]
    fn bytes_that_wait_for_long_take_the_memory_that_they_need() {
        let mut input = ReadBuffer::new(b"");
        fill(&mut input, 14, b"more than one message");
        input.settle();
        assert_eq!(
            (&input[..], size(&input)),
            (&b"more than one message"[..], 21)
        );
    }
}
