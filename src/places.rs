//! Places for sessions, or for what goes through a proxy: there may be so many at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place, free again when this is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// A number of places, shared by all clones of this.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    number: usize,
}

impl Places {
    pub(crate) fn new(number: usize) -> Self {
        let number = number.min(Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(number)),
            number,
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.number - self.free.available_permits()
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self) -> Option<Place> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Places::new(1);
        let taken = places.take().expect("one is free");
        assert_eq!(places.taken(), 1);
        assert!(places.take().is_none());
        drop(taken);
        assert_eq!(places.taken(), 0);
        assert!(Places::new(usize::MAX).take().is_some());
    }
}
