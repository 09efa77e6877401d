//! Programs that others wrote: what is found of them is what they were configured with.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use echobeat::ServerConfig;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::{Found, probe};
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

/// A program, which ends with the test.
struct Program {
    _child: Child,
    address: SocketAddr,
}

impl Program {
    /// Starts a proxy whose configuration is in a file, and waits until it listens.
    async fn proxy(
        program: &str,
        args: &[&str],
        file: &str,
        configure: impl Fn(u16) -> String,
    ) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{program}"));
        fs::create_dir_all(&directory).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        fs::write(directory.join(file), configure(address.port())).unwrap();
        let child = Command::new(program)
            .args(args)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let program = Self {
            _child: child.expect("it is installed"),
            address,
        };
        // No event tells that it listens.
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        soon(listens).await;
        program
    }

    /// Starts a server that prints its port.
    async fn server(program: &str, variable: &str, args: &[&str]) -> Self {
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

    async fn probe(&self, most: &str) -> Found {
        let url = format!("ws://{}/", self.address);
        probe(&url, &["--max-message=100KiB", most]).await
    }
}

async fn nginx(upstream: SocketAddr) -> Program {
    let configure = |port| {
        format!(
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
        )
    };
    let args = ["-p", ".", "-c", "nginx.conf"];
    Program::proxy("nginx", &args, "nginx.conf", configure).await
}

async fn haproxy(upstream: SocketAddr) -> Program {
    let configure = |port| {
        format!(
            "defaults
                mode http
                timeout connect 5s
                timeout client 30s
                timeout server 30s
                timeout tunnel 4s
            listen proxy
                bind 127.0.0.1:{port}
                server upstream {upstream}\n"
        )
    };
    let args = ["-db", "-f", "haproxy.cfg"];
    Program::proxy("haproxy", &args, "haproxy.cfg", configure).await
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
    let (nginx, haproxy) = tokio::join!(nginx.probe(most), haproxy.probe(most));
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
        Program::server("python3", "PYTHON", &["serve.py", "1", "0.8"]),
        Program::server("node", "NODE", &["serve.js", "1000"]),
    );
    let most = "--max-idle=4s";
    let (python, node) = tokio::join!(python.probe(most), node.probe(most));
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
