//! Verdicts over TLS.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::Issued;

/// Way in which a client leaves a connection over TLS.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// With close_notify and FIN.
    Notify,
    /// With FIN alone.
    Fin,
    Rst,
}

impl Leave {
    async fn leave(self, mut stream: TlsStream<TcpStream>) -> io::Result<()> {
        match self {
            Self::Notify => soon(stream.shutdown()).await,
            Self::Fin => soon(stream.into_inner().0.shutdown()).await,
            Self::Rst => stream.get_ref().0.set_zero_linger(),
        }
    }
}

#[tokio::test]
async fn ends_over_tls_are_told_apart() {
    let issued = Issued::new("verdicts");
    let server = issued
        .serve(ServerConfig {
            api: Some(echobeat::ApiConfig::default()),
            ..config()
        })
        .await;
    let eof = json!(["eof", 1006, false, "fin", null, null]);
    let closed = json!(["closed", 4000, true, "fin", null, "peer"]);
    for (id, steps, closes, leave, expected) in [
        ("notify", "", false, Leave::Notify, eof.clone()),
        ("fin", "", false, Leave::Fin, eof),
        (
            "rst",
            "",
            false,
            Leave::Rst,
            json!(["lost", 1006, false, "rst", "peer", null]),
        ),
        ("close-notify", "", true, Leave::Notify, closed.clone()),
        ("close-fin", "", true, Leave::Fin, closed),
        (
            "close-rst",
            "",
            true,
            Leave::Rst,
            json!(["closed", 4000, true, "rst", "peer", "peer"]),
        ),
        (
            "step-fin",
            "fin",
            false,
            Leave::Fin,
            json!(["fault", 1006, false, "fin", null, null]),
        ),
        (
            "step-rst",
            "rst",
            false,
            Leave::Notify,
            json!(["fault", 1006, false, "rst", "server", null]),
        ),
    ] {
        let mut raw = issued.trusted().connect(server.address).await;
        raw.send(upgrade_request(&format!("/?id={id}&do={steps}")))
            .await;
        assert_eq!(raw.head().await.status, 101, "{id}");
        if closes {
            raw.send(close_frame(4000, b"")).await;
            read_close(&mut raw).await;
        } else if !steps.is_empty() {
            read_end(&mut raw).await;
        }
        // A reset by the server may have come first.
        let _ = leave.leave(raw.stream).await;
        let found = verdict_over_tls(&issued, &server, id).await;
        assert_eq!(short(&found), expected, "{id}: {found:#}");
    }
}

/// The verdict on a connection, asked for over TLS.
async fn verdict_over_tls(issued: &Issued, server: &TestServer, id: &str) -> Value {
    let path = format!("/connections?id={id}&state=closed&wait=20s");
    let (status, found) = ask_over_tls(issued, server, &format!("GET {path}"), "").await;
    assert_eq!(status, 200, "{found}");
    found["connections"][0].clone()
}

async fn ask_over_tls(
    issued: &Issued,
    server: &TestServer,
    request: &str,
    body: &str,
) -> (u16, Value) {
    let mut raw = issued.trusted().connect(server.address).await;
    let length = body.len();
    raw.send(format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    let response = raw.response().await;
    let json = serde_json::from_str(&response.body).expect("JSON");
    (response.status, json)
}

#[tokio::test]
async fn the_api_is_served_over_tls_too() {
    let issued = Issued::new("api");
    let server = issued
        .serve(ServerConfig {
            api: Some(echobeat::ApiConfig::default()),
            ..config()
        })
        .await;
    let mut raw = issued.trusted().connect(server.address).await;
    raw.send(upgrade_request("/?id=me")).await;
    assert_eq!(raw.head().await.status, 101);
    let (status, found) = ask_over_tls(&issued, &server, "GET /connections/me", "").await;
    assert_eq!((status, &found["transport"]["tls"]), (200, &json!("1.3")));
    let posted = ask_over_tls(&issued, &server, "POST /connections/me", "hello").await;
    assert_eq!(posted, (201, json!({ "delivered": 1, "skipped": 0 })));
    assert_eq!(raw.read(7).await, b"\x81\x05hello");
}
