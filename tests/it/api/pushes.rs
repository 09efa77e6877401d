//! Pushes to connections, to topics, and to all.

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{ask, ask_with, connect, serve};
use crate::http2;
use crate::http2::client::whole;
use crate::support::soon;

const BINARY: &str = "Content-Type: application/octet-stream\r\n";

pub(super) fn delivered(delivered: u64, skipped: u64) -> Value {
    json!({ "delivered": delivered, "skipped": skipped })
}

#[tokio::test]
async fn a_push_reaches_its_receivers_and_nobody_else() {
    let server = serve().await;
    let address = server.address;
    let mut one = connect(address, "/?id=one&topic=a").await;
    let mut two = connect(address, "/?id=two&topic=a&topic=b").await;
    for (path, headers, text, count) in [
        ("/connections/one", "", "to one", 1),
        ("/topics/a", "", "to a", 2),
        ("/topics/b", BINARY, "to b", 1),
        ("/connections", "", "to all", 2),
    ] {
        let request = format!("POST {path}");
        let posted = ask_with(address, &request, headers, text.as_bytes()).await;
        assert_eq!(posted, (201, delivered(count, 0)), "{path}");
    }
    for text in ["to one", "to a", "to all"] {
        assert_eq!(one.next().await, Message::from(text));
    }
    assert_eq!(two.next().await, Message::from("to a"));
    assert_eq!(two.next().await, Message::from(b"to b".to_vec()));
    assert_eq!(two.next().await, Message::from("to all"));
    one.echo("still echoes").await;
    let topics = ask(address, "GET /topics").await;
    let a = json!({ "topic": "a", "subscribers": 2, "messages": 1 });
    let b = json!({ "topic": "b", "subscribers": 1, "messages": 1 });
    assert_eq!(
        topics,
        (200, json!({ "topics": [a, b], "next": null, "total": 2 }))
    );
    assert_eq!(ask(address, "GET /topics/a").await, (200, a));
}

#[tokio::test]
async fn a_push_to_nobody_is_accepted_and_says_so() {
    let server = serve().await;
    let address = server.address;
    for path in ["/connections", "/topics/t", "/topics/t?wait=1ms"] {
        let posted = ask_with(address, &format!("POST {path}"), "", b"x").await;
        assert_eq!(posted, (202, delivered(0, 0)), "{path}");
    }
    assert_eq!(
        ask_with(address, "POST /connections/me", "", b"x").await.0,
        404
    );
}

#[tokio::test]
async fn a_push_waits_for_its_first_receiver() {
    let server = serve().await;
    let address = server.address;
    for path in ["/topics/t?wait=20s", "/connections/me?wait=20s"] {
        let request = format!("POST {path}");
        let push = ask_with(address, &request, "", b"hello");
        let (posted, mut client) = tokio::join!(push, async {
            let mut client = connect(address, "/?id=me&topic=t").await;
            assert_eq!(client.next().await, Message::from("hello"));
            client
        });
        assert_eq!(posted, (201, delivered(1, 0)));
        client.echo("x").await;
        let gone = ask(address, "DELETE /connections/me").await;
        assert_eq!(gone.0, 204);
        client.expect_close().await;
    }
}

#[tokio::test]
async fn pushes_come_in_the_order_in_which_they_were_posted() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    for n in 0..50 {
        client.send(format!("message {n}")).await;
        let push = format!("push {n}");
        let posted = ask_with(server.address, "POST /connections/me", "", push.as_bytes()).await;
        assert_eq!(posted.0, 201);
    }
    let (mut messages, mut pushes) = (0, 0);
    while messages < 50 || pushes < 50 {
        let text = client.next().await.into_text().expect("a text");
        let counter = match text.starts_with("push") {
            true => &mut pushes,
            false => &mut messages,
        };
        assert!(text.ends_with(&format!(" {counter}")), "{text}");
        *counter += 1;
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_skipped() {
    let server = serve().await;
    let _deaf = connect(server.address, "/?id=deaf").await;
    let large = vec![b'x'; 1 << 20];
    let mut posted = 0;
    let skipped = async {
        while ask_with(server.address, "POST /connections/deaf", "", &large)
            .await
            .1
            == delivered(1, 0)
        {
            posted += 1;
        }
    };
    soon(skipped).await;
    assert!(posted > 0);
    let (_, connection) = ask(server.address, "GET /connections/deaf").await;
    assert_eq!(connection["skipped"], 1);
    let cut = ask(server.address, "DELETE /connections/deaf?how=rst").await;
    assert_eq!(cut.0, 204);
    super::verdict(server.address, "deaf").await;
}

#[tokio::test]
async fn the_api_is_served_over_http2_too() {
    let server = http2::serve(echobeat::ServerConfig {
        api: Some(echobeat::ApiConfig::default()),
        ..crate::support::config()
    })
    .await;
    let mut h2 = http2::connect(server.address).await;
    let mut session = h2.stream_at("/?id=me").await.raw();
    let request = Request::post("http://localhost/connections/me")
        .body(())
        .unwrap();
    let (response, mut body) = h2.send(request, true).await;
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let (head, body) = whole(response).await;
    assert_eq!(head.status(), 201, "{body}");
    let pushed = session.read(7).await;
    assert_eq!(pushed, b"\x81\x05hello");
    let (head, body) = h2.ask(Method::GET, "/connections/me").await;
    let found: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (head.status().as_u16(), &found["transport"]["http"]),
        (200, &json!("2"))
    );
    let (head, body) = h2.ask(Method::DELETE, "/connections/me?how=rst").await;
    assert_eq!((head.status().as_u16(), &*body), (204, ""));
    let (head, _) = h2.ask(Method::GET, "/connections/nobody").await;
    assert_eq!(head.status(), 404);
}

#[tokio::test]
async fn the_pushes_of_each_of_several_posters_stay_in_order() {
    const POSTERS: usize = 4;
    const PUSHES: usize = 25;
    let server = serve().await;
    let address = server.address;
    let mut client = connect(address, "/?id=me&topic=t").await;
    let posters = (0..POSTERS).map(|poster| async move {
        for n in 0..PUSHES {
            let path = ["/connections/me", "/topics/t", "/connections"][n % 3];
            let push = format!("{poster} {n}");
            let posted = ask_with(address, &format!("POST {path}"), "", push.as_bytes()).await;
            assert_eq!(posted, (201, delivered(1, 0)), "{push}");
        }
    });
    let received = async {
        let mut received = Vec::new();
        while received.len() < POSTERS * PUSHES {
            let text = client.next().await.into_text().expect("a text");
            received.push(text.to_string());
        }
        received
    };
    let (_, received) = tokio::join!(join_all(posters), received);
    for poster in 0..POSTERS {
        let own = format!("{poster} ");
        let found = received.iter().filter(|text| text.starts_with(&own));
        let expected = (0..PUSHES).map(|n| format!("{poster} {n}"));
        assert!(
            found.eq(expected.collect::<Vec<_>>().iter()),
            "{received:?}"
        );
    }
    let (_, batch) = ask(address, "GET /connections/me/messages?direction=out").await;
    let kept = batch["messages"].as_array().expect("a list").iter();
    let kept: Vec<_> = kept.map(|m| m["text"].as_str().expect("a text")).collect();
    assert_eq!(
        kept, received,
        "they are kept in the order in which they were sent"
    );
}

#[tokio::test]
async fn a_topic_is_there_while_somebody_is_subscribed() {
    let server = serve().await;
    let address = server.address;
    let nobody = json!({ "topic": "t", "subscribers": 0, "messages": 0 });
    let none = (200, json!({ "topics": [], "next": null, "total": 0 }));
    assert_eq!(ask(address, "GET /topics").await, none);
    for _ in 0..2 {
        let one = connect(address, "/?id=one&topic=t").await;
        let two = connect(address, "/?id=two&topic=t").await;
        assert_eq!(ask_with(address, "POST /topics/t", "", b"x").await.0, 201);
        for (id, client, left) in [("one", one, 1), ("two", two, 0)] {
            let gone = ask(address, &format!("DELETE /connections/{id}?how=rst")).await;
            assert_eq!(gone.0, 204);
            let request = format!("GET /connections/{id}/messages?kind=close&wait=20s");
            assert_eq!(ask(address, &request).await.0, 408, "its session is over");
            drop(client);
            let (_, topic) = ask(address, "GET /topics/t").await;
            assert_eq!(topic["subscribers"], left);
        }
        assert_eq!(ask(address, "GET /topics").await, none);
        assert_eq!(ask(address, "GET /topics/t").await, (200, nobody.clone()));
    }
}
