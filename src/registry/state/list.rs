//! Lists of connections, a part at a time, so that nobody has to wait for a long one.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::{Key, State};
use crate::registry::connection::{Connection, Snapshot};
use crate::registry::filter::ConnectionFilter;

/// Connections that are looked at while the state is locked once.
const PART: usize = 1000;

/// Order of a list, by the times at which its connections were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    OldestFirst,
    NewestFirst,
}

/// A page of the list of the connections that match.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) connections: Vec<Snapshot>,
    /// Number after which the next page begins, if there is one.
    pub(crate) next: Option<u64>,
    /// Number of all that match, on this page and on others.
    pub(crate) total: usize,
    order: Order,
    after: Key,
    limit: usize,
    /// The last connection on the page.
    last: Key,
    /// The last connection that was looked at.
    seen: Key,
}

impl Page {
    /// A page without any connections yet. It begins behind the connection with this number, which
    /// is the `next` of the page before, or else with the first.
    pub(crate) fn new(order: Order, after: Option<u64>, limit: usize) -> Self {
        let before_all = match order {
            Order::OldestFirst => Key::default(),
            Order::NewestFirst => Key(u64::MAX),
        };
        let after = after.map_or(before_all, Key);
        Self {
            connections: Vec::new(),
            next: None,
            total: 0,
            order,
            after,
            limit,
            last: after,
            seen: before_all,
        }
    }

    fn add(&mut self, key: Key, connection: &Connection) {
        self.total += 1;
        let is_behind = match self.order {
            Order::OldestFirst => key > self.after,
            Order::NewestFirst => key < self.after,
        };
        if !is_behind {
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
        let (order, seen) = (page.order, page.seen);
        let visit = |key, connection: &Connection| {
            if filter.matches(&connection.description, connection.status.phase) {
                page.add(key, connection);
            }
        };
        let rest = match order {
            Order::OldestFirst => look(&self.connections, seen, visit),
            Order::NewestFirst => look_at(self.connections.range(..seen).rev(), visit),
        };
        page.seen = rest.unwrap_or(page.seen);
        rest.is_some()
    }
}

/// Looks at some of the connections after this one. Returns the last of them, if there are more.
pub(super) fn look(
    connections: &BTreeMap<Key, Box<Connection>>,
    after: Key,
    visit: impl FnMut(Key, &Connection),
) -> Option<Key> {
    look_at(connections.range((Excluded(after), Unbounded)), visit)
}

/// Looks at the first of these connections. Returns the last of them, if there are more.
fn look_at<'a>(
    mut rest: impl Iterator<Item = (&'a Key, &'a Box<Connection>)>,
    mut visit: impl FnMut(Key, &Connection),
) -> Option<Key> {
    let mut last = None;
    for (key, connection) in rest.by_ref().take(PART) {
        visit(*key, connection);
        last = Some(*key);
    }
    rest.next().and(last)
}
