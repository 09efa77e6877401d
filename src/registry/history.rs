//! Messages of one connection that are kept: the last ones, up to a number and a number of bytes.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;

use super::push::{KeptPush, Push};
use super::record::{Direction, Message, Record};
use super::turn::{KeptTurn, Turn};

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
    entries: VecDeque<Entry>,
    /// Number of the records in `entries`.
    records: usize,
    /// Bytes of content in them.
    content: usize,
    /// Bytes of memory that they take.
    memory: usize,
    /// Number of the last record that was put in.
    last: u64,
}

/// Records that lie together. The others are in boxes, so that those of pushes, of which there is
/// one for each of many subscribers, lie close.
#[derive(Debug)]
enum Entry {
    Push(KeptPush),
    One(Box<Record>),
    Turn(Box<KeptTurn>),
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
        let seq = self.last + 1;
        let record = Record {
            seq,
            at,
            direction,
            message,
        };
        let (content, memory) = (record.content(), record.memory());
        self.put(
            Entry::One(Box::new(record)),
            seq..=seq,
            content,
            memory,
            limits,
        )
    }

    /// Puts a push that is sent in, as [`push`](Self::push) does.
    pub(super) fn push_shared(
        &mut self,
        at: SystemTime,
        push: &Push,
        limits: HistoryLimits,
    ) -> Pushed {
        if push.len() > limits.bytes {
            return self.push(at, Direction::Out, push.message(), limits);
        }
        let kept = KeptPush {
            seq: self.last + 1,
            at,
            push: push.clone(),
        };
        let (seq, content, memory) = (kept.seq, kept.content(), kept.memory());
        self.put(Entry::Push(kept), seq..=seq, content, memory, limits)
    }

    /// Puts the messages of a turn in, and takes those out for which there is no more room.
    pub(super) fn push_turn(
        &mut self,
        turn: &Turn,
        mut kept: KeptTurn,
        limits: HistoryLimits,
    ) -> Pushed {
        kept.number(self.last);
        let (all, memory) = (kept.all(), kept.memory());
        self.put(
            Entry::Turn(Box::new(kept)),
            all,
            turn.content(),
            memory,
            limits,
        )
    }

    // Inlined, because a load of its outcome would wait until its stores are done: see
    // benches/README.md.
    #[inline(always)]
    fn put(
        &mut self,
        entry: Entry,
        records: RangeInclusive<u64>,
        content: usize,
        memory: usize,
        limits: HistoryLimits,
    ) -> Pushed {
        self.entries.push_back(entry);
        self.records += (records.end() - self.last) as usize;
        self.last = *records.end();
        self.content += content;
        self.memory += memory;
        let mut pushed = Pushed {
            records,
            added: memory,
            dropped: 0,
            freed: 0,
        };
        while (self.records > limits.messages || self.content > limits.bytes)
            && let Some((dropped, freed)) = self.pop(
                self.records.saturating_sub(limits.messages),
                self.content.saturating_sub(limits.bytes),
            )
        {
            pushed.dropped += dropped;
            pushed.freed += freed;
        }
        pushed
    }

    /// Takes the oldest records out: so many, with so many bytes of content, or all that lie
    /// together. Returns their number, and the bytes of memory that are free then.
    fn pop(&mut self, records: usize, content: usize) -> Option<(usize, usize)> {
        let (dropped, content, freed) = match self.entries.front_mut()? {
            Entry::Push(push) => (1, push.content(), push.memory()),
            Entry::One(record) => (1, record.content(), record.memory()),
            Entry::Turn(turn) => {
                let (dropped, content) = turn.drop_first(records, content);
                let freed = if turn.is_empty() { turn.memory() } else { 0 };
                (dropped, content, freed)
            }
        };
        // A turn is dropped with its last record.
        if freed > 0 {
            self.entries.pop_front();
        }
        self.records -= dropped;
        self.content -= content;
        self.memory -= freed;
        Some((dropped, freed))
    }

    /// Takes the record with this number out, if it is the oldest, and returns the bytes of memory
    /// that are free then.
    pub(super) fn take(&mut self, seq: u64) -> Option<usize> {
        let is_oldest = self.records > 0 && self.first() == seq;
        let (_, freed) = is_oldest.then(|| self.pop(1, 0)).flatten()?;
        Some(freed)
    }

    /// The record with this number, if it is kept.
    pub(super) fn get(&self, seq: u64) -> Option<Record> {
        let first = self.after(seq.checked_sub(1)?).next();
        first.filter(|record| record.seq == seq)
    }

    /// Whether the record with this number is kept.
    pub(super) fn has(&self, seq: u64) -> bool {
        (self.first()..=self.last).contains(&seq)
    }

    /// Number of the oldest record that is kept, or of the next one if none is.
    pub(super) fn first(&self) -> u64 {
        self.last + 1 - self.records as u64
    }

    /// The records after this number, in order.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = Record> {
        let first = self.entries.partition_point(|entry| entry.last() <= seq);
        let records = self.entries.range(first..).flat_map(Entry::records);
        records.skip_while(move |record| record.seq <= seq)
    }

    /// Number of the last message that was put in, kept or not.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Number of the messages after this one that are not kept any more.
    pub(super) fn dropped_after(&self, seq: u64) -> u64 {
        (self.first() - 1).saturating_sub(seq)
    }

    /// Number of the records that are kept.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    /// Bytes of memory that all records take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

impl Entry {
    /// Number of the last record.
    fn last(&self) -> u64 {
        match self {
            Self::Push(push) => push.seq,
            Self::One(record) => record.seq,
            Self::Turn(turn) => *turn.all().end(),
        }
    }

    fn records(&self) -> impl Iterator<Item = Record> + use<> {
        let (one, turn) = match self {
            Self::Push(push) => (Some(push.record()), None),
            Self::One(record) => (Some(Record::clone(record)), None),
            Self::Turn(turn) => (None, Some(turn.records())),
        };
        one.into_iter().chain(turn.into_iter().flatten())
    }
}

impl Pushed {
    /// Number of the new records.
    pub(super) fn count(&self) -> usize {
        (self.records.end() + 1 - self.records.start()) as usize
    }
}

/// Outcome of a push.
#[derive(Debug)]
pub(super) struct Pushed {
    /// Numbers of the new records.
    pub(super) records: RangeInclusive<u64>,
    /// Bytes of memory that they take.
    pub(super) added: usize,
    /// Number of the records that were taken out: new ones may be among them.
    pub(super) dropped: usize,
    /// Bytes of memory that are free since then.
    pub(super) freed: usize,
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::registry::record::Kind;
    use crate::ws::frames::Opcode;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    /// One message, or those of a turn, with the sizes of their payloads.
    #[derive(Debug, Clone)]
    enum Step {
        One(usize),
        Push(usize),
        Turn(Vec<(usize, bool)>),
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..40_usize).prop_map(Step::One),
            (0..40_usize).prop_map(Step::Push),
            vec((0..40_usize, any::<bool>()), 1..8).prop_map(Step::Turn),
            Just(Step::Take),
        ]
    }

    /// Payload of the message of this number.
    fn payload(number: usize, size: usize) -> Vec<u8> {
        vec![number as u8; size]
    }

    fn one(history: &mut History, payload: Vec<u8>, limits: HistoryLimits) -> Pushed {
        let message = Message::plain(Kind::Binary, payload.into());
        history.push(NOW, Direction::Out, message, limits)
    }

    /// A push to five thousand subscribers puts as many entries in, each into memory that no cache
    /// has: of 104 bytes, they took a tenth of the push's time.
    #[test]
    fn an_entry_takes_half_a_line_of_the_cache() {
        assert!(size_of::<Entry>() <= 32);
    }

    #[test]
    fn a_push_that_is_too_large_is_kept_without_its_content() {
        let limits = HistoryLimits {
            messages: 2,
            bytes: 3,
        };
        let mut history = History::default();
        for size in [3, 4] {
            history.push_shared(NOW, &Push::new(Opcode::Binary, &payload(1, size)), limits);
        }
        let kept = history.after(0).map(|record| record.message);
        let kept = kept.map(|message| (message.bytes, message.content.map(|it| it.len())));
        assert!(kept.eq([(3, Some(3)), (4, None)]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_history_keeps_the_last_records_however_they_lie(
            steps in vec(step(), 0..60),
            messages in 0..20_usize,
            bytes in 40..300_usize,
        ) {
            let limits = HistoryLimits { messages, bytes };
            let (mut history, mut model) = (History::default(), VecDeque::new());
            let (mut put, mut gone, mut memory) = (0, 0, 0);
            for step in steps {
                let pushed = match step {
                    Step::Take => {
                        let taken = history.take(history.first());
                        prop_assert_eq!(taken.is_some(), model.pop_front().is_some());
                        gone += u64::from(taken.is_some());
                        memory -= taken.unwrap_or_default();
                        continue;
                    }
                    Step::One(size) => {
                        put += 1;
                        model.push_back((Direction::Out, payload(put, size)));
                        one(&mut history, payload(put, size), limits)
                    }
                    Step::Push(size) => {
                        put += 1;
                        model.push_back((Direction::Out, payload(put, size)));
                        let push = Push::new(Opcode::Binary, &payload(put, size));
                        history.push_shared(NOW, &push, limits)
                    }
                    Step::Turn(sizes) => {
                        let mut turn = Turn::default();
                        for (size, is_echoed) in sizes {
                            put += 1;
                            turn.receive(Kind::Binary, &payload(put, size), false);
                            model.push_back((Direction::In, payload(put, size)));
                            if is_echoed {
                                turn.echo();
                                model.push_back((Direction::Out, payload(put, size)));
                            }
                        }
                        history.push_turn(&turn, turn.kept(NOW), limits)
                    }
                };
                let content = |model: &VecDeque<(Direction, Vec<u8>)>| -> usize {
                    model.iter().map(|(_, payload)| payload.len()).sum()
                };
                let mut dropped = 0;
                while model.len() > messages || content(&model) > bytes {
                    model.pop_front();
                    dropped += 1;
                }
                gone += dropped as u64;
                memory = memory + pushed.added - pushed.freed;
                prop_assert_eq!(pushed.dropped, dropped);
                prop_assert_eq!(history.last(), *pushed.records.end());
                prop_assert_eq!((history.len(), history.memory()), (model.len(), memory));
                prop_assert_eq!((history.first(), history.dropped_after(0)), (gone + 1, gone));
                prop_assert_eq!(history.entries.is_empty(), model.is_empty());
                let first = history.first();
                for after in [0, gone + 2, first + model.len() as u64] {
                    let expected = model.iter().zip(first..).filter(|(_, seq)| *seq > after);
                    let records = history.after(after).map(|record| {
                        let content = record.message.content.unwrap_or_default();
                        ((record.direction, content.to_vec()), record.seq)
                    });
                    let expected = expected.map(|(kept, seq)| (kept.clone(), seq));
                    prop_assert!(records.eq(expected));
                }
            }
        }
    }
}
