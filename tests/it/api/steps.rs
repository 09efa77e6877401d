//! PATCH: faults that change in a session that has begun.

use std::net::SocketAddr;

use echobeat::{ApiConfig, Compression, ServerConfig};
use echobeat_frames::{close_frame, frame, server_frame, text_echo, text_frame};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::{Duration, Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::{ask, ask_with, connect, serve, verdict};
use crate::http2;
use crate::proxy::TestProxy;
use crate::support::{Raw, TestServer, UPGRADE, config, soon, upgrade_request};

/// Changes the steps of a connection.
async fn change(address: SocketAddr, id: &str, steps: &str) -> (u16, Value) {
    let body = json!({ "do": steps }).to_string();
    let request = format!("PATCH /connections/{id}");
    ask_with(address, &request, "", body.as_bytes()).await
}

#[tokio::test]
async fn an_ordinary_session_misbehaves_and_behaves_again() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    client.echo("before").await;
    let shown = json!({ "do": "reply:ping=pong,duplicate" });
    let answer = change(server.address, "me", " reply:ping=pong, duplicate").await;
    assert_eq!(answer, (200, shown));
    client.send("ping").await;
    assert_eq!(client.next().await, "pong".into());
    assert_eq!(client.next().await, "pong".into());
    for steps in ["fragment:1,drop:100%", "echo:off", ""] {
        assert_eq!(change(server.address, "me", steps).await.0, 200);
        client.send("hello").await;
        client.send(Message::Ping("?".into())).await;
        let expected = match steps {
            "" => Message::from("hello"),
            _ => Message::Pong("?".into()),
        };
        assert_eq!(client.next().await, expected, "{steps}");
    }
    let close = change(server.address, "me", "close:4001:bye@2msg").await;
    assert_eq!(close.0, 200);
    assert_eq!(client.next().await, Message::Pong("?".into()));
    client.echo("one").await;
    client.echo("two").await;
    let frame = client.expect_close().await.expect("a code");
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (4001, "bye")
    );
    let end = verdict(server.address, "me").await;
    assert_eq!(
        (&end["end"]["why"], &end["received"]["messages"]),
        (&json!("fault"), &json!(7))
    );
    assert_eq!(change(server.address, "me", "").await.0, 410);
}

#[tokio::test]
async fn times_count_from_the_change_and_heart_beats_begin_anew() {
    let server = serve().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me&do=deaf")).await;
    assert_eq!(raw.head().await.status, 101);
    raw.send(text_frame("unheard")).await;
    let steps = "beat:20ms,say:hi";
    assert_eq!(change(server.address, "me", steps).await.0, 200);
    assert_eq!(raw.read(9).await, text_echo("unheard"));
    assert_eq!(raw.read(8).await, text_echo("hi").repeat(2));
    let begun = Instant::now();
    assert_eq!(change(server.address, "me", "rst@100ms").await.0, 200);
    let mut rest = Vec::new();
    let end = soon(raw.stream.read_to_end(&mut rest)).await;
    assert!(end.is_err() && begun.elapsed() >= Duration::from_millis(100));
    let beats = text_echo("hi").repeat(rest.len() / 4);
    assert_eq!(rest, beats);
}

#[tokio::test]
async fn what_was_begun_is_finished_and_takeover_goes_on() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        compression: Compression::Takeover,
        ..config()
    })
    .await;
    let mut raw = server.raw().await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    raw.send(format!("GET /?id=me HTTP/1.1\r\n{UPGRADE}{offer}\r\n"))
        .await;
    assert_eq!(raw.head().await.status, 101);
    // "Hello", and then by reference to it (RFC 7692, section 7.2.3.2).
    raw.send(frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")).await;
    assert_eq!(
        raw.read(9).await,
        server_frame(0xc1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")
    );
    // A message that has come in part.
    raw.send(b"\x41\x82\0\0\0\0\xf2\x00").await;
    assert_eq!(change(server.address, "me", "fragment:1KiB").await.0, 200);
    raw.send(b"\x80\x83\0\0\0\0\x11\x00\x00").await;
    let mut header = raw.read(2).await;
    assert_eq!(header[0], 0xc1);
    let payload = raw.read(header.pop().unwrap().into()).await;
    let (status, answer) = ask(server.address, "GET /connections/me/messages").await;
    assert_eq!(status, 200);
    let messages = answer["messages"].as_array().unwrap();
    assert!(messages.iter().all(|it| it["text"] == "Hello"), "{answer}");
    assert_eq!(messages.len(), 4);
    assert!(!payload.is_empty());
    raw.send(close_frame(1000, b"")).await;
    raw.expect_close(1000).await;
}

#[tokio::test]
async fn streams_of_http2_and_drains_are_as_before() {
    let server = http2::serve(ServerConfig {
        api: Some(ApiConfig::default()),
        ..config()
    })
    .await;
    let address = server.address;
    let mut client = http2::connect(address).await;
    let mut raw = client.stream_at("/?id=two").await.raw();
    assert_eq!(change(address, "two", "duplicate").await.0, 200);
    raw.send(text_frame("a")).await;
    assert_eq!(raw.read(6).await, text_echo("a").repeat(2));
    let running = server.stop();
    let header = raw.read(2).await;
    let close = raw.read(header[1].into()).await;
    assert_eq!(
        (header[0], &close[..2]),
        (0x88, &1001_u16.to_be_bytes()[..])
    );
    raw.send(close_frame(1001, b"")).await;
    assert!(raw.rest().await.is_empty());
    drop(client);
    soon(running).await.unwrap();
}

#[tokio::test]
async fn steps_that_come_too_late_or_are_wrong_are_refused_and_change_nothing() {
    let server = serve().await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(upgrade_request("/?id=me")).await;
    raw.head().await;
    for (body, sentence) in [
        (r#"{"do":"who"}"#, "The step who is about the handshake"),
        (
            r#"{"do":"refuse:503"}"#,
            "The step refuse is about the handshake",
        ),
        (
            r#"{"do":"rst@2x"}"#,
            "The step rst is limited to some connections",
        ),
        (r#"{"do":"nothing"}"#, "There is no step \"nothing\""),
        (r#"{"do":1}"#, "The body is the steps as JSON"),
        (r#"{"do":"","x":1}"#, "The body is the steps as JSON"),
        ("rst", "The body is the steps as JSON"),
    ] {
        let request = "PATCH /connections/me";
        let (status, error) = ask_with(server.address, request, "", body.as_bytes()).await;
        assert_eq!(status, 400, "{body}");
        let error = error["error"].as_str().unwrap();
        assert!(error.starts_with(sentence), "{error}");
    }
    assert_eq!(change(server.address, "nobody", "").await.0, 404);
    let large = "x".repeat(70_000);
    let request = "PATCH /connections/me";
    let (status, error) = ask_with(server.address, request, "", large.as_bytes()).await;
    let error = error["error"].as_str().unwrap();
    assert_eq!(
        (status, error),
        (413, "The body may have 65536 bytes; this one has more.")
    );
    raw.send(text_frame("a")).await;
    assert_eq!(raw.read(3).await, text_echo("a"));
    let nothing = timeout(Duration::from_millis(50), raw.stream.read_u8()).await;
    assert!(nothing.is_err(), "{nothing:?}");

    let proxy = TestProxy::before_with_api(server.address).await;
    let mut raw = Raw::connect(proxy.address).await;
    raw.send(upgrade_request("/?echobeat-id=me")).await;
    raw.head().await;
    assert_eq!(change(proxy.address, "me", "rst").await.0, 400);
}
