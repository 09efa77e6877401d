//! Messages of a connection, kept and waited for.

use echobeat::ApiConfig;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{ask, connect, serve, serve_with};

/// Pairs of direction and text of all messages.
fn texts(batch: &Value) -> Vec<(&str, &str)> {
    let messages = batch["messages"].as_array().expect("a list").iter();
    messages
        .map(|message| {
            let direction = message["direction"].as_str().unwrap_or_default();
            (direction, message["text"].as_str().unwrap_or_default())
        })
        .collect()
}

#[tokio::test]
async fn messages_are_kept_both_ways() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me").await;
    client.echo("hello").await;
    client.echo(vec![0, 255]).await;
    let (status, batch) = ask(server.address, "GET /connections/me/messages").await;
    assert_eq!(status, 200);
    assert_eq!((&batch["next"], &batch["dropped"]), (&json!(4), &json!(0)));
    let first = &batch["messages"][0];
    assert_eq!((&first["seq"], &first["kind"]), (&json!(1), &json!("text")));
    assert_eq!(
        (&first["bytes"], &first["fragments"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(first["compressed"], false);
    assert_eq!(batch["messages"][2]["base64"], "AP8=");
    let both = [("in", "hello"), ("out", "hello"), ("in", ""), ("out", "")];
    assert_eq!(texts(&batch), both);
    let (_, batch) = ask(
        server.address,
        "GET /connections/me/messages?direction=out&kind=text&contains=ell",
    )
    .await;
    assert_eq!(texts(&batch), [("out", "hello")]);
}

#[tokio::test]
async fn a_message_is_waited_for() {
    let server = serve().await;
    let address = server.address;
    let mut client = connect(address, "/?id=me").await;
    client.echo("before").await;
    let wait = ask(
        address,
        "GET /connections/me/messages?contains=now&direction=in&wait=20s",
    );
    let ((status, batch), ()) = tokio::join!(wait, async {
        client.echo("not yet").await;
        client.echo("and now").await;
    });
    assert_eq!((status, texts(&batch)), (200, vec![("in", "and now")]));
    let next = batch["next"].as_u64().expect("a number");
    let after = format!("GET /connections/me/messages?after={next}&direction=in&wait=1ms");
    let (status, batch) = ask(address, &after).await;
    assert_eq!((status, texts(&batch).len()), (408, 0));
}

#[tokio::test]
async fn messages_that_fall_out_are_counted() {
    let server = serve_with(ApiConfig {
        keep_messages: 3,
        ..ApiConfig::default()
    })
    .await;
    let mut client = connect(server.address, "/?id=me").await;
    for text in ["1", "2", "3"] {
        client.echo(text).await;
    }
    let (_, batch) = ask(server.address, "GET /connections/me/messages?after=1").await;
    assert_eq!((&batch["next"], &batch["dropped"]), (&json!(6), &json!(2)));
    assert_eq!(texts(&batch), [("out", "2"), ("in", "3"), ("out", "3")]);
    let (_, connection) = ask(server.address, "GET /connections/me").await;
    assert_eq!(connection["messages"], json!({ "kept": 3, "dropped": 3 }));
}

#[tokio::test]
async fn what_a_faulty_session_sends_is_told_as_it_is_sent() {
    let server = serve().await;
    let mut client = connect(server.address, "/?id=me&do=fragment:2,echo:off,greet:abc").await;
    assert_eq!(client.next().await, Message::from("abc"));
    client.send("unanswered").await;
    let request = "GET /connections/me/messages?after=1&wait=20s";
    let (status, batch) = ask(server.address, request).await;
    assert_eq!((status, texts(&batch)), (200, vec![("in", "unanswered")]));
    let (_, batch) = ask(server.address, "GET /connections/me/messages?direction=out").await;
    assert_eq!(texts(&batch), [("out", "abc")]);
    assert_eq!(batch["messages"][0]["fragments"], 2);
}
