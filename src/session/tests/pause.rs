//! Deadlines of a process that was stopped: bytes that came meanwhile are read only after the
//! timers fire.

use tokio::time::{Instant, advance};

use super::*;
use crate::runtime::deadline::GRACE;
use crate::session::schedule::PROGRESS_TIMEOUT;

fn pinging() -> ServerConfig {
    ServerConfig {
        heartbeat: None,
        ..ServerConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_waits_in_the_socket_counts() {
    let mut client = Client::start(pinging());
    client.expect(PING, b"").await;
    // The session's timer fires before it has read its socket.
    advance(Duration::from_secs(1000)).await;
    settle().await;
    client.send(&frame(PONG, b"")).await;
    client.expect(PING, b"").await;
    // The session goes on, and a silent peer still ends it.
    client.expect_close(1011).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_goes_on_in_the_socket_makes_progress() {
    let mut client = Client::start(quiet());
    let message = frame(BINARY, &[1; 100]);
    client.send(&message[..50]).await;
    settle().await;
    advance(1000 * PROGRESS_TIMEOUT).await;
    settle().await;
    client.send(&message[50..]).await;
    client.expect(BINARY, &[1; 100]).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_meanwhile_takes_what_it_is_sent() {
    let mut client = Client::start_over(quiet(), 256);
    client.send(&frame(BINARY, &[5; 300])).await;
    settle().await;
    advance(Duration::from_secs(1000)).await;
    settle().await;
    client.expect(BINARY, &[5; 300]).await;
    client.send(&frame(TEXT, b"on it goes")).await;
    client.expect(TEXT, b"on it goes").await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_our_close_counts() {
    let mut client = Client::start(quiet());
    client.shutdown.begin(Duration::ZERO, usize::MAX);
    let (first, payload) = client.frame().await;
    assert_eq!(first, CLOSE);
    advance(Duration::from_secs(1000)).await;
    settle().await;
    client.send(&frame(CLOSE, &payload)).await;
    assert!(client.expect_end().await.clean);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_misbehave_read_too_before_they_give_a_peer_up() {
    let mut client = super::faulty::start(pinging(), "echo:off", PIPE);
    client.expect(PING, b"").await;
    advance(Duration::from_secs(1000)).await;
    settle().await;
    client.send(&frame(PONG, b"")).await;
    client.expect(PING, b"").await;
    let pinged = Instant::now();
    client.expect_close(1011).await;
    let silence = pinged.elapsed();
    assert!(silence >= Duration::from_secs(10) + GRACE, "{silence:?}");
}
