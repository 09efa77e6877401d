//! Frames that are put into one direction: those of steps, and those of the API.

use bytes::Bytes;
use tokio::time::Instant;

use super::super::outgoing::{Masks, put_masked};
use super::Lane;
use crate::proxy::tunnel::Side;
use crate::registry::record::Kind;
use crate::scenario::Closing;
use crate::session::faulty::{Action, bad_frame, close_frame};
use crate::ws::frames::Opcode;

/// A frame that is put in.
#[derive(Debug)]
pub(super) enum Insert {
    /// A Close, between frames.
    Close(Closing),
    /// A broken frame, between messages.
    Bad(Vec<u8>),
    /// A message, between others.
    Message(Opcode, Bytes),
}

impl Lane {
    /// Whether a frame waits that is to be put in.
    pub(in crate::proxy::tunnel::framed) fn is_busy(&self) -> bool {
        !self.inserts.is_empty()
    }

    /// Puts a message in, as soon as one can be.
    pub(in crate::proxy::tunnel::framed) fn push(
        &mut self,
        opcode: Opcode,
        payload: Bytes,
        now: Instant,
    ) {
        self.inserts.push_back(Insert::Message(opcode, payload));
        self.put_inserts(now);
    }

    /// Puts a Close in, as soon as one can be.
    pub(in crate::proxy::tunnel::framed) fn close(&mut self, closing: Closing, now: Instant) {
        self.insert(Action::Close(closing), now);
        self.put_inserts(now);
    }

    /// Does the actions that are due after so many messages.
    pub(super) fn count(&mut self, now: Instant) {
        while let Some(action) = self.triggers.counted(self.messages) {
            if is_end(&action) {
                self.release(now);
                self.queue.end(now + self.late, action);
                self.is_ending = true;
                return;
            }
            self.insert(action, now);
        }
        self.put_inserts(now);
    }

    pub(super) fn insert(&mut self, action: Action, now: Instant) {
        if matches!(action, Action::Close(_)) {
            self.closing_since.get_or_insert(now + self.late);
        }
        self.inserts.extend(match action {
            Action::Close(closing) => Some(Insert::Close(closing)),
            Action::Bad(bad) => Some(Insert::Bad(bad_frame(bad))),
            _ => None,
        });
    }

    /// Puts in what can be put in here.
    pub(super) fn put_inserts(&mut self, now: Instant) {
        while self.frame.is_none() && !self.is_closed {
            let is_between = self.message.is_none();
            let can = |insert: &Insert| is_between || matches!(insert, Insert::Close(_));
            if !self.inserts.front().is_some_and(can) {
                return;
            }
            match self.inserts.pop_front() {
                Some(Insert::Bad(frame)) => self.put_frame(&frame, now),
                Some(Insert::Close(closing)) => self.put_close(&closing, now),
                // Nothing may follow a Close (RFC 6455, section 5.5.1).
                Some(Insert::Message(..)) if self.has_close => {}
                Some(Insert::Message(opcode, payload)) => {
                    self.put_pushed(opcode, &payload, now);
                }
                None => {}
            }
        }
    }

    fn put_close(&mut self, closing: &Closing, now: Instant) {
        self.release(now);
        let frame = close_frame(closing);
        self.put_frame(&frame, now);
        self.is_closed = true;
        self.record(Kind::Close, &frame[2..]);
    }

    fn put_pushed(&mut self, opcode: Opcode, payload: &[u8], now: Instant) {
        self.record(opcode.into(), payload);
        let (first, masks) = (opcode as u8, self.own_masks());
        let outgoing = &mut self.outgoing;
        self.queue.append(now + self.late, |bytes| {
            outgoing.put_whole(first, payload, masks, bytes);
        });
    }

    fn put_frame(&mut self, frame: &[u8], now: Instant) {
        let masks = self.own_masks();
        self.queue.append(now + self.late, |bytes| match masks {
            Masks::Fresh => put_masked(frame, masks, bytes),
            Masks::Kept(_) => bytes.extend_from_slice(frame),
        });
    }

    /// The mask of a frame that is put in.
    pub(super) fn own_masks(&self) -> Masks {
        match self.to {
            Side::Upstream => Masks::Fresh,
            Side::Client => Masks::Kept(None),
        }
    }

    fn record(&mut self, kind: Kind, payload: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap.insert(kind, payload);
        }
    }
}

/// Whether an action ends the tunnel, or stops it.
pub(super) fn is_end(action: &Action) -> bool {
    matches!(action, Action::Fin | Action::Rst | Action::Stall)
}

#[cfg(test)]
mod tests {
    use super::super::super::queue::Due;
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn nothing_is_pushed_behind_a_close() {
        let now = Instant::now();
        let mut lane = Lane::new(Side::Client, &Scenario::default(), None, now);
        for bytes in [&b"\x81\x02h"[..], b"i\x88\x00"] {
            lane.take(bytes, now);
            lane.push(Opcode::Text, Bytes::from("a"), now);
        }
        let Due::Bytes(bytes) = lane.queue.due(now) else {
            panic!("nothing is due");
        };
        assert_eq!(bytes, b"\x81\x02hi\x81\x01a\x88\x00");
        assert!(!lane.is_busy());
    }
}
