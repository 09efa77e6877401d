//! Messages that come over NATS and are not of a node like this one.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::{Nats, Node};
use crate::support::soon;

/// A client of NATS that says what it wants.
struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    async fn connect(nats: &Nats, subject: &str) -> Self {
        let stream = soon(TcpStream::connect(("127.0.0.1", nats.port))).await;
        let (reader, writer) = stream.expect("NATS listens").into_split();
        let mut client = Self {
            reader: BufReader::new(reader),
            writer,
        };
        let text = format!("CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n");
        client.write(&text).await;
        client.until("PONG").await;
        client
    }

    async fn write(&mut self, text: &str) {
        let written = soon(self.writer.write_all(text.as_bytes())).await;
        written.expect("NATS reads");
    }

    async fn publish(&mut self, reply: &str, payload: &str) {
        let length = payload.len();
        let text = format!("PUB echobeat.all {reply} {length}\r\n{payload}\r\n");
        self.write(&text).await;
    }

    /// Reads lines until one begins so.
    async fn until(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            let length = soon(self.reader.read_line(&mut line)).await.expect("UTF-8");
            assert!(length > 0, "NATS goes on");
            if line.starts_with("PING") {
                self.write("PONG\r\n").await;
            }
            if line.starts_with(start) {
                return line;
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn a_message_of_another_version_is_counted_logged_once_and_named() {
    let nats = Nats::start().await;
    let mut a = Node::start("a", &nats.url()).await;
    let reply = "echobeat.reply.future.1.0";
    let mut client = Client::connect(&nats, reply).await;
    for _ in 0..2 {
        client
            .publish(reply, "{\"v\":2,\"node\":\"future\"}\n")
            .await;
        client.until("MSG").await;
        let answer: Value = serde_json::from_str(&client.until("{").await).expect("JSON");
        assert_eq!(answer["v"], 1);
        assert_eq!(
            (&answer["node"], &answer["why"]),
            (&json!("a"), &json!("version"))
        );
    }
    let (_, sum) = a.post("/connections", "hello").await;
    assert_eq!(
        (&sum["incompatible"], &sum["silent"]),
        (&json!(["future"]), &json!([]))
    );
    assert_eq!(a.metric("other_versions_total").await, 2);
    a.running.logs("\"future\" speaks version 2").await;
    a.signal("-TERM").await;
    while let Some(line) = soon(a.running.log.next_line()).await.expect("UTF-8") {
        assert!(!line.contains("speaks version"), "{line}");
    }
}

#[tokio::test]
#[ignore = "needs nats-server, which is in Debian's package nats-server"]
async fn garbage_is_counted_and_an_answer_goes_to_nodes_alone() {
    let nats = Nats::start().await;
    let a = Node::start("a", &nats.url()).await;
    let mut session = crate::api::connect(a.address, "/").await;
    let mut client = Client::connect(&nats, "elsewhere").await;
    for garbage in ["", "garbage", "{}\n", "{\"v\":1,\"node\":\"b\"}\n"] {
        client.publish("echobeat.reply.b.1.0", garbage).await;
    }
    let push = |binary: bool, payload: &str| {
        let header = json!({
            "v": 1, "node": "b", "run": 1, "at": 0, "kind": "push", "topic": null,
            "binary": binary, "within": 1000,
        });
        format!("{header}\n{payload}")
    };
    // Its answer would go to a stranger.
    client.publish("elsewhere", &push(false, "hello")).await;
    assert_eq!(session.next().await, "hello".into());
    client
        .publish("echobeat.reply.b.1.0", &push(true, "done"))
        .await;
    assert_eq!(session.next().await, b"done".to_vec().into());
    client.write("PING\r\n").await;
    assert_eq!(client.until("PONG").await, "PONG\r\n");
    assert_eq!(a.metric("malformed_messages_total").await, 4);
}
