//! Programs that others wrote: what is found of them is what they were configured with.

use std::env;
use std::net::SocketAddr;
use std::process::Stdio;

use echobeat::ServerConfig;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Found, probe};
use crate::installed::{Installed, directory_with, free_port};
use crate::support::{TestServer, config, soon};

/// Expects a time that was found to be the one that was configured, within a tenth.
fn expect_time(found: &Found, check: &str, pointer: &str, configured: f64) {
    let time = found.number(check, pointer);
    let difference = (time - configured).abs();
    assert!(
        difference <= configured / 10.0,
        "{check}{pointer}: {time} s"
    );
}

/// A server of another library, which ends with the test.
struct Library {
    _child: Child,
    address: SocketAddr,
}

impl Library {
    /// Starts a server that prints its port.
    async fn start(program: &str, variable: &str, args: &[&str]) -> Self {
        let program = env::var_os(variable).unwrap_or_else(|| program.into());
        let script = format!("{}/tests/clients/{}", env!("CARGO_MANIFEST_DIR"), args[0]);
        let mut child = Command::new(program)
            .arg(script)
            .args(&args[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it is installed");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = soon(lines.next_line())
            .await
            .expect("UTF-8")
            .expect("a port");
        Self {
            _child: child,
            address: format!("127.0.0.1:{port}").parse().expect("a port"),
        }
    }
}

async fn probe_at(address: SocketAddr, most: &str) -> Found {
    let url = format!("ws://{address}/");
    probe(&url, &["--max-message=100KiB", most]).await
}

async fn nginx(upstream: SocketAddr) -> Installed {
    let port = free_port();
    let text = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr warn;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        proxy_pass http://{upstream};
                        proxy_http_version 1.1;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection upgrade;
                        proxy_read_timeout 3s;
                    }}
                }}
            }}"
    );
    let args = ["-p", ".", "-c", "nginx.conf"];
    let directory = directory_with("probe-nginx", "nginx.conf", &text);
    Installed::start("nginx", &args, &directory, port).await
}

async fn haproxy(upstream: SocketAddr) -> Installed {
    let port = free_port();
    let text = format!(
        "defaults
                mode http
                timeout connect 5s
                timeout client 30s
                timeout server 30s
                timeout tunnel 4s
            listen proxy
                bind 127.0.0.1:{port}
                server upstream {upstream}\n"
    );
    let args = ["-db", "-f", "haproxy.cfg"];
    let directory = directory_with("probe-haproxy", "haproxy.cfg", &text);
    Installed::start("haproxy", &args, &directory, port).await
}

#[tokio::test]
#[ignore = "needs nginx and HAProxy"]
async fn the_idle_timeouts_of_nginx_and_haproxy_are_found() {
    let server = TestServer::start_with(ServerConfig {
        ping_interval: None,
        ..config()
    })
    .await;
    let (nginx, haproxy) = tokio::join!(nginx(server.address), haproxy(server.address));
    let most = "--max-idle=7s";
    let (nginx, haproxy) = tokio::join!(
        probe_at(nginx.address, most),
        probe_at(haproxy.address, most)
    );
    for (found, timeout) in [(nginx, 3.0), (haproxy, 4.0)] {
        found.expect(&[
            ("text", "pass"),
            ("binary", "pass"),
            ("fragments", "pass"),
            ("deflate", "pass"),
            ("close", "pass"),
            ("size", "pass"),
            ("idle", "limited"),
            ("keepalive-ping", "pass"),
            ("keepalive-data", "pass"),
        ]);
        expect_time(&found, "idle", "/cut_after_s", timeout);
        assert_eq!(found.field("idle", "/cut/close"), &serde_json::Value::Null);
        assert_eq!(found.field("idle", "/cut/tcp"), "fin");
    }
}

#[tokio::test]
#[ignore = "needs Python with websockets at $PYTHON or python3, and Node with ws at $NODE_PATH"]
async fn the_pings_of_websockets_and_ws_are_found() {
    let (python, node) = tokio::join!(
        Library::start("python3", "PYTHON", &["serve.py", "1", "0.8"]),
        Library::start("node", "NODE", &["serve.js", "1000"]),
    );
    let most = "--max-idle=4s";
    let (python, node) = tokio::join!(probe_at(python.address, most), probe_at(node.address, most));
    for (found, gives_up) in [(&python, 1.8), (&node, 2.0)] {
        found.expect(&[
            ("echo", "pass"),
            ("ping", "pass"),
            ("text", "pass"),
            ("fragments", "pass"),
            ("close", "pass"),
            ("idle", "pass"),
            ("ping-from-there", "pass"),
            ("unanswered-ping", "limited"),
        ]);
        expect_time(found, "ping-from-there", "/interval_s", 1.0);
        expect_time(found, "unanswered-ping", "/cut_after_s", gives_up);
    }
    python.expect(&[("deflate", "pass")]);
    assert_eq!(python.field("unanswered-ping", "/cut/close/code"), 1011);
    assert_eq!(
        node.field("unanswered-ping", "/cut/close"),
        &serde_json::Value::Null
    );
}
