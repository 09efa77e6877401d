//! Limit for sessions, or for what goes through a proxy: there may be so many at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of places, shared by all clones of this.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    taken: Arc<AtomicUsize>,
    number: usize,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Limit {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            taken: Arc::default(),
            number,
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes one, if there is one.
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
