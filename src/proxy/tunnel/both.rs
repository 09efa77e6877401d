//! Two directions, of bytes or of frames.

use std::task::Context;
use std::time::Duration;

use super::flow::Flow;
use super::{End, Side};
use crate::net::transport::Transport;
use crate::runtime::moment::Moment;

/// Progress of one direction.
pub(super) trait Direction {
    /// Bytes written in all.
    fn bytes(&self) -> u64;

    /// Whether the source has begun to close.
    fn is_closing(&self) -> bool;

    /// Whether the sink was told of the end of the source.
    fn is_over(&self) -> bool;

    /// Whether the source is not read at present, so that its failure would go unseen.
    fn is_unwatched(&self) -> bool;

    /// Time for which the sink has taken nothing, if there are bytes for it.
    fn blocked_for(&self, now: Moment) -> Option<Duration>;
}

/// Both directions.
#[derive(Debug)]
pub(super) struct Both<D> {
    /// From the client to the upstream.
    pub(super) inward: D,
    /// From the upstream to the client.
    pub(super) outward: D,
    /// Whether `outward` goes first. The two take turns at that, because one that never pauses
    /// takes all of the task's budget.
    is_outward_first: bool,
}

impl<D: Direction> Both<D> {
    pub(super) fn new(inward: D, outward: D) -> Self {
        Self {
            inward,
            outward,
            is_outward_first: false,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.inward.bytes() + self.outward.bytes()
    }

    /// Whether both have ended.
    pub(super) fn is_over(&self) -> bool {
        self.inward.is_over() && self.outward.is_over()
    }

    /// The directions in the order of this turn, in which `true` is outward.
    pub(super) fn turn(&mut self) -> [bool; 2] {
        self.is_outward_first = !self.is_outward_first;
        [self.is_outward_first, !self.is_outward_first]
    }

    /// The side that began to close: `before`, if that still holds. A server ends TCP before its
    /// client does (RFC 6455, section 7.1.1), so a Close counts, and not only the end of TCP.
    pub(super) fn first_to_close(&self, before: Option<Side>) -> Option<Side> {
        let (client, upstream) = (self.inward.is_closing(), self.outward.is_closing());
        match before {
            // Its bytes only looked like a Close.
            Some(Side::Client) if !client => None,
            Some(Side::Upstream) if !upstream => None,
            before => before,
        }
        .or(client.then_some(Side::Client))
        .or(upstream.then_some(Side::Upstream))
    }
}

impl Both<Flow> {
    /// Copies both ways, and says whether both have ended.
    pub(super) fn copy<C, U>(
        &mut self,
        client: &mut C,
        upstream: &mut U,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Result<bool, End>
    where
        C: Transport,
        U: Transport,
    {
        for is_outward in self.turn() {
            match is_outward {
                false => (self.inward.copy(client, upstream, buffer, cx))
                    .map_err(|fault| fault.end(Side::Client, Side::Upstream)),
                true => (self.outward.copy(upstream, client, buffer, cx))
                    .map_err(|fault| fault.end(Side::Upstream, Side::Client)),
            }?;
        }
        Ok(self.is_over())
    }
}
