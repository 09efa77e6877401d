//! The mailbox of a session: messages that are to be pushed to its peer, and the wish that it
//! ends. It is bounded, because the peer may not read.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::push::Push;
use super::record::CloseContent;
use crate::scenario::Scenario;
use crate::ws::close::Teardown;

/// Messages that a mailbox holds.
const MAX_MESSAGES: usize = 1000;

/// Bytes of payload that a mailbox holds, if it holds more than one message.
const MAX_BYTES: usize = 1 << 20;

/// Way in which the API ends a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a Close, after what was posted before.
    Close(CloseContent),
    /// The same, for the upstream of a tunnel.
    CloseUpstream(CloseContent),
    /// At once, without a Close.
    Cut(Teardown),
}

/// Content of a mailbox, in the order in which it is handed out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mail {
    Push(Push),
    /// The session is to misbehave by these steps from now on, and by no others.
    Steps(Arc<Scenario>),
    End(Ending),
}

/// Outcome of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    /// The session will send it.
    Taken,
    /// There was no room. Whether this `is_first` after a push that was taken, tells how often the
    /// mailbox became full.
    Skipped { is_first: bool },
    /// The session ends.
    Gone,
}

/// Mailbox of one session.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// Whether there is anything in it. The session looks at this without the lock, at every turn.
    has_mail: AtomicBool,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    pushes: VecDeque<Push>,
    /// Bytes of payload in `pushes`.
    bytes: usize,
    /// Whether the last push was skipped.
    has_skipped: bool,
    /// Steps that the session is to take, once.
    steps: Option<Arc<Scenario>>,
    /// End that the session is to take, once.
    ending: Option<Ending>,
    /// Whether nothing more is taken in.
    is_closed: bool,
    /// Waker of the session's task.
    session: Option<Waker>,
}

impl Mailbox {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in. The waker that is returned must be woken, after all locks are released.
    pub(super) fn post(&self, push: &Push) -> (Posted, Option<Waker>) {
        let mut content = self.content();
        if content.is_closed {
            return (Posted::Gone, None);
        }
        let bytes = content.bytes + push.len();
        let is_full = content.pushes.len() >= MAX_MESSAGES || bytes > MAX_BYTES;
        if is_full && !content.pushes.is_empty() {
            let is_first = !mem::replace(&mut content.has_skipped, true);
            return (Posted::Skipped { is_first }, None);
        }
        let was_empty = content.pushes.is_empty();
        content.has_skipped = false;
        content.bytes = bytes;
        content.pushes.push_back(push.clone());
        self.has_mail.store(true, Ordering::Release);
        // Once it is woken, the session takes everything that comes meanwhile.
        let waker = content.session.take_if(|_| was_empty);
        (Posted::Taken, waker)
    }

    /// Has the session misbehave by these steps, in place of those before.
    pub(super) fn change(&self, steps: Arc<Scenario>) -> (Posted, Option<Waker>) {
        let mut content = self.content();
        if content.is_closed {
            return (Posted::Gone, None);
        }
        content.steps = Some(steps);
        self.has_mail.store(true, Ordering::Release);
        (Posted::Taken, content.session.clone())
    }

    /// Has the session end. Nothing more is taken in.
    pub(super) fn end(&self, ending: Ending) -> (Posted, Option<Waker>) {
        let mut content = self.content();
        let is_cut = matches!(ending, Ending::Cut(_));
        // A cut may follow a Close that the peer does not read.
        let is_late = content.is_closed && !(is_cut && content.ending.is_some());
        if is_late {
            return (Posted::Gone, None);
        }
        content.is_closed = true;
        content.ending = Some(ending);
        self.has_mail.store(true, Ordering::Release);
        (Posted::Taken, content.session.clone())
    }

    /// Closes the mailbox when the session is over, and drops what is in it.
    pub(super) fn close(&self) {
        let mut content = self.content();
        content.is_closed = true;
        content.bytes = 0;
        let rest = (
            mem::take(&mut content.pushes),
            content.ending.take(),
            content.steps.take(),
            content.session.take(),
        );
        // The lock is released first: the waker may be the last thing that keeps a task.
        drop(content);
        drop(rest);
    }

    /// Whether nothing is in it: a look without the lock.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.has_mail.load(Ordering::Acquire)
    }

    /// Takes the next piece of mail. Once there is no more, the task of this waker is woken when there
    /// is. If the session `is_busy`, only a cut is mail: the rest waits for the next call.
    pub(super) fn take(&self, waker: &Waker, is_busy: bool) -> Option<Mail> {
        let mut content = self.content();
        let is_cut = matches!(content.ending, Some(Ending::Cut(_)));
        if !is_cut && let Some(steps) = content.steps.take() {
            self.wait_if_empty(content, waker);
            return Some(Mail::Steps(steps));
        }
        if !is_cut
            && !is_busy
            && let Some(push) = content.pushes.pop_front()
        {
            content.bytes -= push.len();
            self.wait_if_empty(content, waker);
            return Some(Mail::Push(push));
        }
        if (is_cut || !is_busy)
            && let Some(ending) = content.ending.take()
        {
            return Some(Mail::End(ending));
        }
        self.wait(content, waker);
        None
    }

    /// Has the task of this waker woken when there is mail, if there is none now.
    fn wait_if_empty(&self, content: MutexGuard<'_, Content>, waker: &Waker) {
        if content.is_empty() {
            self.wait(content, waker);
        }
    }

    /// Has the task of this waker woken when there is mail.
    fn wait(&self, mut content: MutexGuard<'_, Content>, waker: &Waker) {
        self.has_mail.store(!content.is_empty(), Ordering::Release);
        let earlier = content.watch(waker);
        drop(content);
        drop(earlier);
    }

    /// Waits for the wish that the session is cut, which does not wait for what is sent before.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Teardown> {
        let mut content = self.content();
        if let Some(Ending::Cut(teardown)) = content.ending {
            content.ending = None;
            return Poll::Ready(teardown);
        }
        let earlier = content.watch(cx.waker());
        drop(content);
        drop(earlier);
        Poll::Pending
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        self.pushes.is_empty() && self.steps.is_none() && self.ending.is_none()
    }

    /// Has this waker woken, and returns the one that was woken before.
    fn watch(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.session {
            Some(session) if session.will_wake(waker) => None,
            _ => self.session.replace(waker.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
