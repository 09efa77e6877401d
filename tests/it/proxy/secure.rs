//! TLS, to either side.

use std::net::SocketAddr;
use std::time::Duration;

use echobeat::{CertificateSource, ProxyConfig};
use echobeat_frames::{text_echo, text_frame};
use tokio::io::AsyncWriteExt;

use super::{Stub, TestProxy, to};
use crate::support::{Raw, Response, TestServer, config, soon, upgrade_request};
use crate::tls::Issued;

/// A proxy over TLS, in front of `upstream`.
pub async fn over_tls(issued: &Issued, upstream: SocketAddr) -> TestProxy {
    TestProxy::start(with_tls(issued, to(&format!("http://{upstream}")))).await
}

pub fn with_tls(issued: &Issued, config: ProxyConfig) -> ProxyConfig {
    ProxyConfig {
        tls: Some(CertificateSource::Files {
            certificate: issued.certificate(),
            key: issued.key(),
        }),
        ..config
    }
}

/// In front of a server that is spoken to over TLS, by this name.
fn to_tls(name: &str, upstream: SocketAddr, trusted: Option<&Issued>) -> ProxyConfig {
    ProxyConfig {
        upstream_ca: trusted.map(Issued::authority_file),
        ..to(&format!("https://{name}:{}", upstream.port()))
    }
}

#[tokio::test]
async fn clients_may_come_over_tls() {
    let issued = Issued::new("proxy-front");
    let server = TestServer::start().await;
    let proxy = over_tls(&issued, server.address).await;
    let mut client = issued.trusted().client(proxy.address).await;
    client.echo_every_size().await;
    client.echo_in_order().await;
    let control = issued.trusted().control(proxy.address).await;
    control.finish("nothing").await;
}

#[tokio::test]
async fn the_upstream_is_told_that_it_was_over_tls() {
    let issued = Issued::new("proxy-proto");
    let stub = Stub::start().await;
    let proxy = over_tls(&issued, stub.address).await;
    let mut client = issued.trusted().connect(proxy.address).await;
    client.send(upgrade_request("/")).await;
    let (_upstream, head) = stub.accept().await;
    let head = head.to_lowercase();
    assert!(head.contains("\r\nx-forwarded-proto: https\r\n"), "{head}");
    assert!(head.contains(";proto=https\r\n"), "{head}");
}

#[tokio::test]
async fn the_upstream_may_speak_tls() {
    let issued = Issued::new("proxy-upstream");
    let server = issued.serve(config()).await;
    let proxy = TestProxy::start(to_tls("localhost", server.address, Some(&issued))).await;
    let health = proxy.ask("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((health.status, &health.body[..]), (200, "ok\n"));
    let url = format!("ws://{}/", proxy.address);
    let stream = proxy.raw().await.stream;
    let mut client = crate::support::Client::over(stream, url).await.unwrap();
    client.echo_every_size().await;
    client.echo_in_order().await;
}

#[tokio::test]
async fn ends_pass_through_tls_on_both_sides() {
    let issued = Issued::new("proxy-ends");
    let server = issued.serve(config()).await;
    let settings = to_tls("localhost", server.address, Some(&issued));
    let proxy = TestProxy::start(with_tls(&issued, settings)).await;
    let mut raw = issued.trusted().session(proxy.address).await;
    raw.send(text_frame("bye").repeat(1_000)).await;
    raw.stream.shutdown().await.unwrap();
    assert_eq!(raw.rest().await, text_echo("bye").repeat(1_000));

    // Without close_notify, as many clients end.
    let mut raw = issued.trusted().session(proxy.address).await;
    raw.send(text_frame("bye")).await;
    assert_eq!(raw.read(5).await, text_echo("bye"));
    let (mut tcp, _) = raw.stream.into_inner();
    tcp.shutdown().await.unwrap();
    soon(tokio::io::copy(&mut tcp, &mut tokio::io::sink()))
        .await
        .expect("no reset");
}

#[tokio::test]
async fn an_upstream_that_is_not_to_be_trusted_is_a_bad_gateway() {
    let (issued, other) = (Issued::new("proxy-mistrust"), Issued::new("proxy-other"));
    let server = issued.serve(config()).await;
    let plain = TestServer::start().await;
    for (name, upstream, trusted) in [
        // Its authority is another.
        ("localhost", server.address, &other),
        // The certificate is for another name.
        ("127.0.0.1", server.address, &issued),
        // It does not speak TLS.
        ("localhost", plain.address, &issued),
    ] {
        let proxy = TestProxy::start(to_tls(name, upstream, Some(trusted))).await;
        for request in [
            upgrade_request("/"),
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ] {
            let answer: Response = proxy.ask(request).await;
            assert_eq!(answer.status, 502);
            assert!(answer.body.contains("TLS"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_takes_too_long_to_connect_to_is_a_gateway_timeout() {
    let issued = Issued::new("proxy-late");
    // It accepts, and says nothing of TLS.
    let stub = Stub::start().await;
    let mut config = to_tls("localhost", stub.address, Some(&issued));
    config.connect_timeout = Duration::from_millis(300);
    let proxy = TestProxy::start(config).await;
    for request in [
        upgrade_request("/"),
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(),
    ] {
        let answer = proxy.ask(request).await;
        assert_eq!(answer.status, 504);
        assert!(answer.body.contains("too long to connect"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_file_of_authorities_must_be_one() {
    let upstream = "127.0.0.1:1".parse().unwrap();
    let mut config = to_tls("localhost", upstream, None);
    config.upstream_ca = Some("no/such/file".into());
    let error = echobeat::Proxy::bind(config).await.unwrap_err();
    assert!(error.to_string().contains("no/such/file"), "{error}");
}

#[tokio::test]
async fn a_stalled_handshake_is_over_in_time_and_stops_nobody() {
    let issued = Issued::new("proxy-stalled");
    let server = TestServer::start().await;
    let mut settings = to(&format!("http://{}", server.address));
    settings.handshake_timeout = Duration::from_secs(1);
    let proxy = TestProxy::start(with_tls(&issued, settings)).await;
    let control = issued.trusted().control(proxy.address).await;
    let stalled = Raw::connect(proxy.address).await;
    let mut garbage = Raw::connect(proxy.address).await;
    garbage.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(stalled.rest().await.is_empty());
    garbage.rest().await;
    control.finish("a stalled TLS handshake").await;
}
