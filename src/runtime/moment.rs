//! Moments that take half the memory of an `Instant`: a session keeps several until it ends, and
//! most sessions are idle.

use std::num::NonZeroU64;
use std::ops::Add;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Start of the count of moments: an hour before the first use, because the clock of a test may
/// begin before its first moment.
static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
    let now = std::time::Instant::now();
    now.checked_sub(Duration::from_secs(3600))
        .unwrap_or(now)
        .into()
});

/// A moment, to the nanosecond, within 580 years. An `Option` of it takes no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// This moment.
    pub(crate) fn now() -> Self {
        Instant::now().into()
    }

    /// The moment at so many nanoseconds since the start of the process's count, which is no moment
    /// itself.
    pub(crate) fn from_nanos(nanoseconds: u64) -> Option<Self> {
        NonZeroU64::new(nanoseconds).map(Self)
    }

    /// Nanoseconds since the start of the process's count.
    pub(crate) fn as_nanos(self) -> u64 {
        self.0.get()
    }

    /// The time since `earlier`, or zero if that moment is a later one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// The first moment, not before this one, of those that are a multiple of `length` nanoseconds
    /// from the start of the process's count.
    pub(crate) fn round_up(self, length: NonZeroU64) -> Self {
        let beyond = self.0.get() % length;
        match beyond {
            0 => self,
            beyond => Self(self.0.saturating_add(length.get() - beyond)),
        }
    }

    /// The first moment after `now` of those that follow this one in steps of `every`.
    pub(crate) fn next_after(self, now: Self, every: Duration) -> Self {
        let next = self + every;
        if next > now {
            return next;
        }
        let every = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
        let passed = (now.0.get() - self.0.get()) / every;
        Self(self.0.saturating_add((passed + 1).saturating_mul(every)))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

impl From<Instant> for Moment {
    fn from(instant: Instant) -> Self {
        let since = instant.saturating_duration_since(*EPOCH).as_nanos();
        Self(u64::try_from(since).map_or(NonZeroU64::MAX, |since| {
            NonZeroU64::MIN.saturating_add(since)
        }))
    }
}

impl From<Moment> for Instant {
    fn from(Moment(since): Moment) -> Self {
        *EPOCH + Duration::from_nanos(since.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_instant_in_half_of_the_memory() {
        let now = Instant::now();
        for instant in [
            now,
            now + Duration::from_nanos(1),
            now + Duration::from_secs(1 << 32),
        ] {
            assert_eq!(Instant::from(Moment::from(instant)), instant);
        }
        assert!(Moment::from(now) < Moment::from(now + Duration::from_nanos(1)));
        assert_eq!(size_of::<Option<Moment>>() * 2, size_of::<Instant>());
    }

    #[test]
    fn moments_have_a_time_between_them() {
        let now = Moment::now();
        let later = now + Duration::from_millis(3);
        assert_eq!(later.since(now), Duration::from_millis(3));
        assert_eq!(now.since(later), Duration::ZERO);
        assert!(now < now + Duration::MAX);
    }
}
