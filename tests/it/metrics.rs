//! What is counted, as Prometheus sees it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use echobeat::{ApiConfig, ClusterConfig, ServerConfig};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;

use crate::api::ask;
use crate::support::{TestServer, config, soon, upgrade_request};

/// All lines of an exposition that are no comments.
async fn samples(server: &TestServer) -> Vec<(String, f64)> {
    let response = server
        .ask("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(response.status, 200);
    let lines = response.body.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    samples.collect()
}

async fn sample(server: &TestServer, name: &str) -> f64 {
    let samples = samples(server).await;
    let found = samples.iter().find(|(found, _)| found == name);
    found.map_or(0.0, |(_, value)| *value)
}

/// Waits until a sample has this value.
async fn becomes(server: &TestServer, name: &str, value: f64) {
    let found = async {
        while sample(server, name).await != value {
            tokio::task::yield_now().await;
        }
    };
    soon(found).await;
}

#[tokio::test]
async fn sessions_and_messages_are_counted_when_sessions_end() {
    let server = TestServer::start_with(ServerConfig {
        heartbeat: Some(Duration::from_millis(20)),
        heartbeat_text: "beat".to_owned(),
        ..config()
    })
    .await;
    for n in 1..=5 {
        let mut client = server.connect().await;
        for message in [Message::text("x".repeat(n)), Message::binary(vec![0; 3])] {
            client.send(message.clone()).await;
            while client.next().await != message {}
        }
        while client.next().await != Message::text("beat") {}
        soon(client.socket.close(None)).await.unwrap();
        while soon(client.socket.next()).await.is_some() {}
    }
    let refused = server.ask(upgrade_request("/").replace("13", "12")).await;
    assert_eq!(refused.status, 426);
    let plain = "{transport=\"h1\",tls=\"none\"}";
    becomes(&server, &format!("echobeat_sessions{plain}"), 0.0).await;
    for (name, value) in [
        (format!("echobeat_sessions_opened_total{plain}"), 5.0),
        ("echobeat_refusals_total{status=\"426\"}".to_owned(), 1.0),
        ("echobeat_handshake_duration_seconds_count".to_owned(), 5.0),
        ("echobeat_session_duration_seconds_count".to_owned(), 5.0),
        (
            "echobeat_messages_total{direction=\"received\",kind=\"text\"}".to_owned(),
            5.0,
        ),
        (
            "echobeat_messages_total{direction=\"received\",kind=\"binary\"}".to_owned(),
            5.0,
        ),
        (
            "echobeat_messages_total{direction=\"sent\",kind=\"binary\"}".to_owned(),
            5.0,
        ),
        (
            "echobeat_payload_bytes_total{direction=\"received\",kind=\"text\"}".to_owned(),
            15.0,
        ),
        (
            "echobeat_payload_bytes_total{direction=\"sent\",kind=\"binary\"}".to_owned(),
            15.0,
        ),
        ("echobeat_build_info{version=\"0.1.0\"}".to_owned(), 1.0),
        ("echobeat_draining".to_owned(), 0.0),
    ] {
        assert_eq!(sample(&server, &name).await, value, "{name}");
    }
    let beats = sample(&server, "echobeat_heart_beats_total").await;
    assert!(beats >= 5.0, "{beats} beats");
    let texts = "echobeat_messages_total{direction=\"sent\",kind=\"text\"}";
    assert_eq!(sample(&server, texts).await, 5.0 + beats);
    let closed = "echobeat_sessions_ended_total{why=\"closed\"}";
    assert_eq!(sample(&server, closed).await, 5.0);
}

#[tokio::test]
async fn messages_of_a_session_that_goes_on_are_counted_too() {
    let server = TestServer::start_with(ServerConfig {
        ping_interval: Some(Duration::from_millis(100)),
        ..config()
    })
    .await;
    let mut client = server.connect().await;
    client.echo("hello").await;
    // The clock, which asks for the next Ping, adds up as well.
    let received = "echobeat_messages_total{direction=\"received\",kind=\"text\"}";
    becomes(&server, received, 1.0).await;
    let open = "echobeat_sessions{transport=\"h1\",tls=\"none\"}";
    assert_eq!(sample(&server, open).await, 1.0);
    drop(client);
}

#[tokio::test]
async fn the_exposition_is_text_with_help_and_zeros() {
    let server = TestServer::start().await;
    let response = server.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let of_text = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(response.header("content-type"), Some(of_text));
    assert!(response.body.contains("# HELP echobeat_messages_total "));
    for at_zero in [
        "echobeat_refusals_total{status=\"503\"} 0\n",
        "echobeat_sessions_ended_total{why=\"stuck\"} 0\n",
    ] {
        assert!(response.body.contains(at_zero), "{at_zero}");
    }
    #[cfg(target_os = "linux")]
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
    ] {
        assert!(sample(&server, name).await > 0.0, "{name}");
    }
    let refused = server
        .ask("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}

/// A server that exposes everything: some appears with the first session, or the first request.
pub async fn with_everything() -> TestServer {
    // Nobody listens there: a node works alone without NATS.
    let nats = vec!["nats://127.0.0.1:1".parse().unwrap()];
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        cluster: Some(ClusterConfig::new(nats)),
        ..config()
    })
    .await;
    server.connect().await.echo("hello").await;
    assert_eq!(ask(server.address, "GET /connections").await.0, 200);
    server
}

/// What the panels of the dashboard ask Prometheus for.
fn expressions() -> Vec<String> {
    let dashboard = include_str!("../../contrib/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let expressions = targets.flatten().map(|target| {
        let expression = target["expr"].as_str().expect("an expression");
        expression.to_owned()
    });
    expressions.collect()
}

/// The names of ours among these words.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("echobeat_"))
        .collect()
}

#[tokio::test]
async fn the_dashboard_shows_every_metric_and_nothing_else() {
    let server = with_everything().await;
    let counted = samples(&server).await;
    let counted: Vec<&str> = counted.iter().map(|(name, _)| name.as_str()).collect();
    let (counted, asked) = (counted.join("\n"), expressions().join("\n"));
    // A histogram is asked for by its buckets alone.
    let of_others = |name: &&str| !name.ends_with("_sum") && !name.ends_with("_count");
    let counted: BTreeSet<&str> = names(&counted).into_iter().filter(of_others).collect();
    assert_eq!(names(&asked), counted);
}

#[tokio::test]
#[ignore = "needs promtool, which is in Debian's package prometheus"]
async fn promtool_parses_the_queries_of_the_dashboard() {
    let rule = |expression: &String| {
        let expression = expression.replace("$__rate_interval", "1m");
        json!({ "record": "panel", "expr": expression })
    };
    let rules: Vec<Value> = expressions().iter().map(rule).collect();
    assert!(!rules.is_empty());
    let rules = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/dashboard.rules");
    fs::write(path, rules.to_string()).unwrap();
    let mut promtool = Command::new("promtool");
    let promtool = promtool.args(["check", "rules", "--lint=none", path]);
    let output = soon(promtool.output()).await.expect("promtool is there");
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[tokio::test]
#[ignore = "needs promtool, which is in Debian's package prometheus"]
async fn promtool_accepts_the_exposition() {
    let server = with_everything().await;
    server.ask(upgrade_request("/").replace("13", "12")).await;
    let response = server.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(response.body.as_bytes()).await.unwrap();
    drop(stdin);
    let output = soon(promtool.wait_with_output()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8(said).unwrap(), "");
    assert!(output.status.success());
}
