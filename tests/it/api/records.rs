//! Records of messages: what they say, and how many are kept.

use std::time::Duration;

use echobeat::{ApiConfig, ServerConfig};
use echobeat_frames::{CONTINUED_LAST, PING, TEXT, TEXT_BEGUN, close_frame, frame};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{ask, ask_with, connect, serve, serve_with};
use crate::support::{Raw, TestServer, UPGRADE, config, upgrade_request};

/// A raw session at this path, whose client offers compression.
async fn compressed_session(server: &TestServer, path: &str) -> Raw {
    let mut raw = server.raw().await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    raw.send(format!("GET {path} HTTP/1.1\r\n{UPGRADE}{offer}\r\n"))
        .await;
    let head = raw.head().await;
    assert!(head.header("Sec-WebSocket-Extensions").is_some());
    raw
}

#[tokio::test]
async fn compressed_messages_are_kept_inflated() {
    /// "Hello", compressed (RFC 7692, section 7.2.3).
    const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    const RSV1: u8 = 0x40;
    let server = serve().await;
    let mut raw = compressed_session(&server, "/?id=me").await;
    let (first, rest) = HELLO.split_at(3);
    for message in [
        frame(TEXT | RSV1, HELLO),
        [frame(TEXT_BEGUN | RSV1, first), frame(CONTINUED_LAST, rest)].concat(),
    ] {
        raw.send(message).await;
        assert_eq!(raw.read(2 + HELLO.len()).await[2..], *HELLO);
    }
    let (_, batch) = ask(server.address, "GET /connections/me/messages").await;
    let found = |n: usize| {
        let message = &batch["messages"][n];
        json!([
            message["direction"],
            message["text"],
            message["bytes"],
            message["fragments"],
            message["compressed"]
        ])
    };
    for (n, expected) in [
        json!(["in", "Hello", 5, 1, true]),
        json!(["out", "Hello", 5, 1, true]),
        json!(["in", "Hello", 5, 2, true]),
        json!(["out", "Hello", 5, 1, true]),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(found(n), expected, "{batch:#}");
    }
}

#[tokio::test]
async fn control_frames_are_kept_both_ways() {
    let server = serve().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me")).await;
    raw.head().await;
    raw.send([frame(PING, b"?"), close_frame(4000, b"bye")].concat())
        .await;
    raw.rest().await;
    let (_, batch) = ask(server.address, "GET /connections/me/messages").await;
    let messages = batch["messages"].as_array().expect("a list").iter();
    let found: Vec<_> = messages
        .map(|m| json!([m["direction"], m["kind"], m["base64"], m["code"], m["text"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["in", "ping", "Pw==", null, null]),
            json!(["out", "pong", "Pw==", null, null]),
            json!(["in", "close", null, 4000, "bye"]),
            json!(["out", "close", null, 4000, "bye"]),
        ]
    );
}

#[tokio::test]
async fn pings_heart_beats_and_pushes_of_the_server_are_kept() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        heartbeat: Some(Duration::from_millis(20)),
        heartbeat_text: "beat".to_owned(),
        ..config()
    })
    .await;
    let address = server.address;
    let mut client = connect(address, "/?id=me&do=ping:20ms").await;
    assert_eq!(
        ask_with(address, "POST /connections/me", "", b"push")
            .await
            .0,
        201
    );
    // The client answers Pings as it reads.
    while client.next().await != Message::from("push") {}
    let reads = async {
        loop {
            client.next().await;
        }
    };
    let asks = async {
        for request in [
            "kind=text&direction=out&contains=beat",
            "kind=text&direction=out&contains=push",
            "kind=ping&direction=out",
            "kind=pong&direction=in",
        ] {
            let request = format!("GET /connections/me/messages?{request}&wait=20s");
            assert_eq!(ask(address, &request).await.0, 200, "{request}");
        }
    };
    tokio::select! {
        () = asks => {}
        () = reads => {}
    }
    let (_, found) = ask(address, "GET /connections/me").await;
    let round_trip = found["round_trip_ms"]
        .as_f64()
        .expect("a Ping was answered");
    assert!(round_trip > 0.0, "{found:#}");
}

#[tokio::test]
async fn a_message_over_the_bound_is_kept_without_its_content() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    client.echo("small").await;
    client.echo("x".repeat((1 << 20) + 1)).await;
    let (_, batch) = ask(server.address, "GET /connections/me/messages").await;
    assert_eq!(batch["dropped"], 0, "the others keep their room");
    let large = &batch["messages"][2];
    assert_eq!(
        (&large["bytes"], &large["kind"]),
        (&json!((1 << 20) + 1), &json!("text"))
    );
    assert_eq!(large.get("text"), None);
    assert_eq!(batch["messages"][0]["text"], "small");
}

#[tokio::test]
async fn the_messages_of_a_connection_are_bounded_in_bytes() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    client.echo("x".repeat(600 << 10)).await;
    let (_, connection) = ask(server.address, "GET /connections/me").await;
    assert_eq!(connection["messages"], json!({ "kept": 1, "dropped": 1 }));
    let (_, batch) = ask(server.address, "GET /connections/me/messages").await;
    assert_eq!(batch["dropped"], 1);
    assert_eq!(
        batch["messages"][0]["direction"], "out",
        "the oldest goes first"
    );
}

#[tokio::test]
async fn the_messages_of_all_connections_are_bounded_in_memory() {
    // A message and its echo count as 227 bytes and the content, which they share.
    let server = serve_with(ApiConfig {
        memory: 2 * 1227,
        ..ApiConfig::default()
    })
    .await;
    let mut one = connect(server.address, "/?id=one").await;
    let mut two = connect(server.address, "/?id=two").await;
    one.echo("1".repeat(1000)).await;
    two.echo("2".repeat(1000)).await;
    for (id, kept, dropped) in [("one", 2, 0), ("two", 2, 0)] {
        let (_, found) = ask(server.address, &format!("GET /connections/{id}")).await;
        let expected = json!({ "kept": kept, "dropped": dropped });
        assert_eq!(found["messages"], expected, "{id}");
    }
    two.echo("3".repeat(1000)).await;
    for (id, kept, dropped) in [("one", 0, 2), ("two", 4, 0)] {
        let request = format!("GET /connections/{id}/messages");
        let (_, batch) = ask(server.address, &request).await;
        let found = batch["messages"].as_array().expect("a list");
        assert_eq!(found.len(), kept, "{id}");
        assert_eq!(batch["dropped"], dropped, "{id}");
    }
}
