//! HTTP/1.1: hyper reads the heads, until one of them asks for something else than HTTP.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::preface::{self, Rewound};
use super::{DRAIN_GRACE, Reply, Routes, Terms, Upgrade};
use crate::deadline::GRACE;
use crate::listen::Caller;
use crate::shutdown::Drain;
use crate::turn;

/// Most bytes that hyper reads for a head. Twice our own limit, which answers with a sentence where
/// hyper sends a bare 431.
const READ_LIMIT: usize = 32 << 10;

/// How far a connection's requests have come, for its deadline to know.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    steps: AtomicU64,
    under_way: AtomicU64,
    is_handed_over: AtomicBool,
}

impl Progress {
    /// Notes that something went on.
    pub(crate) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a request is under way, which has deadlines of its own.
    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that it is not any more.
    pub(crate) fn end(&self) {
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.step();
    }

    /// Notes that the connection is somebody else's, who answers the last request.
    pub(crate) fn hand_over(&self) {
        self.is_handed_over.store(true, Ordering::Relaxed);
    }

    fn is_handed_over(&self) -> bool {
        self.is_handed_over.load(Ordering::Relaxed)
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) > 0
    }
}

/// What is left of a connection once [`serve`] is done with it.
pub(crate) struct Remains<S> {
    pub(crate) stream: S,
    /// What was read behind the last head.
    pub(crate) early: Vec<u8>,
    pub(crate) ended: Ended,
}

/// How HTTP ended on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With the answer to its last request.
    Well,
    /// With an error of the peer's.
    Badly,
    /// With silence: there is no answer that the peer waits for.
    Late,
}

/// Answers the requests on `stream` until one of them is accepted for an upgrade, or it ends, or is
/// handed over. A head that does not arrive in time ends it, and so does an answer that is not taken.
pub(crate) async fn serve<S, V, B>(
    stream: Rewound<S>,
    service: V,
    progress: &Progress,
    terms: Terms,
    drain: Drain,
) -> Remains<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Unpin,
    V::Future: Unpin,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connection = http1::Builder::new()
        .max_header_size(READ_LIMIT)
        .max_buf_size(READ_LIMIT)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut deadline = pin!(sleep_until(terms.first_by));
    let mut steps = 0;
    let mut is_late = false;
    let mut draining = drain.has_begun();
    let mut drain_begun = pin!(drain.begun());
    let ended = loop {
        tokio::select! {
            biased;
            result = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
                Poll::Pending if progress.is_handed_over() => Poll::Ready(Ok(())),
                polled => polled,
            }) => break Some(result),
            _ = &mut drain_begun, if !draining => {
                draining = true;
                Pin::new(&mut connection).graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + DRAIN_GRACE);
            }
            () = &mut deadline => {
                let is_silent = !progress.is_under_way() && progress.steps() == steps;
                let is_over = is_silent || draining && !progress.is_under_way();
                if is_over && mem::replace(&mut is_late, true) {
                    break None;
                }
                is_late = is_over;
                steps = progress.steps();
                let patience = if is_late { GRACE } else { terms.patience };
                deadline.as_mut().reset(Instant::now() + patience);
            }
        }
    };
    let ended = match ended {
        Some(Ok(())) => Ended::Well,
        Some(Err(error)) => {
            // hyper has sent what answer there is to it.
            debug!(parent: &terms.caller.span(), %error, "bad request");
            Ended::Badly
        }
        None => {
            debug!(parent: &terms.caller.span(), "no request in time");
            Ended::Late
        }
    };
    let parts = connection.into_parts();
    let (mut stream, unread) = parts.io.into_inner().into_parts();
    // Copied, for as it is it would keep hyper's whole buffer alive.
    let early = [&parts.read_buf[..], &unread].concat();
    if ended == Ended::Badly {
        // An answer that is not taken is as good as none.
        let _ = timeout(terms.patience, preface::refuse(&mut stream, &early)).await;
    }
    Remains {
        stream,
        early,
        ended,
    }
}

/// The routes, as hyper asks for answers.
pub(crate) struct Answers {
    routes: Routes,
    caller: Caller,
    progress: Progress,
    accepted: Mutex<Option<Box<Upgrade>>>,
}

impl Answers {
    pub(crate) fn new(routes: Routes, caller: Caller) -> Self {
        Self {
            routes,
            caller,
            progress: Progress::default(),
            accepted: Mutex::new(None),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The session that the last request is to become, if any.
    pub(crate) fn take_accepted(&self) -> Option<Box<Upgrade>> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.take()
    }
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = match self.routes.reply(&request, self.caller) {
            Reply::Answer(answer) => answer,
            Reply::Session(answer, upgrade) => {
                let is_ordinary = upgrade.handshake.scenario.is_default();
                let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
                *accepted = Some(upgrade);
                if !is_ordinary {
                    self.progress.hand_over();
                    return Answering::never();
                }
                answer
            }
        };
        let is_first = self.progress.steps() == 0;
        self.progress.step();
        Answering {
            answer: Some(answer.map(Full::new)),
            // hyper reads many requests before it gives way.
            is_due: is_first,
        }
    }
}

/// An answer: to a later request than the first, once others had their turn.
pub(crate) struct Answering {
    answer: Option<Response<Full<Bytes>>>,
    is_due: bool,
}

impl Answering {
    /// An answer that is not for hyper to give.
    fn never() -> Self {
        Self {
            answer: None,
            is_due: true,
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !mem::replace(&mut self.is_due, true) {
            turn::give_way(cx);
            return Poll::Pending;
        }
        match self.answer.take() {
            Some(answer) => Poll::Ready(Ok(answer)),
            None => Poll::Pending,
        }
    }
}
