//! The scenes over all that a client may connect by.

use std::net::SocketAddr;

use echobeat::ServerConfig;
use echobeat_frames::text_echo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::scenes::scenes;
use super::{Event, path, play};
use crate::http2::{connect, serve};
use crate::proxy::TestProxy;
use crate::support::{Raw, TestServer, config, soon, upgrade_request};
use crate::tls::Issued;

/// Upgrades, and leaves what comes behind the head.
async fn upgrade<S>(raw: &mut Raw<S>, steps: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    raw.send(upgrade_request(&path(steps))).await;
    let head = raw.head().await;
    assert_eq!(head.status, 101, "{steps}: {head:?}");
    let accept = head.header("Sec-WebSocket-Accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

async fn play_all(address: SocketAddr) {
    for (steps, scene) in scenes() {
        let mut raw = Raw::connect(address).await;
        upgrade(&mut raw, steps).await;
        play(raw, steps, scene).await;
    }
}

#[tokio::test]
async fn every_step_works_over_tcp() {
    let server = TestServer::start().await;
    play_all(server.address).await;
}

#[tokio::test]
async fn every_step_works_through_the_proxy() {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    play_all(proxy.address).await;
}

#[tokio::test]
async fn every_step_works_over_tls() {
    let issued = Issued::new("scenario");
    let server = issued.serve(config()).await;
    for (steps, scene) in scenes() {
        let mut raw = issued.trusted().connect(server.address).await;
        upgrade(&mut raw, steps).await;
        play(raw, steps, scene).await;
    }
}

#[tokio::test]
async fn every_step_works_over_http2() {
    let server = serve(config()).await;
    // All on one connection, which must not suffer.
    let mut http2 = connect(server.address).await;
    for (steps, scene) in scenes() {
        let stream = http2.stream_at(&path(steps)).await;
        if !scene.iter().any(|event| matches!(event, Event::IsReset)) {
            play(stream.raw(), steps, scene).await;
            continue;
        }
        let mut stream = stream;
        for event in scene {
            if let Event::Sends(bytes) = event {
                stream.send.send_data(bytes.into(), false).unwrap();
            }
        }
        let reset = async {
            loop {
                match stream.receive.data().await {
                    Some(Ok(_)) => {}
                    end => return end,
                }
            }
        };
        match soon(reset).await {
            Some(Err(error)) => assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{steps}"),
            end => panic!("{steps}: {end:?}"),
        }
    }
    http2.client().await.echo("hello").await;
}

#[tokio::test]
async fn steps_of_the_server_hold_for_all_urls_unless_a_url_overrides_them() {
    let server = TestServer::start_with(ServerConfig {
        scenario: "greet:hi,close:4001@1msg".parse().unwrap(),
        ..config()
    })
    .await;
    let mut raw = server.raw_session().await;
    assert_eq!(raw.read(4).await, text_echo("hi"));
    for (steps, expected) in [("greet:you", "you"), ("close:4002@1msg", "hi")] {
        let mut raw = server.raw().await;
        upgrade(&mut raw, steps).await;
        assert_eq!(raw.read(expected.len() + 2).await, text_echo(expected));
    }
}

#[tokio::test]
async fn others_are_served_while_a_session_is_deaf_or_bursts() {
    let server = TestServer::start().await;
    let control = server.control().await;
    let mut raws = Vec::new();
    for steps in [
        "deaf",
        "stall",
        "burst:1024x1MiB",
        "rate:1",
        "beat:10ms,fragment:1",
    ] {
        let mut raw = server.raw().await;
        upgrade(&mut raw, steps).await;
        raws.push(raw);
    }
    let mut reader = raws.swap_remove(2);
    for number in 0..100_u64 {
        let header = reader.read(10).await;
        assert_eq!(header, b"\x82\x7f\0\0\0\0\0\x10\0\0");
        let payload = reader.read(1 << 20).await;
        assert_eq!(payload[..8], number.to_be_bytes());
        assert!(payload[8..].iter().all(|byte| *byte == 0));
    }
    control.finish("a burst").await;
}
