//! The seam to the registry of connections, if the server has one: what the session tells it, and
//! what it takes from its mailbox. Without a registry nothing here is done.

use std::future::pending;
use std::task::{Context, Poll};

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::protocol::Received;
use super::stats::SessionStats;
use super::write_buffer::LARGE;
use super::{Pause, Session};
use crate::net::transport::Transport;
use crate::registry::ConnectionHandle;
use crate::registry::mailbox::{Ending, Mail};
use crate::registry::push::Push;
use crate::registry::record::{CloseContent, Direction, Kind, Message};
use crate::runtime::budget::Budget;
use crate::runtime::moment::Moment;
use crate::scenario::Closing;
use crate::ws::close::{End, Teardown};
use crate::ws::frames::Opcode;

impl<S> Session<S>
where
    S: Transport,
{
    /// Feeds pushes to the writer, in their order, until there are no more or the session must wait.
    pub(super) fn take_mail(&mut self, cx: &mut Context<'_>) -> Result<Option<Pause>, End> {
        let mut budget = Budget::new();
        while let Some(connection) = self.stats.connection()
            && let Some(mail) = connection.next_mail(cx, false)
        {
            let push = match mail {
                Mail::Push(push) => push,
                Mail::Steps(steps) => {
                    connection.keep_steps(steps);
                    return Ok(Some(Pause::Steps));
                }
                Mail::End(ending) => return Err(ending.into()),
            };
            budget.frame(push.len());
            self.stats.send(push.opcode(), push.len(), Moment::now());
            self.stats.observe_push(&push);
            match push.frame().len() >= LARGE {
                true => self.writer.feed_large_frame(push.frame().clone()),
                false => self.writer.feed_frame(push.frame()),
            }
            if self.writer.is_full() && self.poll_flush(cx)?.is_pending() {
                return Ok(Some(Pause::Blocked));
            }
            if budget.is_spent() {
                return Ok(Some(Pause::Others));
            }
        }
        Ok(None)
    }

    /// Waits for the wish of the API that the session is cut.
    pub(super) fn api_cut(&mut self) -> impl Future<Output = Teardown> + use<S> {
        let cut = self.stats.connection().map(|connection| connection.cut());
        async move {
            match cut {
                Some(cut) => cut.await,
                None => pending().await,
            }
        }
    }

    /// Sends what was fed, as far as it can be written without waiting, once the registry knows of
    /// all of it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        self.stats.observe_turn();
        self.writer.poll_flush(&mut self.io, cx)
    }

    /// Tells the registry of the last message, and that it is sent back.
    // Not inlined, so that a session without a registry does not have to make room for it.
    #[inline(never)]
    pub(super) fn observe_echo(&mut self, opcode: Opcode, is_compressed: bool) {
        self.observe_message(opcode, is_compressed);
        if let Some(connection) = self.stats.connection() {
            connection.echoed();
        }
    }

    /// Tells the registry of the last message.
    pub(super) fn observe_message(&mut self, opcode: Opcode, is_compressed: bool) {
        if let Some(connection) = self.stats.connection() {
            let (payload, frames) = (self.codec.payload(), self.codec.frames());
            connection.received(opcode.into(), payload, frames, is_compressed);
        }
    }

    /// Tells the registry of a control frame.
    pub(super) fn observe_control(&mut self, received: &Received) {
        let Some(connection) = self.stats.connection() else {
            return;
        };
        match received {
            Received::Close(frame) => observe_close(connection, frame.as_deref()),
            Received::Control(opcode) => {
                let payload = self.codec.payload();
                connection.received((*opcode).into(), payload, 1, false);
                if *opcode == Opcode::Ping {
                    // tungstenite answers it before the next frame.
                    connection.sent(Kind::Pong, payload);
                }
            }
            _ => {}
        }
    }
}

impl SessionStats {
    /// Has the registry record what it was told of.
    #[inline]
    pub(super) fn observe_turn(&mut self) {
        if let Some(connection) = self.connection() {
            connection.record_turn();
        }
    }

    /// Tells the registry of a push that is sent.
    fn observe_push(&mut self, push: &Push) {
        if let Some(connection) = self.connection() {
            connection.sent_push(push);
        }
    }

    /// Tells the registry of a message that is sent.
    pub(super) fn observe_sent(&mut self, message: Message) {
        if let Some(connection) = self.connection() {
            connection.sent_message(message);
        }
    }

    /// Tells the registry that Close is sent because of `end`, unless it tells the peer nothing.
    pub(super) fn observe_end(&mut self, end: &End) {
        let Some(connection) = self.connection() else {
            return;
        };
        let close = match end {
            // The answer has the code and the reason of the peer.
            End::Closed(frame) => content(frame.as_ref()),
            // tungstenite replaces such a code by its own.
            End::IllegalCode => CloseContent {
                code: Some(end.code()),
                reason: "Protocol violation".to_owned(),
            },
            _ => match end.close_frame() {
                Some(frame) => content(Some(&frame)),
                None => return,
            },
        };
        connection.closed(Direction::Out, &close);
    }

    /// Tells the registry of the Close of a scenario.
    pub(super) fn observe_step_close(&mut self, closing: &Closing) {
        let Some(connection) = self.connection() else {
            return;
        };
        let close = match closing {
            Closing::Bare => CloseContent::default(),
            Closing::Code(code, reason) => CloseContent {
                code: Some(*code),
                reason: reason.clone(),
            },
        };
        connection.closed(Direction::Out, &close);
    }

    /// Tells the registry of the peer's Close.
    pub(super) fn observe_close(&mut self, frame: Option<&CloseFrame>) {
        if let Some(connection) = self.connection() {
            observe_close(connection, frame);
        }
    }
}

fn observe_close(connection: &mut ConnectionHandle, frame: Option<&CloseFrame>) {
    let close = match End::by_peer(frame.cloned()) {
        // The code that the peer sent is not known.
        End::IllegalCode => CloseContent::default(),
        _ => content(frame),
    };
    connection.closed(Direction::In, &close);
}

fn content(frame: Option<&CloseFrame>) -> CloseContent {
    CloseContent {
        code: frame.map(|frame| frame.code.into()),
        reason: frame.map_or_else(String::new, |frame| frame.reason.as_str().to_owned()),
    }
}

impl From<Ending> for End {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Close(CloseContent { code, reason })
            | Ending::CloseUpstream(CloseContent { code, reason }) => Self::ApiClose(CloseFrame {
                code: code.unwrap_or(1000).into(),
                reason: reason.into(),
            }),
            Ending::Cut(teardown) => Self::ApiCut(teardown),
        }
    }
}
