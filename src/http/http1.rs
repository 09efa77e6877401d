//! HTTP/1.1: hyper reads the heads, until one of them asks for a session.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::pin::{self, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::preface::Rewound;
use super::{DRAIN_GRACE, Reply, Routes, Upgrade};
use crate::listen::Caller;

/// Most bytes that hyper reads for a head. Twice our own limit, which answers with a sentence where
/// hyper sends a bare 431.
const READ_LIMIT: usize = 32 << 10;

/// What a connection is to become once [`serve`] is done with it.
pub(crate) enum Outcome {
    /// A session: the 101 is sent. Behind the request's head, this was read.
    Session(Box<Upgrade>, Vec<u8>),
    /// Nothing more: the last answer is sent, or the peer is gone.
    Done,
    /// Nothing more: the peer took too long.
    TimedOut,
}

/// Answers the requests on `stream` until it becomes a session, or ends. A head that has not
/// arrived by `first_by`, or a later one within the handshake timeout, ends it, and so does an answer
/// that is not taken.
pub(crate) async fn serve<S>(
    stream: Rewound<S>,
    routes: Routes,
    caller: Caller,
    first_by: Instant,
) -> (S, Outcome)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let patience = routes.patience();
    let mut drain = routes.drain.clone();
    let answers = Answers::new(routes, caller);
    let mut connection = http1::Builder::new()
        .max_header_size(READ_LIMIT)
        .max_buf_size(READ_LIMIT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), &answers);
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
                let progress = answers.count.load(Ordering::Relaxed);
                if draining || progress == answered {
                    break None;
                }
                answered = progress;
                deadline.as_mut().reset(Instant::now() + patience);
            }
        }
    };
    let parts = connection.into_parts();
    let (stream, unread) = parts.io.into_inner().into_parts();
    let outcome = match (ended, answers.take_accepted()) {
        (None, _) => {
            debug!(parent: &caller.span(), "no request in time");
            Outcome::TimedOut
        }
        // Copied, for as it is it would keep hyper's whole buffer alive.
        (Some(Ok(())), Some(upgrade)) => {
            Outcome::Session(upgrade, [&parts.read_buf[..], &unread].concat())
        }
        (Some(Ok(())), None) => Outcome::Done,
        (Some(Err(error)), _) => {
            // The peer's, and hyper has sent what answer there is to it.
            debug!(parent: &caller.span(), %error, "bad request");
            Outcome::Done
        }
    };
    (stream, outcome)
}

/// What hyper asks for answers.
struct Answers {
    routes: Routes,
    caller: Caller,
    count: AtomicU64,
    accepted: Mutex<Option<Box<Upgrade>>>,
}

impl Answers {
    fn new(routes: Routes, caller: Caller) -> Self {
        Self {
            routes,
            caller,
            count: AtomicU64::new(0),
            accepted: Mutex::new(None),
        }
    }

    fn take_accepted(&self) -> Option<Box<Upgrade>> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.take()
    }
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = match self.routes.reply(&request, self.caller) {
            Reply::Answer(answer) => answer,
            Reply::Session(answer, upgrade) => {
                let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
                *accepted = Some(upgrade);
                answer
            }
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        ready(Ok(answer.map(Full::new)))
    }
}
