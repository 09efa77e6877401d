//! HTTP/2 (RFC 9113): many requests on a connection, each of which may become a session (RFC 8441).
//!
//! The connection and its sessions are one task. So a session costs no task of its own, and all
//! that a read brought goes out in one write.
//!
//! h2 is used directly, for hyper's upgraded stream cannot be reset, and has a task, a channel and a
//! copy of what is written to itself.

use std::future::pending;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{self, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use httpdate::HttpDate;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue, UPGRADE};
use hyper::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::debug;

use super::{Answer, DRAIN_GRACE, Http2Stream, Reply, Routes, Upgrade};
use crate::listen::{Caller, Http};

/// Streams that are open on a connection at the same time. "No smaller than 100" is what RFC 9113,
/// section 6.5.2, recommends.
const MAX_STREAMS: u32 = 100;

/// Bytes that a stream may have sent and its session not have read.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for a connection: enough for all its streams, so that none which is not read stops the
/// others.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Bytes that a session may have written and TCP not have taken.
const SEND_BUFFER: usize = 256 << 10;

/// Bytes of a head, as HTTP/2 counts them: 32 for each line on top of its own. It has no more lines
/// than HTTP/1.1 may have, and h2 answers a larger one with 431.
const MAX_HEAD: u32 = (16 << 10) + 64 * 32;

/// Answers the requests on `stream` until it ends, with `open` for those that become sessions. A
/// connection without a session is closed when no request has come for the handshake timeout, the
/// first by `first_by`.
pub(crate) async fn serve<S, H, F>(
    stream: S,
    routes: Routes,
    caller: Caller,
    (first_by, opening): (Instant, OwnedSemaphorePermit),
    open: H,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Http2Stream, Upgrade, Caller) -> F,
    F: Future<Output = ()>,
{
    let handshake = server::Builder::new()
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD)
        .handshake(stream);
    match timeout_at(first_by, handshake).await {
        Ok(Ok(h2)) => {
            let connection = Connection {
                h2,
                routes,
                caller,
                sessions: FuturesUnordered::new(),
                open,
                opening: Some(opening),
            };
            Box::pin(connection.run(first_by)).await;
        }
        Ok(Err(error)) => debug!(parent: &caller.span(), %error, "no HTTP/2"),
        Err(_late) => debug!(parent: &caller.span(), "no HTTP/2 in time"),
    }
}

struct Connection<S, H, F> {
    h2: server::Connection<S, Bytes>,
    routes: Routes,
    caller: Caller,
    sessions: FuturesUnordered<F>,
    open: H,
    /// Given back with the first session.
    opening: Option<OwnedSemaphorePermit>,
}

impl<S, H, F> Connection<S, H, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Http2Stream, Upgrade, Caller) -> F,
    F: Future<Output = ()>,
{
    async fn run(mut self, first_by: Instant) {
        let mut drain = self.routes.drain.clone();
        let mut draining = pin!(drain.begun());
        let config = &self.routes.config;
        let (interval, timeout) = (config.ping_interval, config.ping_timeout);
        let mut dead = pin!(keepalive(self.h2.ping_pong(), interval, timeout));
        let mut deadline = pin!(sleep_until(first_by));
        let mut patience = self.routes.patience();
        let mut closing = false;
        let why = loop {
            tokio::select! {
                Some(()) = self.sessions.next() => {}
                accepted = self.h2.accept() => match accepted {
                    Some(Ok((request, respond))) => self.answer(request, respond),
                    Some(Err(error)) => break error.to_string(),
                    None => break "the peer has closed it".to_owned(),
                },
                Dead = &mut dead => break "no answer to PING".to_owned(),
                _ = &mut draining, if !closing => {
                    (closing, patience) = (true, DRAIN_GRACE);
                    self.h2.graceful_shutdown();
                }
                () = &mut deadline, if self.sessions.is_empty() => {
                    if closing {
                        break "no request in time".to_owned();
                    }
                    (closing, patience) = (true, DRAIN_GRACE);
                    self.h2.graceful_shutdown();
                }
            }
            deadline.as_mut().reset(Instant::now() + patience);
        };
        debug!(parent: &self.caller.span(), why, "connection ends");
        drop(self.h2);
        // They learn of it when they read or write.
        while self.sessions.next().await.is_some() {}
    }

    fn answer(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let caller = self.caller.over(Http::Two(respond.stream_id().as_u32()));
        // An error here is a stream that the peer has reset meanwhile.
        match self.routes.reply(&request, caller) {
            Reply::Answer(answer) => {
                let _ = send_answer(answer, request.method(), &mut respond);
            }
            Reply::Session(answer, upgrade) => {
                if let Ok(send) = respond.send_response(head(&answer), false) {
                    let stream = Http2Stream::new(send, request.into_body());
                    self.opening = None;
                    self.sessions.push((self.open)(stream, *upgrade, caller));
                }
            }
        }
    }
}

/// What a connection ends with when its peer does not answer.
struct Dead;

/// Sends a PING at every interval, until one is not answered in time.
async fn keepalive(
    pings: Option<PingPong>,
    interval: Option<Duration>,
    patience: Duration,
) -> Dead {
    let (Some(mut pings), Some(interval)) = (pings, interval) else {
        return pending().await;
    };
    loop {
        sleep(interval).await;
        // An error is one of the connection, which it will end with itself.
        if timeout(patience, pings.ping(Ping::opaque())).await.is_err() {
            return Dead;
        }
    }
}

fn send_answer(
    answer: Answer,
    method: &Method,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let mut head = head(&answer);
    let body = answer.into_body();
    head.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    let is_all = body.is_empty() || method == Method::HEAD;
    let mut send = respond.send_response(head, is_all)?;
    match is_all {
        true => Ok(()),
        false => send.send_data(body, true),
    }
}

/// The head of an answer, without what HTTP/2 has other means for (RFC 9113, section 8.2.2), and
/// with the time of day.
fn head(answer: &Answer) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = answer.status();
    *head.headers_mut() = answer.headers().clone();
    let headers = head.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    let now = HttpDate::from(SystemTime::now()).to_string();
    if let Ok(now) = HeaderValue::try_from(now) {
        headers.insert(DATE, now);
    }
    head
}
