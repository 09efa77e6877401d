//! The tunnel for the API: messages are recorded, and those of the API come in.

use std::task::Context;
use std::time::SystemTime;

use super::lane::Lane;
use crate::proxy::inspect::Inspected;
use crate::proxy::tunnel::{End, Side};
use crate::registry::ConnectionHandle;
use crate::registry::connection::{SessionEnd, TcpEnd};
use crate::registry::mailbox::Mail;
use crate::registry::record::{Kind, Message};

/// Code of a connection that ended without a Close (RFC 6455, section 7.1.5).
const ABNORMAL: u16 = 1006;

/// Code of a Close without one.
const NO_STATUS: u16 = 1005;

/// Records the messages of a tunnel.
#[derive(Debug)]
pub(super) struct Recorder {
    connection: Box<ConnectionHandle>,
    /// Code of the first Close.
    code: Option<u16>,
    /// Whether Close went to the client, and to the upstream.
    closed: [bool; 2],
}

impl Recorder {
    pub(super) fn new(inspected: Inspected) -> Self {
        Self {
            connection: inspected.connection,
            code: None,
            closed: [false, false],
        }
    }

    /// Records the messages of one direction that are complete.
    pub(super) fn record(&mut self, lane: &mut Lane) {
        let to = lane.to();
        for message in lane.take_recorded() {
            self.note_close(to, &message);
            match to {
                Side::Client => self.connection.sent_message(message),
                Side::Upstream => self.connection.received_message(message),
            }
        }
    }

    fn note_close(&mut self, to: Side, message: &Message) {
        if message.kind == Kind::Close {
            self.code.get_or_insert(message.code.unwrap_or(NO_STATUS));
            self.closed[usize::from(to == Side::Upstream)] = true;
        }
    }

    /// The next message or wish of the API. While the tunnel `is_busy`, only a cut is one.
    pub(super) fn next_mail(&mut self, cx: &mut Context<'_>, is_busy: bool) -> Option<Mail> {
        self.connection.next_mail(cx, is_busy)
    }

    /// Records the end of the tunnel, and returns its connection, which is closed when it is dropped.
    pub(super) fn end(mut self, end: &End) -> Box<ConnectionHandle> {
        if matches!(end, End::Closed(_)) {
            self.connection.tcp_ended(TcpEnd::Fin);
        }
        self.connection.tunnel_ended(SessionEnd {
            why: end.word(),
            reason: end.to_string(),
            code: self.code.unwrap_or(ABNORMAL),
            is_clean: self.closed == [true, true],
            by: Some(end.by()),
            at: SystemTime::now(),
        });
        self.connection
    }
}
