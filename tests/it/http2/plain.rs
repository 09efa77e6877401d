//! Plain requests over HTTP/2, and refusals.

use bytes::Bytes;
use echobeat::ServerConfig;
use h2::Reason;
use hyper::{Method, Request};

use super::client::whole;
use super::{connect, serve};
use crate::support::{Client, Raw, TestServer, config, soon, upgrade_request};

#[tokio::test]
async fn plain_requests_are_answered() {
    let server = serve(ServerConfig {
        paths: vec!["/ws".parse().unwrap()],
        ..config()
    })
    .await;
    let mut http2 = connect(server.address).await;
    let (health, body) = http2.ask(Method::GET, "/healthz").await;
    assert_eq!((health.status().as_u16(), &body[..]), (200, "ok\n"));
    assert_eq!(health.headers()["content-length"], "3");
    assert!(health.headers().contains_key("date"));

    let (health, body) = http2.ask(Method::HEAD, "/healthz").await;
    assert_eq!((health.status().as_u16(), &body[..]), (200, ""));
    assert_eq!(health.headers()["content-length"], "3");

    let (nothing, body) = http2.ask(Method::GET, "/elsewhere").await;
    assert_eq!(nothing.status(), 404);
    assert!(body.contains("ws://localhost/ws"), "{body}");

    for (method, path, allowed) in [
        (Method::DELETE, "/healthz", "GET, HEAD"),
        (Method::GET, "/ws", "CONNECT"),
    ] {
        let (refused, body) = http2.ask(method, path).await;
        assert_eq!(refused.status(), 405, "{path}: {body}");
        assert_eq!(refused.headers()["allow"], allowed);
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_too() {
    let server = serve(config()).await;
    let mut http2 = connect(server.address).await;
    let request = Request::post("http://localhost/healthz").body(()).unwrap();
    let (response, mut body) = http2.send(request, true).await;
    body.send_data(Bytes::from(vec![0; 10_000]), true).unwrap();
    let (refused, _) = whole(response).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(http2.ask(Method::GET, "/healthz").await.0.status(), 200);
}

#[tokio::test]
async fn bad_handshakes_are_refused_and_the_connection_goes_on() {
    let server = serve(ServerConfig {
        paths: vec!["/ws".parse().unwrap()],
        allowed_origins: vec!["https://example.com".parse().unwrap()],
        ..config()
    })
    .await;
    let mut http2 = connect(server.address).await;
    let version = ("sec-websocket-version", "13");
    let many = vec![("x-many", "x"); 64];
    for (status, protocol, path, headers) in [
        (400, "websocket", "/ws", vec![]),
        (
            400,
            "websocket",
            "/ws",
            vec![("sec-websocket-version", "8")],
        ),
        (
            403,
            "websocket",
            "/ws",
            vec![version, ("origin", "https://evil.example")],
        ),
        (404, "websocket", "/elsewhere", vec![version]),
        (431, "websocket", "/ws", [vec![version], many].concat()),
        (501, "connect-udp", "/ws", vec![version]),
    ] {
        let (response, _send) = http2.extended_connect(protocol, path, &headers).await;
        let (refused, sentence) = whole(response).await;
        assert_eq!(refused.status(), status, "{headers:?}: {sentence}");
        assert!(sentence.ends_with(".\n"), "{sentence}");
        assert!(!refused.headers().contains_key("connection"));
    }
}

#[tokio::test]
async fn http1_is_spoken_on_the_same_port() {
    let server = serve(config()).await;
    server.connect().await.echo("hello").await;
    let mut raw = server.raw().await;
    // Cut where it might still be the preface of HTTP/2.
    raw.send("P").await;
    raw.send("ROPFIND /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.status, 404);
    raw.send(upgrade_request("/")).await;
    assert_eq!(raw.head().await.status, 101);
    let url = format!("ws://{}/", server.address);
    let stream = Raw::connect(server.address).await.stream;
    Client::over(stream, url).await.unwrap().echo("hello").await;
}

#[tokio::test]
async fn without_h2c_a_client_of_http2_is_told_to_use_http1() {
    let server = TestServer::start().await;
    let client = connect(server.address).await;
    let error = soon(client.connection).await.unwrap().unwrap_err();
    assert!(error.is_remote() && error.is_go_away(), "{error:?}");
    assert_eq!(error.reason(), Some(Reason::HTTP_1_1_REQUIRED));
    assert!(format!("{error:?}").contains("--h2c"), "{error:?}");
    server.connect().await.echo("hello").await;
}
