//! Streams without progress whose other side is gone (rows 54 and 55 of the fault matrix).

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::Builder;
use std::future::poll_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tunnels::tunnel;
use super::{ACCEPTED, Stub, TestProxy, to};
use crate::http2::client::{Http2, Stream};
use crate::support::{Raw, soon};

/// Time after which a stream that takes no byte counts as blocked.
const BLOCKED: Duration = Duration::from_secs(1);

/// A proxy that has one place, and this send timeout.
async fn proxy(stub: &Stub, send_timeout: Duration) -> TestProxy {
    let mut config = to(&format!("http://{}", stub.address));
    config.h2c = true;
    config.max_connections = 1;
    config.send_timeout = send_timeout;
    TestProxy::start(config).await
}

/// Send timeout that is longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Sends until nothing is taken any more.
async fn fill(raw: &mut Raw) {
    let block = vec![7; 1 << 20];
    while let Ok(written) = timeout(BLOCKED, raw.stream.write(&block)).await {
        written.expect("the proxy is there");
    }
}

/// Expects a reset, without reading what comes before it.
async fn expect_reset(raw: &Raw) {
    let ready = soon(raw.stream.ready(Interest::ERROR)).await.unwrap();
    assert!(ready.is_error(), "{ready:?}");
}

/// A tunnel: the end that sends, and the end that does not read.
async fn blocked(stub: &Stub, proxy: &TestProxy, is_inward: bool) -> (Raw, Raw) {
    let (client, upstream) = tunnel(stub, proxy).await;
    let (mut sender, deaf) = match is_inward {
        true => (client, upstream),
        false => (upstream, client),
    };
    fill(&mut sender).await;
    (sender, deaf)
}

#[tokio::test]
async fn a_reset_is_passed_on_though_the_other_side_does_not_read() {
    for is_inward in [true, false] {
        let stub = Stub::start().await;
        let proxy = proxy(&stub, FOR_EVER).await;
        let (sender, deaf) = blocked(&stub, &proxy, is_inward).await;
        sender.stream.set_zero_linger().unwrap();
        drop(sender);
        expect_reset(&deaf).await;
        // The place is free again.
        tunnel(&stub, &proxy).await;
    }
}

#[tokio::test]
async fn a_side_that_does_not_read_in_time_gets_a_reset_when_the_other_ends() {
    for is_inward in [true, false] {
        let stub = Stub::start().await;
        let proxy = proxy(&stub, 3 * BLOCKED).await;
        let (mut sender, deaf) = blocked(&stub, &proxy, is_inward).await;
        sender.stream.shutdown().await.unwrap();
        expect_reset(&deaf).await;
        let end = soon(sender.stream.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        tunnel(&stub, &proxy).await;
    }
}

#[tokio::test]
async fn silence_without_unsent_data_is_no_standstill() {
    let stub = Stub::start().await;
    let proxy = proxy(&stub, Duration::from_millis(100)).await;
    let (mut client, mut upstream) = tunnel(&stub, &proxy).await;
    client.send("unread").await;
    tokio::time::sleep(BLOCKED).await;
    upstream.send("answer").await;
    assert_eq!(client.read(6).await, b"answer");
    assert_eq!(upstream.read(6).await, b"unread");
}

#[tokio::test]
async fn a_reset_of_a_stream_and_the_end_of_its_connection_are_passed_on() {
    for is_stream in [true, false] {
        let stub = Stub::start().await;
        let proxy = proxy(&stub, FOR_EVER).await;
        let socket = TcpStream::connect(proxy.address).await.unwrap();
        let mut client = Http2::over(socket, &mut Builder::new()).await;
        let (Stream { mut send, .. }, upstream) =
            soon(async { tokio::join!(client.stream(), accept(&stub)) }).await;
        loop {
            send.reserve_capacity(1 << 16);
            let taken = poll_fn(|cx| send.poll_capacity(cx));
            let Ok(taken) = timeout(BLOCKED, taken).await else {
                break;
            };
            let data = Bytes::from(vec![7; taken.unwrap().unwrap()]);
            send.send_data(data, false).unwrap();
        }
        match is_stream {
            true => send.send_reset(Reason::CANCEL),
            false => client.connection.abort(),
        }
        expect_reset(&upstream).await;
        tunnel(&stub, &proxy).await;
    }
}

/// An upgrade that the upstream accepts.
async fn accept(stub: &Stub) -> Raw {
    let (mut upstream, head) = stub.accept().await;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(
        key.expect("a key").as_bytes(),
    );
    upstream
        .send(ACCEPTED.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept))
        .await;
    upstream
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_read_is_given_up() {
    let stub = Stub::start().await;
    let proxy = proxy(&stub, 3 * BLOCKED).await;
    // One after another, for there is one place.
    for _ in 0..2 {
        let mut client = proxy.raw().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            .await;
        let (upstream, _) = stub.accept().await;
        fill(&mut client).await;
        assert_eq!(client.head().await.status, 504);
        expect_reset(&upstream).await;
    }
}

#[tokio::test]
async fn an_upload_whose_client_is_gone_is_given_up() {
    for is_reset in [true, false] {
        let stub = Stub::start().await;
        let proxy = proxy(&stub, 3 * BLOCKED).await;
        let mut client = proxy.raw().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
            .await;
        let (upstream, _) = stub.accept().await;
        fill(&mut client).await;
        if is_reset {
            client.stream.set_zero_linger().unwrap();
        }
        drop(client);
        expect_reset(&upstream).await;
    }
}

#[tokio::test]
async fn an_answer_that_the_client_does_not_read_is_given_up() {
    let stub = Stub::start().await;
    let proxy = proxy(&stub, 3 * BLOCKED).await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    fill(&mut upstream).await;
    expect_reset(&client).await;
    let end = soon(upstream.stream.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}
