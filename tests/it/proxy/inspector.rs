//! The API of the proxy: tunnels, their messages, and their ends.

use std::net::SocketAddr;

use echobeat::{ApiConfig, ProxyConfig};
use echobeat_frames::{
    CLOSE, close_frame, frame, server_frame, split_frame, text_echo, text_frame,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::{ACCEPTED, Stub, TestProxy, to};
use crate::api::{ask, ask_with, verdict};
use crate::http2;
use crate::support::{Raw, TestServer, UPGRADE, soon, upgrade_request};

/// "Hello", compressed (RFC 7692, section 7.2.3.1).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// A proxy with an API on an address of its own, and that address.
async fn inspected(upstream: SocketAddr, steps: &str) -> (TestProxy, SocketAddr) {
    let proxy = TestProxy::start(ProxyConfig {
        scenario: steps.parse().unwrap(),
        h2c: true,
        api: Some(ApiConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..ApiConfig::default()
        }),
        ..to(&format!("http://{upstream}"))
    })
    .await;
    let api = proxy.api.expect("an address of its own");
    (proxy, api)
}

/// The ends of a tunnel of this name.
async fn tunnel(stub: &Stub, proxy: &TestProxy, id: &str) -> (Raw, Raw) {
    let mut client = proxy.raw().await;
    client
        .send(upgrade_request(&format!("/a?b&echobeat-id={id}")))
        .await;
    let (mut upstream, head) = stub.accept().await;
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    upstream.send(ACCEPTED).await;
    let head = client.head().await;
    assert_eq!(
        (head.status, head.header("Echobeat-Tunnel")),
        (101, Some(id))
    );
    (client, upstream)
}

/// Reads a masked frame, and returns it without its mask.
async fn unmasked(upstream: &mut Raw) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        bytes.push(soon(upstream.stream.read_u8()).await.expect("a frame"));
        if let Some((frame, _)) = split_frame(&bytes) {
            return server_frame(frame.header.first, &frame.unmasked());
        }
    }
}

/// Direction, kind and text of each message of a tunnel, as they are shown.
async fn messages(api: SocketAddr, id: &str) -> Vec<[String; 3]> {
    let (status, answer) = ask(api, &format!("GET /connections/{id}/messages")).await;
    assert_eq!(status, 200, "{answer}");
    let messages = answer["messages"].as_array().unwrap();
    let shown = |message: &Value| {
        ["direction", "kind", "text"].map(|name| message[name].as_str().unwrap_or("").to_owned())
    };
    messages.iter().map(shown).collect()
}

#[tokio::test]
async fn tunnels_are_listed_with_the_messages_of_both_directions() {
    let stub = Stub::start().await;
    let (proxy, api) = inspected(stub.address, "").await;
    let mut client = proxy.raw().await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\nCookie: a=b\r\n";
    client
        .send(format!(
            "GET /x?echobeat-id=me HTTP/1.1\r\n{UPGRADE}{offer}\r\n"
        ))
        .await;
    let (mut upstream, _) = stub.accept().await;
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let line = format!("\r\nSec-WebSocket-Extensions: {agreed}\r\n\r\n");
    upstream.send(ACCEPTED.replace("\r\n\r\n", &line)).await;
    assert_eq!(client.head().await.status, 101);

    let waiting = tokio::spawn(async move {
        ask(api, "GET /connections/me/messages?direction=out&wait=20s").await
    });
    client.send(frame(0xc1, HELLO)).await;
    assert_eq!(unmasked(&mut upstream).await, server_frame(0xc1, HELLO));
    upstream
        .send(
            [
                server_frame(0x41, &HELLO[..3]),
                server_frame(0x80, &HELLO[3..]),
            ]
            .concat(),
        )
        .await;
    client.read(11).await;
    let (status, waited) = soon(waiting).await.unwrap();
    let message = &waited["messages"][0];
    assert_eq!(
        (status, message["text"].as_str()),
        (200, Some("Hello")),
        "{waited}"
    );
    assert_eq!(
        (&message["fragments"], &message["compressed"]),
        (&json!(2), &json!(true))
    );
    let expected = [["in", "text", "Hello"], ["out", "text", "Hello"]];
    assert_eq!(
        messages(api, "me").await,
        expected.map(|it| it.map(str::to_owned))
    );
    let (_, shown) = ask(api, "GET /connections/me").await;
    assert_eq!(
        (&shown["path"], &shown["extensions"]),
        (&json!("/x"), &json!(agreed))
    );
    assert!(!shown["headers"].to_string().contains("a=b"), "{shown}");
    assert_eq!(
        (&shown["state"], &shown["end"]),
        (&json!("open"), &Value::Null)
    );
}

#[tokio::test]
async fn messages_are_put_in_for_either_side() {
    let stub = Stub::start().await;
    let (proxy, api) = inspected(stub.address, "").await;
    let (mut client, mut upstream) = tunnel(&stub, &proxy, "me").await;
    let delivered = (201, json!({ "delivered": 1, "skipped": 0 }));
    // Not in the middle of a message.
    upstream.send(b"\x01\x01a").await;
    assert_eq!(client.read(3).await, b"\x01\x01a");
    for text in [b"down", b"next"] {
        let posted = ask_with(api, "POST /connections/me", "", text).await;
        assert_eq!(posted, delivered);
    }
    upstream.send(b"\x80\x01b").await;
    let expected = [b"\x80\x01b".to_vec(), text_echo("down"), text_echo("next")].concat();
    assert_eq!(client.read(expected.len()).await, expected);
    let binary = "Content-Type: application/octet-stream\r\n";
    let request = "POST /connections/me?to=upstream";
    assert_eq!(ask_with(api, request, binary, b"up").await, delivered);
    assert_eq!(unmasked(&mut upstream).await, server_frame(0x82, b"up"));
    let seen: Vec<_> = messages(api, "me")
        .await
        .into_iter()
        .map(|it| it.join(" "))
        .collect();
    assert_eq!(
        seen,
        [
            "out text ab",
            "out text down",
            "out text next",
            "in binary "
        ]
    );
    let (status, _) = ask(api, "POST /connections/me?to=nowhere").await;
    assert_eq!(status, 400);

    let server = crate::api::serve().await;
    let (status, error) = ask(server.address, "POST /connections?to=upstream").await;
    assert_eq!(status, 400, "{error}");
}

#[tokio::test]
async fn either_side_is_closed_with_a_code() {
    let stub = Stub::start().await;
    let (proxy, api) = inspected(stub.address, "").await;
    let close = server_frame(CLOSE, b"\x0f\xa1bye");
    let (mut client, mut upstream) = tunnel(&stub, &proxy, "down").await;
    let request = "DELETE /connections/down?code=4001&reason=bye";
    assert_eq!(ask(api, request).await.0, 204);
    assert_eq!(client.read(close.len()).await, close);
    client.send(close_frame(4001, b"bye")).await;
    assert_eq!(unmasked(&mut upstream).await, close);
    drop(upstream);
    assert!(client.rest().await.is_empty());

    let (mut client, mut upstream) = tunnel(&stub, &proxy, "up").await;
    let request = "DELETE /connections/up?code=4001&reason=bye&to=upstream";
    assert_eq!(ask(api, request).await.0, 204);
    assert_eq!(unmasked(&mut upstream).await, close);
    upstream.send(&close).await;
    drop(upstream);
    assert_eq!(client.read(close.len()).await, close);
    assert!(client.rest().await.is_empty());
    for id in ["down", "up"] {
        let end = &verdict(api, id).await["end"];
        let seen = ["why", "by", "code", "clean"].map(|name| end[name].clone());
        assert_eq!(
            seen,
            [json!("api"), json!("proxy"), json!(4001), json!(true)],
            "{end}"
        );
    }

    let (client, upstream) = tunnel(&stub, &proxy, "cut").await;
    assert_eq!(ask(api, "DELETE /connections/cut?how=rst").await.0, 204);
    for mut side in [client, upstream] {
        let end = soon(side.stream.read_to_end(&mut Vec::new())).await;
        assert!(end.is_err(), "a reset");
    }
    assert_eq!(ask(api, "POST /connections/cut").await.0, 410);
}

#[tokio::test]
async fn the_api_says_who_ended_a_tunnel() {
    let stub = Stub::start().await;
    let (proxy, api) = inspected(stub.address, "fin@1msg").await;
    for (id, by, why, code) in [
        ("client", "client", "closed", 1006),
        ("upstream", "upstream", "closed", 4001),
        ("reset", "upstream", "lost", 1006),
        ("step", "proxy", "fault", 1006),
    ] {
        let (client, mut upstream) = tunnel(&stub, &proxy, id).await;
        match id {
            "client" => {
                drop(client);
                assert!(upstream.rest().await.is_empty());
            }
            "upstream" => {
                upstream.send(server_frame(CLOSE, b"\x0f\xa1")).await;
                drop(upstream);
                client.rest().await;
            }
            "reset" => {
                upstream.stream.set_zero_linger().unwrap();
                drop(upstream);
            }
            _ => {
                upstream.send(text_echo("a")).await;
                assert_eq!(client.rest().await, text_echo("a"));
            }
        }
        let end = &verdict(api, id).await["end"];
        let seen = ["by", "why", "code"].map(|name| end[name].clone());
        assert_eq!(seen, [json!(by), json!(why), json!(code)], "{end}");
    }
}

#[tokio::test]
async fn streams_of_http2_are_tunnels_of_their_own() {
    let server = TestServer::start().await;
    let (proxy, api) = inspected(server.address, "").await;
    let mut http2 = http2::connect(proxy.address).await;
    let mut raw = http2.stream_at("/?echobeat-id=two").await.raw();
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
    let seen: Vec<_> = messages(api, "two")
        .await
        .into_iter()
        .map(|it| it.join(" "))
        .collect();
    assert_eq!(seen, ["in text hello", "out text hello"]);
    raw.send(close_frame(1000, b"")).await;
    raw.expect_close(1000).await;
    let end = verdict(api, "two").await;
    assert_eq!(
        (&end["end"]["by"], &end["end"]["clean"]),
        (&json!("client"), &json!(true))
    );
    assert_eq!(end["transport"]["http"], "2");
}

#[tokio::test]
async fn an_api_on_every_address_has_its_paths_and_on_its_own_they_are_forwarded() {
    let server = TestServer::start().await;
    let (proxy, _) = inspected(server.address, "").await;
    let request = "GET /connections HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(proxy.ask(request).await.status, 404);
    let proxy = TestProxy::start(ProxyConfig {
        h2c: true,
        api: Some(ApiConfig {
            token: Some("secret".parse().unwrap()),
            ..ApiConfig::default()
        }),
        ..to(&format!("http://{}", server.address))
    })
    .await;
    assert_eq!(proxy.ask(request).await.status, 401);
    let token = "Authorization: Bearer secret\r\n";
    let (status, list) = ask_with(proxy.address, "GET /connections", token, b"").await;
    assert_eq!((status, &list["total"]), (200, &json!(0)));
    let (answer, _) = http2::connect(proxy.address)
        .await
        .ask(hyper::Method::GET, "/connections")
        .await;
    assert_eq!(answer.status(), 401);
    let health = proxy
        .ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(health.status, 200);
}
