//! Plain requests to the upstream, over connections that are used again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::uri::Uri;
use hyper::{Request, Response, Version};
use hyper_util::client::legacy::connect::{Connected, Connection, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::upload::Upload;
use super::upstream::{Dialer, UpstreamFailure};
use super::write_timeout::WriteTimeout;
use crate::net::transport::Transport;
use crate::tls::MaybeTls;

/// Sends requests to the upstream.
#[derive(Debug)]
pub(super) struct Requester {
    kept: Client<Connector, Upload>,
    /// Opens a new connection for every request.
    fresh: Client<Connector, Upload>,
}

impl Requester {
    pub(super) fn new(dialer: Dialer) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .set_host(false)
            .http1_preserve_header_case(true)
            .http1_title_case_headers(true);
        let kept = builder.build(Connector(dialer.clone()));
        let fresh = builder.pool_max_idle_per_host(0).build(Connector(dialer));
        Self { kept, fresh }
    }

    /// Sends a request. It is sent again if the upstream closed a reused connection without an
    /// answer, and if it is safe to repeat (RFC 9110, section 9.2.2).
    pub(super) async fn send(
        &self,
        mut request: Request<Upload>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let again = request.method().is_idempotent().then(|| request.clone());
        let connection = capture_connection(&mut request);
        let error = match self.kept.request(request).await {
            Ok(response) => {
                if response.version() < Version::HTTP_11
                    && let Some(connection) = &*connection.connection_metadata()
                {
                    // hyper would keep using HTTP/1.0, which has no chunks.
                    connection.poison();
                }
                return Ok(response);
            }
            Err(error) => error,
        };
        match again.filter(|request| request.body().frames() == 0) {
            Some(request) if is_stale(&error) => {
                debug!("the upstream has closed a connection, and is asked over another");
                self.fresh.request(request).await
            }
            _ => Err(error),
        }
    }
}

/// Whether a request failed without any answer on a connection that had answered an earlier one.
fn is_stale(error: &legacy::Error) -> bool {
    let mut extras = hyper::http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extras);
    }
    extras.get::<Trace>().is_some_and(Trace::is_stale)
}

/// Connects for hyper's pool.
#[derive(Debug, Clone)]
struct Connector(Dialer);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Traced>;
    type Error = UpstreamFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, UpstreamFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _always_the_same: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move {
            let send_timeout = dialer.send_timeout;
            let stream = dialer.connect().await?;
            Ok(TokioIo::new(Traced {
                stream: WriteTimeout::new(stream, send_timeout),
                send_timeout,
                trace: Trace::default(),
            }))
        })
    }
}

/// Record of the reads and writes on a connection.
#[derive(Debug, Clone, Default)]
struct Trace(Arc<Passed>);

#[derive(Debug, Default)]
struct Passed {
    has_answered: AtomicBool,
    /// Whether something was written since the last read.
    is_asked: AtomicBool,
}

impl Trace {
    fn is_stale(&self) -> bool {
        let Passed {
            has_answered,
            is_asked,
        } = &*self.0;
        has_answered.load(Ordering::Relaxed) && is_asked.load(Ordering::Relaxed)
    }

    fn write(&self) {
        self.0.is_asked.store(true, Ordering::Relaxed);
    }

    fn read(&self) {
        self.0.has_answered.store(true, Ordering::Relaxed);
        self.0.is_asked.store(false, Ordering::Relaxed);
    }
}

/// A connection that records its [`Trace`].
#[derive(Debug)]
struct Traced {
    stream: WriteTimeout<MaybeTls>,
    send_timeout: Duration,
    trace: Trace,
}

impl Drop for Traced {
    /// Limits the time for which the kernel keeps unsent bytes of a request that was given up.
    fn drop(&mut self) {
        self.stream.get_ref().linger_at_most(self.send_timeout);
    }
}

impl Connection for Traced {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.trace.clone())
    }
}

impl AsyncRead for Traced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.trace.read();
        }
        polled
    }
}

impl AsyncWrite for Traced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.trace.write();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.trace.write();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
