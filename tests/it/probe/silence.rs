//! Silence: what cuts a connection, how, and what keeps it open.

use std::time::Duration;

use echobeat::{ProxyConfig, ServerConfig};

use super::stub::{Cut, Habits, SILENCE, Stub};
use super::{Found, probe};
use crate::proxy::{TestProxy, to};
use crate::support::{TestServer, config};

/// Probes a server that cuts silent connections.
async fn found(cut: Cut) -> Found {
    let stub = Stub::start(Habits {
        cut,
        ..Habits::default()
    })
    .await;
    let flags = ["--max-message=1KiB", "--max-idle=2s", "--timeout=1s"];
    probe(&stub.url(), &flags).await
}

/// Expects a cut that is seen when it comes.
async fn expect_cut(cut: Cut, pointer: &str, value: impl Into<serde_json::Value>) {
    let found = found(cut).await;
    found.expect(&[
        ("idle", "limited"),
        ("keepalive-ping", "pass"),
        ("keepalive-data", "pass"),
        ("ping-from-there", "skipped"),
        ("unanswered-ping", "skipped"),
    ]);
    assert_eq!(found.field("idle", pointer), &value.into());
    let after = found.number("idle", "/cut_after_s");
    assert!(after >= SILENCE.as_secs_f64(), "{after}");
    assert!(found.number("idle", "/passes_s") < after);
}

#[tokio::test]
async fn a_cut_after_a_silence_is_found_with_the_way_it_came() {
    tokio::join!(
        expect_cut(Cut::Fin, "/cut/tcp", "fin"),
        expect_cut(Cut::Rst, "/cut/tcp", "rst"),
        expect_cut(Cut::Close, "/cut/close/code", 4000),
    );
}

#[tokio::test]
async fn a_connection_that_is_forgotten_is_found_by_bisection() {
    let found = found(Cut::Forget).await;
    found.expect(&[("idle", "limited"), ("keepalive-data", "pass")]);
    assert_eq!(found.field("idle", "/cut/tcp"), "open");
    let (passes, fails) = (
        found.number("idle", "/passes_s"),
        found.number("idle", "/fails_s"),
    );
    assert!(passes < fails, "{passes} {fails}");
    assert!(fails > 0.5 && passes < 1.0, "{passes} {fails}");
}

#[tokio::test]
async fn a_connection_that_is_never_cut_outlasts_the_longest_silence() {
    let server = TestServer::start_with(ServerConfig {
        ping_interval: None,
        ..config()
    })
    .await;
    let flags = [
        "--max-idle=300ms",
        "--max-message=1KiB",
        "--expect=idle,idle>=300ms",
    ];
    let found = probe(&format!("ws://{}/", server.address), &flags).await;
    found.expect(&[("idle", "pass"), ("keepalive-ping", "skipped")]);
    assert_eq!(found.exit_code, Some(0));
}

#[tokio::test]
async fn pings_from_there_are_seen_and_unanswered_ones_have_their_end() {
    let server = TestServer::start_with(ServerConfig {
        ping_interval: Some(Duration::from_millis(300)),
        ping_timeout: Duration::from_secs(1),
        ..config()
    })
    .await;
    let flags = ["--max-idle=3s", "--max-message=1KiB"];
    let found = probe(&format!("ws://{}/", server.address), &flags).await;
    found.expect(&[
        ("idle", "pass"),
        ("ping-from-there", "pass"),
        ("unanswered-ping", "limited"),
    ]);
    assert!(found.number("ping-from-there", "/count") > 1.0);
    assert!(found.detail("idle").contains("the far end sent"));
    assert_eq!(found.field("unanswered-ping", "/cut/close/code"), 1011);
}

#[tokio::test]
async fn the_proxys_idle_timeout_is_found() {
    let server = TestServer::start_with(ServerConfig {
        ping_interval: None,
        ..config()
    })
    .await;
    let proxy = TestProxy::start(ProxyConfig {
        idle_timeout: Some(SILENCE),
        ..to(&format!("http://{}", server.address))
    })
    .await;
    let flags = [
        "--max-idle=2s",
        "--max-message=1KiB",
        "--expect=idle>=600ms",
    ];
    let found = probe(&format!("ws://{}/", proxy.address), &flags).await;
    found.expect(&[
        ("idle", "limited"),
        ("keepalive-ping", "pass"),
        ("keepalive-data", "pass"),
    ]);
    assert_eq!(found.field("idle", "/cut/tcp"), "fin");
    assert_eq!(found.exit_code, Some(0));
}
