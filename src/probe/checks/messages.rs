//! Checks of messages: whether each kind passes unchanged.

use serde_json::json;
use tokio::time::Instant;

use super::no_session;
use crate::config::Check;
use crate::probe::cut::TcpEnd;
use crate::probe::exchange::{Echo, Lost, await_echo};
use crate::probe::report::Finding;
use crate::probe::session::Session;
use crate::probe::{NO_ECHO, Probe};
use crate::ws::frames::{BINARY, CONTINUATION, FIN, TEXT};

/// Characters of one to four bytes, a NUL, and one at the end of Unicode.
const CHARACTERS: &str = "aé€𝄞\u{0}\u{7f}\u{fffd}\u{10ffff}";

/// Close code of the probe's own, in the range for private use (RFC 6455, section 7.4.2).
const CODE: u16 = 4321;

/// Reason of that Close.
const REASON: &str = "echobeat probe";

impl Probe {
    /// Whether text with characters of all lengths passes unchanged.
    pub(in crate::probe) async fn check_text(&self) -> Finding {
        let text = self.text(&CHARACTERS.repeat(50));
        let queue = |session: &mut Session| session.queue(FIN | TEXT, text.as_bytes());
        self.check_message(Check::Text, TEXT, text.as_bytes(), queue)
            .await
    }

    /// Whether bytes of all values pass unchanged.
    pub(in crate::probe) async fn check_binary(&self) -> Finding {
        let payload: Vec<u8> = self.text("").into_bytes();
        let payload = [&payload[..], &Vec::from_iter(0..=255)].concat();
        let queue = |session: &mut Session| session.queue(FIN | BINARY, &payload);
        self.check_message(Check::Binary, BINARY, &payload, queue)
            .await
    }

    /// Whether a message in fragments, one of which is empty, passes unchanged, around a Ping.
    pub(in crate::probe) async fn check_fragments(&self) -> Finding {
        let text = self.text(&CHARACTERS.repeat(10));
        // The second cut is within a character.
        let (first, rest) = text.as_bytes().split_at(8);
        let (second, third) = rest.split_at(rest.len() - 1);
        let queue = |session: &mut Session| {
            session.queue(TEXT, first);
            session.queue_ping(b"between fragments");
            session.queue(CONTINUATION, second);
            session.queue(CONTINUATION, b"");
            session.queue(FIN | CONTINUATION, third);
        };
        self.check_message(Check::Fragments, TEXT, text.as_bytes(), queue)
            .await
    }

    async fn check_message(
        &self,
        check: Check,
        opcode: u8,
        payload: &[u8],
        queue: impl FnOnce(&mut Session),
    ) -> Finding {
        let mut session = match self.open_for(check).await {
            Ok(session) => session,
            Err(finding) => return finding,
        };
        queue(&mut session);
        let echo = await_echo(&mut session, opcode, payload, self.config.timeout).await;
        self.leave(session).await;
        match echo {
            Ok(Echo { message, .. }) => {
                let frames = match message.frames {
                    1 => "1 frame".to_owned(),
                    frames => format!("{frames} frames"),
                };
                let detail = format!("{} bytes come back unchanged, in {frames}", payload.len());
                let data = json!({ "bytes": payload.len(), "frames_back": message.frames });
                Finding::pass(check, detail).with(data)
            }
            Err(lost) => failed(check, &lost),
        }
    }

    /// Whether compression is agreed to, and a compressed message passes.
    pub(in crate::probe) async fn check_deflate(&self, echoes: bool) -> Finding {
        let check = Check::Deflate;
        let (mut session, answer) = match self.open(true).await {
            Ok(opened) => opened,
            Err(error) => return no_session(check, &error),
        };
        let text = self.text(&"compress me, ".repeat(80));
        let Some(size) = session.queue_compressed(TEXT, text.as_bytes()) else {
            self.leave(session).await;
            return Finding::fail(check, "permessage-deflate was offered, and not agreed to");
        };
        let agreed = answer.extensions().unwrap_or_default();
        let data = json!({ "agreed": agreed, "bytes": text.len(), "compressed": size });
        if !echoes {
            self.leave(session).await;
            let reason = format!("agreed to ({agreed}), and not tried: {NO_ECHO}");
            return Finding::skipped(check, reason).with(data);
        }
        let echo = await_echo(&mut session, TEXT, text.as_bytes(), self.config.timeout).await;
        self.leave(session).await;
        match echo {
            Ok(Echo { message, .. }) => {
                let how = match message.is_compressed {
                    true => "compressed",
                    false => "uncompressed",
                };
                let detail = format!("{} bytes go as {size}, and come back {how}", text.len());
                let back = json!({ "compressed_back": message.is_compressed });
                Finding::pass(check, detail).with(data).with(back)
            }
            Err(lost) => failed(check, &lost).with(data),
        }
    }

    /// Whether a Close is answered with its code, and TCP then ended by the server.
    pub(in crate::probe) async fn check_close(&self) -> Finding {
        let check = Check::Close;
        let mut session = match self.open_for(check).await {
            Ok(session) => session,
            Err(finding) => return finding,
        };
        session.queue_close(CODE, REASON);
        let cut = session.end_by(Instant::now() + self.config.timeout).await;
        let data = json!({ "sent": CODE, "cut": cut.json() });
        let code = cut.close.as_ref().and_then(|close| close.code);
        let finding = match (code, &cut.tcp) {
            (Some(CODE), TcpEnd::Fin) => {
                Finding::pass(check, format!("{CODE} comes back, then FIN"))
            }
            (Some(CODE), tcp) => Finding::pass(
                check,
                format!("{CODE} comes back, and the end of TCP is {tcp}"),
            ),
            _ if cut.close.is_none() => Finding::fail(
                check,
                format!("a Close with {CODE} got no Close back: {cut}"),
            ),
            _ => Finding::fail(
                check,
                format!("a Close with {CODE} got another back: {cut}"),
            ),
        };
        finding.with(data)
    }
}

fn failed(check: Check, lost: &Lost) -> Finding {
    let finding = Finding::fail(check, format!("a message was sent, and {lost}"));
    match lost {
        Lost::Cut(cut) => finding.with(json!({ "cut": cut.json() })),
        Lost::Missing(_) | Lost::Changed(_) | Lost::NoConnection(_) => finding,
    }
}
