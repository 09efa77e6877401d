//! Faults of TLS, by the name that a client has for the server.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, io};

use echobeat::{CertificateSource, ProxyConfig, Server, ServerConfig};
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;

use super::{BOTH_VERSIONS, Trusting, directory, handshake_as, text};
use crate::browser::Browser;
use crate::cli::{Running, echobeat};
use crate::proxy::{TestProxy, to};
use crate::support::{Client, Raw, TestServer, config, soon, upgrade_request};

/// A server with faults, and the file of the authority that clients may trust.
struct Faulty {
    server: TestServer,
    root: PathBuf,
}

/// A certificate source with faults, and the file that it writes to a directory of this name.
fn source(name: &str) -> (CertificateSource, PathBuf) {
    let root = directory(name).join("root.pem");
    let source = CertificateSource::Faults {
        root: Some(root.clone()),
    };
    (source, root)
}

impl Faulty {
    async fn start(name: &str, settings: ServerConfig) -> Self {
        let (source, root) = source(name);
        let server = TestServer::start_with(ServerConfig {
            tls: Some(source),
            ..settings
        });
        Self {
            server: server.await,
            root,
        }
    }

    /// Connects by this name, as a client that has no certificate and asks for no protocol.
    async fn connect(&self, name: &'static str) -> io::Result<Raw<TlsStream<TcpStream>>> {
        let client = Trusting::file(&self.root).builder(&BOTH_VERSIONS);
        self.connect_with(name, client.with_no_client_auth()).await
    }

    async fn connect_with(
        &self,
        name: &'static str,
        client: ClientConfig,
    ) -> io::Result<Raw<TlsStream<TcpStream>>> {
        handshake_as(name, client, self.server.raw().await.stream).await
    }

    async fn error(&self, name: &'static str) -> io::Error {
        let connected = self.connect(name).await;
        connected
            .err()
            .unwrap_or_else(|| panic!("{name} has a fault"))
    }
}

#[tokio::test]
async fn a_name_without_a_fault_has_a_good_certificate() {
    let faulty = Faulty::start("faults-none", config()).await;
    for name in [
        "localhost",
        "app.example.com",
        "127.0.0.1",
        "::1",
        "x.stall.localhost",
    ] {
        let stream = faulty.connect(name).await.expect(name).stream;
        let mut client = Client::over(stream, "wss://localhost/".to_owned())
            .await
            .unwrap();
        client.echo_in_order().await;
    }
}

#[tokio::test]
async fn a_client_finds_the_fault_that_a_certificate_is_to_have() {
    let faulty = Faulty::start("faults-certificates", config()).await;
    let good = faulty.connect("good.localhost").await.unwrap();
    for (name, found) in [
        ("expired.localhost", "certificate expired"),
        ("EXPIRED.example.com", "certificate expired"),
        ("not-yet-valid.localhost", "certificate not valid yet"),
        ("wrong-host.localhost", "certificate not valid for name"),
        ("untrusted-root.localhost", "UnknownIssuer"),
        ("incomplete-chain.localhost", "UnknownIssuer"),
    ] {
        let error = faulty.error(name).await.to_string();
        assert!(error.contains(found), "{name}: {error}");
    }
    let mut control = good;
    control.send(upgrade_request("/")).await;
    assert_eq!(control.head().await.status, 101);
}

#[tokio::test]
async fn a_client_speaks_the_version_of_tls_that_is_left() {
    let faulty = Faulty::start("faults-versions", config()).await;
    let trusting = Trusting::file(&faulty.root);
    for (name, spoken, other) in [
        ("tls1-2.localhost", &TLS12, &TLS13),
        ("tls1-3.localhost", &TLS13, &TLS12),
    ] {
        let raw = faulty.connect(name).await.expect(name);
        let (_, session) = raw.stream.get_ref();
        assert_eq!(session.protocol_version(), Some(spoken.version), "{name}");
        let client = trusting.builder(&[other]).with_no_client_auth();
        let refused = faulty.connect_with(name, client).await;
        let error = refused
            .err()
            .expect("there is no version in common")
            .to_string();
        assert!(error.contains("ProtocolVersion"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_client_that_offers_protocols_is_not_told_which() {
    let faulty = Faulty::start("faults-alpn", config()).await;
    for (name, agreed) in [
        ("good.localhost", Some(&b"h2"[..])),
        ("no-alpn.localhost", None),
    ] {
        let trusting = Trusting::file(&faulty.root);
        let mut client = trusting.builder(&BOTH_VERSIONS).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut raw = faulty.connect_with(name, client).await.expect(name);
        let (_, session) = raw.stream.get_ref();
        assert_eq!(session.alpn_protocol(), agreed, "{name}");
        if agreed.is_none() {
            raw.send(upgrade_request("/")).await;
            assert_eq!(raw.head().await.status, 101);
        }
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_and_any_certificate_will_do() {
    let faulty = Faulty::start("faults-client", config()).await;
    // In TLS 1.3 the client's handshake is over when the server refuses it.
    let mut raw = faulty.connect("client-cert.localhost").await.unwrap();
    let error = soon(raw.stream.read_u8()).await.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["client.test".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    for version in BOTH_VERSIONS {
        let trusting = Trusting::file(&faulty.root);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let client = trusting.builder(&[version]);
        let client = client.with_client_auth_cert(vec![certificate.der().clone()], key.into());
        let connected = faulty.connect_with("client-cert.localhost", client.unwrap());
        let mut raw = connected.await.unwrap();
        raw.send(upgrade_request("/")).await;
        assert_eq!(raw.head().await.status, 101);
    }
}

#[tokio::test]
async fn a_handshake_is_reset_or_left_without_an_answer() {
    let settings = ServerConfig {
        handshake_timeout: Duration::from_millis(500),
        ..config()
    };
    let faulty = Faulty::start("faults-ends", settings).await;
    let reset = faulty.error("reset.localhost").await;
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset, "{reset}");
    let stalled = faulty.error("stall.localhost").await;
    assert_eq!(stalled.kind(), ErrorKind::UnexpectedEof, "{stalled}");
}

#[tokio::test]
async fn a_reload_makes_a_new_authority() {
    let (tls, root) = source("faults-reload");
    let server = Server::bind(ServerConfig {
        tls: Some(tls),
        ..config()
    });
    let server = server.await.unwrap();
    let acceptor = server.tls().unwrap();
    let faulty = Faulty {
        server: TestServer::run(server),
        root,
    };
    let old = Trusting::file(&faulty.root);
    acceptor.reload().unwrap();
    faulty.connect("localhost").await.unwrap();
    let client = old.builder(&BOTH_VERSIONS).with_no_client_auth();
    assert!(faulty.connect_with("localhost", client).await.is_err());
}

#[tokio::test]
async fn a_proxy_has_the_same_faults() {
    let server = TestServer::start().await;
    let (tls, root) = source("faults-proxy");
    let proxy = TestProxy::start(ProxyConfig {
        tls: Some(tls),
        ..to(&format!("http://{}", server.address))
    });
    let proxy = proxy.await;
    let connect = async |name| {
        let client = Trusting::file(&root).builder(&BOTH_VERSIONS);
        let tcp = Raw::connect(proxy.address).await.stream;
        handshake_as(name, client.with_no_client_auth(), tcp).await
    };
    assert!(connect("expired.localhost").await.is_err());
    let stream = connect("good.localhost").await.unwrap().stream;
    let client = Client::over(stream, "wss://good.localhost/".to_owned()).await;
    client.unwrap().echo("hello").await;
}

/// A time for handshakes that is longer than the clients wait.
const LONGER: &str = "3s";

/// The program with faults, and the file of its authority.
async fn run(name: &str, handshake_timeout: &str) -> (Running, PathBuf) {
    let root = directory(name).join("root.pem");
    let timeout = format!("--handshake-timeout={handshake_timeout}");
    let args = ["127.0.0.1:0", &timeout, "--tls-faults", "--tls-faults-root"];
    let mut command = echobeat(&args);
    command.arg(&root);
    (Running::start(command).await, root)
}

#[tokio::test]
async fn a_fault_that_a_client_meets_is_logged_by_its_name() {
    let (mut running, root) = run("faults-log", LONGER).await;
    for name in ["reset.localhost", "expired.localhost"] {
        let client = Trusting::file(&root).builder(&BOTH_VERSIONS);
        let tcp = Raw::connect(running.address()).await.stream;
        let refused = handshake_as(name, client.with_no_client_auth(), tcp).await;
        assert!(refused.is_err(), "{name}");
        let line = running.next_line().await;
        let fault = format!("the fault {}", name.trim_end_matches(".localhost"));
        assert!(
            line.contains("tls_fault") && line.contains(&fault),
            "{line}"
        );
    }
}

/// Names, one for each fault, and one that has none.
const NAMES: [&str; 12] = [
    "good.localhost",
    "expired.localhost",
    "not-yet-valid.localhost",
    "wrong-host.localhost",
    "untrusted-root.localhost",
    "incomplete-chain.localhost",
    "client-cert.localhost",
    "tls1-2.localhost",
    "tls1-3.localhost",
    "no-alpn.localhost",
    "reset.localhost",
    "stall.localhost",
];

/// Checks what a client said of each of [`NAMES`], in their order: what is expected, or one of
/// several with `|` between them. `docs/tls.md` has it in a table.
fn check(client: &str, said: &[String], expected: [&str; 12]) {
    assert_eq!(said.len(), NAMES.len(), "{client}");
    for ((name, said), expected) in NAMES.iter().zip(said).zip(expected) {
        let is_expected = expected.split('|').any(|one| said.contains(one));
        assert!(is_expected, "{client}, {name}: {said}");
    }
}

/// Has a script of `tests/clients` connect to each of [`NAMES`], and returns its word about each.
async fn ask(program: impl AsRef<OsStr>, script: &str, profile: &str) -> Vec<String> {
    let (running, root) = run(profile, LONGER).await;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let client = Command::new(program)
        .arg(scripts.join(script))
        .arg(running.address().port().to_string())
        .arg(root)
        .args(NAMES)
        .kill_on_drop(true)
        .output();
    let output = soon(client).await.expect("the client runs");
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let said = NAMES.map(|name| said[name].as_str().unwrap_or_default().to_owned());
    said.into()
}

/// Has curl connect to a name, with more arguments, and returns its error.
async fn curl(running: &Running, root: &Path, name: &str, more: &[&str]) -> String {
    let client = Command::new("curl")
        .args([
            "-sS",
            "-w",
            "%{http_version}",
            "-m",
            "1",
            "--cacert",
            text(root),
        ])
        .args(more)
        .arg(format!(
            "https://{name}:{}/healthz",
            running.address().port()
        ))
        .kill_on_drop(true)
        .output();
    let output = soon(client).await.expect("curl runs");
    String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
}

#[tokio::test]
#[ignore = "needs curl"]
async fn curl_finds_each_fault() {
    let (running, root) = run("faults-curl", LONGER).await;
    let mut said = Vec::new();
    for name in NAMES {
        said.push(curl(&running, &root, name, &[]).await);
    }
    let expected = [
        "ok\n2",
        "(60) SSL certificate problem: certificate has expired",
        "(60) SSL certificate problem: certificate is not yet valid",
        "(60) SSL: no alternative certificate subject name matches",
        "(60) SSL certificate problem: self-signed certificate in certificate chain",
        "(60) SSL certificate problem: unable to get local issuer certificate",
        "alert certificate required",
        "ok\n2",
        "ok\n2",
        "ok\n1.1",
        "(35) Recv failure: Connection reset by peer",
        "(28) ",
    ];
    check("curl", &said, expected);
    for (name, version) in [("tls1-2", "--tlsv1.3"), ("tls1-3", "--tls-max=1.2")] {
        let version: Vec<_> = version.split('=').collect();
        let said = curl(&running, &root, &format!("{name}.localhost"), &version).await;
        assert!(said.contains("alert protocol version"), "{name}: {said}");
    }
}

#[tokio::test]
#[ignore = "needs Python, at $PYTHON or python3"]
async fn pythons_ssl_finds_each_fault() {
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let said = ask(python, "tls_faults.py", "faults-python").await;
    let expected = [
        "200",
        "certificate has expired",
        "certificate is not yet valid",
        "Hostname mismatch",
        "self-signed certificate in certificate chain",
        "unable to get local issuer certificate",
        "alert certificate required",
        "200",
        "200",
        "200",
        "Connection reset by peer",
        "timed out",
    ];
    check("Python", &said, expected);
}

#[tokio::test]
#[ignore = "needs Node"]
async fn node_finds_each_fault() {
    let said = ask("node", "tls_faults.js", "faults-node").await;
    let expected = [
        "200",
        "CERT_HAS_EXPIRED",
        "CERT_NOT_YET_VALID",
        "ERR_TLS_CERT_ALTNAME_INVALID",
        "SELF_SIGNED_CERT_IN_CHAIN",
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "200",
        "200",
        "200",
        "ECONNRESET",
        "timeout",
    ];
    check("Node", &said, expected);
}

/// The code of the error that a page of Chromium is about, or else the page.
fn error_code(page: &str) -> String {
    let Some(start) = page.find("ERR_") else {
        return page.to_owned();
    };
    let is_in_code = |c: &char| c.is_ascii_uppercase() || *c == '_';
    page[start..].chars().take_while(is_in_code).collect()
}

#[tokio::test]
#[ignore = "needs Chromium, ChromeDriver, and certutil of NSS"]
async fn chromium_finds_each_fault() {
    let (running, root) = run("faults-chromium", "1s").await;
    let browser = Browser::trusting("faults-chromium", &root).await;
    let mut said = Vec::new();
    for name in NAMES {
        let url = format!("https://{name}:{}/healthz", running.address().port());
        said.push(error_code(&browser.try_open(&url).await));
    }
    let expected = [
        ">ok\n",
        "ERR_CERT_DATE_INVALID",
        "ERR_CERT_DATE_INVALID",
        "ERR_CERT_COMMON_NAME_INVALID",
        "ERR_CERT_AUTHORITY_INVALID",
        "ERR_CERT_AUTHORITY_INVALID",
        // The refusal of TLS 1.3 comes after the handshake, and may come before the request.
        "ERR_BAD_SSL_CLIENT_AUTH_CERT|ERR_SOCKET_NOT_CONNECTED|ERR_INTERNET_DISCONNECTED",
        ">ok\n",
        ">ok\n",
        ">ok\n",
        "ERR_CONNECTION_RESET",
        "ERR_CONNECTION_CLOSED",
    ];
    check("Chromium", &said, expected);
    browser.close().await;
}
