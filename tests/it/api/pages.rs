//! Lists, a page at a time.

use serde_json::{Value, json};

use super::{ask, connect, serve};

/// The members of a list that have this name.
fn named<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    let members = list.as_array().expect("a list").iter();
    members
        .map(|member| member[name].as_str().expect("a name"))
        .collect()
}

#[tokio::test]
async fn connections_come_in_pages() {
    let server = serve().await;
    let mut clients = Vec::new();
    for id in ["a", "other", "b", "c"] {
        let topic = if id == "other" { "other" } else { "t" };
        clients.push(connect(server.address, &format!("/?id={id}&topic={topic}")).await);
    }
    let page = async |query: &str| ask(server.address, &format!("GET /connections?{query}")).await;
    let (status, first) = page("topic=t&limit=2").await;
    assert_eq!((status, &first["total"]), (200, &json!(3)));
    assert_eq!(named(&first["connections"], "id"), ["a", "b"]);
    let next = first["next"].as_u64().expect("there is another page");
    let (status, last) = page(&format!("topic=t&limit=2&after={next}")).await;
    assert_eq!((status, &last["total"]), (200, &json!(3)));
    assert_eq!(named(&last["connections"], "id"), ["c"]);
    assert_eq!(last["next"], json!(null));
    let (status, counted) = page("topic=t&limit=1&count=3&wait=20s").await;
    assert_eq!(
        (status, named(&counted["connections"], "id")),
        (200, vec!["a"])
    );
    assert_eq!(page("count=5").await.0, 408);
    assert_eq!(page("count=4&limit=1").await.0, 200);
    for limit in ["0", "1001", "-1", "many"] {
        assert_eq!(page(&format!("limit={limit}")).await.0, 400, "{limit}");
    }
}

#[tokio::test]
async fn messages_come_in_pages() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    for text in ["1", "2"] {
        client.echo(text).await;
    }
    let page = async |query: &str| {
        let request = format!("GET /connections/me/messages?direction=out&limit=1{query}");
        let (status, page) = ask(server.address, &request).await;
        assert_eq!(status, 200, "{page}");
        page
    };
    let first = page("").await;
    assert_eq!(named(&first["messages"], "text"), ["1"]);
    assert_eq!(first["next"], 2);
    let last = page("&after=2&wait=20s").await;
    assert_eq!(named(&last["messages"], "text"), ["2"]);
    assert_eq!(last["next"], 4);
    assert_eq!(page("&after=4").await["messages"], json!([]));
}

#[tokio::test]
async fn topics_come_in_pages() {
    let server = serve().await;
    let _client = connect(server.address, "/?topic=b&topic=a%26&topic=c").await;
    let (_, first) = ask(server.address, "GET /topics?limit=1").await;
    assert_eq!(named(&first["topics"], "topic"), ["a&"]);
    assert_eq!((&first["next"], &first["total"]), (&json!("a&"), &json!(3)));
    let (_, last) = ask(server.address, "GET /topics?limit=2&after=a%26").await;
    assert_eq!(named(&last["topics"], "topic"), ["b", "c"]);
    assert_eq!((&last["next"], &last["total"]), (&json!(null), &json!(3)));
    assert_eq!(ask(server.address, "GET /topics?limit=0").await.0, 400);
    assert_eq!(ask(server.address, "GET /topics?x=y").await.0, 400);
}

#[tokio::test]
async fn many_waits_are_met_together() {
    let server = serve().await;
    let address = server.address;
    let mut waits = tokio::task::JoinSet::new();
    for _ in 0..200 {
        waits.spawn(async move {
            ask(address, "GET /connections?topic=t&count=3&limit=1&wait=20s").await
        });
    }
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect(address, "/?topic=t").await);
    }
    let answers = crate::support::soon(waits.join_all()).await;
    assert!(
        answers
            .iter()
            .all(|(status, page)| *status == 200 && page["total"] == 3)
    );
}

#[tokio::test]
async fn the_newest_connections_can_come_first() {
    let server = serve().await;
    let mut clients = Vec::new();
    for id in ["a", "b", "c"] {
        clients.push(connect(server.address, &format!("/?id={id}")).await);
    }
    let page = async |query: &str| {
        let request = format!("GET /connections?order=newest{query}");
        ask(server.address, &request).await
    };
    let (_, first) = page("&limit=2").await;
    assert_eq!(named(&first["connections"], "id"), ["c", "b"]);
    assert_eq!(first["total"], 3);
    let next = first["next"].as_u64().expect("there is another page");
    let (_, last) = page(&format!("&limit=2&after={next}")).await;
    assert_eq!(named(&last["connections"], "id"), ["a"]);
    assert_eq!((&last["next"], &last["total"]), (&json!(null), &json!(3)));
    let (_, oldest) = ask(server.address, "GET /connections?order=oldest&limit=1").await;
    assert_eq!(named(&oldest["connections"], "id"), ["a"]);
    assert_eq!(page("est").await.0, 400);
}

#[tokio::test]
async fn fields_come_in_the_order_in_which_the_manual_has_them() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    client.echo("hello").await;
    let (_, page) = ask(server.address, "GET /connections").await;
    let (_, messages) = ask(server.address, "GET /connections/me/messages").await;
    let (_, topic) = ask(server.address, "GET /topics/t").await;
    for (object, first) in [
        (&page, &["connections", "next", "total"][..]),
        (&page["connections"][0], &["id", "number", "state"]),
        (&messages, &["messages", "next", "dropped"]),
        (
            &messages["messages"][0],
            &["seq", "at", "direction", "kind", "bytes"],
        ),
        (&topic, &["topic", "subscribers", "messages"]),
    ] {
        let fields = object.as_object().expect("an object").keys();
        assert_eq!(fields.take(first.len()).collect::<Vec<_>>(), first);
    }
}
