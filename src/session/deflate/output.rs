//! Memory for the output of zlib, which is borrowed from the thread.

use std::cell::Cell;
use std::mem;
use std::ops::Deref;

use bytes::{Buf, Bytes};

use crate::ws::frames::{FIN, MAX_FRAME_HEADER, Opcode, RSV1, header_size, put_header_of};

/// Size of the memory at first, and of that which a thread keeps. It is doubled for longer messages,
/// and has some room beside a message whose size is a power of two.
const KEPT: usize = (64 << 10) + 256;

/// Room for the header of a frame, in front of the output.
const HEADROOM: usize = MAX_FRAME_HEADER;

thread_local! {
    /// Memory for the messages of a thread's sessions: one is inflated, another deflated from it.
    static SPARE: [Cell<Vec<u8>>; 2] = const { [const { Cell::new(Vec::new()) }; 2] };
}

/// Bytes that came out of zlib.
#[derive(Debug)]
pub(in crate::session) struct Output {
    /// Memory that is initialized, for zlib to write to.
    memory: Vec<u8>,
    /// End of the output in it.
    end: usize,
}

impl Output {
    /// Empty output, in memory of the thread.
    pub(super) fn new() -> Self {
        let take = |spare: &[Cell<Vec<u8>>; 2]| match spare[0].take() {
            none if none.is_empty() => spare[1].take(),
            memory => memory,
        };
        let mut memory = SPARE.with(take);
        if memory.is_empty() {
            memory = vec![0; KEPT];
        }
        Self {
            memory,
            end: HEADROOM,
        }
    }

    /// Room for `most` bytes, or for fewer, but for `least` in any case.
    pub(super) fn room(&mut self, least: usize, most: usize) -> &mut [u8] {
        if self.memory.len() - self.end < least {
            match self.memory.len() < KEPT {
                true => self.move_to(Self::new().memory),
                false => self.memory.resize(2 * self.memory.len(), 0),
            }
        }
        let end = self.end.saturating_add(most).min(self.memory.len());
        &mut self.memory[self.end..end]
    }

    /// Reduces the memory to what little output there is, before a wait that may be long.
    pub(super) fn settle(&mut self) {
        if self.memory.len() == KEPT && self.end < KEPT / 4 {
            self.move_to(vec![0; self.end]);
        }
    }

    /// Moves the output to other memory, and gives its own back to the thread.
    fn move_to(&mut self, mut memory: Vec<u8>) {
        let end = self.end;
        memory[..end].copy_from_slice(&self.memory[..end]);
        mem::replace(self, Self { memory, end }).give_back();
    }

    /// Notes that this many bytes were written to the room.
    pub(super) fn grow(&mut self, written: usize) {
        self.end += written;
    }

    /// Removes bytes at the end, if they are there.
    pub(super) fn strip(&mut self, suffix: &[u8]) -> bool {
        let is_there = self.ends_with(suffix);
        if is_there {
            self.end -= suffix.len();
        }
        is_there
    }

    /// Appends a byte.
    pub(super) fn push(&mut self, byte: u8) {
        self.room(1, 1).fill(byte);
        self.grow(1);
    }

    /// Makes the frame of a compressed message with this payload.
    pub(in crate::session) fn frame(&mut self, opcode: Opcode) -> &[u8] {
        let start = HEADROOM - header_size(self.len());
        let first = FIN | RSV1 | opcode as u8;
        let size = self.len();
        put_header_of(first, size, &mut &mut self.memory[start..HEADROOM]);
        &self.memory[start..self.end]
    }

    /// The [frame](Self::frame), without this many bytes at its front.
    pub(in crate::session) fn into_frame(mut self, without: usize) -> Bytes {
        let start = HEADROOM - header_size(self.len()) + without;
        self.memory.truncate(self.end);
        let mut frame = Bytes::from(self.memory);
        frame.advance(start);
        frame
    }

    /// The output alone.
    pub(in crate::session) fn into_bytes(mut self) -> Bytes {
        self.memory.truncate(self.end);
        let mut bytes = Bytes::from(self.memory);
        bytes.advance(HEADROOM);
        bytes
    }

    /// Gives the memory back to the thread, unless it has grown.
    pub(in crate::session) fn give_back(self) {
        if self.memory.len() == KEPT {
            SPARE.with(|spare| {
                let first = spare[0].replace(self.memory);
                if !first.is_empty() {
                    spare[1].set(first);
                }
            });
        }
    }
}

impl Deref for Output {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[HEADROOM..self.end]
    }
}
