//! Messages that a session receives and echoes in one turn: they are recorded together, and kept in
//! one piece of memory.
//!
//! A record takes a hundred bytes beside its content. Of two hundred messages that come at once,
//! their records would take more time than their echoes.

use std::cell::Cell;
use std::iter::from_fn;
use std::ops::RangeInclusive;
use std::time::SystemTime;

use bytes::Bytes;

use super::counts::Counts;
use super::record::{Direction, Kind, Message, OVERHEAD, Record};

/// Size up to which a payload is copied to those of its turn. A larger one has memory of its own.
pub(super) const SMALL: usize = 4 << 10;

/// Bytes that are enough for a turn.
const FULL: usize = 16 << 10;

/// Bytes of a message before its payload: [flags](TEXT), and the length in two bytes.
const HEADER: usize = 3;

/// Flags of a message.
const TEXT: u8 = 1;
const COMPRESSED: u8 = 2;
const ECHOED: u8 = 4;

/// Bytes that each record of a turn takes elsewhere, in the reckoning of memory.
const PLACE: usize = 32;

thread_local! {
    /// Turn for the next session of this thread that receives a message.
    static SPARE: Cell<Option<Box<Turn>>> = const { Cell::new(None) };
}

/// Messages of one turn that are not recorded yet: of each a header and its payload.
#[derive(Debug, Default)]
pub(super) struct Turn {
    bytes: Vec<u8>,
    /// Start of the last message.
    last: usize,
    /// Counts of the messages.
    pub(super) received: Counts,
    /// Counts of their echoes.
    pub(super) sent: Counts,
}

impl Turn {
    /// An empty turn, in the memory of an earlier one of this thread.
    pub(super) fn of_thread() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// Becomes the thread's spare turn.
    pub(super) fn give_back(mut self: Box<Self>) {
        self.bytes.clear();
        (self.received, self.sent) = (Counts::default(), Counts::default());
        SPARE.set(Some(self));
    }

    /// Whether it has to be recorded before it takes another message.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Adds a message that was received in one frame, whose payload is [small](SMALL).
    #[inline]
    pub(super) fn receive(&mut self, kind: Kind, payload: &[u8], is_compressed: bool) {
        self.last = self.bytes.len();
        let text = if kind == Kind::Text { TEXT } else { 0 };
        let compressed = if is_compressed { COMPRESSED } else { 0 };
        let [low, high] = (payload.len() as u16).to_le_bytes();
        self.bytes
            .extend_from_slice(&[text | compressed, low, high]);
        self.bytes.extend_from_slice(payload);
        self.received.count_small(payload.len());
    }

    /// Notes that the last message is sent back.
    #[inline]
    pub(super) fn echo(&mut self) {
        let payload = self.bytes.len().saturating_sub(self.last + HEADER);
        if let Some(flags) = self.bytes.get_mut(self.last)
            && *flags & ECHOED == 0
        {
            *flags |= ECHOED;
            self.sent.count_small(payload);
        }
    }

    /// The same messages as they are kept.
    pub(super) fn kept(&self, at: SystemTime) -> KeptTurn {
        KeptTurn {
            at,
            bytes: Bytes::copy_from_slice(&self.bytes),
            next: 0,
            is_echo_next: false,
            content: self.content(),
            all: 1..=self.received.messages + self.sent.messages,
            first: 1,
        }
    }

    /// Bytes of content of all records.
    pub(super) fn content(&self) -> usize {
        (self.received.bytes + self.sent.bytes) as usize
    }
}

/// Messages of one turn that are kept, but for the first ones, which may be gone.
#[derive(Debug, Clone)]
pub(super) struct KeptTurn {
    at: SystemTime,
    bytes: Bytes,
    /// Start of the first message that is kept.
    next: usize,
    /// Whether only the echo of that message is kept.
    is_echo_next: bool,
    /// Bytes of content of the records that are kept.
    content: usize,
    /// Numbers of all records, with those that are gone.
    all: RangeInclusive<u64>,
    /// Number of the first record that is kept.
    first: u64,
}

impl KeptTurn {
    /// Gives its records the numbers after this one.
    pub(super) fn number(&mut self, after: u64) {
        self.all = after + self.all.start()..=after + self.all.end();
        self.first = *self.all.start();
    }

    /// Numbers of all records, with those that are gone.
    pub(super) fn all(&self) -> RangeInclusive<u64> {
        self.all.clone()
    }

    /// Bytes of memory that it takes, until no record is left.
    pub(super) fn memory(&self) -> usize {
        let records = self.all.end() + 1 - self.all.start();
        OVERHEAD + self.bytes.len() + PLACE * records as usize
    }

    /// Whether all records are gone.
    pub(super) fn is_empty(&self) -> bool {
        self.first > *self.all.end()
    }

    /// Drops the first records: so many, with so many bytes of content, or all of them. Returns
    /// their number, and the bytes of their contents.
    pub(super) fn drop_first(&mut self, records: usize, content: usize) -> (usize, usize) {
        let (end, before) = (*self.all.end() + 1, self.content);
        let left = (end - self.first) as usize;
        if records >= left {
            (self.first, self.content) = (end, 0);
            return (left, before);
        }
        let mut dropped = 0;
        while dropped < left && (dropped < records || before - self.content < content) {
            self.skip();
            dropped += 1;
        }
        (dropped, before - self.content)
    }

    /// Drops the first record.
    #[inline]
    fn skip(&mut self) {
        let (flags, length) = self.header();
        self.is_echo_next = !self.is_echo_next && flags & ECHOED != 0;
        if !self.is_echo_next {
            self.next += HEADER + length;
        }
        self.first += 1;
        self.content -= length;
    }

    /// Flags of the first message that is kept, and the length of its payload. There is one.
    fn header(&self) -> (u8, usize) {
        match self.bytes[self.next..] {
            [flags, low, high, ..] => (flags, u16::from_le_bytes([low, high]).into()),
            _ => (0, 0),
        }
    }

    /// The records that are kept, in their order. Their contents share the memory of the turn.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + use<> {
        let mut rest = self.clone();
        from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = rest.record();
            rest.skip();
            Some(record)
        })
    }

    /// The first record that is kept.
    fn record(&self) -> Record {
        let (flags, length) = self.header();
        let start = self.next + HEADER;
        let content = self.bytes.slice(start..start + length);
        let kind = match flags & TEXT {
            0 => Kind::Binary,
            _ => Kind::Text,
        };
        Record {
            seq: self.first,
            at: self.at,
            direction: match self.is_echo_next {
                true => Direction::Out,
                false => Direction::In,
            },
            message: Message {
                is_compressed: flags & COMPRESSED != 0,
                ..Message::plain(kind, content)
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(messages: &[(&str, bool)]) -> Box<Turn> {
        let mut turn = Turn::of_thread();
        for (payload, is_echoed) in messages {
            turn.receive(Kind::Text, payload.as_bytes(), false);
            if *is_echoed {
                turn.echo();
            }
        }
        turn
    }

    fn records(kept: &KeptTurn) -> Vec<(u64, Direction, String)> {
        let record = |record: Record| {
            let content = record.message.content.unwrap();
            assert_eq!(record.message.bytes, content.len());
            let content = String::from_utf8(content.to_vec()).unwrap();
            (record.seq, record.direction, content)
        };
        kept.records().map(record).collect()
    }

    #[test]
    fn messages_and_their_echoes_are_kept_until_they_are_dropped_one_after_another() {
        use Direction::{In, Out};
        let turn = turn(&[("one", true), ("", false), ("three", true)]);
        let mut kept = turn.kept(SystemTime::UNIX_EPOCH);
        kept.number(10);
        assert_eq!(kept.all(), 11..=15);
        let mut expected = vec![
            (11, In, "one".to_owned()),
            (12, Out, "one".to_owned()),
            (13, In, String::new()),
            (14, In, "three".to_owned()),
            (15, Out, "three".to_owned()),
        ];
        let mut content = turn.content();
        assert_eq!(content, 16);
        let memory = kept.memory();
        while !kept.is_empty() {
            assert_eq!(records(&kept), expected);
            assert_eq!(kept.memory(), memory);
            assert_eq!(kept.drop_first(1, 0), (1, expected[0].2.len()));
            content -= expected.remove(0).2.len();
        }
        assert_eq!((expected.len(), content), (0, 0));
        assert_eq!(records(&kept), []);
    }

    #[test]
    fn as_many_records_are_dropped_as_are_asked_for_and_as_many_as_have_the_bytes() {
        let turn = turn(&[("four", true), ("four", false), ("four", true)]);
        let kept = turn.kept(SystemTime::UNIX_EPOCH);
        let dropped = |most, content| {
            let mut kept = kept.clone();
            let dropped = kept.drop_first(most, content);
            assert_eq!(records(&kept).len(), 5 - dropped.0);
            assert_eq!(kept.is_empty(), dropped.0 == 5);
            dropped
        };
        assert_eq!(dropped(0, 0), (0, 0));
        assert_eq!(dropped(2, 0), (2, 8));
        assert_eq!(dropped(1, 9), (3, 12));
        assert_eq!(dropped(4, 1), (4, 16));
        assert_eq!(dropped(5, 0), (5, 20));
        assert_eq!(dropped(0, 100), (5, 20));
    }

    #[test]
    fn a_record_says_of_which_kind_its_message_was_and_whether_it_was_compressed() {
        let mut turn = Turn::of_thread();
        for (kind, is_compressed) in [(Kind::Text, false), (Kind::Binary, true)] {
            turn.receive(kind, b"x", is_compressed);
        }
        let kept = turn.kept(SystemTime::UNIX_EPOCH);
        let messages = kept.records().map(|record| record.message);
        let seen = messages.map(|message| (message.kind, message.is_compressed, message.frames));
        let expected = [(Kind::Text, false, 1), (Kind::Binary, true, 1)];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn messages_are_counted_and_an_echo_once() {
        let mut turn = turn(&[("one", true), ("three", false)]);
        turn.echo();
        turn.echo();
        let counts = |bytes| Counts {
            messages: 2,
            frames: 2,
            bytes,
            ..Counts::default()
        };
        assert_eq!((turn.received, turn.sent), (counts(8), counts(8)));
        let mut empty = Turn::default();
        empty.echo();
        assert_eq!(empty.sent, Counts::default());
    }

    #[test]
    fn a_turn_is_full_after_so_many_bytes_and_empty_when_it_is_given_back() {
        let payload = "x".repeat(SMALL);
        let mut turn = turn(&[(payload.as_str(), true); 3]);
        assert!(!turn.is_full());
        turn.receive(Kind::Text, payload.as_bytes(), false);
        assert!(turn.is_full());
        turn.give_back();
        let next = Turn::of_thread();
        assert!(next.bytes.is_empty() && next.bytes.capacity() > SMALL);
        assert_eq!(next.received, Counts::default());
    }
}
