//! The echo and the heart beat. What is not about the server's own settings is run twice: against a
//! server, and against two programs, of which the first is a proxy in front of the second.

use std::net::SocketAddr;
use std::time::Duration;

use echobeat::ServerConfig;
use echobeat_frames::{text_echo, text_frame};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::cli::{Running, echobeat};
use crate::support::{Client, Control, Raw, TestServer, config, soon, upgrade_request};

/// Interval of the heart beat, where there is one.
const BEAT: Duration = Duration::from_millis(50);

/// What the suite is run against, for as long as this lives.
struct Target {
    address: SocketAddr,
    _running: Vec<Running>,
    _server: Option<TestServer>,
}

impl Target {
    /// A server.
    async fn server(heartbeat: Option<Duration>) -> Self {
        let server = TestServer::start_with(ServerConfig {
            heartbeat,
            ..config()
        })
        .await;
        Self {
            address: server.address,
            _running: Vec::new(),
            _server: Some(server),
        }
    }

    /// A proxy, and a server behind it.
    async fn programs(heartbeat: Option<Duration>) -> Self {
        let heartbeat =
            heartbeat.map_or("off".to_owned(), |beat| format!("{}ms", beat.as_millis()));
        let heartbeat = format!("--heartbeat={heartbeat}");
        let server = Running::start(echobeat(&["127.0.0.1:0", &heartbeat])).await;
        let upstream = format!("--upstream={}", server.url);
        let proxy = Running::start(echobeat(&["proxy", "--listen=127.0.0.1:0", &upstream])).await;
        Self {
            address: proxy.address(),
            _running: vec![proxy, server],
            _server: None,
        }
    }

    async fn connect(&self) -> Client {
        let url = format!("ws://{}/wshandler", self.address);
        let client = Client::over(self.raw().await.stream, url).await;
        client.expect("it upgrades")
    }

    async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    async fn control(&self) -> Control {
        Control::start(self.address).await
    }
}

macro_rules! suite {
    ($($test:ident($heartbeat:expr))*) => {
        mod direct {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Target::server($heartbeat).await).await;
            })*
        }

        mod through_the_proxy {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Target::programs($heartbeat).await).await;
            })*
        }
    };
}

suite! {
    messages_of_every_size_come_back_as_they_were_sent(None)
    a_thousand_messages_in_flight_keep_their_order(None)
    many_clients_are_served_at_once(None)
    frames_in_the_segment_of_the_head_are_echoed(None)
    a_client_that_half_closes_with_its_head_still_gets_its_echoes(None)
    the_heart_beats(Some(super::BEAT))
    echoes_and_heart_beats_share_a_session(Some(super::BEAT))
    a_ping_is_answered_with_its_payload(None)
    a_close_is_answered_with_its_code(None)
}

async fn messages_of_every_size_come_back_as_they_were_sent(server: Target) {
    server.connect().await.echo_every_size().await;
}

async fn a_thousand_messages_in_flight_keep_their_order(server: Target) {
    server.connect().await.echo_in_order().await;
}

async fn many_clients_are_served_at_once(server: Target) {
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(server.connect().await);
    }
    for client in &mut clients {
        client.echo("hello").await;
    }
}

async fn frames_in_the_segment_of_the_head_are_echoed(server: Target) {
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

async fn a_client_that_half_closes_with_its_head_still_gets_its_echoes(server: Target) {
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

async fn the_heart_beats(server: Target) {
    let mut client = server.connect().await;
    for _ in 0..3 {
        assert_eq!(client.next().await, Message::text("heart beat"));
    }
}

async fn echoes_and_heart_beats_share_a_session(server: Target) {
    let mut client = server.connect().await;
    let (mut echoes, mut beats) = (0, 0);
    while echoes < 10 || beats < 3 {
        client.send("hello").await;
        loop {
            match client.next().await {
                Message::Text(text) if text == "heart beat" => beats += 1,
                echo => break assert_eq!(echo, Message::text("hello")),
            }
        }
        echoes += 1;
    }
}

async fn a_ping_is_answered_with_its_payload(server: Target) {
    let mut client = server.connect().await;
    client.send(Message::Ping("payload".into())).await;
    assert_eq!(client.next().await, Message::Pong("payload".into()));
}

async fn a_close_is_answered_with_its_code(server: Target) {
    let (code, reason) = (CloseCode::from(4001), "enough".into());
    server
        .connect()
        .await
        .close(CloseFrame { code, reason })
        .await;
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
