//! Sessions whose connection is in the registry: pushes to them, and what is told of them.

use super::*;
use crate::config::ApiConfig;
use crate::registry::connection::{Description, Phase, Snapshot};
use crate::registry::filter::MessageFilter;
use crate::registry::mailbox::Ending;
use crate::registry::push::Push;
use crate::registry::record::{CloseContent, Direction, Kind};
use crate::registry::state::{Delivery, Found, Key, Receivers};
use crate::registry::{Admission, ConnectionHandle, Registry};
use crate::scenario::Scenario;
use crate::session::faulty::{self, Script};
use crate::ws::close::Teardown;
use crate::ws::frames::Opcode;

/// A client, and the connection of its session in a registry.
struct Observed {
    client: Client,
    registry: Registry,
    key: Key,
}

fn open(registry: &Registry) -> (Box<ConnectionHandle>, Key) {
    let description = Description {
        id: "one".into(),
        info: ConnectionInfo::new(1, Peer::Local),
        topics: ["topic".into()].into(),
        path: "/".to_owned(),
        query: None,
        headers: Vec::new(),
        subprotocol: None,
        extensions: None,
    };
    let handle = Admission::new(registry.clone(), description).open();
    match registry.find("one") {
        Found::Here(key) => (handle, key),
        found => panic!("{found:?}"),
    }
}

impl Observed {
    fn start(config: ServerConfig) -> Self {
        Self::start_over(config, PIPE, None)
    }

    /// Starts a session over a pipe of this size, with the faults of `steps` if there are any.
    fn start_over(config: ServerConfig, pipe: usize, steps: Option<&str>) -> Self {
        let registry = Registry::new(ApiConfig::default());
        let (handle, key) = open(&registry);
        let (stream, far_end) = duplex(pipe);
        let shutdown = Shutdown::new();
        let context = SessionContext {
            connection: Some(handle),
            ..context(config, shutdown.subscribe())
        };
        let scenario: Option<Scenario> = steps.map(|steps| steps.parse().expect("steps"));
        let session = tokio::spawn(async move {
            let Some(scenario) = scenario else {
                return run(far_end, b"", context).await.0;
            };
            let script = Script {
                scenario: &scenario,
                head: Vec::new(),
                request_info: None,
            };
            faulty::run(far_end, b"", script, context).await.0
        });
        let client = Client {
            stream,
            session,
            shutdown,
        };
        Self {
            client,
            registry,
            key,
        }
    }

    fn post(&self, text: &str) -> Delivery {
        let push = Push::new(Opcode::Text, text.as_bytes());
        self.registry.post(&Receivers::All, &push)
    }

    fn end(&self, ending: Ending) {
        self.registry.end(self.key, ending).expect("it is open");
    }

    fn snapshot(&self) -> Snapshot {
        self.registry.snapshot(self.key).expect("it is kept")
    }

    /// Directions, kinds and contents of all messages.
    fn messages(&self) -> Vec<(Direction, Kind, String)> {
        let batch = self
            .registry
            .messages(self.key, &MessageFilter::default(), usize::MAX);
        let records = batch.expect("it is kept").records.into_iter();
        let records = records.map(|record| {
            let content = record.message.content.unwrap_or_default();
            let text = String::from_utf8_lossy(&content).into_owned();
            (record.direction, record.message.kind, text)
        });
        records.collect()
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_wake_an_idle_session_and_go_out_in_their_order() {
    let mut observed = Observed::start(quiet());
    settle().await;
    for n in 0..100 {
        assert_eq!(observed.post(&n.to_string()).delivered, 1);
    }
    for n in 0..100 {
        observed.client.expect(TEXT, n.to_string().as_bytes()).await;
    }
    let large = "x".repeat(100_000);
    observed.post(&large);
    observed.post("after");
    observed.client.expect(TEXT, large.as_bytes()).await;
    observed.client.expect(TEXT, b"after").await;
}

#[tokio::test(start_paused = true)]
async fn pushes_go_between_echoes() {
    let mut observed = Observed::start_over(quiet(), 1 << 12, None);
    for n in 0..200_u32 {
        observed.post(&format!("push {n}"));
        let message = format!("{n:05000}");
        observed
            .client
            .send(&frame(BINARY, message.as_bytes()))
            .await;
        let (mut echoes, mut pushes) = (0, 0);
        while echoes == 0 || pushes == 0 {
            let (first, payload) = observed.client.frame().await;
            match first {
                BINARY => {
                    assert!(payload == message.as_bytes());
                    echoes += 1;
                }
                _ => {
                    assert_eq!(payload, format!("push {n}").into_bytes());
                    pushes += 1;
                }
            }
        }
    }
    assert_eq!(observed.snapshot().status.sent.messages, 400);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_fills_its_mailbox_and_can_be_cut() {
    let observed = Observed::start_over(quiet(), 100, None);
    settle().await;
    let text = "x".repeat(10_000);
    let mut delivered = 0;
    while observed.post(&text).delivered == 1 {
        delivered += 1;
        settle().await;
        assert!(delivered < 1_000, "the mailbox is bounded");
    }
    assert_eq!(observed.snapshot().status.skipped, 1);
    observed.end(Ending::Cut(Teardown::Reset));
    let Observed { client, .. } = observed;
    let report = timeout(Duration::from_secs(1), client.session).await;
    let report = report.expect("it ends at once").expect("no panic");
    assert_eq!(
        (report.end.word(), report.teardown),
        ("api", Teardown::Reset)
    );
}

#[tokio::test(start_paused = true)]
async fn the_registry_knows_what_went_each_way() {
    let config = ServerConfig {
        heartbeat: Some(Duration::from_secs(3)),
        ping_interval: Some(Duration::from_secs(4)),
        ..ServerConfig::default()
    };
    let mut observed = Observed::start(config);
    let client = &mut observed.client;
    client.send(&frame(TEXT, b"hello")).await;
    client.expect(TEXT, b"hello").await;
    client.send(&frame(BINARY_BEGUN, b"a")).await;
    client.send(&frame(PING, b"?")).await;
    client.send(&frame(CONTINUED_LAST, b"b")).await;
    client.expect(PONG, b"?").await;
    client.expect(BINARY, b"ab").await;
    let mut pinged = false;
    let mut beaten = false;
    while !pinged || !beaten {
        match client.frame().await {
            (PING, _) => pinged = true,
            (TEXT, payload) => beaten = payload == b"heart beat",
            other => panic!("{other:?}"),
        }
    }
    client.send(&frame(PONG, b"")).await;
    client.send(&close_frame(4000, b"bye")).await;
    let (first, payload) = client.frame().await;
    assert_eq!((first, &payload[2..]), (CLOSE, &b"bye"[..]));
    let messages = observed.messages();
    let (begin, rest) = messages.split_at(6);
    let (received, sent) = (Direction::In, Direction::Out);
    let message = |direction, kind, text: &str| (direction, kind, text.to_owned());
    assert_eq!(
        begin,
        [
            message(received, Kind::Text, "hello"),
            message(sent, Kind::Text, "hello"),
            message(received, Kind::Ping, "?"),
            message(sent, Kind::Pong, "?"),
            message(received, Kind::Binary, "ab"),
            message(sent, Kind::Binary, "ab"),
        ]
    );
    assert!(rest.contains(&message(sent, Kind::Text, "heart beat")));
    assert!(rest.contains(&message(sent, Kind::Ping, "")));
    let end = [
        message(received, Kind::Pong, ""),
        message(received, Kind::Close, "bye"),
        message(sent, Kind::Close, "bye"),
    ];
    assert!(rest.ends_with(&end), "{rest:?}");
    let report = observed.client.expect_end().await;
    let snapshot = observed
        .registry
        .snapshot(observed.key)
        .expect("it is kept");
    let status = snapshot.status;
    assert_eq!(status.phase, Phase::Closing);
    drop(report);
    let end = status.end.expect("an end");
    assert_eq!((end.why, end.code, end.is_clean), ("closed", 4000, true));
    assert_eq!(status.closes.first, Some(Direction::In));
    assert_eq!(status.closes.received, status.closes.sent);
    assert!(status.round_trip.is_some());
    assert_eq!((status.received.fragments, status.received.frames), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_through_the_registry_after_its_pushes() {
    let mut observed = Observed::start(quiet());
    observed.post("before");
    observed.end(Ending::Close(CloseContent {
        code: Some(4001),
        reason: "enough".to_owned(),
    }));
    assert_eq!(observed.post("after"), Delivery::default());
    observed.client.expect(TEXT, b"before").await;
    let (first, payload) = observed.client.frame().await;
    assert_eq!((first, &payload[..2]), (CLOSE, &4001_u16.to_be_bytes()[..]));
    assert_eq!(&payload[2..], b"enough");
    observed.client.send(&close_frame(4001, b"")).await;
    let report = observed.client.expect_end().await;
    assert!(report.clean);
    drop(report);
    let status = observed
        .registry
        .snapshot(observed.key)
        .expect("it is kept")
        .status;
    assert_eq!(status.phase, Phase::Closed);
    assert_eq!(status.closes.first, Some(Direction::Out));
    assert_eq!(status.end.expect("an end").why, "api");
}

#[tokio::test(start_paused = true)]
async fn a_faulty_session_obeys_its_faults_for_pushes_too() {
    let mut observed = Observed::start_over(quiet(), PIPE, Some("fragment:2,delay:1s"));
    observed.client.send(&frame(TEXT, b"late")).await;
    settle().await;
    observed.post("abc");
    observed.post("d");
    for (first, payload) in [
        (TEXT_BEGUN, &b"ab"[..]),
        (CONTINUED_LAST, b"c"),
        (TEXT, b"d"),
        (TEXT_BEGUN, b"la"),
        (CONTINUED_LAST, b"te"),
    ] {
        observed.client.expect(first, payload).await;
    }
    let sent = observed.snapshot().status.sent;
    assert_eq!((sent.messages, sent.frames, sent.fragments), (3, 5, 4));
    let texts: Vec<_> = observed
        .messages()
        .into_iter()
        .map(|(.., text)| text)
        .collect();
    assert_eq!(texts, ["late", "abc", "d", "late"]);
    observed.end(Ending::Cut(Teardown::Linger));
    let report = observed.client.expect_end().await;
    assert_eq!(
        (report.end.word(), report.teardown),
        ("api", Teardown::Linger)
    );
}

#[tokio::test(start_paused = true)]
async fn a_deaf_session_still_takes_pushes_and_a_silent_one_is_never_sent_any() {
    let mut observed = Observed::start_over(quiet(), PIPE, Some("deaf"));
    observed.client.send(&frame(TEXT, b"unheard")).await;
    settle().await;
    observed.post("heard");
    observed.client.expect(TEXT, b"heard").await;
    assert_eq!(observed.snapshot().status.received.messages, 0);

    let observed = Observed::start_over(quiet(), PIPE, Some("stall"));
    settle().await;
    observed.post("never sent");
    settle().await;
    assert_eq!(observed.snapshot().status.sent.messages, 0);
}
