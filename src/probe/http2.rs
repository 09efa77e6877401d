//! Opening handshakes over HTTP/2 (RFC 8441).

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::client::{self, SendRequest};
use h2::ext::Protocol;
use h2::{Ping, RecvStream, SendStream};
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Request, Response, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::handshake::answer::{Answer, check, shorten};
use super::handshake::{Offer, OpenError, optional, session};
use super::session::Session;
use crate::config::ProbeConfig;
use crate::http::stream::Http2Stream;
use crate::tls::MaybeTls;

/// Most bytes that the far end may send while they are not read.
const WINDOW: u32 = 1 << 20;

/// Most bytes of a refusal's body that are read.
const MAX_BODY: usize = 1_200;

/// Opens a session over a connection, which is for it alone.
pub(super) async fn ask(
    stream: MaybeTls,
    config: &ProbeConfig,
    offer: Offer,
    answer: Answer,
) -> Result<(Session, Answer), OpenError> {
    if config.url.is_tls() && !stream.is_http2() {
        return Err(OpenError::NoHttp2("ALPN did not select HTTP/2"));
    }
    let (requests, connection) = connect(stream).await?;
    let begun = Instant::now();
    let (response, send) = send(requests, config, offer)
        .await
        .map_err(OpenError::broken)?;
    let mut answer = Answer {
        http: "2",
        status: response.status().as_u16(),
        headers: headers(&response),
        answered: begun.elapsed(),
        ..answer
    };
    let mut receive = response.into_body();
    if answer.status != 200 {
        answer.body = body(&mut receive).await;
        return Err(OpenError::Refused(Box::new(answer)));
    }
    let stream = Box::new(Stream {
        stream: Http2Stream::of_client(send, receive),
        _connection: connection,
    });
    match check(&answer, config, offer) {
        Ok(deflate) => {
            let session = session(stream, BytesMut::new(), deflate, config, &answer);
            Ok((session, answer))
        }
        Err(fault) => Err(OpenError::Invalid(Box::new(answer), fault)),
    }
}

/// Asks for a session, and waits for the head of the answer.
async fn send(
    requests: SendRequest<Bytes>,
    config: &ProbeConfig,
    offer: Offer,
) -> Result<(Response<RecvStream>, SendStream<Bytes>), Box<dyn Error + Send + Sync>> {
    let mut requests = requests.ready().await?;
    let (response, send) = requests.send_request(request(config, offer)?, false)?;
    Ok((response.await?, send))
}

/// Begins HTTP/2, and waits until the server has said whether it takes extended CONNECT.
async fn connect(stream: MaybeTls) -> Result<(SendRequest<Bytes>, Driven), OpenError> {
    let begun = client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .enable_push(false)
        .handshake(stream);
    let (requests, mut connection) = begun.await.map_err(OpenError::broken)?;
    let pings = connection.ping_pong();
    let driven = Driven(tokio::spawn(async move {
        // If the connection fails, its stream says so.
        let _ = connection.await;
    }));
    if let Some(mut pings) = pings {
        // The answer comes after the SETTINGS.
        let answered = pings.ping(Ping::opaque()).await;
        answered.map_err(OpenError::broken)?;
    }
    match requests.is_extended_connect_protocol_enabled() {
        true => Ok((requests, driven)),
        false => Err(OpenError::NoHttp2(
            "HTTP/2 is spoken, and extended CONNECT (RFC 8441) is not offered",
        )),
    }
}

fn request(config: &ProbeConfig, offer: Offer) -> Result<Request<()>, hyper::http::Error> {
    let url = &config.url;
    let scheme = if url.is_tls() { "https" } else { "http" };
    let host = config.headers.get(HOST).map(HeaderValue::to_str);
    let authority = host.and_then(Result::ok).unwrap_or(url.authority());
    let mut request = Request::builder()
        .version(Version::HTTP_2)
        .method(Method::CONNECT)
        .uri(format!("{scheme}://{authority}{}", url.target()))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13");
    let lines = optional(config, offer).into_iter();
    for (name, value) in lines.filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        request = request.header(name, value);
    }
    request.body(())
}

fn headers<B>(response: &Response<B>) -> Vec<(String, String)> {
    let lines = response.headers().iter();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    lines
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

async fn body(receive: &mut RecvStream) -> String {
    let mut body = Vec::new();
    while body.len() < MAX_BODY
        && let Some(Ok(data)) = receive.data().await
    {
        let _ = receive.flow_control().release_capacity(data.len());
        body.extend(data);
    }
    shorten(&String::from_utf8_lossy(&body))
}

/// The task of a connection, which ends with it.
struct Driven(JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream, with its connection.
struct Stream {
    stream: Http2Stream,
    _connection: Driven,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
