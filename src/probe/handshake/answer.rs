//! Answers to handshakes: reading them, and whether they are valid acceptances.

use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Offer, OpenError};
use crate::config::ProbeConfig;
use crate::probe::deflate::parse_answer;
use crate::probe::report::milliseconds;
use crate::tls::MaybeTls;
use crate::ws::deflate::PermessageDeflate;

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 64 << 10;

/// Most header lines of an answer.
const MAX_LINES: usize = 128;

/// Most interim answers before the final one (RFC 9110, section 15.2).
const MAX_INTERIM: usize = 8;

/// Most characters of a refusal's body that are shown.
const MAX_BODY: usize = 300;

/// An answer to a handshake.
#[derive(Debug, Clone, Default)]
pub(in crate::probe) struct Answer {
    pub(in crate::probe) http: &'static str,
    pub(in crate::probe) tls: Option<&'static str>,
    pub(in crate::probe) status: u16,
    pub(in crate::probe) headers: Vec<(String, String)>,
    /// The start of the body of a refusal.
    pub(in crate::probe) body: String,
    /// Time to connect, over TLS too.
    pub(in crate::probe) connected: Duration,
    /// Time from the request to the answer.
    pub(in crate::probe) answered: Duration,
}

impl Answer {
    /// The values of a header, as one list.
    pub(in crate::probe) fn header(&self, name: &str) -> Option<String> {
        let lines = self.headers.iter();
        let values = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let values: Vec<_> = values.map(|(_, value)| &value[..]).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        let list = self.header(name).unwrap_or_default();
        list.split(',')
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    pub(in crate::probe) fn extensions(&self) -> Option<String> {
        self.header("sec-websocket-extensions")
    }

    pub(in crate::probe) fn subprotocol(&self) -> Option<String> {
        self.header("sec-websocket-protocol")
    }

    pub(in crate::probe) fn json(&self) -> Value {
        json!({
            "http": self.http,
            "tls": self.tls,
            "status": self.status,
            "headers": self.headers,
            "extensions": self.extensions(),
            "subprotocol": self.subprotocol(),
            "connect_ms": milliseconds(self.connected),
            "answer_ms": milliseconds(self.answered),
            "body": (!self.body.is_empty()).then_some(&self.body),
        })
    }
}

/// Reads the head of the final answer. What follows it stays in `input`.
pub(super) async fn read_answer(
    stream: &mut MaybeTls,
    input: &mut BytesMut,
    answer: Answer,
) -> Result<Answer, OpenError> {
    let mut interim = 0;
    loop {
        if let Some((size, status, headers)) = parse(input)? {
            let _head = input.split_to(size);
            let is_interim = (100..200).contains(&status) && status != 101;
            if is_interim && interim == MAX_INTERIM {
                let error = format!("more than {MAX_INTERIM} interim answers came");
                return Err(OpenError::broken(error));
            }
            if is_interim {
                interim += 1;
                continue;
            }
            return Ok(Answer {
                status,
                headers,
                ..answer
            });
        }
        if input.len() >= MAX_HEAD {
            return Err(OpenError::broken("the head of the answer is too large"));
        }
        match stream.read_buf(input).await {
            Ok(0) if input.is_empty() => {
                return Err(OpenError::broken("the connection ended without an answer"));
            }
            Ok(0) => return Err(OpenError::broken("the answer ended in its head")),
            Ok(_) => {}
            Err(error) => return Err(OpenError::broken(format!("no answer: {error}"))),
        }
    }
}

type Head = (usize, u16, Vec<(String, String)>);

fn parse(input: &[u8]) -> Result<Option<Head>, OpenError> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut response = httparse::Response::new(&mut lines);
    let parsed = response.parse(input);
    let broken = |error| OpenError::broken(format!("the answer is not HTTP/1.1: {error}"));
    let httparse::Status::Complete(size) = parsed.map_err(broken)? else {
        return Ok(None);
    };
    let headers = response.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).into_owned();
        (header.name.to_owned(), value)
    });
    let headers = headers.collect();
    Ok(Some((size, response.code.unwrap_or(0), headers)))
}

/// The start of the body of a refusal, in one line.
pub(super) async fn read_body(
    stream: &mut MaybeTls,
    mut input: BytesMut,
    answer: &Answer,
) -> String {
    let length = answer.header("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let wanted = length.unwrap_or(0).min(4 * MAX_BODY);
    while input.len() < wanted && matches!(stream.read_buf(&mut input).await, Ok(1..)) {}
    input.truncate(wanted);
    shorten(&String::from_utf8_lossy(&input))
}

/// The first words of a text, in one line without control characters.
pub(in crate::probe) fn shorten(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    let shown = line.chars().filter(|c| !c.is_control());
    shown.take(MAX_BODY).collect()
}

/// Checks what an answer over HTTP/1.1 must have (RFC 6455, section 4.1).
pub(super) fn check_switch(answer: &Answer, key: &str) -> Result<(), String> {
    let accept = derive_accept_key(key.as_bytes());
    match answer.header("sec-websocket-accept") {
        _ if !answer.has_token("upgrade", "websocket") => {
            Err("the 101 has no Upgrade: websocket".to_owned())
        }
        _ if !answer.has_token("connection", "upgrade") => {
            Err("the 101 has no Connection: Upgrade".to_owned())
        }
        None => Err("the 101 has no Sec-WebSocket-Accept".to_owned()),
        Some(other) if other != accept => {
            Err("Sec-WebSocket-Accept is not that of the key".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// Checks the extensions and the subprotocol of an answer, and returns what was agreed.
pub(in crate::probe) fn check(
    answer: &Answer,
    config: &ProbeConfig,
    offer: Offer,
) -> Result<Option<PermessageDeflate>, String> {
    if let Some(name) = answer.subprotocol()
        && !config.subprotocols.iter().any(|own| own.as_str() == name)
    {
        return Err(format!("the subprotocol {name:?} was not offered"));
    }
    match answer.extensions() {
        None => Ok(None),
        Some(list) if !offer.deflate => Err(format!("the extension {list:?} was not offered")),
        Some(list) => parse_answer(&list).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Answer {
        let (size, status, headers) = parse(head.as_bytes()).ok().flatten().unwrap();
        assert_eq!(size, head.len());
        Answer {
            status,
            headers,
            ..Answer::default()
        }
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn an_acceptance_has_all_that_is_asked_for() {
        let good = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
            Connection: keep-alive, Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(check_switch(&answer(good), KEY), Ok(()));
        for (text, by, told) in [
            ("WebSocket", "h2c", "Upgrade: websocket"),
            ("keep-alive, Upgrade", "close", "Connection: Upgrade"),
            ("s3pP", "s3pQ", "of the key"),
            ("Sec-WebSocket-Accept", "X", "no Sec-WebSocket-Accept"),
        ] {
            let error = check_switch(&answer(&good.replace(text, by)), KEY).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn an_answer_is_read_once_it_is_whole() {
        assert!(matches!(parse(b"HTTP/1.1 200 OK\r\nA: b"), Ok(None)));
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_err());
        let answer = answer("HTTP/1.1 403 Forbidden\r\nA: 1\r\na: 2\r\n\r\n");
        assert_eq!(
            (answer.status, answer.header("A").unwrap()),
            (403, "1, 2".to_owned())
        );
    }

    #[test]
    fn a_body_is_shown_in_one_line() {
        assert_eq!(shorten(" a\r\n\tb\u{1b}c "), "a bc");
        assert_eq!(shorten(&"x".repeat(1_000)).len(), MAX_BODY);
    }
}
