//! Messages that one session counts.

/// Text and binary messages of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
}

impl Traffic {
    pub(crate) fn count(&mut self, payload: usize) {
        self.messages += 1;
        self.bytes += payload as u64;
    }
}

/// Messages that a session has counted since it last added them up, by kind: text, then binary.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: [Traffic; 2],
    pub(crate) sent: [Traffic; 2],
}
