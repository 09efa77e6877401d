//! Opening handshakes as a client: over HTTP/1.1 (RFC 6455, section 4.1), byte by byte, so that the
//! answer is seen as it came.

use std::time::Duration;

use bytes::BytesMut;
use data_encoding::BASE64;
use hyper::header::HOST;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::deflate::{self, parse_answer};
use super::dial::{AGENT, DialError, Dialer};
use super::http2;
use super::session::Session;
use crate::config::ProbeConfig;
use crate::net::connection_info::TlsVersion;
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

/// Header by which an echobeat with an API names a connection.
const CONNECTION_ID: &str = "echobeat-connection";

/// Variations of a handshake.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offer {
    /// Whether permessage-deflate is offered.
    pub(super) deflate: bool,
    /// Whether it is made over HTTP/2.
    pub(super) http2: bool,
}

/// An answer to a handshake.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) http: &'static str,
    pub(super) tls: Option<&'static str>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// The start of the body of a refusal.
    pub(super) body: String,
    /// Time to connect, over TLS too.
    pub(super) connected: Duration,
    /// Time from the request to the answer.
    pub(super) answered: Duration,
}

impl Answer {
    /// The values of a header, as one list.
    pub(super) fn header(&self, name: &str) -> Option<String> {
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

    pub(super) fn extensions(&self) -> Option<String> {
        self.header("sec-websocket-extensions")
    }

    pub(super) fn subprotocol(&self) -> Option<String> {
        self.header("sec-websocket-protocol")
    }

    pub(super) fn json(&self) -> Value {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
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

/// Reasons for which there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0}")]
    Dial(#[from] DialError),
    /// The server, or what lies between, has answered with another status.
    #[error("refused with {}{}", .0.status, sentence(&.0.body))]
    Refused(Box<Answer>),
    /// The answer accepts, and is not a valid one.
    #[error("{1}")]
    Invalid(Box<Answer>, String),
    /// There is no way to ask over HTTP/2.
    #[error("{0}")]
    NoHttp2(&'static str),
}

fn sentence(body: &str) -> String {
    match body {
        "" => String::new(),
        body => format!(": {body}"),
    }
}

impl OpenError {
    /// The answer, if one came.
    pub(super) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Refused(answer) | Self::Invalid(answer, _) => Some(answer),
            Self::Dial(_) | Self::NoHttp2(_) => None,
        }
    }

    /// The error of an answer that cannot be read.
    pub(super) fn broken(error: impl ToString) -> Self {
        Self::Dial(DialError::Answer(error.to_string()))
    }
}

/// Opens a session.
///
/// # Errors
/// When there is no connection, or no valid acceptance.
pub(super) async fn open(
    dialer: &Dialer,
    config: &ProbeConfig,
    offer: Offer,
) -> Result<(Session, Answer), OpenError> {
    let begun = Instant::now();
    let stream = dialer.connect(offer.http2).await?;
    let answer = Answer {
        http: "1.1",
        tls: stream.version().map(TlsVersion::number),
        connected: begun.elapsed(),
        ..Answer::default()
    };
    let late = DialError::Late("the answer to the handshake", dialer.timeout);
    let asked = tokio::time::timeout(dialer.timeout, async {
        match offer.http2 {
            true => http2::ask(stream, config, offer, answer).await,
            false => ask(stream, config, offer, answer).await,
        }
    });
    asked.await.unwrap_or(Err(late.into()))
}

async fn ask(
    mut stream: MaybeTls,
    config: &ProbeConfig,
    offer: Offer,
    answer: Answer,
) -> Result<(Session, Answer), OpenError> {
    let key = BASE64.encode(&rand::random::<[u8; 16]>());
    let begun = Instant::now();
    let request = request(config, offer, &key);
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(OpenError::broken)?;
    stream.flush().await.map_err(OpenError::broken)?;
    let mut input = BytesMut::new();
    let mut answer = read_answer(&mut stream, &mut input, answer).await?;
    answer.answered = begun.elapsed();
    if answer.status != 101 {
        answer.body = read_body(&mut stream, input, &answer).await;
        return Err(OpenError::Refused(Box::new(answer)));
    }
    let checked = check_switch(&answer, &key).and_then(|()| check(&answer, config, offer));
    match checked {
        Ok(deflate) => Ok((
            session(Box::new(stream), input, deflate, config, &answer),
            answer,
        )),
        Err(fault) => Err(OpenError::Invalid(Box::new(answer), fault)),
    }
}

/// The session of an answer.
pub(super) fn session(
    io: Box<dyn super::session::Io>,
    early: BytesMut,
    deflate: Option<PermessageDeflate>,
    config: &ProbeConfig,
    answer: &Answer,
) -> Session {
    // Messages of the far end's own may be larger than those of a small limit.
    let limit = config.max_message.max(1 << 20);
    let mut session = Session::new(io, early, deflate, limit);
    session.id = answer.header(CONNECTION_ID);
    session
}

fn request(config: &ProbeConfig, offer: Offer, key: &str) -> String {
    let url = &config.url;
    let mut request = format!("GET {} HTTP/1.1\r\n", url.target());
    let mut line = |name: &str, value: &str| {
        request.push_str(&format!("{name}: {value}\r\n"));
    };
    if !config.headers.contains_key(HOST) {
        line("Host", url.authority());
    }
    line("Upgrade", "websocket");
    line("Connection", "Upgrade");
    line("Sec-WebSocket-Version", "13");
    line("Sec-WebSocket-Key", key);
    for (name, value) in optional(config, offer) {
        line(&name, &value);
    }
    request.push_str("\r\n");
    request
}

/// The header lines that handshakes over both versions of HTTP have where they are asked for.
pub(super) fn optional(config: &ProbeConfig, offer: Offer) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| lines.push((name.to_owned(), value.to_owned()));
    if offer.deflate {
        line("Sec-WebSocket-Extensions", deflate::OFFER);
    }
    if !config.subprotocols.is_empty() {
        let names = config.subprotocols.iter().map(|name| name.as_str());
        let names: Vec<_> = names.collect();
        line("Sec-WebSocket-Protocol", &names.join(", "));
    }
    if !config.headers.contains_key("user-agent") {
        line("User-Agent", AGENT);
    }
    for (name, value) in &config.headers {
        line(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
    }
    lines
}

/// Reads the head of the final answer. What follows it stays in `input`.
async fn read_answer(
    stream: &mut MaybeTls,
    input: &mut BytesMut,
    answer: Answer,
) -> Result<Answer, OpenError> {
    let mut interim = 0;
    loop {
        if let Some((size, status, headers)) = parse(input)? {
            let _head = input.split_to(size);
            let is_interim = (100..200).contains(&status) && status != 101;
            if is_interim && interim < MAX_INTERIM {
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
async fn read_body(stream: &mut MaybeTls, mut input: BytesMut, answer: &Answer) -> String {
    let length = answer.header("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let wanted = length.unwrap_or(0).min(4 * MAX_BODY);
    while input.len() < wanted && matches!(stream.read_buf(&mut input).await, Ok(1..)) {}
    input.truncate(wanted);
    shorten(&String::from_utf8_lossy(&input))
}

/// The first words of a text, in one line without control characters.
pub(super) fn shorten(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    let shown = line.chars().filter(|c| !c.is_control());
    shown.take(MAX_BODY).collect()
}

/// Checks what an answer over HTTP/1.1 must have (RFC 6455, section 4.1).
fn check_switch(answer: &Answer, key: &str) -> Result<(), String> {
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
pub(super) fn check(
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
