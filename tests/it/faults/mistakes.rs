//! Bytes meant for another port, malformed requests, and requests after which the client ends its
//! side: at the server, and at a proxy in front of it.

use std::net::SocketAddr;

use echobeat_frames::{text_echo, text_frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cli::{Running, echobeat};
use crate::proxy::TestProxy;
use crate::support::{self, Raw, TestServer, UPGRADE, soon, upgrade_request};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Heads that are refused, with a status and a part of the sentence.
const BAD: [(&str, u16, &str); 12] = [
    ("GET /a b HTTP/1.1\r\n\r\n", 400, "write %20"),
    ("GET /\u{1} HTTP/1.1\r\n\r\n", 400, "0x01"),
    ("GET /healthz\r\n", 400, "method, target and version"),
    ("GET / HTTP/3.0\r\n\r\n", 505, "HTTP/1.1"),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "Header line 1"),
    ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, "Header line 2"),
    ("GET / HTTP/1.1\r\nContent-Length: a\r\n\r\n", 400, "Length"),
    ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 400, "PROXY"),
    ("\r\n\r\n\0\r\nQUIT\n\u{21}", 400, "PROXY"),
    ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", 400, "--tls-cert"),
    ("SSH-2.0-x\r\n", 400, "SSH"),
    ("\u{5}\u{1}\0", 400, "SOCKS"),
];

/// A server, a proxy in front of it, and the addresses of both.
async fn both() -> (TestServer, TestProxy, [SocketAddr; 2]) {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    let addresses = [server.address, proxy.address];
    (server, proxy, addresses)
}

/// An upstream that answers with the body of a request, once it has all of it.
async fn reads_bodies() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = service_fn(|request: Request<Incoming>| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok::<_, hyper::Error>(Response::new(Full::new(body)))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

/// Expects a refusal that says why, and an orderly end behind it.
async fn expect_refusal(mut raw: Raw, status: u16, said: &str) {
    let response = raw.response().await;
    assert_eq!(response.status, status, "{response:?}");
    assert!(response.body.contains(said), "{response:?}");
    assert!(response.body.ends_with(".\n"), "{response:?}");
    assert_eq!(response.header("Connection"), Some("close"));
    assert!(raw.rest().await.is_empty());
}

/// All answers to `request`, when the client's side ends after it.
async fn all_answers(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.stream.shutdown().await.unwrap();
    String::from_utf8_lossy(&raw.rest().await).into_owned()
}

#[tokio::test]
async fn bytes_that_are_no_request_are_answered_with_what_they_seem_to_be() {
    let (server, _proxy, addresses) = both().await;
    let control = server.control().await;
    for address in addresses {
        for (head, status, said) in BAD {
            let mut first = Raw::connect(address).await;
            first.send(head).await;
            expect_refusal(first, status, said).await;
            let mut third = Raw::connect(address).await;
            for _ in 0..2 {
                third.send(HEALTH).await;
                assert_eq!(third.response().await.status, 200);
            }
            third.send(head).await;
            expect_refusal(third, status, said).await;
            let mut behind = Raw::connect(address).await;
            behind.send(HEALTH.to_owned() + head).await;
            assert_eq!(behind.response().await.status, 200);
            expect_refusal(behind, status, said).await;
        }
        let mut frame = Raw::connect(address).await;
        frame.send(text_frame("hello")).await;
        expect_refusal(frame, 400, "a WebSocket frame").await;
    }
    control.finish("what is no request").await;
}

#[tokio::test]
async fn every_mistake_is_logged_and_a_flood_of_them_in_few_lines() {
    const FLOOD: usize = 100;
    let mut running = Running::start(echobeat(&["127.0.0.1:0", "--heartbeat=off"])).await;
    let address = running.address();
    for (head, _, said) in [BAD[0], BAD[7], BAD[9], BAD[10]] {
        let mut raw = Raw::connect(address).await;
        raw.send(head).await;
        raw.rest().await;
        let line = running.next_line().await;
        assert!(line.contains("INFO") && line.contains("rejected"), "{line}");
        assert!(line.contains(said) && line.contains("peer=127."), "{line}");
    }
    for _ in 0..FLOOD {
        let mut raw = Raw::connect(address).await;
        raw.send(BAD[9].0).await;
        raw.rest().await;
    }
    let mut session = Raw::session(address).await;
    let mut lines = 0;
    loop {
        let line = running.next_line().await;
        if line.contains("open path=") {
            break;
        }
        lines += 1;
    }
    assert!((9..20).contains(&lines), "{lines}");
    session.send(text_frame("hello")).await;
    assert_eq!(session.read(7).await, text_echo("hello"));
    let mut raw = Raw::connect(address).await;
    raw.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let metrics = raw.response().await.body;
    let count = format!(
        "rejects_total{{cause=\"tls_on_plain_port\"}} {}\n",
        FLOOD + 1
    );
    assert!(metrics.contains(&count), "{metrics}");
}

#[tokio::test]
async fn a_query_may_have_characters_that_a_uri_must_not() {
    let (server, proxy, addresses) = both().await;
    let odd = "/?q={\"a\":[1]}|^`<b>\\&do=greet:{\"a\":1},who";
    for address in addresses {
        // At the beginning of a connection, and later.
        for before in [0, 1] {
            let mut raw = Raw::connect(address).await;
            for _ in 0..before {
                raw.send(HEALTH).await;
                assert_eq!(raw.response().await.status, 200);
            }
            raw.send(upgrade_request(odd)).await;
            assert_eq!(raw.head().await.status, 101);
            let header = raw.read(4).await;
            let length = u16::from_be_bytes([header[2], header[3]]);
            let portrait = String::from_utf8(raw.read(length.into()).await).unwrap();
            // As browsers encode it.
            let path = "/?q={%22a%22:[1]}|^%60%3Cb%3E\\\\&do=greet:{%22a%22:1},who";
            let path = format!("\"path\":\"{path}\"");
            assert!(portrait.contains(&path), "{portrait}");
            assert_eq!(raw.read(9).await, text_echo("{\"a\":1}"));
        }
    }
    // An ordinary session, whose query means nothing.
    for address in [server.address, proxy.address] {
        let mut raw = Raw::connect(address).await;
        raw.send(upgrade_request("/?\"x\"")).await;
        assert_eq!(raw.head().await.status, 101);
        raw.send(text_frame("hello")).await;
        assert_eq!(raw.read(7).await, text_echo("hello"));
    }
}

#[tokio::test]
async fn a_body_that_looks_like_a_request_is_none() {
    let (_server, _proxy, addresses) = both().await;
    let odd = "GET /healthz?\" HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{odd}",
        odd.len()
    );
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x};x=\"y\"\r\n{odd}\r\n0\r\nTrailer: \"\r\n\r\n",
        odd.len()
    );
    let [server, _] = addresses;
    let proxy = TestProxy::before(reads_bodies().await).await;
    for post in [&length, &chunked] {
        // The server answers before the body, reads no more of it than has come, and then closes.
        let answers = all_answers(server, format!("{HEALTH}{post}")).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
        let mut raw = Raw::connect(proxy.address).await;
        for _ in 0..3 {
            raw.send(post).await;
            assert_eq!(raw.response().await.body, odd);
            raw.send(odd).await;
            assert_eq!(raw.response().await.status, 200);
        }
    }
}

#[tokio::test]
async fn a_client_that_half_closes_gets_every_answer() {
    let (_server, _proxy, addresses) = both().await;
    for address in addresses {
        for round in 0..40 {
            // In one segment with the end, and in pieces of any length before it.
            let mut raw = Raw::connect(address).await;
            let (begin, end) = HEALTH.split_at(round);
            raw.send(begin).await;
            raw.send(end).await;
            raw.stream.shutdown().await.unwrap();
            let answer = String::from_utf8(raw.rest().await).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{round}: {answer:?}");
            assert!(answer.ends_with("\r\n\r\nok\n"), "{round}: {answer:?}");
        }
        let pipelined = all_answers(address, HEALTH.repeat(20)).await;
        assert_eq!(pipelined.matches("\r\n\r\nok\n").count(), 20);
        let page = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let page = all_answers(address, page).await;
        assert!(page.ends_with("</html>\n"), "{}", page.len());
        let cut_off = all_answers(address, "GET / HTTP/1.1\r\nHost: a\r\n").await;
        assert!(cut_off.starts_with("HTTP/1.1 400"), "{cut_off}");
        assert!(cut_off.contains("within its head"), "{cut_off}");
        assert_eq!(all_answers(address, "").await, "");
        assert_eq!(all_answers(address, "\r\n").await, "");
    }
}

#[tokio::test]
async fn a_client_that_half_closes_behind_its_upgrade_gets_its_echoes() {
    let (_server, _proxy, addresses) = both().await;
    for address in addresses {
        for (path, greeting) in [("/", ""), ("/?do=greet:hi", "hi"), ("/?do=delay:50ms", "")] {
            let request = [
                upgrade_request(path).as_bytes(),
                &text_frame("one"),
                &text_frame("two"),
            ]
            .concat();
            let answers = all_answers(address, request).await;
            assert!(answers.starts_with("HTTP/1.1 101"), "{path}: {answers}");
            for expected in [greeting, "one", "two"] {
                assert!(answers.contains(expected), "{path}: {answers}");
            }
        }
        // In pieces, for hyper to read.
        let mut raw = Raw::connect(address).await;
        raw.send("GET / HTTP/1.1\r\n").await;
        tokio::task::yield_now().await;
        raw.send(format!("{UPGRADE}\r\n")).await;
        raw.send(text_frame("hello")).await;
        raw.stream.shutdown().await.unwrap();
        assert_eq!(raw.head().await.status, 101);
        assert_eq!(raw.read(7).await, text_echo("hello"));
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_even_if_it_is_a_refusal() {
    let (_server, _proxy, addresses) = both().await;
    for address in addresses {
        let mut raw = Raw::connect(address).await;
        raw.send("HEAD /a b HTTP/1.1\r\n\r\n").await;
        let support::Response { status, head, .. } = raw.head().await;
        assert_eq!(status, 400, "{head}");
        let mut rest = Vec::new();
        soon(raw.stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
    }
}
