//! HTTP/2 on the client's side: every stream is a request of HTTP/1.1 to the upstream.

use std::time::Duration;

use bytes::Bytes;
use echobeat::ProxyConfig;
use echobeat_frames::{text_echo, text_frame};
use hyper::{Method, Request};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::secure::over_tls;
use super::{Stub, TestProxy, head, to};
use crate::http2::client::{Http2, whole};
use crate::http2::{connect, connect_tls};
use crate::support::{TestServer, soon};
use crate::tls::Issued;

/// A proxy that speaks HTTP/2 without TLS, in front of `upstream`.
async fn before(upstream: std::net::SocketAddr) -> TestProxy {
    TestProxy::start(ProxyConfig {
        h2c: true,
        ..to(&format!("http://{upstream}"))
    })
    .await
}

/// A tunnel that the stub accepts, by the connection to it.
async fn accept(stub: &Stub) -> crate::support::Raw {
    let (mut upstream, head) = stub.accept().await;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let key = key.expect("a key").as_bytes();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key);
    let answer = super::ACCEPTED.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept);
    upstream.send(answer).await;
    upstream
}

const VERSION: [(&str, &str); 1] = [("sec-websocket-version", "13")];

async fn post(http2: &mut Http2) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://localhost/upload");
    http2.send(request.body(()).unwrap(), true).await
}

#[tokio::test]
async fn sessions_are_tunnels_of_their_own() {
    let issued = Issued::new("proxy-http2");
    let server = TestServer::start().await;
    let proxy = over_tls(&issued, server.address).await;
    let mut http2 = connect_tls(&issued, proxy.address).await;
    let mut client = http2.client().await;
    client.echo_every_size().await;
    client.echo_in_order().await;
    let mut clients = Vec::new();
    for _ in 0..99 {
        clients.push(http2.client().await);
    }
    for client in &mut clients {
        client.echo("hello").await;
    }
    let (code, reason) = (CloseCode::from(4001), "enough".into());
    client.close(CloseFrame { code, reason }).await;
}

#[tokio::test]
async fn an_extended_connect_is_an_upgrade_upstream() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    let headers = [
        VERSION[0],
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
    ];
    let (response, _send) = http2.try_session("/a?b", &headers).await;
    let (mut upstream, head) = stub.accept().await;
    for name in ["Key", "Version", "Protocol"] {
        let written = format!("\r\nSec-WebSocket-{name}: ");
        assert!(head.contains(&written), "{name}: {head}");
    }
    let head = head.to_lowercase();
    assert!(head.starts_with("get /a?b http/1.1\r\n"), "{head}");
    for line in [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-protocol: chat",
        "cookie: a=b; c=d",
        "host: localhost",
        "x-forwarded-host: localhost",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    assert!(head.contains("\r\nvia: 2.0 echobeat-"), "{head}");
    // The accept of another key.
    upstream.send(super::ACCEPTED).await;
    assert_eq!(soon(response).await.unwrap().status(), 502);
}

#[tokio::test]
async fn a_refusal_of_an_upgrade_is_passed_on_and_a_2xx_is_a_bad_gateway() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    for (answered, status) in [("403 Forbidden", 403), ("200 OK", 502), ("204 None", 502)] {
        let (response, _send) = http2.try_session("/", &VERSION).await;
        let (mut upstream, _) = stub.accept().await;
        upstream
            .send(format!("HTTP/1.1 {answered}\r\nContent-Length: 0\r\n\r\n"))
            .await;
        assert_eq!(soon(response).await.unwrap().status(), status, "{answered}");
    }
    let (response, _send) = http2.extended_connect("chat", "/", &VERSION).await;
    assert_eq!(soon(response).await.unwrap().status(), 501);
}

#[tokio::test]
async fn ends_and_resets_of_a_stream_are_those_of_its_tunnel() {
    let server = TestServer::start().await;
    let proxy = before(server.address).await;
    let mut http2 = connect(proxy.address).await;
    let mut raw = http2.raw_session().await;
    raw.send(text_frame("bye").repeat(1_000)).await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.rest().await, text_echo("bye").repeat(1_000));

    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    let (response, mut send) = http2.try_session("/", &VERSION).await;
    let mut upstream = accept(&stub).await;
    assert_eq!(soon(response).await.unwrap().status(), 200);
    send.send_data(Bytes::from("last"), false).unwrap();
    assert_eq!(upstream.read(4).await, b"last");
    send.send_reset(h2::Reason::CANCEL);
    let mut rest = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut upstream.stream, &mut rest);
    let end = soon(end).await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn bodies_arrive_before_they_end_both_ways() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    let (response, mut send) = post(&mut http2).await;
    send.send_data(Bytes::from("one"), false).unwrap();
    let (mut upstream, head) = stub.accept().await;
    assert!(head.to_lowercase().contains("transfer-encoding: chunked"));
    assert_eq!(upstream.read(8).await, b"3\r\none\r\n");
    send.send_data(Bytes::from("two"), true).unwrap();
    assert_eq!(upstream.read(13).await, b"3\r\ntwo\r\n0\r\n\r\n");

    upstream
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    let response = soon(response).await.unwrap();
    assert!(response.headers().contains_key("date"));
    assert!(response.headers().contains_key("via"));
    let mut body = response.into_body();
    assert_eq!(soon(body.data()).await.unwrap().unwrap(), "first");
    upstream.send("0\r\n\r\n").await;
    while let Some(data) = soon(body.data()).await {
        assert!(data.unwrap().is_empty());
    }
}

#[tokio::test]
async fn any_method_may_have_a_body_without_a_length() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    for method in ["GET", "HEAD", "DELETE", "PURGE"] {
        let mut http2 = connect(proxy.address).await;
        let request = Request::builder().method(method).uri("http://a/").body(());
        let (_response, mut send) = http2.send(request.unwrap(), true).await;
        send.send_data(Bytes::from("{}"), true).unwrap();
        let (mut upstream, head) = stub.accept().await;
        assert!(head.starts_with(&format!("{method} / ")), "{head}");
        let framing = "\r\nTransfer-Encoding: chunked\r\n";
        assert!(head.contains(framing), "{head}");
        assert_eq!(upstream.read(12).await, b"2\r\n{}\r\n0\r\n\r\n");
    }
    for (method, length) in [("GET", None), ("POST", Some("0"))] {
        let mut http2 = connect(proxy.address).await;
        let request = Request::builder().method(method).uri("http://a/").body(());
        let (_response, _) = http2.send(request.unwrap(), false).await;
        let (_upstream, head) = stub.accept().await;
        let mut lines = head.lines();
        let line = lines.find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(line, length, "{head}");
        assert!(!head.contains("Transfer-Encoding"), "{head}");
    }
}

#[tokio::test]
async fn interim_responses_are_passed_on() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    let request = Request::builder()
        .method(Method::PUT)
        .uri("http://a/")
        .header("expect", "100-continue");
    let (mut response, mut send) = http2.send(request.body(()).unwrap(), true).await;
    let (mut upstream, head) = stub.accept().await;
    assert!(head.contains("\r\nExpect: 100-continue\r\n"), "{head}");
    for (interim, status) in [
        ("HTTP/1.1 100 Continue\r\n\r\n", 100),
        ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 103),
    ] {
        upstream.send(interim).await;
        let informed = soon(std::future::poll_fn(|cx| response.poll_informational(cx))).await;
        let informed = informed.expect("one").unwrap();
        assert_eq!(informed.status().as_u16(), status);
    }
    send.send_data(Bytes::from("body"), true).unwrap();
    assert_eq!(upstream.read(14).await, b"4\r\nbody\r\n0\r\n\r\n");
    upstream.send("HTTP/1.1 201 Created\r\n\r\n").await;
    assert_eq!(soon(response).await.unwrap().status(), 201);
}

#[tokio::test]
async fn plain_answers_come_whole() {
    let server = TestServer::start().await;
    let proxy = before(server.address).await;
    let mut http2 = connect(proxy.address).await;
    let (answer, body) = http2.ask(Method::GET, "/healthz").await;
    assert_eq!((answer.status().as_u16(), &body[..]), (200, "ok\n"));
    let (answer, body) = http2.ask(Method::HEAD, "/healthz").await;
    assert_eq!((answer.status().as_u16(), &body[..]), (200, ""));
    let large = Stub::start().await;
    let proxy = before(large.address).await;
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n".to_vec();
    answer.resize(answer.len() + (1 << 20), b'a');
    let answering = large.answer_always(answer);
    let mut http2 = connect(proxy.address).await;
    let request = Request::builder()
        .uri("http://localhost/")
        .body(())
        .unwrap();
    let (response, _) = http2.send(request, false).await;
    let mut body = soon(response).await.unwrap().into_body();
    let mut length = 0;
    while let Some(data) = soon(body.data()).await {
        let data = data.unwrap();
        length += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(length, 1 << 20);
    answering.abort();
}

#[tokio::test]
async fn a_cancelled_request_is_cancelled_upstream() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    for upgrade in [false, true] {
        let (response, mut send) = match upgrade {
            false => post(&mut http2).await,
            true => http2.try_session("/", &VERSION).await,
        };
        let (upstream, _) = stub.accept().await;
        send.send_reset(h2::Reason::CANCEL);
        drop(response);
        upstream.rest().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_given_up() {
    let stub = Stub::start().await;
    let proxy = TestProxy::start(ProxyConfig {
        h2c: true,
        handshake_timeout: Duration::from_millis(500),
        ..to(&format!("http://{}", stub.address))
    })
    .await;
    let mut http2 = connect(proxy.address).await;
    let (response, _send) = post(&mut http2).await;
    let (mut upstream, _) = stub.accept().await;
    // The windows are never opened again.
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")
        .await;
    upstream.send(vec![0; 1 << 20]).await;
    let mut body = soon(response).await.unwrap().into_body();
    let reset = loop {
        match soon(body.data()).await.expect("a reset before the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test]
async fn a_drain_lets_requests_that_have_begun_end() {
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut http2 = connect(proxy.address).await;
    let request = Request::builder()
        .uri("http://localhost/")
        .body(())
        .unwrap();
    let (response, _) = http2.send(request, false).await;
    let (mut upstream, _) = stub.accept().await;
    let running = proxy.stop();
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast")
        .await;
    let (_, body) = whole(response).await;
    assert_eq!(body, "last");
    soon(http2.connection)
        .await
        .unwrap()
        .expect("GOAWAY, and no error");
    drop(upstream);
    soon(running).await.unwrap();
}

#[tokio::test]
async fn http1_is_spoken_on_the_same_port() {
    let server = TestServer::start().await;
    let proxy = before(server.address).await;
    let health = proxy.ask("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(health.status, 200);
    proxy.control().await.finish("nothing").await;
    let stub = Stub::start().await;
    let proxy = before(stub.address).await;
    let mut raw = proxy.raw().await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.status, 200);
    raw.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let again = soon(head(&mut upstream.stream)).await;
    assert!(again.starts_with("GET /again "), "{again}");
}
