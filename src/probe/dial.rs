//! The way to a server: TCP, TLS, and the requests that are made over it.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, join, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::config::{ProbeUrl, Trust};
use crate::net::address::Address;
use crate::net::stream::Stream;
use crate::platform;
use crate::tls::{Connector, MaybeTls, TlsError};

/// Name of the probe in requests.
pub(super) const AGENT: &str = concat!("echobeat-probe/", env!("CARGO_PKG_VERSION"));

/// Most bytes of an answer to a GET.
const MAX_BODY: usize = 4 << 20;

/// Most bytes that are read for an answer, with all that comes before it and around it: hyper passes
/// over interim answers, of which there may be no end.
const MAX_READ: u64 = 2 * MAX_BODY as u64;

/// Reasons for which a connection, or an answer over it, cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot connect to {0}: {1}")]
    Unreachable(String, io::Error),
    #[error("no TLS handshake: {0}")]
    Tls(io::Error),
    #[error("{0} took longer than {1:?}")]
    Late(&'static str, Duration),
    #[error("{0}")]
    Answer(String),
}

/// Connects to the server of a URL.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) url: ProbeUrl,
    connect_to: Option<Address>,
    tls: Option<Connector>,
    /// Time for each step.
    pub(super) timeout: Duration,
}

impl Dialer {
    /// # Errors
    /// When there is no certificate to trust, or the host is none that one can be for.
    pub(super) fn new(
        url: ProbeUrl,
        connect_to: Option<Address>,
        trust: &Trust,
        timeout: Duration,
    ) -> Result<Self, TlsError> {
        let tls = match url.is_tls() {
            true => Some(Connector::trusting(url.host(), trust)?),
            false => None,
        };
        Ok(Self {
            url,
            connect_to,
            tls,
            timeout,
        })
    }

    /// Connects, and offers HTTP/2 in TLS if it is asked to.
    pub(super) async fn connect(&self, http2: bool) -> Result<MaybeTls, DialError> {
        let tcp = self.in_time("the connection", self.connect_tcp()).await?;
        let Some(tls) = &self.tls else {
            return Ok(MaybeTls::Plain(tcp));
        };
        let secure = async {
            match http2 {
                true => tls.offering_http2().connect(tcp).await,
                false => tls.connect(tcp).await,
            }
        };
        let secure = async { secure.await.map_err(DialError::Tls) };
        self.in_time("the TLS handshake", secure).await
    }

    async fn connect_tcp(&self) -> Result<Stream, DialError> {
        let address = match &self.connect_to {
            Some(Address::Unix(socket)) => {
                let local = platform::connect_local(&socket.path).await;
                let failed = |error| DialError::Unreachable(socket.to_string(), error);
                return local.map(Stream::from).map_err(failed);
            }
            Some(tcp) => tcp.to_string(),
            None => format!("{}:{}", self.url.host(), self.url.port()),
        };
        let stream = async {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match stream.await {
            Ok(stream) => Ok(stream.into()),
            Err(error) => Err(DialError::Unreachable(address, error)),
        }
    }

    /// Waits for a step, but no longer than a step may take.
    pub(super) async fn in_time<T>(
        &self,
        step: &'static str,
        future: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        match timeout_at(Instant::now() + self.timeout, future).await {
            Ok(outcome) => outcome,
            Err(_late) => Err(DialError::Late(step, self.timeout)),
        }
    }

    /// The status of the answer to a GET of the URL, whatever its body is.
    pub(super) async fn get_status(&self, headers: &HeaderMap) -> Result<u16, DialError> {
        let (status, _) = self.ask(&self.url, headers, false).await?;
        Ok(status)
    }

    /// The status of the answer to a GET of a URL of that server, and its body.
    pub(super) async fn get_at(
        &self,
        url: &ProbeUrl,
        headers: &HeaderMap,
    ) -> Result<(u16, Bytes), DialError> {
        self.ask(url, headers, true).await
    }

    async fn ask(
        &self,
        url: &ProbeUrl,
        headers: &HeaderMap,
        is_body_wanted: bool,
    ) -> Result<(u16, Bytes), DialError> {
        let stream = self.connect(false).await?;
        self.in_time("the answer", async {
            let answer = exchange(stream, request(url, headers)?, is_body_wanted).await;
            answer.map_err(|error| DialError::Answer(innermost(&*error)))
        })
        .await
    }
}

fn request(url: &ProbeUrl, headers: &HeaderMap) -> Result<Request<Empty<Bytes>>, DialError> {
    let request = Request::builder()
        .uri(url.target())
        .header(CONNECTION, "close");
    let request = request.body(Empty::new());
    let mut request = request.map_err(|error| DialError::Answer(error.to_string()))?;
    let own = request.headers_mut();
    own.extend(headers.clone());
    for (name, value) in [(HOST, url.authority()), (USER_AGENT, AGENT)] {
        if let (false, Ok(value)) = (own.contains_key(&name), value.parse()) {
            own.insert(name, value);
        }
    }
    Ok(request)
}

async fn exchange(
    stream: MaybeTls,
    request: Request<Empty<Bytes>>,
    is_body_wanted: bool,
) -> Result<(u16, Bytes), Box<dyn Error + Send + Sync>> {
    let (reader, writer) = split(stream);
    let stream = join(reader.take(MAX_READ), writer);
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = requests.send_request(request).await?;
        let status = response.status().as_u16();
        if !is_body_wanted {
            return Ok((status, Bytes::new()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await?;
        Ok((status, body.to_bytes()))
    };
    let driving = async {
        // If the connection fails, the answer says so.
        let _ended = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        // The request first: it cannot be made once the connection has failed.
        biased;
        answer = answer => answer,
        never = driving => match never {},
    }
}

/// The innermost cause of an error: the outer ones only name the component that failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
