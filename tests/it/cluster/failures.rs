//! Nodes and NATS that go away, stand still, and come back.

use serde_json::json;

use super::{Nats, Node, three};
use crate::api::connect;
use crate::cli::echobeat;
use crate::support::{soon, until};

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_node_that_is_killed_is_silent_and_then_gone() {
    let (_nats, [a, b, c]) = three().await;
    let _client = connect(c.address, "/?id=there").await;
    c.signal("-KILL").await;
    let (status, sum) = a.post("/connections", "hello").await;
    assert_eq!((status, &sum["silent"]), (202, &json!(["c"])), "{sum}");
    let (status, error) = b.ask("GET /connections/there").await;
    let sentence = error["error"].as_str().expect("a sentence");
    assert!(status == 504 && sentence.contains("\"c\""), "{sentence}");
    let (status, error) = b.ask("GET /connections/there@c").await;
    let sentence = error["error"].as_str().expect("a sentence");
    assert!(status == 504 && sentence.contains("\"c\""), "{sentence}");
    let (_, list) = a.ask("GET /connections").await;
    assert_eq!(list["silent"], json!(["c"]));
    a.sees(&[("a", "here"), ("b", "here"), ("c", "silent")])
        .await;
    a.sees(&[("a", "here"), ("b", "here")]).await;
    let (_, sum) = a.post("/connections", "hello").await;
    assert_eq!(
        (&sum["silent"], &sum["nodes"]),
        (&json!([]), &json!({ "a": 0, "b": 0 }))
    );
    assert!(a.metric("silences_total").await >= 2);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_node_that_stands_still_is_silent_and_delivers_nothing_late() {
    let (_nats, [a, _b, c]) = three().await;
    let mut client = connect(c.address, "/?topic=t").await;
    c.signal("-STOP").await;
    let (_, sum) = a.post("/topics/t", "lost").await;
    assert_eq!(
        (&sum["delivered"], &sum["silent"]),
        (&json!(0), &json!(["c"])),
        "{sum}"
    );
    c.signal("-CONT").await;
    until(async || a.post("/topics/t", "found").await.1["delivered"] == 1).await;
    assert_eq!(client.next().await, "found".into());
    assert!(c.metric("late_requests_total").await >= 1);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn without_nats_a_node_works_alone_and_joins_again_when_it_is_back() {
    let (nats, [a, b, c]) = three().await;
    let mut here = connect(a.address, "/?topic=t").await;
    let mut there = connect(b.address, "/?topic=t").await;
    let port = nats.kill().await;
    for node in [&a, &b, &c] {
        node.is("disconnected").await;
    }
    let (status, sum) = a.post("/topics/t", "alone").await;
    assert_eq!((status, &sum["delivered"]), (201, &json!(1)));
    assert_eq!(sum["cluster"], "disconnected");
    assert_eq!(sum["silent"], json!(["b", "c"]));
    let (status, error) = a.ask("GET /connections/unknown").await;
    assert!(
        status == 504
            && error["error"]
                .as_str()
                .unwrap()
                .contains("NATS is disconnected")
    );
    for (path, status) in [("/healthz", 200), ("/healthz?cluster=required", 503)] {
        let mut raw = crate::support::Raw::connect(a.address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
        assert_eq!(raw.response().await.status, status, "{path}");
    }
    let _nats = Nats::start_on(&port.to_string(), &[]).await;
    for node in [&a, &b, &c] {
        node.sees(&[("a", "here"), ("b", "here"), ("c", "here")])
            .await;
    }
    assert_eq!(a.post("/topics/t", "together").await.1["delivered"], 2);
    assert_eq!(here.next().await, "alone".into());
    assert_eq!(here.next().await, "together".into());
    assert_eq!(there.next().await, "together".into());
    assert_eq!(a.metric("disconnections_total").await, 1);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn while_nats_stands_still_others_are_silent_and_nothing_comes_late() {
    let (nats, [a, b, _c]) = three().await;
    let mut there = connect(b.address, "/?topic=t").await;
    nats.signal("-STOP").await;
    let (_, sum) = a.post("/topics/t", "lost").await;
    assert_eq!(
        (&sum["delivered"], &sum["silent"]),
        (&json!(0), &json!(["b", "c"])),
        "{sum}"
    );
    a.is("disconnected").await;
    let (_, sum) = a.post("/topics/t", "lost too").await;
    assert_eq!(sum["cluster"], "disconnected");
    nats.signal("-CONT").await;
    until(async || a.post("/topics/t", "found").await.1["delivered"] == 1).await;
    assert_eq!(there.next().await, "found".into());
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_node_may_start_before_nats_unless_it_is_required() {
    let port = Nats::start().await.kill().await;
    let url = format!("nats://127.0.0.1:{port}");
    let flags = ["127.0.0.1:0", "--api", "--nats", &url, "--nats-required"];
    let output = soon(echobeat(&flags).output()).await.expect("it runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("NATS: {url}")), "{log}");
    let a = Node::start("a", &url).await;
    let mut client = connect(a.address, "/").await;
    assert_eq!(
        a.post("/connections", "alone").await.1["cluster"],
        "disconnected"
    );
    let _nats = Nats::start_on(&port.to_string(), &[]).await;
    a.is("connected").await;
    let b = Node::start("b", &url).await;
    b.sees(&[("a", "here"), ("b", "here")]).await;
    assert_eq!(b.post("/connections", "together").await.1["delivered"], 1);
    assert_eq!(client.next().await, "alone".into());
    assert_eq!(client.next().await, "together".into());
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_node_that_drains_says_so_and_is_gone_at_once() {
    let (_nats, [a, b, mut c]) = three().await;
    // It does not answer the Close, so that the drain lasts.
    let mut raw = crate::support::Raw::session(c.address).await;
    c.signal("-TERM").await;
    a.sees(&[("a", "here"), ("b", "here"), ("c", "leaving")])
        .await;
    assert_eq!(raw.read(1).await, [echobeat_frames::CLOSE]);
    drop(raw);
    soon(c.running.child.wait()).await.expect("it ends");
    let (_, shown) = b.ask("GET /cluster").await;
    assert_eq!(shown["nodes"].as_array().map(Vec::len), Some(2), "{shown}");
    let (_, sum) = a.post("/connections", "hello").await;
    assert_eq!(sum["silent"], json!([]));
}
