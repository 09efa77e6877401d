//! What a peer may take of a server over HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use echobeat::ServerConfig;
use echobeat_frames::{BINARY, frame};
use h2::Reason;
use hyper::Method;
use tokio::time::Instant;

use super::client::{Http2, whole};
use super::{connect, serve};
use crate::support::{Control, Raw, config, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The header of a frame of HTTP/2 (RFC 9113, section 4.1).
fn frame_header(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = (length as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

/// SETTINGS of a client that sets nothing.
fn settings() -> Vec<u8> {
    frame_header(0, 4, 0, 0)
}

#[tokio::test]
async fn a_connection_without_a_request_in_time_is_closed() {
    let server = serve(ServerConfig {
        handshake_timeout: Duration::from_millis(500),
        ..config()
    })
    .await;
    let control = server.control().await;
    let begun = Instant::now();
    for start in [&b"PRI * HT"[..], PREFACE, &[PREFACE, &settings()].concat()] {
        let mut raw = server.raw().await;
        raw.send(start).await;
        raw.rest().await;
    }
    // It has asked once, and is idle since.
    let mut http2 = connect(server.address).await;
    assert_eq!(http2.ask(Method::GET, "/healthz").await.0.status(), 200);
    soon(http2.connection).await.unwrap().expect("GOAWAY");
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    control.finish("silence over HTTP/2").await;
}

#[tokio::test]
async fn a_session_keeps_its_connection_open() {
    let server = serve(ServerConfig {
        handshake_timeout: Duration::from_millis(100),
        heartbeat: Some(Duration::from_millis(200)),
        ..config()
    })
    .await;
    let mut http2 = connect(server.address).await;
    let mut client = http2.client().await;
    for _ in 0..3 {
        client.next().await;
    }
    assert!(!http2.connection.is_finished());
}

#[tokio::test]
async fn a_connection_that_does_not_answer_a_ping_is_closed() {
    let server = serve(ServerConfig {
        handshake_timeout: Duration::from_secs(15),
        ping_interval: Some(Duration::from_millis(100)),
        ping_timeout: Duration::from_millis(200),
        ..config()
    })
    .await;
    let begun = Instant::now();
    let mut raw = server.raw().await;
    raw.send([PREFACE, &settings()].concat()).await;
    let rest = raw.rest().await;
    let ping = frame_header(8, 6, 0, 0);
    assert!(
        rest.windows(ping.len()).any(|part| part == ping),
        "{rest:x?}"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );

    // h2's client answers.
    let mut http2 = connect(server.address).await;
    let mut client = http2.client().await;
    client.echo("hello").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_one_session_loses_that_one_alone() {
    let server = serve(ServerConfig {
        send_timeout: Duration::from_millis(500),
        ..config()
    })
    .await;
    // A client that can be sent more than what one of its streams leaves unread.
    let mut windows = h2::client::Builder::new();
    windows.initial_connection_window_size(8 << 20);
    let stream = Raw::connect(server.address).await.stream;
    let mut http2 = Http2::over(stream, &mut windows).await;
    let control = Control::of_session(http2.raw_session().await);
    let mut deaf = http2.stream().await;
    let message = Bytes::from(frame(BINARY, &[0; 100_000]));
    // As much as the server takes, which is never read back.
    let reset = soon(async {
        for _ in 0..100 {
            deaf.send.send_data(message.clone(), false)?;
        }
        std::future::poll_fn(|cx| deaf.send.poll_reset(cx)).await
    });
    assert_eq!(reset.await.unwrap(), Reason::CANCEL);
    control.finish("a stream that is not read").await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_its_own_connection_alone() {
    let server = serve(config()).await;
    let control = server.control().await;
    let mut raw = server.raw().await;
    raw.send([PREFACE, &settings()].concat()).await;
    // HEADERS of a GET / with an authority, in HPACK's static table and literals, and RST_STREAM.
    let head = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost"].concat();
    let mut flood = Vec::new();
    for stream in (1..20_000).step_by(2) {
        flood.extend(frame_header(head.len(), 1, 0x4, stream));
        flood.extend(&head);
        flood.extend(frame_header(4, 3, 0, stream));
        flood.extend(u32::from(Reason::CANCEL).to_be_bytes());
    }
    // It may hang up in the middle of this.
    let _ = soon(tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &flood)).await;
    let mut seen = Vec::new();
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(
        &mut raw.stream,
        &mut seen,
    ))
    .await;
    let calm = u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes();
    assert!(seen.windows(4).any(|part| part == calm), "{seen:x?}");
    control.finish("a flood of resets").await;
}

#[tokio::test]
async fn sessions_over_the_limit_are_refused() {
    let server = serve(ServerConfig {
        max_connections: 2,
        ..config()
    })
    .await;
    let mut http2 = connect(server.address).await;
    let (first, _second) = (http2.stream().await, http2.stream().await);
    let version = [("sec-websocket-version", "13")];
    let (response, _send) = http2.try_session("/", &version).await;
    let (refused, _) = whole(response).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");

    drop(first);
    let again = async {
        loop {
            let (response, send) = http2.try_session("/", &version).await;
            match soon(response).await.expect("an answer").status().as_u16() {
                200 => break send,
                _full => tokio::task::yield_now().await,
            }
        }
    };
    soon(again).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = serve(config()).await;
    let mut http2 = connect(server.address).await;
    let long = "x".repeat(20 << 10);
    let headers = [("sec-websocket-version", "13"), ("x-long", &long[..])];
    let (response, _send) = http2.try_session("/", &headers).await;
    match soon(response).await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => panic!("{error}"),
    }
    http2.client().await.echo("hello").await;
}
