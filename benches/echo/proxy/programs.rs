//! The proxies that are measured: how each is found, configured, and started.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Failure;
use crate::bridge;
use crate::installed::{find, free_address, until_it_listens};
use crate::rounds::Bench;
use crate::servers::{self, Role, Running, Started};
use crate::traffic::Wire;

/// Connections that nginx and HAProxy may have.
const CONNECTIONS: usize = 16_384;

/// A reverse proxy that is installed.
#[derive(Debug)]
pub struct Proxy {
    name: &'static str,
    program: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Echobeat,
    Nginx,
    /// nginx as the end of TLS.
    NginxTls,
    Haproxy,
}

impl Proxy {
    /// The echobeats that are asked for.
    pub fn echobeats(bench: &Bench) -> impl Iterator<Item = Self> {
        let echobeats = bench.args.echobeats(&bench.built).into_iter();
        echobeats.map(|(name, program)| Self {
            name,
            program,
            kind: Kind::Echobeat,
        })
    }

    /// The proxies that echobeat is compared with, or the name of what is not installed.
    pub fn others() -> impl Iterator<Item = Result<Self, &'static str>> {
        let others = [("nginx", Kind::Nginx), ("haproxy", Kind::Haproxy)].into_iter();
        others.map(|(name, kind)| Self::find(name, kind))
    }

    /// The proxy that speaks TLS to its clients, and none to what is behind it.
    pub fn tls_end() -> Result<Self, &'static str> {
        Self::find("nginx", Kind::NginxTls)
    }

    fn find(name: &'static str, kind: Kind) -> Result<Self, &'static str> {
        let program = find(name).ok_or(name)?;
        Ok(Self {
            name,
            program,
            kind,
        })
    }

    /// Starts it in front of a server, and waits until it listens. It has one thread.
    pub fn start(&self, upstream: SocketAddr) -> Result<Running, Failure> {
        let started = match self.kind {
            Kind::Echobeat => self.start_echobeat(upstream),
            Kind::Nginx => self.start_configured("nginx.conf", nginx, upstream),
            Kind::NginxTls => self.start_configured("nginx-tls.conf", nginx_tls, upstream),
            Kind::Haproxy => self.start_configured("haproxy.cfg", haproxy, upstream),
        };
        let started =
            started.map_err(|failure| format!("{} does not start: {failure}", self.name))?;
        Ok(Running::new(
            self.name,
            started,
            Wire::Upgraded,
            self.role(),
        ))
    }

    fn role(&self) -> Role {
        match self.kind {
            Kind::Echobeat if self.name == "echobeat" => Role::Echobeat,
            Kind::Echobeat => Role::Other,
            Kind::Nginx | Kind::NginxTls | Kind::Haproxy => Role::Peer,
        }
    }

    fn start_echobeat(&self, upstream: SocketAddr) -> Result<Started, Failure> {
        let flags = ["proxy".to_owned(), format!("--upstream=http://{upstream}")];
        servers::start_echobeat(&self.program, &flags, 1)
    }

    fn start_configured(
        &self,
        file: &str,
        config: fn(SocketAddr, SocketAddr, &Path) -> String,
        upstream: SocketAddr,
    ) -> Result<Started, Failure> {
        let directory: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "bench-proxy"]
            .iter()
            .collect();
        fs::create_dir_all(&directory)?;
        let address = free_address()?;
        let file = directory.join(file);
        fs::write(&file, config(address, upstream, &directory))?;
        let mut command = Command::new(&self.program);
        match self.kind {
            // With its log from before it has read its configuration.
            Kind::Nginx | Kind::NginxTls => command.args(["-e", "stderr", "-c"]).arg(&file),
            _ => command.args(["-db", "-f"]).arg(&file),
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        until_it_listens(address, child)
    }
}

/// One process, without the master that would outlive it, with what the manual says of WebSockets
/// (<https://nginx.org/en/docs/http/websocket.html>).
fn nginx(address: SocketAddr, upstream: SocketAddr, directory: &Path) -> String {
    nginx_listening(&format!("listen {address};"), upstream, directory)
}

/// The same with echobeat's certificate, and TLS 1.3 alone.
fn nginx_tls(address: SocketAddr, upstream: SocketAddr, directory: &Path) -> String {
    let [certificate, key] = bridge::certificate();
    let listen = format!(
        r#"listen {address} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate "{}";
        ssl_certificate_key "{}";"#,
        certificate.display(),
        key.display(),
    );
    nginx_listening(&listen, upstream, directory)
}

fn nginx_listening(listen: &str, upstream: SocketAddr, directory: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|part| {
        let path = directory.join(part);
        format!("    {part}_temp_path \"{}\";\n", path.display())
    });
    format!(
        r#"daemon off;
master_process off;
worker_processes 1;
pid "{}";
error_log stderr warn;
events {{
    worker_connections {CONNECTIONS};
}}
http {{
{}    access_log off;
    server {{
        {listen}
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
        }}
    }}
}}
"#,
        directory.join("nginx.pid").display(),
        temporary.concat(),
    )
}

/// One thread, and the timeouts that the manual asks for, of which that of a tunnel is for
/// WebSockets (<https://docs.haproxy.org/2.8/configuration.html>, `timeout tunnel`).
fn haproxy(address: SocketAddr, upstream: SocketAddr, _: &Path) -> String {
    format!(
        "global
    nbthread 1
    maxconn {}
defaults
    mode http
    no log
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
listen proxy
    bind {address}
    server backend {upstream}
",
        CONNECTIONS / 2,
    )
}
