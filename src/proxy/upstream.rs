//! The way to the upstream: connecting, asking, and what may fail on it.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection as Asked};
use hyper::http::uri::Uri;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pooled::Pooled;
use crate::config::{ProxyConfig, Upstream};
use crate::listen::Stream;
use crate::platform;
use crate::tls::{Connector, MaybeTls, TlsError};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Why the upstream's answer cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot connect: {0}")]
    Unreachable(Arc<io::Error>),
    #[error("no TLS handshake: {0}")]
    Insecure(Arc<io::Error>),
    #[error("no connection in time")]
    LateConnection,
    #[error("no answer in time")]
    LateAnswer,
    #[error("{0}")]
    Broken(Arc<dyn Error + Send + Sync>),
}

impl Failure {
    /// The answer that the client gets: a status, and a sentence.
    pub(super) fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unreachable(_) => (
                StatusCode::BAD_GATEWAY,
                "The server behind this proxy cannot be reached.",
            ),
            Self::Insecure(_) => (
                StatusCode::BAD_GATEWAY,
                "This proxy and the server behind it do not agree on TLS.",
            ),
            Self::LateConnection => (
                StatusCode::GATEWAY_TIMEOUT,
                "The server behind this proxy takes too long to connect to.",
            ),
            Self::LateAnswer => (
                StatusCode::GATEWAY_TIMEOUT,
                "The server behind this proxy takes too long to answer.",
            ),
            Self::Broken(_) => (
                StatusCode::BAD_GATEWAY,
                "The server behind this proxy gave an answer that cannot be used.",
            ),
        }
    }

    pub(super) fn broken(cause: impl Into<BoxError>) -> Self {
        let cause = cause.into();
        match is_late(&*cause) {
            true => Self::LateAnswer,
            false => Self::Broken(cause.into()),
        }
    }
}

/// Whether it comes of a write that the upstream took nothing of.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    let cause: Option<&io::Error> = error.downcast_ref();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
        || error.source().is_some_and(is_late)
}

/// Connects to the upstream: for a tunnel, or for hyper's pool of connections.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    upstream: Upstream,
    tls: Option<Connector>,
    /// Time that a connection may take, over TLS too.
    patience: Duration,
    send_timeout: Duration,
}

impl Dialer {
    /// # Errors
    /// When there is no certificate to trust.
    pub(super) fn new(config: &ProxyConfig) -> Result<Self, TlsError> {
        let tls = match &config.upstream {
            Upstream::Http {
                tls: true,
                authority,
                ..
            } => {
                let authorities = config.upstream_ca.as_deref();
                Some(Connector::new(authority.host(), authorities)?)
            }
            _ => None,
        };
        Ok(Self {
            upstream: config.upstream.clone(),
            tls,
            patience: config.connect_timeout,
            send_timeout: config.send_timeout,
        })
    }

    /// Connects, or gives up when the time for it is over.
    pub(super) async fn connect(&self) -> Result<MaybeTls, Failure> {
        match timeout(self.patience, self.dial()).await {
            Ok(connected) => connected,
            Err(_late) => Err(Failure::LateConnection),
        }
    }

    async fn dial(&self) -> Result<MaybeTls, Failure> {
        let stream = self.dial_plainly().await;
        let stream = stream.map_err(|error| Failure::Unreachable(Arc::new(error)))?;
        match &self.tls {
            None => Ok(MaybeTls::Plain(stream)),
            Some(tls) => {
                let connected = tls.connect(stream).await;
                connected.map_err(|error| Failure::Insecure(Arc::new(error)))
            }
        }
    }

    async fn dial_plainly(&self) -> io::Result<Stream> {
        match &self.upstream {
            Upstream::Http { tls, authority, .. } => {
                let usual = if *tls { 443 } else { 80 };
                let port = authority.port_u16().unwrap_or(usual);
                let stream = TcpStream::connect(format!("{}:{port}", authority.host())).await?;
                stream.set_nodelay(true)?;
                let stream = Stream::Tcp(stream);
                stream.keep_alive();
                Ok(stream)
            }
            Upstream::Unix(path) => platform::connect_local(path).await.map(Stream::Local),
        }
    }
}

impl tower_service::Service<Uri> for Dialer {
    type Response = Pooled;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _always_the_same: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let stream = dialer.connect().await?;
            Ok(Pooled::new(stream, dialer.send_timeout))
        })
    }
}

/// What comes of a request to upgrade.
pub(super) enum Answered {
    /// A 101, the stream that it was read from, and what was read behind it.
    Switched(Response<()>, MaybeTls, Vec<u8>),
    /// Anything else.
    Other(Response<Rest>),
}

/// Asks over a connection of its own, and waits `patience` for the head of the answer.
pub(super) async fn ask(
    stream: MaybeTls,
    request: Request<Empty<Bytes>>,
    patience: Duration,
) -> Result<Answered, Failure> {
    match timeout(patience, exchange(stream, request)).await {
        Ok(answered) => answered.map_err(Failure::broken),
        Err(_late) => Err(Failure::LateAnswer),
    }
}

async fn exchange(stream: MaybeTls, request: Request<Empty<Bytes>>) -> hyper::Result<Answered> {
    let (mut requests, mut connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut response = pin!(requests.send_request(request));
    let mut is_over = false;
    let response = poll_fn(|cx| {
        if !is_over {
            // If it fails, the response says so.
            is_over = connection.poll_without_shutdown(cx).is_ready();
        }
        response.as_mut().poll(cx)
    })
    .await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let connection = (!is_over).then(|| Box::new(connection));
        return Ok(Answered::Other(
            response.map(|body| Rest { body, connection }),
        ));
    }
    if !is_over {
        poll_fn(|cx| connection.poll_without_shutdown(cx)).await?;
    }
    let parts = connection.into_parts();
    let early = parts.read_buf.to_vec();
    let response = response.map(|_none| ());
    Ok(Answered::Switched(response, parts.io.into_inner(), early))
}

/// The body of an answer, with the connection that it comes over, which nothing else drives.
pub(super) struct Rest {
    body: Incoming,
    connection: Option<Box<Asked<TokioIo<MaybeTls>, Empty<Bytes>>>>,
}

impl Body for Rest {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(connection) = &mut self.connection
            && connection.poll_without_shutdown(cx).is_ready()
        {
            self.connection = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
