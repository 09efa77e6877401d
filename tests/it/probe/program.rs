//! The program: its table, its exit codes, Ctrl-C, and health checks.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::stub::{Habits, Stub, accept};
use super::{QUICK, probe, run};
use crate::support::{TestServer, soon};

#[tokio::test]
async fn the_report_is_a_table_unless_json_is_asked_for() {
    let server = TestServer::start().await;
    let url = format!("ws://{}/", server.address);
    let flags = [&["probe", &url, "--expect=h2"], &QUICK[..]].concat();
    let output = run(&flags).await;
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with(&url), "{table}");
    for line in [
        "handshake        pass",
        "size             pass",
        "h2: not met",
    ] {
        assert!(table.contains(line), "{table}");
    }
    assert!(output.stderr.is_empty(), "stderr is no terminal");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_wrong_expectation_is_an_error_of_usage() {
    let output = run(&["probe", "8002", "--expect=pong"]).await;
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("--expect"), "{error}");
}

#[tokio::test]
async fn headers_are_sent_and_the_address_may_be_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("--connect-to={}", listener.local_addr().unwrap());
    let flags = ["--header=X-Probe: yes", &to, "--timeout=1s"];
    let flags = [&QUICK[..], &flags].concat();
    let found = probe("ws://nowhere.invalid/ws?a=b", &flags);
    let head = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = accept(&mut stream).await;
        drop(listener);
        head
    };
    let (_found, head) = soon(async { tokio::join!(found, head) }).await;
    assert!(
        head.starts_with("GET /ws?a=b HTTP/1.1\r\nHost: nowhere.invalid\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nx-probe: yes\r\n"), "{head}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_has_what_is_known_so_far_printed() {
    use std::process::Stdio;

    use serde_json::Value;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let mut command = crate::cli::echobeat(&["probe", &url, "--json", "--timeout=1m"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut first, _) = soon(listener.accept()).await.unwrap();
    accept(&mut first).await;
    // The Close of the handshake's check goes unanswered, for a second. Then echoes are asked for.
    let (mut second, _) = soon(listener.accept()).await.unwrap();
    accept(&mut second).await;
    let id = child.id().expect("it runs").to_string();
    let killed = tokio::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(soon(killed).await.unwrap().success());
    let output = soon(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(report["checks"]["handshake"]["result"], "pass");
    assert_eq!(report["checks"]["ping"], Value::Null);
}

#[tokio::test]
async fn a_health_check_has_an_exit_code_and_a_sentence() {
    let server = TestServer::start().await;
    let health = |path: &str| {
        let url = format!("http://{}{path}", server.address);
        async move { run(&["probe", "--health", &url]).await }
    };
    let good = health("/healthz").await;
    assert_eq!(good.status.code(), Some(0));
    assert!(good.stdout.is_empty() && good.stderr.is_empty());
    let bad = health("/nothing-here?do=no-such-step").await;
    assert_eq!(bad.status.code(), Some(1));
    let told = String::from_utf8(bad.stderr).unwrap();
    assert!(told.contains("the answer is 4"), "{told}");
}

#[tokio::test]
async fn a_health_check_is_about_the_status_alone_and_ends() {
    // The body of the 200 does not come, and the interim answers do not end.
    for (answer, times, exit_code) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 1, 0),
        ("HTTP/1.1 102 Processing\r\n\r\n", usize::MAX, 1),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            let mut left = times;
            while left > 0 && stream.write_all(answer.as_bytes()).await.is_ok() {
                left -= 1;
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let output = run(&["probe", "--health", &url]).await;
        assert_eq!(output.status.code(), Some(exit_code), "{output:?}");
        soon(serving).await.unwrap();
    }
}

#[tokio::test]
async fn a_health_check_of_something_else_fails() {
    let stub = Stub::start(Habits::default()).await;
    let url = format!("http://{}/", stub.address);
    let output = run(&["probe", "--health", &url, "--timeout=1s"]).await;
    assert_eq!(output.status.code(), Some(1));
}
