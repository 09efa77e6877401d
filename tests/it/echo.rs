use std::time::Duration;

use echobeat::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TestServer, config, soon, text_echo, text_frame, upgrade_request};

#[tokio::test]
async fn messages_of_every_size_come_back_as_they_were_sent() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
        client.echo("é".repeat(size / 2)).await;
        client
            .echo((0..=255).cycle().take(size).collect::<Vec<u8>>())
            .await;
    }
}

#[tokio::test]
async fn a_thousand_messages_in_flight_keep_their_order() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for n in 0..1_000 {
        client.send(format!("message {n}")).await;
    }
    for n in 0..1_000 {
        assert_eq!(client.next().await, format!("message {n}").into());
    }
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(server.connect().await);
    }
    for client in &mut clients {
        client.echo("hello").await;
    }
}

#[tokio::test]
async fn frames_in_the_segment_of_the_head_are_echoed() {
    let server = TestServer::start().await;
    let control = server.control().await;
    let frame = text_frame("early");
    for cut in 0..=frame.len() {
        let mut raw = server.raw().await;
        raw.send([upgrade_request("/").as_bytes(), &frame[..cut]].concat())
            .await;
        assert_eq!(raw.head().await.status, 101);
        raw.send(&frame[cut..]).await;
        assert_eq!(raw.read(7).await, text_echo("early"));
    }
    control.finish("frames with the head").await;
}

#[tokio::test]
async fn a_client_that_half_closes_with_its_head_still_gets_its_echoes() {
    let server = TestServer::start().await;
    let control = server.control().await;
    let mut raw = server.raw().await;
    raw.send(
        [
            upgrade_request("/").as_bytes(),
            &text_frame("bye").repeat(1_000),
        ]
        .concat(),
    )
    .await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.head().await.status, 101);
    assert_eq!(raw.rest().await, text_echo("bye").repeat(1_000));
    control.finish("half-close").await;
}

#[tokio::test]
async fn the_heart_beats_on_a_socket_too() {
    let server = TestServer::start_with(ServerConfig {
        heartbeat: Some(Duration::from_millis(50)),
        ..config()
    })
    .await;
    let mut client = server.connect().await;
    for _ in 0..3 {
        assert_eq!(client.next().await, Message::text("heart beat"));
    }
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.send(Message::Ping("payload".into())).await;
    assert_eq!(client.next().await, Message::Pong("payload".into()));
}

#[tokio::test]
async fn one_server_listens_on_several_addresses() {
    let any_port = "127.0.0.1:0".parse().unwrap();
    let server = echobeat::Server::bind(ServerConfig {
        listen: vec![any_port; 3],
        ..config()
    });
    let server = server.await.unwrap();
    let endpoints = server.endpoints().to_vec();
    assert_eq!(endpoints.len(), 3);
    let running = tokio::spawn(server.serve(std::future::pending()));
    for endpoint in endpoints {
        let stream = tokio::net::TcpStream::connect(endpoint.socket_addr().unwrap())
            .await
            .unwrap();
        let url = endpoint.websocket_url("/");
        soon(tokio_tungstenite::client_async(url, stream))
            .await
            .expect("it upgrades");
    }
    running.abort();
}
