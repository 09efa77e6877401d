//! HTTP/1.1: hyper reads the heads, until one of them asks for something else than HTTP.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Pending, Ready, pending, poll_fn, ready};
use std::mem;
use std::pin::{self, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::future::Either;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::head::{READ_LIMIT, Reject};
use super::inbound::{Inbound, Left};
use super::preface::Rewound;
use super::{DRAIN_GRACE, Reply, Routes, Terms, Upgrade};
use crate::deadline::GRACE;
use crate::listen::Caller;
use crate::shutdown::Drain;

/// Progress of a connection's requests, shared by its deadline and its stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    steps: AtomicU64,
    under_way: AtomicU64,
    is_handed_over: AtomicBool,
}

impl Progress {
    /// Notes that a request is under way, which has deadlines of its own.
    pub(super) fn begin(&self) {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a request has its answer.
    pub(crate) fn end(&self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the connection is somebody else's, who answers the last request.
    pub(crate) fn hand_over(&self) {
        self.0.is_handed_over.store(true, Ordering::Relaxed);
    }

    fn is_handed_over(&self) -> bool {
        self.0.is_handed_over.load(Ordering::Relaxed)
    }

    fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.0.under_way.load(Ordering::Relaxed) > 0
    }

    /// Whether there was no request yet.
    pub(super) fn is_new(&self) -> bool {
        self.steps() == 0 && !self.is_under_way()
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
/// handed over. It also ends on a late head, on a bad one, which is answered with what is wrong
/// with it, and on an answer that the client does not take.
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
        .preserve_header_case(terms.preserves_case)
        .serve_connection(
            TokioIo::new(Inbound::new(stream, progress.clone())),
            service,
        );
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
                pin::Pin::new(&mut connection).graceful_shutdown();
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
    let Left {
        stream,
        unread,
        reject,
        is_mute,
    } = parts.io.into_inner().into_left();
    let (mut stream, rewound) = stream.into_parts();
    if is_mute {
        terms.note_silence();
    }
    let ended = match reject {
        Some(reject) => {
            answer(&mut stream, &reject, &terms).await;
            Ended::Badly
        }
        None => ended,
    };
    Remains {
        stream,
        // Copied, because a slice would keep hyper's whole buffer alive.
        early: [&parts.read_buf[..], &unread, &rewound].concat(),
        ended,
    }
}

/// Answers a head that is refused.
async fn answer<S>(stream: &mut S, reject: &Reject, terms: &Terms)
where
    S: AsyncWrite + Unpin,
{
    let (cause, reason) = (reject.cause, &*reject.refusal.sentence);
    terms.rejects.note(terms.caller, cause, reason);
    let answer = reject.answer();
    let sent = async {
        stream.write_all(&answer).await?;
        stream.flush().await
    };
    // Nothing more can be done for a client that does not take the answer.
    let _ = timeout(terms.patience, sent).await;
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
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        Pending<Result<Self::Response, Infallible>>,
    >;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = match self.routes.reply(&request, self.caller) {
            Reply::Answer(answer) => answer,
            Reply::Session(answer, upgrade) => {
                let is_ordinary = upgrade.handshake.scenario.is_default();
                let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
                *accepted = Some(upgrade);
                if !is_ordinary {
                    self.progress.hand_over();
                    return Either::Right(pending());
                }
                answer
            }
        };
        self.progress.end();
        Either::Left(ready(Ok(answer.map(Full::new))))
    }
}
