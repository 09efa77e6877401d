//! Repeated signals, and blocked files and peers: neither delay the end of the program nor cut it
//! short.

use std::fs;
#[cfg(target_os = "linux")]
use std::net::UdpSocket;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use echobeat_frames::{close_frame, text_frame};
use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe::{self, Sender};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::cli::{Running, echobeat};
use crate::http2;
use crate::support::{Raw, soon, upgrade_request};
use crate::tls::Issued;
use crate::unix::{kill, kill_child, socket_path};

/// Time limit for an exit that waits for nothing: shorter than anything that blocks.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Sends all of these signals, one right behind the other.
async fn kill_with(signals: &[&str], running: &Running) {
    let pid = running.child.id().expect("it runs").to_string();
    let kills: Vec<_> = signals
        .iter()
        .map(|signal| format!("kill {signal} {pid}"))
        .collect();
    let mut shell = Command::new("sh");
    let status = shell.args(["-c", &kills.join("; ")]).status().await;
    assert!(status.expect("sh runs").success());
}

/// Expects that the program ends well, and soon.
async fn expect_exit(running: &mut Running) {
    let begun = Instant::now();
    let status = soon(running.child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn two_signals_at_once_begin_one_drain() {
    for signals in [["-INT", "-INT"], ["-TERM", "-TERM"], ["-INT", "-TERM"]] {
        let mut running = Running::start(echobeat(&["127.0.0.1:0", "--close-timeout=1s"])).await;
        let mut raw = Raw::session(running.address()).await;
        // It does not answer, so that the drain lasts.
        let mut stubborn = Raw::session(running.address()).await;
        kill_with(&signals, &running).await;
        for raw in [&mut raw, &mut stubborn] {
            assert_eq!(raw.read(4).await[2..], 1001_u16.to_be_bytes());
        }
        raw.send(close_frame(1001, b"")).await;
        running.logs("code=1001 clean=true").await;
        running.logs("code=1001 clean=false").await;
        running.logs("stopped").await;
        expect_exit(&mut running).await;
    }
}

#[tokio::test]
async fn a_hangup_without_a_certificate_is_ignored() {
    for args in [&["127.0.0.1:0"][..], &["proxy", "--listen=127.0.0.1:0"]] {
        let mut running = Running::start(echobeat(args)).await;
        for _ in 0..2 {
            kill("-HUP", &running).await;
            running.logs("SIGHUP: ignored").await;
        }
        let mut raw = Raw::connect(running.address()).await;
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_ne!(raw.head().await.status, 503, "it does not drain");
        kill("-TERM", &running).await;
        expect_exit(&mut running).await;
    }
}

/// Puts a named pipe in the place of a file.
async fn make_fifo(path: &Path) {
    let _ = fs::remove_file(path);
    let status = Command::new("mkfifo").arg(path).status().await;
    assert!(status.expect("mkfifo runs").success());
}

/// Waits until a named pipe is being read, and writes nothing.
async fn hold(fifo: &Path) -> Sender {
    let held = async {
        loop {
            match pipe::OpenOptions::new().open_sender(fifo) {
                Ok(sender) => break sender,
                Err(_nobody_reads) => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    soon(held).await
}

#[tokio::test]
async fn a_reload_that_blocks_is_given_up_and_delays_nothing() {
    let issued = Issued::new("fifo-reload");
    let mut running = issued.run(&[]).await;
    let key = issued.key();
    let stuck = async |running: &Running| {
        make_fifo(&key).await;
        kill("-HUP", running).await;
        hold(&key).await
    };
    let first = stuck(&running).await;
    let line = running.logs("the certificate stays").await;
    assert!(line.contains("not read within 5s"), "{line}");

    // The next request is not lost while another is stuck.
    let second = stuck(&running).await;
    fs::remove_file(&key).unwrap();
    issued.issue();
    kill("-HUP", &running).await;
    running.logs("certificate file=").await;
    issued.trusted().session(running.address()).await;

    let third = stuck(&running).await;
    kill("-TERM", &running).await;
    expect_exit(&mut running).await;
    drop([first, second, third]);
}

#[tokio::test]
async fn a_start_that_blocks_says_so_and_can_be_stopped() {
    let fifo = socket_path("start.fifo");
    make_fifo(&fifo).await;
    let file = fifo.to_str().unwrap();
    let ca = format!("--upstream-ca={file}");
    for (args, signal) in [
        (
            &["127.0.0.1:0", "--tls-cert", file, "--tls-key", file][..],
            "-INT",
        ),
        (&["proxy", "--upstream=https://localhost:1", &ca], "-TERM"),
    ] {
        let mut child = echobeat(args).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = soon(log.next_line()).await.unwrap().expect("a word");
        assert!(line.contains("WARN still waiting for "), "{line}");
        let _held = hold(&fifo).await;
        let begun = Instant::now();
        kill_child(signal, &child).await;
        let line = soon(log.next_line()).await.unwrap().expect("a word");
        assert!(line.contains("before anything is listened on"), "{line}");
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_unix_socket_with_a_full_backlog_is_in_use() {
    let path = socket_path("full.sock");
    let _hung = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let connect = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&socket2::SockAddr::unix(&path)?)?;
        Ok::<_, std::io::Error>(socket)
    };
    let mut waiting = Vec::new();
    while let Ok(socket) = connect() {
        waiting.push(socket);
    }
    let address = crate::unix::listen_on(&path);
    let output = soon(echobeat(&[&address]).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("full.sock: another process listens there"),
        "{complaint}"
    );
    assert!(path.exists());
}

/// A name server that never answers, and the file that makes a program ask it.
#[cfg(target_os = "linux")]
fn silent_name_server() -> (UdpSocket, std::path::PathBuf) {
    let server = UdpSocket::bind("127.0.0.66:53").expect("root may listen on port 53");
    let path = socket_path("resolv.conf");
    fs::write(&path, "nameserver 127.0.0.66\n").unwrap();
    (server, path)
}

#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "takes root: port 53, and a mount namespace"]
async fn a_name_server_that_never_answers_does_not_delay_the_exit() {
    let (_server, resolv) = silent_name_server();
    let isolated = |args: &[&str]| {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        command.args(["-m", "sh", "-c", script]).arg(&resolv);
        command
            .arg(env!("CARGO_BIN_EXE_echobeat"))
            .args(args)
            .kill_on_drop(true);
        command
    };
    let args = [
        "proxy",
        "--listen=127.0.0.1:0",
        "--upstream=http://nowhere.example",
    ];
    let mut running = Running::start(isolated(
        &[&args[..], &["--connect-timeout=500ms"]].concat(),
    ))
    .await;
    let mut raw = Raw::connect(running.address()).await;
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 504);
    kill("-TERM", &running).await;
    running.logs("stopped").await;
    expect_exit(&mut running).await;

    let mut child = isolated(&["nowhere.example:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = soon(log.next_line()).await.unwrap().expect("a word");
    assert!(
        line.contains("still waiting for the address nowhere.example:0"),
        "{line}"
    );
    kill_child("-TERM", &child).await;
    let begun = Instant::now();
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn sessions_that_the_drain_cuts_log_their_end() {
    let args = ["127.0.0.1:0", "--h2c", "--drain=1s", "--heartbeat=off"];
    let patient = ["--close-timeout=1h", "--send-timeout=1h"];
    let mut running = Running::start(echobeat(&[&args[..], &patient].concat())).await;
    let address = running.address();
    let _stubborn = Raw::session(address).await;
    let mut faulty = Raw::connect(address).await;
    faulty.send(upgrade_request("/?do=close:4001")).await;
    assert_eq!(faulty.head().await.status, 101);
    assert_eq!(faulty.read(4).await[2..], 4001_u16.to_be_bytes());
    let _over_http2 = http2::connect(address).await.stream().await;
    // Its echoes come back, and it does not read them.
    let mut blocked = Raw::session(address).await.stream;
    let flood = text_frame(&"x".repeat(1 << 20)).repeat(64);
    let flooding = tokio::spawn(async move { drop(blocked.write_all(&flood).await) });
    running.counts("echobeat_write_stalls_total", 1).await;

    kill("-TERM", &running).await;
    let mut ends = Vec::new();
    while let Some(line) = soon(running.log.next_line()).await.unwrap() {
        ends.extend(
            line.split_once("connection: end ")
                .map(|(_, end)| end.to_owned()),
        );
    }
    expect_exit(&mut running).await;
    flooding.abort();
    assert_eq!(ends.len(), 4, "{ends:#?}");
    for (found, transport) in [
        ("why=\"drained\" code=1001 clean=false", "transport=\"h1\""),
        ("why=\"drained\" code=1001 clean=false", "transport=\"h2\""),
        ("why=\"drained\" code=1006 clean=false", "transport=\"h1\""),
        ("why=\"fault\" code=4001 clean=false", "transport=\"h1\""),
    ] {
        let such = ends
            .iter()
            .filter(|end| end.starts_with(found) && end.contains(transport));
        assert_eq!(such.count(), 1, "{found} {transport}: {ends:#?}");
    }
}

#[tokio::test]
async fn tunnels_that_the_drain_cuts_log_their_end() {
    let server = Running::start(echobeat(&["127.0.0.1:0"])).await;
    let upstream = format!("--upstream=http://{}", server.address());
    let args = ["proxy", "--listen=127.0.0.1:0", "--drain=300ms", &upstream];
    let mut proxy = Running::start(echobeat(&args)).await;
    let tunnels = (0..20).map(|_| Raw::session(proxy.address()));
    let tunnels = join_all(tunnels).await;
    kill("-TERM", &proxy).await;
    for _ in &tunnels {
        let end = proxy.logs("connection: end ").await;
        assert!(end.contains("why=\"drained\""), "{end}");
    }
    expect_exit(&mut proxy).await;
}
