//! Limit on the sessions, or on the requests and tunnels of a proxy, that run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of permits, shared by all clones of this limit.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    taken: Arc<AtomicUsize>,
    number: usize,
}

/// A permit that counts as taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Limit {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            taken: Arc::default(),
            number,
        }
    }

    /// Number of permits that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a permit, if one is left.
    pub(crate) fn take(&self) -> Option<Permit> {
        let one_more = |taken| (taken < self.number).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Permit(Arc::clone(&self.taken)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let limit = Limit::new(1);
        let taken = limit.take().expect("one is free");
        assert_eq!(limit.taken(), 1);
        assert!(limit.take().is_none());
        drop(taken);
        assert_eq!(limit.taken(), 0);
        assert!(Limit::new(usize::MAX).take().is_some());
    }
}
