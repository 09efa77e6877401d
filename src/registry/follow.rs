//! Following connections one by one, for a test in the same process.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use super::connection::{Description, Phase, Snapshot};
use super::mailbox::Posted;
use super::push::Push;
use super::state::Key;
use super::{Registry, until};

/// Connection that was opened, by which it is followed.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) key: Key,
    pub(crate) description: Arc<Description>,
}

/// Place behind the connection that was returned last, from which on others are waited for.
#[derive(Debug, Default)]
pub(crate) struct Cursor(Mutex<Option<Key>>);

impl Registry {
    /// All connections that are kept, in the order in which they were opened.
    pub(crate) fn opened(&self) -> Vec<Opened> {
        self.state().opened_after(None).collect()
    }

    /// Waits for the first connection behind the cursor, which moves on to it.
    pub(crate) async fn next_opened(&self, cursor: &Cursor) -> Opened {
        until(&self.0.changed, || {
            let mut last = cursor.0.lock().unwrap_or_else(PoisonError::into_inner);
            let next = self.state().opened_after(*last).next()?;
            *last = Some(next.key);
            Some(next)
        })
        .await
    }

    /// Waits until TCP has ended. Returns `None` if the connection is not kept any more.
    pub(crate) async fn until_closed(&self, key: Key) -> Option<Snapshot> {
        let link = self.state().link(key)?;
        until(&link.changed, || match self.snapshot(key) {
            Some(open) if open.status.phase != Phase::Closed => None,
            closed => Some(closed),
        })
        .await
    }

    /// Pushes a message to one connection.
    pub(crate) fn push(&self, key: Key, push: &Push) -> Posted {
        let Some(link) = self.state().link(key) else {
            return Posted::Gone;
        };
        let (posted, waker) = link.mailbox.post(push);
        waker.into_iter().for_each(Waker::wake);
        posted
    }
}
