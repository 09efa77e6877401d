//! Filters of connections and of messages.

use super::connection::{Description, Phase};
use super::record::{Direction, Kind, Record};

/// Conditions that a connection is to meet, each of them if it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnectionFilter {
    pub(crate) id: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) phase: Option<Phase>,
}

impl ConnectionFilter {
    pub(super) fn matches(&self, description: &Description, phase: Phase) -> bool {
        self.is_in(phase) && self.describes(description)
    }

    /// Whether this is the phase that is asked for, if one is.
    pub(super) fn is_in(&self, phase: Phase) -> bool {
        self.phase.is_none_or(|wanted| wanted == phase)
    }

    /// Whether a connection is as it is asked for, whatever its phase.
    pub(super) fn describes(&self, description: &Description) -> bool {
        let has_topic = |topic: &String| description.topics.contains(topic.as_str());
        self.id.as_ref().is_none_or(|id| **id == *description.id)
            && self
                .path
                .as_ref()
                .is_none_or(|path| *path == description.path)
            && self.topic.as_ref().is_none_or(has_topic)
    }
}

/// Events that a reader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventFilter {
    pub(crate) connections: ConnectionFilter,
    /// Whether messages are left out.
    pub(crate) without_messages: bool,
}

impl From<ConnectionFilter> for EventFilter {
    fn from(connections: ConnectionFilter) -> Self {
        Self {
            connections,
            without_messages: false,
        }
    }
}

/// Conditions that a message is to meet, each of them if it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MessageFilter {
    /// Number of the last message that is not looked at.
    pub(crate) after: u64,
    pub(crate) direction: Option<Direction>,
    pub(crate) kind: Option<Kind>,
    /// Part of a text, or of the reason of a Close.
    pub(crate) contains: Option<String>,
}

impl MessageFilter {
    pub(super) fn matches(&self, record: &Record) -> bool {
        let is_wanted = |direction: Direction| direction == record.direction;
        let contains = |part: &String| match record.message.kind {
            Kind::Text | Kind::Close => {
                let content = record.message.content.as_deref().unwrap_or_default();
                // Searched as text, because a search for bytes would take time by both lengths.
                str::from_utf8(content).is_ok_and(|text| text.contains(part.as_str()))
            }
            Kind::Binary | Kind::Ping | Kind::Pong => false,
        };
        self.direction.is_none_or(is_wanted)
            && self.kind.is_none_or(|kind| kind == record.message.kind)
            && self.contains.as_ref().is_none_or(contains)
    }
}
