//! Interim responses, and versions of HTTP (row 58 of the fault matrix).

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::{ACCEPTED, Stub, TestProxy};
use crate::support::{Raw, soon, upgrade_request};

/// A client of a proxy that has sent `request`, and the upstream that has read its head.
async fn asked(request: &str) -> (Raw, Raw, TestProxy) {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client.send(request).await;
    let (upstream, _) = stub.accept().await;
    (client, upstream, proxy)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn interim_responses_are_passed_on_at_once() {
    let (mut client, mut upstream, _proxy) = asked(GET).await;
    upstream
        .send("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n")
        .await;
    let hints = client.head().await;
    assert_eq!(hints.status, 103);
    assert!(hints.head.starts_with("HTTP/1.1 103 Early Hints\r\n"));
    assert_eq!(hints.header("Link"), Some("</a>; rel=preload"));
    assert_eq!(hints.header("X-Hop"), None);
    upstream.send("HTTP/1.1 102 Processing\r\n\r\n").await;
    assert_eq!(client.head().await.status, 102);
    // All in one segment too.
    upstream
        .send(["HTTP/1.1 102 Processing\r\n\r\n", OK].concat())
        .await;
    assert_eq!(client.head().await.status, 102);
    assert_eq!(client.response().await.body, "ok");
}

#[tokio::test]
async fn early_hints_come_behind_the_answers_to_earlier_requests() {
    let (mut client, mut upstream, _proxy) = asked(&GET.repeat(2)).await;
    upstream.send(OK).await;
    super::head(&mut upstream.stream).await;
    upstream
        .send(["HTTP/1.1 103 Early Hints\r\n\r\n", OK].concat())
        .await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(client.head().await.status, 103);
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn interim_responses_are_passed_on_before_a_tunnel_too() {
    let (mut client, mut upstream, _proxy) = asked(&upgrade_request("/")).await;
    upstream
        .send(["HTTP/1.1 103 Early Hints\r\n\r\n", ACCEPTED, "early"].concat())
        .await;
    assert_eq!(client.head().await.status, 103);
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.read(5).await, b"early");
}

#[tokio::test]
async fn clients_of_http_1_0_get_no_interim_responses() {
    let (client, mut upstream, _proxy) = asked("GET / HTTP/1.0\r\n\r\n").await;
    upstream
        .send(["HTTP/1.1 103 Early Hints\r\n\r\n", OK].concat())
        .await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn interim_responses_without_end_are_a_bad_gateway() {
    for request in [GET, &upgrade_request("/")] {
        let (mut client, mut upstream, proxy) = asked(request).await;
        let control = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000);
        let endless = async {
            use tokio::io::AsyncWriteExt;
            while upstream.stream.write_all(control.as_bytes()).await.is_ok() {}
        };
        let answered = async {
            let mut interims = 0;
            loop {
                match client.head().await.status {
                    102 => interims += 1,
                    status => break (status, interims),
                }
            }
        };
        // The proxy closes the connection to the upstream.
        let (answered, ()) = soon(async { tokio::join!(answered, endless) }).await;
        let (status, interims) = answered;
        assert_eq!(status, 502);
        assert!(interims <= 100, "{interims}");
        drop(proxy);
    }
}

const EXPECTING: &str =
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn a_100_comes_from_the_upstream_and_not_from_the_proxy() {
    for chunked in [false, true] {
        let (request, body) = match chunked {
            false => (EXPECTING.to_owned(), "body"),
            true => (
                EXPECTING.replace("Content-Length: 4", "Transfer-Encoding: chunked"),
                "4\r\nbody\r\n0\r\n\r\n",
            ),
        };
        let (mut client, mut upstream, _proxy) = asked(&request).await;
        let mut byte = [0];
        let quiet = timeout(Duration::from_millis(300), client.stream.read(&mut byte)).await;
        assert!(quiet.is_err(), "nobody has said it: {byte:?}");
        upstream
            .send("HTTP/1.1 100 Continue\r\nX-Own: 1\r\n\r\n")
            .await;
        let own = client.head().await;
        assert_eq!((own.status, own.header("X-Own")), (100, Some("1")));
        client.send(body).await;
        assert_eq!(upstream.read(body.len()).await, body.as_bytes());
        upstream.send(OK).await;
        assert_eq!(client.response().await.body, "ok");
        // And the connection is good for more.
        client.send(GET).await;
        super::head(&mut upstream.stream).await;
        upstream.send(OK).await;
        assert_eq!(client.response().await.body, "ok");
    }
}

#[tokio::test]
async fn without_a_100_answer_and_body_are_passed_on() {
    let (mut client, mut upstream, _proxy) = asked(EXPECTING).await;
    upstream
        .send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        .await;
    let refused = client.head().await;
    assert_eq!(refused.status, 417);
    assert_eq!(refused.header("Connection"), Some("close"));

    // A client that does not wait for a 100 is not kept waiting.
    let (mut client, mut upstream, _proxy) = asked(EXPECTING).await;
    client.send("body").await;
    assert_eq!(upstream.read(4).await, b"body");
    upstream.send(OK).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn the_version_of_http_is_the_proxys_own() {
    for rest in ["\r\nok", "Content-Length: 2\r\n\r\nok"] {
        let (mut client, mut upstream, _proxy) = asked(GET).await;
        upstream.send(format!("HTTP/1.0 200 OK\r\n{rest}")).await;
        drop(upstream);
        let answer = client.head().await;
        assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
        let framed = match answer.header("Content-Length") {
            Some("2") => "ok",
            _ => "2\r\nok\r\n0\r\n\r\n",
        };
        assert_eq!(client.read(framed.len()).await, framed.as_bytes());
        client.send("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.status, 405, "it goes on");
    }
}

#[tokio::test]
async fn after_http_1_0_a_connection_is_not_used_again() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    let (mut first, _) = stub.accept().await;
    first
        .send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
        .await;
    assert_eq!(client.response().await.status, 200);
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    client.send(chunked).await;
    let (mut second, _) = stub.accept().await;
    assert_eq!(second.read(12).await, b"2\r\n{}\r\n0\r\n\r\n");
}
