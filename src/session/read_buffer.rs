//! The read buffer: bytes that were read and are not taken yet.

use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::session::tracked_io::TrackedIo;

/// Maximum bytes of one read. They are still in the cache when they are unmasked.
pub(super) const READ_AHEAD: usize = 256 << 10;

/// Bytes that a read asks for beyond the end of a long frame. A read that gets fewer bytes than it
/// asked for has emptied the socket, and need not be repeated.
const MARGIN: usize = 16;

/// Size of the largest buffer that a thread keeps.
const KEPT: usize = 2 << 20;

/// Maximum memory that is reserved for a frame before its bytes come. For a longer frame, up to
/// twice the bytes that have come are reserved.
const TRUSTED: usize = KEPT;

/// Length below which part of a frame is moved: to a buffer of its own while it waits for more
/// bytes, and back to the thread's buffer to read them.
const MOVED: usize = 16 << 10;

/// Length from which part of a frame stays in the thread's buffer, which becomes the session's.
const WORTH_A_BUFFER: usize = READ_AHEAD / 4;

thread_local! {
    /// Buffer into which the sessions of a thread read, one after another.
    static SHARED: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
}

/// Bytes that were read and are not taken yet, usually part of a frame. Without any there is no
/// buffer, and the thread's buffer is used to read. So an idle connection takes no memory for one,
/// and a message is read into pages that are mapped already.
#[derive(Debug)]
pub(super) struct ReadBuffer(Option<Box<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    bytes: BytesMut,
    /// Least size of its memory.
    size: usize,
    /// Whether the last read got as many bytes as it asked for.
    is_behind: bool,
}

impl ReadBuffer {
    /// A read buffer that begins with the bytes that have been read already.
    pub(super) fn new(early: &[u8]) -> Self {
        Self::of(early, early.len())
    }

    /// A read buffer of this size with these bytes. With size 0 it takes no memory.
    fn of(bytes: &[u8], size: usize) -> Self {
        Self((size > 0).then(|| Box::new(Buffer::of(bytes, size))))
    }

    /// Whether the last read may have left bytes to read.
    pub(super) fn is_behind(&self) -> bool {
        self.0.as_ref().is_some_and(|buffer| buffer.is_behind)
    }

    /// Takes bytes from the front. They share the buffer's memory.
    pub(super) fn split_to(&mut self, count: usize) -> BytesMut {
        match &mut self.0 {
            Some(buffer) => buffer.bytes.split_to(count),
            None => BytesMut::new(),
        }
    }

    /// Reads more bytes, and returns their number, or 0 at the end of the stream. `wanted` is the
    /// length that the read buffer is to reach.
    // Inlined, because each call saved around a system call is measurable: see benches/README.md.
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

    /// Takes the thread's buffer, unless this one is as large. Returns how much to read into it.
    fn use_shared(&mut self) -> (&mut Buffer, usize) {
        let held = self.len();
        if self.0.as_ref().is_none_or(|own| own.size < READ_AHEAD) {
            self.0 = Some(Buffer::shared(self));
        }
        let buffer = self.0.get_or_insert_default();
        buffer.bytes.reserve(buffer.size - held);
        (buffer, READ_AHEAD - held)
    }

    /// Makes room for `wanted` bytes in all, and returns how much to read into the buffer.
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

    /// Moves the bytes from the thread's buffer to a buffer of this size, or to none with size 0.
    fn shrink(&mut self, size: usize) {
        if let Some(shared) = self.0.take_if(|buffer| buffer.size >= READ_AHEAD) {
            *self = Self::of(&shared.bytes, size);
            shared.give_back();
        }
    }

    /// Reduces the buffer to the memory that its bytes need, because they may stay for long. But a
    /// payload that was taken out of the buffer keeps its memory until it is sent.
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
    /// Gives the buffer back to the thread: a session that ends has usually just read the peer's
    /// Close. A buffer that has grown for a large message is freed.
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

    /// Removes bytes from the front. If none are left, all of the buffer can be used again at once.
    // Inlined, for it is called for every message: see benches/README.md.
    #[inline]
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

    /// Takes the thread's buffer, and puts these bytes into it.
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

    /// Reads into the read buffer once, from a socket that has `bytes`.
    fn fill(input: &mut ReadBuffer, wanted: usize, bytes: &[u8]) -> Option<usize> {
        let mut socket = Socket(bytes);
        let mut cx = Context::from_waker(Waker::noop());
        match input.poll_fill(wanted, &mut TrackedIo::new(&mut socket), &mut cx) {
            Poll::Ready(read) => Some(read.unwrap()),
            Poll::Pending => None,
        }
    }

    /// Size of the buffer that the thread has.
    fn kept_by_thread() -> usize {
        SHARED.take().map_or(0, |buffer| buffer.size)
    }

    /// Size of the read buffer's own memory.
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
        // The buffer is still the large one, and yet a read gets no more than usual.
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
