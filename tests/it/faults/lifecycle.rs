use std::time::Duration;

use echobeat::ServerConfig;
use echobeat_frames::close_frame;
use tokio::time::Instant;

#[cfg(target_os = "linux")]
use super::process::serve_many;
use crate::support::{Raw, TestServer, config, soon, upgrade_request};

#[tokio::test]
async fn sessions_over_the_limit_are_refused_until_others_end() {
    const PLACES: usize = 20;
    let server = TestServer::start_with(ServerConfig {
        max_connections: PLACES + 1,
        ..config()
    })
    .await;
    let control = server.control().await;
    let mut sessions = Vec::new();
    for _ in 0..PLACES {
        sessions.push(server.raw_session().await);
    }
    for _ in 0..100 {
        let refused = server.ask(upgrade_request("/")).await;
        assert_eq!(refused.status, 503);
        assert!(refused.header("Retry-After").is_some(), "{refused:?}");
    }
    let health = server
        .ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(health.status, 200);

    sessions.pop();
    let again = async {
        loop {
            match server.try_connect().await {
                Ok(client) => break client,
                Err(_full) => tokio::task::yield_now().await,
            }
        }
    };
    soon(again).await.echo("now me").await;
    control.finish("too many sessions").await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn ten_thousand_resets_leak_nothing() {
    let running = serve_many(&[]).await;
    let control = running.control().await;
    let (files, memory) = (running.files(), running.memory());
    for n in 0..10_000 {
        let mut raw = Raw::connect(running.address()).await;
        match n % 3 {
            0 => {}
            1 => raw.send("GET / HTTP/1.1\r\n").await,
            _ => raw.send(upgrade_request("/")).await,
        }
        raw.stream.set_zero_linger().expect("a reset on close");
    }
    let closed = async {
        while running.files() > files {
            tokio::task::yield_now().await;
        }
    };
    soon(closed).await;
    let grown = running.memory().saturating_sub(memory);
    assert!(grown < 10 << 10, "{grown} KiB more");
    control.finish("resets").await;
}

#[tokio::test]
async fn a_dead_peer_is_gone_within_ping_interval_and_timeout() {
    let server = TestServer::start_with(ServerConfig {
        ping_interval: Some(Duration::from_millis(400)),
        ping_timeout: Duration::from_millis(300),
        ..config()
    })
    .await;
    let control = server.control().await;
    let mut raw = server.raw_session().await;
    let begun = Instant::now();
    assert_eq!(raw.read(2).await, [0x89, 0]);
    // It ignores the Ping, as a process that is stopped would.
    let close = raw.rest().await;
    assert_eq!(close[..4], [0x88, close[1], 0x03, 0xf3], "1011");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    control.finish("a dead peer").await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_dropped() {
    let server = TestServer::start_with(ServerConfig {
        close_timeout: Duration::from_millis(200),
        drain: Duration::from_secs(4),
        ..config()
    })
    .await;
    let raw = server.raw_session().await;
    let begun = Instant::now();
    let running = server.stop();
    raw.expect_close(1001).await;
    soon(running).await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_millis(3_500),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
#[cfg(target_os = "linux")]
#[ignore = "takes 6,000 file descriptors and some seconds"]
async fn five_thousand_sessions_are_closed_in_time() {
    echobeat::platform::raise_open_file_limit();
    let mut running = serve_many(&["--drain=8s"]).await;
    let mut sessions = Vec::new();
    for _ in 0..5_000 {
        sessions.push(Raw::session(running.address()).await);
    }
    let address = running.address();
    let begun = Instant::now();
    crate::unix::kill("-TERM", &running).await;
    let refused = async {
        loop {
            let mut late = Raw::connect(address).await;
            late.send(upgrade_request("/")).await;
            match late.head().await.status {
                101 => tokio::task::yield_now().await,
                status => break status,
            }
        }
    };
    assert_eq!(soon(refused).await, 503);
    for mut raw in sessions {
        let close = raw.read(4).await;
        assert_eq!((close[0], &close[2..]), (0x88, &1001_u16.to_be_bytes()[..]));
        // Answered, so that it ends.
        raw.send(close_frame(1001, b"")).await;
    }
    assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
}
