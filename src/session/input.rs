//! The input: bytes that were read and are not taken yet.

use std::cell::Cell;
use std::io;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::wire::Wire;

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
    static SHARED: Cell<Buffer> = Cell::default();
}

/// Bytes that were read and are not taken yet: those of part of a frame, as a rule. While there are
/// none, there is no buffer, but that of the thread is used to read. So an idle connection has none,
/// and a message finds one whose pages are there already.
#[derive(Debug)]
pub(super) struct Input {
    buffer: Buffer,
    /// Whether the last read got as much as it asked for.
    is_behind: bool,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: BytesMut,
    /// What it takes in memory, at least.
    size: usize,
}

impl Input {
    /// Begins with the bytes that have been read already.
    pub(super) fn new(early: &[u8]) -> Self {
        Self {
            buffer: Buffer::of(early, early.len()),
            is_behind: false,
        }
    }

    /// Whether the last read left more to read, as far as can be told.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Drops bytes from the front, which were taken. Of a buffer that is empty then, all can be
    /// used again at once.
    pub(super) fn consume(&mut self, count: usize) {
        match count == self.len() {
            true => self.clear(),
            false => self.advance(count),
        }
    }

    /// Reads more, and says how much; 0 at the end. `wanted` is how long the input is to become.
    pub(super) fn poll_fill<S>(
        &mut self,
        wanted: usize,
        wire: &mut Wire<S>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let room = match self.len() < MOVED {
            true => self.buffer.renew(),
            false => self.buffer.make_room(wanted),
        };
        let mut limited = (&mut self.buffer.bytes).limit(room);
        let read = pin!(wire.read_buf(&mut limited)).poll(cx);
        self.is_behind = matches!(read, Poll::Ready(Ok(got)) if got == room);
        if read.is_pending() && self.len() < WORTH_A_BUFFER {
            self.buffer.shrink(self.len());
        }
        read
    }

    /// Takes no more memory than the bytes need, for they may be here to stay. A payload that was
    /// taken out of the buffer keeps it, though, until it is sent.
    pub(super) fn settle(&mut self) {
        let (held, size) = (self.len(), self.buffer.size);
        if held < size / 4 && self.buffer.bytes.try_reclaim(size - held) {
            self.buffer.shrink(held);
        }
    }
}

impl Drop for Input {
    /// A session that ends has, as a rule, just read the peer's Close.
    fn drop(&mut self) {
        mem::take(&mut self.buffer).give_back();
    }
}

impl Buffer {
    fn of(bytes: &[u8], size: usize) -> Self {
        let mut own = BytesMut::with_capacity(size);
        own.extend_from_slice(bytes);
        Self { bytes: own, size }
    }

    /// Becomes the thread's buffer, unless it is as good, and says how much to read to it.
    fn renew(&mut self) -> usize {
        let held = self.bytes.len();
        if self.size < READ_AHEAD {
            let mut shared = SHARED.take();
            shared.size = shared.size.max(READ_AHEAD);
            shared.bytes.reserve(shared.size);
            shared.bytes.extend_from_slice(&self.bytes);
            *self = shared;
        }
        self.bytes.reserve(self.size - held);
        READ_AHEAD - held
    }

    /// Makes room for `wanted` bytes in all, and says how much to read to it.
    fn make_room(&mut self, wanted: usize) -> usize {
        let held = self.bytes.len();
        let wanted = wanted.saturating_add(MARGIN);
        let trusted = TRUSTED.max((held + 1).next_power_of_two());
        let size = wanted.min(trusted).max(held + 1);
        if held < WORTH_A_BUFFER && size < READ_AHEAD {
            self.shrink(size);
        }
        self.bytes.reserve(size - held);
        self.size = self.size.max(size);
        READ_AHEAD.min(size - held)
    }

    /// Moves what is in a buffer of the thread's to one of its own.
    fn shrink(&mut self, size: usize) {
        if self.size >= READ_AHEAD {
            let own = Self::of(&self.bytes, size);
            mem::replace(self, own).give_back();
        }
    }

    /// Makes this the thread's buffer, if it is of the right size.
    fn give_back(mut self) {
        if (READ_AHEAD..=KEPT).contains(&self.size) {
            self.bytes.clear();
            SHARED.set(self);
        }
    }
}

impl Deref for Input {
    type Target = BytesMut;

    fn deref(&self) -> &BytesMut {
        &self.buffer.bytes
    }
}

impl DerefMut for Input {
    fn deref_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer.bytes
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
    fn fill(input: &mut Input, wanted: usize, bytes: &[u8]) -> Option<usize> {
        let mut socket = Socket(bytes);
        let mut cx = Context::from_waker(Waker::noop());
        match input.poll_fill(wanted, &mut Wire::new(&mut socket), &mut cx) {
            Poll::Ready(read) => Some(read.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_idle_connection_has_no_buffer() {
        let mut input = Input::new(b"");
        assert_eq!(fill(&mut input, 14, b"a message"), Some(9));
        input.clear();
        assert_eq!(fill(&mut input, 14, b""), None);
        assert_eq!((input.buffer.bytes.capacity(), input.buffer.size), (0, 0));
        // The thread has its buffer back.
        assert_eq!(SHARED.take().size, READ_AHEAD);
    }

    #[test]
    fn what_ends_gives_the_thread_its_buffer_back() {
        let mut input = Input::new(b"");
        fill(&mut input, 14, b"the last message");
        drop(input);
        assert_eq!(SHARED.take().size, READ_AHEAD);
    }

    #[test]
    fn part_of_a_frame_waits_in_a_buffer_of_its_size() {
        let mut input = Input::new(b"");
        fill(&mut input, 14, b"part");
        assert_eq!(fill(&mut input, 100, b""), None);
        assert_eq!(input.buffer.size, 4);
        assert_eq!(SHARED.take().size, READ_AHEAD);
        fill(&mut input, 100, b" of a frame");
        assert_eq!(&input[..], b"part of a frame");
    }

    #[test]
    fn a_frame_takes_memory_as_it_comes() {
        const GIB: usize = 1 << 30;
        let mut input = Input::new(&[0; MOVED]);
        fill(&mut input, GIB, &[0; 10]);
        assert_eq!(input.buffer.size, TRUSTED);
        let came = vec![0; TRUSTED];
        while input.len() < TRUSTED {
            fill(&mut input, GIB, &came);
        }
        fill(&mut input, GIB, &came);
        assert_eq!(input.buffer.size, 2 * TRUSTED);
    }

    #[test]
    fn no_more_than_a_frame_is_read_into_a_large_buffer() {
        const FRAME: usize = KEPT / 2;
        let source = vec![0; KEPT];
        let mut input = Input::new(b"");
        assert_eq!(fill(&mut input, 14, &source), Some(READ_AHEAD));
        while input.len() < FRAME + MARGIN {
            fill(&mut input, FRAME, &source);
        }
        assert_eq!(input.len(), FRAME + MARGIN);
        input.clear();
        // The buffer is the large one still, and yet:
        assert_eq!(fill(&mut input, 14, &source), Some(READ_AHEAD));
    }

    #[test]
    fn what_waits_for_long_takes_what_it_needs() {
        let mut input = Input::new(b"");
        fill(&mut input, 14, b"more than one message");
        input.settle();
        assert_eq!(
            (&input[..], input.buffer.size),
            (&b"more than one message"[..], 21)
        );
    }
}
