//! Waits for the registry, with a clock that moves on when every task waits.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::connection::Side;
use super::record::Kind;
use super::state::events::Event;
use super::state::list::Order;
use super::*;
use crate::net::connection_info::{ConnectionInfo, Peer};
use crate::ws::close::{End, Teardown};
use crate::ws::frames::Opcode;

/// Time that is longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

fn registry() -> Registry {
    Registry::new(ApiConfig::default())
}

fn open(registry: &Registry, id: &str) -> Box<ConnectionHandle> {
    let description = Description {
        id: id.into(),
        info: ConnectionInfo::new(1, Peer::Local),
        topics: ["topic".into()].into(),
        path: "/".to_owned(),
        query: None,
        headers: Vec::new(),
        subprotocol: None,
        extensions: None,
    };
    Admission::new(registry.clone(), description).open()
}

fn key(registry: &Registry, id: &str) -> Key {
    match registry.find(id) {
        Found::Here(key) => key,
        found => panic!("{found:?}"),
    }
}

#[test]
fn ids_that_are_made_here_are_short_and_unique() {
    let ids: std::collections::HashSet<_> = (0..1_000).map(|_| Registry::unique_id()).collect();
    assert_eq!(ids.len(), 1_000);
    assert!(ids.iter().all(|id| id.len() == ID_LENGTH && id.is_ascii()));
}

#[tokio::test(start_paused = true)]
async fn connections_are_waited_for() {
    let registry = registry();
    let filter = ConnectionFilter::default();
    let ((), handles) = tokio::join!(soon(registry.until_count(&filter, 2)), async {
        ["one", "two"].map(|id| open(&registry, id))
    });
    drop(handles);
    let closed = ConnectionFilter {
        phase: Some(Phase::Closed),
        ..filter
    };
    soon(registry.until_count(&closed, 2)).await;
    soon(registry.until_count(&closed, 0)).await;
    assert_eq!(registry.state().watches(), 0, "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn connections_that_open_while_others_are_counted_are_counted_once() {
    let registry = registry();
    let mut handles: Vec<_> = (0..2_500).map(|_| open(&registry, "early")).collect();
    let filter = ConnectionFilter::default();
    let mut enough = pin!(registry.until_count(&filter, 2_503));
    // The first part alone is counted in one poll.
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(enough.as_mut().poll(&mut cx).is_pending());
    for _ in 0..2 {
        handles.push(open(&registry, "late"));
        handles.remove(0);
    }
    assert!(
        timeout(PATIENCE, enough.as_mut()).await.is_err(),
        "one is missing"
    );
    handles.push(open(&registry, "last"));
    soon(enough).await;
    let page = Page::new(Order::OldestFirst, None, 1);
    assert_eq!(registry.list(&filter, page).await.total, 2_503);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_waited_for_and_so_is_the_end_in_its_place() {
    let registry = registry();
    let mut handle = open(&registry, "one");
    let key = key(&registry, "one");
    handle.received(Kind::Text, b"before", 1, false);
    handle.record_turn();
    let filter = MessageFilter {
        contains: Some("wanted".to_owned()),
        ..MessageFilter::default()
    };
    let (batch, ()) = tokio::join!(soon(registry.until_message(key, &filter, 10)), async {
        handle.received(Kind::Text, b"other", 1, false);
        handle.record_turn();
        tokio::task::yield_now().await;
        handle.received(Kind::Text, b"is wanted", 3, true);
        handle.record_turn();
    });
    let batch = batch.expect("it is kept");
    assert_eq!((batch.records.len(), batch.next, batch.dropped), (1, 3, 0));
    assert_eq!(batch.records[0].message.frames, 3);

    let filter = MessageFilter { after: 3, ..filter };
    let (batch, ()) = tokio::join!(soon(registry.until_message(key, &filter, 10)), async {
        handle.session_ended(&End::Eof, false);
    });
    assert_eq!(batch.expect("it is kept").records, []);
}

/// Directions and contents of all messages of a connection.
fn contents(registry: &Registry, key: Key) -> Vec<(Direction, String)> {
    let batch = registry.messages(key, &MessageFilter::default(), 1000);
    let records = batch.expect("it is kept").records.into_iter();
    let content = |content: Option<bytes::Bytes>| {
        let content = content.map(|content| String::from_utf8_lossy(&content).into_owned());
        content.unwrap_or_else(|| "not kept".to_owned())
    };
    let records = records.map(|record| (record.direction, content(record.message.content)));
    records.collect()
}

#[test]
fn messages_are_recorded_in_their_order_whether_they_wait_for_the_end_of_the_turn_or_not() {
    let registry = Registry::new(ApiConfig {
        keep_bytes: 10_000,
        ..ApiConfig::default()
    });
    let mut handle = open(&registry, "one");
    let key = key(&registry, "one");
    let (large, huge) = ("x".repeat(turn::SMALL + 1), "y".repeat(10_001));
    let mut expected = Vec::new();
    for payload in ["small", &large, "between", &huge, "last"] {
        handle.received(Kind::Text, payload.as_bytes(), 1, false);
        handle.echoed();
        let content = if payload == huge { "not kept" } else { payload };
        for direction in [Direction::In, Direction::Out] {
            expected.push((direction, content.to_owned()));
        }
    }
    assert_eq!(contents(&registry, key), expected[..8], "the last waits");
    handle.sent(Kind::Text, b"heart beat");
    expected.push((Direction::Out, "heart beat".to_owned()));
    assert_eq!(contents(&registry, key), expected);
    handle.received(Kind::Text, b"not echoed", 1, false);
    handle.forget_received();
    handle.echoed();
    expected.push((Direction::In, "not echoed".to_owned()));
    assert_eq!(contents(&registry, key), expected);
    handle.received(Kind::Text, b"at the end", 1, false);
    handle.session_ended(&End::Eof, false);
    expected.push((Direction::In, "at the end".to_owned()));
    assert_eq!(contents(&registry, key), expected);
}

#[test]
fn a_turn_that_is_full_is_recorded_before_its_end() {
    let registry = registry();
    let mut handle = open(&registry, "one");
    let key = key(&registry, "one");
    for _ in 0..1_000 {
        handle.received(Kind::Text, &[b'x'; 100], 1, false);
    }
    let recorded = contents(&registry, key).len();
    assert!((800..1_000).contains(&recorded), "{recorded}");
    handle.record_turn();
    assert_eq!(contents(&registry, key).len(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_connection_that_is_forgotten_ends() {
    let registry = Registry::new(ApiConfig {
        keep_closed: 0,
        ..ApiConfig::default()
    });
    let handle = open(&registry, "one");
    let key = key(&registry, "one");
    let filter = MessageFilter::default();
    let (batch, ()) = tokio::join!(soon(registry.until_message(key, &filter, 10)), async {
        drop(handle);
    });
    assert_eq!(batch, None);
    assert_eq!(registry.find("one"), Found::Forgotten);
}

#[tokio::test(start_paused = true)]
async fn a_push_waits_for_its_first_receiver() {
    let registry = registry();
    let push = Push::new(Opcode::Text, b"x");
    let receivers = Receivers::Topic("topic".to_owned());
    let (delivery, mut handle) =
        tokio::join!(soon(registry.post_to_first(&receivers, &push)), async {
            open(&registry, "one")
        });
    assert_eq!((delivery.delivered, delivery.skipped), (1, 0));
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert_eq!(
        handle.next_mail(&mut cx, false),
        Some(mailbox::Mail::Push(push))
    );
    assert_eq!(handle.next_mail(&mut cx, false), None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_its_verdict() {
    let registry = registry();
    let mut handle = open(&registry, "one");
    let key = key(&registry, "one");
    handle.received(Kind::Binary, b"twelve bytes", 2, false);
    handle.echoed();
    handle.echoed();
    handle.pinged();
    handle.received(Kind::Pong, b"", 1, false);
    handle.session_ended(&End::Lost(io::ErrorKind::ConnectionReset.into()), false);
    let snapshot = registry.snapshot(key).expect("it is kept");
    assert_eq!(snapshot.status.phase, Phase::Closing);
    assert_eq!(registry.end(key, Ending::Cut(Teardown::Reset)), Err(Gone));
    handle.tcp_ended(TcpEnd::Fin);
    drop(handle);
    let status = registry.snapshot(key).expect("it is kept").status;
    assert_eq!(
        (status.phase, status.tcp),
        (Phase::Closed, Some(TcpEnd::Rst(Side::Peer)))
    );
    assert!(status.round_trip.is_some() && status.closed_at.is_some());
    let end = status.end.expect("an end");
    assert_eq!((end.why, end.code, end.is_clean), ("lost", 1006, false));
    let (received, sent) = (status.received, status.sent);
    assert_eq!((received.frames, received.fragments), (3, 2));
    assert_eq!((sent.frames, sent.fragments), (2, 0));
    assert_eq!((received.bytes, sent.bytes), (12, 12));
    assert_eq!((sent.messages, sent.control_frames), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn readers_of_events_are_woken_and_nobody_else() {
    let registry = registry();
    let wants_wake = || registry.state().take_waiting();
    let mut handle = open(&registry, "one");
    assert!(!wants_wake());
    let filter = ConnectionFilter::default();
    let mut readers = [(); 2].map(|()| registry.events(filter.clone(), None));
    let [first, second] = &mut readers;
    let (one, two, ()) = tokio::join!(soon(first.next()), soon(second.next()), async {
        handle.received(Kind::Text, b"a", 1, false);
        handle.received(Kind::Text, b"b", 1, false);
        handle.record_turn();
    });
    let numbers = |events: Vec<Event>| events.iter().map(|e| e.number).collect::<Vec<_>>();
    assert_eq!((numbers(one), numbers(two)), (vec![2, 3], vec![2, 3]));
    assert!(!wants_wake());
    drop(readers);
    drop(handle);
    assert!(!wants_wake());
    let mut resumed = registry.events(filter, Some(2));
    assert_eq!(numbers(soon(resumed.next()).await), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_for_what_matches_behind_much_that_does_not() {
    let registry = Registry::new(ApiConfig {
        keep_messages: 5_000,
        ..ApiConfig::default()
    });
    let mut other = open(&registry, "other");
    let filter = ConnectionFilter {
        id: Some("one".to_owned()),
        ..ConnectionFilter::default()
    };
    let mut reader = registry.events(filter, Some(0));
    for _ in 0..5_000 {
        other.received(Kind::Text, b"x", 1, false);
    }
    other.record_turn();
    let (events, _handle) = tokio::join!(soon(reader.next()), async {
        tokio::task::yield_now().await;
        open(&registry, "one")
    });
    assert_eq!((events.len(), events[0].number), (1, 5_002));
}
