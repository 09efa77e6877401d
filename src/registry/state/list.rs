//! Lists of connections, a part at a time, so that nobody has to wait for a long one.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::{Key, State};
use crate::registry::connection::{Connection, Snapshot};
use crate::registry::filter::ConnectionFilter;

/// Connections that are looked at while the state is locked once.
const PART: usize = 1000;

/// A page of the list of the connections that match, in the order in which they were opened.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) connections: Vec<Snapshot>,
    /// Number after which the next page begins, if there is one.
    pub(crate) next: Option<u64>,
    /// Number of all that match, on this page and on others.
    pub(crate) total: usize,
    after: Key,
    limit: usize,
    /// The last connection on the page.
    last: Key,
    /// The last connection that was looked at.
    seen: Key,
}

impl Page {
    /// A page after the connection with this number, without any connections yet.
    pub(in crate::registry) fn new(after: u64, limit: usize) -> Self {
        Self {
            connections: Vec::new(),
            next: None,
            total: 0,
            after: Key(after),
            limit,
            last: Key(after),
            seen: Key::default(),
        }
    }

    fn add(&mut self, key: Key, connection: &Connection) {
        self.total += 1;
        if key <= self.after {
            return;
        }
        if self.connections.len() < self.limit {
            self.connections.push(connection.snapshot());
            self.last = key;
        } else {
            self.next = Some(self.last.0);
        }
    }
}

impl State {
    /// Adds those of some more connections that match to a page, and tells whether there are more
    /// to look at.
    pub(in crate::registry) fn fill(&self, page: &mut Page, filter: &ConnectionFilter) -> bool {
        let rest = look(&self.connections, page.seen, |key, connection| {
            if filter.matches(&connection.description, connection.status.phase) {
                page.add(key, connection);
            }
        });
        page.seen = rest.unwrap_or(page.seen);
        rest.is_some()
    }
}

/// Looks at some of the connections after this one. Returns the last of them, if there are more.
pub(super) fn look(
    connections: &BTreeMap<Key, Box<Connection>>,
    after: Key,
    mut visit: impl FnMut(Key, &Connection),
) -> Option<Key> {
    let mut rest = connections.range((Excluded(after), Unbounded));
    let mut last = after;
    for (key, connection) in rest.by_ref().take(PART) {
        visit(*key, connection);
        last = *key;
    }
    rest.next().map(|_| last)
}
