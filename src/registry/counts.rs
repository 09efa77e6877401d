//! Counts of what went one way over a connection.

use super::record::Message;

/// Counts of what went one way over a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Text and binary messages.
    pub(crate) messages: u64,
    /// Frames, control frames among them.
    pub(crate) frames: u64,
    /// Frames of messages that had more than one.
    pub(crate) fragments: u64,
    pub(crate) control_frames: u64,
    /// Bytes of the messages, uncompressed.
    pub(crate) bytes: u64,
}

impl Counts {
    /// Counts a text or binary message of one frame.
    #[inline]
    pub(super) fn count_small(&mut self, bytes: usize) {
        self.messages += 1;
        self.frames += 1;
        self.bytes += bytes as u64;
    }

    /// Counts everything that others count.
    pub(super) fn add(&mut self, others: &Self) {
        self.messages += others.messages;
        self.frames += others.frames;
        self.fragments += others.fragments;
        self.control_frames += others.control_frames;
        self.bytes += others.bytes;
    }

    /// Counts a message or control frame.
    pub(super) fn count(&mut self, message: &Message) {
        let frames = u64::from(message.frames);
        self.frames += frames;
        if message.kind.is_control() {
            self.control_frames += frames;
            return;
        }
        self.messages += 1;
        self.bytes += message.bytes as u64;
        if frames > 1 {
            self.fragments += frames;
        }
    }
}
