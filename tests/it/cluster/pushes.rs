//! Pushes to a topic, and to all.

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use tokio::time::{Duration, timeout};

use super::{Nats, Node, three, three_on};
use crate::api::{ask_with, connect};
use crate::support::{Raw, soon, upgrade_request};

/// Subscribers, over all nodes, and pushes to them.
const MANY: (usize, usize) = match cfg!(debug_assertions) {
    true => (60, 300),
    false => (1_000, 2_000),
};

/// Bytes of a pushed frame: two of its header, and a number.
const FRAME: usize = 10;

/// Reads so many pushes, and expects them in order, each once.
async fn expect_in_order(mut raw: Raw, pushes: usize) {
    let mut bytes = vec![0; pushes * FRAME];
    raw.stream
        .read_exact(&mut bytes)
        .await
        .expect("all pushes come");
    for (n, frame) in bytes.chunks(FRAME).enumerate() {
        let expected = [&[0x81, 8][..], format!("{n:08}").as_bytes()].concat();
        assert_eq!(frame, expected, "push {n}");
    }
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn every_push_comes_to_every_subscriber_in_order() {
    let (_nats, nodes) = three().await;
    let (subscribers, pushes) = MANY;
    let mut reading = JoinSet::new();
    for n in 0..subscribers {
        let mut raw = Raw::connect(nodes[n % 3].address).await;
        raw.send(upgrade_request("/?topic=news")).await;
        assert_eq!(raw.head().await.status, 101);
        reading.spawn(expect_in_order(raw, pushes));
    }
    let mut publisher = Raw::connect(nodes[0].address).await;
    for n in 0..pushes {
        let request = format!(
            "POST /topics/news HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n{n:08}"
        );
        publisher.send(request).await;
        let response = publisher.response().await;
        let sum: serde_json::Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!(sum["delivered"], subscribers, "{sum}");
        assert_eq!((&sum["skipped"], &sum["silent"]), (&json!(0), &json!([])));
    }
    let all = async {
        while reading
            .join_next()
            .await
            .transpose()
            .expect("in order")
            .is_some()
        {}
    };
    timeout(Duration::from_secs(60), all)
        .await
        .expect("in time");
    assert_eq!(nodes[1].metric("slow_reads_total").await, 0);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_push_is_counted_by_node() {
    let (_nats, [a, b, c]) = three().await;
    let mut first = connect(b.address, "/?topic=news").await;
    let mut second = connect(c.address, "/?topic=news&topic=other").await;
    let (status, sum) = a.post("/topics/news", "hello").await;
    let nodes = json!({ "a": 0, "b": 1, "c": 1 });
    let expected = json!({ "delivered": 2, "skipped": 0, "nodes": nodes, "silent": [] });
    assert_eq!((status, sum), (201, expected));
    let binary = "Content-Type: application/octet-stream\r\n";
    let (_, sum) = ask_with(c.address, "POST /connections", binary, &[0, 255]).await;
    assert_eq!(sum["delivered"], 2, "{sum}");
    for client in [&mut first, &mut second] {
        assert_eq!(client.next().await, "hello".into());
        assert_eq!(client.next().await, vec![0, 255].into());
    }
    let (status, sum) = b.post("/topics/nobodys", "hello").await;
    assert_eq!((status, &sum["delivered"]), (202, &json!(0)));
    let (status, sum) = a.post("/topics/news?cluster=false", "hello").await;
    assert_eq!(
        (status, sum),
        (202, json!({ "delivered": 0, "skipped": 0 }))
    );
    let (_, topic) = a.ask("GET /topics/news").await;
    assert_eq!(
        (&topic["subscribers"], &topic["nodes"]["c"]),
        (&json!(2), &json!(1))
    );
    let (_, topics) = a.ask("GET /topics?limit=1").await;
    assert_eq!(
        (&topics["next"], &topics["total"]),
        (&json!("news"), &json!(2))
    );
    assert!(a.metric("requests_sent_total").await >= 2);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_push_waits_for_a_receiver_on_any_node() {
    let (_nats, [a, b, _c]) = three().await;
    let later = async {
        // Sent while the push waits; if it comes first, the push finds it.
        let mut client = connect(b.address, "/?topic=late&id=late").await;
        assert_eq!(client.next().await, "topic".into());
        assert_eq!(client.next().await, "id".into());
    };
    let pushes = async {
        let (status, sum) = a.post("/topics/late?wait=10s", "topic").await;
        assert_eq!((status, &sum["delivered"]), (201, &json!(1)), "{sum}");
        let (status, sum) = a.post("/connections/late?wait=10s", "id").await;
        assert_eq!((status, &sum["delivered"]), (201, &json!(1)), "{sum}");
    };
    tokio::join!(pushes, later);
    let (status, sum) = a.post("/topics/never?wait=10ms", "x").await;
    assert_eq!((status, &sum["delivered"]), (202, &json!(0)));
    let (status, _) = a.post("/connections/never?wait=10ms", "x").await;
    assert_eq!(status, 404);
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_peer_that_does_not_read_is_skipped_and_counted_on_its_node() {
    let (_nats, [a, b, _c]) = three().await;
    let mut raw = Raw::connect(b.address).await;
    raw.send(upgrade_request("/?topic=slow")).await;
    assert_eq!(raw.head().await.status, 101);
    let text = "x".repeat(500_000);
    let full = async {
        loop {
            let (_, sum) = a.post("/topics/slow", &text).await;
            let of = |name: &str| sum[name].as_u64().expect("a number");
            assert_eq!(of("delivered") + of("skipped"), 1, "{sum}");
            if of("skipped") == 1 {
                return;
            }
        }
    };
    soon(full).await;
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_push_that_nats_does_not_take_is_delivered_to_nobody() {
    let (_nats, [a, b, _c]) = three().await;
    let mut here = connect(a.address, "/?topic=news").await;
    let mut there = connect(b.address, "/?topic=news&id=there").await;
    let large = "x".repeat(1 << 20);
    for path in ["/topics/news", "/connections", "/connections/there"] {
        let (status, answer) = a.post(path, &large).await;
        let sentence = answer["error"].as_str().expect("a sentence");
        assert_eq!(status, 413, "{sentence}");
        assert!(
            sentence.contains("NATS takes messages of 1044480 bytes"),
            "{sentence}"
        );
    }
    let largest = "x".repeat((1 << 20) - 4096);
    assert_eq!(a.post("/topics/news", &largest).await.1["delivered"], 2);
    for client in [&mut here, &mut there] {
        assert!(client.next().await == largest.as_str().into());
    }
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn nodes_with_another_prefix_are_another_cluster_and_a_password_is_not_logged() {
    let nats = Nats::start_on("-1", &["--user", "me", "--pass", "s3cret"]).await;
    let url = format!("nats://me:s3cret@127.0.0.1:{}", nats.port);
    let nodes = three_on(&url).await;
    let flags = ["--nats-prefix=other.team", "-vv", "--nats-required"];
    let mut other = Node::start_with("other", &url, &flags).await;
    other.sees(&[("other", "here")]).await;
    nodes[0]
        .sees(&[("a", "here"), ("b", "here"), ("c", "here")])
        .await;
    other.signal("-TERM").await;
    while let Some(line) = soon(other.running.log.next_line()).await.expect("UTF-8") {
        assert!(!line.contains("s3cret"), "{line}");
    }
}
