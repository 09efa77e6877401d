//! One direction: frames of the source, as they go to the sink. [`inserts`] are frames of others,
//! which are put in between.

mod inserts;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::message::KeptMessage;
use super::outgoing::{Masks, Outgoing};
use super::queue::Queue;
use super::tap::Tap;
use crate::proxy::tunnel::Side;
use crate::registry::record::Message;
use crate::scenario::{Fate, Fates, REORDERED_WITHIN, Scenario, Step};
use crate::session::faulty::{Action, Triggers};
use crate::session::unmask;
use crate::ws::frames::{BINARY, CONTINUATION, FIN, Header, TEXT};
use inserts::{Insert, is_end};

/// Opcode of a Close.
const CLOSE: u8 = 0x8;

/// The frames of one direction.
#[derive(Debug)]
pub(super) struct Lane {
    /// The side that the frames go to.
    to: Side,
    /// The delay of each frame, at least and at most.
    delay: (Duration, Duration),
    fates: Fates,
    triggers: Triggers,
    /// Bytes that were read, and are not whole headers yet.
    input: Vec<u8>,
    frame: Option<Frame>,
    /// Delay of the frame that was begun last.
    late: Duration,
    /// Fate of the message under way, if there is one.
    message: Option<Fate>,
    /// The message under way, if it is to be sent again or later.
    kept: Option<KeptMessage>,
    /// A message that is to be sent after the next one.
    held: Option<KeptMessage>,
    /// Messages that have passed, or were dropped.
    messages: u64,
    /// Frames that are to be put in as soon as they can be.
    inserts: VecDeque<Insert>,
    /// The messages that are recorded, if the API shows the tunnel.
    tap: Option<Tap>,
    outgoing: Outgoing,
    pub(super) queue: Queue,
    /// The end that the last insert or action is to bring, after which nothing more is parsed.
    is_ending: bool,
    /// Whether the source has sent Close.
    pub(super) has_close: bool,
    /// Whether a Close was put in, so that all that comes is discarded.
    is_closed: bool,
    /// Moment since which a Close is to be put in, and was meant to arrive.
    closing_since: Option<Instant>,
}

/// A frame that comes in.
#[derive(Debug, Clone, Copy)]
struct Frame {
    first: u8,
    /// Bytes of payload that have not come.
    left: u64,
    mask: Option<[u8; 4]>,
    /// Mask that it goes out with.
    masks: Masks,
}

impl Frame {
    fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }

    fn is_final(&self) -> bool {
        self.first & FIN != 0
    }

    fn opcode(&self) -> u8 {
        self.first & 0x0f
    }
}

impl Lane {
    /// The direction to this side, with these steps, from `start` on. If messages are recorded, those
    /// of up to `keep_bytes` are kept.
    pub(super) fn new(
        to: Side,
        scenario: &Scenario,
        keep_bytes: Option<usize>,
        start: Instant,
    ) -> Self {
        let mut lane = Self {
            to,
            delay: (Duration::ZERO, Duration::ZERO),
            fates: Fates::of(scenario),
            triggers: Triggers::new(scenario, start),
            input: Vec::new(),
            frame: None,
            late: Duration::ZERO,
            message: None,
            kept: None,
            held: None,
            messages: 0,
            inserts: VecDeque::new(),
            tap: keep_bytes.map(Tap::new),
            outgoing: Outgoing::new(u64::MAX),
            queue: Queue::default(),
            is_ending: false,
            has_close: false,
            is_closed: false,
            closing_since: None,
        };
        for step in scenario.steps() {
            match step {
                Step::Delay { least, most } => lane.delay = (*least, *most),
                Step::Fragment(bytes) => lane.outgoing = Outgoing::new(*bytes as u64),
                _ => {}
            }
        }
        lane.count(start);
        lane
    }

    /// The side that the frames go to.
    pub(super) fn to(&self) -> Side {
        self.to
    }

    /// Whether more is to be read.
    pub(super) fn reads(&self) -> bool {
        !self.is_ending && self.queue.has_room()
    }

    /// Moment since which the receiver of a Close is waited for.
    pub(super) fn closing_since(&self) -> Option<Instant> {
        self.closing_since
    }

    /// Moment of the next thing that is to be done, while the sink takes bytes or `is_blocked`.
    pub(super) fn next(&self, is_blocked: bool) -> Option<Instant> {
        let held = self.held.as_ref().and_then(|held| held.due);
        let held = held.filter(|_| self.is_between_messages());
        let queue = self.queue.next().filter(|_| !is_blocked);
        let times = [queue, self.triggers.next(), held];
        times.into_iter().flatten().min()
    }

    /// Runs the actions that are due by `now`, and returns the action that ends the tunnel at once, if there is
    /// one.
    pub(super) fn keep_time(&mut self, now: Instant) -> Option<Action> {
        while let Some(action) = self.triggers.timed(now) {
            if is_end(&action) {
                return Some(action);
            }
            self.insert(action, now);
        }
        self.put_inserts(now);
        let held = self.held.as_ref();
        if self.is_between_messages()
            && held.and_then(|held| held.due).is_some_and(|due| due <= now)
        {
            self.release(now);
        }
        None
    }

    /// Whether neither a message nor a frame is under way, so that a message may be put in.
    fn is_between_messages(&self) -> bool {
        self.message.is_none() && self.frame.is_none()
    }

    /// Sends the message that is held. It is lost if another one is under way, which is not going to
    /// be whole.
    fn release(&mut self, now: Instant) {
        if let Some(held) = self.held.take()
            && self.is_between_messages()
        {
            self.put_message(&held, now);
        }
    }

    /// Takes bytes of the source.
    pub(super) fn take(&mut self, read: &[u8], now: Instant) {
        if self.is_closed {
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        let bytes = match input.is_empty() {
            true => read,
            false => {
                input.extend_from_slice(read);
                &input
            }
        };
        let parsed = self.parse(bytes, now);
        self.input = bytes[parsed..].to_vec();
    }

    /// Notes that the source has ended.
    pub(super) fn end(&mut self, now: Instant) {
        self.release(now);
    }

    /// Passes frames on, and returns how many bytes need not be seen again.
    fn parse(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut parsed = 0;
        loop {
            if self.is_closed {
                return bytes.len();
            }
            let rest = &bytes[parsed..];
            match &mut self.frame {
                _ if self.is_ending => return parsed,
                None => {
                    let Some(header) = Header::parse(rest) else {
                        return parsed;
                    };
                    parsed += header.size;
                    self.begin(&header, now);
                }
                Some(_) if rest.is_empty() => return parsed,
                Some(frame) => {
                    let size =
                        usize::try_from(frame.left).map_or(rest.len(), |it| it.min(rest.len()));
                    parsed += size;
                    self.payload(&rest[..size], now);
                }
            }
            if self.frame.is_some_and(|frame| frame.left == 0) {
                self.end_frame(now);
            }
        }
    }

    /// The mask of a frame that came with this one: a client's is made anew. A frame that breaks
    /// the rules stays as it is, so that its receiver sees that.
    fn masks(&self, mask: Option<[u8; 4]>) -> Masks {
        match (self.to, mask) {
            (Side::Upstream, Some(_)) => Masks::Fresh,
            (_, mask) => Masks::Kept(mask),
        }
    }

    fn begin(&mut self, header: &Header, now: Instant) {
        let frame = Frame {
            first: header.first,
            left: header.payload,
            mask: header.mask,
            masks: self.masks(header.mask),
        };
        let (least, most) = self.delay;
        self.late = rand::random_range(least..=most);
        if frame.opcode() == CLOSE {
            self.has_close = true;
            self.release(now);
        }
        self.frame = Some(frame);
        if matches!(frame.opcode(), TEXT | BINARY) && self.message.is_none() {
            let fate = match self.fates.draw() {
                Fate::Reorder if self.held.is_some() => Fate::Pass,
                fate => fate,
            };
            self.message = Some(fate);
            if matches!(fate, Fate::Duplicate | Fate::Reorder) {
                self.kept = Some(KeptMessage::begin(frame.first & !FIN, frame.masks));
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.begin(frame.first);
        }
        if self.passes(frame) {
            let outgoing = &mut self.outgoing;
            self.queue.append(now + self.late, |bytes| {
                outgoing.begin(frame.first, frame.left, frame.masks, bytes);
            });
        }
    }

    /// Whether a frame is passed on as it comes.
    fn passes(&self, frame: Frame) -> bool {
        frame.is_control() || !matches!(self.message, Some(Fate::Drop | Fate::Reorder))
    }

    fn payload(&mut self, piece: &[u8], now: Instant) {
        let Some(mut frame) = self.frame else {
            return;
        };
        let mut piece = piece.to_vec();
        if let Some(mask) = &mut frame.mask {
            unmask(&mut piece, *mask);
            mask.rotate_left(piece.len() % 4);
        }
        if let Some(tap) = &mut self.tap {
            tap.payload(&piece);
        }
        if self.passes(frame) {
            self.put(&piece, frame.masks, now);
        }
        if !frame.is_control() {
            self.keep(&piece, frame, now);
        }
        frame.left -= piece.len() as u64;
        self.frame = Some(frame);
    }

    /// Keeps a piece of a message that is to be sent again or later. One that is too large is
    /// passed on once, as it comes.
    fn keep(&mut self, piece: &[u8], frame: Frame, now: Instant) {
        if self.kept.as_mut().is_none_or(|kept| kept.take(piece)) {
            return;
        }
        let fate = self.message.replace(Fate::Pass);
        let kept = self.kept.take();
        if let Some(kept) = kept
            && fate == Some(Fate::Reorder)
        {
            let (outgoing, masks) = (&mut self.outgoing, frame.masks);
            self.queue.append(now + self.late, |bytes| {
                outgoing.begin(kept.first, kept.payload.len() as u64, masks, bytes);
                outgoing.put(&kept.payload, masks, bytes);
                let first = CONTINUATION | frame.first & FIN;
                outgoing.begin(first, frame.left, masks, bytes);
                outgoing.put(piece, masks, bytes);
            });
        }
    }

    fn put(&mut self, piece: &[u8], masks: Masks, now: Instant) {
        let outgoing = &mut self.outgoing;
        self.queue.append(now + self.late, |bytes| {
            outgoing.put(piece, masks, bytes);
        });
    }

    fn end_frame(&mut self, now: Instant) {
        let Some(frame) = self.frame.take() else {
            return;
        };
        if let Some(tap) = &mut self.tap {
            tap.end(frame.first);
        }
        if frame.is_final() && !frame.is_control() && self.message.is_some() {
            self.end_message(now);
        }
        self.put_inserts(now);
    }

    fn end_message(&mut self, now: Instant) {
        let fate = self.message.take();
        match (fate, self.kept.take()) {
            (Some(Fate::Reorder), Some(mut kept)) => {
                kept.due = Some(now + REORDERED_WITHIN);
                self.held = Some(kept);
            }
            (_, kept) => {
                for message in kept.into_iter().chain(self.held.take()) {
                    self.put_message(&message, now);
                }
            }
        }
        self.messages += 1;
        self.count(now);
    }

    fn put_message(&mut self, message: &KeptMessage, now: Instant) {
        let outgoing = &mut self.outgoing;
        self.queue.append(now + self.late, |bytes| {
            outgoing.put_whole(message.first, &message.payload, message.masks, bytes);
        });
    }

    /// Takes the messages that were recorded.
    pub(super) fn take_recorded(&mut self) -> impl Iterator<Item = Message> {
        self.tap.iter_mut().flat_map(Tap::take)
    }
}
