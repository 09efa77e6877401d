//! What only Unix has: its signals, its sockets, its limit of open files.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::cli::{Running, echobeat};
use crate::support::{Control, Raw, soon, text_echo, text_frame};

pub async fn kill(signal: &str, running: &Running) {
    kill_child(signal, &running.child).await;
}

pub async fn kill_child(signal: &str, child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    let status = Command::new("kill").args([signal, &pid]).status().await;
    assert!(status.expect("kill runs").success());
}

/// A path in the tests' own folder that nothing else uses.
pub fn socket_path(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

pub fn listen_on(path: &std::path::Path) -> String {
    format!("unix:{}", path.display())
}

#[tokio::test]
async fn a_signal_closes_every_session_and_exits_with_0() {
    for signal in ["-INT", "-TERM"] {
        let mut running = Running::start(echobeat(&["127.0.0.1:0", "--drain=1s"])).await;
        let stream = TcpStream::connect(running.address()).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(&running.url, stream)
            .await
            .unwrap();
        soon(socket.send("hello".into())).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), "hello".into());

        kill(signal, &running).await;
        let Message::Close(Some(frame)) = soon(socket.next()).await.unwrap().unwrap() else {
            panic!("Close was expected");
        };
        assert_eq!(u16::from(frame.code), 1001);
        assert!(soon(socket.next()).await.is_none());
        running
            .logs("end why=\"drained\" code=1001 clean=true")
            .await;
        running.logs("stopped").await;
        assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_exits_at_once() {
    let mut running = Running::start(echobeat(&["127.0.0.1:0", "--drain=1h"])).await;
    let _stubborn = Raw::session(running.address()).await;
    kill("-INT", &running).await;
    running.logs("draining sessions=1").await;
    // What comes right behind the first is the same request.
    let exited = async {
        loop {
            kill("-TERM", &running).await;
            let a_moment = Duration::from_millis(100);
            if let Ok(exited) = timeout(a_moment, running.child.wait()).await {
                break exited.unwrap();
            }
        }
    };
    assert_eq!(soon(exited).await.code(), Some(143));
    running.logs("SIGTERM: stopped at once").await;
}

#[tokio::test]
async fn what_is_dropped_after_the_drain_is_counted_once() {
    let mut running = Running::start(echobeat(&["127.0.0.1:0", "--drain=200ms"])).await;
    let mut stubborn = Vec::new();
    for _ in 0..3 {
        let raw = Raw::session(running.address()).await;
        stubborn.push(raw);
    }
    kill("-TERM", &running).await;
    let warning = running.logs("WARN").await;
    assert!(warning.contains("sessions=3"), "{warning}");
    assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed_at_the_end() {
    let path = socket_path("served.sock");
    let mut running = Running::start(echobeat(&[&listen_on(&path)])).await;
    assert_eq!(running.url, listen_on(&path));
    let stream = UnixStream::connect(&path).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/", stream)
        .await
        .unwrap();
    soon(socket.send("hello".into())).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), "hello".into());
    drop(socket);
    kill("-TERM", &running).await;
    assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_or_another_file_is_not() {
    let stale = socket_path("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    let first = Running::start(echobeat(&[&listen_on(&stale)])).await;

    let second = soon(echobeat(&[&listen_on(&stale)]).output())
        .await
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(stale.exists(), "it still belongs to the first");
    UnixStream::connect(&stale).await.unwrap();
    drop(first);

    let file = socket_path("file.txt");
    std::fs::write(&file, "precious").unwrap();
    let refused = soon(echobeat(&[&listen_on(&file)]).output()).await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

#[tokio::test]
async fn out_of_files_the_server_says_so_once_and_recovers() {
    let program = env!("CARGO_BIN_EXE_echobeat");
    let mut shell = Command::new("sh");
    let limited = "ulimit -n 40 && exec \"$0\" \"$@\"";
    shell
        .args([
            "-c",
            limited,
            program,
            "127.0.0.1:0",
            "--threads=1",
            "--heartbeat=off",
            "--max-connections=30",
        ])
        .kill_on_drop(true);
    let mut running = Running::start(shell).await;
    let address = running.address();
    let control = Control::start(address).await;

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    let warning = running.logs("WARN").await;
    assert!(warning.contains("cannot accept"), "{warning}");
    // Time for a few more tries, each of which might log.
    sleep(Duration::from_millis(200)).await;
    drop(crowd);
    let next = running.logs("accept").await;
    assert!(next.contains("accepting again"), "one warning, then {next}");

    let mut raw = Raw::session(address).await;
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
    control.finish("no more files").await;
}
