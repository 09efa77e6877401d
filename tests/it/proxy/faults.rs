//! Faults in the tunnel, by frame.

use std::io::ErrorKind;

use echobeat::ProxyConfig;
use echobeat_frames::{
    CLOSE, PING, TEXT, close_frame, frame, server_frame, split_frame, text_echo, text_frame,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::secure::with_tls;
use super::tunnels::tunnel;
use super::{ACCEPTED, Stub, TestProxy, to};
use crate::http2;
use crate::support::{Raw, TestServer, UPGRADE, soon, upgrade_request};
use crate::tls::Issued;

/// A proxy with these faults, in front of `upstream`.
async fn faulty(upstream: std::net::SocketAddr, steps: &str) -> TestProxy {
    TestProxy::start(ProxyConfig {
        scenario: steps.parse().unwrap(),
        faults_by_url: true,
        h2c: true,
        ..to(&format!("http://{upstream}"))
    })
    .await
}

/// A proxy with these faults, and the client's end and the upstream's of a tunnel through it.
async fn ends(steps: &str) -> (TestProxy, Raw, Raw) {
    let stub = Stub::start().await;
    let proxy = faulty(stub.address, steps).await;
    let (client, upstream) = tunnel(&stub, &proxy).await;
    (proxy, client, upstream)
}

/// Reads masked frames, and returns them without their masks, and the masks.
async fn unmasked(upstream: &mut Raw, count: usize) -> (Vec<u8>, Vec<[u8; 4]>) {
    let (mut bytes, mut plain, mut masks) = (Vec::new(), Vec::new(), Vec::new());
    while masks.len() < count {
        let Some((frame, rest)) = split_frame(&bytes) else {
            bytes.push(soon(upstream.stream.read_u8()).await.expect("a frame"));
            continue;
        };
        masks.push(frame.header.mask.expect("a mask"));
        plain.extend(server_frame(frame.header.first, &frame.unmasked()));
        bytes = rest.to_vec();
    }
    (plain, masks)
}

#[tokio::test]
async fn frames_pass_with_masks_made_anew() {
    let (_proxy, mut client, mut upstream) = ends("up.delay:0s,delay:0s").await;
    client
        .send([text_frame("one"), frame(PING, b"?"), frame(0x42, &[7; 300])].concat())
        .await;
    let (frames, masks) = unmasked(&mut upstream, 3).await;
    let sent = [
        text_echo("one"),
        server_frame(PING, b"?"),
        server_frame(0x42, &[7; 300]),
    ];
    assert_eq!(frames, sent.concat());
    assert!(masks[0] != masks[1] && masks[1] != masks[2], "{masks:x?}");
    upstream.send(sent.concat()).await;
    assert_eq!(client.read(sent.concat().len()).await, sent.concat());
    drop(client);
    assert!(upstream.rest().await.is_empty());
}

#[tokio::test]
async fn messages_to_the_client_are_dropped_duplicated_reordered_and_cut() {
    let fragments = b"\x01\x02he\x89\x00\x80\x01y";
    for (steps, sent, got) in [
        ("drop:100%", &fragments[..], &b"\x89\x00"[..]),
        (
            "duplicate",
            fragments,
            b"\x01\x02he\x89\x00\x80\x01y\x81\x03hey",
        ),
        // A compressed message stays one.
        ("duplicate", b"\xc1\x01\x00", b"\xc1\x01\x00\xc1\x01\x00"),
        (
            "reorder",
            b"\xc1\x01\x00\x81\x01b",
            b"\x81\x01b\xc1\x01\x00",
        ),
        ("fragment:1", b"\xc1\x02hi", b"\x41\x01h\x80\x01i"),
        (
            "fragment:2,duplicate",
            b"\x82\x03abc",
            b"\x02\x02ab\x80\x01c\x02\x02ab\x80\x01c",
        ),
        ("bad:utf8@1msg", b"\x81\x01a", b"\x81\x01a\x81\x02\xc3\x28"),
    ] {
        let (_proxy, mut client, mut upstream) = ends(steps).await;
        upstream.send([sent, b"\x8a\x00"].concat()).await;
        let expected = [got, b"\x8a\x00"].concat();
        let read = client.read(expected.len()).await;
        assert!(read == expected, "{steps}: {read:x?} is not {expected:x?}");
        // The other way is as usual.
        client.send(text_frame("up")).await;
        assert_eq!(unmasked(&mut upstream, 1).await.0, text_echo("up"));
    }
}

#[tokio::test]
async fn the_way_to_the_upstream_has_its_own_steps() {
    for (steps, count, got) in [
        ("up.drop:100%", 1, vec![server_frame(PING, b"")]),
        (
            "up.duplicate",
            3,
            vec![text_echo("a"), text_echo("a"), server_frame(PING, b"")],
        ),
        (
            "up.bad:ping126@1msg",
            3,
            vec![
                text_echo("a"),
                server_frame(PING, &[b' '; 126]),
                server_frame(PING, b""),
            ],
        ),
    ] {
        let (_proxy, mut client, mut upstream) = ends(steps).await;
        client
            .send([text_frame("a"), frame(PING, b"")].concat())
            .await;
        assert_eq!(
            unmasked(&mut upstream, count).await.0,
            got.concat(),
            "{steps}"
        );
        upstream.send(text_echo("down")).await;
        assert_eq!(client.read(6).await, text_echo("down"));
    }
}

#[tokio::test]
async fn a_close_is_put_in_and_its_answer_goes_to_the_other_side() {
    let (_proxy, mut client, mut upstream) = ends("close:4001:bye@1msg").await;
    upstream
        .send([text_echo("a"), text_echo("late")].concat())
        .await;
    let expected = [text_echo("a"), server_frame(CLOSE, b"\x0f\xa1bye")].concat();
    assert_eq!(client.read(expected.len()).await, expected);
    client.send(close_frame(4001, b"")).await;
    let (answer, _) = unmasked(&mut upstream, 1).await;
    assert_eq!(answer, server_frame(CLOSE, b"\x0f\xa1"));
    upstream.send(server_frame(CLOSE, b"\x0f\xa1")).await;
    drop(upstream);
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn an_end_is_that_of_its_step_for_its_side_and_in_order_for_the_other() {
    for (steps, is_client_reset, is_upstream_reset) in [
        ("fin@1msg", false, false),
        ("rst@1msg", true, false),
        ("up.fin@10ms", false, false),
        ("up.rst@10ms", false, true),
    ] {
        let (_proxy, mut client, mut upstream) = ends(steps).await;
        upstream.send(text_echo("a")).await;
        for (side, is_reset) in [
            (&mut client, is_client_reset),
            (&mut upstream, is_upstream_reset),
        ] {
            let mut bytes = Vec::new();
            match soon(side.stream.read_to_end(&mut bytes)).await {
                Ok(_) => assert!(!is_reset, "{steps}"),
                Err(error) => {
                    assert!(is_reset, "{steps}: {error}");
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                }
            }
            let _ = side.stream.shutdown().await;
        }
    }
}

/// The head of an upgrade with these header lines more.
fn upgrade(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{UPGRADE}{lines}\r\n")
}

#[tokio::test]
async fn requests_ask_for_faults_and_the_upstream_does_not_learn_of_it() {
    let stub = Stub::start().await;
    let proxy = faulty(stub.address, "").await;
    for (path, lines) in [
        ("/a?b=%20&echobeat-do=duplicate&do=who", ""),
        ("/a?b=%20&do=who", "Echobeat-Do: duplicate\r\n"),
    ] {
        let mut client = proxy.raw().await;
        client.send(upgrade(path, lines)).await;
        let (mut upstream, head) = stub.accept().await;
        assert!(
            head.starts_with("GET /a?b=%20&do=who HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(!head.to_lowercase().contains("echobeat-do"), "{head}");
        upstream
            .send([ACCEPTED.as_bytes(), &text_echo("a")].concat())
            .await;
        assert_eq!(client.head().await.status, 101);
        assert_eq!(client.read(6).await, text_echo("a").repeat(2));
    }
    let wrong = proxy.ask(upgrade("/?echobeat-do=who", "")).await;
    assert_eq!(wrong.status, 400);
    assert!(
        wrong.body.starts_with("The proxy has no step who: "),
        "{}",
        wrong.body
    );
    assert!(wrong.body.contains("delay:200ms"), "{}", wrong.body);
    // A plain request has no faults.
    let mut client = proxy.raw().await;
    client
        .send("GET /?echobeat-do=rst HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let (_upstream, head) = stub.accept().await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn the_answer_to_an_upgrade_may_be_a_fault() {
    let stub = Stub::start().await;
    let proxy = faulty(stub.address, "").await;
    let refused = proxy
        .ask(upgrade_request("/?echobeat-do=refuse:503:5s@1x"))
        .await;
    assert_eq!(
        (refused.status, refused.header("Retry-After")),
        (503, Some("5"))
    );
    for (steps, name, value) in [
        ("accept:none", "sec-websocket-accept", None),
        (
            "accept:unasked",
            "sec-websocket-extensions",
            Some("permessage-deflate"),
        ),
        (
            "wait:10ms",
            "sec-websocket-accept",
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ),
    ] {
        let mut client = proxy.raw().await;
        client
            .send(upgrade_request(&format!("/?echobeat-do={steps}")))
            .await;
        let (mut upstream, _) = stub.accept().await;
        upstream.send(ACCEPTED).await;
        let head = client.head().await;
        assert_eq!((head.status, head.header(name)), (101, value), "{steps}");
    }
}

#[tokio::test]
async fn messages_under_faults_are_compressed_each_for_itself() {
    let stub = Stub::start().await;
    let proxy = faulty(stub.address, "drop:50%").await;
    let offer = "Sec-WebSocket-Extensions: x-other, permessage-deflate\r\n";
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (chosen, status) in [
        ("permessage-deflate; server_no_context_takeover", 101),
        ("permessage-deflate", 502),
        ("x-other", 502),
    ] {
        let mut client = proxy.raw().await;
        client.send(upgrade("/", offer)).await;
        let (mut upstream, head) = stub.accept().await;
        let line = format!("\r\nSec-WebSocket-Extensions: {agreed}\r\n");
        assert!(head.contains(&line), "{head}");
        let chosen = format!("\r\nSec-WebSocket-Extensions: {chosen}\r\n\r\n");
        upstream.send(ACCEPTED.replace("\r\n\r\n", &chosen)).await;
        let head = client.head().await;
        assert_eq!(head.status, status, "{chosen}");
        if status == 101 {
            assert_eq!(head.header("Sec-WebSocket-Extensions"), Some(agreed));
        }
    }
}

/// Sends a message by a faulty way, and expects its echo and no other.
async fn sees_every_echo_twice<S: AsyncRead + AsyncWrite + Unpin>(mut raw: Raw<S>) {
    for text in ["one", "two"] {
        raw.send(text_frame(text)).await;
        assert_eq!(raw.read(10).await, text_echo(text).repeat(2));
    }
    raw.send(frame(TEXT, &[b'x'; 70_000])).await;
    let echo = server_frame(TEXT, &[b'x'; 70_000]);
    assert!(raw.read(2 * echo.len()).await == echo.repeat(2));
    raw.send(close_frame(1000, b"")).await;
    raw.expect_close(1000).await;
}

#[tokio::test]
async fn faults_are_the_same_over_tls_and_http2() {
    let issued = Issued::new("proxy-faults");
    let server = issued.serve(crate::support::config()).await;
    let config = ProxyConfig {
        upstream_ca: Some(issued.authority_file()),
        scenario: "up.fragment:100,duplicate".parse().unwrap(),
        ..to(&format!("https://localhost:{}", server.address.port()))
    };
    let proxy = TestProxy::start(with_tls(&issued, config)).await;
    sees_every_echo_twice(issued.trusted().session(proxy.address).await).await;
    let mut http2 = http2::connect_tls(&issued, proxy.address).await;
    sees_every_echo_twice(http2.raw_session().await).await;
}

#[tokio::test]
async fn a_stream_of_http2_asks_for_faults_of_its_own() {
    let server = TestServer::start().await;
    let proxy = faulty(server.address, "").await;
    let mut http2 = http2::connect(proxy.address).await;
    let stream = http2.stream_at("/?echobeat-do=up.drop:100%25").await;
    let mut dropped = stream.raw();
    sees_every_echo_twice(http2.stream_at("/?echobeat-do=duplicate").await.raw()).await;
    dropped.send(text_frame("lost")).await;
    dropped.send(frame(PING, b"!")).await;
    assert_eq!(dropped.read(3).await, b"\x8a\x01!");
    let version = [("sec-websocket-version", "13")];
    let asked = "/?echobeat-do=accept:wrong";
    let (response, _send) = http2.try_session(asked, &version).await;
    assert_eq!(soon(response).await.unwrap().status(), 400);
}
