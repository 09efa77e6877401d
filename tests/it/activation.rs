//! Sockets that are passed to the program, as systemd does for socket activation.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::tungstenite::Message;

use crate::cli::{Running, echobeat, program};
use crate::support::{Client, soon};
use crate::unix::{kill, socket_path};

/// Starts the program, with its standard input as the first passed socket.
const PASS: &str = r#"LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" 3<&0 0</dev/null"#;

/// Starts the program with this socket, which the test keeps open.
async fn start(socket: impl Into<OwnedFd>) -> Running {
    let echobeat = env!("CARGO_BIN_EXE_echobeat");
    let mut command = program("sh", &["-c", PASS, echobeat, "fd:3"]);
    command.stdin(Stdio::from(socket.into()));
    Running::start(command).await
}

async fn connect(address: SocketAddr) -> Client {
    let stream = soon(TcpStream::connect(address)).await;
    let stream = stream.expect("a connection is never refused");
    let client = Client::over(stream, format!("ws://{address}/")).await;
    client.expect("the server upgrades")
}

async fn stop(running: &mut Running) {
    running.logs("stopped").await;
    assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_restart_refuses_no_connection() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut old = start(socket.try_clone().unwrap()).await;
    assert_eq!(old.address(), address);
    let client = connect(address).await;
    kill("-TERM", &old).await;
    old.logs("draining").await;
    let late = tokio::spawn(connect(address));
    assert!(client.expect_close().await.is_some());
    stop(&mut old).await;
    let between = tokio::spawn(connect(address));
    let _new = start(socket).await;
    for client in [late, between] {
        let mut socket = soon(client).await.expect("it connects").socket;
        soon(socket.send("hello".into())).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), "hello".into());
    }
}

#[tokio::test]
async fn the_file_of_a_passed_unix_socket_stays() {
    let path = socket_path("passed.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mut running = start(socket).await;
    assert_eq!(running.url, format!("unix:{}", path.display()));
    let stream = soon(UnixStream::connect(&path)).await.unwrap();
    let client = Client::over(stream, "ws://localhost/".to_owned()).await;
    let mut socket = client.expect("the server upgrades").socket;
    kill("-TERM", &running).await;
    let close = soon(socket.next()).await.unwrap().unwrap();
    assert!(matches!(close, Message::Close(Some(_))), "{close}");
    drop(socket);
    stop(&mut running).await;
    assert!(path.exists());
}

#[tokio::test]
async fn a_socket_that_was_not_passed_is_named() {
    let output = soon(echobeat(&["fd:3"]).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    let sentence = "cannot listen on fd:3: no such socket was passed";
    assert!(complaint.contains(sentence), "{complaint}");
}

#[tokio::test]
async fn a_socket_of_another_kind_is_refused() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let echobeat = env!("CARGO_BIN_EXE_echobeat");
    let mut command = program("sh", &["-c", PASS, echobeat, "fd:3"]);
    command.stdin(Stdio::from(OwnedFd::from(socket)));
    let output = soon(command.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    let sentence = "fd:3: what was passed is neither a TCP socket nor a Unix stream socket";
    assert!(complaint.contains(sentence), "{complaint}");
}

#[tokio::test]
#[ignore = "needs systemd-socket-activate"]
async fn systemd_starts_the_program_at_the_first_connection() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let listen = format!("--listen={address}");
    let echobeat = env!("CARGO_BIN_EXE_echobeat");
    let mut command = program("systemd-socket-activate", &[&listen, echobeat, "fd:3"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = soon(log.next_line()).await.unwrap().expect("a line");
    assert!(line.contains("Listening on"), "{line}");
    let mut socket = connect(address).await.socket;
    soon(socket.send("hello".into())).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), "hello".into());
}
