//! A WebSocket session, from the upgrade to the end of the close handshake: echoes, heart beats,
//! keepalive.
//!
//! Data has one direction. The reader takes a message from the socket and hands it to the writer,
//! which alone feeds the sink; messages that are at hand are fed one after another, and flushed
//! together. While the sink is blocked, nothing is read.
//!
//! Reader and writer are two rooms of one task, not the halves of `StreamExt::split`: those share
//! the socket through a lock, which would be taken for every message.

mod flood;
mod schedule;
mod writer;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use tracing::Span;

use crate::close::{End, Parting};
use crate::config::ServerConfig;
use crate::shutdown::Drain;
use flood::ControlBudget;
use schedule::{Due, Line, Schedule};
use writer::Writer;

/// Messages that are fed to the sink before it is flushed, and other sessions have their turn.
const BATCH: usize = 64;

/// Text and binary messages of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
}

impl Traffic {
    fn count(&mut self, payload: usize) {
        self.messages += 1;
        self.bytes += payload as u64;
    }
}

/// What is left of a session.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) end: End,
    /// Whether both sides sent Close.
    pub(crate) clean: bool,
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    pub(crate) lasted: Duration,
    /// How to leave the stream that the session had.
    pub(crate) parting: Parting,
}

/// Runs a session over `stream`, of which `early` has been read already, until its close handshake
/// is over.
pub(crate) async fn run<S>(
    stream: &mut S,
    early: Vec<u8>,
    config: &ServerConfig,
    mut drain: Drain,
    span: &Span,
) -> Report
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let start = Instant::now();
    let mut session = Session {
        writer: Writer::new(stream, early, config, span).await,
        schedule: Schedule::new(config, start, rand::random()),
        controls: ControlBudget::new(start),
        received: Traffic::default(),
        heartbeat: Utf8Bytes::from(config.heartbeat_text.as_str()),
        close_timeout: config.close_timeout,
    };
    let end = loop {
        match session.converse(&mut drain).await {
            Ok(Heavy) => session.writer = session.writer.shed().await,
            Err(end) => break end,
        }
    };
    let Farewell { clean, parting } = session.close(&end).await;
    Report {
        end,
        clean,
        received: session.received,
        sent: session.writer.sent(),
        lasted: start.elapsed(),
        parting,
    }
}

struct Session<'a, S> {
    writer: Writer<'a, S>,
    schedule: Schedule,
    controls: ControlBudget,
    received: Traffic,
    heartbeat: Utf8Bytes,
    close_timeout: Duration,
}

impl<S> Session<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Echoes, and keeps the clock, until something ends it or it has grown heavy.
    async fn converse(&mut self, drain: &mut Drain) -> Result<Heavy, End> {
        let mut timer = pin!(sleep_until(self.schedule.next()));
        let mut drain_begun = pin!(drain.begun());
        let mut draining = false;
        loop {
            tokio::select! {
                biased;
                () = &mut timer => self.keep_time().await?,
                window = &mut drain_begun, if !draining => {
                    draining = true;
                    self.schedule.leave(window, rand::random());
                }
                message = self.writer.stream().next() => {
                    self.echo_batch(message).await?;
                    if self.writer.is_heavy() {
                        return Ok(Heavy);
                    }
                    continue;
                }
            }
            timer.as_mut().reset(self.schedule.next());
        }
    }

    /// Does whatever is due.
    async fn keep_time(&mut self) -> Result<(), End> {
        loop {
            let line = self.line();
            let Some(due) = self.schedule.due(Instant::now(), line) else {
                return Ok(());
            };
            let message = match due {
                Due::Beat => Message::Text(self.heartbeat.clone()),
                Due::Ping => Message::Ping(Bytes::new()),
                Due::Dead => return Err(End::Dead),
                Due::Stuck => return Err(End::Stuck),
                Due::Leave => return Err(End::Drained),
            };
            self.writer.feed(message).await?;
            self.writer.flush().await?;
            if due == Due::Beat {
                self.schedule.beat_sent(Instant::now());
            }
        }
    }

    fn line(&mut self) -> Line {
        Line {
            heard_at: self.writer.heard_at(),
            is_mid_message: self.writer.wire().is_mid_message(),
        }
    }

    /// Echoes a message, and those that are at hand behind it, and flushes once.
    async fn echo_batch(&mut self, first: Received) -> Result<(), End> {
        let mut next = Some(first);
        let mut room = BATCH;
        while let Some(received) = next {
            let message = received.ok_or(End::Closed(None))??;
            if let Some(echo) = self.receive(message)? {
                self.writer.feed(echo).await?;
            }
            room -= 1;
            next = if room > 0 { self.at_hand().await } else { None };
        }
        self.writer.flush().await?;
        if room == 0 {
            // There is more, but it is the turn of others.
            yield_now().await;
        }
        Ok(())
    }

    /// What the reader can give without waiting.
    async fn at_hand(&mut self) -> Option<Received> {
        poll_fn(|cx| {
            Poll::Ready(match self.writer.stream().poll_next_unpin(cx) {
                Poll::Ready(received) => Some(received),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Takes note of a message, and gives back what to echo.
    fn receive(&mut self, message: Message) -> Result<Option<Message>, End> {
        self.writer.trace("received", &message);
        match message {
            Message::Text(_) | Message::Binary(_) => {
                self.received.count(message.len());
                self.writer.wire().message_ended(message.len());
                Ok(Some(message))
            }
            Message::Ping(payload) | Message::Pong(payload) => {
                let wire = self.writer.wire();
                wire.control_frame_ended(payload.len());
                let now = wire.heard_at();
                if self.controls.take(now) {
                    Ok(None)
                } else {
                    Err(End::Flood("too many control frames"))
                }
            }
            Message::Close(frame) => Err(End::by_peer(frame)),
            Message::Frame(_) => Ok(None),
        }
    }

    /// Ends the session as RFC 6455, section 7 asks, as far as the peer lets us.
    async fn close(&mut self, end: &End) -> Farewell {
        let said = match end {
            End::Dead => self.writer.try_close(end.close_frame()),
            End::Stalled | End::Lost(_) => Ok(()),
            _ => self.writer.close(end.close_frame()).await,
        };
        match (said, end) {
            (Err(failed), _) => Farewell {
                clean: false,
                parting: failed.parting(),
            },
            (Ok(()), End::Drained) => self.await_reply().await,
            (Ok(()), _) => Farewell {
                clean: matches!(end, End::Closed(_) | End::IllegalCode),
                parting: end.parting(),
            },
        }
    }

    /// Waits for the peer to answer our Close. What it had sent before it saw it is dropped.
    async fn await_reply(&mut self) -> Farewell {
        let reply = async {
            let mut clean = false;
            while let Some(Ok(message)) = self.writer.stream().next().await {
                clean |= message.is_close();
            }
            clean
        };
        let reply = timeout(self.close_timeout, reply).await;
        Farewell {
            clean: reply == Ok(true),
            parting: reply.map_or(Parting::Drop, |_| Parting::Linger),
        }
    }
}

/// A session that holds the memory of a large message.
struct Heavy;

/// What the end of a session came to.
struct Farewell {
    clean: bool,
    parting: Parting,
}

/// What the reader gives: a message, an error, or the end.
type Received = Option<tungstenite::Result<Message>>;

#[cfg(test)]
mod tests;
