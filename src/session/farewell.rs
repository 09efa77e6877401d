//! The close handshake, and what it comes to.

use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use tokio::task::yield_now;

use super::protocol::Received;
use super::{Report, Session};
use crate::net::wire::Transport;
use crate::runtime::deadline::timeout;
use crate::runtime::turn::Turn;
use crate::ws::close::{End, Parting};

/// What the end of a session came to.
pub(super) struct Farewell {
    pub(super) clean: bool,
    pub(super) parting: Parting,
}

/// A session whose end is known, and is reported even where the farewell is cut.
struct Leaving<'a, S> {
    session: &'a mut Session<S>,
    end: End,
}

impl<S> Leaving<'_, S> {
    fn take_end(&mut self) -> End {
        mem::replace(&mut self.end, End::Cut)
    }
}

impl<S> Drop for Leaving<'_, S> {
    fn drop(&mut self) {
        let end = self.take_end();
        self.session.ledger.cut(end);
    }
}

impl<S> Session<S>
where
    S: Transport,
{
    /// Ends the session, and reports it.
    pub(super) async fn leave(&mut self, end: End) -> Report {
        let session = self;
        let mut leaving = Leaving { session, end };
        let farewell = leaving.session.close(&leaving.end).await;
        let end = leaving.take_end();
        leaving.session.ledger.report(end, farewell)
    }

    /// Ends the session as RFC 6455, section 7 asks, as far as the peer lets us.
    pub(super) async fn close(&mut self, end: &End) -> Farewell {
        let said = match end {
            End::Stalled | End::Lost(_) => Ok(()),
            _ => self.say_close(end).await,
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

    async fn say_close(&mut self, end: &End) -> Result<(), End> {
        // A Pong that is owed goes before Close.
        self.codec.answer(self.writer.outbox())?;
        if let Some(frame) = end.close_frame() {
            self.codec.close(Some(frame), self.writer.outbox())?;
        }
        match end {
            // It will hardly read this, and is not waited for.
            End::Dead => {
                poll_fn(|cx| match self.writer.poll_flush(&mut self.wire, cx) {
                    Poll::Ready(sent) => Poll::Ready(sent),
                    Poll::Pending => Poll::Ready(Ok(())),
                })
                .await
            }
            // The peer's answer is waited for.
            End::Drained => self.flush().await,
            _ => {
                let patience = self.config.send_timeout;
                self.writer.flush_last(&mut self.wire, patience).await
            }
        }
    }

    /// Waits for the peer to answer our Close. What it had sent before it saw it is dropped.
    pub(super) async fn await_reply(&mut self) -> Farewell {
        let patience = self.config.close_timeout;
        let reply = async {
            let mut clean = false;
            let mut turn = Turn::new();
            while let Ok(received) = poll_fn(|cx| self.poll_next(&mut turn, cx)).await {
                clean |= matches!(received, Received::Close(_));
                self.writer.outbox().replies().clear();
                if turn.is_over() {
                    yield_now().await;
                    turn = Turn::new();
                }
            }
            clean
        };
        let reply = timeout(patience, reply).await;
        Farewell {
            clean: reply == Ok(true),
            parting: reply.map_or(Parting::Drop, |_| Parting::Linger),
        }
    }
}
