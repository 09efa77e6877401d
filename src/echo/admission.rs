//! The description of a connection for the registry: its name and topics are chosen by its URL.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use form_urlencoded::parse;
use hyper::{Request, StatusCode, Uri};

use crate::config::NodeName;
use crate::handshake::Handshake;
use crate::http::Refusal;
use crate::http::redact::header_lines;
use crate::net::connection_info::ConnectionInfo;
use crate::registry::connection::Description;
use crate::registry::{Registry, name};
use crate::ws::subprotocol::Subprotocol;

/// Topics of a connection.
const MAX_TOPICS: usize = 64;

/// Names in the query of an upgrade.
pub(super) struct Names {
    id: Arc<str>,
    topics: BTreeSet<Arc<str>>,
}

impl Names {
    /// The name of a connection, which the parameter `id` chooses, and its topics, one for each
    /// parameter `topic`. A name that is made here is unique; in a cluster it ends with that of its
    /// `node`.
    pub(super) fn of(uri: &Uri, node: Option<&NodeName>) -> Result<Self, Refusal> {
        let mut id = None;
        let mut topics = BTreeSet::new();
        for (parameter, value) in parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*parameter {
                "id" if id.is_some() => {
                    return Err(bad_request("There must be one id, not several."));
                }
                "id" if !value.is_empty() => id = Some(checked(&value)?),
                "topic" => {
                    topics.insert(checked(&value)?);
                }
                _ => {}
            }
        }
        if topics.len() > MAX_TOPICS {
            let sentence = format!("A connection may have {MAX_TOPICS} topics, and not more.");
            return Err(bad_request(sentence));
        }
        let unique = || match (Registry::unique_id(), node) {
            (id, None) => id.into(),
            (id, Some(node)) => format!("{id}@{}", node.as_str()).into(),
        };
        let id = id.unwrap_or_else(unique);
        Ok(Self { id, topics })
    }
}

fn checked(name: &str) -> Result<Arc<str>, Refusal> {
    match name::check(name) {
        Ok(()) => Ok(name.into()),
        Err(rule) => Err(bad_request(format!("An id or a topic {rule}."))),
    }
}

fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence)
}

/// The description of the connection that an accepted upgrade is to become.
pub(super) fn describe<B>(
    request: &Request<B>,
    handshake: &Handshake,
    info: ConnectionInfo,
    names: Names,
) -> Description {
    let subprotocol = handshake.subprotocol.as_ref();
    Description {
        id: names.id,
        info,
        topics: names.topics,
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        headers: header_lines(request.headers()),
        subprotocol: subprotocol.map(|name| Subprotocol::as_str(name).to_owned()),
        extensions: handshake.deflate.map(|deflate| deflate.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: &str) -> Result<Names, Refusal> {
        Names::of(&format!("/ws?{query}").parse().unwrap(), None)
    }

    #[test]
    fn a_url_names_a_connection_and_its_topics() {
        let named = names("topic=a%20b&id=caf%C3%A9&topic=c&topic=c&x=y")
            .ok()
            .unwrap();
        assert_eq!(&*named.id, "caf\u{e9}");
        let topics: Vec<_> = named.topics.iter().map(|topic| &**topic).collect();
        assert_eq!(topics, ["a b", "c"]);
        for query in ["", "id=", "x"] {
            let unnamed = names(query).ok().unwrap();
            assert_eq!((unnamed.id.len(), unnamed.topics.len()), (10, 0), "{query}");
        }
    }

    #[test]
    fn a_name_that_is_made_here_has_that_of_its_node() {
        let node = "node-1".parse().unwrap();
        let names = Names::of(&"/".parse().unwrap(), Some(&node)).ok().unwrap();
        assert!(names.id.len() == 17 && names.id.ends_with("@node-1"));
    }

    #[test]
    fn names_are_bounded() {
        let long = "x".repeat(128);
        assert!(names(&format!("id={long}")).is_ok());
        let many = |n: usize| (0..n).map(|n| format!("topic={n}&")).collect::<String>();
        assert!(names(&many(MAX_TOPICS)).is_ok());
        for query in [
            format!("id={long}x"),
            format!("topic={long}x"),
            "topic=".to_owned(),
            "id=a%0D%0Ab".to_owned(),
            "id=caf%E9".to_owned(),
            "topic=%ff".to_owned(),
            "id=+a".to_owned(),
            "topic=a%20".to_owned(),
            "id=a&id=a".to_owned(),
            many(MAX_TOPICS + 1),
        ] {
            let refusal = names(&query).err().unwrap();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{query}");
        }
    }
}
