//! Server-sent events: what a reader gets, and from when on.

mod ends;
mod foreign;

use std::net::SocketAddr;
use std::time::Duration;

use echobeat::{ApiConfig, ServerConfig};
use hyper::header::HeaderValue;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::{ask, ask_with, connect, serve, serve_with};
use crate::http2;
use crate::support::{Raw, config, soon};

const READERS: &str = "echobeat_api_event_readers";

/// An event as a reader gets it.
#[derive(Debug, PartialEq)]
struct Event {
    id: u64,
    name: String,
    data: Value,
}

/// A reader of events over HTTP/1.1.
struct Reader {
    raw: Raw,
    text: String,
}

impl Reader {
    async fn open(address: SocketAddr, target: &str) -> Self {
        Self::open_with(address, target, "").await
    }

    async fn open_with(address: SocketAddr, target: &str, headers: &str) -> Self {
        let mut raw = Raw::connect(address).await;
        raw.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n"
        ))
        .await;
        let head = raw.head().await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        let text = String::new();
        Self { raw, text }
    }

    /// The next event, unless the stream has ended.
    async fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = event(block);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
            } else {
                let chunk = self.chunk().await?;
                self.text += &chunk;
            }
        }
    }

    async fn next(&mut self) -> Event {
        self.try_next().await.expect("the stream goes on")
    }

    async fn chunk(&mut self) -> Option<String> {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            let byte = soon(self.raw.stream.read_u8()).await.expect("a chunk");
            line.push(byte.into());
        }
        let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
        let mut chunk = self.raw.read(size + 2).await;
        chunk.truncate(size);
        let chunk = String::from_utf8(chunk).expect("UTF-8");
        (!chunk.is_empty()).then_some(chunk)
    }
}

/// An event of its lines, unless they are a comment.
fn event(block: &str) -> Option<Event> {
    if block.starts_with(':') {
        return None;
    }
    let lines: Vec<_> = block.lines().collect();
    let [id, name, data] = lines[..] else {
        panic!("three lines were expected: {block}");
    };
    let value = |line: &str, field: &str| line.strip_prefix(field).expect(field).to_owned();
    Some(Event {
        id: value(id, "id: ").parse().expect("a number"),
        name: value(name, "event: "),
        data: serde_json::from_str(&value(data, "data: ")).expect("JSON"),
    })
}

/// The texts of so many messages.
async fn texts(reader: &mut Reader, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let event = reader.next().await;
        assert_eq!(event.name, "message");
        texts.push(event.data["text"].as_str().unwrap_or_default().to_owned());
    }
    texts
}

/// Waits until there are so many readers. No event tells of it, so it is asked for.
async fn becomes(control: &mut Raw, readers: u64) {
    let counted = async {
        while control.metric(READERS).await != readers {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(counted).await;
}

#[tokio::test]
async fn a_connection_is_told_of_from_its_opening_to_its_end() {
    let server = serve().await;
    let address = server.address;
    let mut reader = Reader::open(address, "/events").await;
    let mut client = connect(address, "/?id=me&topic=a").await;
    client.echo("hello").await;
    soon(client.socket.close(None)).await.expect("it closes");
    client.expect_close().await;
    let mut events = vec![reader.next().await];
    while events.last().is_some_and(|event| event.name != "closed") {
        events.push(reader.next().await);
    }
    let names: Vec<_> = events.iter().map(|event| &*event.name).collect();
    let message = "message";
    let all = ["opened", message, message, message, message, "closed"];
    assert_eq!(names, all);
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    let opened = &events[0].data;
    assert_eq!(
        (&opened["id"], &opened["state"]),
        (&json!("me"), &json!("open"))
    );
    assert_eq!(opened["topics"], json!(["a"]));
    let (_, list) = ask(address, "GET /connections").await;
    assert_eq!(events[5].data, list["connections"][0]);
    assert_eq!(events[5].data["end"]["tcp"], "fin");
    let (_, batch) = ask(address, "GET /connections/me/messages").await;
    for (event, record) in events[1..5]
        .iter()
        .zip(batch["messages"].as_array().unwrap())
    {
        let mut record = record.clone();
        record["connection"] = json!("me");
        record["number"] = opened["number"].clone();
        assert_eq!(event.data, record);
    }
}

#[tokio::test]
async fn messages_can_be_left_out() {
    let server = serve().await;
    let mut reader = Reader::open(server.address, "/events?messages=off").await;
    let mut client = connect(server.address, "/?id=me").await;
    client.echo("hello").await;
    soon(client.socket.close(None)).await.expect("it closes");
    client.expect_close().await;
    for name in ["opened", "closed"] {
        assert_eq!(reader.next().await.name, name);
    }
    let (status, error) = ask(server.address, "GET /events?messages=no").await;
    assert_eq!(
        (status, &error["error"]),
        (400, &json!("messages is one of: off."))
    );
}

#[tokio::test]
async fn a_reader_begins_with_what_happens_from_now_on_or_after_the_last_that_it_has() {
    let server = serve().await;
    let address = server.address;
    let mut client = connect(address, "/?id=me").await;
    client.echo("before").await;
    let mut reader = Reader::open(address, "/events").await;
    client.echo("now").await;
    assert_eq!(texts(&mut reader, 2).await, ["now", "now"]);
    let mut resumed = Reader::open_with(address, "/events", "Last-Event-ID: 2\r\n").await;
    assert_eq!(texts(&mut resumed, 3).await, ["before", "now", "now"]);
    // The number of a server before this one.
    let mut resumed = Reader::open_with(address, "/events", "Last-Event-ID: 1000\r\n").await;
    assert_eq!(resumed.next().await.name, "opened");
}

#[tokio::test]
async fn a_reader_learns_how_many_events_are_lost() {
    let server = serve_with(ApiConfig {
        keep_messages: 1,
        ..ApiConfig::default()
    })
    .await;
    let mut client = connect(server.address, "/?id=me").await;
    for text in ["a", "b", "c"] {
        client.echo(text).await;
    }
    let mut reader = Reader::open_with(server.address, "/events", "Last-Event-ID: 1\r\n").await;
    let dropped = Event {
        id: 6,
        name: "dropped".to_owned(),
        data: json!({ "dropped": 5 }),
    };
    assert_eq!(reader.next().await, dropped);
    assert_eq!(texts(&mut reader, 1).await, ["c"]);
}

#[tokio::test]
async fn a_topic_and_a_connection_choose() {
    let server = serve().await;
    let address = server.address;
    let mut by_topic = Reader::open(address, "/events?topic=a").await;
    let mut by_name = Reader::open(address, "/events?connection=two").await;
    let mut by_both = Reader::open(address, "/events?connection=two&topic=b").await;
    let mut one = connect(address, "/?id=one&topic=a").await;
    let mut two = connect(address, "/?id=two&topic=a").await;
    let mut three = connect(address, "/?id=two&topic=b").await;
    for (client, text) in [(&mut one, "1"), (&mut two, "2"), (&mut three, "3")] {
        client.echo(text).await;
    }
    for (reader, opened, expected) in [
        (
            &mut by_topic,
            ["one", "two"].as_slice(),
            ["1", "1", "2", "2"].as_slice(),
        ),
        (&mut by_name, &["two", "two"], &["2", "2", "3", "3"]),
        (&mut by_both, &["two"], &["3", "3"]),
    ] {
        for id in opened {
            let event = reader.next().await;
            assert_eq!((&*event.name, &event.data["id"]), ("opened", &json!(id)));
        }
        assert_eq!(texts(reader, expected.len()).await, expected);
    }
}

#[tokio::test]
async fn events_come_over_http2_too() {
    let server = http2::serve(ServerConfig {
        api: Some(ApiConfig::default()),
        ..config()
    })
    .await;
    let mut control = server.raw().await;
    let mut h2 = http2::connect(server.address).await;
    let head = h2.ask(Method::HEAD, "/events").await;
    assert_eq!((head.0.status().as_u16(), &*head.1), (200, ""));
    let request = Request::get("http://localhost/events?connection=me");
    let (response, _) = h2.send(request.body(()).unwrap(), false).await;
    let response = soon(response).await.expect("an answer");
    let of_events = HeaderValue::from_static("text/event-stream");
    assert_eq!(response.headers().get("content-type"), Some(&of_events));
    let mut body = response.into_body();
    let _session = h2.stream_at("/?id=me").await;
    let data = soon(body.data()).await.expect("data").expect("an event");
    let text = String::from_utf8(data.to_vec()).expect("UTF-8");
    let opened = event(text.trim_end()).expect("an event");
    assert_eq!((opened.id, &*opened.name), (1, "opened"));
    assert_eq!(opened.data["transport"]["http"], "2");
    assert_eq!(control.metric(READERS).await, 1);
    // The stream is reset.
    drop(body);
    becomes(&mut control, 0).await;
}

#[tokio::test]
async fn whoever_may_not_ask_or_asks_badly_is_refused() {
    let server = serve_with(ApiConfig {
        token: Some("secret".parse().unwrap()),
        ..ApiConfig::default()
    })
    .await;
    let address = server.address;
    let token = "Authorization: Bearer secret\r\n";
    for (request, headers, status) in [
        ("GET /events", String::new(), 401),
        ("POST /events", token.to_owned(), 405),
        ("GET /events?after=1", token.to_owned(), 400),
        ("GET /events", format!("{token}Last-Event-ID: x\r\n"), 400),
    ] {
        let (answered, error) = ask_with(address, request, &headers, b"").await;
        assert_eq!(answered, status, "{request}: {error}");
    }
    Reader::open_with(address, "/events", token).await;
}
