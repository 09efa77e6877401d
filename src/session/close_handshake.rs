//! The close handshake, and its outcome.

use std::future::poll_fn;
use std::mem;
use std::task::Poll;

use tokio::task::yield_now;

use super::protocol::Received;
use super::{Report, Session};
use crate::net::linger::PeerEnd;
use crate::net::transport::Transport;
use crate::runtime::budget::Budget;
use crate::runtime::deadline::timeout;
use crate::ws::close::{End, Teardown};

/// Outcome of a close handshake.
pub(super) struct CloseHandshake {
    pub(super) clean: bool,
    pub(super) teardown: Teardown,
    /// Way in which the peer ended TCP meanwhile, if it did.
    pub(super) peer_end: Option<PeerEnd>,
}

impl CloseHandshake {
    /// None, or one that failed, and the way to end TCP after it.
    pub(super) fn failed(teardown: Teardown) -> Self {
        Self {
            clean: false,
            teardown,
            peer_end: None,
        }
    }
}

/// A session whose end is known, and is reported even if the close handshake is cut.
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
        self.session.stats.cut(end);
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
        let close_handshake = leaving.session.close(&leaving.end).await;
        let end = leaving.take_end();
        leaving.session.stats.report(end, close_handshake)
    }

    /// Performs the close handshake of RFC 6455, section 7, as far as the peer lets us.
    pub(super) async fn close(&mut self, end: &End) -> CloseHandshake {
        let said = match end {
            End::Stalled | End::Lost(_) | End::ApiCut(_) => Ok(()),
            _ => self.say_close(end).await,
        };
        match (said, end) {
            (Err(failed), _) => CloseHandshake {
                peer_end: failed.peer_end(),
                ..CloseHandshake::failed(failed.teardown())
            },
            (Ok(()), End::Drained | End::ApiClose(_)) => self.await_reply().await,
            (Ok(()), _) => CloseHandshake {
                clean: matches!(end, End::Closed(_) | End::IllegalCode),
                ..CloseHandshake::failed(end.teardown())
            },
        }
    }

    async fn say_close(&mut self, end: &End) -> Result<(), End> {
        if matches!(end, End::Drained | End::ApiClose(_)) {
            self.finish_echo().await?;
        }
        // A Pong that is owed is sent before Close.
        self.codec.answer(self.writer.write_buffer())?;
        if let Some(frame) = end.close_frame() {
            self.codec.close(Some(frame), self.writer.write_buffer())?;
        }
        self.stats.observe_end(end);
        match end {
            // Such a peer will hardly read Close, so it is not waited for.
            End::Dead => {
                poll_fn(|cx| match self.writer.poll_flush(&mut self.io, cx) {
                    Poll::Ready(sent) => Poll::Ready(sent),
                    Poll::Pending => Poll::Ready(Ok(())),
                })
                .await
            }
            // The peer's answer is waited for.
            End::Drained | End::ApiClose(_) => self.flush().await,
            _ => {
                let patience = self.config.send_timeout;
                self.writer.flush_last(&mut self.io, patience).await
            }
        }
    }

    /// Waits for the peer to answer our Close. Messages that it sent before its answer are dropped.
    pub(super) async fn await_reply(&mut self) -> CloseHandshake {
        let patience = self.config.close_timeout;
        let reply = async {
            let mut clean = false;
            let mut budget = Budget::new();
            let error = loop {
                let received = match poll_fn(|cx| self.poll_next(&mut budget, cx)).await {
                    Ok(received) => received,
                    Err(error) => break error,
                };
                if let Received::Close(frame) = &received {
                    clean = true;
                    self.stats.observe_close(frame.as_deref());
                }
                self.writer.write_buffer().replies().clear();
                if budget.is_spent() {
                    yield_now().await;
                    budget = Budget::new();
                }
            };
            // The socket tells of a reset once.
            let peer_end = End::from(error).peer_end();
            CloseHandshake {
                clean,
                peer_end,
                ..CloseHandshake::failed(Teardown::Linger)
            }
        };
        let reply = timeout(patience, reply).await;
        reply.unwrap_or(CloseHandshake {
            peer_end: Some(PeerEnd::Late),
            ..CloseHandshake::failed(Teardown::Drop)
        })
    }
}
