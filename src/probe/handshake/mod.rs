//! Opening handshakes as a client: over HTTP/1.1 (RFC 6455, section 4.1), byte by byte, so that the
//! answer is seen as it came.

pub(super) mod answer;

use bytes::BytesMut;
use data_encoding::BASE64;
use hyper::header::HOST;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::deflate;
use super::dial::{AGENT, DialError, Dialer};
use super::http2;
use super::session::{Io, Session};
use crate::config::ProbeConfig;
use crate::net::connection_info::TlsVersion;
use crate::tls::MaybeTls;
use crate::ws::deflate::PermessageDeflate;
use answer::{Answer, check, check_switch, read_answer, read_body};

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
    io: Box<dyn Io>,
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
