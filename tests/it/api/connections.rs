//! Connections and their verdicts.

use echobeat::ApiConfig;
use echobeat_frames::{PING, PONG, close_frame, frame, text_echo, text_frame};
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{ask, ask_with, connect, serve, serve_with, verdict};
use crate::support::{Raw, TestServer, soon, upgrade_request};

#[tokio::test]
async fn a_connection_has_the_name_and_the_topics_of_its_url() {
    let server = serve().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/ws?id=caf%C3%A9&topic=a&topic=b%20c"))
        .await;
    let head = raw.head().await;
    assert_eq!(head.header("Echobeat-Connection"), Some("caf\u{e9}"));
    let (status, found) = ask(server.address, "GET /connections/caf%C3%A9").await;
    assert_eq!(status, 200);
    assert_eq!(found["id"], "caf\u{e9}");
    assert_eq!(found["topics"], json!(["a", "b c"]));
    assert_eq!(
        (&found["path"], &found["state"]),
        (&json!("/ws"), &json!("open"))
    );
    assert_eq!(found["query"], "id=caf%C3%A9&topic=a&topic=b%20c");
    assert_eq!(found["headers"][0], json!(["host", "localhost"]));
    assert_eq!(found["transport"]["http"], "1.1");
    assert_eq!(found["end"], json!(null));
    for (query, count) in [
        ("topic=a", 1),
        ("topic=c", 0),
        ("path=/ws", 1),
        ("path=/", 0),
        ("state=closed", 0),
        ("state=open&topic=b+c", 1),
    ] {
        let (_, list) = ask(server.address, &format!("GET /connections?{query}")).await;
        let found = list["connections"].as_array().expect("a list").len();
        assert_eq!(found, count, "{query}");
    }
}

#[tokio::test]
async fn a_connection_without_a_name_gets_one_and_is_told_of_it() {
    let server = serve().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?do=who")).await;
    let head = raw.head().await;
    let id = head.header("Echobeat-Connection").expect("a name");
    let (status, found) = ask(server.address, &format!("GET /connections/{id}")).await;
    assert_eq!((status, &found["id"]), (200, &json!(id)));
    let (_, messages) = ask(
        server.address,
        &format!("GET /connections/{id}/messages?wait=20s"),
    )
    .await;
    let who = messages["messages"][0]["text"].as_str().expect("a text");
    assert!(who.contains(&format!(r#""id":"{id}""#)), "{who}");
}

#[tokio::test]
async fn without_an_api_there_is_no_name_and_no_list() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me")).await;
    assert_eq!(raw.head().await.header("Echobeat-Connection"), None);
    assert_eq!(
        server
            .ask("GET /connections HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn connections_are_waited_for() {
    let server = serve().await;
    let address = server.address;
    let enough = ask(address, "GET /connections?topic=t&count=2&wait=20s");
    let ((status, list), _clients) = tokio::join!(enough, async {
        [
            connect(address, "/?topic=t").await,
            connect(address, "/?topic=t").await,
        ]
    });
    assert_eq!(status, 200);
    assert_eq!(list["connections"].as_array().expect("a list").len(), 2);
    let (status, list) = ask(address, "GET /connections?topic=t&count=3&wait=1ms").await;
    assert_eq!(status, 408);
    assert_eq!(list["connections"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn the_verdict_says_who_closed_first_and_how() {
    let server = serve().await;
    let client = connect(server.address, "/?id=first").await;
    let frame = CloseFrame {
        code: 4000.into(),
        reason: "done".into(),
    };
    client.close(frame).await;
    let found = verdict(server.address, "first").await;
    let close = json!({ "code": 4000, "reason": "done" });
    assert_eq!(
        found["close"],
        json!({ "first": "peer", "received": close, "sent": close })
    );
    let end = &found["end"];
    assert_eq!(
        (&end["why"], &end["clean"]),
        (&json!("closed"), &json!(true))
    );
    assert_eq!((&end["code"], &end["tcp"]), (&json!(4000), &json!("fin")));
}

#[tokio::test]
async fn the_verdict_says_how_tcp_ended() {
    let server = serve().await;
    for (id, resets) in [("fin", false), ("rst", true)] {
        let mut raw = server.raw().await;
        raw.send(upgrade_request(&format!("/?id={id}"))).await;
        raw.head().await;
        if resets {
            raw.stream.set_zero_linger().expect("a socket");
        }
        drop(raw);
        let found = verdict(server.address, id).await;
        assert_eq!(found["end"]["tcp"], id, "{found}");
        assert_eq!(found["end"]["clean"], false);
        assert_eq!(found["close"]["first"], json!(null));
    }
}

#[tokio::test]
async fn frames_and_messages_are_counted_each_way() {
    let server = serve().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=me")).await;
    raw.head().await;
    let fragments = [frame(0x01, b"ab"), frame(PING, b"?"), frame(0x80, b"c")];
    raw.send([text_frame("hello"), fragments.concat()].concat())
        .await;
    let pong = [&[PONG, 1][..], b"?"].concat();
    let echoes = [text_echo("hello"), pong, text_echo("abc")].concat();
    assert_eq!(raw.read(echoes.len()).await, echoes);
    raw.send(close_frame(1000, b"")).await;
    raw.rest().await;
    let found = verdict(server.address, "me").await;
    assert_eq!(
        found["received"],
        json!({ "messages": 2, "frames": 5, "fragments": 2, "control_frames": 2, "bytes": 8 })
    );
    assert_eq!(
        found["sent"],
        json!({ "messages": 2, "frames": 4, "fragments": 0, "control_frames": 2, "bytes": 8 })
    );
}

#[tokio::test]
async fn a_connection_is_closed_with_a_code_and_is_gone_then() {
    let server = serve().await;
    let client = connect(server.address, "/?id=me").await;
    let request = "DELETE /connections/me?code=4001&reason=so%20long";
    let (status, nothing) = ask(server.address, request).await;
    assert_eq!((status, nothing), (204, json!(null)));
    let close = client.expect_close().await.expect("a code");
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (4001, "so long")
    );
    let found = verdict(server.address, "me").await;
    assert_eq!(
        (&found["end"]["why"], &found["end"]["clean"]),
        (&json!("api"), &json!(true))
    );
    assert_eq!(found["close"]["first"], "server");
    assert_eq!(ask(server.address, request).await.0, 410);
    assert_eq!(
        ask_with(server.address, "POST /connections/me", "", b"x")
            .await
            .0,
        410
    );
}

#[tokio::test]
async fn a_connection_is_cut_by_fin_or_by_reset() {
    let server = serve().await;
    for how in ["fin", "rst"] {
        let mut raw = server.raw().await;
        raw.send(upgrade_request(&format!("/?id={how}"))).await;
        raw.head().await;
        let request = format!("DELETE /connections/{how}?how={how}");
        assert_eq!(ask(server.address, &request).await.0, 204);
        let mut byte = [0];
        let read = soon(tokio::io::AsyncReadExt::read(&mut raw.stream, &mut byte)).await;
        match how {
            "fin" => assert_eq!(read.expect("an orderly end"), 0),
            _ => assert!(read.is_err(), "{read:?}"),
        }
        drop(raw);
        let found = verdict(server.address, how).await;
        assert_eq!(
            (&found["end"]["tcp"], &found["end"]["why"]),
            (&json!(how), &json!("api"))
        );
    }
}

#[tokio::test]
async fn closed_connections_are_forgotten_in_their_order() {
    let server = serve_with(ApiConfig {
        keep_closed: 1,
        ..ApiConfig::default()
    })
    .await;
    for id in ["one", "two"] {
        let client = connect(server.address, &format!("/?id={id}")).await;
        client
            .close(CloseFrame {
                code: 1000.into(),
                reason: "".into(),
            })
            .await;
        verdict(server.address, id).await;
    }
    assert_eq!(ask(server.address, "GET /connections/one").await.0, 410);
    assert_eq!(ask(server.address, "GET /connections/two").await.0, 200);
    assert_eq!(ask(server.address, "GET /connections/three").await.0, 404);
}

#[tokio::test]
async fn a_drain_ends_what_is_waited_for() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    let mut raw = Raw::connect(server.address).await;
    raw.send(
        "POST /topics/t?wait=1h HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\
         Expect: 100-continue\r\n\r\n",
    )
    .await;
    assert_eq!(raw.head().await.status, 100, "the request is under way");
    raw.send("x").await;
    let mut waits = Vec::new();
    for request in [
        "/connections?topic=t&wait=1h",
        "/connections?id=me&state=closed&wait=1h",
        "/connections/me/messages?contains=never&wait=1h",
    ] {
        let mut wait = Raw::connect(server.address).await;
        let head = "HTTP/1.1\r\nHost: localhost\r\n\r\n";
        wait.send(format!("GET /topics {head}GET {request} {head}"))
            .await;
        assert_eq!(wait.response().await.status, 200);
        waits.push((request, wait));
    }
    // In the time of some echoes the server has come to the second requests, which came with the first.
    for _ in 0..10 {
        client.echo("round").await;
    }
    let running = server.stop();
    waits.push(("POST", raw));
    for (request, mut wait) in waits {
        let answer = wait.response().await;
        assert_eq!(answer.status, 503, "{request}: {}", answer.body);
        assert!(answer.body.contains("shutting down"), "{}", answer.body);
    }
    soon(running).await.expect("it ends");
}
