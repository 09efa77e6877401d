//! Addresses that are the API's own.

use std::net::SocketAddr;

use echobeat::{ApiConfig, Server, ServerConfig};
use hyper::Method;
use serde_json::json;

use super::{ask, connect};
use crate::cli::{Running, echobeat};
use crate::http2;
use crate::support::{Raw, TestServer, config, soon, upgrade_request};

/// A server with an API on an address of its own, and that address.
pub async fn serve_apart() -> (TestServer, SocketAddr) {
    let server = Server::bind(ServerConfig {
        h2c: true,
        api: Some(ApiConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..ApiConfig::default()
        }),
        ..config()
    });
    let server = server.await.expect("free ports");
    let api = server.api_endpoints()[0].socket_addr().expect("TCP");
    (TestServer::run(server), api)
}

#[tokio::test]
async fn an_api_with_addresses_of_its_own_is_there_and_nowhere_else() {
    let (server, api) = serve_apart().await;
    let address = server.address;
    let _client = connect(address, "/?id=me").await;
    assert_eq!(ask(api, "GET /connections/me").await.0, 200);
    let mut h2 = http2::connect(api).await;
    assert_eq!(h2.ask(Method::GET, "/connections/me").await.0.status(), 200);
    let mut raw = Raw::connect(address).await;
    raw.send("GET /connections/me HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.status, 404);
    let mut raw = Raw::connect(api).await;
    raw.send(upgrade_request("/")).await;
    let refused = raw.response().await;
    assert_eq!(
        (refused.status, &*refused.body),
        (404, "{\"error\":\"Nothing here.\"}\n")
    );

    soon(server.stop()).await.expect("it ends");
}

#[tokio::test]
async fn the_program_says_where_its_api_is() {
    let mut running = Running::start(echobeat(&["127.0.0.1:0", "--api=127.0.0.1:0"])).await;
    let line = running.logs("listening for the API").await;
    let (_, api) = line.split_once("address=").expect("an address");
    let api = api.split_whitespace().next().expect("an address");
    let api = api.parse().expect("an address");
    let _client = connect(running.address(), "/?id=me").await;
    let (status, found) = ask(api, "GET /connections/me").await;
    assert_eq!((status, &found["id"]), (200, &json!("me")));
    let open = running.logs("open").await;
    assert!(open.contains("id=\"me\""), "{open}");
}

#[tokio::test]
async fn the_program_serves_its_api_everywhere_if_it_is_told_so() {
    let mut command = echobeat(&["127.0.0.1:0", "--api-token=secret"]);
    command.env("ECHOBEAT_API", "on");
    let running = Running::start(command).await;
    assert_eq!(ask(running.address(), "GET /connections").await.0, 401);
}
