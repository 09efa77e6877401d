use std::time::Duration;

use echobeat::ServerConfig;

use echobeat_frames::{text_echo, text_frame};

use crate::support::{Raw, Response, TestServer, UPGRADE, config, upgrade_request};

/// A request with the lines of a good upgrade, of which `without` is left out, and `with` added.
fn request(first_line: &str, without: &str, with: &str) -> String {
    let lines: String = UPGRADE
        .split_inclusive("\r\n")
        .filter(|line| without.is_empty() || !line.starts_with(without))
        .collect();
    format!("{first_line}\r\n{lines}{with}\r\n")
}

/// Expects that the server says no more, and closes in order.
async fn expect_closed(raw: Raw) {
    assert_eq!(String::from_utf8_lossy(&raw.rest().await), "");
}

/// Upgrades that are refused, and the status that each of them gets.
fn refused() -> Vec<(u16, String)> {
    let get = "GET /wshandler HTTP/1.1";
    let many = "X-Many: x\r\n".repeat(61);
    let long = format!("X-Long: {}\r\n", "x".repeat(17 << 10));
    vec![
        (405, request("POST /wshandler HTTP/1.1", "", "")),
        (505, request("GET /wshandler HTTP/1.0", "", "")),
        (400, request(get, "Host", "")),
        (400, request(get, "", "Host: another\r\n")),
        (400, request(get, "Connection", "")),
        (
            400,
            request(get, "Connection", "Connection: keep-alive\r\n"),
        ),
        (426, request(get, "Sec-WebSocket-Version", "")),
        (
            426,
            request(get, "Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n"),
        ),
        (400, request(get, "Sec-WebSocket-Key", "")),
        (
            400,
            request(get, "", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
        ),
        (
            400,
            request(get, "Sec-WebSocket-Key", "Sec-WebSocket-Key: short==\r\n"),
        ),
        (400, request(get, "", "Content-Length: 5\r\n") + "hello"),
        (
            400,
            request(get, "", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        ),
        (431, request(get, "", &many)),
        (431, request(get, "", &long)),
    ]
}

#[tokio::test]
async fn every_refusal_has_its_status_and_a_sentence_and_closes() {
    let server = TestServer::start().await;
    let control = server.control().await;
    for (status, request) in refused() {
        let mut raw = server.raw().await;
        // A second request behind a refused one is never answered.
        raw.send(request.clone() + "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let response = raw.response().await;
        assert_eq!(response.status, status, "{request}{response:?}");
        assert!(
            response.body.ends_with(".\n") || response.body.ends_with("?\n"),
            "{response:?}"
        );
        assert!(
            response
                .header("Connection")
                .is_some_and(|c| c.contains("close")),
            "{response:?}"
        );
        match status {
            405 => assert_eq!(response.header("Allow"), Some("GET")),
            426 => {
                assert_eq!(response.header("Sec-WebSocket-Version"), Some("13"));
                assert_eq!(response.header("Upgrade"), Some("websocket"));
                assert_eq!(response.header("Connection"), Some("Upgrade, close"));
            }
            _ => {}
        }
        expect_closed(raw).await;
    }
    control.finish("refused upgrades").await;
}

#[tokio::test]
async fn an_upgrade_is_answered_alike_as_a_first_and_as_a_later_request() {
    let get = "GET /wshandler?a=b HTTP/1.1";
    let accepted = [
        ("", ""),
        ("", "Sec-WebSocket-Protocol: b@d, chat\r\n"),
        ("", "Sec-WebSocket-Protocol: b@d\r\nOrigin: null\r\n"),
        ("", "Content-Length: 0\r\nContent-Length: 0\r\n"),
        ("", "Expect: 100-continue\r\nX-Empty:\r\n"),
        ("Upgrade", "Upgrade: foo\r\nUPGRADE: WebSocket\r\n"),
        ("Host", "Host:\r\n"),
    ]
    .map(|(without, with)| (101, request(get, without, with)));
    let absolute = request("GET http://localhost/ HTTP/1.1", "", "");
    let malformed = request("GET /\x7f HTTP/1.1", "", "");
    let stuffed = [
        (101, absolute),
        (101, format!("\r\n{}", upgrade_request("/"))),
        (400, malformed),
        (
            400,
            request(get, "", "Content-Length: 0\r\nContent-Length: 1\r\n"),
        ),
        (400, request(get, "", "X y: z\r\n")),
    ];
    let server = TestServer::start().await;
    for (status, request) in accepted.into_iter().chain(stuffed).chain(refused()) {
        let at_once = server.ask(&request).await;
        let mut later = server.raw().await;
        later
            .send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        assert_eq!(later.response().await.status, 200);
        later.send(&request).await;
        let later = later.response().await;
        assert_eq!(at_once.status, status, "{request}{at_once:?}");
        assert_eq!(timeless(&at_once), timeless(&later), "{request}");
    }
}

/// A response without the time of day, but with the length of the line that has it.
fn timeless(response: &Response) -> (Vec<String>, &str) {
    let lines = response
        .head
        .split("\r\n")
        .map(|line| match line.starts_with("Date: ") {
            true => format!("Date in {}", line.len()),
            false => line.to_owned(),
        });
    (lines.collect(), &response.body)
}

#[tokio::test]
async fn oversized_heads_are_refused_before_they_end() {
    let server = TestServer::start().await;
    for head in [
        format!("X-Long: {}", "x".repeat(40 << 10)),
        format!("X-Long: {}", "x".repeat(10_000_000)),
        "X-Many: x\r\n".repeat(1_000),
        "\0".to_owned(),
    ] {
        let response = server
            .ask(format!("GET / HTTP/1.1\r\n{UPGRADE}{head}"))
            .await;
        assert!([400, 431].contains(&response.status), "{response:?}");
    }
}

#[tokio::test]
async fn connection_and_upgrade_are_read_as_lists_of_tokens() {
    let server = TestServer::start().await;
    for (without, with) in [
        (
            "Connection",
            "Connection: keep-alive\r\nConnection: Upgrade\r\n",
        ),
        ("Connection", "cOnNeCtIoN: Keep-Alive, UPGRADE\r\n"),
        ("Upgrade", "Upgrade: foo, WebSocket\r\n"),
    ] {
        let response = server.ask(request("GET / HTTP/1.1", without, with)).await;
        assert_eq!(response.status, 101, "{with}{response:?}");
        let accept = response.header("Sec-WebSocket-Accept");
        assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

#[tokio::test]
async fn a_selected_subprotocol_cannot_add_a_header_line() {
    let server = TestServer::start().await;
    let selected = async |offer: &str| {
        let offer = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let response = server.ask(request("GET / HTTP/1.1", "", &offer)).await;
        assert!(!response.head.contains("Injected"), "{response:?}");
        let protocol = response.header("Sec-WebSocket-Protocol").map(str::to_owned);
        (response.status, protocol)
    };
    assert_eq!(
        selected("chat, superchat").await,
        (101, Some("chat".to_owned()))
    );
    assert_eq!(selected("b@d, good").await, (101, Some("good".to_owned())));
    assert_eq!(selected("b@d").await, (101, None));
    assert_eq!(selected("chat\rInjected: 1").await.0, 400);
    assert_eq!(
        selected("chat%0d%0aInjected: 1, ok").await,
        (101, Some("ok".to_owned()))
    );
}

#[tokio::test]
async fn origins_are_checked_if_some_are_configured() {
    let server = TestServer::start_with(ServerConfig {
        allowed_origins: vec![
            "https://example.com:443/".parse().unwrap(),
            "https://*.example.org".parse().unwrap(),
        ],
        ..config()
    })
    .await;
    let own = format!("http://{}", server.address);
    let host = format!("Host: {}\r\n", server.address);
    for (origin, status) in [
        ("https://example.com", 101),
        ("https://app.example.org", 101),
        ("https://example.org", 403),
        ("https://example.net", 403),
        ("null", 403),
        // The server's own page.
        (&own, 101),
        ("http://127.0.0.1:1", 403),
    ] {
        let lines = format!("{host}Origin: {origin}\r\n");
        let response = server.ask(request("GET / HTTP/1.1", "Host", &lines)).await;
        assert_eq!(response.status, status, "{origin}");
    }
    let no_browser = server.ask(upgrade_request("/")).await;
    assert_eq!(no_browser.status, 101);
    // By DNS rebinding, any name can mean this address.
    let lines = "Host: rebound.example\r\nOrigin: http://rebound.example\r\n";
    let rebound = server.ask(request("GET / HTTP/1.1", "Host", lines)).await;
    assert_eq!(rebound.status, 403);
}

#[tokio::test]
async fn paths_are_checked_if_some_are_configured() {
    let server = TestServer::start_with(ServerConfig {
        paths: vec!["/ws".parse().unwrap()],
        ..config()
    })
    .await;
    assert_eq!(server.ask(upgrade_request("/ws?x=1")).await.status, 101);
    assert_eq!(server.ask(upgrade_request("/")).await.status, 404);

    let plain = server
        .ask("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(plain.status, 426);
    assert_eq!(plain.header("Upgrade"), Some("websocket"));
    assert!(plain.body.ends_with(".\n"), "{plain:?}");
}

#[tokio::test]
async fn a_thousand_slow_heads_time_out_while_others_are_served() {
    echobeat::platform::raise_open_file_limit();
    let server = TestServer::start_with(ServerConfig {
        handshake_timeout: Duration::from_secs(5),
        ..config()
    })
    .await;
    let control = server.control().await;
    let mut slow = Vec::new();
    for _ in 0..1_000 {
        slow.push(server.raw().await);
    }
    let head = upgrade_request("/");
    for byte in head.as_bytes().iter().take(4) {
        for raw in &mut slow {
            raw.send([*byte]).await;
        }
        server.connect().await.echo("quick").await;
    }
    for raw in slow {
        expect_closed(raw).await;
    }
    control.finish("slow heads").await;
}

#[tokio::test]
async fn heads_that_do_not_arrive_in_time_are_closed() {
    let server = TestServer::start_with(ServerConfig {
        handshake_timeout: Duration::from_millis(500),
        ..config()
    })
    .await;
    // A session that began in time has nothing to do with that.
    let mut session = server.raw_session().await;
    let silent = server.raw().await;
    let mut half = server.raw().await;
    half.send("GET / HTTP/1.1\r\nHost: loc").await;
    let mut idle = server.raw().await;
    idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(idle.response().await.status, 200);
    for raw in [silent, half, idle] {
        expect_closed(raw).await;
    }
    session.send(text_frame("hello")).await;
    assert_eq!(session.read(7).await, text_echo("hello"));
}
