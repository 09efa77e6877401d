//! Messages between nodes: a header in JSON on one line, and behind the line break a payload.
//!
//! Every version has `v` and `node`, so that a node can say whose version it does not know.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Version of the messages that this node sends, and the only one that it understands.
pub(super) const VERSION: u32 = 1;

/// The longest header, in bytes. Names in it have at most 128 bytes, and a query comes from a head of
/// at most 16 KiB.
const MAX_HEADER: usize = 24 << 10;

/// Fields of a header of any version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Stamp {
    v: u32,
    node: String,
}

/// Header of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) v: u32,
    /// Name of the node that sent the message.
    pub(super) node: String,
    /// Random number of that node's process, by which two nodes of one name are told apart.
    pub(super) run: u64,
    /// Milliseconds from the start of that process to the moment at which it sent the message.
    pub(super) at: u64,
    #[serde(flatten)]
    pub(super) content: Content,
}

/// Content of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Content {
    /// The node is there. With `asks`, it asks the others to say so too.
    Here { asks: bool },
    /// The node shuts down, and answers until it has.
    Leaving,
    /// The node has shut down.
    Gone,
    /// Asks to push the payload to a topic, or to all.
    Push {
        topic: Option<String>,
        binary: bool,
        within: u64,
    },
    /// Asks for a connection of this name.
    Find { id: String, within: u64 },
    /// Asks for the answer to a request of the API, whose body is the payload.
    Call {
        method: String,
        target: String,
        binary: bool,
        within: u64,
    },
    /// Asks for events, as the query of `/events` chooses them, for so many milliseconds from now.
    Follow { query: String, lease: u64 },
    /// Answers a push.
    Delivered { delivered: usize, skipped: usize },
    /// Answers the search for a connection.
    Found { connection: Connection },
    /// Answers a request of the API: a part of the body is the payload.
    Answer { status: u16, part: u32, more: bool },
    /// Has events as the payload, and the number of those that were sent before.
    Events { before: u64, count: u64 },
    /// Answers that there will be no other answer.
    Refused { why: Why },
}

impl Content {
    /// Milliseconds within which a request must come, if it is one that may come too late.
    pub(super) fn within(&self) -> Option<u64> {
        match self {
            Self::Push { within, .. } | Self::Find { within, .. } | Self::Call { within, .. } => {
                Some(*within)
            }
            _ => None,
        }
    }
}

/// Connection as the node has it that was asked for it. The order is that of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Connection {
    Unknown,
    Forgotten,
    /// Closed or closing. It was opened so many milliseconds after 1970.
    Closed {
        opened: u64,
    },
    Open {
        opened: u64,
    },
}

/// Cause of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// The version of the message is not known.
    Version,
    /// The node has all the requests that it may have.
    Busy,
}

/// Error of a message that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It is no message of a node.
    Malformed,
    /// Its version is not known.
    Version { node: String, version: u32 },
}

/// The bytes of a message.
pub(super) fn encode(header: &Header, payload: &[u8]) -> Bytes {
    // Strings and numbers can always be written.
    let mut bytes = serde_json::to_vec(header).unwrap_or_default();
    bytes.reserve_exact(1 + payload.len());
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// The header and the payload of a message.
pub(super) fn decode(message: &Bytes) -> Result<(Header, Bytes), DecodeError> {
    let head = &message[..message.len().min(MAX_HEADER)];
    let end = head.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or(DecodeError::Malformed)?;
    let stamp: Stamp = serde_json::from_slice(&head[..end]).map_err(|_| DecodeError::Malformed)?;
    if !is_name(&stamp.node) {
        return Err(DecodeError::Malformed);
    }
    if stamp.v != VERSION {
        let Stamp { v: version, node } = stamp;
        return Err(DecodeError::Version { node, version });
    }
    let header = serde_json::from_slice(&head[..end]).map_err(|_| DecodeError::Malformed)?;
    Ok((header, message.slice(end + 1..)))
}

/// Whether this may be the name of a node.
fn is_name(text: &str) -> bool {
    text.parse::<crate::config::NodeName>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(content: Content) -> Header {
        Header {
            v: VERSION,
            node: "a".to_owned(),
            run: u64::MAX,
            at: 7,
            content,
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for content in [
            Content::Here { asks: true },
            Content::Push {
                topic: Some("caf\u{e9} \n".to_owned()),
                binary: true,
                within: 1000,
            },
            Content::Found {
                connection: Connection::Open { opened: 5 },
            },
            Content::Refused { why: Why::Busy },
        ] {
            let header = header(content);
            let message = encode(&header, b"pay\nload");
            assert_eq!(decode(&message), Ok((header, Bytes::from("pay\nload"))));
        }
    }

    #[test]
    fn a_message_of_another_version_names_its_node() {
        let message = Bytes::from("{\"v\":2,\"node\":\"b\",\"new\":[]}\nx");
        let error = DecodeError::Version {
            node: "b".to_owned(),
            version: 2,
        };
        assert_eq!(decode(&message), Err(error));
    }

    #[test]
    fn anything_else_is_malformed() {
        let long = format!("{}\n", " ".repeat(MAX_HEADER));
        for bad in [
            "",
            "\n",
            "{}\n",
            "{\"v\":1}\n",
            "{\"v\":1,\"node\":\"a b\",\"kind\":\"leaving\",\"run\":1,\"at\":1}\n",
            "{\"v\":1,\"node\":\"a\",\"run\":1,\"at\":1,\"kind\":\"no\"}\n",
            "{\"v\":1,\"node\":\"a\",\"run\":-1,\"at\":1,\"kind\":\"leaving\"}\n",
            "{\"v\":1,\"node\":\"a\",\"run\":1,\"at\":1,\"kind\":\"leaving\"}",
            &long,
        ] {
            let message = Bytes::copy_from_slice(bad.as_bytes());
            assert_eq!(decode(&message), Err(DecodeError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn an_open_connection_is_preferred_and_then_the_latest() {
        let mut found = [
            Connection::Closed { opened: 9 },
            Connection::Open { opened: 1 },
            Connection::Unknown,
            Connection::Open { opened: 2 },
            Connection::Forgotten,
        ];
        found.sort();
        assert_eq!(found[4], Connection::Open { opened: 2 });
        assert_eq!(found[0], Connection::Unknown);
    }
}
