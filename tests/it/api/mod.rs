//! The HTTP API over real sockets.

mod addresses;
mod aws;
mod connections;
mod events;
mod faulty_pushes;
mod messages;
mod metrics;
mod openapi;
mod pages;
mod pushes;
mod records;
mod refusals;
mod steps;
mod verdicts;
#[cfg(target_os = "linux")]
mod waits;

use std::net::SocketAddr;

use echobeat::{ApiConfig, ServerConfig};
use serde_json::Value;

use crate::support::{Client, Raw, TestServer, config, soon};

/// A server with an API.
pub async fn serve() -> TestServer {
    serve_with(ApiConfig::default()).await
}

pub async fn serve_with(api: ApiConfig) -> TestServer {
    TestServer::start_with(ServerConfig {
        api: Some(api),
        ..config()
    })
    .await
}

/// A session at this path and query.
pub async fn connect(address: SocketAddr, path: &str) -> Client {
    let stream = Raw::connect(address).await.stream;
    let url = format!("ws://{address}{path}");
    Client::over(stream, url)
        .await
        .expect("the server upgrades")
}

/// The status of an answer, and its JSON; null if it has no content.
pub async fn ask(address: SocketAddr, request: &str) -> (u16, Value) {
    ask_with(address, request, "", b"").await
}

/// The same of a request with these header lines and this body.
pub async fn ask_with(
    address: SocketAddr,
    request: &str,
    headers: &str,
    body: &[u8],
) -> (u16, Value) {
    let mut raw = Raw::connect(address).await;
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    raw.send([head.as_bytes(), body].concat()).await;
    let response = soon(raw.response()).await;
    let json = match &*response.body {
        "" => Value::Null,
        body => serde_json::from_str(body).expect("JSON"),
    };
    (response.status, json)
}

/// The verdict on a connection, once it is closed.
pub async fn verdict(address: SocketAddr, id: &str) -> Value {
    let request = format!("GET /connections?id={id}&state=closed&wait=20s");
    let (status, list) = ask(address, &request).await;
    assert_eq!(status, 200, "{list}");
    list["connections"][0].clone()
}
