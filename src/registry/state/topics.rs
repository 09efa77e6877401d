//! Topics, and who is subscribed to them.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::{Key, State};
use crate::registry::connection::{Description, Link};

/// A topic, for as long as anybody is subscribed to it.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// With their links, so that a push need not search for them.
    pub(super) subscribers: BTreeMap<Key, Arc<Link>>,
    pub(super) messages: u64,
}

/// A topic as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) subscribers: usize,
    /// Messages that were posted to it since it has had subscribers.
    pub(crate) messages: u64,
}

/// A page of the list of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topics {
    pub(crate) topics: Vec<TopicSnapshot>,
    /// Name after which the next page begins, if there is one.
    pub(crate) next: Option<Arc<str>>,
    /// Number of all topics.
    pub(crate) total: usize,
}

impl State {
    /// Takes a connection out of all its topics. A topic goes with its last subscriber.
    pub(super) fn unsubscribe(&mut self, key: Key, description: &Description) {
        for name in &description.topics {
            let Some(topic) = self.topics.get_mut(name) else {
                continue;
            };
            topic.subscribers.remove(&key);
            if topic.subscribers.is_empty() {
                self.topics.remove(name);
            }
        }
    }

    /// Some of the topics, by their names: those after this one, up to a number.
    pub(in crate::registry) fn topics(&self, after: &str, limit: usize) -> Topics {
        let range = (Excluded(after), Unbounded);
        let mut rest = self.topics.range::<str, _>(range);
        let topics: Vec<_> = rest.by_ref().take(limit).map(TopicSnapshot::new).collect();
        let last = topics.last().map(|topic| Arc::clone(&topic.name));
        Topics {
            next: last.filter(|_| rest.next().is_some()),
            total: self.topics.len(),
            topics,
        }
    }

    pub(in crate::registry) fn topic(&self, name: &str) -> Option<TopicSnapshot> {
        let entry = self.topics.get_key_value(name);
        entry.map(TopicSnapshot::new)
    }
}

impl TopicSnapshot {
    fn new((name, topic): (&Arc<str>, &Topic)) -> Self {
        Self {
            name: Arc::clone(name),
            subscribers: topic.subscribers.len(),
            messages: topic.messages,
        }
    }
}
