//! Choice of the connections of a URL for which a step is done.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::{Scenario, Scope};

/// Maximum number of URLs whose connections are counted. Beyond it the least recently used URL is
/// forgotten, and its count begins anew.
const MAX_URLS: usize = 1024;

/// Counts the connections of each URL, for as long as the process runs.
#[derive(Debug, Default)]
pub(crate) struct Occurrences {
    /// Hasher with a random key, so that no client can choose URLs that are counted as one.
    hasher: RandomState,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    urls: HashMap<u64, Count>,
    /// Number of connections to all URLs.
    all: u64,
}

#[derive(Debug, Default)]
struct Count {
    connections: u32,
    /// Value of [`Counted::all`] at the latest connection.
    last: u64,
}

impl Occurrences {
    /// Counts a connection to `url`, if `scenario` depends on the count, and returns the steps that
    /// are done in it. `path` is the part of the URL before its query.
    pub(crate) fn draw(&self, scenario: &Scenario, path: &str, url: &str) -> Scenario {
        let roll = rand::random_range(0..100);
        Self::choose(scenario, path, url, roll, |key| self.count(key))
    }

    /// Counts a connection as [`draw`](Self::draw) does, and returns the steps that are done in it of
    /// two scenarios. Those for the same percentage of connections are done together.
    pub(crate) fn draw_both(&self, both: [&Scenario; 2], path: &str, url: &str) -> [Scenario; 2] {
        let roll = rand::random_range(0..100);
        let counts = |scope| both.iter().any(|scenario| scenario.counts(scope));
        let count = |scope, text| counts(scope).then(|| self.count((scope, text)));
        let of_path = count(Scope::Path, path).unwrap_or_default();
        let of_url = count(Scope::Url, url).unwrap_or_default();
        both.map(|scenario| scenario.after(of_path, of_url, roll))
    }

    /// Returns the steps that were done in the latest connection to `url`, or would be done in the
    /// first one. It counts nothing. Steps for a percentage of connections are not among them.
    pub(crate) fn latest(&self, scenario: &Scenario, path: &str, url: &str) -> Scenario {
        Self::choose(scenario, path, url, 100, |key| self.before_latest(key))
    }

    /// Returns the steps that are done after as many connections as `count` says.
    fn choose(
        scenario: &Scenario,
        path: &str,
        url: &str,
        roll: u8,
        count: impl Fn((Scope, &str)) -> u32,
    ) -> Scenario {
        let count = |scope, text| scenario.counts(scope).then(|| count((scope, text)));
        let of_path = count(Scope::Path, path).unwrap_or_default();
        let of_url = count(Scope::Url, url).unwrap_or_default();
        scenario.after(of_path, of_url, roll)
    }

    /// Counts a connection, and returns the number of earlier ones.
    fn count(&self, url: (Scope, &str)) -> u32 {
        let url = self.hasher.hash_one(url);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.all += 1;
        let Counted { urls, all } = &mut *counted;
        if urls.len() >= MAX_URLS && !urls.contains_key(&url) {
            let oldest = urls.iter().min_by_key(|(_, count)| count.last);
            if let Some(oldest) = oldest.map(|(url, _)| *url) {
                urls.remove(&oldest);
            }
        }
        let count = urls.entry(url).or_default();
        count.last = *all;
        let before = count.connections;
        count.connections = before.saturating_add(1);
        before
    }

    /// Number of connections before the latest one.
    fn before_latest(&self, url: (Scope, &str)) -> u32 {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counted.urls.get(&self.hasher.hash_one(url));
        count.map_or(0, |count| count.connections.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(occurrences: &Occurrences, steps: &str, url: &str) -> String {
        let scenario: Scenario = steps.parse().unwrap();
        occurrences.draw(&scenario, "/", url).to_string()
    }

    #[test]
    fn the_first_connections_of_each_url_are_counted() {
        let occurrences = Occurrences::default();
        for (url, expected) in [
            ("/?a", "rst@2x,fin@5s@3x"),
            ("/?a", "rst@2x,fin@5s@3x"),
            ("/?b", "rst@2x,fin@5s@3x"),
            ("/?a", "fin@5s@3x"),
            ("/?a", ""),
        ] {
            assert_eq!(draw(&occurrences, "rst@2x,fin@5s@3x", url), expected);
        }
    }

    #[test]
    fn a_look_at_the_latest_connection_counts_nothing() {
        let occurrences = Occurrences::default();
        let latest = |steps: &str| {
            let scenario: Scenario = steps.parse().unwrap();
            occurrences.latest(&scenario, "/", "/").to_string()
        };
        assert_eq!(latest("rst@1x"), "rst@1x");
        assert_eq!(draw(&occurrences, "rst@1x", "/"), "rst@1x");
        assert_eq!(latest("rst@1x,deaf@100%"), "rst@1x");
        assert_eq!(draw(&occurrences, "rst@1x", "/"), "");
        assert_eq!(latest("rst@1x"), "");
    }

    #[test]
    fn of_several_steps_of_one_name_the_first_that_is_done_counts() {
        let occurrences = Occurrences::default();
        let steps = "close:4001@1x,close:4002@2x,close:4003";
        let drawn: Vec<_> = (0..4).map(|_| draw(&occurrences, steps, "/")).collect();
        let expected = ["close:4001@1x", "close:4002@2x", "close:4003", "close:4003"];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_share_of_connections_is_drawn_and_equal_shares_go_together() {
        let occurrences = Occurrences::default();
        let drawn = |steps| {
            (0..2000)
                .map(|_| draw(&occurrences, steps, "/"))
                .collect::<Vec<_>>()
        };
        let all = drawn("deaf@20%,beat:off@20%");
        let some = all.iter().filter(|steps| !steps.is_empty()).count();
        assert!((200..=600).contains(&some), "{some}");
        assert!(
            all.iter()
                .all(|steps| steps.is_empty() || steps.contains(','))
        );
        assert!(drawn("rst@100%").iter().all(|steps| steps == "rst@100%"));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten() {
        let occurrences = Occurrences::default();
        for n in 0..MAX_URLS {
            assert_eq!(draw(&occurrences, "rst@1x", &n.to_string()), "rst@1x");
        }
        assert_eq!(draw(&occurrences, "rst@1x", "0"), "");
        // The new URL takes the place of URL 1.
        assert_eq!(draw(&occurrences, "rst@1x", "new"), "rst@1x");
        assert_eq!(draw(&occurrences, "rst@1x", "0"), "");
        assert_eq!(draw(&occurrences, "rst@1x", "1"), "rst@1x");
        assert_eq!(occurrences.counted.lock().unwrap().urls.len(), MAX_URLS);
    }

    #[test]
    fn what_a_server_is_told_is_counted_by_path_and_what_a_url_says_by_url() {
        let server: Scenario = "rst@1x".parse().unwrap();
        let occurrences = Occurrences::default();
        let drawn = |query: &str| {
            let scenario = server.for_query(Some(query)).unwrap();
            occurrences.draw(&scenario, "/", query).to_string()
        };
        assert_eq!(drawn("t=1&do=fin@1x"), "rst@1x,fin@1x");
        assert_eq!(drawn("t=2&do=fin@1x"), "fin@1x");
        assert_eq!(drawn("t=2&do=fin@1x"), "");
    }
}
