//! Peers that leave a session which does not read: their places are free again.

use std::time::Duration;

use bytes::Bytes;
use echobeat::ServerConfig;
use echobeat_frames::{CLOSE, frame, text_echo, text_frame};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::path;
use crate::http2::connect;
use crate::proxy::TestProxy;
use crate::support::{Raw, TestServer, config, soon, upgrade_request};
use crate::tls::Issued;

/// Steps that keep a session, and how many messages it is sent before its peer leaves.
const STEPS: [(&str, usize); 9] = [
    ("stall", 1),
    ("stall@1msg", 2),
    ("deaf,beat:off", 1),
    ("deaf@1msg,beat:off", 2),
    ("wait:1m", 1),
    ("wait:1m", 0),
    ("noreply", 1),
    ("delay:1m", 100),
    ("rate:1,greet:hello", 1),
];

/// Time that a place may stay taken by a peer that has half-closed.
const SECONDS: Duration = Duration::from_secs(10);

/// Time that a place may stay taken by a peer that has reset its connection, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A server with one place.
fn one_place() -> ServerConfig {
    ServerConfig {
        max_connections: 1,
        h2c: true,
        ..config()
    }
}

/// Waits until the place is free, and says for how long it was not.
async fn freed<S>(connect: impl AsyncFn() -> Raw<S>) -> Duration
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let begun = Instant::now();
    let freed = async {
        loop {
            let mut raw = connect().await;
            raw.send(upgrade_request("/")).await;
            if raw.head().await.status == 101 {
                // Leaves at once, for the next.
                raw.send(frame(CLOSE, b"")).await;
                raw.rest().await;
                return begun.elapsed();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon(freed).await
}

/// Waits until the server has seen what came before this, by the answer to a later request. The
/// session has then reached the step in which it waits.
async fn seen<S>(connect: impl AsyncFn() -> Raw<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut raw = connect().await;
    raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.status, 200);
}

/// A peer that has asked for `steps`, and has taken the place.
async fn begin<S>(connect: impl AsyncFn() -> Raw<S>, steps: &str, messages: usize) -> Raw<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut raw = connect().await;
    raw.send(upgrade_request(&path(steps))).await;
    if !steps.starts_with("wait") {
        assert_eq!(raw.head().await.status, 101);
    }
    raw.send(text_frame("hello").repeat(messages)).await;
    if steps == "noreply" {
        raw.send(frame(CLOSE, b"")).await;
    }
    seen(connect).await;
    raw
}

fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn a_reset_frees_the_place_at_once_in_every_step() {
    let server = TestServer::start_with(one_place()).await;
    for (steps, messages) in STEPS {
        let raw = begin(async || server.raw().await, steps, messages).await;
        reset(&raw.stream);
        drop(raw);
        let took = freed(async || server.raw().await).await;
        assert!(took < AT_ONCE, "{steps}: {took:?}");
    }
}

#[tokio::test]
async fn a_reset_frees_the_place_over_tls() {
    let issued = Issued::new("left");
    let server = issued.serve(one_place()).await;
    let trusted = issued.trusted();
    for (steps, messages) in STEPS {
        let connect = async || trusted.connect(server.address).await;
        let raw = begin(connect, steps, messages).await;
        reset(raw.stream.get_ref().0);
        drop(raw);
        let took = freed(connect).await;
        assert!(took < AT_ONCE, "{steps}: {took:?}");
    }
}

#[tokio::test]
async fn a_half_close_frees_the_place_within_seconds_where_nothing_is_owed() {
    // At the same time, each at a server of its own.
    let all = STEPS.iter().map(async |(steps, messages)| {
        if steps.starts_with("delay") || steps.starts_with("rate") {
            // These owe echoes.
            return;
        }
        let server = TestServer::start_with(one_place()).await;
        let mut raw = begin(async || server.raw().await, steps, *messages).await;
        raw.stream.shutdown().await.unwrap();
        let took = freed(async || server.raw().await).await;
        assert!(took < SECONDS, "{steps}: {took:?}");
        drop(raw);
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn a_reset_of_a_stream_or_the_end_of_its_connection_frees_the_place_over_http2() {
    let server = TestServer::start_with(one_place()).await;
    for (steps, messages) in STEPS {
        for ends_connection in [false, true] {
            let mut http2 = connect(server.address).await;
            let version = [("sec-websocket-version", "13")];
            let (response, mut send) = http2.try_session(&path(steps), &version).await;
            if !steps.starts_with("wait") {
                assert_eq!(soon(response).await.unwrap().status(), 200);
            }
            let bytes = text_frame("hello").repeat(messages);
            send.send_data(Bytes::from(bytes), false).unwrap();
            seen(async || server.raw().await).await;
            match ends_connection {
                true => http2.connection.abort(),
                false => send.send_reset(Reason::CANCEL),
            }
            let took = freed(async || server.raw().await).await;
            assert!(took < AT_ONCE, "{steps}: {took:?}");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_stream_frees_the_place_within_seconds_over_http2() {
    let all = ["stall", "deaf,beat:off", "wait:1m"].map(async |steps| {
        let server = TestServer::start_with(one_place()).await;
        let mut http2 = connect(server.address).await;
        let version = [("sec-websocket-version", "13")];
        let (_response, mut send) = http2.try_session(&path(steps), &version).await;
        send.send_data(text_frame("hello").into(), false).unwrap();
        seen(async || server.raw().await).await;
        send.send_data(Bytes::new(), true).unwrap();
        let took = freed(async || server.raw().await).await;
        assert!(took < SECONDS, "{steps}: {took:?}");
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn a_reset_frees_the_place_through_the_proxy() {
    let server = TestServer::start_with(one_place()).await;
    let proxy = TestProxy::before(server.address).await;
    for (steps, messages) in [("stall", 0), ("deaf,beat:off", 1)] {
        let connect = async || Raw::connect(proxy.address).await;
        let raw = begin(connect, steps, messages).await;
        reset(&raw.stream);
        drop(raw);
        let took = freed(async || server.raw().await).await;
        assert!(took < AT_ONCE, "{steps}: {took:?}");
    }
}

#[tokio::test]
async fn a_peer_that_half_closes_gets_its_delayed_echoes() {
    let server = TestServer::start().await;
    let count = 150;
    let mut raw = begin(async || server.raw().await, "delay:500ms", count).await;
    raw.stream.shutdown().await.unwrap();
    let echo = text_echo("hello");
    assert_eq!(raw.rest().await, echo.repeat(count));
}
