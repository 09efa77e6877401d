//! The program as a process: what it prints, and how it ends.

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{Raw, soon};

/// The program with no settings from the environment of the tests.
pub fn echobeat(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echobeat"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ECHOBEAT_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(args: &[&str]) -> Output {
    soon(echobeat(args).output())
        .await
        .expect("the program runs")
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// A program that serves, and what it logs.
pub struct Running {
    pub child: Child,
    pub log: Lines<BufReader<ChildStderr>>,
    /// The first URL that it printed.
    pub url: String,
}

impl Running {
    pub async fn start(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let line = wait_for(&mut log, "listening").await;
        let url = line.split('"').nth(1).expect("a quoted URL").to_owned();
        Self { child, log, url }
    }

    /// Waits for a log line that contains `text`.
    pub async fn logs(&mut self, text: &str) -> String {
        wait_for(&mut self.log, text).await
    }

    /// The next log line.
    pub async fn next_line(&mut self) -> String {
        let line = soon(self.log.next_line()).await.expect("the log is UTF-8");
        line.expect("the program runs")
    }

    /// The value of a metric, by its name and labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let mut raw = Raw::connect(self.address()).await;
        raw.metric(name).await
    }

    /// Waits until a metric has at least this value.
    pub async fn counts(&self, name: &str, least: u64) {
        let mut raw = Raw::connect(self.address()).await;
        raw.counts(name, least).await;
    }

    /// The TCP address of the URL.
    pub fn address(&self) -> SocketAddr {
        let (_scheme, rest) = self.url.split_once("://").expect("a scheme");
        let authority = rest.trim_end_matches('/');
        authority.parse().expect("an IP address and a port")
    }
}

async fn wait_for(log: &mut Lines<BufReader<ChildStderr>>, text: &str) -> String {
    let found = async {
        let mut others = String::new();
        while let Some(line) = log.next_line().await.expect("the log is UTF-8") {
            if line.contains(text) {
                return line;
            }
            others.push_str(&line);
            others.push('\n');
        }
        panic!("the log ends without {text:?}:\n{others}");
    };
    soon(found).await
}

#[tokio::test]
async fn help_and_version_go_to_stdout() {
    let help = output(&["--help"]).await;
    assert_eq!(help.status.code(), Some(0));
    assert!(help.stderr.is_empty());
    let help = utf8(&help.stdout);
    for flag in [
        "--listen",
        "--path",
        "--heartbeat",
        "--heartbeat-text",
        "--subprotocol",
        "--allow-origin",
        "--max-message-size",
        "--max-connections",
        "--handshake-timeout",
        "--ping-interval",
        "--ping-timeout",
        "--send-timeout",
        "--close-timeout",
        "--drain",
        "--threads",
        "--tls-cert",
        "--tls-key",
        "--tls-self-signed",
        "--tls-self-signed-dir",
        "--h2c",
        "--no-faults",
        "--do",
        "--log-format",
        "--verbose",
        "--quiet",
    ] {
        assert!(help.contains(flag), "{flag}");
        let variable = flag[2..].replace('-', "_").to_uppercase();
        assert!(
            help.contains(&format!("[env: ECHOBEAT_{variable}=]")),
            "{variable}"
        );
    }
    let version = output(&["--version"]).await;
    assert_eq!(
        utf8(&version.stdout),
        concat!("echobeat ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[tokio::test]
async fn bad_usage_exits_with_2_and_names_the_flag() {
    for (args, named) in [
        (&["--heartbeat=soon"][..], "--heartbeat"),
        (&["--max-message-size=0"], "--max-message-size"),
        (&["--listen=localhost"], "--listen"),
        (&["localhost"], "[ADDR]"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["-v", "-q"], "--quiet"),
    ] {
        let output = output(args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(
            utf8(&output.stderr).contains(named),
            "{args:?}: {}",
            utf8(&output.stderr)
        );
    }
}

#[tokio::test]
async fn bad_variables_exit_with_2() {
    for (name, value) in [
        ("ECHOBEAT_HEARTBEAT", "soon"),
        ("RUST_LOG", "echobeat=loud"),
    ] {
        let output = soon(echobeat(&["127.0.0.1:0"]).env(name, value).output())
            .await
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        let complaint = utf8(&output.stderr);
        assert!(complaint.contains(name), "{complaint}");
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_exits_with_1_and_says_what_to_try() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, sentence) in [
        (&taken[..], "Try another port"),
        ("192.0.2.1:0", "not one of this machine's"),
    ] {
        let output = output(&[address]).await;
        assert_eq!(output.status.code(), Some(1), "{address}");
        let complaint = utf8(&output.stderr);
        assert!(
            complaint.contains(address) && complaint.contains(sentence),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn a_flag_wins_over_its_variable() {
    let mut command = echobeat(&["127.0.0.1:0", "--heartbeat-text=flag"]);
    command
        .env("ECHOBEAT_HEARTBEAT", "20ms")
        .env("ECHOBEAT_HEARTBEAT_TEXT", "variable");
    let running = Running::start(command).await;
    let stream = tokio::net::TcpStream::connect(running.address())
        .await
        .unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(&running.url, stream)
        .await
        .unwrap();
    let beat = soon(futures_util::StreamExt::next(&mut socket))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(beat, "flag".into());
}

#[tokio::test]
async fn empty_variables_are_absent_and_contradicted_ones_give_way() {
    let mut command = echobeat(&["0", "-v"]);
    command
        .env("ECHOBEAT_LISTEN", "192.0.2.1:1")
        .env("ECHOBEAT_QUIET", "true")
        .env("ECHOBEAT_HEARTBEAT", "")
        .env("ECHOBEAT_H2C", "")
        .env("ECHOBEAT_TLS_CERT", "")
        .env("NO_COLOR", "")
        .env("RUST_LOG", "");
    let running = Running::start(command).await;
    assert!(running.address().ip().is_loopback());
    assert!(running.url.starts_with("ws://"));
}

#[tokio::test]
async fn a_port_alone_is_on_this_machine_for_the_proxy_too() {
    let server = Running::start(echobeat(&["0"])).await;
    let upstream = server.address().port().to_string();
    let proxy = Running::start(echobeat(&["proxy", "0", "--upstream", &upstream])).await;
    for running in [&server, &proxy] {
        assert!(running.address().ip().is_loopback());
        let stream = tokio::net::TcpStream::connect(running.address())
            .await
            .unwrap();
        soon(tokio_tungstenite::client_async(&running.url, stream))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn json_log_lines_are_json() {
    let mut command = echobeat(&["127.0.0.1:0", "--log-format=json"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = wait_for(&mut log, "listening").await;
    assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    assert!(line.contains(r#""message":"listening""#), "{line}");
}

#[tokio::test]
async fn quiet_logs_errors_alone() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = output(&["-q", &address]).await;
    assert!(
        utf8(&output.stderr).contains("ERROR"),
        "{}",
        utf8(&output.stderr)
    );
}
