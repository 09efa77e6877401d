use echobeat::{Server, ServerConfig};
use echobeat_frames::{text_echo, text_frame};

use crate::support::{Raw, TestServer, config, upgrade_request};

#[tokio::test]
async fn plain_requests_are_answered() {
    let server = TestServer::start().await;
    for (status, request_line) in [
        (200, "GET /healthz"),
        (405, "POST /healthz"),
        (404, "GET /wshandler"),
        (404, "POST /wshandler"),
    ] {
        let response = server
            .ask(format!("{request_line} HTTP/1.1\r\nHost: here\r\n\r\n"))
            .await;
        assert_eq!(response.status, status, "{request_line}");
        match status {
            200 => assert_eq!(response.body, "ok\n"),
            405 => assert_eq!(response.header("Allow"), Some("GET, HEAD")),
            _ => assert!(response.body.contains("ws://here/"), "{response:?}"),
        }
    }
    let mut head = server.raw().await;
    head.send("HEAD /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .await;
    let response = head.head().await;
    assert_eq!(
        (response.status, response.header("Content-Length")),
        (200, Some("3"))
    );
    assert!(head.rest().await.is_empty());
    let no_host = server.ask("GET /healthz HTTP/1.1\r\n\r\n").await;
    assert_eq!(no_host.status, 400);
}

#[tokio::test]
async fn a_connection_may_send_plain_requests_before_it_upgrades() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    for _ in 0..3 {
        raw.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        assert_eq!(raw.response().await.status, 200);
    }
    raw.send(upgrade_request("/")).await;
    assert_eq!(raw.head().await.status, 101);
}

#[tokio::test]
async fn an_upgrade_is_answered_alike_as_the_first_request_and_as_a_later_one() {
    let server = TestServer::start().await;
    let upgrade = upgrade_request("/");
    let host = "Host: localhost";
    for request in [
        upgrade.clone(),
        upgrade_request("/?q={\"a\":\u{fc}}&do=who"),
        upgrade_request("http://localhost/?do=who"),
        upgrade_request("/?do=refuse:503:5s"),
        upgrade_request("/?do=nothing"),
        upgrade.replace("GET", "POST"),
        upgrade.replace("GET", "HEAD"),
        upgrade.replace("GET /", "CONNECT localhost:80"),
        upgrade.replace("GET /", "OPTIONS *"),
        upgrade.replace("HTTP/1.1", "HTTP/1.0"),
        upgrade.replace(host, "Host: a b"),
        upgrade.replace(host, "X-No: host"),
        upgrade.replace(host, &format!("{host}\r\n{host}")),
        upgrade.replace(host, &format!("{host}\r\nContent-Length: 0")),
        upgrade.replace(host, &format!("{host}\r\nContent-Length: 1")),
        upgrade.replace(
            host,
            &format!("{host}\r\nContent-Length: 0\r\nContent-Length: 00"),
        ),
        upgrade.replace(
            host,
            format!("{host}\r\n{}", "X: y\r\n".repeat(70)).trim_end(),
        ),
        upgrade.replace("Upgrade: websocket", "Upgrade: h2c"),
        upgrade.replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
        upgrade.replace("Connection: Upgrade", "Connection: close"),
        upgrade.replace("Version: 13", "Version: 8"),
    ] {
        let mut first = server.raw().await;
        let mut later = server.raw().await;
        later.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(later.response().await.status, 200);
        let mut answers = Vec::new();
        for raw in [&mut first, &mut later] {
            raw.send(&request).await;
            let head = raw.head().await;
            let lines = head.head.lines().filter(|line| !line.starts_with("Date: "));
            answers.push(lines.map(str::to_owned).collect::<Vec<_>>());
        }
        assert_eq!(answers[0], answers[1], "{request}");
    }
}

#[tokio::test]
async fn a_frame_in_the_same_packet_as_the_upgrade_is_echoed() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    let mut request = upgrade_request("/").into_bytes();
    request.extend(text_frame("early"));
    raw.send(request).await;
    assert_eq!(raw.head().await.status, 101);
    assert_eq!(raw.read(7).await, text_echo("early"));
}

#[tokio::test]
async fn a_peer_of_ipv4_is_named_as_such_over_a_socket_of_ipv6() {
    let both = ServerConfig {
        listen: vec!["[::]:0".parse().unwrap()],
        ..config()
    };
    // A machine without IPv6 has no such peers.
    if Server::bind(both.clone()).await.is_err() {
        return;
    }
    let server = TestServer::start_with(both).await;
    let mut raw = Raw::connect(([127, 0, 0, 1], server.address.port()).into()).await;
    raw.send(upgrade_request("/?do=who")).await;
    assert_eq!(raw.head().await.status, 101);
    let header = raw.read(4).await;
    let length = u16::from_be_bytes([header[2], header[3]]);
    let portrait = String::from_utf8(raw.read(length.into()).await).unwrap();
    assert!(portrait.contains("\"peer\":\"127.0.0.1:"), "{portrait}");
}

#[tokio::test]
async fn headers_are_named_as_the_rfcs_write_them() {
    let server = TestServer::start().await;
    let offer = "Sec-WebSocket-Protocol: chat\r\nHost";
    let whole = upgrade_request("/").replace("Host", offer);
    let faulty = upgrade_request("/?do=echo:off").replace("Host", offer);
    for request in [whole, faulty] {
        let mut raw = server.raw().await;
        raw.send(request).await;
        let head = raw.head().await.head;
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
        for line in [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "Sec-WebSocket-Protocol: chat",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
    }
    for (refused, line) in [
        (
            upgrade_request("/").replace("Version: 13", "Version: 12"),
            "Sec-WebSocket-Version: 13",
        ),
        (
            upgrade_request("/?do=refuse:401"),
            "WWW-Authenticate: Basic realm=\"echobeat\"",
        ),
        (upgrade_request("/").replace("GET", "POST"), "Allow: GET"),
    ] {
        let head = server.ask(refused).await.head;
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
}
