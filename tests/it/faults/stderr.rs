//! A log that nobody reads: the server goes on as usual.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use echobeat_frames::{close_frame, text_echo, text_frame};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::cli::{Running, echobeat};
use crate::support::{Raw, soon, upgrade_request};
use crate::unix::{kill, kill_child, listen_on, socket_path};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The metric that counts dropped log lines.
const DROPPED: &str = "echobeat_log_lines_dropped_total";

/// More sessions than those whose lines fill a pipe.
const SESSIONS: usize = 300;

/// Opens a session, echoes, and leaves.
async fn visit(mut raw: Raw<impl Transport>) {
    raw.send(upgrade_request("/")).await;
    assert_eq!(raw.head().await.status, 101);
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
}

trait Transport: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Transport for S {}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    for args in [
        &["--log-format=compact"][..],
        &["--log-format=json"],
        &["-vv"],
    ] {
        let command = echobeat(&[&["127.0.0.1:0", "--drain=2s"], args].concat());
        let mut running = start(command).await;
        for _ in 0..SESSIONS {
            visit(Raw::connect(running.address()).await).await;
        }
        let mut open = Raw::session(running.address()).await;
        let mut raw = Raw::connect(running.address()).await;
        raw.send(HEALTH).await;
        assert_eq!(raw.response().await.status, 200, "{args:?}");
        drop(raw);

        kill("-TERM", &running).await;
        let begun = Instant::now();
        assert_eq!(open.read(4).await[2..], 1001_u16.to_be_bytes());
        open.send(close_frame(1001, b"")).await;
        drop(open);
        assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(8), "{args:?}: {took:?}");
    }
}

/// A program that serves, whatever its format of lines.
async fn start(mut command: Command) -> Running {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let url = loop {
        let line = soon(log.next_line()).await.unwrap().expect("a line");
        if let Some((_, url)) = line.split_once("ws://") {
            let (address, _) = url.split_once('/').expect("a path");
            break format!("ws://{address}/");
        }
    };
    Running { child, log, url }
}

#[tokio::test]
async fn lines_that_are_dropped_are_counted_and_reported_once_there_is_room() {
    let mut running = start(echobeat(&["127.0.0.1:0", "-v", "--log-format=json"])).await;
    let mut raw = Raw::connect(running.address()).await;
    // The log line of each request is as long.
    let nowhere = "x".repeat(15 << 10);
    let request = format!("GET /{nowhere} HTTP/1.1\r\nHost: a\r\n\r\n");
    let dropping = async {
        while running.metric(DROPPED).await == 0 {
            for _ in 0..20 {
                raw.send(&request).await;
                assert_eq!(raw.response().await.status, 404);
            }
        }
    };
    soon(dropping).await;
    let reading = async {
        loop {
            let line = running.next_line().await;
            let line: Value = serde_json::from_str(&line).expect("whole lines of JSON");
            let message = line["message"].as_str().unwrap_or_default();
            if message.starts_with("log lines were dropped") {
                assert_eq!(line["level"], "WARN");
                break line["lines"].as_u64().expect("a number");
            }
        }
    };
    let reported = soon(reading).await;
    assert!(reported > 0);
    // Nothing has been dropped since, because the log is read.
    assert_eq!(running.metric(DROPPED).await, reported);
    kill("-TERM", &running).await;
    running.logs("stopped").await;
}

/// A program whose lines go to `stderr`, once it listens on `path`.
async fn logging_to(path: &Path, stderr: impl Into<Stdio>) -> Child {
    let mut command = echobeat(&[&listen_on(path), "-vv"]);
    let child = command.stderr(stderr).spawn().unwrap();
    let listening = async {
        while UnixStream::connect(path).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    soon(listening).await;
    child
}

async fn visit_all(path: &Path) {
    for _ in 0..SESSIONS {
        let stream = UnixStream::connect(path).await.expect("it listens");
        visit(Raw { stream }).await;
    }
}

async fn stop(mut child: Child) {
    kill_child("-TERM", &child).await;
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_log_without_a_reader_stops_nothing() {
    let path = socket_path("no-reader.sock");
    let (reader, writer) = std::io::pipe().unwrap();
    let child = logging_to(&path, writer).await;
    drop(reader);
    visit_all(&path).await;
    stop(child).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_on_a_full_disk_stops_nothing() {
    let path = socket_path("full-disk.sock");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let child = logging_to(&path, full).await;
    visit_all(&path).await;
    stop(child).await;
}

#[tokio::test]
async fn a_log_to_a_non_blocking_pipe_loses_nothing() {
    let path = socket_path("non-blocking.sock");
    let (writer, mut reader) = pipe::pipe().unwrap();
    let writer: OwnedFd = writer.into_nonblocking_fd().unwrap();
    let child = logging_to(&path, writer).await;
    // Their lines are more than the pipe takes, and nobody has read it yet.
    visit_all(&path).await;
    let mut log = String::new();
    let (read, ()) = tokio::join!(soon(reader.read_to_string(&mut log)), stop(child));
    read.unwrap();
    let ends = log.lines().filter(|line| line.contains(": end why="));
    assert_eq!(ends.count(), SESSIONS);
    assert!(log.ends_with("INFO stopped\n"), "{:?}", log.lines().last());
}
