//! Messages that are kept whole for a moment, to be sent twice or after the next one.

use tokio::time::Instant;

use super::outgoing::Masks;

/// Bytes of the largest message that is kept.
const LIMIT: usize = 1 << 20;

/// A message that is being kept, or is kept.
#[derive(Debug)]
pub(super) struct KeptMessage {
    /// Opcode and reserved bits.
    pub(super) first: u8,
    /// Masks of its first frame: one that breaks the rules stays so.
    pub(super) masks: Masks,
    pub(super) payload: Vec<u8>,
    /// Moment at which it is sent at the latest, once it is whole.
    pub(super) due: Option<Instant>,
}

impl KeptMessage {
    pub(super) fn begin(first: u8, masks: Masks) -> Self {
        Self {
            first,
            masks,
            payload: Vec::new(),
            due: None,
        }
    }

    /// Takes a piece of the payload, unless the message would be too large.
    pub(super) fn take(&mut self, piece: &[u8]) -> bool {
        let fits = self.payload.len() + piece.len() <= LIMIT;
        if fits {
            self.payload.extend_from_slice(piece);
        }
        fits
    }
}
