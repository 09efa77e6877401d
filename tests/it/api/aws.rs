//! The management API for WebSockets of AWS API Gateway.

use std::env;

use echobeat::{ApiConfig, ServerConfig};
use serde_json::json;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

use super::{ask, ask_with, connect, serve, serve_with, verdict};
use crate::support::{Response, TestServer, config, soon, upgrade_request};

/// The whole answer to a request without a body.
async fn answer(server: &TestServer, request: &str) -> Response {
    let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    server.ask(head).await
}

/// The exception that an SDK raises.
fn exception(answer: &Response) -> &str {
    let exception = answer.header("x-amzn-ErrorType");
    exception.unwrap_or_else(|| panic!("no exception: {answer:?}"))
}

#[tokio::test]
async fn a_connection_is_shown_posted_to_and_closed_as_by_aws() {
    let server = serve().await;
    let address = server.address;
    let mut raw = server.raw().await;
    let request = upgrade_request("/?id=L0SM9cOFvHcCIhw%3D");
    raw.send(request.replace("Host:", "User-Agent: a test\r\nHost:"))
        .await;
    raw.head().await;
    let path = "/@connections/L0SM9cOFvHcCIhw%3D";

    let (status, shown) = ask(address, &format!("GET {path}")).await;
    assert_eq!(status, 200);
    let identity = json!({ "sourceIp": "127.0.0.1", "userAgent": "a test" });
    assert_eq!(shown["identity"], identity);
    assert_eq!(shown["connectedAt"], shown["lastActiveAt"]);
    let connected_at = shown["connectedAt"].as_str().expect("a time");
    humantime::parse_rfc3339(connected_at).expect("ISO 8601");

    let post = format!("POST {path}");
    let binary = "Content-Type: application/octet-stream\r\n";
    let posted = ask_with(address, &post, binary, "h\u{e9}llo".as_bytes()).await;
    assert_eq!(posted, (200, json!(null)));
    assert_eq!(raw.read(8).await, b"\x81\x06h\xc3\xa9llo");
    let (status, refused) = ask_with(address, &post, "", b"\xff").await;
    assert_eq!(status, 400, "{refused}");

    assert_eq!(ask(address, &format!("DELETE {path}")).await.0, 204);
    assert_eq!(raw.read(4).await, b"\x88\x02\x03\xe8");
}

#[tokio::test]
async fn its_paths_may_be_escaped_and_begin_with_a_stage() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    for path in [
        "/@connections/me",
        "/%40connections/me",
        "/stage/@connections/me",
        "/stage/%40connections/me",
    ] {
        assert_eq!(ask(server.address, &format!("GET {path}")).await.0, 200);
        let posted = ask_with(server.address, &format!("POST {path}"), "", b"x").await;
        assert_eq!(posted.0, 200, "{path}");
        assert_eq!(client.next().await, Message::from("x"));
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_or_never_was_is_gone() {
    let server = serve().await;
    let client = connect(server.address, "/?id=me").await;
    assert_eq!(answer(&server, "DELETE /@connections/me").await.status, 204);
    client.expect_close().await;
    verdict(server.address, "me").await;
    for id in ["me", "nobody"] {
        for method in ["GET", "POST", "DELETE"] {
            let gone = answer(&server, &format!("{method} /@connections/{id}")).await;
            assert_eq!(gone.status, 410, "{method} {id}");
            assert_eq!(exception(&gone), "GoneException");
            assert!(gone.body.contains("\"message\":"), "{}", gone.body);
        }
    }
}

#[tokio::test]
async fn every_refusal_is_an_exception() {
    let server = serve().await;
    for (request, status, name) in [
        ("PUT /@connections/me", 405, "BadRequestException"),
        ("GET /@connections/%ff", 400, "BadRequestException"),
    ] {
        let refused = answer(&server, request).await;
        assert_eq!(refused.status, status, "{request}");
        assert_eq!(exception(&refused), name, "{request}");
    }
    let foreign = "GET /@connections/me HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let refused = server.ask(foreign).await;
    assert_eq!(
        (refused.status, exception(&refused)),
        (403, "ForbiddenException")
    );
    let server = serve_with(ApiConfig {
        token: Some("secret".parse().unwrap()),
        ..ApiConfig::default()
    })
    .await;
    let refused = answer(&server, "GET /@connections/me").await;
    assert_eq!(
        (refused.status, exception(&refused)),
        (401, "ForbiddenException")
    );
}

/// The answer to a post of so many bytes.
async fn post(server: &TestServer, bytes: usize) -> Response {
    let mut raw = server.raw().await;
    let head = format!(
        "POST /@connections/me HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n"
    );
    raw.send([head.into_bytes(), vec![b'x'; bytes]].concat())
        .await;
    raw.response().await
}

#[tokio::test]
async fn a_message_has_at_most_as_much_as_aws_takes_or_this_server() {
    let server = serve().await;
    let _client = connect(server.address, "/?id=me").await;
    assert_eq!(post(&server, 128 << 10).await.status, 200);
    let refused = post(&server, (128 << 10) + 1).await;
    assert_eq!(refused.status, 413);
    assert_eq!(exception(&refused), "PayloadTooLargeException");

    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        max_message_size: 4,
        ..config()
    })
    .await;
    let _client = connect(server.address, "/?id=me").await;
    assert_eq!(post(&server, 4).await.status, 200);
    assert_eq!(post(&server, 5).await.status, 413);
}

#[tokio::test]
async fn a_peer_that_does_not_read_exceeds_its_limit() {
    let server = serve().await;
    let _deaf = connect(server.address, "/?id=me").await;
    let exceeded = async {
        loop {
            let answer = post(&server, 128 << 10).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let exceeded = soon(exceeded).await;
    assert_eq!(exceeded.status, 429, "{}", exceeded.body);
    assert_eq!(exception(&exceeded), "LimitExceededException");
}

#[tokio::test]
#[ignore = "needs Python with boto3, as in tests/clients/requirements.txt, at $PYTHON or python3"]
async fn the_sdk_of_aws_works_with_it() {
    for (token, stage) in [("", ""), ("", "/stage"), ("secret", "")] {
        let server = serve_with(ApiConfig {
            token: (!token.is_empty()).then(|| token.parse().unwrap()),
            ..ApiConfig::default()
        })
        .await;
        let id = "L0SM9c/\u{e9}=";
        let mut client = connect(server.address, "/?id=L0SM9c%2F%C3%A9%3D").await;
        let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let sdk = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/aws.py"))
            .arg(format!("http://{}{stage}", server.address))
            .args([id, token])
            .kill_on_drop(true)
            .output();
        let (output, ()) = tokio::join!(soon(sdk), async {
            assert_eq!(client.next().await, Message::from("h\u{e9}llo"));
            let close = client.expect_close().await.expect("a code");
            assert_eq!(u16::from(close.code), 1000);
        });
        let output = output.expect("Python runs");
        assert!(output.status.success(), "{stage:?} {token:?}: {output:?}");
    }
}
