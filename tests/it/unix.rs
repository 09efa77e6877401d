//! What only Unix has: its signals, its sockets, its limit of open files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use echobeat_frames::{close_frame, text_echo, text_frame};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::cli::{Running, echobeat};
use crate::support::{Control, Raw, soon};

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
    // A signal right after the first is the same request.
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
async fn sessions_that_the_drain_drops_are_counted_in_one_warning() {
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
async fn a_filter_of_the_log_leaves_out_single_connections() {
    // As docs/flags.md has it.
    let filter = "info,echobeat::echo=warn,echobeat::session=warn,echobeat::proxy=warn";
    let start = async |args: &[&str]| {
        let mut command = echobeat(args);
        command.env("RUST_LOG", filter);
        Running::start(command).await
    };
    let mut server = start(&["0"]).await;
    let upstream = server.address().port().to_string();
    let mut proxy = start(&["proxy", "0", "--upstream", &upstream]).await;
    let mut session = Raw::session(proxy.address()).await;
    session.send(close_frame(1000, b"")).await;
    // The server logs the end of a session before it ends the stream.
    session.expect_close(1000).await;
    for running in [&mut proxy, &mut server] {
        kill("-TERM", running).await;
        let next = running.next_line().await;
        assert!(next.contains("SIGTERM"), "{next}");
        assert_eq!(soon(running.child.wait()).await.unwrap().code(), Some(0));
    }
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

/// Output of `id` for this process.
async fn id(flag: &str) -> String {
    let output = Command::new("id")
        .arg(flag)
        .output()
        .await
        .expect("id runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.trim().to_owned()
}

#[tokio::test]
async fn a_sockets_mode_and_group_are_those_of_its_address() {
    let groups = id("-G").await;
    let last = groups.split(' ').next_back().unwrap();
    let own = id("-g").await;
    for (n, (mode, group)) in [
        ("?mode=0660", None),
        ("?mode=600", None),
        ("?mode=0777&group={}", Some(last)),
        ("?group={}", Some(&own[..])),
    ]
    .into_iter()
    .enumerate()
    {
        let access = mode.replace("{}", group.unwrap_or_default());
        for (name, args) in [("server", &[][..]), ("proxy", &["proxy"])] {
            // Each has a path of its own: the one before may still be ending.
            let path = socket_path(&format!("{name}{n}.sock"));
            let address = format!("{}{access}", listen_on(&path));
            let running = Running::start(echobeat(&[args, &[&address]].concat())).await;
            assert_eq!(running.url, listen_on(&path), "without {access}");
            let metadata = std::fs::metadata(&path).unwrap();
            let found = format!("{:o}", metadata.mode() & 0o777);
            if let Some((_, wanted)) = access.split_once("mode=") {
                let wanted = wanted.split('&').next().unwrap();
                assert_eq!(found, wanted.trim_start_matches('0'), "{address}");
            }
            if let Some(group) = group {
                assert_eq!(metadata.gid().to_string(), group, "{address}");
            }
            UnixStream::connect(&path).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_group_goes_by_its_name_and_an_unknown_one_is_refused() {
    let path = socket_path("group.sock");
    let named = format!("{}?group={}", listen_on(&path), id("-gn").await);
    let _running = Running::start(echobeat(&[&named])).await;
    let path = socket_path("no-group.sock");
    let absent = format!("{}?group=no-such-group", listen_on(&path));
    let output = soon(echobeat(&[&absent]).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("there is no group"), "{complaint}");
    assert!(complaint.contains("no-such-group"), "{complaint}");
}

#[tokio::test]
async fn nobody_connects_before_the_mode_is_set() {
    let path = socket_path("narrow.sock");
    let address = format!("{}?mode=0600", listen_on(&path));
    // A client that comes as soon as the file exists finds it closed, or with its final
    // permissions.
    let watched = path.clone();
    let watcher = tokio::task::spawn_blocking(move || {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if std::os::unix::net::UnixStream::connect(&watched).is_ok() {
                return std::fs::metadata(&watched).unwrap().mode() & 0o777;
            }
            std::thread::yield_now();
        }
        panic!("nobody listens");
    });
    let mut shell = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_echobeat");
    let lax = "umask 0; exec \"$0\" \"$@\"";
    shell
        .args(["-c", lax, program, &address])
        .kill_on_drop(true);
    let _running = Running::start(shell).await;
    assert_eq!(watcher.await.unwrap(), 0o600);
}

#[tokio::test]
async fn a_path_may_have_a_question_mark() {
    let path = socket_path("what?.sock");
    let address = listen_on(&path).replace('?', "%3F");
    let running = Running::start(echobeat(&[&address])).await;
    assert_eq!(running.url, address);
    UnixStream::connect(&path).await.unwrap();
}

#[tokio::test]
async fn a_variable_that_is_not_utf8_is_named_unless_it_is_a_path() {
    let odd = OsStr::from_bytes(b"\xff.pem");
    let of = |name| {
        let mut command = echobeat(&["0", "--tls-key=key.pem"]);
        command.env("ECHOBEAT_TLS_CERT", "cert.pem").env(name, odd);
        command
    };
    for (name, code, said) in [
        ("ECHOBEAT_HEARTBEAT_TEXT", 2, "ECHOBEAT_HEARTBEAT_TEXT"),
        ("ECHOBEAT_PATH", 2, "ECHOBEAT_PATH"),
        ("ECHOBEAT_TLS_CERT", 1, "cannot read"),
    ] {
        let output = soon(of(name).output()).await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(said), "{complaint}");
    }
}

#[tokio::test]
async fn more_connections_than_files_are_warned_about_at_the_start() {
    for (args, most) in [(&["0"][..], 192), (&["proxy", "0"], 96)] {
        let mut shell = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_echobeat");
        let limited = "ulimit -n 256 && exec \"$0\" \"$@\"";
        let mut child = shell
            .args(["-c", limited, program])
            .args(args)
            .env("ECHOBEAT_MAX_CONNECTIONS", "5000")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = soon(log.next_line()).await.unwrap().unwrap();
        for part in ["WARN", "ECHOBEAT_MAX_CONNECTIONS 5000", "256", "ulimit -n"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(line.contains(&format!("beyond {most}")), "{line}");
    }
}

#[tokio::test]
async fn a_server_without_files_warns_once_and_recovers() {
    const ERRORS: &str = "echobeat_accept_errors_total";
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
    // It is kept, so that it can ask again when no other is accepted.
    let mut asking = Raw::connect(address).await;
    assert_eq!(asking.metric(ERRORS).await, 0);

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    let warning = running.logs("WARN").await;
    assert!(warning.contains("cannot accept"), "{warning}");
    // A few more tries, each of which might log.
    asking.counts(ERRORS, 5).await;
    drop(crowd);
    let next = running.logs("accept").await;
    assert!(next.contains("accepting again"), "one warning, then {next}");

    let mut raw = Raw::session(address).await;
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
    control.finish("no more files").await;
}
