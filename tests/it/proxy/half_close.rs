//! Clients that end their side while the upstream answers, and clients that go.

use std::time::Duration;

use echobeat_frames::text_echo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::{ACCEPTED, Stub, TestProxy};
use crate::support::{soon, upgrade_request};

const GET: &str = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Longer than an end of the client's side takes to arrive.
const A_WHILE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_client_that_half_closes_gets_a_slow_answer() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    client.stream.shutdown().await.unwrap();
    let (mut upstream, _) = stub.accept().await;
    sleep(A_WHILE).await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        .await;
    sleep(A_WHILE).await;
    upstream.send("world").await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.ends_with("\r\n\r\nhelloworld"), "{answer}");
}

#[tokio::test]
async fn a_client_that_half_closes_gets_a_slow_upgrade() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client.send(upgrade_request("/") + "early").await;
    client.stream.shutdown().await.unwrap();
    let (mut upstream, _) = stub.accept().await;
    sleep(A_WHILE).await;
    upstream.send(ACCEPTED).await;
    let mut early = String::new();
    soon(upstream.stream.read_to_string(&mut early))
        .await
        .unwrap();
    assert_eq!(early, "early");
    upstream.send(text_echo("late")).await;
    drop(upstream);
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.rest().await, text_echo("late"));
}

#[tokio::test]
async fn a_client_that_resets_cancels_its_request_at_once() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    // Alone, and with another behind it.
    for behind in ["", GET] {
        let mut client = proxy.raw().await;
        client.send(GET.to_owned() + behind).await;
        let (mut upstream, _) = stub.accept().await;
        client.stream.set_zero_linger().unwrap();
        drop(client);
        // The upstream waits for no more, in far less than the time for an answer.
        let end = soon(upstream.stream.read(&mut [0; 16])).await;
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}
