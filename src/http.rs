//! HTTP on a connection: hyper reads the head, and every request is answered here.
//!
//! | request | answer |
//! |---|---|
//! | an upgrade to WebSocket, on any path or those of `--path` | 101, and the connection becomes a session |
//! | `GET /healthz` | 200 `ok`; 503 `draining` during shutdown |
//! | `GET` on a path of `--path`, without an upgrade | 426 |
//! | another method on one of these | 405 |
//! | anything else | 404 that says how to connect |

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::{self, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, UPGRADE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use crate::config::ServerConfig;
use crate::handshake::{self, Handshake, Refusal};
use crate::listen::Caller;
use crate::shutdown::Drain;

/// Most bytes that hyper reads for a head. Twice our own limit, which answers with a sentence where
/// hyper sends a bare 431.
const READ_LIMIT: usize = 32 << 10;

/// Time that a connection which is not a session yet has left when the drain begins.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What a connection is to become once [`serve`] is done with it.
pub(crate) enum Outcome {
    /// A session: the 101 is sent.
    Session(Box<Upgrade>),
    /// Nothing more: the last answer is sent, or the peer is gone.
    Done,
    /// Nothing more: the peer took too long.
    TimedOut,
}

/// A session that is to begin.
pub(crate) struct Upgrade {
    pub(crate) path: String,
    pub(crate) handshake: Handshake,
    /// What was read behind the request's head.
    pub(crate) early: Vec<u8>,
    /// Its place among the sessions, free again when this is dropped.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Answers the requests on `stream` until it becomes a session, or ends. A head that has not
/// arrived by `first_by`, or a later one within the handshake timeout, ends it, and so does an answer
/// that is not taken.
pub(crate) async fn serve<S>(
    stream: S,
    routes: Routes,
    first_by: Instant,
    mut drain: Drain,
) -> (S, Outcome)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let patience = routes.config.handshake_timeout;
    let mut connection = http1::Builder::new()
        .max_header_size(READ_LIMIT)
        .max_buf_size(READ_LIMIT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), &routes);
    let mut deadline = pin!(sleep_until(first_by));
    let mut answered = 0;
    let mut draining = drain.has_begun();
    let mut drain_begun = pin!(drain.begun());
    let ended = loop {
        tokio::select! {
            biased;
            result = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break Some(result),
            _ = &mut drain_begun, if !draining => {
                draining = true;
                pin::Pin::new(&mut connection).graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + DRAIN_GRACE);
            }
            () = &mut deadline => {
                let progress = routes.answered.load(Ordering::Relaxed);
                if draining || progress == answered {
                    break None;
                }
                answered = progress;
                deadline.as_mut().reset(Instant::now() + patience);
            }
        }
    };
    let parts = connection.into_parts();
    let outcome = match (ended, routes.take_accepted()) {
        (None, _) => {
            debug!(parent: &routes.caller.span(), "no request in time");
            Outcome::TimedOut
        }
        (Some(Ok(())), Some(mut upgrade)) => {
            // Copied, for as it is it would keep hyper's whole buffer alive.
            upgrade.early = parts.read_buf.to_vec();
            Outcome::Session(upgrade)
        }
        (Some(Ok(())), None) => Outcome::Done,
        (Some(Err(error)), _) => {
            // The peer's, and hyper has sent what answer there is to it.
            debug!(parent: &routes.caller.span(), %error, "bad request");
            Outcome::Done
        }
    };
    (parts.io.into_inner(), outcome)
}

/// The routes, as one connection sees them.
pub(crate) struct Routes {
    config: Arc<ServerConfig>,
    places: Arc<Semaphore>,
    drain: Drain,
    /// For log lines.
    caller: Caller,
    answered: AtomicU64,
    accepted: Mutex<Option<Box<Upgrade>>>,
}

type Answer = Response<Full<Bytes>>;

impl Service<Request<Incoming>> for Routes {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut answer = self.answer(&request);
        if self.drain.has_begun() {
            close_after(&mut answer);
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        ready(Ok(answer))
    }
}

impl Routes {
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        places: Arc<Semaphore>,
        drain: Drain,
        caller: Caller,
    ) -> Self {
        Self {
            config,
            places,
            drain,
            caller,
            answered: AtomicU64::new(0),
            accepted: Mutex::new(None),
        }
    }

    fn take_accepted(&self) -> Option<Box<Upgrade>> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.take()
    }

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        let (method, path) = (request.method(), request.uri().path());
        if !handshake::is_upgrade(request.headers()) {
            let answer = self
                .plain(request)
                .unwrap_or_else(|refusal| refuse(&refusal));
            let status = answer.status().as_u16();
            debug!(parent: &self.caller.span(), %method, path, status, "answered");
            return answer;
        }
        self.upgrade(request).unwrap_or_else(|refusal| {
            let (status, reason) = (refusal.status.as_u16(), &*refusal.sentence);
            info!(parent: &self.caller.span(), %method, path, status, reason, "refused");
            let mut answer = refuse(&refusal);
            close_after(&mut answer);
            answer
        })
    }

    fn upgrade<B>(&self, request: &Request<B>) -> Result<Answer, Refusal> {
        let handshake = handshake::answer(request, &self.config)?;
        let unavailable = |sentence: &'static str| {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence).with(RETRY_AFTER, "5")
        };
        if self.drain.has_begun() {
            return Err(unavailable("The server is shutting down."));
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Err(unavailable(
                "The server has all the connections that it may have.",
            ));
        };
        let answer = handshake.response();
        let upgrade = Upgrade {
            path: request.uri().path().to_owned(),
            handshake,
            early: Vec::new(),
            place,
        };
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        *accepted = Some(Box::new(upgrade));
        Ok(answer)
    }

    fn plain<B>(&self, request: &Request<B>) -> Result<Answer, Refusal> {
        handshake::check_head(request)?;
        match request.uri().path() {
            "/healthz" => {
                check_method(request.method())?;
                Ok(self.health())
            }
            path if !self.config.paths.is_empty()
                && handshake::is_upgrade_path(path, &self.config) =>
            {
                check_method(request.method())?;
                Ok(upgrade_required())
            }
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                self.directions(request),
            )),
        }
    }

    fn health(&self) -> Answer {
        if self.drain.has_begun() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            text(StatusCode::OK, "ok")
        }
    }

    /// Where to go, for whoever is at the wrong place.
    fn directions<B>(&self, request: &Request<B>) -> String {
        let host = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.unwrap_or("this server");
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
             Over plain HTTP there is GET /healthz."
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

/// What a path that is for WebSockets answers to a plain GET (RFC 9110, section 15.5.22).
fn upgrade_required() -> Answer {
    let sentence = "This path is for WebSockets: connect with a WebSocket client.";
    let mut answer = text(StatusCode::UPGRADE_REQUIRED, sentence);
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer
}

fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = text(refusal.status, &refusal.sentence);
    for (name, value) in &refusal.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

fn text(status: StatusCode, line: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{line}\n")));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Makes this the connection's last answer.
fn close_after(answer: &mut Answer) {
    let headers = answer.headers_mut();
    // Upgrade counts only where Connection names it (RFC 9110, section 7.8).
    let options = match headers.contains_key(UPGRADE) {
        true => "Upgrade, close",
        false => "close",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
}
