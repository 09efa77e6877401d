use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::{close, open, record, state, text};
use super::super::{Key, MAX_STALE};
use super::*;
use crate::config::ApiConfig;
use crate::registry::connection::Phase;
use crate::registry::filter::ConnectionFilter;
use crate::registry::record::{Kind, Message};

/// All that is read after a number, each event with its number and in a word.
fn read(state: &mut State, mut after: u64, filter: &ConnectionFilter) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    loop {
        let batch = state.read_events(after, &filter.clone().into());
        after = batch.last;
        all.extend(batch.events.iter().map(word));
        if !batch.has_more {
            return all;
        }
    }
}

fn word(event: &Event) -> (u64, String) {
    let word = match &event.content {
        EventContent::Opened(snapshot) => format!("opened {}", snapshot.description.id),
        EventContent::Closed(snapshot) => format!("closed {}", snapshot.description.id),
        EventContent::Dropped(dropped) => format!("dropped {dropped}"),
        EventContent::Message(_, record) => {
            let content = record.message.content.as_deref().unwrap_or_default();
            String::from_utf8_lossy(content).into_owned()
        }
    };
    (event.number, word)
}

fn all() -> ConnectionFilter {
    ConnectionFilter::default()
}

fn events<const N: usize>(events: [(u64, &str); N]) -> Vec<(u64, String)> {
    events
        .map(|(number, word)| (number, word.to_owned()))
        .into()
}

fn large() -> Message {
    Message::plain(Kind::Binary, Bytes::from(vec![0; 30 << 10]))
}

#[test]
fn events_are_read_in_their_order_from_any_number() {
    let mut state = state(ApiConfig::default());
    let one = open(&mut state, "one", &[]);
    record(&mut state, one, text("hello"));
    open(&mut state, "two", &[]);
    close(&mut state, one);
    let expected = events([
        (1, "opened one"),
        (2, "hello"),
        (3, "opened two"),
        (4, "closed one"),
    ]);
    for after in 0..=4 {
        let read = read(&mut state, after as u64, &all());
        assert_eq!(read, expected[after..]);
    }
    assert_eq!(state.events_from(None), 4);
    assert_eq!(state.events_from(Some(2)), 2);
    assert_eq!(state.events_from(Some(5)), 0, "of a server before this one");
}

#[test]
fn a_connection_is_shown_as_it_was_when_it_opened() {
    let mut state = state(ApiConfig::default());
    let key = open(&mut state, "one", &[]);
    record(&mut state, key, text("hello"));
    close(&mut state, key);
    let batch = state.read_events(0, &all().into());
    let [opened, _, closed] = &batch.events[..] else {
        panic!("{batch:?}");
    };
    let (EventContent::Opened(opened), EventContent::Closed(closed)) =
        (&opened.content, &closed.content)
    else {
        panic!("{batch:?}");
    };
    assert_eq!((opened.status.phase, opened.kept), (Phase::Open, 0));
    assert_eq!((closed.status.phase, closed.kept), (Phase::Closed, 1));
    assert_eq!(opened.status.received.messages, 0);
}

#[test]
fn events_that_are_gone_are_counted_in_their_place() {
    let mut state = state(ApiConfig {
        keep_messages: 2,
        keep_closed: 0,
        ..ApiConfig::default()
    });
    let one = open(&mut state, "one", &[]);
    for word in ["a", "b", "c", "d", "e"] {
        record(&mut state, one, text(word));
    }
    let kept = [(1, "opened one"), (4, "dropped 3"), (5, "d"), (6, "e")];
    assert_eq!(read(&mut state, 0, &all()), events(kept));
    let after_b = events([(4, "dropped 1"), (5, "d"), (6, "e")]);
    assert_eq!(read(&mut state, 3, &all()), after_b);
    close(&mut state, one);
    let forgotten = events([(7, "dropped 7")]);
    assert_eq!(read(&mut state, 0, &all()), forgotten);
}

#[test]
fn events_of_connections_that_do_not_match_are_neither_read_nor_counted() {
    let mut state = state(ApiConfig {
        keep_messages: 1,
        ..ApiConfig::default()
    });
    let one = open(&mut state, "one", &["a"]);
    let two = open(&mut state, "two", &["a", "b"]);
    for key in [one, two, one, two] {
        record(&mut state, key, text("x"));
    }
    let id = ConnectionFilter {
        id: Some("two".to_owned()),
        ..all()
    };
    let topic = ConnectionFilter {
        topic: Some("b".to_owned()),
        ..all()
    };
    let of_two = events([(2, "opened two"), (5, "dropped 1"), (6, "x")]);
    assert_eq!(read(&mut state, 0, &id), of_two);
    assert_eq!(read(&mut state, 0, &topic), of_two);
    let both = ConnectionFilter {
        id: Some("one".to_owned()),
        ..topic
    };
    assert_eq!(read(&mut state, 0, &both), []);
}

#[test]
fn messages_can_be_left_out() {
    let mut state = state(ApiConfig {
        keep_messages: 1,
        ..ApiConfig::default()
    });
    let one = open(&mut state, "one", &[]);
    record(&mut state, one, text("dropped"));
    record(&mut state, one, text("kept"));
    close(&mut state, one);
    let filter = EventFilter {
        connections: all(),
        without_messages: true,
    };
    let batch = state.read_events(0, &filter);
    let words: Vec<_> = batch.events.iter().map(word).collect();
    assert_eq!(words, events([(1, "opened one"), (4, "closed one")]));
    assert!(!batch.has_more);
}

#[test]
fn a_look_at_the_log_is_bounded_by_events_bytes_and_entries() {
    let mut state = state(ApiConfig::default());
    let key = open(&mut state, "one", &[]);
    for _ in 0..MAX_LOOKS - 1 {
        record(&mut state, key, text("x"));
    }
    let batch = state.read_events(0, &all().into());
    assert_eq!((batch.events.len(), batch.last), (MAX_EVENTS, 100));
    assert!(batch.has_more);
    for _ in 0..4 {
        record(&mut state, key, large());
    }
    let batch = state.read_events(MAX_LOOKS as u64, &all().into());
    assert_eq!((batch.events.len(), batch.has_more), (3, true));
    let nobody = ConnectionFilter {
        id: Some("nobody".to_owned()),
        ..all()
    };
    let batch = state.read_events(0, &nobody.clone().into());
    assert_eq!((batch.events.len(), batch.last), (0, MAX_LOOKS as u64));
    assert!(batch.has_more && !state.take_waiting());
    let batch = state.read_events(batch.last, &nobody.into());
    assert!(!batch.has_more && state.take_waiting());
}

/// A step of a server, of a client, or of the reader.
#[derive(Debug, Clone)]
enum Step {
    Open,
    Record(usize),
    Close(usize),
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Open),
        20 => any::<usize>().prop_map(Step::Record),
        1 => any::<usize>().prop_map(Step::Close),
        2 => Just(Step::Read),
    ];
    vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_event_is_read_once_or_counted_as_dropped(
        steps in steps(),
        keep_closed in 0..3_usize,
        keep_messages in 0..6_usize,
        memory in 0..2_000_usize,
        repeat in prop_oneof![9 => Just(1_usize), 1 => Just(2 * MAX_STALE)],
    ) {
        let mut state = state(ApiConfig {
            keep_closed,
            keep_messages,
            memory,
            ..ApiConfig::default()
        });
        let mut keys: Vec<Key> = Vec::new();
        let (mut last, mut passed) = (0, 0);
        for step in steps.into_iter().chain([Step::Read]) {
            let key = |n: usize| (!keys.is_empty()).then(|| keys[n % keys.len()]);
            match step {
                Step::Open => keys.push(open(&mut state, "name", &[])),
                Step::Record(n) => {
                    for _ in 0..if n % 64 == 0 { repeat } else { 1 } {
                        if let Some(key) = key(n) {
                            record(&mut state, key, text("x"));
                        }
                    }
                }
                Step::Close(n) => {
                    if let Some(key) = key(n) {
                        close(&mut state, key);
                    }
                }
                Step::Read => {
                    loop {
                        let batch = state.read_events(passed, &all().into());
                        let mut sum = passed;
                        for event in &batch.events {
                            prop_assert!(event.number > last, "the numbers grow");
                            last = event.number;
                            sum += match event.content {
                                EventContent::Dropped(dropped) => dropped,
                                _ => 1,
                            };
                            prop_assert_eq!(sum, event.number);
                        }
                        passed = batch.last;
                        prop_assert_eq!(sum, passed);
                        if !batch.has_more {
                            break;
                        }
                    }
                    prop_assert_eq!(passed, state.log.last());
                }
            }
        }
    }
}
