//! The tunnel: passes bytes both ways between two streams as they come, and parses nothing. A tunnel
//! that is to misbehave passes frames.
//!
//! | room | purpose |
//! |---|---|
//! | [`flow`] | one direction of bytes |
//! | [`framed`] | a tunnel of frames |
//! | [`both`] | two directions, whatever they pass |
//! | [`silence`], [`standstill`] | the clocks of a tunnel |
//! | [`closing`] | the question who closed first |

mod both;
mod closing;
mod flow;
pub(super) mod framed;
mod silence;
mod standstill;

use std::cell::Cell;
use std::io;
use std::task::Poll;
use std::time::Duration;
use std::{fmt, future};

use tokio::time::{Instant, sleep_until};

use crate::config::ProxyConfig;
use crate::net::transport::Transport;
use crate::runtime::shutdown::Drain;
use crate::ws::close::Teardown;
use both::Both;
use flow::Flow;
use silence::Silence;
use standstill::Standstill;

/// Bytes that are read at once, and the most that wait for one side to take them.
const READ_AT_ONCE: usize = 32 << 10;

thread_local! {
    /// Buffer that the tunnels of a thread read into, one after another: an idle one has no buffer.
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer.
fn with_shared<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SHARED.take();
    buffer.resize(READ_AT_ONCE, 0);
    let done = work(&mut buffer);
    SHARED.set(buffer);
    done
}

/// One of the two ends of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Upstream,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        })
    }
}

/// Reasons for which a tunnel ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// Both sides have ended; this one ended first, with a Close or the end of its stream.
    #[error("the {0} closed first")]
    Closed(Side),
    /// The connection to this side failed.
    #[error("the connection to the {0} failed: {1}")]
    Lost(Side, io::Error),
    /// This side took nothing of what it was sent for too long.
    #[error("the {0} takes nothing of what it is sent")]
    Stalled(Side),
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Idle,
    /// This side has ended, and nothing came from the other for too long.
    #[error("the {0} closed first, and nothing more came for too long")]
    HalfClosed(Side),
    /// The drain is over.
    #[error("the proxy is shutting down")]
    Drained,
    /// A step for the way to this side ended the tunnel.
    #[error("asked for by the step {}{step}", up(*.to))]
    Asked {
        step: &'static str,
        to: Side,
        teardown: Teardown,
    },
    /// A request of the API ended it.
    #[error("ended through the API")]
    ByApi(Teardown),
}

/// Beginning of a step for the way to this side.
fn up(to: Side) -> &'static str {
    match to {
        Side::Client => "",
        Side::Upstream => "up.",
    }
}

impl End {
    /// The word for this end in the log.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Closed(_) => "closed",
            Self::Lost(..) => "lost",
            Self::Stalled(_) => "stalled",
            Self::Idle | Self::HalfClosed(_) => "idle",
            Self::Drained => "drained",
            Self::Asked { .. } => "fault",
            Self::ByApi(_) => "api",
        }
    }

    /// The one that ended the tunnel.
    pub(super) fn by(&self) -> &'static str {
        match self {
            Self::Closed(Side::Client) | Self::Lost(Side::Client, _) => "client",
            Self::Closed(Side::Upstream) | Self::Lost(Side::Upstream, _) => "upstream",
            _ => "proxy",
        }
    }

    /// Whether neither side can be ended in order any more.
    pub(super) fn is_abort(&self) -> bool {
        matches!(
            self,
            Self::Lost(..) | Self::Stalled(_) | Self::HalfClosed(_)
        )
    }
}

/// Report on a tunnel: its end, and the bytes that went through it.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) end: End,
    /// Bytes from the client to the upstream.
    pub(super) bytes_in: u64,
    /// Bytes from the upstream to the client.
    pub(super) bytes_out: u64,
    pub(super) lasted: Duration,
}

/// One end of the tunnel, with the bytes that it sent before the tunnel began.
#[derive(Debug)]
pub(super) struct TunnelEnd<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) early: Vec<u8>,
}

/// Copies until both sides have ended, one of them fails, a timeout of `config` is over, or the
/// drain is over.
pub(super) async fn run<C, U>(
    client: TunnelEnd<'_, C>,
    upstream: TunnelEnd<'_, U>,
    config: &ProxyConfig,
    drain: Drain,
) -> Report
where
    C: Transport,
    U: Transport,
{
    let begun = Instant::now();
    let mut first = None;
    let mut both = Both::new(Flow::new(client.early), Flow::new(upstream.early));
    let mut silence = config.idle_timeout.map(Silence::new);
    let mut standstill = Standstill::default();
    let copied = future::poll_fn(|cx| {
        let before = both.bytes();
        let over = with_shared(|buffer| both.copy(client.stream, upstream.stream, buffer, cx));
        let is_progress = both.bytes() > before;
        first = both.first_to_close(first);
        match over {
            Ok(true) => return Poll::Ready(End::Closed(first.unwrap_or(Side::Client))),
            Ok(false) => {}
            Err(end) => return Poll::Ready(end),
        }
        if let Some(silence) = &mut silence
            && silence.poll_end(is_progress, cx).is_ready()
        {
            return Poll::Ready(End::Idle);
        }
        let patience = config.send_timeout;
        standstill.poll_end(&both, patience, client.stream, upstream.stream, cx)
    });
    // The drain is polled first: copying goes on as long as tokio lets it, and then leaves no
    // budget.
    let end = tokio::select! {
        biased;
        () = drained(&drain) => End::Drained,
        end = copied => end,
    };
    Report {
        end,
        bytes_in: both.inward.bytes,
        bytes_out: both.outward.bytes,
        lasted: begun.elapsed(),
    }
}

/// Waits for the end of the drain.
async fn drained(drain: &Drain) {
    let window = drain.begun().await;
    sleep_until(window.end()).await;
}

#[cfg(test)]
mod tests;
