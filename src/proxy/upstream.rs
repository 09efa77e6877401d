//! The way to the upstream: connecting, asking, and the failures of both.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, iter};

use http_body_util::Empty;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection as Asked};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::websocket_names::WebSocketNames;
use crate::config::{ProxyConfig, Upstream};
use crate::net::stream::Stream;
use crate::platform;
use crate::tls::{Connector, MaybeTls, TlsError};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Reasons for which the upstream's answer cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum UpstreamFailure {
    #[error("cannot connect: {0}")]
    Unreachable(Arc<io::Error>),
    #[error("no TLS handshake: {0}")]
    Insecure(Arc<io::Error>),
    #[error("no connection in time")]
    LateConnection,
    #[error("no answer in time")]
    LateAnswer,
    #[error("{0}")]
    Broken(Arc<str>),
}

impl UpstreamFailure {
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

    /// The failure of an unusable answer, with its causes; or of a late one, if the upstream took
    /// nothing of what it was sent.
    pub(super) fn broken(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        if causes(&*error).any(is_timeout) {
            return Self::LateAnswer;
        }
        let mut causes: Vec<_> = causes(&*error).map(ToString::to_string).collect();
        if causes.len() > 1 {
            // The outermost error only names the component that failed.
            causes.remove(0);
        }
        Self::Broken(causes.join(": ").into())
    }
}

/// An error, and after it its causes.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let error: Option<&io::Error> = error.downcast_ref();
    error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Connects to the upstream.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    upstream: Upstream,
    tls: Option<Connector>,
    /// Time that a connection may take, over TLS too.
    patience: Duration,
    pub(super) send_timeout: Duration,
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
    pub(super) async fn connect(&self) -> Result<MaybeTls, UpstreamFailure> {
        match timeout(self.patience, self.dial()).await {
            Ok(connected) => connected,
            Err(_late) => Err(UpstreamFailure::LateConnection),
        }
    }

    async fn dial(&self) -> Result<MaybeTls, UpstreamFailure> {
        let stream = self.dial_plainly().await;
        let stream = stream.map_err(|error| UpstreamFailure::Unreachable(Arc::new(error)))?;
        match &self.tls {
            None => Ok(MaybeTls::Plain(stream)),
            Some(tls) => {
                let connected = tls.connect(stream).await;
                connected.map_err(|error| UpstreamFailure::Insecure(Arc::new(error)))
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
                let stream = Stream::from(stream);
                stream.keep_alive();
                Ok(stream)
            }
            Upstream::Unix(path) => platform::connect_local(path).await.map(Stream::from),
        }
    }
}

/// Outcome of a request to upgrade.
pub(super) enum Answered {
    /// A 101, the stream that it was read from, and what was read behind it.
    Switched(Response<()>, MaybeTls, Vec<u8>),
    /// Any other answer.
    Other(Response<Rest>),
}

/// Sends a request over a connection of its own, and waits `patience` for the head of the answer.
/// If the client's names of headers are not known, as over HTTP/2, those of RFC 6455 are written.
pub(super) async fn ask(
    stream: MaybeTls,
    request: Request<Empty<Bytes>>,
    is_nameless: bool,
    patience: Duration,
) -> Result<Answered, UpstreamFailure> {
    match timeout(
        patience,
        exchange(WebSocketNames::new(stream, is_nameless), request),
    )
    .await
    {
        Ok(answered) => answered.map_err(UpstreamFailure::broken),
        Err(_late) => Err(UpstreamFailure::LateAnswer),
    }
}

async fn exchange(
    stream: WebSocketNames<MaybeTls>,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Answered> {
    let (mut requests, mut connection) = http1::Builder::new()
        .preserve_header_case(true)
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut response = pin!(requests.send_request(request));
    let mut is_over = false;
    let response = poll_fn(|cx| {
        if !is_over {
            // If the connection fails, the response says so.
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
    let stream = parts.io.into_inner().into_inner();
    Ok(Answered::Switched(response, stream, early))
}

type UpgradeConnection = Asked<TokioIo<WebSocketNames<MaybeTls>>, Empty<Bytes>>;

/// The body of an answer, with its connection, which nothing else drives.
pub(super) struct Rest {
    body: Incoming,
    connection: Option<Box<UpgradeConnection>>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error (SendRequest)")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_failure_names_its_inner_cause() {
        let inner = io::Error::other("connection closed before message completed");
        let failure = UpstreamFailure::broken(Outer(inner));
        let shown = "connection closed before message completed";
        assert_eq!(failure.to_string(), shown);
        assert_eq!(UpstreamFailure::broken("a lie").to_string(), "a lie");
    }
}
