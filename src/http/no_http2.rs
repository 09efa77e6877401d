//! HTTP/2 in a build without the feature `http2`: no connection speaks it, and no request of it can
//! exist.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::http::HttpContext;
use crate::http::response::Answer;
use crate::net::connection_info::ConnectionInfo;
use crate::net::transport::{Hangup, Transport};
use crate::runtime::shutdown::Drain;

/// A value that cannot exist, in place of a stream.
#[derive(Debug)]
pub(crate) struct Never(Infallible);

/// The protocol of an extended CONNECT, which no request has.
#[derive(Debug, Clone)]
pub(crate) struct Protocol(&'static str);

impl Protocol {
    pub(crate) const fn from_static(name: &'static str) -> Self {
        Self(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0
    }
}

/// Settings of PINGs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pings {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// Ends a connection that would speak HTTP/2.
pub(crate) async fn serve<S, H, F>(_: S, _: HttpContext, _: Option<Pings>, _: Drain, _: H)
where
    H: FnMut(exchange::Exchange) -> Option<F>,
    F: Future<Output = ()>,
{
}

pub(crate) mod exchange {
    use super::*;

    /// A request, and the way to answer it.
    pub(crate) struct Exchange {
        pub(crate) request: Request<Never>,
        pub(crate) info: ConnectionInfo,
        pub(crate) begun_at: Instant,
        respond: Respond,
    }

    impl Exchange {
        pub(crate) fn answer(self, _: Answer) {}

        pub(crate) fn accept<B>(self, _: &Response<B>) -> Option<Never> {
            match self.respond.0 {}
        }

        pub(crate) fn into_parts(self) -> (Request<Never>, Respond) {
            (self.request, self.respond)
        }
    }

    /// The way to answer a request.
    pub(crate) struct Respond(Infallible);

    impl Respond {
        pub(crate) fn accept<B>(self, _: &Response<B>, _: Never) -> Option<Never> {
            match self.0 {}
        }

        pub(crate) fn poll_hangup(&mut self, _: &mut Never, _: &mut Context<'_>) -> Poll<Hangup> {
            match self.0 {}
        }

        pub(crate) fn inform(&mut self, _: &Response<()>) {}

        pub(crate) async fn reset(&mut self) {
            pending().await
        }

        pub(crate) async fn send<B>(self, _: Response<B>, _patience: Duration) {}
    }

    /// The body of a request.
    #[derive(Debug)]
    pub(crate) struct Http2Body(pub(crate) Never);

    impl Body for Http2Body {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.0 {}
        }
    }
}

pub(crate) mod stream {
    pub(crate) use super::Never as Receiver;
}

impl Transport for Never {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        match self.0 {}
    }
}

impl AsyncRead for Never {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for Never {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
