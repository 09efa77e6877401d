//! Clock of a tunnel without progress: a side takes no data, or does not end although the other
//! has.

use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::both::{Both, Direction};
use super::{End, Side};
use crate::net::transport::{Hangup, Transport};
use crate::runtime::moment::Moment;

/// Time between two checks of a tunnel without progress. When a side that has ended is reset,
/// nobody is woken: the other side learns of it at the next check.
const GLANCE: Duration = Duration::from_millis(250);

/// Longest silence of a side once the other has ended.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// Timer that runs while a tunnel makes no progress.
#[derive(Debug, Default)]
pub(super) struct Standstill(Option<Box<Watch>>);

#[derive(Debug)]
struct Watch {
    /// Bytes written at the last progress, and the moment of it.
    progress: (u64, Moment),
    glance: Pin<Box<Sleep>>,
}

impl Watch {
    fn begin(written: u64) -> Box<Self> {
        Box::new(Self {
            progress: (written, Moment::now()),
            glance: Box::pin(sleep(GLANCE)),
        })
    }

    /// Reason to end the tunnel, if it has made no progress for too long.
    fn late<D: Direction>(&mut self, both: &Both<D>, patience: Duration) -> Option<End> {
        let now = Moment::now();
        let is_late = |waited: Option<Duration>| waited.is_some_and(|it| it >= patience);
        if is_late(both.inward.blocked_for(now)) {
            return Some(End::Stalled(Side::Upstream));
        }
        if is_late(both.outward.blocked_for(now)) {
            return Some(End::Stalled(Side::Client));
        }
        if both.bytes() > self.progress.0 {
            self.progress = (both.bytes(), now);
        }
        let first = match (both.inward.is_over(), both.outward.is_over()) {
            (true, _) => Side::Client,
            (_, true) => Side::Upstream,
            (false, false) => return None,
        };
        let is_silent = now.since(self.progress.1) >= HALF_CLOSED;
        is_silent.then_some(End::HalfClosed(first))
    }
}

impl Standstill {
    /// Waits until the tunnel has made no progress for too long (`patience` for a write), or cannot
    /// go on.
    pub(super) fn poll_end<D, C, U>(
        &mut self,
        both: &Both<D>,
        patience: Duration,
        client: &mut C,
        upstream: &mut U,
        cx: &mut Context<'_>,
    ) -> Poll<End>
    where
        D: Direction,
        C: Transport,
        U: Transport,
    {
        if !both.inward.is_unwatched() && !both.outward.is_unwatched() {
            self.0 = None;
            return Poll::Pending;
        }
        let begin = || Watch::begin(both.bytes());
        let watch = self.0.get_or_insert_with(begin);
        loop {
            let lost = match () {
                () if both.inward.is_unwatched() && is_gone(client, cx) => Some(Side::Client),
                () if both.outward.is_unwatched() && is_gone(upstream, cx) => Some(Side::Upstream),
                () => None,
            };
            if let Some(side) = lost {
                return Poll::Ready(End::Lost(side, ErrorKind::ConnectionReset.into()));
            }
            ready!(watch.glance.as_mut().poll(cx));
            watch.glance.as_mut().reset(Instant::now() + GLANCE);
            if let Some(end) = watch.late(both, patience) {
                return Poll::Ready(end);
            }
        }
    }
}

fn is_gone(side: &mut impl Transport, cx: &mut Context<'_>) -> bool {
    matches!(
        side.poll_hangup(cx),
        Poll::Ready(Hangup::Reset | Hangup::Closed)
    )
}
