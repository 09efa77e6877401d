//! Records that are to be written.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::iter::once;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Maximum records of one write.
const AT_ONCE: usize = 16;

/// Records that are to be written, in order. Without any they take no memory elsewhere.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    first: Vec<u8>,
    /// Number of the first one's bytes that have been written.
    written: usize,
    more: VecDeque<Vec<u8>>,
    /// Whether the stream did not take them all.
    are_waiting: bool,
}

impl Outgoing {
    /// Records that are to be written, one behind another.
    pub(super) fn new(records: Vec<u8>) -> Self {
        Self {
            first: records,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Number of bytes that are to be written.
    pub(super) fn unsent(&self) -> usize {
        let records = once(&self.first).chain(&self.more);
        records.map(Vec::len).sum::<usize>() - self.written
    }

    /// Size of the memory that is taken.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        once(&self.first).chain(&self.more).map(Vec::capacity).sum()
    }

    /// Whether these records must be written before any more are put behind.
    pub(super) fn are_waiting(&self) -> bool {
        self.are_waiting
    }

    pub(super) fn push(&mut self, record: Vec<u8>) {
        match self.is_empty() {
            true => self.first = record,
            false => self.more.push_back(record),
        }
    }

    /// Writes all records.
    pub(super) fn poll_write<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.is_empty() {
            let first = &self.first[self.written..];
            let written = match self.more.is_empty() {
                true => Pin::new(&mut *io).poll_write(cx, first),
                false => {
                    let records = once(first).chain(self.more.iter().map(|record| &record[..]));
                    let mut slices = [IoSlice::new(&[]); AT_ONCE];
                    for (slice, record) in slices.iter_mut().zip(records) {
                        *slice = IoSlice::new(record);
                    }
                    Pin::new(&mut *io).poll_write_vectored(cx, &slices)
                }
            };
            self.are_waiting = written.is_pending();
            match ready!(written)? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        while !self.is_empty() && self.first.len() - self.written <= written {
            written -= self.first.len() - self.written;
            self.written = 0;
            self.first = self.more.pop_front().unwrap_or_default();
        }
        self.written += written;
        if self.more.is_empty() {
            // The memory of the queue is not for an idle connection.
            mem::take(&mut self.more);
        }
    }
}
