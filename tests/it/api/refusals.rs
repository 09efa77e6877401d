//! Requests that the API refuses, each with a sentence.

use echobeat::{ApiConfig, ServerConfig};
use serde_json::Value;

use super::{ask, ask_with, connect, serve, serve_with};
use crate::support::{PATIENCE, TestServer, config, soon, upgrade_request};

fn sentence(body: &Value) -> &str {
    let sentence = body["error"].as_str().expect("a sentence");
    assert!(sentence.ends_with('.'), "{sentence}");
    sentence
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let server = serve().await;
    let _client = connect(server.address, "/?id=me").await;
    for (request, status) in [
        ("GET /connections?stat=open", 400),
        ("GET /connections?state=ajar", 400),
        ("GET /connections?count=many", 400),
        ("GET /connections?wait=2h", 400),
        ("GET /connections?limit=", 400),
        ("GET /connections?id=%ff", 400),
        ("GET /connections/me/messages?contains=caf%e9", 400),
        ("GET /events?topic=%ff", 400),
        ("GET /connections/%ff", 400),
        ("GET /connections/nobody", 404),
        ("GET /connections/nobody/messages", 404),
        ("GET /connections/me/messages?kind=letter", 400),
        ("DELETE /connections/nobody", 404),
        ("DELETE /connections/me?code=1005", 400),
        ("DELETE /connections/me?code=99999", 400),
        ("DELETE /connections/me?code=many", 400),
        ("DELETE /connections/me?code=", 400),
        ("DELETE /connections/me?how=gently", 400),
        ("DELETE /connections/me?how=rst&code=1000", 400),
        ("DELETE /connections", 405),
        ("PUT /connections/me", 405),
        ("POST /topics", 405),
        ("POST /connections/me?wiat=1s", 400),
    ] {
        let (got, body) = ask(server.address, request).await;
        assert_eq!(got, status, "{request}: {body}");
        sentence(&body);
    }
    let long = "x".repeat(124);
    let request = format!("DELETE /connections/me?reason={long}");
    assert_eq!(ask(server.address, &request).await.0, 400);
}

#[tokio::test]
async fn bodies_are_checked_and_bounded() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        max_message_size: 4,
        ..config()
    })
    .await;
    let _client = connect(server.address, "/?id=me").await;
    let post = |body: &'static [u8], headers: &'static str| {
        ask_with(server.address, "POST /connections/me", headers, body)
    };
    assert_eq!(post(b"four", "").await.0, 201);
    assert_eq!(post(b"five!", "").await.0, 413);
    let (status, body) = post(b"\xff", "").await;
    assert_eq!(status, 400);
    assert!(sentence(&body).contains("octet-stream"));
    let binary = "Content-Type: Application/Octet-Stream; x=y\r\n";
    assert_eq!(post(b"\xff", binary).await.0, 201);
    let (status, body) = post(b"gzip", "Content-Encoding: gzip\r\n").await;
    assert_eq!(status, 415);
    assert!(sentence(&body).contains("Content-Encoding"));
    assert_eq!(post(b"four", "Content-Encoding: identity\r\n").await.0, 201);
}

#[tokio::test]
async fn a_body_that_is_said_to_be_too_large_is_refused_before_it_comes() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        max_message_size: 4,
        // It would be waited for as long.
        handshake_timeout: 2 * PATIENCE,
        ..config()
    })
    .await;
    for expect in ["", "Expect: 100-continue\r\n"] {
        let head = "POST /connections HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n";
        let answer = soon(server.ask(format!("{head}{expect}\r\n"))).await;
        assert_eq!(answer.status, 413, "{}", answer.head);
        assert!(answer.body.contains("4 bytes"), "{}", answer.body);
    }
}

#[tokio::test]
async fn an_id_of_an_event_is_one_number() {
    let server = serve().await;
    for headers in [
        "Last-Event-ID: many\r\n",
        "Last-Event-ID: -1\r\n",
        "Last-Event-ID: +1\r\n",
        "Last-Event-ID:\r\n",
        "Last-Event-ID: 18446744073709551616\r\n",
        "Last-Event-ID: 1\r\nLast-Event-ID: 1\r\n",
    ] {
        let (status, body) = ask_with(server.address, "GET /events", headers, b"").await;
        assert_eq!(status, 400, "{headers}");
        sentence(&body);
    }
}

#[tokio::test]
async fn a_path_beside_those_of_the_api_is_told_of_them() {
    let ask = "GET /connections/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (with, without) = (serve().await, TestServer::start().await);
    for (server, has_api) in [(with, true), (without, false)] {
        let answer = server.ask(ask).await;
        assert_eq!(answer.status, 404);
        assert_eq!(
            answer.body.contains("/openapi.json"),
            has_api,
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn pages_of_others_are_refused() {
    let server = serve().await;
    let address = server.address;
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let (status, body) = ask_with(address, "POST /connections", headers, b"x").await;
        assert_eq!(status, 403, "{headers}");
        sentence(&body);
    }
    let own = format!("Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(
        ask_with(address, "POST /connections", &own, b"x").await.0,
        202
    );
    let rebound = "GET /connections HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(server.ask(rebound).await.status, 403);
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let server = serve_with(ApiConfig {
        token: Some("secret".parse().unwrap()),
        ..ApiConfig::default()
    })
    .await;
    for (headers, status) in [
        ("", 401),
        ("Authorization: Bearer wrong\r\n", 401),
        ("Authorization: Bearer secret\r\n", 200),
        (
            "Authorization: Bearer secret\r\nOrigin: https://any.example\r\n",
            200,
        ),
    ] {
        let (got, _) = ask_with(server.address, "GET /connections", headers, b"").await;
        assert_eq!(got, status, "{headers}");
    }
}

#[tokio::test]
async fn names_that_cannot_be_used_are_refused_at_the_upgrade() {
    let server = serve().await;
    let long = "x".repeat(129);
    for query in [
        format!("id={long}"),
        format!("topic={long}"),
        "topic=".to_owned(),
        "id=%ff".to_owned(),
        "id=a%20".to_owned(),
        "id=a&id=b".to_owned(),
    ] {
        let mut raw = server.raw().await;
        raw.send(upgrade_request(&format!("/?{query}"))).await;
        assert_eq!(raw.response().await.status, 400, "{query}");
    }
}
