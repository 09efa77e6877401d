//! Ends of a stream of events, and how many readers there may be.

use std::time::Duration;

use echobeat::{ApiConfig, ServerConfig};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{READERS, Reader, becomes};
use crate::api::{addresses, ask, connect, serve, serve_with};
use crate::support::{TestServer, config, soon};

#[tokio::test]
async fn the_drain_ends_the_stream_in_good_order() {
    let server = serve().await;
    let mut reader = Reader::open(server.address, "/events").await;
    let stopped = server.stop();
    assert_eq!(reader.try_next().await, None);
    assert_eq!(reader.raw.rest().await, b"");
    soon(stopped).await.expect("it stops");
}

#[tokio::test]
async fn an_api_on_an_address_of_its_own_tells_of_the_drain_to_its_end() {
    let (server, api) = addresses::serve_apart().await;
    let mut reader = Reader::open(api, "/events").await;
    let client = connect(server.address, "/?id=me").await;
    let stopped = server.stop();
    let closing = tokio::spawn(client.expect_close());
    let mut last = None;
    while let Some(event) = reader.try_next().await {
        last = Some(event);
    }
    let last = last.expect("events");
    assert_eq!((&*last.name, &last.data["id"]), ("closed", &json!("me")));
    soon(closing).await.expect("it is closed");
    soon(stopped).await.expect("it stops");
}

#[tokio::test]
async fn a_reader_that_goes_leaves_its_place_while_nothing_happens() {
    let server = serve().await;
    let mut control = server.raw().await;
    for resets in [true, false] {
        let reader = Reader::open(server.address, "/events").await;
        control.counts(READERS, 1).await;
        if resets {
            reader.raw.stream.set_zero_linger().expect("a socket");
        }
        drop(reader);
        // Before the first comment that all readers get.
        timeout(Duration::from_secs(10), becomes(&mut control, 0))
            .await
            .expect("it is noticed soon");
    }
}

#[tokio::test]
async fn a_reader_that_has_only_ended_its_side_still_gets_events() {
    let server = serve().await;
    let mut reader = Reader::open(server.address, "/events").await;
    soon(reader.raw.stream.shutdown()).await.expect("a socket");
    for _ in 0..2 {
        assert_eq!(reader.chunk().await.as_deref(), Some(": \n\n"));
    }
    let _client = connect(server.address, "/?id=me").await;
    assert_eq!(reader.next().await.name, "opened");
}

#[tokio::test]
async fn readers_are_limited_and_a_head_takes_no_place() {
    let server = serve().await;
    let address = server.address;
    let mut readers = Vec::new();
    for _ in 0..256 {
        readers.push(Reader::open(address, "/events").await);
    }
    let (status, error) = ask(address, "GET /events").await;
    assert_eq!(status, 503, "{error}");
    let reader = readers.pop().expect("a reader");
    reader.raw.stream.set_zero_linger().expect("a socket");
    drop(reader);
    let mut raw = server.raw().await;
    becomes(&mut raw, 255).await;
    // Two requests on one connection: the first answer has a head alone.
    for _ in 0..2 {
        raw.send("HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let head = raw.head().await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("content-length"), None);
    }
    Reader::open(address, "/events").await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_given_up() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        send_timeout: Duration::from_millis(200),
        ..config()
    })
    .await;
    let mut control = server.raw().await;
    let _deaf = Reader::open(server.address, "/events").await;
    let mut client = connect(server.address, "/?id=me").await;
    let given_up = async {
        while control.metric(READERS).await > 0 {
            client.echo(vec![0; 256 << 10]).await;
        }
    };
    soon(given_up).await;
}

#[tokio::test]
async fn a_reader_that_falls_behind_loses_events_and_goes_on() {
    let server = serve_with(ApiConfig {
        keep_messages: 4,
        ..ApiConfig::default()
    })
    .await;
    let mut reader = Reader::open(server.address, "/events").await;
    let mut client = connect(server.address, "/?id=me").await;
    // More than all buffers between the server and the reader hold.
    for _ in 0..64 {
        client.echo(vec![0; 512 << 10]).await;
    }
    client.echo("the last").await;
    let (mut dropped, mut read) = (0, 0);
    while dropped + read < 131 {
        let event = reader.next().await;
        match event.data["dropped"].as_u64() {
            Some(count) => dropped += count,
            None => read += 1,
        }
        assert_eq!(event.id, dropped + read);
    }
    assert!(dropped > 0 && read > 0, "{dropped} dropped, {read} read");
}
