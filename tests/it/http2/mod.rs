//! WebSockets over HTTP/2 (RFC 8441).

mod bounds;
pub mod client;
mod foreign;
mod plain;
mod sessions;

use std::net::SocketAddr;

use echobeat::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::support::{Raw, TestServer};
use crate::tls::{BOTH_VERSIONS, Issued};
use client::Http2;

/// A server that speaks HTTP/2 without TLS too.
pub async fn serve(settings: ServerConfig) -> TestServer {
    TestServer::start_with(ServerConfig {
        h2c: true,
        ..settings
    })
    .await
}

/// A connection of HTTP/2 without TLS.
pub async fn connect(address: SocketAddr) -> Http2 {
    over(Raw::connect(address).await.stream).await
}

/// A connection of HTTP/2 that TLS has agreed on.
pub async fn connect_tls(issued: &Issued, address: SocketAddr) -> Http2 {
    let raw = issued
        .trusted()
        .try_connect_with(&BOTH_VERSIONS, &["h2", "http/1.1"], address)
        .await
        .expect("the certificate is good");
    let (_, session) = raw.stream.get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    over(raw.stream).await
}

pub async fn over<S>(stream: S) -> Http2
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Http2::over(stream, &mut h2::client::Builder::new()).await
}
