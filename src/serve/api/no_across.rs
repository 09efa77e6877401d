//! Answers about the connections of all nodes, in a build without the feature `nats`: there is no
//! other node.

use std::sync::Arc;

use hyper::body::Bytes;
use hyper::http::request::Parts;

use super::{Api, RequestBody, Subject};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::registry::cluster::Cluster;

/// Events of other nodes.
#[derive(Debug)]
pub(super) enum Others {}

impl Others {
    pub(super) fn node(&self) -> &str {
        match *self {}
    }

    pub(super) async fn next(&mut self) -> Bytes {
        match *self {}
    }
}

impl Api {
    pub(crate) async fn join(self: Arc<Self>, cluster: Cluster) {
        match cluster {}
    }

    pub(super) async fn across(
        &self,
        cluster: &Cluster,
        _: &Parts,
        _: Subject<'_>,
        _: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        match *cluster {}
    }

    /// The query of a request for events, and those of other nodes, which are none.
    pub(super) fn others(&self, query: &str) -> Result<(String, Option<Others>), Refusal> {
        Ok((query.to_owned(), None))
    }
}
