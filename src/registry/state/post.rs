//! Pushes into the mailboxes of their receivers.

use std::task::Waker;

use super::{Key, State};
use crate::registry::connection::Link;
use crate::registry::mailbox::Posted;
use crate::registry::push::Push;

/// Receivers of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receivers {
    All,
    Topic(String),
    /// The latest connection of this name.
    Id(String),
}

/// Outcome of a push.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Sessions that will send it.
    pub(crate) delivered: usize,
    /// Sessions that had no room for it.
    pub(crate) skipped: usize,
}

impl State {
    /// Puts a push into the mailboxes of its receivers. The wakers that are returned must be woken
    /// once the lock is released.
    pub(in crate::registry) fn post(
        &mut self,
        receivers: &Receivers,
        push: &Push,
    ) -> (Delivery, Vec<Waker>) {
        let (mut delivery, mut wakers) = (Delivery::default(), Vec::new());
        let mut skipped = Vec::new();
        let mut post = |key: Key, link: &Link| {
            let (posted, waker) = link.mailbox.post(push);
            match posted {
                Posted::Taken => delivery.delivered += 1,
                Posted::Skipped { is_first } => skipped.push((key, is_first)),
                Posted::Gone => {}
            }
            wakers.extend(waker);
        };
        match receivers {
            Receivers::All => {
                let connections = self.connections.iter();
                connections.for_each(|(key, connection)| post(*key, &connection.link));
            }
            Receivers::Id(id) => {
                let key = self.names.get(id.as_str());
                let connection = key.and_then(|key| self.connections.get_key_value(key));
                let connection = connection.into_iter();
                connection.for_each(|(key, connection)| post(*key, &connection.link));
            }
            Receivers::Topic(name) => {
                if let Some(topic) = self.topics.get_mut(name.as_str()) {
                    topic.messages += 1;
                    let subscribers = topic.subscribers.iter();
                    subscribers.for_each(|(key, link)| post(*key, link));
                }
            }
        }
        delivery.skipped = skipped.len();
        self.metrics
            .count_push(delivery.delivered, delivery.skipped);
        for (key, is_first) in skipped {
            self.count_skipped(key, is_first);
        }
        (delivery, wakers)
    }

    fn count_skipped(&mut self, key: Key, is_first: bool) {
        if is_first {
            self.metrics.mailboxes_full.inc();
        }
        if let Some(connection) = self.connections.get_mut(&key) {
            connection.status.skipped += 1;
        }
    }
}
