//! The other nodes, as their messages show them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Time between two announcements of a node.
pub(super) const ANNOUNCED: Duration = Duration::from_secs(1);

/// Silence after which a node is not waited for any more. It is named as silent all the same.
const SILENT: Duration = Duration::from_millis(3500);

/// Silence after which a node is not known any more.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// The most nodes that are known.
pub(super) const MAX_NODES: usize = 1000;

/// Time after which a new least [delay](Delays) is looked for.
const DELAYS: Duration = Duration::from_secs(30);

/// State of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeState {
    Here,
    /// It shuts down.
    Leaving,
    /// It has not announced itself in time.
    Silent,
    /// It speaks another version.
    Incompatible,
}

impl NodeState {
    /// The word that answers have for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Leaving => "leaving",
            Self::Silent => "silent",
            Self::Incompatible => "incompatible",
        }
    }

    /// Whether its answer is waited for.
    pub(super) fn is_waited_for(self) -> bool {
        matches!(self, Self::Here | Self::Leaving)
    }
}

/// Another node.
#[derive(Debug)]
struct Node {
    /// Number of its process.
    run: u64,
    state: NodeState,
    seen: Instant,
    delays: Delays,
}

/// Delays of a node's messages, by two clocks that do not agree: only differences mean anything. The
/// least one of the last minute is that of a message that did not have to wait.
#[derive(Debug, Clone, Copy)]
struct Delays {
    least: i64,
    /// Least one since `since`.
    recent: i64,
    since: Instant,
}

impl Delays {
    /// Notes a delay in milliseconds, and returns by how much it is more than the least one.
    fn note(&mut self, delay: i64, now: Instant) -> u64 {
        if now - self.since > DELAYS {
            (self.least, self.recent, self.since) = (self.recent, delay, now);
        }
        self.recent = self.recent.min(delay);
        self.least = self.least.min(delay);
        delay.abs_diff(self.least)
    }
}

/// The other nodes that are known.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: BTreeMap<String, Node>,
    /// Moment at which those that were silent for too long were forgotten last.
    checked: Option<Instant>,
}

impl Nodes {
    /// Notes a message of a node: the number of its process, and the milliseconds from its start to
    /// the sending of the message, and from this node's start to now. Returns how long the message
    /// was under way, in milliseconds, beyond what is usual.
    pub(super) fn note(&mut self, name: &str, run: u64, at: u64, here: u64, now: Instant) -> u64 {
        let delay = here.wrapping_sub(at).cast_signed();
        match self.nodes.get_mut(name) {
            Some(node) if node.run == run => {
                node.seen = now;
                if node.state != NodeState::Leaving {
                    node.state = NodeState::Here;
                }
                node.delays.note(delay, now)
            }
            _ => {
                self.insert(name, run, NodeState::Here, delay, now);
                0
            }
        }
    }

    /// Notes a message of another version.
    pub(super) fn note_incompatible(&mut self, name: &str, now: Instant) {
        self.insert(name, 0, NodeState::Incompatible, 0, now);
    }

    fn insert(&mut self, name: &str, run: u64, state: NodeState, delay: i64, now: Instant) {
        if self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(name) {
            return;
        }
        let delays = Delays {
            least: delay,
            recent: delay,
            since: now,
        };
        let node = Node {
            run,
            state,
            seen: now,
            delays,
        };
        self.nodes.insert(name.to_owned(), node);
    }

    /// Notes that a node shuts down.
    pub(super) fn leave(&mut self, name: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.state = NodeState::Leaving;
        }
    }

    /// Forgets a node that has shut down.
    pub(super) fn remove(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Has all nodes count as silent from now on, until they announce themselves.
    pub(super) fn doubt(&mut self, now: Instant) {
        for node in self.nodes.values_mut() {
            node.seen = now.checked_sub(SILENT).unwrap_or(now);
        }
    }

    /// Forgets those that have been silent for too long. If that was not done for a while, NATS was
    /// away or this process stood still: then it is not known yet which of them are there.
    pub(super) fn expire(&mut self, now: Instant) {
        let checked = self.checked.replace(now);
        if checked.is_some_and(|checked| now - checked >= SILENT) {
            self.doubt(now);
        }
        self.nodes.retain(|_, node| now - node.seen < FORGOTTEN);
    }

    /// The nodes that are known, by their names.
    pub(super) fn known(&self, now: Instant) -> Vec<(String, NodeState)> {
        let state = |node: &Node| match node.state {
            NodeState::Here | NodeState::Leaving if now - node.seen >= SILENT => NodeState::Silent,
            state => state,
        };
        let known = self.nodes.iter();
        known
            .map(|(name, node)| (name.clone(), state(node)))
            .collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_silent_after_a_while_and_then_forgotten() {
        let (mut nodes, begun) = (Nodes::default(), Instant::now());
        let states = |nodes: &Nodes, after: Duration| {
            let known = nodes.known(begun + after).into_iter();
            known.map(|(_, state)| state.word()).collect::<Vec<_>>()
        };
        nodes.note("a", 1, 0, 0, begun);
        nodes.note_incompatible("b", begun);
        assert_eq!(states(&nodes, Duration::ZERO), ["here", "incompatible"]);
        nodes.leave("a");
        nodes.note("a", 1, 0, 0, begun);
        assert_eq!(states(&nodes, Duration::ZERO), ["leaving", "incompatible"]);
        assert_eq!(states(&nodes, SILENT), ["silent", "incompatible"]);
        nodes.expire(begun + FORGOTTEN);
        assert_eq!(nodes.len(), 0);
    }

    #[test]
    fn a_node_that_has_begun_anew_is_another_one() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        nodes.note("a", 1, 0, 0, now);
        nodes.leave("a");
        nodes.note("a", 2, 0, 0, now);
        assert_eq!(nodes.known(now), [("a".to_owned(), NodeState::Here)]);
        nodes.remove("a");
        assert!(!nodes.has("a"));
    }

    #[test]
    fn after_a_while_without_messages_nodes_are_silent_and_not_forgotten() {
        let (mut nodes, begun) = (Nodes::default(), Instant::now());
        nodes.note("a", 1, 0, 0, begun);
        nodes.expire(begun);
        let later = begun + 2 * FORGOTTEN;
        nodes.expire(later);
        assert_eq!(nodes.known(later), [("a".to_owned(), NodeState::Silent)]);
        let last = later + FORGOTTEN - SILENT;
        let mut now = later;
        while now < last {
            assert_eq!(nodes.len(), 1);
            now += ANNOUNCED;
            nodes.expire(now);
        }
        assert_eq!(nodes.len(), 0);
    }

    #[test]
    fn nodes_are_bounded() {
        let (mut nodes, now) = (Nodes::default(), Instant::now());
        for n in 0..=MAX_NODES {
            nodes.note(&n.to_string(), 1, 0, 0, now);
        }
        assert_eq!(nodes.len(), MAX_NODES);
    }

    #[test]
    fn a_message_that_had_to_wait_is_late_whatever_the_clocks_say() {
        let (mut nodes, begun) = (Nodes::default(), Instant::now());
        let mut note = |at: u64, here: u64, after: u64| {
            let now = begun + Duration::from_secs(after);
            nodes.note("a", 1, at, here, now)
        };
        // The other node has run for longer than this one.
        assert_eq!(note(1_000_000, 500, 0), 0);
        assert_eq!(note(1_001_000, 1_503, 1), 3);
        assert_eq!(note(1_002_000, 12_500, 12), 10_000);
        // Clocks drift, and after a minute the least delay is a new one.
        assert_eq!(note(1_031_000, 31_600, 31), 100);
        assert_eq!(note(1_062_000, 62_600, 62), 0);
    }
}
