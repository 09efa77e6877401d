use std::task::Waker;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::list::{Order, Page};
use super::*;
use crate::net::connection_info::{ConnectionInfo, Peer};
use crate::registry::filter::ConnectionFilter;
use crate::registry::push::Push;
use crate::registry::record::{CloseContent, Kind};
use crate::ws::frames::Opcode;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

pub(super) fn state(config: ApiConfig) -> State {
    State::new(config, ApiMetrics::default())
}

pub(super) fn open(state: &mut State, id: &str, topics: &[&str]) -> Key {
    let description = Description {
        id: id.into(),
        info: ConnectionInfo::new(1, Peer::Local),
        topics: topics.iter().map(|topic| (*topic).into()).collect(),
        path: "/".to_owned(),
        query: None,
        headers: Vec::new(),
        subprotocol: None,
        extensions: None,
    };
    state.open(description, Arc::default(), NOW)
}

pub(super) fn close(state: &mut State, key: Key) -> usize {
    state.close(key, Some(TcpEnd::Fin), NOW).0.len()
}

pub(super) fn text(text: &str) -> Message {
    Message::plain(Kind::Text, Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn record(state: &mut State, key: Key, message: Message) {
    state.record(key, NOW, Direction::In, message);
}

/// A whole page.
fn page(state: &State, filter: &ConnectionFilter, after: u64, limit: usize) -> Page {
    let mut page = Page::new(Order::OldestFirst, Some(after), limit);
    while state.fill(&mut page, filter) {}
    page
}

fn record_turn<'a>(state: &mut State, key: Key, messages: impl Iterator<Item = &'a (usize, bool)>) {
    let mut turn = Turn::default();
    for (size, is_echoed) in messages {
        turn.receive(Kind::Text, &vec![b'x'; *size], false);
        if *is_echoed {
            turn.echo();
        }
    }
    let kept = turn.kept(NOW);
    if !kept.is_empty() {
        state.record_turn(key, NOW, &turn, kept);
    }
}

#[test]
fn a_long_list_has_the_newest_first_if_it_is_asked_for_so() {
    let mut state = state(ApiConfig::default());
    for n in 0..2_500 {
        open(&mut state, &n.to_string(), &[]);
    }
    let filter = ConnectionFilter::default();
    let mut after = None;
    for (first, last, has_next) in [
        ("2499", "1300", true),
        ("1299", "100", true),
        ("99", "0", false),
    ] {
        let mut page = Page::new(Order::NewestFirst, after, 1_200);
        while state.fill(&mut page, &filter) {}
        let id = |found: Option<&Snapshot>| found.unwrap().description.id.to_string();
        assert_eq!(id(page.connections.first()), first);
        assert_eq!(id(page.connections.last()), last);
        assert_eq!((page.total, page.next.is_some()), (2_500, has_next));
        after = page.next;
    }
}

fn ids(state: &State, filter: &ConnectionFilter) -> Vec<String> {
    let found = page(state, filter, 0, usize::MAX).connections;
    found.iter().map(|c| c.description.id.to_string()).collect()
}

#[test]
fn connections_are_found_by_name_topic_path_and_state() {
    let mut state = state(ApiConfig::default());
    let one = open(&mut state, "one", &["a", "b"]);
    open(&mut state, "two", &["b"]);
    let filter = ConnectionFilter::default;
    assert_eq!(ids(&state, &filter()), ["one", "two"]);
    let topic = |topic: &str| ConnectionFilter {
        topic: Some(topic.to_owned()),
        ..filter()
    };
    assert_eq!(ids(&state, &topic("a")), ["one"]);
    assert_eq!(ids(&state, &topic("b")), ["one", "two"]);
    assert_eq!(ids(&state, &topic("c")), [""; 0]);
    let path = Some("/other".to_owned());
    assert_eq!(ids(&state, &ConnectionFilter { path, ..filter() }), [""; 0]);
    close(&mut state, one);
    let phase = |phase| ConnectionFilter {
        phase: Some(phase),
        ..filter()
    };
    assert_eq!(ids(&state, &phase(Phase::Closed)), ["one"]);
    assert_eq!(ids(&state, &phase(Phase::Open)), ["two"]);
    let id = Some("two".to_owned());
    assert_eq!(ids(&state, &ConnectionFilter { id, ..filter() }), ["two"]);
}

#[test]
fn connections_come_in_pages() {
    let mut state = state(ApiConfig::default());
    for n in 0..2_500 {
        let topic = ["even", "odd"][n % 2];
        open(&mut state, &n.to_string(), &[topic]);
    }
    let odd = ConnectionFilter {
        topic: Some("odd".to_owned()),
        ..ConnectionFilter::default()
    };
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let page = page(&state, &odd, after, 500);
        assert_eq!(page.total, 1_250);
        assert!(page.connections.len() <= 500);
        found.extend(
            page.connections
                .into_iter()
                .map(|c| c.description.id.to_string()),
        );
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    let all: Vec<_> = (0..1_250).map(|n| (2 * n + 1).to_string()).collect();
    assert_eq!(found, all);
    let whole = page(&state, &odd, 0, 1_250);
    assert_eq!((whole.connections.len(), whole.next), (1_250, None));
    let beyond = page(&state, &odd, u64::MAX, 1);
    assert_eq!((beyond.connections.len(), beyond.total), (0, 1_250));
}

#[test]
fn topics_come_in_pages_by_their_names() {
    let mut state = state(ApiConfig::default());
    open(&mut state, "one", &["c", "a", "b"]);
    let names = |topics: &Topics| {
        let names = topics.topics.iter().map(|topic| topic.name.to_string());
        names.collect::<Vec<_>>()
    };
    let first = state.topics("", 2);
    assert_eq!(
        (names(&first), first.total),
        (vec!["a".to_owned(), "b".to_owned()], 3)
    );
    assert_eq!(first.next.as_deref(), Some("b"));
    let last = state.topics("b", 2);
    assert_eq!((names(&last), last.next), (vec!["c".to_owned()], None));
}

#[test]
fn messages_come_in_pages() {
    let mut state = state(ApiConfig::default());
    let key = open(&mut state, "one", &[]);
    for word in ["wanted 1", "other", "wanted 2", "other"] {
        record(&mut state, key, text(word));
    }
    let page = |after| {
        let filter = MessageFilter {
            after,
            contains: Some("wanted".to_owned()),
            ..MessageFilter::default()
        };
        let batch = state.messages(key, &filter, 1).unwrap();
        let numbers: Vec<_> = batch.records.iter().map(|record| record.seq).collect();
        (numbers, batch.next)
    };
    assert_eq!(page(0), (vec![1], 1));
    assert_eq!(page(1), (vec![3], 4), "there are no more");
    assert_eq!(page(4), (vec![], 4));
}

#[test]
fn a_name_is_that_of_its_latest_connection() {
    let mut state = state(ApiConfig {
        keep_closed: 1,
        ..ApiConfig::default()
    });
    let first = open(&mut state, "name", &[]);
    let second = open(&mut state, "name", &[]);
    assert_eq!(state.find("name"), Found::Here(second));
    close(&mut state, first);
    let other = open(&mut state, "other", &[]);
    assert_eq!(close(&mut state, other), 1, "the first is forgotten");
    assert_eq!(state.find("name"), Found::Here(second));
    assert_eq!(close(&mut state, second), 1);
    assert_eq!(state.find("other"), Found::Forgotten);
    assert_eq!(state.find("name"), Found::Here(second));
    assert_eq!(state.find("never"), Found::Unknown);
    assert_eq!(close(&mut state, second), 0, "it is closed once");
}

#[test]
fn a_topic_is_there_while_anybody_is_subscribed_to_it() {
    let mut state = state(ApiConfig::default());
    let one = open(&mut state, "one", &["a"]);
    let two = open(&mut state, "two", &["a", "b"]);
    let push = Push::new(Opcode::Text, b"x");
    let topic = Receivers::Topic("a".to_owned());
    let both = Delivery {
        delivered: 2,
        skipped: 0,
    };
    assert_eq!(state.post(&topic, &push).0, both);
    let a = state.topic("a").unwrap();
    assert_eq!((a.subscribers, a.messages), (2, 1));
    let end = SessionEnd {
        by: None,
        why: "closed",
        reason: String::new(),
        code: 1000,
        is_clean: true,
        at: NOW,
    };
    state.end_session(one, end);
    assert_eq!(state.post(&topic, &push).0.delivered, 1);
    close(&mut state, two);
    assert_eq!(state.topics("", 1).total, 0);
    assert_eq!(state.post(&topic, &push).0, Delivery::default());
}

#[test]
fn a_push_is_skipped_and_counted_where_there_is_no_room() {
    let mut state = state(ApiConfig::default());
    let slow = open(&mut state, "slow", &[]);
    let push = Push::new(Opcode::Text, b"x");
    for _ in 0..1_000 {
        assert_eq!(state.post(&Receivers::All, &push).0.delivered, 1);
    }
    open(&mut state, "quick", &[]);
    let delivery = Delivery {
        delivered: 1,
        skipped: 1,
    };
    assert_eq!(state.post(&Receivers::All, &push).0, delivery);
    assert_eq!(state.snapshot(slow).unwrap().status.skipped, 1);
    assert_eq!(
        state
            .post(&Receivers::Id("slow".to_owned()), &push)
            .0
            .skipped,
        1
    );
}

#[test]
fn pushes_and_what_is_dropped_are_counted() {
    let mut state = state(ApiConfig {
        keep_messages: 1,
        keep_closed: 0,
        ..ApiConfig::default()
    });
    let key = open(&mut state, "one", &[]);
    let push = Push::new(Opcode::Text, b"x");
    let overflow = |state: &mut State| {
        while state.post(&Receivers::All, &push).0.skipped == 0 {}
        let _ = state.post(&Receivers::All, &push);
    };
    overflow(&mut state);
    assert_eq!(state.metrics.mailboxes_full.get(), 1);
    let link = state.link(key).unwrap();
    let taken = link.mailbox.take(Waker::noop(), false);
    assert!(taken.is_some());
    overflow(&mut state);
    assert_eq!(state.metrics.mailboxes_full.get(), 2);
    record(&mut state, key, text("a"));
    record(&mut state, key, text("b"));
    assert_eq!(state.metrics.dropped.get(), 1);
    assert_eq!(close(&mut state, key), 1);
    assert_eq!(state.metrics.dropped.get(), 2);
}

#[test]
fn messages_are_found_by_direction_kind_and_text() {
    let mut state = state(ApiConfig::default());
    let key = open(&mut state, "one", &[]);
    record(&mut state, key, text("hello"));
    state.record(key, NOW, Direction::Out, text("hello, too"));
    record(
        &mut state,
        key,
        Message::plain(Kind::Binary, "hello".into()),
    );
    let close = CloseContent {
        code: Some(4001),
        reason: "bye".to_owned(),
    };
    record(&mut state, key, Message::close(&close));
    let found = |filter: MessageFilter| {
        let batch = state.messages(key, &filter, usize::MAX).unwrap();
        assert_eq!((batch.next, batch.dropped), (4, 0));
        batch.records.iter().map(|r| r.seq).collect::<Vec<_>>()
    };
    let filter = MessageFilter::default;
    let contains = |part: &str| MessageFilter {
        contains: Some(part.to_owned()),
        ..filter()
    };
    assert_eq!(found(filter()), [1, 2, 3, 4]);
    assert_eq!(
        found(MessageFilter {
            after: 2,
            ..filter()
        }),
        [3, 4]
    );
    assert_eq!(found(contains("hello")), [1, 2]);
    assert_eq!(found(contains("bye")), [4]);
    let direction = Some(Direction::Out);
    assert_eq!(
        found(MessageFilter {
            direction,
            ..filter()
        }),
        [2]
    );
    let kind = Some(Kind::Close);
    assert_eq!(found(MessageFilter { kind, ..filter() }), [4]);
    let status = state.snapshot(key).unwrap().status;
    let received = status.received;
    assert_eq!((received.messages, received.bytes), (2, 10));
    assert_eq!((received.frames, received.control_frames), (3, 1));
    assert_eq!(status.closes.received, Some(close));
    assert_eq!(status.closes.first, Some(Direction::In));
}

#[test]
fn a_message_that_is_too_large_is_recorded_without_its_content() {
    let mut state = state(ApiConfig {
        keep_bytes: 4,
        ..ApiConfig::default()
    });
    let key = open(&mut state, "one", &[]);
    for word in ["four", "five!"] {
        record(&mut state, key, text(word));
    }
    let records = state
        .messages(key, &MessageFilter::default(), usize::MAX)
        .unwrap()
        .records;
    let contents = records
        .iter()
        .map(|r| (r.message.bytes, r.message.content.is_some()));
    assert_eq!(contents.collect::<Vec<_>>(), [(4, true), (5, false)]);
}

#[test]
fn the_oldest_messages_of_all_make_room_for_new_ones() {
    let room = 3 * text("four").bytes.max(Record::memory(&Record {
        seq: 1,
        at: NOW,
        direction: Direction::In,
        message: text("four"),
    }));
    let mut state = state(ApiConfig {
        memory: room,
        ..ApiConfig::default()
    });
    let idle = open(&mut state, "idle", &[]);
    let busy = open(&mut state, "busy", &[]);
    record(&mut state, idle, text("four"));
    for _ in 0..3 {
        record(&mut state, busy, text("four"));
    }
    let kept = |key| {
        let snapshot = state.snapshot(key).unwrap();
        (snapshot.kept, snapshot.dropped)
    };
    assert_eq!((kept(idle), kept(busy)), ((0, 1), (3, 0)));
}

/// A step of a client, or of the server: with the number of a connection.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Record(usize, usize),
    /// The messages of a turn, with their sizes, and whether they are echoed.
    Turn(usize, Vec<(usize, bool)>),
    Close(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Open),
        20 => (any::<usize>(), 0..40_usize).prop_map(|(n, size)| Step::Record(n, size)),
        10 => (any::<usize>(), vec((0..40_usize, any::<bool>()), 1..6))
            .prop_map(|(n, messages)| Step::Turn(n, messages)),
        1 => any::<usize>().prop_map(Step::Close),
    ];
    vec(step, 0..400)
}

/// Checks that nothing is beyond its bounds, and that the sums are right.
fn check(state: &State, config: &ApiConfig) -> Result<(), TestCaseError> {
    let (mut records, mut memory) = (0, 0);
    for connection in state.connections.values() {
        let history = &connection.history;
        let all: Vec<_> = history.after(0).collect();
        let content: usize = all.iter().map(|record| record.content()).sum();
        prop_assert!(all.len() <= config.keep_messages && content <= config.keep_bytes);
        let first = history.last() + 1 - all.len() as u64;
        let in_order = all
            .iter()
            .zip(first..)
            .all(|(record, seq)| record.seq == seq);
        prop_assert!(in_order, "the last ones are kept");
        prop_assert_eq!(history.dropped_after(0), first - 1);
        prop_assert_eq!(history.dropped_after(first), 0);
        records += all.len();
        memory += history.memory();
    }
    prop_assert_eq!((state.records, state.memory), (records, memory));
    prop_assert!(memory <= config.memory);
    let kept = records + 2 * state.connections.len();
    prop_assert!(state.log.len() <= 2 * kept + MAX_STALE);
    prop_assert!(state.closed.len() <= config.keep_closed);
    prop_assert!(state.names.len() <= state.connections.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn everything_stays_within_its_bounds(
        steps in steps(),
        keep_closed in 0..3_usize,
        keep_messages in 0..6_usize,
        keep_bytes in 0..100_usize,
        memory in 0..2_000_usize,
    ) {
        let config = ApiConfig {
            keep_closed,
            keep_messages,
            keep_bytes,
            memory,
            ..ApiConfig::default()
        };
        let mut state = state(config.clone());
        let mut keys = Vec::new();
        let watches = [None, Some(Phase::Open), Some(Phase::Closed)].map(|phase| {
            let topic = Some("a".to_owned());
            let filter = ConnectionFilter { phase, topic, ..ConnectionFilter::default() };
            (state.watch(filter.clone(), usize::MAX).0, filter)
        });
        for step in steps {
            let key = |n: usize| (!keys.is_empty()).then(|| keys[n % keys.len()]);
            match step {
                Step::Open => {
                    let id = (keys.len() % 3).to_string();
                    keys.push(open(&mut state, &id, &["a"]));
                }
                Step::Record(n, size) => {
                    if let Some(key) = key(n) {
                        record(&mut state, key, text(&"x".repeat(size)));
                    }
                }
                Step::Turn(n, messages) => {
                    if let Some(key) = key(n) {
                        let small = messages.iter().filter(|(size, _)| *size <= keep_bytes);
                        record_turn(&mut state, key, small);
                    }
                }
                Step::Close(n) => {
                    if let Some(key) = key(n) {
                        close(&mut state, key);
                    }
                }
            }
            check(&state, &config)?;
            for (watch, filter) in &watches {
                while state.count_more(*watch) {}
                prop_assert_eq!(state.watched(*watch), ids(&state, filter).len());
            }
        }
    }
}

#[test]
fn the_messages_of_a_turn_are_counted_and_found_like_others() {
    let mut state = state(ApiConfig::default());
    let key = open(&mut state, "one", &[]);
    record(&mut state, key, text("before"));
    record_turn(&mut state, key, [(3, true), (5, false)].iter());
    let batch = state
        .messages(key, &MessageFilter::default(), 1000)
        .unwrap();
    let seen = batch
        .records
        .iter()
        .map(|r| (r.seq, r.direction, r.message.bytes));
    let (first, last) = (Direction::In, Direction::Out);
    let expected = [(1, first, 6), (2, first, 3), (3, last, 3), (4, first, 5)];
    assert_eq!(seen.collect::<Vec<_>>(), expected);
    assert_eq!((batch.next, batch.dropped), (4, 0));
    let status = state.snapshot(key).unwrap().status;
    let (received, sent) = (status.received, status.sent);
    assert_eq!(
        (received.messages, received.frames, received.bytes),
        (3, 3, 14)
    );
    assert_eq!((sent.messages, sent.frames, sent.bytes), (1, 1, 3));
}

#[test]
fn the_log_of_events_does_not_grow_with_those_that_are_gone() {
    let mut state = state(ApiConfig {
        keep_messages: 2,
        ..ApiConfig::default()
    });
    let key = open(&mut state, "one", &[]);
    for _ in 0..10 * MAX_STALE {
        record(&mut state, key, text(""));
    }
    assert!(state.log.len() <= 2 * (2 + 2) + MAX_STALE);
    assert_eq!(state.records, 2);
}
