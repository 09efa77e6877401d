//! Metrics of the API.

use serde_json::json;

use super::{ask, ask_with, connect, serve};
use crate::support::TestServer;

#[tokio::test]
async fn requests_are_counted_by_the_pattern_of_their_path() {
    let server = serve().await;
    let address = server.address;
    for (request, status) in [
        ("GET /connections", 200),
        ("GET /connections/one", 404),
        ("GET /connections/two%20words", 404),
        ("GET /connections/one/messages", 404),
        ("PUT /topics/a", 405),
        ("GET /events?after=1", 400),
    ] {
        assert_eq!(ask(address, request).await.0, status, "{request}");
    }
    let mut raw = server.raw().await;
    for (route, status, count) in [
        ("/connections", 200, 1),
        ("/connections/{name}", 404, 2),
        ("/connections/{name}/messages", 404, 1),
        ("/topics/{name}", 405, 1),
        ("/events", 400, 1),
    ] {
        let labels = format!("{{route=\"{route}\",status=\"{status}\"}}");
        let name = format!("echobeat_api_requests_total{labels}");
        assert_eq!(raw.metric(&name).await, count, "{labels}");
    }
}

#[tokio::test]
async fn pushes_are_counted_for_each_session_and_so_are_mailboxes_that_become_full() {
    let server = serve().await;
    let address = server.address;
    let clients = [
        connect(address, "/?id=one").await,
        connect(address, "/?id=two").await,
    ];
    let both = json!({ "delivered": 2, "skipped": 0 });
    let posted = ask_with(address, "POST /connections", "", b"x").await;
    assert_eq!(posted, (201, both));
    let mut raw = server.raw().await;
    let pushes = |outcome| format!("echobeat_api_pushes_total{{outcome=\"{outcome}\"}}");
    assert_eq!(raw.metric(&pushes("delivered")).await, 2);
    assert_eq!(raw.metric(&pushes("skipped")).await, 0);
    let large = vec![b'x'; 1 << 20];
    let mut skipped = 0;
    while skipped < 3 {
        let (_, delivery) = ask_with(address, "POST /connections/one", "", &large).await;
        skipped += delivery["skipped"].as_u64().expect("a number");
    }
    assert_eq!(raw.metric(&pushes("skipped")).await, 3);
    assert_eq!(raw.metric("echobeat_api_mailboxes_full_total").await, 1);
    drop(clients);
}

#[tokio::test]
async fn messages_that_fall_out_are_counted() {
    let server = super::serve_with(echobeat::ApiConfig {
        keep_messages: 2,
        ..echobeat::ApiConfig::default()
    })
    .await;
    let mut client = connect(server.address, "/?id=me").await;
    for text in ["a", "b", "c"] {
        client.echo(text).await;
    }
    let mut raw = server.raw().await;
    assert_eq!(raw.metric("echobeat_api_records_dropped_total").await, 4);
}

#[tokio::test]
async fn without_an_api_nothing_of_it_is_counted() {
    let server = TestServer::start().await;
    let response = server
        .ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(response.body.contains("echobeat_sessions_ended_total"));
    assert!(!response.body.contains("echobeat_api"));
}
