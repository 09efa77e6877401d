//! What of a session TLS could break: order, ends, backpressure. To read to an end without an error,
//! rustls wants close_notify before it.

use std::time::Duration;

use echobeat::ServerConfig;
use echobeat_frames::{BINARY, close_frame, frame, text_echo, text_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{BOTH_VERSIONS, Issued};
use crate::support::{Client, config, soon, upgrade_request};

#[tokio::test]
async fn messages_of_every_size_come_back_over_both_versions() {
    let issued = Issued::new("messages");
    let server = issued.serve(config()).await;
    for version in BOTH_VERSIONS {
        let raw = issued
            .trusted()
            .try_connect_with(&[version], &["http/1.1"], server.address)
            .await
            .unwrap();
        let (_, session) = raw.stream.get_ref();
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut client = Client::over(raw.stream, "wss://localhost/".to_owned())
            .await
            .unwrap();
        client.echo_every_size().await;
        client.echo_in_order().await;
        let (code, reason) = (CloseCode::from(4001), "enough".into());
        client.close(CloseFrame { code, reason }).await;
    }
}

#[tokio::test]
async fn the_heart_beats_over_tls() {
    let issued = Issued::new("heart");
    let server = issued
        .serve(ServerConfig {
            heartbeat: Some(Duration::from_millis(50)),
            ..config()
        })
        .await;
    let mut client = issued.trusted().client(server.address).await;
    for _ in 0..3 {
        assert_eq!(client.next().await, Message::text("heart beat"));
    }
}

#[tokio::test]
async fn a_close_is_followed_by_close_notify_and_the_end_of_tcp() {
    let issued = Issued::new("close");
    let server = issued.serve(config()).await;
    let mut raw = issued.trusted().session(server.address).await;
    raw.send(close_frame(1000, b"")).await;
    raw.expect_close(1000).await;

    let mut raw = issued.trusted().session(server.address).await;
    raw.send(frame(0xf1, b"")).await;
    raw.send(vec![0; 8 << 20]).await;
    raw.expect_close(1002).await;
}

#[tokio::test]
async fn a_client_that_half_closes_tls_still_gets_its_echoes() {
    let issued = Issued::new("half-close");
    let server = issued.serve(config()).await;
    let mut raw = issued.trusted().connect(server.address).await;
    let frames = text_frame("bye").repeat(1_000);
    raw.send([upgrade_request("/").as_bytes(), &frames].concat())
        .await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.head().await.status, 101);
    assert_eq!(raw.rest().await, text_echo("bye").repeat(1_000));
}

#[tokio::test]
async fn an_end_of_tcp_without_close_notify_is_an_abnormal_close() {
    let issued = Issued::new("truncated");
    let mut running = issued.run(&[]).await;
    for part in [&b""[..], &text_frame("half")[..7]] {
        let mut raw = issued.trusted().session(running.address()).await;
        raw.send(text_frame("hello")).await;
        assert_eq!(raw.read(7).await, text_echo("hello"));
        raw.send(part).await;
        let (mut tcp, _) = raw.stream.into_inner();
        tcp.shutdown().await.unwrap();
        let line = running.logs("end").await;
        assert!(line.contains("INFO"), "{line}");
        assert!(line.contains("why=\"eof\" code=1006 clean=false"), "{line}");
        let mut rest = Vec::new();
        soon(tcp.read_to_end(&mut rest)).await.expect("no reset");
    }
}

#[tokio::test]
async fn a_client_that_never_reads_over_tls_is_dropped() {
    let issued = Issued::new("stalled-reader");
    let mut running = issued.run(&["--send-timeout=1s"]).await;
    let control = issued.trusted().control(running.address()).await;
    running.logs("/control").await;
    let mut raw = issued.trusted().session(running.address()).await;
    let message = frame(BINARY, &[0; 100_000]);
    soon(async { while raw.stream.write_all(&message).await.is_ok() {} }).await;
    let line = running.logs("connection: end").await;
    assert!(line.contains("why=\"stalled\""), "{line}");
    control.finish("a peer that does not read TLS").await;
}

#[tokio::test]
async fn plain_answers_over_tls_name_wss() {
    let issued = Issued::new("answers");
    let server = issued.serve(config()).await;
    let mut raw = issued.trusted().connect(server.address).await;
    raw.send("GET /elsewhere HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n")
        .await;
    let response = raw.response().await;
    assert_eq!(response.status, 404);
    assert!(
        response.body.contains("wss://example.test/"),
        "{response:?}"
    );
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_that_half_closes_gets_the_answer_to_its_request() {
    let issued = Issued::new("half-close");
    let server = issued.serve(config()).await;
    // With the end of TLS, and of TCP alone.
    for is_orderly in [true, false] {
        for _ in 0..10 {
            let mut raw = issued.trusted().connect(server.address).await;
            raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await;
            let stream = &mut raw.stream;
            match is_orderly {
                true => stream.shutdown().await.unwrap(),
                false => stream.get_mut().0.shutdown().await.unwrap(),
            }
            let answer = raw.response().await;
            assert_eq!((answer.status, &*answer.body), (200, "ok\n"));
        }
    }
}

#[tokio::test]
async fn every_session_over_tls_is_closed_with_1001() {
    let issued = Issued::new("drain");
    let server = issued.serve(config()).await;
    let client = issued.trusted().client(server.address).await;
    let running = server.stop();
    let frame = client.expect_close().await.expect("a code");
    assert_eq!(frame.code, CloseCode::Away);
    soon(running).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_speaks_tls_too() {
    let issued = Issued::new("unix");
    let path = issued.directory.join("echo.sock");
    let listen = format!("unix:{}", path.display());
    let server = echobeat::Server::bind(ServerConfig {
        listen: vec![listen.parse().unwrap()],
        tls: Some(echobeat::CertificateSource::Files {
            certificate: issued.certificate(),
            key: issued.key(),
        }),
        ..config()
    });
    let running = tokio::spawn(server.await.unwrap().serve(std::future::pending()));
    let socket = tokio::net::UnixStream::connect(&path).await.unwrap();
    let raw = issued
        .trusted()
        .handshake(&BOTH_VERSIONS, &[], socket)
        .await;
    let url = "wss://localhost/".to_owned();
    let mut client = Client::over(raw.unwrap().stream, url).await.unwrap();
    client.echo("hello").await;
    running.abort();
}
