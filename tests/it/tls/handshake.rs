//! Handshakes that come to nothing.

use std::time::Duration;

use echobeat::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};

use super::{BOTH_VERSIONS, Issued};
use crate::support::{Raw, config, soon, upgrade_request};

#[tokio::test]
async fn who_trusts_another_authority_or_wants_another_protocol_gets_no_session() {
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
async fn what_is_no_tls_is_closed_and_stays_out_of_the_log() {
    let issued = Issued::new("no-tls");
    let mut running = issued.run(&[]).await;
    let address = running.address();
    let control = issued.trusted().control(address).await;
    let open = running.logs("open path=\"/control\"").await;
    assert!(open.contains("transport=\"h1\""), "{open}");
    assert!(open.contains("tls=\"1.3\""), "{open}");
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        upgrade_request("/").as_bytes(),
        &[0; 100_000],
        // The start of a record that claims to be a handshake, and is none.
        b"\x16\x03\x01\x00\x05hello",
    ] {
        let mut raw = Raw::connect(address).await;
        raw.send(garbage).await;
        let alert = raw.rest().await;
        assert!(
            matches!(alert[..], [] | [21, 3, _, 0, 2, 2, _]),
            "{alert:?}"
        );
    }
    // Who only looks whether the port is open.
    drop(Raw::connect(address).await);
    let _session = issued.trusted().session(address).await;
    let next = running.log.next_line().await.unwrap().unwrap();
    assert!(next.contains("open path=\"/\""), "{next}");
    control.finish("no TLS").await;
}

#[tokio::test]
async fn a_failed_handshake_is_one_line_for_who_wants_details() {
    let issued = Issued::new("details");
    let mut running = issued.run(&["-v"]).await;
    let mut raw = Raw::connect(running.address()).await;
    raw.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    raw.rest().await;
    let line = running.logs("no TLS handshake").await;
    assert!(line.contains("DEBUG") && line.contains("conn=1"), "{line}");
    assert!(line.contains("InvalidContentType"), "{line}");
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
