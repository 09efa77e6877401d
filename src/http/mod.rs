//! HTTP on a connection: a library reads the head, and every request is answered here.
//!
//! | request | answer |
//! |---|---|
//! | an upgrade to WebSocket, on any path or those of `--path` | 101, and the connection becomes a session |
//! | over HTTP/2, an extended CONNECT to `websocket` on such a path | 200, and the stream becomes a session |
//! | `GET /`, unless `/` is a path of `--path` | 200, the page |
//! | `GET /healthz` | 200 `ok`; 503 `draining` during shutdown |
//! | `GET /metrics` | 200, Prometheus text |
//! | `GET` anywhere that accepts the verdict's media type, if there is a page | 200, the [`verdict`] on such an upgrade |
//! | `GET` on a path of `--path`, without an upgrade | 426; 405 over HTTP/2 |
//! | another method on one of these | 405 |
//! | anything else | 404 that says how to connect |
//!
//! | room | purpose |
//! |---|---|
//! | [`http1`] | HTTP/1.1, by hyper |
//! | [`inbound`] | the stream that hyper reads, request by request |
//! | [`head`] | what is wrong with a request that hyper could not parse, and where one ends |
//! | [`chunks`] | where a chunked body ends |
//! | [`whole`] | HTTP/1.1 without hyper, where the first head came whole and is an upgrade |
//! | [`http2`] | HTTP/2, by h2: many requests on a connection |
//! | [`exchange`] | one request of HTTP/2, and the way to answer it |
//! | [`fair`] | a connection that yields to others |
//! | [`stream`] | a stream of HTTP/2 as a session sees it |
//! | [`portrait`] | what the server saw of a request |
//! | [`redact`] | secrets of a request, redacted so that they can only be compared |
//! | [`preface`] | which of the two a cleartext connection speaks |
//! | [`page`] | the page at `/`, and what browsers are told of it |
//! | [`verdict`] | the answer that an upgrade would get, for the page |

mod chunks;
pub(crate) mod exchange;
mod fair;
pub(crate) mod head;
pub(crate) mod http1;
pub(crate) mod http2;
mod inbound;
mod page;
mod portrait;
pub(crate) mod preface;
pub(crate) mod redact;
pub(crate) mod stream;
mod verdict;
pub(crate) mod whole;

use std::iter;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::config::ServerConfig;
use crate::handshake::{self, Handshake, Refusal};
use crate::listen::Caller;
use crate::metrics::{self, Metrics};
use crate::places::{Place, Places};
use crate::reject::{Cause, Rejects};
use crate::scenario::{Scenario, Turns};
use crate::shutdown::Drain;

/// Time that a connection without a session has left when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What is asked of a connection, and how the log names it.
pub(crate) struct Terms {
    pub(crate) caller: Caller,
    /// When the first head must have come.
    pub(crate) first_by: Instant,
    /// Time that a later head has, and an answer to be taken.
    pub(crate) patience: Duration,
    /// Whether requests of HTTP/1.1 keep their headers' names as they were written.
    pub(crate) preserves_case: bool,
    /// Counts of the connections that were turned away.
    pub(crate) rejects: Arc<Rejects>,
}

impl Terms {
    /// Notes that the client has left without a request: over TLS, some clients do so when they do
    /// not trust the certificate.
    fn note_silence(&self) {
        if self.caller.tls.is_some() {
            let reason = "The client left after the TLS handshake, without a request: does it trust \
                the certificate?";
            self.rejects.note(self.caller, Cause::Untrusted, reason);
        }
    }
}

/// A session that is to begin.
pub(crate) struct Upgrade {
    pub(crate) path: String,
    pub(crate) handshake: Handshake,
    /// What the step `who` says, if it is asked for.
    pub(crate) portrait: Option<String>,
    /// Its place among the sessions.
    pub(crate) place: Place,
}

/// What a request comes to.
pub(crate) enum Reply {
    /// An answer, and that is all.
    Answer(Answer),
    /// An answer, behind which a session begins.
    Session(Answer, Box<Upgrade>),
}

pub(crate) type Answer = Response<Bytes>;

/// The routes, as one connection sees them.
pub(crate) struct Routes {
    config: Arc<ServerConfig>,
    places: Places,
    metrics: Arc<Metrics>,
    drain: Drain,
    turns: Arc<Turns>,
}

impl Routes {
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        places: Places,
        metrics: Arc<Metrics>,
        drain: Drain,
        turns: Arc<Turns>,
    ) -> Self {
        Self {
            config,
            places,
            metrics,
            drain,
            turns,
        }
    }

    pub(crate) fn reply<B>(&self, request: &Request<B>, caller: Caller) -> Reply {
        let mut reply = self.route(request, caller);
        if self.drain.has_begun()
            && let Reply::Answer(answer) = &mut reply
        {
            close_after(answer);
        }
        reply
    }

    fn route<B>(&self, request: &Request<B>, caller: Caller) -> Reply {
        let (method, path) = (request.method(), request.uri().path());
        if !handshake::is_asked_for(request) {
            let answer = self
                .plain(request)
                .unwrap_or_else(|refusal| refuse(&refusal));
            let status = answer.status().as_u16();
            debug!(parent: &caller.span(), %method, path, status, "answered");
            return Reply::Answer(answer);
        }
        self.upgrade(request, caller).unwrap_or_else(|refusal| {
            let (status, reason) = (refusal.status.as_u16(), &*refusal.sentence);
            info!(parent: &caller.span(), %method, path, status, reason, "refused");
            self.metrics.refuse(refusal.status);
            let mut answer = refuse(&refusal);
            close_after(&mut answer);
            Reply::Answer(answer)
        })
    }

    fn upgrade<B>(&self, request: &Request<B>, caller: Caller) -> Result<Reply, Refusal> {
        let handshake = self.negotiate(request)?;
        let mut upgrade = self.accept(handshake, request, Turns::draw)?;
        if upgrade.handshake.scenario.has_portrait() {
            let portrait = portrait::portrait(request, &upgrade.handshake, caller);
            upgrade.portrait = Some(portrait);
        }
        Ok(Reply::Session(upgrade.handshake.response(), upgrade))
    }

    /// Answers a request that [asks for a session](handshake::is_asked_for), as far as the request
    /// alone decides it.
    fn negotiate<B>(&self, request: &Request<B>) -> Result<Handshake, Refusal> {
        handshake::answer(request, &self.config)
    }

    /// Accepts such a request with the steps that `choose` leaves, or says why not.
    fn accept<B>(
        &self,
        mut handshake: Handshake,
        request: &Request<B>,
        choose: impl FnOnce(&Turns, &Scenario, &str, &str) -> Scenario,
    ) -> Result<Box<Upgrade>, Refusal> {
        if self.drain.has_begun() {
            return Err(Refusal::unavailable("The server is shutting down."));
        }
        if !handshake.scenario.is_default() {
            let path = request.uri().path();
            let target = request.uri().path_and_query();
            let url = target.map_or(path, |target| target.as_str());
            handshake.scenario = choose(&self.turns, &handshake.scenario, path, url);
            handshake = handshake.distorted()?;
        }
        let full = "The server has all the connections that it may have.";
        let place = self
            .places
            .take()
            .ok_or_else(|| Refusal::unavailable(full))?;
        Ok(Box::new(Upgrade {
            path: request.uri().path().to_owned(),
            portrait: None,
            handshake,
            place,
        }))
    }

    fn plain<B>(&self, request: &Request<B>) -> Result<Answer, Refusal> {
        handshake::check_head(request)?;
        if self.has_page() && verdict::is_asked_for(request) {
            check_method(request.method())?;
            // After a connection that failed the page asks why.
            let accept =
                |upgrade: &_| self.accept(self.negotiate(upgrade)?, upgrade, Turns::latest);
            return Ok(verdict::answer(request, &self.config, accept));
        }
        match request.uri().path() {
            "/healthz" => {
                check_method(request.method())?;
                Ok(self.health())
            }
            "/metrics" => {
                check_method(request.method())?;
                Ok(self.exposition())
            }
            path if !self.config.paths.is_empty()
                && handshake::is_upgrade_path(path, &self.config) =>
            {
                upgrade_required(request)
            }
            "/" => {
                check_method(request.method())?;
                Ok(page::answer(request, &self.config))
            }
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                self.directions(request),
            )),
        }
    }

    /// Whether `/` serves the page.
    fn has_page(&self) -> bool {
        self.config.paths.is_empty() || !handshake::is_upgrade_path("/", &self.config)
    }

    fn health(&self) -> Answer {
        if self.drain.has_begun() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            text(StatusCode::OK, "ok")
        }
    }

    fn exposition(&self) -> Answer {
        let text = self.metrics.exposition(self.drain.has_begun());
        answer(StatusCode::OK, metrics::CONTENT_TYPE, text)
    }

    /// Where to go, for whoever is at the wrong place.
    fn directions<B>(&self, request: &Request<B>) -> String {
        let host = handshake::host(request).unwrap_or("this server");
        let scheme = match self.config.tls {
            Some(_) => "wss",
            None => "ws",
        };
        let paths = match &self.config.paths[..] {
            [] => "/, or any other path".to_owned(),
            paths => paths
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
        };
        format!(
            "Nothing here. This is echobeat, a WebSocket echo server.\n\
             Connect a WebSocket client to {scheme}://{host}{paths}.\n\
             Over plain HTTP there are GET /, GET /healthz and GET /metrics."
        )
    }
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let sentence = "This can be read with GET, and nothing else.";
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).with(ALLOW, "GET, HEAD"))
}

/// What a path that is for WebSockets answers to a plain GET (RFC 9110, section 15.5.22). HTTP/2
/// has no upgrades: there, what is wrong is the method.
fn upgrade_required<B>(request: &Request<B>) -> Result<Answer, Refusal> {
    let sentence = "This path is for WebSockets: connect with a WebSocket client.";
    if request.version() == Version::HTTP_2 {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence);
        return Err(refusal.with(ALLOW, "CONNECT"));
    }
    check_method(request.method())?;
    let mut answer = text(StatusCode::UPGRADE_REQUIRED, sentence);
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    Ok(answer)
}

pub(crate) fn refuse(refusal: &Refusal) -> Answer {
    let advice = refusal.advice.iter().map(String::as_str);
    let lines: Vec<_> = iter::once(&*refusal.sentence).chain(advice).collect();
    let mut answer = text(refusal.status, &lines.join("\n"));
    for (name, value) in &refusal.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// The last answer of a connection as it is sent, as hyper writes its own.
fn serialize(answer: &Answer, is_head: bool) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        let words = name.as_str().split('-').map(title_case);
        bytes.extend(words.collect::<Vec<_>>().join("-").into_bytes());
        bytes.extend([b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let date = HttpDate::from(SystemTime::now());
    bytes.extend(format!("Connection: close\r\nDate: {date}\r\n\r\n").into_bytes());
    if !is_head {
        bytes.extend_from_slice(answer.body());
    }
    bytes
}

fn title_case(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_ascii_uppercase() + rest
}

fn text(status: StatusCode, line: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", format!("{line}\n"))
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let length = body.len();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Makes this the connection's last answer.
pub(crate) fn close_after<B>(answer: &mut Response<B>) {
    let headers = answer.headers_mut();
    // Upgrade counts only where Connection names it (RFC 9110, section 7.8).
    let options = match headers.contains_key(UPGRADE) {
        true => "Upgrade, close",
        false => "close",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
}
