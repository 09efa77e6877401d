//! Load balancers and proxies in front of the server, which say who their client is.

use std::net::SocketAddr;

use echobeat::{ApiConfig, Peers, ProxyConfig, ServerConfig};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;

use crate::api::ask;
use crate::cli::{Running, echobeat};
use crate::http2;
use crate::installed::{Installed, directory_with, free_port};
use crate::proxy::{Stub, TestProxy, to};
use crate::support::{Raw, TestServer, UPGRADE, config, soon, upgrade_request};
use crate::tls::{BOTH_VERSIONS, Issued};

/// A header of version 1 for a client.
const HEADER: &str = "PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n";

/// The same of version 2.
const BINARY: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\x12\x34\x01\xbb";

/// Arguments of nginx, whose files are all in its own directory.
const NGINX: [&str; 4] = ["-p", ".", "-c", "balancer.conf"];

/// The client that these headers name.
const CLIENT: &str = "192.0.2.1:4660";

fn peers(text: &str) -> Vec<Peers> {
    vec![text.parse().expect("peers")]
}

/// Settings of a server behind a balancer on this machine.
fn behind_balancer() -> ServerConfig {
    ServerConfig {
        proxy_protocol: peers("127.0.0.0/8"),
        ..config()
    }
}

/// Settings of a server that believes headers of these peers.
fn trusting(text: &str) -> ServerConfig {
    ServerConfig {
        trusted_proxies: peers(text),
        h2c: true,
        ..config()
    }
}

/// Reads the text that `who` sends, in a session whose 101 has been read.
async fn who<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>) -> Value {
    let length = match raw.read(2).await[..] {
        [0x81, 126] => {
            let length = raw.read(2).await;
            u16::from_be_bytes([length[0], length[1]])
        }
        ref frame => panic!("{frame:?}"),
    };
    let text = raw.read(length.into()).await;
    serde_json::from_slice(&text).expect("JSON")
}

/// The peer that the server sees, in a session that is asked for with these bytes before the
/// request and these lines in it.
async fn peer<S>(raw: &mut Raw<S>, before: impl AsRef<[u8]>, lines: &str) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    raw.send(before).await;
    raw.send(format!("GET /?do=who HTTP/1.1\r\n{UPGRADE}{lines}\r\n"))
        .await;
    assert_eq!(raw.head().await.status, 101);
    who(raw).await["peer"].as_str().expect("a peer").to_owned()
}

fn own_address(raw: &Raw) -> String {
    raw.stream.local_addr().expect("an address").to_string()
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_names_the_client_everywhere() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig {
            listen: Vec::new(),
            ..ApiConfig::default()
        }),
        ..behind_balancer()
    });
    let server = server.await;
    for header in [HEADER.as_bytes(), BINARY] {
        let mut raw = server.raw().await;
        assert_eq!(peer(&mut raw, header, "").await, CLIENT);
        let mut asking = server.raw().await;
        asking
            .send(
                "PROXY UNKNOWN\r\nGET /connections?state=open HTTP/1.1\r\nHost: localhost\r\n\r\n",
            )
            .await;
        let list: Value = serde_json::from_str(&asking.response().await.body).unwrap();
        assert_eq!(list["connections"][0]["peer"], CLIENT, "{list}");
        drop(raw);
    }
    let mut raw = server.raw().await;
    let own = own_address(&raw);
    assert_eq!(peer(&mut raw, "PROXY UNKNOWN\r\n", "").await, own);
}

#[tokio::test]
async fn the_log_has_the_client_and_a_line_for_each_connection_that_names_none() {
    let command = echobeat(&[
        "127.0.0.1:0",
        "--proxy-protocol=127.0.0.1",
        "--handshake-timeout=1s",
    ]);
    let mut running = Running::start(command).await;
    let mut raw = Raw::connect(running.address()).await;
    peer(&mut raw, HEADER, "").await;
    let open = running.logs("open path=").await;
    assert!(open.contains(&format!("peer={CLIENT}")), "{open}");

    // A health check that only looks whether the port is open leaves no line.
    drop(Raw::connect(running.address()).await);
    let mut plain = Raw::connect(running.address()).await;
    plain
        .send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let answer = plain.response().await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("PROXY protocol"), "{}", answer.body);
    let mut silent = Vec::new();
    for sent in [
        &b"\x16\x03\x01\x00\x05"[..],
        b"PROXY TCP4 nonsense\r\n",
        b"PROXY TC",
    ] {
        let mut raw = Raw::connect(running.address()).await;
        raw.send(sent).await;
        silent.push(raw);
    }
    for _ in 0..4 {
        let line = running.next_line().await;
        assert!(line.contains("proxy_protocol_missing"), "{line}");
    }
    for raw in silent {
        assert_eq!(raw.rest().await, b"");
    }
}

#[tokio::test]
async fn the_header_comes_before_tls_and_before_http2() {
    let issued = Issued::new("balancers");
    let server = issued.serve(behind_balancer()).await;
    let mut raw = server.raw().await;
    raw.send(BINARY).await;
    let trusting = issued.trusted();
    let mut raw = trusting
        .handshake(&BOTH_VERSIONS, &[], raw.stream)
        .await
        .unwrap();
    assert_eq!(peer(&mut raw, "", "").await, CLIENT);

    let server = http2::serve(behind_balancer()).await;
    let mut raw = server.raw().await;
    raw.send(HEADER).await;
    let mut http2 = http2::over(raw.stream).await;
    let mut session = http2.stream_at("/?do=who").await.raw();
    assert_eq!(who(&mut session).await["peer"], CLIENT);
}

#[tokio::test]
async fn a_header_from_anybody_else_is_a_bad_request() {
    let server = TestServer::start_with(ServerConfig {
        proxy_protocol: peers("10.0.0.0/8"),
        ..config()
    });
    let server = server.await;
    for header in [HEADER.as_bytes(), BINARY] {
        let mut raw = server.raw().await;
        raw.send([header, upgrade_request("/").as_bytes()].concat())
            .await;
        let answer = raw.response().await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("--proxy-protocol"), "{}", answer.body);
    }
    let mut raw = server.raw().await;
    let own = own_address(&raw);
    assert_eq!(peer(&mut raw, "", "").await, own);
}

#[tokio::test]
async fn addresses_of_the_apis_own_need_no_header() {
    let server = echobeat::Server::bind(ServerConfig {
        api: Some(ApiConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..ApiConfig::default()
        }),
        ..behind_balancer()
    });
    let server = server.await.unwrap();
    let api = server.api_endpoints()[0].socket_addr().unwrap();
    let _server = TestServer::run(server);
    let (status, list) = ask(api, "GET /connections").await;
    assert_eq!(status, 200, "{list}");
}

#[tokio::test]
async fn forwarded_addresses_are_believed_from_trusted_proxies_alone() {
    let list = "X-Forwarded-For: 198.51.100.9, 192.0.2.1, 127.0.0.9\r\n";
    let server = TestServer::start_with(trusting("127.0.0.0/8")).await;
    for lines in [list, "Forwarded: for=192.0.2.1;proto=https\r\n"] {
        let mut raw = server.raw().await;
        assert_eq!(peer(&mut raw, "", lines).await, "192.0.2.1", "{lines}");
    }
    // The first request of this connection is another client's.
    let mut raw = server.raw().await;
    raw.send("GET /healthz HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.status, 200);
    assert_eq!(peer(&mut raw, "", list).await, "192.0.2.1");

    let mut http2 = http2::connect(server.address).await;
    for client in ["192.0.2.1", "192.0.2.2"] {
        let lines = [("sec-websocket-version", "13"), ("x-forwarded-for", client)];
        let (response, send) = http2.try_session("/?do=who", &lines).await;
        let receive = soon(response).await.unwrap().into_body();
        let mut session = http2::client::Stream { send, receive }.raw();
        assert_eq!(who(&mut session).await["peer"], client);
    }

    let wary = TestServer::start_with(trusting("10.0.0.0/8")).await;
    let mut raw = wary.raw().await;
    let own = own_address(&raw);
    assert_eq!(peer(&mut raw, "", list).await, own);
}

#[cfg(unix)]
#[tokio::test]
async fn all_who_connect_by_a_unix_socket_may_be_believed() {
    use crate::unix::{listen_on, socket_path};
    let path = socket_path("balancers.sock");
    let server = echobeat::Server::bind(ServerConfig {
        listen: vec![
            "127.0.0.1:0".parse().unwrap(),
            listen_on(&path).parse().unwrap(),
        ],
        proxy_protocol: peers("unix"),
        ..trusting("192.0.2.1")
    });
    let server = TestServer::run(server.await.unwrap());
    let mut raw = server.raw().await;
    let own = own_address(&raw);
    assert_eq!(peer(&mut raw, "", "").await, own);
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let mut raw = Raw { stream };
    assert_eq!(peer(&mut raw, HEADER, "").await, CLIENT);
    // The client that the header names is a proxy that is trusted.
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let list = "X-Forwarded-For: 198.51.100.9\r\n";
    assert_eq!(
        peer(&mut Raw { stream }, HEADER, list).await,
        "198.51.100.9"
    );
}

#[tokio::test]
async fn the_log_and_the_api_have_the_client_that_a_trusted_proxy_names() {
    let command = echobeat(&["127.0.0.1:0", "--trust-proxy=127.0.0.1", "--api"]);
    let mut running = Running::start(command).await;
    let mut raw = Raw::connect(running.address()).await;
    peer(&mut raw, "", "X-Forwarded-For: 192.0.2.1\r\n").await;
    let open = running.logs("open path=").await;
    assert!(open.contains("peer=192.0.2.1 "), "{open}");
    let (_, list) = ask(running.address(), "GET /connections").await;
    assert_eq!(list["connections"][0]["peer"], "192.0.2.1", "{list}");
}

/// The head that an upstream is sent by a proxy with these settings, for a client that says this.
async fn forwarded(settings: ProxyConfig, before: &str, lines: &str) -> String {
    let stub = Stub::start().await;
    let proxy = TestProxy::start(ProxyConfig {
        upstream: format!("http://{}", stub.address).parse().unwrap(),
        ..settings
    });
    let proxy = proxy.await;
    let mut raw = Raw::connect(proxy.address).await;
    raw.send(format!("{before}GET / HTTP/1.1\r\n{UPGRADE}{lines}\r\n"))
        .await;
    let (_upstream, head) = stub.accept().await;
    head.to_lowercase()
}

#[tokio::test]
async fn a_proxy_keeps_the_scheme_of_a_trusted_sender() {
    let lines = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n";
    for (trusted, proto) in [("127.0.0.1", "https"), ("10.0.0.0/8", "http")] {
        let settings = ProxyConfig {
            trusted_proxies: peers(trusted),
            ..to("http://127.0.0.1:1")
        };
        let head = forwarded(settings, "", lines).await;
        assert!(
            head.contains(&format!("\r\nx-forwarded-proto: {proto}\r\n")),
            "{head}"
        );
        assert!(
            head.contains("\r\nx-forwarded-for: 192.0.2.1, 127.0.0.1\r\n"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_proxy_behind_a_balancer_forwards_the_client() {
    let settings = ProxyConfig {
        proxy_protocol: peers("127.0.0.1"),
        ..to("http://127.0.0.1:1")
    };
    let head = forwarded(settings, HEADER, "").await;
    assert!(
        head.contains("\r\nx-forwarded-for: 192.0.2.1\r\n"),
        "{head}"
    );
}

/// The peer that the server behind a balancer sees, and the address of the client itself.
async fn peer_behind(balancer: &Installed) -> (String, String) {
    let mut raw = Raw::connect(balancer.address).await;
    (peer(&mut raw, "", "").await, own_address(&raw))
}

/// Starts a program with the text of its configuration.
async fn balancer(program: &str, args: &[&str], text: &str, port: u16) -> Installed {
    let name = format!("balancer-{program}-{port}");
    let directory = directory_with(&name, "balancer.conf", text);
    Installed::start(program, args, &directory, port).await
}

#[tokio::test]
#[ignore = "needs HAProxy"]
async fn the_proxy_protocol_of_haproxy_names_the_client() {
    let server = TestServer::start_with(behind_balancer()).await;
    for version in ["send-proxy", "send-proxy-v2"] {
        let port = free_port();
        let text = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen echo\n bind 127.0.0.1:{port}\n server echobeat {} {version}\n",
            server.address
        );
        let args = ["-db", "-f", "balancer.conf"];
        let haproxy = balancer("haproxy", &args, &text, port).await;
        let (seen, own) = peer_behind(&haproxy).await;
        assert_eq!(seen, own, "{version}");
    }
}

#[tokio::test]
#[ignore = "needs nginx with its module stream"]
async fn the_proxy_protocol_of_nginx_names_the_client() {
    let server = TestServer::start_with(behind_balancer()).await;
    let port = free_port();
    let text = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off; master_process off; pid pid; error_log log;\n\
         events {{}}\n\
         stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {}; proxy_protocol on; }} }}\n",
        server.address
    );
    let nginx = balancer("nginx", &NGINX, &text, port).await;
    let (seen, own) = peer_behind(&nginx).await;
    assert_eq!(seen, own);
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn the_headers_of_nginx_name_the_client() {
    let server = TestServer::start_with(trusting("127.0.0.1")).await;
    let port = free_port();
    let text = format!(
        "daemon off; master_process off; pid pid; error_log log;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
         fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{};\n\
         proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header Connection upgrade;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
        server.address
    );
    let nginx = balancer("nginx", &NGINX, &text, port).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let stream = soon(socket.connect(nginx.address)).await.unwrap();
    // nginx appends to what the client says of itself.
    let says = "X-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(peer(&mut Raw { stream }, "", says).await, "127.0.0.2");
}
