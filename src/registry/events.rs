//! Readers of events. A reader takes from the log when it can go on, so that one that is slow takes
//! no memory: it loses events, and learns how many.

use tokio::task::yield_now;

use super::filter::EventFilter;
use super::state::events::Event;
use super::{Registry, until};

/// A reader of the events of connections that match.
#[derive(Debug)]
pub(crate) struct EventReader {
    registry: Registry,
    filter: EventFilter,
    /// Number of the last event that was looked at.
    last: u64,
    /// Whether there were others behind it.
    has_more: bool,
}

impl Registry {
    /// A reader that has the event of this number, or that begins with the next one from now.
    pub(crate) fn events(&self, filter: impl Into<EventFilter>, has: Option<u64>) -> EventReader {
        EventReader {
            registry: self.clone(),
            filter: filter.into(),
            last: self.state().events_from(has),
            has_more: false,
        }
    }
}

impl EventReader {
    /// Waits for the next events. Nothing is lost if the wait is given up.
    pub(crate) async fn next(&mut self) -> Vec<Event> {
        loop {
            if self.has_more {
                // The log may be long, and others want the thread and the lock.
                yield_now().await;
            }
            let events = self.look().await;
            if !events.is_empty() {
                return events;
            }
        }
    }

    /// Waits until there are events to look at, which may be none that match.
    async fn look(&mut self) -> Vec<Event> {
        let Self {
            registry,
            filter,
            last,
            has_more,
        } = self;
        until(&registry.0.logged, || {
            let batch = registry.state().read_events(*last, filter);
            (*last, *has_more) = (batch.last, batch.has_more);
            (*has_more || !batch.events.is_empty()).then_some(batch.events)
        })
        .await
    }
}
