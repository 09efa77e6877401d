//! Sessions over HTTP/2 are sessions like any other.

use std::time::Duration;

use bytes::Bytes;
use echobeat::ServerConfig;
use echobeat_frames::{close_frame, frame, text_echo, text_frame};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{connect, connect_tls, serve};
use crate::support::{config, soon};
use crate::tls::Issued;

#[tokio::test]
async fn messages_of_every_size_come_back_over_tls() {
    let issued = Issued::new("http2-messages");
    let server = issued.serve(config()).await;
    let mut http2 = connect_tls(&issued, server.address).await;
    let mut client = http2.client().await;
    client.echo_every_size().await;
    client.echo_in_order().await;
    let (code, reason) = (CloseCode::from(4001), "enough".into());
    client.close(CloseFrame { code, reason }).await;
}

#[tokio::test]
async fn a_hundred_sessions_share_a_connection() {
    let server = serve(config()).await;
    let mut http2 = connect(server.address).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(http2.client().await);
    }
    for round in 0..3 {
        for client in &mut clients {
            client.send(format!("round {round}")).await;
        }
        for client in &mut clients {
            assert_eq!(client.next().await, format!("round {round}").into());
        }
    }
    assert_eq!(http2.requests.current_max_send_streams(), 100);
}

#[tokio::test]
async fn a_subprotocol_is_selected_and_the_log_names_the_stream() {
    let issued = Issued::new("http2-log");
    let mut running = issued.run(&[]).await;
    let mut http2 = connect_tls(&issued, running.address()).await;
    let headers = [
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, superchat"),
    ];
    let (response, mut send) = http2.try_session("/chat", &headers).await;
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(response.headers().contains_key("date"));
    let open = running.logs("open").await;
    for part in [
        "path=\"/chat\"",
        "subprotocol=\"chat\"",
        "transport=\"h2\"",
        "stream=1",
        "tls=\"1.3\"",
    ] {
        assert!(open.contains(part), "{open}");
    }
    let close = Bytes::from(close_frame(1000, b""));
    send.send_data(close, false).unwrap();
    let end = running.logs("end").await;
    assert!(end.contains("code=1000 clean=true"), "{end}");
    assert!(end.contains("stream=1"), "{end}");
}

#[tokio::test]
async fn the_heart_beats_over_http2() {
    let server = serve(ServerConfig {
        heartbeat: Some(Duration::from_millis(50)),
        ..config()
    })
    .await;
    let mut client = connect(server.address).await.client().await;
    for _ in 0..3 {
        assert_eq!(client.next().await, Message::text("heart beat"));
    }
}

#[tokio::test]
async fn a_stream_ends_after_its_close() {
    let server = serve(config()).await;
    let mut http2 = connect(server.address).await;
    let mut raw = http2.raw_session().await;
    raw.send(close_frame(1000, b"")).await;
    raw.expect_close(1000).await;

    let mut raw = http2.raw_session().await;
    raw.send(frame(0xf1, b"")).await;
    raw.expect_close(1002).await;
    // The connection goes on.
    http2.client().await.echo("hello").await;
}

#[tokio::test]
async fn a_client_that_ends_its_stream_still_gets_its_echoes() {
    let server = serve(config()).await;
    let mut http2 = connect(server.address).await;
    let mut raw = http2.raw_session().await;
    raw.send(text_frame("bye").repeat(1_000)).await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.rest().await, text_echo("bye").repeat(1_000));
}

#[tokio::test]
async fn a_reset_ends_one_session_and_no_other() {
    let issued = Issued::new("http2-reset");
    let mut running = issued.run(&[]).await;
    let mut http2 = connect_tls(&issued, running.address()).await;
    let mut other = http2.client().await;
    running.logs("open").await;
    let mut stream = http2.stream().await;
    stream.send.send_reset(h2::Reason::CANCEL);
    let end = running.logs("end").await;
    assert!(end.contains("why=\"lost\" code=1006"), "{end}");
    assert!(end.contains("stream=3"), "{end}");
    other.echo("hello").await;
}

#[tokio::test]
async fn the_end_of_a_connection_ends_all_its_sessions() {
    let issued = Issued::new("http2-gone");
    let mut running = issued.run(&[]).await;
    let mut http2 = connect_tls(&issued, running.address()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(http2.client().await);
    }
    http2.connection.abort();
    for _ in 0..3 {
        let end = running.logs("connection: end").await;
        assert!(end.contains("code=1006 clean=false"), "{end}");
    }
}

#[tokio::test]
async fn a_drain_closes_every_session_and_then_the_connection() {
    let server = serve(ServerConfig {
        drain: Duration::from_secs(2),
        ..config()
    })
    .await;
    let mut http2 = connect(server.address).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(http2.client().await);
    }
    let begun = Instant::now();
    let running = server.stop();
    for client in clients {
        let frame = client.expect_close().await.expect("a code");
        assert_eq!(frame.code, CloseCode::Away);
    }
    soon(http2.connection)
        .await
        .unwrap()
        .expect("GOAWAY, and no error");
    soon(running).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}
