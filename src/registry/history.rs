//! Messages of one connection that are kept: the last ones, up to a number and a number of bytes.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;

use super::record::{Direction, Message, Record};

/// Limits of a [`History`].
#[derive(Debug, Clone, Copy)]
pub(super) struct HistoryLimits {
    pub(super) messages: usize,
    /// Bytes of content.
    pub(super) bytes: usize,
}

/// The last messages of a connection, in order.
#[derive(Debug, Default)]
pub(super) struct History {
    records: VecDeque<Record>,
    /// Bytes of content in `records`.
    content: usize,
    /// Number of the last record that was put in.
    last: u64,
}

impl History {
    /// Puts a message in, and takes those out for which there is no more room.
    pub(super) fn push(
        &mut self,
        at: SystemTime,
        direction: Direction,
        mut message: Message,
        limits: HistoryLimits,
    ) -> Pushed {
        // A message that is too large to be kept leaves the others their room.
        let fits = |content: &Bytes| content.len() <= limits.bytes;
        message.content = message.content.filter(fits);
        self.last += 1;
        let record = Record {
            seq: self.last,
            at,
            direction,
            message,
        };
        self.content += record.content();
        let added = record.memory();
        self.records.push_back(record);
        let mut dropped = Vec::new();
        while self.records.len() > limits.messages || self.content > limits.bytes {
            dropped.extend(self.pop());
        }
        Pushed {
            seq: self.last,
            added,
            dropped,
        }
    }

    fn pop(&mut self) -> Option<Record> {
        let record = self.records.pop_front()?;
        self.content -= record.content();
        Some(record)
    }

    /// Takes the record with this number out, if it is the oldest.
    pub(super) fn take(&mut self, seq: u64) -> Option<Record> {
        let is_oldest = self.records.front().is_some_and(|first| first.seq == seq);
        is_oldest.then(|| self.pop()).flatten()
    }

    /// The record with this number, if it is kept.
    pub(super) fn get(&self, seq: u64) -> Option<&Record> {
        let first = self.records.front()?.seq;
        let index = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.records.get(index)
    }

    /// Whether the record with this number is kept.
    pub(super) fn has(&self, seq: u64) -> bool {
        self.records.front().is_some_and(|first| first.seq <= seq)
    }

    /// The records after this number, in order.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = &Record> {
        let first = self.records.partition_point(|record| record.seq <= seq);
        self.records.range(first..)
    }

    /// Number of the last message that was put in, kept or not.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Number of the messages after this one that are not kept any more.
    pub(super) fn dropped_after(&self, seq: u64) -> u64 {
        let first = self
            .records
            .front()
            .map_or(self.last + 1, |first| first.seq);
        (first - 1).saturating_sub(seq)
    }

    /// Number of the records that are kept.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes of memory that all records take.
    pub(super) fn memory(&self) -> usize {
        self.records.iter().map(Record::memory).sum()
    }
}

/// Outcome of a push.
#[derive(Debug)]
pub(super) struct Pushed {
    /// Number of the new record.
    pub(super) seq: u64,
    /// Bytes of memory that it takes.
    pub(super) added: usize,
    /// Records that were taken out: the new one may be among them.
    pub(super) dropped: Vec<Record>,
}
