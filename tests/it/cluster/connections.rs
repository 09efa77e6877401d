//! Requests about one connection, lists, and events, on whatever node they are asked.

use serde_json::json;

use super::three;
use crate::api::connect;
use crate::support::{Raw, soon};

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_connection_is_reached_from_every_node() {
    let (_nats, [a, b, c]) = three().await;
    let mut client = connect(b.address, "/?id=me").await;
    client.echo("hello").await;
    for node in [&a, &b, &c] {
        let (status, shown) = node.ask("GET /connections/me").await;
        assert_eq!((status, &shown["id"]), (200, &json!("me")));
        assert_eq!(node.post("/connections/me@b", "x").await.0, 201);
        assert_eq!(client.next().await, "x".into());
        let (status, shown) = node.ask("GET /@connections/me").await;
        assert!(status == 200 && shown["connectedAt"].is_string(), "{shown}");
        assert_eq!(node.ask("GET /connections/nobody").await.0, 404);
        assert_eq!(node.ask("GET /@connections/nobody").await.0, 410);
    }
    let (status, error) = a.ask("GET /connections/me?cluster=false").await;
    assert_eq!(status, 404, "{error}");
    let found = "GET /connections/me/messages?wait=10s&contains=later";
    let (found, ()) = tokio::join!(c.ask(found), client.echo("later"));
    assert_eq!(
        (found.0, &found.1["messages"][0]["text"]),
        (200, &json!("later"))
    );
    let (status, none) = a
        .ask("GET /connections/me/messages?wait=10ms&contains=never")
        .await;
    assert_eq!((status, &none["messages"]), (408, &json!([])));
    assert_eq!(
        c.ask("DELETE /connections/me?code=4001&reason=bye").await.0,
        204
    );
    let close = client.expect_close().await.expect("a code");
    assert_eq!((u16::from(close.code), &*close.reason), (4001, "bye"));
    assert_eq!(a.post("/connections/me", "x").await.0, 410);
    // A wait that is in vain, for the session is over, ends at once.
    let (status, _) = a
        .ask("GET /connections/me/messages?wait=1h&contains=never")
        .await;
    assert_eq!(status, 408);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_name_that_was_used_on_several_nodes_is_that_of_the_connection_that_is_open() {
    let (_nats, [a, b, c]) = three().await;
    let (mut first, second) = (
        connect(a.address, "/?id=me").await,
        connect(b.address, "/?id=me").await,
    );
    assert_eq!(a.ask("DELETE /connections/me@b").await.0, 204);
    second.expect_close().await;
    for node in [&a, &b, &c] {
        assert_eq!(node.post("/connections/me", "x").await.0, 201);
        assert_eq!(first.next().await, "x".into());
    }
    let unnamed = connect(c.address, "/").await;
    let (_, list) = a.ask("GET /connections?state=open").await;
    let ids = list["connections"].as_array().expect("a list").iter();
    let mut ids = ids.filter_map(|connection| connection["id"].as_str());
    let id = ids.find(|id| id.ends_with("@c")).expect("one of node c");
    assert_eq!(b.ask(&format!("DELETE /connections/{id}")).await.0, 204);
    unnamed.expect_close().await;
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn lists_add_up_all_nodes_and_come_in_pages() {
    let (_nats, [a, b, c]) = three().await;
    let counted = a.ask("GET /connections?count=7&wait=10s&topic=t");
    let opened = async {
        let mut clients = Vec::new();
        for (node, n) in [(&a, 3), (&b, 1), (&c, 3)] {
            for n in 0..n {
                clients.push(connect(node.address, &format!("/?topic=t&id={n}")).await);
            }
        }
        clients
    };
    let ((status, list), clients) = tokio::join!(counted, opened);
    assert_eq!((status, &list["total"]), (200, &json!(7)), "{list}");
    assert_eq!(list["nodes"], json!({ "a": 3, "b": 1, "c": 3 }));
    let (mut after, mut seen) = (String::new(), Vec::new());
    for _page in 0..4 {
        let (status, page) = b.ask(&format!("GET /connections?limit=2{after}")).await;
        assert_eq!((status, &page["total"]), (200, &json!(7)));
        let connections = page["connections"].as_array().expect("a list").iter();
        seen.extend(connections.map(|it| format!("{}{}", it["node"], it["id"])));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected = ["a0", "a1", "a2", "b0", "c0", "c1", "c2"];
    let seen: Vec<_> = seen.iter().map(|it| it.replace('"', "")).collect();
    assert_eq!(seen, expected);
    let (status, list) = a.ask("GET /connections?count=8&wait=10ms").await;
    assert_eq!((status, &list["total"]), (408, &json!(7)));
    assert_eq!(a.ask("GET /connections?limit=0").await.0, 400);
    assert_eq!(a.ask("GET /connections?after=x").await.0, 400);
    drop(clients);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn events_of_all_nodes_come_to_a_reader_of_one() {
    let (_nats, [a, b, _c]) = three().await;
    let mut raw = Raw::connect(a.address).await;
    raw.send("GET /events?cluster=true&topic=t HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.head().await.status, 200);
    // Events begin once the other node has heard of the reader, which no event tells.
    let opened = async {
        loop {
            let client = connect(b.address, "/?topic=t").await;
            let connected = connect(a.address, "/?topic=t").await;
            drop((client, connected));
        }
    };
    let events = async {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !(text.contains("\"node\":\"b\"") && text.contains("\"node\":\"a\"")) {
            let length = tokio::io::AsyncReadExt::read(&mut raw.stream, &mut piece).await;
            text.push_str(&String::from_utf8_lossy(
                &piece[..length.expect("it goes on")],
            ));
        }
        assert!(
            text.contains("event: opened") && !text.contains("id: "),
            "{text}"
        );
    };
    let events = async {
        tokio::select! { () = events => {}, () = opened => {} }
    };
    soon(events).await;
    assert_eq!(a.ask("GET /events?cluster=maybe").await.0, 400);
}
