//! Echo of a message: sent at once and from where it was read, if no other message goes with it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::task::yield_now;

use super::Session;
use super::deflate::Next;
use super::protocol::Received;
use super::write_buffer::LARGE;
use crate::net::transport::Transport;
use crate::runtime::budget::Budget;
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
        let is_alone = self.is_alone();
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
        self.stats.observe_turn();
        let sent = self.writer.send(frame, &mut self.io, cx)?;
        match frame.len() - sent {
            0 => {}
            1..LARGE => self.writer.feed_frame(&frame[sent..]),
            _ => self.writer.feed_large_frame(self.codec.take_frame(sent)),
        }
        Ok(())
    }

    /// Whether no other message has come with the last one.
    fn is_alone(&self) -> bool {
        self.io.get_ref().drains_by_short_read() && !self.codec.has_more()
    }

    /// Sends the echo that was compressed, or feeds it to the writer.
    pub(super) fn send_compressed(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let is_alone = self.is_alone();
        let Some(messages) = self.codec.compressed() else {
            return Ok(());
        };
        self.stats.observe_turn();
        let frame = messages.frame();
        let sent = match is_alone || frame.len() >= LARGE {
            true => self.writer.send(frame, &mut self.io, cx)?,
            false => 0,
        };
        match frame.len() - sent {
            0 => {}
            1..LARGE => self.writer.feed_frame(&frame[sent..]),
            _ => self.writer.feed_large_frame(messages.take_frame(sent)),
        }
        Ok(())
    }

    /// Sends the echo that is still being compressed, if there is one.
    pub(super) async fn finish_echo(&mut self) -> Result<(), End> {
        while let Some(messages) = self.codec.compressed()
            && messages.owes_echo()
        {
            let next = messages.deflate(&mut Budget::new())?;
            if matches!(next, Next::Received(Received::Echo)) {
                self.flush().await?;
                poll_fn(|cx| Poll::Ready(self.send_compressed(cx))).await?;
                return self.flush().await;
            }
            yield_now().await;
        }
        Ok(())
    }
}
