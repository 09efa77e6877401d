//! The verdict on a handshake, which the page asks for.

use echobeat::ServerConfig;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::http2;
use crate::http2::client::whole;
use crate::support::{Response, TestServer, config, upgrade_request};

const MEDIA_TYPE: &str = "application/vnd.echobeat.verdict+json";

fn question(method: &str, target: &str, headers: &str) -> String {
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Accept: {MEDIA_TYPE}\r\n{headers}\r\n"
    )
}

fn verdict(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("Content-Type"), Some(MEDIA_TYPE));
    assert_eq!(response.header("Cache-Control"), Some("no-store"));
    assert_eq!(response.header("Vary"), Some("accept"));
    serde_json::from_str(&response.body).expect("JSON")
}

/// Asserts that the verdict on a target is what an upgrade gets.
async fn assert_is_true(server: &TestServer, target: &str) -> Value {
    let verdict = verdict(&server.ask(question("GET", target, "")).await);
    let upgrade = server.ask(upgrade_request(target)).await;
    assert_eq!(verdict["status"], upgrade.status, "{target}: {verdict}");
    if upgrade.status != 101 {
        let sentence = upgrade.body.lines().next();
        assert_eq!(verdict["sentence"].as_str(), sentence, "{target}");
    }
    verdict
}

#[tokio::test]
async fn the_verdict_is_the_answer_to_an_upgrade() {
    let server = TestServer::start().await;
    for target in [
        "/",
        "/any/path?x=1",
        "/?do=close:4001:bye@3msg",
        "/healthz?do=wait:1ms",
    ] {
        let verdict = assert_is_true(&server, target).await;
        assert_eq!(verdict["status"], 101, "{target}: {verdict}");
        assert_eq!(verdict["problem"], Value::Null, "{target}");
    }
    for target in [
        "/?do=delay:abc",
        "/?do=beat:off,say:hello",
        "/?do=no%20step",
        "/?do=fin@2s,rst@2s",
        "/metrics?do=who:1",
    ] {
        let verdict = assert_is_true(&server, target).await;
        assert_eq!(verdict["status"], 400, "{target}: {verdict}");
        assert_eq!(verdict["problem"], verdict["sentence"], "{target}");
    }
    // Refused as asked for: the steps are valid, and the browser must not act on the refusal.
    for (target, status) in [("/?do=refuse:302:/x", 302), ("/?do=refuse:401", 401)] {
        let verdict = assert_is_true(&server, target).await;
        assert_eq!(verdict["status"], status, "{target}: {verdict}");
        assert_eq!(verdict["problem"], Value::Null, "{target}");
    }
}

#[tokio::test]
async fn the_verdict_knows_what_the_server_allows() {
    let server = TestServer::start_with(ServerConfig {
        faults: false,
        paths: vec!["/ws".parse().unwrap()],
        max_connections: 1,
        ..config()
    })
    .await;
    let elsewhere = assert_is_true(&server, "/elsewhere").await;
    assert_eq!(elsewhere["status"], 404);
    let forbidden = assert_is_true(&server, "/ws?do=who").await;
    assert_eq!(forbidden["status"], 403);
    assert_eq!(forbidden["problem"], forbidden["sentence"]);

    // Asking for a verdict takes no place.
    for _ in 0..3 {
        let free = verdict(&server.ask(question("GET", "/ws", "")).await);
        assert_eq!(free["status"], 101, "{free}");
    }
    let mut only = server.raw().await;
    only.send(upgrade_request("/ws")).await;
    assert_eq!(only.head().await.status, 101);
    let full = assert_is_true(&server, "/ws").await;
    assert_eq!(full["status"], 503);
}

#[tokio::test]
async fn the_verdict_tells_which_subprotocol_would_be_selected() {
    let server = TestServer::start_with(ServerConfig {
        subprotocols: vec!["chat".parse().unwrap()],
        ..config()
    })
    .await;
    for (target, offers, selected) in [
        ("/", "other, chat", json!("chat")),
        ("/", "other", Value::Null),
        ("/?do=subprotocol:new", "chat", json!("new")),
        ("/?do=subprotocol:none", "chat", Value::Null),
    ] {
        let header = format!("Echobeat-Subprotocols: {offers}\r\n");
        let verdict = verdict(&server.ask(question("GET", target, &header)).await);
        assert_eq!(verdict["subprotocol"], selected, "{target} {offers}");
    }
}

#[tokio::test]
async fn the_verdict_needs_its_media_type_and_a_page() {
    let server = TestServer::start().await;
    let refused = server.ask(question("POST", "/", "")).await;
    assert_eq!(refused.status, 405, "{refused:?}");
    for accept in ["*/*", "application/json", "text/html"] {
        let request = format!(
            "GET /?do=delay:abc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Accept: {accept}\r\n\r\n"
        );
        let page = server.ask(request).await;
        assert!(page.body.starts_with("<!doctype html>"), "{accept}");
    }

    let no_page = TestServer::start_with(ServerConfig {
        paths: vec!["/".parse().unwrap()],
        ..config()
    })
    .await;
    assert_eq!(no_page.ask(question("GET", "/", "")).await.status, 426);
    assert_eq!(no_page.ask(question("GET", "/other", "")).await.status, 404);
}

#[tokio::test]
async fn the_verdict_over_http2_is_on_an_extended_connect() {
    let server = http2::serve(config()).await;
    let mut http2 = http2::connect(server.address).await;
    for (target, status) in [
        ("/", 200),
        ("/?do=delay:abc", 400),
        ("/?do=accept:none", 400),
    ] {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("http://localhost{target}"))
            .header("accept", MEDIA_TYPE);
        let (response, _) = http2.send(request.body(()).unwrap(), false).await;
        let (head, body) = whole(response).await;
        assert_eq!(head.status(), 200);
        let verdict: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(verdict["status"], status, "{target}: {verdict}");
    }
}
