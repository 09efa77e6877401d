//! Plain requests.

use tokio::io::AsyncWriteExt;

use super::{Stub, TestProxy, to};
use crate::support::{Raw, TestServer, soon, upgrade_request};

#[tokio::test]
async fn the_upstream_sees_the_request_and_who_sent_it() {
    let stub = Stub::start().await;
    let proxy = TestProxy::start(to(&format!("http://{}/base/", stub.address))).await;
    let mut client = proxy.raw().await;
    client
        .send(
            "GET /a%20b?c=d HTTP/1.1\r\nHost: front.test\r\nCookie: a=b\r\n\
             X-Forwarded-For: 6.6.6.6\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n",
        )
        .await;
    let (mut upstream, head) = stub.accept().await;
    let head = head.to_lowercase();
    assert!(
        head.starts_with("get /base/a%20b?c=d http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "host: front.test".to_owned(),
        "te: trailers".to_owned(),
        "connection: te".to_owned(),
        "cookie: a=b".to_owned(),
        "x-forwarded-for: 6.6.6.6, 127.0.0.1".to_owned(),
        "x-forwarded-host: front.test".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        "forwarded: for=127.0.0.1;host=\"front.test\";proto=http".to_owned(),
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    assert!(head.contains("\r\nvia: 1.1 echobeat-"), "{head}");
    for gone in ["x-hop", "keep-alive", "transfer-encoding", "content-length"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    upstream
        .send("HTTP/1.1 201 Created\r\nContent-Length: 2\r\nKeep-Alive: timeout=9\r\nX-Own: 1\r\n\r\nok")
        .await;
    let response = client.response().await;
    assert_eq!((response.status, &response.body[..]), (201, "ok"));
    assert_eq!(response.header("x-own"), Some("1"));
    assert_eq!(response.header("keep-alive"), None);
    let via = response.header("via").expect("a Via");
    assert!(via.starts_with("1.1 echobeat-"), "{via}");
}

#[tokio::test]
async fn bodies_arrive_before_they_end_both_ways() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none")
        .await;
    let (mut upstream, head) = stub.accept().await;
    assert!(head.to_lowercase().contains("content-length: 6"), "{head}");
    assert_eq!(upstream.read(3).await, b"one");
    client.send("two").await;
    assert_eq!(upstream.read(3).await, b"two");

    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.read(10).await, b"5\r\nfirst\r\n");
    upstream.send("0\r\n\r\n").await;
    assert_eq!(client.read(5).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let asking = async {
        for _ in 0..3 {
            let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(answer.body, "ok");
        }
    };
    let answering = async {
        let (mut upstream, _) = stub.accept().await;
        for n in 0..3 {
            if n > 0 {
                super::head(&mut upstream.stream).await;
            }
            upstream
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    };
    soon(async { tokio::join!(asking, answering) }).await;
}

#[tokio::test]
async fn the_host_is_the_clients_unless_it_is_configured() {
    for (upstream_host, request, host) in [
        (
            "client",
            "GET / HTTP/1.1\r\nHost: front.test:1",
            "front.test:1",
        ),
        // RFC 9112, section 3.2.2.
        (
            "client",
            "GET http://a.test/ HTTP/1.1\r\nHost: b.test",
            "a.test",
        ),
        ("client", "GET / HTTP/1.0\r\nX-Any: 1", ""),
        ("upstream", "GET / HTTP/1.1\r\nHost: front.test", ""),
        ("c.test:2", "GET / HTTP/1.1\r\nHost: front.test", "c.test:2"),
        ("client", upgrade_request("/").trim(), "localhost"),
    ] {
        let stub = Stub::start().await;
        let mut config = to(&format!("http://{}", stub.address));
        config.upstream_host = upstream_host.parse().unwrap();
        let proxy = TestProxy::start(config).await;
        let mut client = proxy.raw().await;
        client.send(format!("{request}\r\n\r\n")).await;
        let (_upstream, head) = stub.accept().await;
        let own = stub.address.to_string();
        let host = if host.is_empty() { &own } else { host };
        assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{head}");
        assert_eq!(head.matches("\r\nHost: ").count(), 1, "{head}");
    }
}

#[tokio::test]
async fn bad_requests_are_not_forwarded() {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    for (status, request) in [
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        (400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (405, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    ] {
        let mut raw = proxy.raw().await;
        raw.send(request).await;
        let refused = raw.response().await;
        assert_eq!(refused.status, status, "{request}");
        assert!(refused.body.ends_with(".\n"), "{refused:?}");
        assert!(raw.rest().await.is_empty());
    }
}

#[tokio::test]
async fn a_backend_that_was_down_is_used_again() {
    let server = TestServer::start().await;
    let address = server.address;
    let proxy = TestProxy::before(address).await;
    let health = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(proxy.ask(health).await.status, 200);
    soon(server.stop()).await.unwrap();
    assert_eq!(proxy.ask(health).await.status, 502);

    let _again = TestServer::start_with(echobeat::ServerConfig {
        listen: vec![address.to_string().parse().unwrap()],
        ..crate::support::config()
    })
    .await;
    assert_eq!(proxy.ask(health).await.status, 200);
    Raw::session(proxy.address).await;
}

#[tokio::test]
async fn a_draining_proxy_finishes_requests_that_have_begun() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    let address = proxy.address;
    let running = proxy.stop();
    // It has a moment to hear of it.
    let refused = async {
        loop {
            let mut late = Raw::connect(address).await;
            late.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
            let answer = late.response().await;
            match answer.status {
                405 => tokio::task::yield_now().await,
                _ => break answer,
            }
        }
    };
    let refused = soon(refused).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("Retry-After").is_some());
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
        .await;
    assert_eq!(client.response().await.body, "last");
    upstream.stream.shutdown().await.unwrap();
    soon(running).await.unwrap();
}
