//! Echo of a message: sent at once and from where it was read, if no other message goes with it.

use std::task::Context;

use super::Session;
use super::write_buffer::LARGE;
use crate::net::transport::Transport;
use crate::ws::close::End;
use crate::ws::frames::Opcode;

impl<S> Session<S>
where
    S: Transport,
{
    /// Sends the last message back, or feeds it to the writer.
    pub(super) fn echo(&mut self, opcode: Opcode, cx: &mut Context<'_>) -> Result<(), End> {
        let payload = self.codec.payload();
        let is_large = payload.len() >= LARGE;
        let is_alone = self.io.get_ref().drains_by_short_read() && !self.codec.has_more();
        if !is_large && !is_alone {
            self.writer.feed(opcode, payload);
            return Ok(());
        }
        let Some(frame) = self.codec.frame(opcode) else {
            match is_large {
                true => self.writer.feed_large(opcode, self.codec.take_payload()),
                false => self.writer.feed(opcode, self.codec.payload()),
            }
            return Ok(());
        };
        let sent = self.writer.send(frame, &mut self.io, cx)?;
        match frame.len() - sent {
            0 => {}
            1..LARGE => self.writer.feed_frame(&frame[sent..]),
            _ => self.writer.feed_large_frame(self.codec.take_frame(sent)),
        }
        Ok(())
    }
}
