//! The server for tests in Rust, as a test uses it.

use std::net::TcpStream as StdStream;
use std::time::Duration;

use echobeat::testing::{Cut, Error, Message, Side, TcpEnd, TestServer, blocking};
use echobeat::{Scenario, ServerConfig};
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message as Sent};

use crate::support::{Client, PATIENCE, Raw, soon, upgrade_request};

/// A server whose deadline is that of these tests.
async fn start() -> TestServer {
    let builder = TestServer::builder().deadline(PATIENCE);
    builder.start().await.expect("a port is free")
}

async fn connect(server: &TestServer, url: &str) -> Client {
    let stream = Raw::connect(server.address()).await.stream;
    let client = Client::over(stream, url.to_owned()).await;
    client.expect("the server upgrades")
}

fn frame(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }
}

#[tokio::test]
async fn messages_of_a_client_are_returned_in_their_order_and_control_frames_are_not() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    let mut connection = server.connection().await.unwrap();
    client.send("one").await;
    client.send(Sent::Ping("ping".into())).await;
    client.send(vec![2, 0, 255]).await;
    client.send("three").await;
    assert_eq!(connection.next_message().await.unwrap(), "one");
    let two = connection.next_message().await.unwrap();
    assert_eq!(two, Message::Binary(vec![2, 0, 255]));
    assert_eq!(connection.next_message().await.unwrap(), "three");
    assert_eq!(client.next().await, Sent::from("one"));
}

#[tokio::test]
async fn messages_that_came_before_the_end_are_returned_and_then_the_end() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    client.echo("last").await;
    client.close(frame(1000, "so long")).await;
    let mut connection = server.connection().await.unwrap();
    connection.ended().await.unwrap();
    assert!(!connection.is_open());
    assert_eq!(connection.next_message().await.unwrap(), "last");
    let error = connection.next_message().await.unwrap_err();
    assert!(
        matches!(error, Error::Ended { returned: 1, .. }),
        "{error:?}"
    );
    let sentence = format!(
        "connection {} has no message 2, for it has ended (closed: peer sent Close: \"so long\")",
        connection.id()
    );
    assert_eq!(error.to_string(), sentence);
    assert!(matches!(connection.push("x"), Err(Error::NotOpen { .. })));
    assert!(matches!(
        connection.close(1000, ""),
        Err(Error::NotOpen { .. })
    ));
}

#[tokio::test]
async fn a_large_message_is_returned_whole() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    let large: Vec<u8> = (0..=255).cycle().take(16 << 20).collect();
    client.echo(large.clone()).await;
    let mut connection = server.connection().await.unwrap();
    let message = connection.next_message().await.unwrap();
    assert!(message.as_bytes() == large, "it differs");
}

#[tokio::test]
async fn a_push_reaches_its_connection_and_no_other() {
    let server = start().await;
    let mut one = connect(&server, &format!("{}?id=same", server.url())).await;
    let first = server.connection().await.unwrap();
    let mut two = connect(&server, &format!("{}?id=same", server.url())).await;
    let second = server.connection().await.unwrap();
    assert_eq!((first.id(), second.id()), ("same", "same"));
    first.push("to one").unwrap();
    first.push(vec![1]).unwrap();
    second.push("to two").unwrap();
    assert_eq!(one.next().await, Sent::from("to one"));
    assert_eq!(one.next().await, Sent::from(vec![1]));
    assert_eq!(two.next().await, Sent::from("to two"));
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_get_pushes_without_end() {
    let server = start().await;
    let _client = connect(&server, server.url()).await;
    let connection = server.connection().await.unwrap();
    let push = "x".repeat(1 << 20);
    let full = (0..1000).find_map(|_| connection.push(&*push).err());
    assert!(matches!(full, Some(Error::Full(_))), "{full:?}");
}

#[tokio::test]
async fn the_verdict_says_who_closed_first_and_with_what() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    let connection = server.connection().await.unwrap();
    connection.push("before it").unwrap();
    connection.close(4001, "bye").unwrap();
    assert_eq!(client.next().await, Sent::from("before it"));
    assert_eq!(client.expect_close().await, Some(frame(4001, "bye")));
    let verdict = connection.ended().await.unwrap();
    assert_eq!(
        (&*verdict.why, verdict.code, verdict.clean),
        ("api", 4001, true)
    );
    assert_eq!(verdict.first_close, Some(Side::Server));
    let (sent, received) = (verdict.sent_close.unwrap(), verdict.received_close.unwrap());
    assert_eq!((sent.code, &*sent.reason), (Some(4001), "bye"));
    assert_eq!(received.code, Some(4001));
    assert_eq!(verdict.tcp, Some(TcpEnd::Fin));

    let client = connect(&server, server.url()).await;
    let connection = server.connection().await.unwrap();
    client.close(frame(4002, "mine")).await;
    let verdict = connection.ended().await.unwrap();
    assert_eq!(
        (&*verdict.why, verdict.code, verdict.clean),
        ("closed", 4002, true)
    );
    assert_eq!(verdict.first_close, Some(Side::Client));
    assert_eq!(
        verdict.to_string(),
        "closed: peer sent Close: \"mine\" (4002)"
    );
}

#[tokio::test]
async fn a_cut_ends_tcp_without_a_close() {
    let server = start().await;
    for (cut, tcp) in [
        (Cut::Rst, TcpEnd::Rst(Side::Server)),
        (Cut::Fin, TcpEnd::Fin),
    ] {
        let mut client = connect(&server, server.url()).await;
        let connection = server.connection().await.unwrap();
        connection.cut(cut).unwrap();
        let end = soon(client.socket.next()).await;
        assert!(matches!(end, Some(Err(_))), "{cut:?}: {end:?}");
        drop(client);
        let verdict = connection.ended().await.unwrap();
        assert_eq!(
            (&*verdict.why, verdict.code, verdict.clean),
            ("api", 1006, false)
        );
        assert_eq!((verdict.first_close, verdict.tcp), (None, Some(tcp)));
    }
}

#[tokio::test]
async fn a_close_that_may_not_be_sent_is_an_error() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    let connection = server.connection().await.unwrap();
    for code in [0, 999, 1005, 1006, 1015, 2999, 5000] {
        let error = connection.close(code, "").unwrap_err();
        assert!(matches!(error, Error::CloseCode(_)), "{code}: {error}");
    }
    let error = connection.close(1000, &"x".repeat(124)).unwrap_err();
    assert!(matches!(error, Error::CloseReason(124)), "{error}");
    client.echo("it goes on").await;
}

#[tokio::test]
async fn each_call_returns_another_connection_in_the_order_in_which_they_opened() {
    let server = start().await;
    let connect = async |id: &str| {
        let url = format!("{}chat?id={id}", server.url());
        connect(&server, &url).await
    };
    let early = connect("a").await;
    let waiting = async { tokio::join!(server.connection(), server.connection()) };
    let ((one, two), _client) = tokio::join!(waiting, connect("b"));
    let mut ids = [one.unwrap().id().to_owned(), two.unwrap().id().to_owned()];
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b"]);
    early.close(frame(1000, "")).await;
    let all = server.connections();
    let all: Vec<_> = all.iter().map(|connection| connection.id()).collect();
    assert_eq!(all, ["a", "b"]);
    let first = &server.connections()[0];
    assert_eq!((first.path(), first.query()), ("/chat", Some("id=a")));
    assert!(first.headers().any(|line| line == ("upgrade", "websocket")));
}

#[tokio::test]
async fn a_deadline_that_passes_says_what_was_waited_for_and_what_there_was() {
    let deadline = Duration::from_millis(50);
    let server = TestServer::builder()
        .deadline(deadline)
        .start()
        .await
        .unwrap();
    let error = server.connection().await.unwrap_err();
    let sentence = "waited 50ms for the next connection: no client has connected";
    assert_eq!(error.to_string(), sentence);

    let mut client = connect(&server, &format!("{}?id=me", server.url())).await;
    let mut connection = server.connection().await.unwrap();
    let error = server.connection().await.unwrap_err();
    let found = "the only one so far had been returned before";
    assert_eq!(
        error.to_string(),
        format!("waited 50ms for the next connection: {found}")
    );

    client.echo("x").await;
    connection.next_message().await.unwrap();
    let error = connection.next_message().await.unwrap_err();
    let found = "it is open, and messages received so far: 1";
    assert_eq!(
        error.to_string(),
        format!("waited 50ms for message 2 of connection me: {found}")
    );
    let error = connection.ended().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("waited 50ms for the end of connection me: {found}")
    );
}

#[tokio::test]
async fn a_url_with_steps_makes_the_server_misbehave() {
    let server = start().await;
    let text = "50 % & more + #\u{e9}";
    let mut client = connect(&server, &server.url_with(format!("greet:{text}"))).await;
    assert_eq!(client.next().await, Sent::from(text));
    let scenario: Scenario = "close:4001:bye@1msg".parse().unwrap();
    let mut client = connect(&server, &server.url_with(&scenario)).await;
    client.send("x").await;
    while let Sent::Text(_) = client.next().await {}
    let connections = server.connections();
    let verdict = connections[1].ended().await.unwrap();
    assert_eq!((&*verdict.why, verdict.code), ("fault", 4001));
}

#[tokio::test]
async fn settings_hold_and_heart_beats_come_if_they_are_asked_for() {
    let config = ServerConfig {
        subprotocols: vec!["chat".parse().unwrap()],
        paths: vec!["/ws".parse().unwrap()],
        heartbeat_text: "tick".to_owned(),
        ..ServerConfig::default()
    };
    let builder = TestServer::builder().config(config).deadline(PATIENCE);
    let builder = builder.heartbeat(Some(Duration::from_millis(10)));
    let server = builder.start().await.unwrap();
    assert!(server.url().ends_with("/ws"), "{}", server.url());
    let mut client = connect(&server, server.url()).await;
    assert_eq!(client.next().await, Sent::from("tick"));
    let mut raw = Raw::connect(server.address()).await;
    let offer = "Sec-WebSocket-Protocol: chat\r\n\r\n";
    let request = upgrade_request("/ws").replace("\r\n\r\n", &format!("\r\n{offer}"));
    raw.send(request).await;
    assert_eq!(raw.head().await.status, 101);
    server.connection().await.unwrap();
    let connection = server.connection().await.unwrap();
    assert_eq!(connection.subprotocol(), Some("chat"));
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_with_its_connections_and_its_port() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    let connection = server.connection().await.unwrap();
    let address = server.address();
    drop(server);
    let end = soon(client.socket.next()).await;
    assert!(matches!(end, Some(Err(_))), "{end:?}");
    assert!(soon(TcpStream::connect(address)).await.is_err());
    let verdict = connection.ended().await.unwrap();
    assert_eq!((&*verdict.why, verdict.code), ("drained", 1006));
}

#[tokio::test]
async fn a_server_that_is_stopped_closes_its_connections() {
    let server = start().await;
    let mut client = connect(&server, server.url()).await;
    client.echo("x").await;
    let connection = server.connection().await.unwrap();
    let (_, close) = soon(async { tokio::join!(server.stop(), client.expect_close()) }).await;
    assert_eq!(u16::from(close.expect("a code").code), 1001);
    let verdict = connection.ended().await.unwrap();
    assert_eq!(
        (verdict.first_close, verdict.clean),
        (Some(Side::Server), true)
    );
}

#[test]
fn a_test_that_is_not_async_has_the_same() {
    let builder = blocking::TestServer::builder().deadline(PATIENCE);
    let server = builder.start().unwrap();
    let connect = |url: &str| {
        let stream = StdStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        tungstenite::client(url, stream).unwrap().0
    };
    let mut client = connect(server.url());
    let mut connection = server.connection().unwrap();
    client.send("hello".into()).unwrap();
    assert_eq!(connection.next_message().unwrap(), "hello");
    assert_eq!(client.read().unwrap(), Sent::from("hello"));
    connection.push("pushed").unwrap();
    assert_eq!(client.read().unwrap(), Sent::from("pushed"));
    connection.close(4001, "bye").unwrap();
    assert_eq!(
        client.read().unwrap(),
        Sent::Close(Some(frame(4001, "bye")))
    );
    while client.read().is_ok() {}
    drop(client);
    let verdict = connection.ended().unwrap();
    assert_eq!(
        (verdict.first_close, verdict.clean),
        (Some(Side::Server), true)
    );

    let mut greeted = connect(&server.url_with("greet:hi"));
    assert_eq!(greeted.read().unwrap(), Sent::from("hi"));
    assert_eq!(server.connections().len(), 2);
    let (address, second) = (server.address(), server.connection().unwrap());
    drop(server);
    assert!(greeted.read().is_err());
    assert!(StdStream::connect(address).is_err());
    // The connection outlives its server.
    assert_eq!(second.ended().unwrap().why, "drained");
}

#[test]
fn a_deadline_holds_in_a_test_that_is_not_async() {
    let builder = blocking::TestServer::builder().deadline(Duration::from_millis(50));
    let server = builder.start().unwrap();
    let error = server.connection().unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let config = ServerConfig {
        tls: Some(echobeat::CertificateSource::Files {
            certificate: "/nowhere/cert.pem".into(),
            key: "/nowhere/key.pem".into(),
        }),
        ..ServerConfig::default()
    };
    let error = TestServer::builder()
        .config(config)
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Start(_)) && error.to_string().contains("/nowhere/cert.pem"));
}
