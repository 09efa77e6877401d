//! Requests that are under way, each with a number by which its answers find it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::wire::Header;

/// Answers to one request that wait to be looked at.
const WAITING: usize = 1024;

/// Answer of a node.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) header: Header,
    pub(super) payload: Bytes,
}

/// Requests whose answers are waited for. All clones are the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    last: AtomicU64,
    requests: Mutex<HashMap<u64, mpsc::Sender<Reply>>>,
}

/// A request whose answers are waited for, until this is dropped.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) replies: mpsc::Receiver<Reply>,
    pending: Pending,
}

impl Pending {
    fn requests(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Reply>>> {
        let requests = self.0.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request.
    pub(super) fn begin(&self) -> Request {
        let (sender, replies) = mpsc::channel(WAITING);
        let number = self.0.last.fetch_add(1, Ordering::Relaxed);
        self.requests().insert(number, sender);
        Request {
            number,
            replies,
            pending: self.clone(),
        }
    }

    /// Hands an answer to its request, and tells whether there was one.
    pub(super) fn take(&self, number: u64, reply: Reply) -> bool {
        let requests = self.requests();
        let request = requests.get(&number);
        request.is_some_and(|request| request.try_send(reply).is_ok())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.pending.requests().remove(&self.number);
    }
}
