//! What of a scenario shows in the handshake.

use std::time::Duration;

use echobeat::ServerConfig;
use echobeat_frames::{CLOSE, frame, text_echo, text_frame};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::path;
use crate::cli::{Running, echobeat};
use crate::http2::{connect, serve};
use crate::proxy::TestProxy;
use crate::support::{Raw, TestServer, UPGRADE, config, soon, upgrade_request};

#[tokio::test]
async fn refusals_are_what_was_asked_for() {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    let h2c = serve(config()).await;
    let mut http2 = connect(h2c.address).await;
    for (steps, status, header) in [
        ("refuse:599", 599, None),
        ("refuse:503:5s", 503, Some(("Retry-After", "5"))),
        ("refuse:302:/path", 302, Some(("Location", "/path"))),
        (
            "refuse:401",
            401,
            Some(("WWW-Authenticate", "Basic realm=\"echobeat\"")),
        ),
        ("refuse:405", 405, Some(("Allow", "GET"))),
        ("nonsense", 400, None),
    ] {
        for address in [server.address, proxy.address] {
            let mut raw = Raw::connect(address).await;
            raw.send(upgrade_request(&path(steps))).await;
            let response = raw.response().await;
            assert_eq!(response.status, status, "{response:?}");
            assert!(response.body.ends_with(".\n"), "{response:?}");
            if let Some((name, value)) = header {
                assert_eq!(response.header(name), Some(value));
            }
            if address == server.address {
                assert_eq!(raw.rest().await, b"");
            }
        }
        let version = [("sec-websocket-version", "13")];
        let (response, _) = http2.try_session(&path(steps), &version).await;
        let response = soon(response).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        if let Some((name, value)) = header {
            assert_eq!(response.headers()[name], value);
        }
    }
}

#[tokio::test]
async fn a_refusal_with_426_names_the_protocol_and_one_with_304_has_no_content() {
    let server = TestServer::start().await;
    let response = server.ask(upgrade_request(&path("refuse:426"))).await;
    assert_eq!(response.status, 426);
    assert_eq!(response.header("Upgrade"), Some("websocket"));
    assert_eq!(response.header("Connection"), Some("Upgrade, close"));
    let mut raw = server.raw().await;
    raw.send(upgrade_request(&path("refuse:304"))).await;
    let response = raw.head().await;
    assert_eq!(response.status, 304);
    assert_eq!(response.header("Content-Length"), None);
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn a_refusal_may_be_for_the_first_connections_of_a_url() {
    let server = TestServer::start_with(ServerConfig {
        h2c: true,
        ..config()
    })
    .await;
    let proxy = TestProxy::before(server.address).await;
    let mut http2 = connect(server.address).await;
    // Each is another URL.
    for (n, address) in [server.address, proxy.address].into_iter().enumerate() {
        let path = path(&format!("refuse:503:5s@2x&run={n}"));
        for expected in [503, 503, 101, 101] {
            let mut raw = Raw::connect(address).await;
            raw.send(upgrade_request(&path)).await;
            assert_eq!(raw.head().await.status, expected);
        }
    }
    for expected in [503, 503, 200] {
        let version = [("sec-websocket-version", "13")];
        let (response, _send) = http2.try_session(&path("refuse:503@2x"), &version).await;
        assert_eq!(soon(response).await.unwrap().status().as_u16(), expected);
    }
}

#[tokio::test]
async fn connections_that_come_together_are_counted_as_well() {
    let server = TestServer::start().await;
    let asked = (0..20).map(|_| server.ask(upgrade_request(&path("refuse:503@7x"))));
    let answers = futures_util::future::join_all(asked).await;
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert_eq!(refused, 7);
}

#[tokio::test]
async fn a_wait_and_an_end_may_be_for_some_connections() {
    let server = TestServer::start_with(ServerConfig {
        scenario: "rst@0s@1x".parse().unwrap(),
        ..config()
    })
    .await;
    // Steps that the server was told to do are counted by path, whatever the query.
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?a")).await;
    let mut rest = Vec::new();
    let end = soon(raw.stream.read_to_end(&mut rest)).await;
    assert!(end.is_err(), "ends in good order behind {rest:x?}");
    for path in ["/?b", "/?c"] {
        let mut raw = server.raw().await;
        raw.send(upgrade_request(path)).await;
        assert_eq!(raw.head().await.status, 101);
        raw.send(text_frame("one")).await;
        assert_eq!(raw.read(5).await, text_echo("one"));
    }
    // The first waits for longer than anything here may take.
    let path = "/wait?do=wait:1m@1x";
    let mut first = server.raw().await;
    first.send(upgrade_request(path)).await;
    let waits = timeout(Duration::from_millis(300), first.head()).await;
    assert!(waits.is_err(), "{waits:?}");
    assert_eq!(server.ask(upgrade_request(path)).await.status, 101);
}

#[tokio::test]
async fn the_log_and_the_step_who_say_what_was_done_in_this_connection() {
    let mut running = Running::start(echobeat(&["127.0.0.1:0"])).await;
    for expected in ["who,greet:hi@1x", "who"] {
        let mut raw = Raw::connect(running.address()).await;
        raw.send(upgrade_request("/?do=who,greet:hi@1x")).await;
        assert_eq!(raw.head().await.status, 101);
        assert_eq!(raw.read(2).await, [0x81, 126]);
        let length = raw.stream.read_u16().await.unwrap();
        let portrait: serde_json::Value =
            serde_json::from_slice(&raw.read(length.into()).await).unwrap();
        assert_eq!(portrait["do"], expected);
        let open = running.logs("open").await;
        assert!(open.contains(&format!("do=\"{expected}\"")), "{open}");
    }
}

#[tokio::test]
async fn an_unknown_step_is_answered_with_the_list_of_steps() {
    let server = TestServer::start().await;
    let response = server.ask(upgrade_request(&path("who,close:bye"))).await;
    assert_eq!(response.status, 400);
    let mut lines = response.body.lines();
    let first = lines.next().unwrap();
    assert!(first.contains("\"close:bye\""), "{first}");
    let list = lines.next().unwrap();
    for step in ["beat:500ms", "burst:1000x1KiB", "who"] {
        assert!(list.contains(step), "{list}");
    }
    assert_eq!(lines.next(), None);
}

#[tokio::test]
async fn faults_that_are_switched_off_get_403_and_others_are_served() {
    let server = TestServer::start_with(ServerConfig {
        faults: false,
        ..config()
    })
    .await;
    let status = async |path| server.ask(upgrade_request(path)).await.status;
    assert_eq!(status("/?do=who").await, 403);
    assert_eq!(status("/?undo=who").await, 101);
    assert_eq!(status("/").await, 101);
}

#[tokio::test]
async fn paths_subprotocols_and_origins_are_checked_as_ever() {
    let server = TestServer::start_with(ServerConfig {
        paths: vec!["/ws".parse().unwrap()],
        allowed_origins: vec!["https://example.com".parse().unwrap()],
        ..config()
    })
    .await;
    assert_eq!(server.ask(upgrade_request("/ws?do=who")).await.status, 101);
    assert_eq!(server.ask(upgrade_request("/?do=who")).await.status, 404);
    let foreign = format!("GET /ws?do=who HTTP/1.1\r\n{UPGRADE}Origin: https://a\r\n\r\n");
    assert_eq!(server.ask(foreign).await.status, 403);
}

#[tokio::test]
async fn a_wait_delays_the_answer_and_messages_that_came_meanwhile_are_echoed() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    let begun = Instant::now();
    let request = upgrade_request(&path("wait:100ms"));
    raw.send([request.as_bytes(), &text_frame("early")].concat())
        .await;
    assert_eq!(raw.head().await.status, 101);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert_eq!(raw.read(7).await, text_echo("early"));

    let h2c = serve(config()).await;
    let mut http2 = connect(h2c.address).await;
    let begun = Instant::now();
    let stream = http2.stream_at(&path("wait:100ms")).await;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    let mut raw = stream.raw();
    raw.send(text_frame("one")).await;
    assert_eq!(raw.read(5).await, text_echo("one"));
}

#[tokio::test]
async fn a_drain_ends_a_wait() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request(&path("wait:1m"))).await;
    // The next connection is accepted behind this one.
    server.connect().await.echo("hello").await;
    let stopped = server.stop();
    assert_eq!(raw.head().await.status, 101);
    raw.expect_close(1001).await;
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn an_accept_may_be_wrong_or_absent() {
    let server = TestServer::start().await;
    let wrong = server.ask(upgrade_request(&path("accept:wrong"))).await;
    let accept = wrong.header("Sec-WebSocket-Accept").unwrap();
    assert_eq!((wrong.status, accept.len()), (101, 28));
    assert_ne!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let absent = server.ask(upgrade_request(&path("accept:none"))).await;
    let accept = absent.header("Sec-WebSocket-Accept");
    assert_eq!((absent.status, accept), (101, None));
    // The proxy opens no tunnel behind such a 101.
    let proxy = TestProxy::before(server.address).await;
    for steps in ["accept:wrong", "accept:none"] {
        assert_eq!(proxy.ask(upgrade_request(&path(steps))).await.status, 502);
    }
}

#[tokio::test]
async fn a_step_selects_a_subprotocol_offered_or_not() {
    let server = TestServer::start().await;
    for (steps, expected) in [
        ("subprotocol:chat", Some("chat")),
        ("subprotocol:none", None),
    ] {
        for offer in ["", "Sec-WebSocket-Protocol: mqtt, soap\r\n"] {
            let path = path(steps);
            let request = format!("GET {path} HTTP/1.1\r\n{UPGRADE}{offer}\r\n");
            let response = server.ask(request).await;
            assert_eq!(response.status, 101);
            assert_eq!(response.header("Sec-WebSocket-Protocol"), expected);
        }
    }
}

#[tokio::test]
async fn a_greeting_comes_in_one_write_with_the_101() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request(&path("greet:hi"))).await;
    // One write on loopback is one read.
    let mut bytes = [0; 1000];
    let read = soon(raw.stream.read(&mut bytes)).await.unwrap();
    let head = bytes[..read].strip_suffix(&text_echo("hi")[..]).unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 ") && head.ends_with(b"\r\n\r\n"));
}

#[tokio::test]
async fn the_step_who_tells_what_the_server_saw() {
    let server = TestServer::start().await;
    let mut raw = server.raw().await;
    let request = format!(
        "GET /a?b=c&do=who,greet:hi HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Protocol: chat, b\r\nX-Odd: \"\u{e9}\r\n\r\n"
    );
    raw.send(request).await;
    assert_eq!(raw.head().await.status, 101);
    let local = raw.stream.local_addr().unwrap().to_string();
    assert_eq!(raw.read(2).await, [0x81, 126]);
    let length = raw.stream.read_u16().await.unwrap();
    let portrait = raw.read(length.into()).await;
    let mut portrait: serde_json::Value = serde_json::from_slice(&portrait).unwrap();
    assert!(portrait["server"].take().is_string());
    let expected = serde_json::json!({
        "connection": 1,
        "peer": local,
        "transport": {"http": "1.1", "stream": null, "tls": null},
        "authority": null,
        "path": "/a?b=c&do=who,greet:hi",
        "headers": [
            ["host", "localhost"],
            ["upgrade", "websocket"],
            ["connection", "Upgrade"],
            ["sec-websocket-version", "13"],
            ["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="],
            ["sec-websocket-protocol", "chat, b"],
            ["x-odd", "\"\u{e9}"],
        ],
        "subprotocols": {"offered": ["chat", "b"], "selected": "chat"},
        "extensions": {"offered": [], "agreed": null},
        "do": "who,greet:hi",
        "server": null,
    });
    assert_eq!(portrait, expected);
    assert_eq!(raw.read(4).await, text_echo("hi"));
}

/// The server's view of a request with these header lines.
async fn portrait_with(server: &TestServer, lines: &str) -> Vec<(String, String)> {
    let mut raw = server.raw().await;
    raw.send(format!("GET /?do=who HTTP/1.1\r\n{UPGRADE}{lines}\r\n"))
        .await;
    assert_eq!(raw.head().await.status, 101);
    assert_eq!(raw.read(2).await, [0x81, 126]);
    let length = raw.stream.read_u16().await.unwrap();
    let portrait: serde_json::Value =
        serde_json::from_slice(&raw.read(length.into()).await).unwrap();
    serde_json::from_value(portrait["headers"].clone()).unwrap()
}

#[tokio::test]
async fn the_step_who_shows_secrets_so_that_they_can_be_compared_and_not_used() {
    let server = TestServer::start().await;
    let secrets = "Cookie: sid=hunter2\r\nAuthorization: Basic hunter2\r\n\
        Proxy-Authorization: Bearer hunter2\r\nX-Api-Key: hunter2\r\n";
    let shown = portrait_with(&server, secrets).await;
    assert!(
        shown.iter().all(|(_, value)| !value.contains("hunter2")),
        "{shown:?}"
    );
    let value = |name: &str| &shown.iter().find(|(found, _)| found == name).unwrap().1;
    assert!(
        value("cookie").starts_with("[redacted: 11 bytes, hash "),
        "{shown:?}"
    );
    assert!(value("authorization").starts_with("Basic [redacted: 13 bytes"));
    assert!(value("proxy-authorization").starts_with("Bearer [redacted: "));
    assert!(value("x-api-key").starts_with("[redacted: 7 bytes"));
    assert_eq!(portrait_with(&server, secrets).await, shown);
    let other = portrait_with(&server, &secrets.replace("hunter2", "hunter3")).await;
    assert!(
        other
            .iter()
            .zip(&shown)
            .filter(|(one, other)| one != other)
            .count()
            == 4
    );
}

#[tokio::test]
async fn the_log_says_what_was_asked_for_and_what_came_of_it() {
    let mut running = Running::start(echobeat(&["127.0.0.1:0", "--do=greet:hi"])).await;
    let mut raw = Raw::connect(running.address()).await;
    raw.send(upgrade_request("/?do=close:4001:bye")).await;
    let open = running.logs("open").await;
    assert!(open.contains("do=\"greet:hi,close:4001:bye\""), "{open}");
    let head = raw.head().await;
    assert_eq!(head.status, 101);
    assert_eq!(raw.read(4).await, text_echo("hi"));
    assert_eq!(raw.read(7).await, b"\x88\x05\x0f\xa1bye");
    raw.send(frame(CLOSE, b"")).await;
    let end = running.logs("connection: end").await;
    assert!(end.contains("why=\"fault\" code=4001 clean=true"), "{end}");
}

#[tokio::test]
async fn steps_on_the_command_line_are_checked() {
    for args in [&["--do=explode"][..], &["--do=who", "--no-faults"]] {
        let output = soon(echobeat(args).output()).await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(!output.stderr.is_empty());
    }
}
