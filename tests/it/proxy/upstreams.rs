//! Upstreams that refuse, lie, or are not there (rows 41 and 42 of the fault matrix).

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::{ACCEPTED, Stub, TestProxy, to};
use crate::support::{TestServer, soon, upgrade_request};

#[tokio::test]
async fn a_refusal_is_passed_on_and_is_no_tunnel() {
    for refusal in [
        "HTTP/1.1 403 Forbidden\r\nX-Why: 1\r\nContent-Length: 3\r\n\r\nno\n",
        "HTTP/1.1 426 Upgrade Required\r\nX-Why: 1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Content-Length: 3\r\n\r\nno\n",
        "HTTP/1.1 200 OK\r\nX-Why: 1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Content-Length: 3\r\n\r\nno\n",
    ] {
        let stub = Stub::start().await;
        let proxy = TestProxy::before(stub.address).await;
        let mut client = proxy.raw().await;
        // The second would reach the upstream through a tunnel.
        let second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
        client
            .send([upgrade_request("/first"), second.to_owned()].concat())
            .await;
        let (mut upstream, head) = stub.accept().await;
        assert!(head.starts_with("GET /first "), "{head}");
        upstream.send(refusal).await;
        let answer = client.response().await;
        let status = refusal.split(' ').nth(1).unwrap();
        assert_eq!(
            (answer.status.to_string().as_str(), &answer.body[..]),
            (status, "no\n")
        );
        assert_eq!(answer.header("x-why"), Some("1"));
        assert!(client.rest().await.is_empty(), "it is closed");
        assert!(upstream.rest().await.is_empty(), "nothing more has come");
    }
}

#[tokio::test]
async fn a_false_acceptance_is_a_bad_gateway() {
    let server = TestServer::start().await;
    let control_proxy = TestProxy::before(server.address).await;
    let control = control_proxy.control().await;
    for lie in [
        ACCEPTED.replace("s3pP", "S3pP"),
        ACCEPTED.replace("Upgrade: websocket\r\n", ""),
        ACCEPTED.replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        ACCEPTED.replace("Connection: Upgrade\r\n", ""),
        ACCEPTED.replace("Sec-WebSocket-Accept", "Sec-WebSocket-Accepted"),
        "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let stub = Stub::start().await;
        let proxy = TestProxy::before(stub.address).await;
        let answering = stub.answer_always(lie.clone().into_bytes());
        let mut client = proxy.raw().await;
        client.send(upgrade_request("/")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, 502, "{lie:?}");
        assert!(answer.body.ends_with(".\n"), "{answer:?}");
        assert!(client.rest().await.is_empty());
        answering.abort();
    }
    control.finish("an upstream that lies").await;
}

#[tokio::test]
async fn an_upgrade_that_nobody_asked_for_is_a_bad_gateway() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let answering = stub.answer_always(ACCEPTED.into());
    let answer = proxy.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status, 502);
    answering.abort();
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_bad_gateway() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let proxy = TestProxy::before(address).await;
    for request in [
        upgrade_request("/"),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
    ] {
        let answer = proxy.ask(request).await;
        assert_eq!(answer.status, 502);
        assert!(answer.body.contains("cannot be reached"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_a_gateway_timeout() {
    let stub = Stub::start().await;
    let mut config = to(&format!("http://{}", stub.address));
    config.response_timeout = Duration::from_millis(300);
    let proxy = TestProxy::start(config).await;
    for request in [
        upgrade_request("/"),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
    ] {
        let answer = proxy.ask(request).await;
        assert_eq!(answer.status, 504);
        assert!(answer.body.contains("too long to answer"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_tunnel_over_the_limit_is_refused() {
    let server = TestServer::start().await;
    let mut config = to(&format!("http://{}", server.address));
    config.max_connections = 1;
    let proxy = TestProxy::start(config).await;
    let _only = crate::support::Raw::session(proxy.address).await;
    let refused = proxy.ask(upgrade_request("/")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("Retry-After").is_some());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_dropped() {
    let stub = Stub::start().await;
    let mut config = to(&format!("http://{}", stub.address));
    config.handshake_timeout = Duration::from_millis(500);
    let proxy = TestProxy::start(config).await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    // The upstream is let go once nobody takes what it says.
    let block = [b"100000\r\n", &vec![0; 1 << 20][..], b"\r\n"].concat();
    let endless = async { while upstream.stream.write_all(&block).await.is_ok() {} };
    soon(endless).await;
}
