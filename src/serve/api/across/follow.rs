//! Events of all nodes.

use futures_util::stream::{BoxStream, StreamExt, unfold};
use hyper::body::Bytes;
use serde_json::json;

use super::{Api, scope};
use crate::http::Refusal;
use crate::registry::cluster::{FollowReader, NodeEvents};
use crate::serve::api::events::{filter, put, text};

/// Events of the other nodes, for a reader of those of all.
#[derive(Debug)]
pub(in crate::serve::api) struct Others {
    /// Name of this node.
    node: String,
    reader: FollowReader,
}

impl Others {
    /// Name of this node.
    pub(in crate::serve::api) fn node(&self) -> &str {
        &self.node
    }

    /// Waits for the next events of another node.
    pub(in crate::serve::api) async fn next(&mut self) -> Bytes {
        let Some(NodeEvents {
            node,
            dropped,
            text,
        }) = self.reader.next().await
        else {
            // The node's task holds the other end for as long as this reader is there.
            return std::future::pending().await;
        };
        if dropped == 0 {
            return text;
        }
        let mut whole = String::new();
        put(
            &mut whole,
            "dropped",
            json!({ "dropped": dropped, "node": node }),
        );
        [whole.as_bytes(), &text].concat().into()
    }
}

impl Api {
    /// The query of a request for events without its scope, and the events of other nodes, if that
    /// asks for them.
    pub(in crate::serve::api) fn others(
        &self,
        query: &str,
    ) -> Result<(String, Option<Others>), Refusal> {
        let Some(cluster) = &self.cluster else {
            return Ok((query.to_owned(), None));
        };
        let (query, is_across) = scope(query)?;
        filter(&query)?;
        let others = (is_across == Some(true)).then(|| Others {
            node: cluster.node().to_owned(),
            reader: cluster.follow(query.clone().into_owned()),
        });
        Ok((query.into_owned(), others))
    }

    /// The events of this node that a query of another one chooses.
    pub(super) fn events_for_others(
        &self,
        query: &str,
    ) -> Option<BoxStream<'static, (u64, Bytes)>> {
        let node = self.cluster.as_ref()?.node().to_owned();
        let reader = self.registry.events(filter(query).ok()?, None);
        let events = unfold((reader, node), async |(mut reader, node)| {
            let events = reader.next().await;
            let text = text(&events, Some(&node));
            Some(((events.len() as u64, text), (reader, node)))
        });
        Some(events.boxed())
    }
}
