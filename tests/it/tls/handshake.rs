//! Handshakes that come to nothing.

use std::time::Duration;

use echobeat::ServerConfig;
use echobeat_frames::{text_echo, text_frame};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::{BOTH_VERSIONS, Issued};
use crate::proxy::TestProxy;
use crate::support::{Raw, TestServer, config, soon};

#[tokio::test]
async fn a_client_with_another_authority_or_protocol_gets_no_session() {
    let issued = Issued::new("refused");
    let other = Issued::new("refused-other");
    let server = issued.serve(config()).await;
    let control = issued.trusted().control(server.address).await;
    let refused = other
        .trusted()
        .try_connect_with(&BOTH_VERSIONS, &[], server.address)
        .await;
    let error = refused.err().expect("the certificate is another's");
    assert!(
        error.to_string().contains("invalid peer certificate"),
        "{error}"
    );

    let refused = issued
        .trusted()
        .try_connect_with(&BOTH_VERSIONS, &["smtp"], server.address)
        .await;
    let error = refused.err().expect("there is no such protocol");
    // The alert arrives, and no reset in its place.
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    control.finish("TLS without agreement").await;
}

#[tokio::test]
async fn bytes_that_are_no_tls_are_answered_if_possible_and_logged_in_a_line() {
    let issued = Issued::new("no-tls");
    let mut running = issued.run(&[]).await;
    let address = running.address();
    let control = issued.trusted().control(address).await;
    let open = running.logs("open path=\"/control\"").await;
    assert!(open.contains("transport=\"h1\""), "{open}");
    assert!(open.contains("tls=\"1.3\""), "{open}");
    // A client that only checks whether the port is open.
    drop(Raw::connect(address).await);
    for (sent, cause, said) in [
        (
            &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            "plain_on_tls_port",
            "This port speaks TLS: use https://localhost or wss://localhost.",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n",
            "plain_on_tls_port",
            "This port speaks TLS: use https:// or wss://.",
        ),
        (&[0; 100_000], "plain_on_tls_port", "This port speaks TLS"),
        (
            b"SSH-2.0-x\r\n",
            "plain_on_tls_port",
            "This port speaks TLS",
        ),
        (
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "proxy_protocol",
            "This is the PROXY protocol",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "http2",
            "HTTP/2 is spoken here over TLS",
        ),
    ] {
        let mut raw = Raw::connect(address).await;
        raw.send(sent).await;
        let answer = String::from_utf8_lossy(&raw.rest().await).into_owned();
        assert!(answer.contains(said), "{answer}");
        let line = running.next_line().await;
        assert!(line.contains(cause) && line.contains(said), "{line}");
    }
    // The starts of records: one that claims to be a handshake and is none, and application data.
    for sent in [
        &b"\x16\x03\x01\x00\x05hello"[..],
        b"\x97\x03\x03\x00\x05hello",
    ] {
        let mut raw = Raw::connect(address).await;
        raw.send(sent).await;
        let alert = raw.rest().await;
        assert!(
            matches!(alert[..], [] | [21, 3, _, 0, 2, 2, _]),
            "{alert:?}"
        );
        let line = running.next_line().await;
        assert!(line.contains("This is not TLS"), "{line}");
    }
    control.finish("no TLS").await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_logged_as_such() {
    let issued = Issued::new("untrusted");
    let other = Issued::new("untrusted-other");
    let mut running = issued.run(&[]).await;
    let refused = other
        .trusted()
        .try_connect_with(&BOTH_VERSIONS, &[], running.address())
        .await;
    assert!(refused.is_err());
    let line = running.next_line().await;
    assert!(line.contains("does not trust the certificate"), "{line}");
    assert!(line.contains("--tls-self-signed-dir"), "{line}");
    // Some clients check the certificate after the handshake, and leave without a request.
    let tcp = Raw::connect(running.address()).await.stream;
    let trusting = issued.trusted();
    drop(trusting.handshake(&BOTH_VERSIONS, &[], tcp).await.unwrap());
    let line = running.next_line().await;
    assert!(line.contains("does it trust the certificate?"), "{line}");
}

#[tokio::test]
async fn a_flood_of_failed_handshakes_is_counted_and_logged_in_few_lines() {
    const FLOOD: usize = 100;
    let issued = Issued::new("flood");
    let mut running = issued.run(&[]).await;
    for _ in 0..FLOOD {
        let mut raw = Raw::connect(running.address()).await;
        raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        raw.rest().await;
    }
    let mut secure = issued.trusted().session(running.address()).await;
    let mut lines = 0;
    loop {
        let line = running.next_line().await;
        if line.contains("open path=") {
            break;
        }
        assert!(line.contains("plain_on_tls_port"), "{line}");
        lines += 1;
    }
    // Ten at once, and one more in every ten seconds.
    assert!((10..20).contains(&lines), "{lines}");
    secure.send(text_frame("hello")).await;
    assert_eq!(secure.read(7).await, text_echo("hello"));
    let tcp = Raw::connect(running.address()).await.stream;
    let asking = issued.trusted().handshake(&BOTH_VERSIONS, &[], tcp).await;
    let mut asking = asking.unwrap();
    asking
        .send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let metrics = asking.response().await.body;
    let count = format!("echobeat_rejects_total{{cause=\"plain_on_tls_port\"}} {FLOOD}\n");
    assert!(metrics.contains(&count), "{metrics}");
}

#[tokio::test]
async fn tls_on_a_plain_port_fails_at_once_for_its_client() {
    let trusting = Issued::new("plain").trusted();
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    for address in [server.address, proxy.address] {
        let tcp = Raw::connect(address).await.stream;
        let refused = soon(trusting.handshake(&BOTH_VERSIONS, &[], tcp)).await;
        let error = refused.err().expect("this is no TLS").to_string();
        // OpenSSL calls it a wrong version number.
        assert!(error.contains("InvalidContentType"), "{error}");
    }
}

#[tokio::test]
async fn handshakes_that_stall_are_closed_by_the_deadline() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let issued = Issued::new("stalled");
    let server = issued
        .serve(ServerConfig {
            handshake_timeout: TIMEOUT,
            ..config()
        })
        .await;
    let control = issued.trusted().control(server.address).await;
    let begun = Instant::now();
    let mut stalled = Vec::new();
    for sent in 0..50 {
        let mut raw = server.raw().await;
        // Of a ClientHello of 300 bytes.
        let hello = [
            &b"\x16\x03\x01\x01\x2c\x01\x00\x01\x28\x03\x03"[..],
            &[7; 40],
        ]
        .concat();
        raw.send(&hello[..sent]).await;
        stalled.push(raw);
    }
    for mut raw in stalled {
        let mut end = Vec::new();
        let _ = soon(raw.stream.read_to_end(&mut end)).await;
        assert!(end.is_empty(), "{end:?}");
    }
    assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
    control.finish("stalled TLS handshakes").await;
}

#[tokio::test]
async fn tls_and_the_head_have_one_deadline() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let issued = Issued::new("slow-head");
    let server = issued
        .serve(ServerConfig {
            handshake_timeout: TIMEOUT,
            ..config()
        })
        .await;
    let tcp = server.raw().await.stream;
    let begun = Instant::now();
    sleep(TIMEOUT * 3 / 4).await;
    let mut raw = issued
        .trusted()
        .handshake(&BOTH_VERSIONS, &[], tcp)
        .await
        .unwrap();
    raw.send("GET / HTTP/1.1\r\n").await;
    let _ = soon(raw.stream.read_to_end(&mut Vec::new())).await;
    let took = begun.elapsed();
    assert!((TIMEOUT..TIMEOUT * 3 / 2).contains(&took), "{took:?}");
}
