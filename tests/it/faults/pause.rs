//! A stop of the process, as on a sleeping laptop: bytes that came meanwhile wait in the socket.

use std::time::Duration;

use echobeat_frames::{PONG, frame, text_echo, text_frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use super::fairness::http2_session;
use super::process::serve;
use crate::cli::Running;
use crate::support::{Raw, upgrade_request};
use crate::tls::Issued;
use crate::unix::kill;

/// Longer than every timeout of these servers.
const STOP: Duration = Duration::from_secs(2);

const PINGS: [&str; 2] = ["--ping-interval=300ms", "--ping-timeout=1s"];

const PING: [u8; 2] = [0x89, 0];

/// Sends `answers` while the server is stopped, and has it go on after all timeouts.
async fn answer_late<S>(running: &Running, raw: &mut Raw<S>, answers: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    kill("-STOP", running).await;
    raw.send(answers).await;
    sleep(STOP).await;
    kill("-CONT", running).await;
}

async fn expect_life<S>(running: &Running, mut raw: Raw<S>, path: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    raw.send(upgrade_request(path)).await;
    assert_eq!(raw.head().await.status, 101);
    assert_eq!(raw.read(2).await, PING);
    answer_late(running, &mut raw, &frame(PONG, b"")).await;
    raw.send(text_frame("alive")).await;
    let mut first = raw.read(2).await;
    while first == PING {
        first = raw.read(2).await;
    }
    let rest = raw.read(5).await;
    assert_eq!([first, rest].concat(), text_echo("alive"), "{path}");
}

#[tokio::test]
async fn a_pong_that_came_in_a_stop_is_in_time() {
    let running = serve(&PINGS).await;
    for path in ["/", "/?do=beat:off"] {
        expect_life(&running, Raw::connect(running.address()).await, path).await;
    }
}

#[tokio::test]
async fn a_pong_that_came_over_tls_in_a_stop_is_in_time() {
    let issued = Issued::new("pause");
    let running = issued.run(&PINGS).await;
    let raw = issued.trusted().connect(running.address()).await;
    expect_life(&running, raw, "/").await;
}

#[tokio::test]
async fn a_head_that_came_in_a_stop_is_in_time() {
    let running = serve(&["--handshake-timeout=1s"]).await;
    let mut raw = Raw::connect(running.address()).await;
    answer_late(&running, &mut raw, upgrade_request("/").as_bytes()).await;
    assert_eq!(raw.head().await.status, 101);
}

/// The next frame of HTTP/2: its type, its flags, and its payload.
async fn http2_frame(raw: &mut Raw) -> (u8, u8, Vec<u8>) {
    let header = raw.read(9).await;
    let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let payload = raw.read(length as usize).await;
    (header[3], header[4], payload)
}

/// Waits for a PING of the connection and a Ping of its session, and gives the answers to both.
async fn http2_pings(raw: &mut Raw) -> Vec<u8> {
    const DATA: u8 = 0;
    const PING_OF_HTTP2: u8 = 6;
    const GOAWAY: u8 = 7;
    let (mut to_connection, mut to_session) = (Vec::new(), Vec::new());
    while to_connection.is_empty() || to_session.is_empty() {
        match http2_frame(raw).await {
            (PING_OF_HTTP2, 0, payload) => {
                to_connection = [&[0, 0, 8, PING_OF_HTTP2, 1, 0, 0, 0, 0], &payload[..]].concat();
            }
            (DATA, 0, payload) => {
                assert_eq!(payload, PING, "a Ping, and no Close");
                let pong = frame(PONG, b"");
                to_session = [&[0, 0, 6, DATA, 0, 0, 0, 0, 1], &pong[..]].concat();
            }
            (kind, _, payload) => assert_ne!(kind, GOAWAY, "{payload:?}"),
        }
    }
    [to_connection, to_session].concat()
}

#[tokio::test]
async fn pongs_that_came_over_http2_in_a_stop_are_in_time() {
    let running = serve(&[&PINGS[..], &["--h2c"]].concat()).await;
    let mut raw = Raw::connect(running.address()).await;
    raw.send(http2_session()).await;
    let answers = http2_pings(&mut raw).await;
    answer_late(&running, &mut raw, &answers).await;
    http2_pings(&mut raw).await;
}
