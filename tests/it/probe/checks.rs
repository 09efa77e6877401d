//! Handshakes, and messages of all kinds.

use echobeat::{Compression, ServerConfig};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::stub::{Habits, Stub};
use super::{Found, QUICK, probe};
use crate::proxy::TestProxy;
use crate::support::{TestServer, config, soon};
use crate::tls::Issued;

/// Checks of messages, which an echobeat passes, with a proxy before it or without.
const MESSAGES: [(&str, &str); 10] = [
    ("handshake", "pass"),
    ("echo", "pass"),
    ("round-trip", "pass"),
    ("ping", "pass"),
    ("text", "pass"),
    ("binary", "pass"),
    ("fragments", "pass"),
    ("deflate", "pass"),
    ("close", "pass"),
    ("size", "pass"),
];

async fn found(server: &TestServer, flags: &[&str]) -> Found {
    let url = format!("ws://{}/", server.address);
    probe(&url, &[&QUICK[..], flags].concat()).await
}

#[tokio::test]
async fn an_echobeat_passes_every_check_of_messages() {
    let server = TestServer::start().await;
    let found = found(&server, &["--subprotocol=a,b", "--expect=ping,deflate"]).await;
    found.expect(&MESSAGES);
    found.expect(&[
        ("subprotocol", "pass"),
        ("h2", "skipped"),
        ("idle", "skipped"),
    ]);
    assert_eq!(found.exit_code, Some(0));
    assert_eq!(found.field("handshake", "/status"), 101);
    assert_eq!(found.field("handshake", "/subprotocol"), "a");
    assert_eq!(found.field("deflate", "/compressed_back"), true);
    assert_eq!(found.field("size", "/passes"), 1_024);
    assert_eq!(found.field("close", "/cut/tcp"), "fin");
    let times = ["/min_ms", "/median_ms", "/max_ms"];
    let [least, median, most] = times.map(|time| found.number("round-trip", time));
    assert!(0.0 < least && least <= median && median <= most);
    assert_eq!(found.report["complete"], true);
    assert_eq!(found.report["ok"], true);
}

#[tokio::test]
async fn a_proxy_passes_messages_unchanged() {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    let found = probe(&format!("ws://{}/", proxy.address), &QUICK).await;
    found.expect(&MESSAGES);
}

#[tokio::test]
async fn the_largest_message_is_found_to_the_byte() {
    let server = TestServer::start_with(ServerConfig {
        max_message_size: 70_001,
        ..config()
    })
    .await;
    let url = format!("ws://{}/", server.address);
    let expectations = "--expect=size>=64KiB,size>=1MiB";
    let flags = ["--max-idle=off", "--max-message=2MiB", expectations];
    let found = probe(&url, &flags).await;
    found.expect(&[("size", "limited")]);
    assert_eq!(found.field("size", "/passes"), 70_001);
    assert_eq!(found.field("size", "/fails"), 70_002);
    assert_eq!(found.field("size", "/cut/close/code"), 1009);
    let met = json!([
        { "expect": "size>=64KiB", "met": true },
        { "expect": "size>=1MiB", "met": false },
    ]);
    assert_eq!(found.report["expectations"], met);
    assert_eq!(found.exit_code, Some(1));
}

#[tokio::test]
async fn compression_that_is_not_agreed_to_does_not_pass() {
    let server = TestServer::start_with(ServerConfig {
        compression: Compression::Off,
        ..config()
    })
    .await;
    let off = found(&server, &["--expect=deflate"]).await;
    off.expect(&[("handshake", "pass"), ("deflate", "fail")]);
    assert_eq!(off.field("handshake", "/extensions"), &Value::Null);
    assert_eq!(off.exit_code, Some(1));
}

#[tokio::test]
async fn context_takeover_does_not_disturb_the_probe() {
    let server = TestServer::start_with(ServerConfig {
        compression: Compression::Takeover,
        ..config()
    })
    .await;
    found(&server, &[]).await.expect(&[("deflate", "pass")]);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_status_and_sentence() {
    let server = TestServer::start().await;
    let url = format!("ws://{}/?do=refuse:503", server.address);
    let refused = probe(&url, &QUICK).await;
    refused.expect(&[("handshake", "fail")]);
    assert_eq!(refused.field("handshake", "/status"), 503);
    assert!(
        refused
            .detail("handshake")
            .starts_with("refused with 503: ")
    );
    assert_eq!(refused.exit_code, Some(1));
}

#[tokio::test]
async fn interim_answers_without_end_are_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let interim = b"HTTP/1.1 102 Processing\r\n\r\n";
        while stream.write_all(interim).await.is_ok() {}
    });
    let refused = probe(&url, &QUICK).await;
    refused.expect(&[("handshake", "fail")]);
    let detail = refused.detail("handshake");
    assert_eq!(detail, "more than 8 interim answers came");
    soon(serving).await.unwrap();
}

#[tokio::test]
async fn nothing_listens_and_that_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let found = probe(&format!("ws://{address}/"), &QUICK).await;
    let told = found.detail("handshake");
    assert!(told.starts_with("cannot connect to "), "{told}");
    assert_eq!(found.exit_code, Some(1));
}

#[tokio::test]
async fn http2_is_found_where_alpn_selects_it() {
    let issued = Issued::new("probe-http2");
    let server = issued.serve(config()).await;
    let url = format!("wss://localhost:{}/", server.address.port());
    let authority = issued.authority_file();
    let trusted = format!("--cacert={}", authority.display());
    let found = probe(&url, &[&QUICK[..], &[&trusted, "--expect=h2"]].concat()).await;
    found.expect(&MESSAGES);
    found.expect(&[("h2", "pass")]);
    assert_eq!(found.field("handshake", "/http"), "1.1");
    assert_eq!(found.field("h2", "/http"), "2");
    assert_eq!(found.field("h2", "/status"), 200);
    assert_eq!(found.field("h2", "/tls"), "1.3");
    assert_eq!(found.exit_code, Some(0));

    let strict = probe(&url, &QUICK).await;
    let told = strict.detail("handshake");
    assert!(told.starts_with("no TLS handshake: "), "{told}");
    let lax = probe(&url, &[&QUICK[..], &["--insecure", "--http2"]].concat()).await;
    lax.expect(&MESSAGES);
    assert_eq!(lax.field("handshake", "/http"), "2");
}

#[tokio::test]
async fn all_checks_can_be_made_over_http2_without_tls() {
    let server = TestServer::start_with(ServerConfig {
        h2c: true,
        ..config()
    })
    .await;
    let found = found(&server, &["--http2"]).await;
    found.expect(&MESSAGES);
    assert_eq!(found.field("handshake", "/http"), "2");
    assert_eq!(found.field("handshake", "/status"), 200);
}

#[tokio::test]
async fn a_server_that_does_not_echo_is_examined_as_far_as_can_be() {
    let stub = Stub::start(Habits {
        echoes: false,
        ..Habits::default()
    })
    .await;
    let found = probe(&stub.url(), &[&QUICK[..], &["--timeout=1s"]].concat()).await;
    found.expect(&[
        ("handshake", "pass"),
        ("echo", "fail"),
        ("round-trip", "pass"),
        ("ping", "pass"),
        ("text", "skipped"),
        ("size", "skipped"),
        ("close", "pass"),
    ]);
    assert_eq!(found.field("round-trip", "/by"), "pings");
    assert_eq!(
        found.detail("text"),
        "the far end does not send messages back"
    );
    assert_eq!(found.exit_code, Some(0));
}

#[tokio::test]
async fn a_server_that_answers_no_ping_is_told_of() {
    let stub = Stub::start(Habits {
        answers_pings: false,
        ..Habits::default()
    })
    .await;
    let flags = ["--timeout=1s", "--expect=ping"];
    let found = probe(&stub.url(), &[&QUICK[..], &flags].concat()).await;
    found.expect(&[("ping", "fail"), ("echo", "pass"), ("fragments", "pass")]);
    assert_eq!(found.detail("ping"), "no Pong within 1s");
    assert_eq!(found.exit_code, Some(1));
}

#[tokio::test]
async fn messages_that_come_back_changed_do_not_pass() {
    let stub = Stub::start(Habits {
        changes: true,
        ..Habits::default()
    })
    .await;
    let found = probe(&stub.url(), &[&QUICK[..], &["--timeout=1s"]].concat()).await;
    found.expect(&[("echo", "fail")]);
    assert_eq!(
        found.detail("echo"),
        "a message was sent, and it came back changed"
    );
}
