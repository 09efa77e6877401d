//! Messages as they are on the wire: lengths, names, targets, and whose fault a broken one is (rows 56
//! and 57 of the fault matrix).

use std::time::Duration;

use super::{Stub, TestProxy, head, to};
use crate::support::{Raw, Response, soon, upgrade_request};

/// A proxy in front of a stub, and a client of it.
async fn between() -> (Stub, TestProxy, Raw) {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let client = proxy.raw().await;
    (stub, proxy, client)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The client's answer to a GET where the upstream's is `answer`.
async fn answered(answer: &str) -> (Response, Raw, TestProxy) {
    let (stub, proxy, mut client) = between().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    upstream.send(answer).await;
    (client.head().await, client, proxy)
}

#[tokio::test]
async fn any_method_may_have_a_body_whose_length_nobody_knows() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE",
    ] {
        let (stub, _proxy, mut client) = between().await;
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n{chunked}\r\n");
        client.send(request + "2\r\n{}\r\n0\r\n\r\n").await;
        let (mut upstream, head) = stub.accept().await;
        assert!(head.starts_with(&format!("{method} / ")), "{head}");
        assert!(head.contains(chunked), "{head}");
        assert!(!head.to_lowercase().contains("content-length"), "{head}");
        assert_eq!(upstream.read(12).await, b"2\r\n{}\r\n0\r\n\r\n");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(client.head().await.status, 200);
    }
}

#[tokio::test]
async fn a_length_is_passed_on_and_none_is_made_up() {
    for (request, length) in [
        ("GET / HTTP/1.1\r\n", None),
        ("DELETE / HTTP/1.1\r\n", None),
        ("GET / HTTP/1.1\r\nContent-Length: 0\r\n", Some("0")),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n", Some("0")),
        ("POST / HTTP/1.1\r\n", Some("0")),
        ("GET / HTTP/1.1\r\nContent-Length: 2\r\n", Some("2")),
    ] {
        let (stub, _proxy, mut client) = between().await;
        client.send(format!("{request}Host: a\r\n\r\n{{}}")).await;
        let (mut upstream, head) = stub.accept().await;
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(line, length, "{head}");
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
        if length == Some("2") {
            assert_eq!(upstream.read(2).await, b"{}");
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (stub, _proxy, mut client) = between().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
             Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
        )
        .await;
    let (mut upstream, _) = stub.accept().await;
    let sent = head(&mut upstream.stream).await;
    assert_eq!(sent, "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n");
    upstream
        .send(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n",
        )
        .await;
    client.head().await;
    let answer = head(&mut client.stream).await;
    assert_eq!(answer, "1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n");
}

/// Has one request answered, ends the connection behind the next, and returns the answer to that,
/// and how often the upstream has seen it.
async fn asked_at_a_dying_connection(request: &str) -> (Response, usize) {
    let (stub, _proxy, mut client) = between().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    upstream.send(OK).await;
    client.response().await;
    client.send(request).await;
    let mut seen = 0;
    let answering = async {
        let second = head(&mut upstream.stream).await;
        assert!(!second.is_empty());
        seen += 1;
        drop(upstream);
        let (mut upstream, _) = stub.accept().await;
        seen += 1;
        upstream.send(OK).await;
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! {
        answer = client.response() => answer,
        () = answering => unreachable!("it goes on for ever"),
    };
    (answer, seen)
}

#[tokio::test]
async fn safe_requests_are_repeated_when_a_kept_connection_ends() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (stub, _proxy, mut client) = between().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let (mut upstream, _) = stub.accept().await;
        upstream.send(OK).await;
        client.response().await;
        client.send(request).await;
        let first = head(&mut upstream.stream).await;
        drop(upstream);
        let (mut upstream, second) = stub.accept().await;
        assert_eq!(first, second);
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.head().await.status, 204, "{method}");
    }
}

#[tokio::test]
async fn unsafe_requests_are_sent_once() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "PATCH / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        // Its body has already been read.
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let (answer, seen) = asked_at_a_dying_connection(request).await;
        assert_eq!((answer.status, seen), (502, 1), "{request}");
    }
}

#[tokio::test]
async fn a_request_on_a_new_connection_is_not_repeated() {
    let (stub, _proxy, mut client) = between().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(stub.accept().await);
    assert_eq!(client.response().await.status, 502);
}

#[tokio::test]
async fn header_names_keep_their_case() {
    let (stub, _proxy, mut client) = between().await;
    client
        .send("GET / HTTP/1.1\r\nhost: a\r\nX-MyHeader: 1\r\nx-lower: 2\r\nDNT: 1\r\n\r\n")
        .await;
    let (mut upstream, head) = stub.accept().await;
    for line in [
        "host: a",
        "X-MyHeader: 1",
        "x-lower: 2",
        "DNT: 1",
        "X-Forwarded-Host: a",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    upstream
        .send("HTTP/1.1 200 Fine\r\nETag: \"a\"\r\nx-lower: 1\r\nWWW-Thing: 1\r\nContent-Length: 0\r\n\r\n")
        .await;
    let head = client.head().await.head;
    for line in [
        "HTTP/1.1 200 Fine",
        "ETag: \"a\"",
        "x-lower: 1",
        "WWW-Thing: 1",
    ] {
        assert!(head.lines().any(|found| found == line), "{line}: {head}");
    }

    let (stub, _proxy, mut client) = between().await;
    client
        .send(upgrade_request("/").replace("Host", "X-MyHeader: 1\r\nHost"))
        .await;
    let (mut upstream, head) = stub.accept().await;
    for name in ["X-MyHeader: 1", "Sec-WebSocket-Key: ", "Host: localhost"] {
        assert!(head.contains(&format!("\r\n{name}")), "{name}: {head}");
    }
    upstream.send(super::ACCEPTED).await;
    let head = client.head().await.head;
    assert!(head.contains("\r\nSec-WebSocket-Accept: "), "{head}");
}

#[tokio::test]
async fn options_for_the_whole_server_keep_their_asterisk() {
    let stub = Stub::start().await;
    let proxy = TestProxy::start(to(&format!("http://{}/base", stub.address))).await;
    let mut client = proxy.raw().await;
    client.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (_upstream, head) = stub.accept().await;
    assert!(head.starts_with("OPTIONS * HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_clients_broken_body_is_the_clients_fault() {
    for (status, rest) in [
        (400, "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n"),
        (
            400,
            "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        ),
        (400, "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        (501, "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (
            501,
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let (stub, _proxy, mut client) = between().await;
        client
            .send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{rest}"))
            .await;
        let refused = client.response().await;
        assert_eq!(refused.status, status, "{rest}: {refused:?}");
        assert!(refused.body.ends_with(".\n"), "{refused:?}");
        assert!(client.rest().await.is_empty(), "it is closed");
        // The upstream sees that there is no more to come.
        if rest.ends_with("zz\r\n") {
            let (upstream, _) = stub.accept().await;
            assert!(!upstream.rest().await.ends_with(b"0\r\n\r\n"));
        }
    }
}

#[tokio::test]
async fn a_client_that_stops_in_its_body_gets_408_and_not_504() {
    let stub = Stub::start().await;
    let mut config = to(&format!("http://{}", stub.address));
    config.response_timeout = Duration::from_millis(300);
    let proxy = TestProxy::start(config).await;
    let late = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none";
    assert_eq!(proxy.ask(late).await.status, 408);
    let whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
    assert_eq!(proxy.ask(whole).await.status, 504);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_arrives() {
    let (stub, _proxy, mut client) = between().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nsome")
        .await;
    let (mut upstream, _) = stub.accept().await;
    upstream
        .send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n",
        )
        .await;
    drop(upstream);
    let answer = client.response().await;
    assert_eq!((answer.status, &answer.body[..]), (413, "no\n"));
    assert_eq!(answer.header("Connection"), Some("close"));
    // The client can go on for a while without a reset.
    client.send(vec![0; 64 << 10]).await;
}

#[tokio::test]
async fn an_answer_has_one_length() {
    let (both, mut client, _proxy) = answered(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(both.header("Content-Length"), None);
    assert_eq!(head(&mut client.stream).await, "2\r\nok\r\n0\r\n\r\n");
    for lengths in [
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2, 2",
    ] {
        let (one, mut client, _proxy) =
            answered(&format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nok")).await;
        assert_eq!(
            one.head.matches("Content-Length: 2\r\n").count(),
            1,
            "{one:?}"
        );
        assert_eq!(client.read(2).await, b"ok");
    }
    for broken in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 3",
        "Transfer-Encoding: gzip, chunked",
        "X-A: 1\r\n : 2",
        "X-A: a\0b",
    ] {
        let (refused, ..) = answered(&format!("HTTP/1.1 200 OK\r\n{broken}\r\n\r\nok")).await;
        assert_eq!(refused.status, 502, "{broken}");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    for answer in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    ] {
        let (_, mut client, _proxy) = answered(answer).await;
        client.send("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.status, 405, "{answer}");
    }
    let (stub, _proxy, mut client) = between().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, _) = stub.accept().await;
    upstream
        .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
        .await;
    let answer = client.head().await;
    assert_eq!(answer.header("Content-Length"), Some("5"));
    // The upstream's connection ends, and the client's does not.
    assert_eq!(answer.header("Connection"), None);
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.status, 405);
}

#[tokio::test]
async fn a_loop_is_refused_at_its_first_turn_and_two_proxies_in_a_row_are_not() {
    let stub = Stub::start().await;
    let inner = TestProxy::before(stub.address).await;
    let outer = TestProxy::before(inner.address).await;
    let mut client = outer.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut upstream, head) = stub.accept().await;
    upstream.send(OK).await;
    assert_eq!(client.response().await.status, 200);
    let via = head.lines().find_map(|line| line.strip_prefix("Via: "));
    let via = via.expect("a Via");
    assert_eq!(via.split(", ").count(), 2, "{via}");

    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", &upgrade_request("/")] {
        let back = request.replacen("\r\n", &format!("\r\nVia: {via}\r\n"), 1);
        let mut client = inner.raw().await;
        client.send(back).await;
        let refused = client.response().await;
        assert_eq!(refused.status, 508);
        assert!(refused.body.contains("leads back"), "{refused:?}");
        assert!(soon(client.rest()).await.is_empty());
    }
}
