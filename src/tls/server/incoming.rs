//! Bytes that were read: records, and what was in them.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{ContentType, Error, InvalidMessage, ProtocolVersion};
use tokio::io::{AsyncRead, ReadBuf};

/// Length of a record's header.
const HEADER: usize = 5;

/// Maximum length of a record, by TLS 1.2: that of its plaintext, and 2 KiB for the cipher.
const LONGEST: usize = HEADER + (16 << 10) + (2 << 10);

/// Maximum bytes of one read.
const READ_AHEAD: usize = 256 << 10;

thread_local! {
    /// Buffer into which the connections of a thread read, one after another.
    static SHARED: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
}

/// Bytes that were read and are not taken yet. Without any there is no buffer.
#[derive(Debug, Default)]
pub(super) struct Incoming(Option<Box<Buffer>>);

/// Plaintext of the latest record, and behind it records that are still sealed.
#[derive(Debug)]
struct Buffer {
    memory: Vec<u8>,
    plain: Range<usize>,
    sealed: Range<usize>,
}

/// A record, by its header and the place of its payload.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) typ: ContentType,
    pub(super) version: ProtocolVersion,
    payload: Range<usize>,
}

/// Length of the record that these bytes begin with, if all of it is there.
pub(super) fn record_length(bytes: &[u8]) -> Option<usize> {
    let length = HEADER + usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
    (bytes.len() >= length).then_some(length)
}

impl Incoming {
    /// Records that have been read already.
    pub(super) fn new(sealed: &[u8]) -> Self {
        Self((!sealed.is_empty()).then(|| Box::new(Buffer::of(&[], sealed))))
    }

    /// Moves what was in the latest record to `buf`, as far as it fits in.
    pub(super) fn take_plain(&mut self, buf: &mut ReadBuf<'_>) {
        if let Some(buffer) = &mut self.0 {
            let plain = &buffer.memory[buffer.plain.clone()];
            let taken = plain.len().min(buf.remaining());
            buf.put_slice(&plain[..taken]);
            buffer.plain.start += taken;
        }
    }

    /// Takes the next record, if all of it is there.
    ///
    /// # Errors
    /// When a record is longer than any may be.
    pub(super) fn next_record(&mut self) -> Result<Option<Record>, Error> {
        match &mut self.0 {
            Some(buffer) => buffer.next_record(),
            None => Ok(None),
        }
    }

    /// Payload of a record that was just taken.
    pub(super) fn payload(&mut self, record: &Record) -> &mut [u8] {
        match &mut self.0 {
            Some(buffer) => &mut buffer.memory[record.payload.clone()],
            None => &mut [],
        }
    }

    /// Keeps this number of bytes at the front of a record's payload as what was in it.
    pub(super) fn keep_plain(&mut self, record: &Record, length: usize) {
        if let Some(buffer) = &mut self.0 {
            buffer.plain = record.payload.start..record.payload.start + length;
        }
    }

    /// Reads once, about as much as a buffer of this size can take. All that was in records must
    /// have been taken. Returns how many bytes were read, and whether there may be more.
    pub(super) fn poll_fill<S>(
        &mut self,
        wanted: usize,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(usize, bool)>>
    where
        S: AsyncRead + Unpin,
    {
        let buffer = self.use_shared();
        let start = buffer.sealed.end;
        // Headers and tags take less than a 64th of long records.
        let room = (wanted + wanted / 64).clamp(LONGEST, READ_AHEAD);
        let mut unread = ReadBuf::new(&mut buffer.memory[start..start + room]);
        ready!(Pin::new(io).poll_read(cx, &mut unread))?;
        let read = unread.filled().len();
        buffer.sealed.end += read;
        Poll::Ready(Ok((read, read == room)))
    }

    /// Takes the thread's buffer, with the part of a record that has come at its front.
    fn use_shared(&mut self) -> &mut Buffer {
        let own = self.0.take();
        let length = own.as_ref().map_or(0, |own| own.sealed.len());
        let mut shared = match own {
            // It was taken for an earlier read. To make another one costs zeroing it.
            Some(mut shared) if shared.is_shared() => {
                shared.memory.copy_within(shared.sealed.clone(), 0);
                shared
            }
            own => {
                let sealed = own.as_ref().map_or(&[][..], |own| own.sealed_bytes());
                let mut shared = SHARED.take().unwrap_or_else(Buffer::shared);
                shared.memory[..length].copy_from_slice(sealed);
                shared
            }
        };
        shared.sealed = 0..length;
        shared.plain = 0..0;
        self.0.insert(shared)
    }

    /// Gives the thread's buffer back. Bytes that are not taken move to memory of their size.
    pub(super) fn settle(&mut self) {
        if let Some(shared) = self.0.take_if(|buffer| !buffer.is_settled()) {
            let (plain, sealed) = (shared.plain_bytes(), shared.sealed_bytes());
            if !plain.is_empty() || !sealed.is_empty() {
                self.0 = Some(Box::new(Buffer::of(plain, sealed)));
            }
            if shared.is_shared() {
                SHARED.set(Some(shared));
            }
        }
    }

    /// Size of the memory that is taken.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |buffer| buffer.memory.len())
    }

    /// Forgets all bytes.
    pub(super) fn clear(&mut self) {
        if let Some(buffer) = &mut self.0 {
            (buffer.plain, buffer.sealed) = (0..0, 0..0);
        }
    }
}

impl Buffer {
    fn of(plain: &[u8], sealed: &[u8]) -> Self {
        Self {
            memory: [plain, sealed].concat(),
            plain: 0..plain.len(),
            sealed: plain.len()..plain.len() + sealed.len(),
        }
    }

    /// A buffer for a read behind part of a record.
    fn shared() -> Box<Self> {
        Box::new(Self {
            memory: vec![0; LONGEST + READ_AHEAD],
            plain: 0..0,
            sealed: 0..0,
        })
    }

    fn is_shared(&self) -> bool {
        self.memory.len() == LONGEST + READ_AHEAD
    }

    /// Whether this is memory of the connection's own, and has bytes in it.
    fn is_settled(&self) -> bool {
        let is_empty = self.plain.is_empty() && self.sealed.is_empty();
        !self.is_shared() && !is_empty
    }

    fn plain_bytes(&self) -> &[u8] {
        &self.memory[self.plain.clone()]
    }

    fn sealed_bytes(&self) -> &[u8] {
        &self.memory[self.sealed.clone()]
    }

    fn next_record(&mut self) -> Result<Option<Record>, Error> {
        let sealed = self.sealed_bytes();
        let &[typ, major, minor, high, low, ..] = sealed else {
            return Ok(None);
        };
        if HEADER + usize::from(u16::from_be_bytes([high, low])) > LONGEST {
            return Err(InvalidMessage::MessageTooLarge.into());
        }
        let Some(length) = record_length(sealed) else {
            return Ok(None);
        };
        let start = self.sealed.start;
        self.sealed.start += length;
        Ok(Some(Record {
            typ: ContentType::from(typ),
            version: ProtocolVersion::from(u16::from_be_bytes([major, minor])),
            payload: start + HEADER..start + length,
        }))
    }
}
