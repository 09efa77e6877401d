use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ws::frames::{self, Opcode};

/// Waker that counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn text(payload: &str) -> Push {
    Push::new(Opcode::Text, payload.as_bytes())
}

fn post(mailbox: &Mailbox, push: &Push) -> Posted {
    let (posted, waker) = mailbox.post(push);
    waker.into_iter().for_each(Waker::wake);
    posted
}

fn take(mailbox: &Mailbox) -> Option<Mail> {
    mailbox.take(Waker::noop(), false)
}

#[test]
fn steps_come_first_and_the_last_ones_alone() {
    let mailbox = Mailbox::default();
    let steps = |text: &str| Arc::new(text.parse::<Scenario>().unwrap());
    assert_eq!(post(&mailbox, &text("one")), Posted::Taken);
    for text in ["rst@1s", "delay:1s"] {
        assert_eq!(mailbox.change(steps(text)).0, Posted::Taken);
    }
    let busy = mailbox.take(Waker::noop(), true);
    assert_eq!(busy, Some(Mail::Steps(steps("delay:1s"))));
    assert_eq!(take(&mailbox), Some(Mail::Push(text("one"))));
    assert_eq!(take(&mailbox), None);
    assert!(mailbox.is_empty());
    mailbox.close();
    assert_eq!(mailbox.change(steps("")).0, Posted::Gone);
}

#[test]
fn a_push_has_its_frame_and_its_payload() {
    for length in [0, 125, 126, 65_535, 65_536] {
        let push = Push::new(Opcode::Binary, &vec![7; length]);
        assert_eq!(push.payload(), vec![7; length]);
        assert_eq!(push.len(), length);
        let size = frames::header_size(length);
        assert_eq!((push.frame()[0], push.frame().len()), (0x82, size + length));
    }
}

#[test]
fn mail_comes_in_the_order_in_which_it_was_posted_and_the_close_last() {
    let mailbox = Mailbox::default();
    assert!(mailbox.is_empty());
    for word in ["one", "two"] {
        assert_eq!(post(&mailbox, &text(word)), Posted::Taken);
    }
    let close = Ending::Close(CloseContent::default());
    assert_eq!(mailbox.end(close.clone()).0, Posted::Taken);
    assert_eq!(post(&mailbox, &text("late")), Posted::Gone);
    assert_eq!(mailbox.end(close.clone()).0, Posted::Gone);
    assert!(!mailbox.is_empty());
    for word in ["one", "two"] {
        assert_eq!(take(&mailbox), Some(Mail::Push(text(word))));
    }
    assert_eq!(take(&mailbox), Some(Mail::End(close)));
    assert_eq!(take(&mailbox), None);
    assert!(mailbox.is_empty());
}

#[test]
fn a_cut_does_not_wait_for_what_was_posted_before() {
    let mailbox = Mailbox::default();
    post(&mailbox, &text("never sent"));
    assert_eq!(
        mailbox.end(Ending::Close(CloseContent::default())).0,
        Posted::Taken
    );
    let cut = Ending::Cut(Teardown::Reset);
    assert_eq!(
        mailbox.end(cut.clone()).0,
        Posted::Taken,
        "the peer may not read the Close"
    );
    assert_eq!(take(&mailbox), Some(Mail::End(cut.clone())));
    assert_eq!(mailbox.end(cut).0, Posted::Gone);
}

#[test]
fn a_cut_is_waited_for() {
    let mailbox = Mailbox::default();
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut cx = Context::from_waker(&waker);
    assert!(mailbox.poll_cut(&mut cx).is_pending());
    let (_, woken) = mailbox.end(Ending::Cut(Teardown::Linger));
    woken.expect("a waker").wake();
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert_eq!(mailbox.poll_cut(&mut cx), Poll::Ready(Teardown::Linger));
    assert!(mailbox.poll_cut(&mut cx).is_pending());
}

#[test]
fn the_session_is_woken_by_the_first_push_alone() {
    let mailbox = Mailbox::default();
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    assert_eq!(mailbox.take(&waker, false), None);
    for _ in 0..3 {
        post(&mailbox, &text("x"));
    }
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    while mailbox.take(&waker, false).is_some() {}
    post(&mailbox, &text("x"));
    assert_eq!(counter.0.load(Ordering::Relaxed), 2);
}

#[test]
fn the_session_that_takes_the_last_push_waits_for_the_next() {
    let mailbox = Mailbox::default();
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    for posts in 1..=3 {
        post(&mailbox, &text("x"));
        assert!(!mailbox.is_empty());
        let push = Some(Mail::Push(text("x")));
        assert_eq!(mailbox.take(&waker, false), push);
        assert!(mailbox.is_empty());
        post(&mailbox, &text("y"));
        assert_eq!(counter.0.load(Ordering::Relaxed), 2 * posts - 1);
        assert!(mailbox.take(&waker, false).is_some());
    }
}

#[test]
fn a_closed_mailbox_holds_nothing_and_keeps_no_task() {
    let mailbox = Mailbox::default();
    let counter = Arc::new(Counter::default());
    assert_eq!(
        mailbox.take(&Waker::from(Arc::clone(&counter)), false),
        None
    );
    post(&mailbox, &text("x"));
    mailbox.close();
    assert_eq!(Arc::strong_count(&counter), 1);
    assert_eq!(post(&mailbox, &text("x")), Posted::Gone);
    assert_eq!(take(&mailbox), None);
}

#[test]
fn a_large_message_is_taken_if_it_is_the_only_one() {
    let mailbox = Mailbox::default();
    let large = Push::new(Opcode::Binary, &vec![0; 2 * MAX_BYTES]);
    assert_eq!(post(&mailbox, &large), Posted::Taken);
    assert_eq!(
        post(&mailbox, &text("x")),
        Posted::Skipped { is_first: true }
    );
    assert_eq!(take(&mailbox), Some(Mail::Push(large)));
    assert_eq!(post(&mailbox, &text("x")), Posted::Taken);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Posts of some size, and takes (`None`), against a model.
    #[test]
    fn a_mailbox_is_a_bounded_queue(
        steps in vec(prop_oneof![3 => (0..8_usize).prop_map(Some), 1 => Just(None)], 0..2_000),
        unit in prop_oneof![Just(0), Just(1_000), Just(100_000)],
    ) {
        let mailbox = Mailbox::default();
        let (mut model, mut has_skipped) = (VecDeque::new(), false);
        for step in steps {
            let held: usize = model.iter().sum();
            prop_assert!(model.len() <= MAX_MESSAGES);
            prop_assert!(held <= MAX_BYTES || model.len() == 1);
            match step {
                Some(units) => {
                    let size = units * unit;
                    let fits = model.len() < MAX_MESSAGES && held + size <= MAX_BYTES;
                    let is_first = !has_skipped;
                    has_skipped = !fits && !model.is_empty();
                    let posted = post(&mailbox, &Push::new(Opcode::Binary, &vec![0; size]));
                    if fits || model.is_empty() {
                        prop_assert_eq!(posted, Posted::Taken);
                        model.push_back(size);
                    } else {
                        prop_assert_eq!(posted, Posted::Skipped { is_first });
                    }
                }
                None => {
                    let taken = take(&mailbox).map(|mail| match mail {
                        Mail::Push(push) => push.len(),
                        Mail::Steps(_) | Mail::End(_) => usize::MAX,
                    });
                    prop_assert_eq!(taken, model.pop_front());
                }
            }
        }
    }
}
