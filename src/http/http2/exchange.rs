//! One request of HTTP/2, and the way to answer it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http_body_util::BodyExt;
use httpdate::HttpDate;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderValue, UPGRADE};
use hyper::{Method, Request, Response};
use tokio::time::{Instant, timeout};

use super::stream::{Http2Stream, Receiver, poll_capacity};
use crate::http::response::Answer;
use crate::net::connection_info::{ConnectionInfo, Http};
use crate::net::transport::Hangup;

/// A request, and the way to answer it.
pub(crate) struct Exchange {
    pub(crate) request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    /// The client, and the stream of the request.
    pub(crate) info: ConnectionInfo,
    /// Moment at which the request's head had come.
    pub(crate) begun_at: Instant,
}

impl Exchange {
    pub(super) fn new(
        (request, respond): (Request<RecvStream>, SendResponse<Bytes>),
        info: ConnectionInfo,
    ) -> Self {
        let stream = respond.stream_id().as_u32();
        Self {
            request,
            respond,
            info: info.over(Http::Two).on_stream(stream),
            begun_at: Instant::now(),
        }
    }

    /// Sends an answer, unless the peer has reset the stream meanwhile.
    pub(crate) fn answer(self, answer: Answer) {
        let (_, mut respond) = self.into_parts();
        let mut head = head(&answer);
        let body = answer.into_body();
        head.headers_mut().insert(CONTENT_LENGTH, body.len().into());
        let is_all = body.is_empty() || respond.is_head;
        if let Ok(mut send) = respond.respond.send_response(head, is_all)
            && !is_all
        {
            let _ = send.send_data(body, true);
        }
    }

    /// Accepts the stream for a session, unless the peer has reset it meanwhile.
    pub(crate) fn accept<B>(self, answer: &Response<B>) -> Option<Http2Stream> {
        let (request, respond) = self.into_parts();
        respond.accept(answer, request.into_body())
    }

    /// Separates the request from the way to answer it.
    pub(crate) fn into_parts(self) -> (Request<RecvStream>, Respond) {
        let respond = Respond {
            is_head: self.request.method() == Method::HEAD,
            respond: self.respond,
        };
        (self.request, respond)
    }
}

/// The way to answer a request.
pub(crate) struct Respond {
    respond: SendResponse<Bytes>,
    /// Whether the request is a HEAD, whose answer has no body.
    is_head: bool,
}

impl Respond {
    /// Accepts the stream of this request, whose body is `receive`, unless the peer has reset it.
    pub(crate) fn accept<B>(
        mut self,
        answer: &Response<B>,
        receive: impl Into<Receiver>,
    ) -> Option<Http2Stream> {
        let send = self.respond.send_response(head(answer), false).ok()?;
        Some(Http2Stream::new(send, receive.into()))
    }

    /// Waits until the peer ends the stream, whose body is `receive`.
    pub(crate) fn poll_hangup(
        &mut self,
        receive: &mut Receiver,
        cx: &mut Context<'_>,
    ) -> Poll<Hangup> {
        if self.respond.poll_reset(cx).is_ready() {
            return Poll::Ready(Hangup::Reset);
        }
        receive.poll_hangup(cx)
    }

    /// Sends an interim response, unless the peer has reset the stream.
    pub(crate) fn inform(&mut self, interim: &Response<()>) {
        let mut head = Response::new(());
        *head.status_mut() = interim.status();
        *head.headers_mut() = interim.headers().clone();
        head.headers_mut().remove(CONNECTION);
        head.headers_mut().remove(UPGRADE);
        let _ = self.respond.send_informational(head);
    }

    /// Waits until the peer no longer wants an answer.
    pub(crate) async fn reset(&mut self) {
        let _ = poll_fn(|cx| self.respond.poll_reset(cx)).await;
    }

    /// Sends an answer with its body as it comes. If that fails, or the peer takes nothing of it
    /// for `patience`, the stream is reset.
    pub(crate) async fn send<B>(mut self, answer: Response<B>, patience: Duration)
    where
        B: Body<Data = Bytes>,
    {
        let is_all = self.is_head || answer.body().is_end_stream();
        let Ok(mut send) = self.respond.send_response(head(&answer), is_all) else {
            return;
        };
        if is_all {
            return;
        }
        if let Err(reason) = send_body(&mut send, answer.into_body(), patience).await {
            send.send_reset(reason);
        }
    }
}

async fn send_body<B>(
    send: &mut SendStream<Bytes>,
    body: B,
    patience: Duration,
) -> Result<(), Reason>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            _ = poll_fn(|cx| send.poll_reset(cx)) => return Err(Reason::CANCEL),
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => send_data(send, data, patience).await?,
            Some(Ok(Err(frame))) => {
                let trailers = frame.into_trailers().map_err(|_| Reason::INTERNAL_ERROR)?;
                return send
                    .send_trailers(trailers)
                    .map_err(|_| Reason::INTERNAL_ERROR);
            }
            Some(Err(_)) => return Err(Reason::INTERNAL_ERROR),
            None => {
                return send
                    .send_data(Bytes::new(), true)
                    .map_err(|_| Reason::INTERNAL_ERROR);
            }
        }
    }
}

/// Sends `data` as the peer takes it.
async fn send_data(
    send: &mut SendStream<Bytes>,
    mut data: Bytes,
    patience: Duration,
) -> Result<(), Reason> {
    while !data.is_empty() {
        let taken = poll_fn(|cx| poll_capacity(send, data.len(), cx));
        let taken = timeout(patience, taken)
            .await
            .map_err(|_late| Reason::CANCEL)?;
        let part = data.split_to(taken.map_err(|_| Reason::CANCEL)?);
        send.send_data(part, false).map_err(|_| Reason::CANCEL)?;
    }
    Ok(())
}

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Http2Body(pub(crate) RecvStream);

impl Body for Http2Body {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.0.poll_data(cx)) {
            Some(Ok(data)) => {
                // The reader of this body reads no more than it can send on.
                let released = self.0.flow_control().release_capacity(data.len());
                Poll::Ready(Some(released.map(|()| Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers = ready!(self.0.poll_trailers(cx))?;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_end_stream() {
            true => SizeHint::with_exact(0),
            false => SizeHint::default(),
        }
    }
}

/// The head of an answer, with the time of day, and without the headers that HTTP/2 does not have
/// (RFC 9113, section 8.2.2).
fn head<B>(answer: &Response<B>) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = answer.status();
    *head.headers_mut() = answer.headers().clone();
    let headers = head.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    let now = || HeaderValue::try_from(HttpDate::from(SystemTime::now()).to_string());
    if !headers.contains_key(DATE)
        && let Ok(now) = now()
    {
        headers.insert(DATE, now);
    }
    head
}
