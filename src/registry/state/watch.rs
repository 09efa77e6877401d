//! Numbers of connections that somebody waits for. Each change of a connection changes them, so
//! that nobody who waits has to look through all connections again.

use std::sync::Arc;

use slab::Slab;
use tokio::sync::Notify;

use super::list::look;
use super::{Key, State};
use crate::registry::connection::{Description, Phase};
use crate::registry::filter::ConnectionFilter;

/// Number of a [`Watch`].
pub(in crate::registry) type WatchKey = usize;

/// A number of connections that somebody waits for.
#[derive(Debug)]
struct Watch {
    filter: ConnectionFilter,
    wanted: usize,
    /// Number of those that match, up to `counted`.
    count: usize,
    /// Last connection that is counted: later ones will be.
    counted: Key,
    /// Notified once, when there are enough.
    met: Arc<Notify>,
}

/// All numbers that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Watches {
    watches: Slab<Watch>,
    /// Waits that have been met, and are to be notified once the lock is released.
    met: Vec<Arc<Notify>>,
}

/// A change of a connection: the phase that it was in, and the one that it is in now. `None`: it is
/// not kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) before: Option<Phase>,
    pub(super) after: Option<Phase>,
}

impl Watches {
    /// Counts a change of a connection.
    pub(super) fn note(&mut self, key: Key, description: &Description, change: Change) {
        for (_, watch) in &mut self.watches {
            if key <= watch.counted && watch.filter.describes(description) {
                let counts = |phase: Option<Phase>| phase.is_some_and(|it| watch.filter.is_in(it));
                let (before, after) = (counts(change.before), counts(change.after));
                watch.count = watch.count + usize::from(after) - usize::from(before);
                self.met.extend(watch.take_met());
            }
        }
    }
}

impl Watch {
    /// The one to be notified, the first time that there are enough.
    fn take_met(&mut self) -> Option<Arc<Notify>> {
        if self.count < self.wanted {
            return None;
        }
        self.wanted = usize::MAX;
        Some(Arc::clone(&self.met))
    }
}

impl State {
    /// Begins to watch for so many connections that match. None is counted yet.
    pub(in crate::registry) fn watch(
        &mut self,
        filter: ConnectionFilter,
        wanted: usize,
    ) -> (WatchKey, Arc<Notify>) {
        let met = Arc::new(Notify::new());
        let mut watch = Watch {
            filter,
            wanted,
            count: 0,
            counted: Key::default(),
            met: Arc::clone(&met),
        };
        self.watches.met.extend(watch.take_met());
        (self.watches.watches.insert(watch), met)
    }

    /// Counts some more connections for a watch, and tells whether there are more to be counted.
    pub(in crate::registry) fn count_more(&mut self, key: WatchKey) -> bool {
        let Some(watch) = self.watches.watches.get_mut(key) else {
            return false;
        };
        let rest = look(&self.connections, watch.counted, |_, connection| {
            let phase = connection.status.phase;
            watch.count += usize::from(watch.filter.matches(&connection.description, phase));
        });
        watch.counted = rest.unwrap_or(Key(u64::MAX));
        self.watches.met.extend(watch.take_met());
        rest.is_some()
    }

    /// Number of the connections that a watch has counted.
    #[cfg(test)]
    pub(super) fn watched(&self, key: WatchKey) -> usize {
        self.watches.watches[key].count
    }

    /// Number of the watches.
    #[cfg(test)]
    pub(in crate::registry) fn watches(&self) -> usize {
        self.watches.watches.len()
    }

    pub(in crate::registry) fn unwatch(&mut self, key: WatchKey) {
        self.watches.watches.try_remove(key);
    }

    /// Those whose wait has been met: they must be notified once the lock is released.
    pub(in crate::registry) fn take_met(&mut self) -> Vec<Arc<Notify>> {
        std::mem::take(&mut self.watches.met)
    }
}
