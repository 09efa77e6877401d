//! Checks of handshakes: their status, headers, subprotocol, and HTTP/2.

use serde_json::json;

use super::no_session;
use crate::config::Check;
use crate::probe::exchange::echo_text;
use crate::probe::report::{Finding, shown};
use crate::probe::{Answer, Offer, OpenError, Probe, handshake};

impl Probe {
    /// A handshake that offers permessage-deflate, and whether it succeeded.
    pub(in crate::probe) async fn check_handshake(&self) -> (Finding, bool) {
        match self.open(true).await {
            Ok((session, answer)) => {
                self.leave(session).await;
                let finding = Finding::pass(Check::Handshake, describe(&answer));
                (finding.with(answer.json()), true)
            }
            Err(error) => {
                let finding = Finding::fail(Check::Handshake, error.to_string());
                let answer = error.answer().map(Answer::json);
                (finding.with(answer.unwrap_or_default()), false)
            }
        }
    }

    /// The subprotocol that is selected.
    pub(in crate::probe) async fn check_subprotocol(&self) -> Finding {
        let check = Check::Subprotocol;
        if self.config.subprotocols.is_empty() {
            return Finding::skipped(check, "none was offered: --subprotocol NAME does");
        }
        let answer = match self.open(false).await {
            Ok((session, answer)) => {
                self.leave(session).await;
                answer
            }
            Err(error) => return no_session(check, &error),
        };
        match answer.subprotocol() {
            Some(name) => {
                let selected = json!({ "selected": name });
                Finding::pass(check, format!("{name} is selected")).with(selected)
            }
            None => Finding::fail(check, "none of those that were offered is selected"),
        }
    }

    /// A session over HTTP/2, where ALPN can offer it, or where all checks are made over it.
    pub(in crate::probe) async fn check_http2(&self) -> Finding {
        let check = Check::Http2;
        if !self.config.url.is_tls() && !self.config.http2 {
            let reason = "ws:// has no ALPN to offer HTTP/2: --http2 begins with it";
            return Finding::skipped(check, reason);
        }
        let offer = Offer {
            deflate: false,
            http2: true,
        };
        let (mut session, answer) = match handshake::open(&self.dialer, &self.config, offer).await {
            Ok(opened) => opened,
            Err(OpenError::NoHttp2(reason)) => return Finding::fail(check, reason),
            Err(error) => return no_session(check, &error),
        };
        let echo = echo_text(&mut session, &self.text("h2"), self.config.timeout).await;
        self.leave(session).await;
        let echoed = match &echo {
            Ok(_) => "; a message comes back",
            Err(_) => "",
        };
        let detail = format!("{}{echoed}", describe(&answer));
        Finding::pass(check, detail).with(answer.json())
    }
}

/// An acceptance in words.
fn describe(answer: &Answer) -> String {
    let mut words = format!("{} over HTTP/{}", answer.status, answer.http);
    if let Some(version) = answer.tls {
        words.push_str(&format!(" and TLS {version}"));
    }
    words.push_str(&format!(
        " in {}",
        shown(answer.connected + answer.answered)
    ));
    let agreed = [answer.extensions(), answer.subprotocol()];
    for part in agreed.into_iter().flatten() {
        words.push_str(&format!("; {part}"));
    }
    words
}
