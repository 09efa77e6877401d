//! HTTP/1.1: requests are read and answered by hyper, until one of them leaves HTTP. An upgrade
//! that is the first request needs no hyper.

use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::head::{READ_LIMIT, Reject};
use super::inbound::{Inbound, Left};
use super::progress::{ClientEnd, Progress, UnderWay};
use super::response::{Answer, last_bytes};
use super::{DRAIN_GRACE, HttpContext};
use crate::net::stream::Prefixed;
use crate::runtime::deadline::GRACE;
use crate::runtime::shutdown::Drain;

/// Decision of a handler about a request.
pub(crate) enum Outcome<B, U> {
    /// Answers it. Others may follow.
    Answer(Response<B>),
    /// Answers it, and then leaves HTTP.
    Switch(Response<B>, U),
    /// Answers it as the last of its connection.
    Last(Answer),
    /// Leaves HTTP at once: the new owner of the stream sends the answer.
    Upgrade(U),
}

/// Parts of a connection that remain once HTTP is over on it.
pub(crate) struct Served<S, U> {
    pub(crate) stream: S,
    /// Bytes that were read behind the last head.
    pub(crate) early: Vec<u8>,
    pub(crate) ended: Ended<U>,
}

/// Ways in which HTTP ends on a connection.
#[derive(Debug)]
pub(crate) enum Ended<U> {
    /// With an upgrade to something else.
    Upgraded(U),
    /// With an answer.
    Answered,
    /// With an error, which may have been answered.
    Failed,
    /// With silence: the peer waits for no answer.
    Late,
}

/// A connection of HTTP/1.1, whose requests are to be answered.
pub(crate) struct Connection<S> {
    inbound: Inbound<Prefixed<S>>,
    progress: Progress,
    context: HttpContext,
    drain: Drain,
    /// Whether the drain had begun before the connection. Then its answers are the last anyway.
    was_draining: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: Prefixed<S>, context: HttpContext, drain: Drain) -> Self {
        let progress = Progress::default();
        Self {
            inbound: Inbound::new(stream, progress.clone()).with_send_timeout(context.send_timeout),
            progress,
            context,
            was_draining: drain.has_begun(),
            drain,
        }
    }

    /// The end of the client's side, for answers that do not end.
    pub(crate) fn client_end(&self) -> ClientEnd {
        ClientEnd(self.progress.clone())
    }

    /// Waits for the first head, and returns it if it has an `Upgrade` and no body. It is still to
    /// be answered, by [`leave`](Self::leave) or by [`serve`](Self::serve). Everything else is left
    /// to `serve`: other requests, errors, a late head, and the drain.
    pub(crate) async fn first_upgrade(&mut self) -> Option<Request<()>> {
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.inbound.poll_first(cx)) => {}
            () = sleep_until(self.context.first_by) => {}
            _ = self.drain.begun() => {}
        }
        self.inbound.upgrade()
    }

    /// Ends HTTP with the [first upgrade](Self::first_upgrade). A refusal is sent here, and an
    /// acceptance by the new owner of the stream.
    pub(crate) async fn leave<U>(
        mut self,
        request: &Request<()>,
        decision: Result<U, Box<Answer>>,
    ) -> Served<S, U> {
        self.inbound.take_head();
        let exit = match decision {
            Ok(upgrade) => Exit::Upgrade(upgrade),
            Err(answer) => Exit::Last(last_bytes(*answer, request.method() == Method::HEAD)),
        };
        end(
            self.inbound,
            Bytes::new(),
            Some(Ok(())),
            Some(exit),
            &self.context,
        )
        .await
    }

    /// Answers requests with `handler` until one of them leaves HTTP, or the stream ends. It also
    /// ends on a late head, on a bad head, which is answered with its fault, and on an answer that
    /// the client does not take.
    pub(crate) async fn serve<H, F, B, U>(self, handler: H) -> Served<S, U>
    where
        H: Fn(Request<Incoming>) -> F + Unpin,
        F: Future<Output = Outcome<B, U>> + Send + 'static,
        B: Body + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
        U: Send + Sync + 'static,
    {
        let Self {
            inbound,
            progress,
            context,
            drain,
            was_draining,
        } = self;
        let exit = Arc::default();
        let requests = Requests {
            handler,
            progress: progress.clone(),
            exit: Arc::clone(&exit),
        };
        let mut connection = http1::Builder::new()
            .max_header_size(READ_LIMIT)
            .max_buf_size(READ_LIMIT)
            .title_case_headers(true)
            .preserve_header_case(context.preserves_case)
            .serve_connection(TokioIo::new(inbound), requests);
        let result = run(
            &mut connection,
            &exit,
            &progress,
            &context,
            drain,
            was_draining,
        )
        .await;
        let parts = connection.into_parts();
        drop(parts.service);
        let exit = Arc::into_inner(exit).and_then(OnceLock::into_inner);
        end(
            parts.io.into_inner(),
            parts.read_buf,
            result,
            exit,
            &context,
        )
        .await
    }
}

/// Ends HTTP on a connection, with the last answer if that is still to be sent. `read` are bytes
/// behind the last head that hyper has read, `result` is what became of the requests (`None`: none
/// came in time).
async fn end<S, U>(
    inbound: Inbound<Prefixed<S>>,
    read: Bytes,
    result: Option<hyper::Result<()>>,
    exit: Option<Exit<U>>,
    context: &HttpContext,
) -> Served<S, U>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Left {
        stream,
        unread,
        reject,
        is_mute,
    } = inbound.into_left();
    let (mut stream, rewound) = stream.into_parts();
    if is_mute {
        context.note_silence();
    }
    let last = last_answer(reject.as_deref(), exit.as_ref(), context);
    if let Some(last) = &last {
        send(&mut stream, last, context).await;
    }
    Served {
        stream,
        // Copied, because a slice would keep hyper's whole buffer alive.
        early: [&read[..], &unread, &rewound].concat(),
        ended: match (result, exit) {
            (Some(Ok(())), Some(Exit::Switch(upgrade) | Exit::Upgrade(upgrade))) => {
                Ended::Upgraded(upgrade)
            }
            (Some(Ok(())), _) => Ended::Answered,
            _ if last.is_some() => Ended::Answered,
            (Some(Err(_)), _) => Ended::Failed,
            (None, _) => Ended::Late,
        },
    }
}

/// The bytes of an answer that hyper has not sent: to a head that is refused, which is noted, or to
/// the last request.
fn last_answer<U>(
    reject: Option<&Reject>,
    exit: Option<&Exit<U>>,
    context: &HttpContext,
) -> Option<Vec<u8>> {
    match (reject, exit) {
        (Some(reject), _) => {
            let reason = &*reject.refusal.sentence;
            context.rejects.note(context.info, reject.cause, reason);
            Some(reject.answer())
        }
        (None, Some(Exit::Last(answer))) => Some(answer.clone()),
        _ => None,
    }
}

/// Runs a connection until it is over or leaves HTTP, or (`None`) no request comes in time. Once the
/// drain begins it has only a short time; `draining` says that the drain had begun before.
async fn run<S, H, F, B, U>(
    connection: &mut http1::Connection<TokioIo<Inbound<Prefixed<S>>>, Requests<H, U>>,
    exit: &OnceLock<Exit<U>>,
    progress: &Progress,
    context: &HttpContext,
    drain: Drain,
    mut draining: bool,
) -> Option<hyper::Result<()>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F + Unpin,
    F: Future<Output = Outcome<B, U>> + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    U: Send + Sync + 'static,
{
    let mut deadline = pin!(sleep_until(context.first_by));
    let mut steps = 0;
    let mut is_late = false;
    let mut drain_begun = pin!(drain.begun());
    loop {
        tokio::select! {
            biased;
            result = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
                Poll::Pending if exit.get().is_some_and(Exit::is_unanswered) => Poll::Ready(Ok(())),
                polled => polled,
            }) => {
                if let Err(error) = &result {
                    // hyper has sent the answer to it, if there is one.
                    debug!(parent: &context.info.span(), %error, "bad request");
                }
                return Some(result);
            }
            _ = &mut drain_begun, if !draining => {
                draining = true;
                Pin::new(&mut *connection).graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + DRAIN_GRACE);
            }
            () = &mut deadline => {
                let is_silent = !progress.is_under_way() && progress.steps() == steps;
                let is_over = is_silent || draining && !progress.is_under_way();
                if is_over && mem::replace(&mut is_late, true) {
                    debug!(parent: &context.info.span(), "no request in time");
                    return None;
                }
                is_late = is_over;
                steps = progress.steps();
                let patience = if is_late { GRACE } else { context.patience };
                deadline.as_mut().reset(Instant::now() + patience);
            }
        }
    }
}

/// Sends the last answer of a connection.
async fn send(stream: &mut (impl AsyncWrite + Unpin), answer: &[u8], context: &HttpContext) {
    let sent = async {
        stream.write_all(answer).await?;
        stream.flush().await
    };
    // Nothing more can be done for a client that does not take the answer.
    let _ = timeout(context.patience, sent).await;
}

/// Way in which a request leaves HTTP.
#[derive(Debug)]
enum Exit<U> {
    Switch(U),
    Upgrade(U),
    /// The bytes of the answer.
    Last(Vec<u8>),
}

impl<U> Exit<U> {
    /// Whether hyper has no answer to send.
    fn is_unanswered(&self) -> bool {
        !matches!(self, Self::Switch(_))
    }
}

/// The requests of a connection, as hyper hands them to a handler.
struct Requests<H, U> {
    handler: H,
    progress: Progress,
    exit: Arc<OnceLock<Exit<U>>>,
}

impl<H, F, B, U> Service<Request<Incoming>> for Requests<H, U>
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Outcome<B, U>> + Send + 'static,
    B: Body + Send + Unpin + 'static,
    U: Send + Sync + 'static,
{
    type Response = Response<Counted<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let is_head = *request.method() == Method::HEAD;
        let under_way = UnderWay(self.progress.clone());
        let exit = Arc::clone(&self.exit);
        let outcome = (self.handler)(request);
        Box::pin(async move {
            let (response, way) = match outcome.await {
                Outcome::Answer(response) => (Some(response), None),
                Outcome::Switch(response, upgrade) => (Some(response), Some(Exit::Switch(upgrade))),
                Outcome::Last(answer) => (None, Some(Exit::Last(last_bytes(answer, is_head)))),
                Outcome::Upgrade(upgrade) => (None, Some(Exit::Upgrade(upgrade))),
            };
            if let Some(way) = way {
                // Nothing is read behind a request that leaves HTTP, so this is the first.
                let _ = exit.set(way);
            }
            match response {
                Some(response) => Ok(response.map(|body| Counted { body, under_way })),
                None => pending().await,
            }
        })
    }
}

/// A body that keeps its request under way until it is sent.
struct Counted<B> {
    body: B,
    #[expect(dead_code, reason = "counts until it is dropped")]
    under_way: UnderWay,
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
