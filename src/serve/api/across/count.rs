//! The wait until enough connections of all nodes match.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use super::{Answers, Api, Cluster, SLICE, get};
use crate::http::Refusal;

impl Api {
    /// Waits until so many connections match on all nodes together, and tells whether they did.
    pub(super) async fn until_count_across(
        &self,
        cluster: &Cluster,
        filter: &str,
        count: u64,
        deadline: Instant,
    ) -> Result<bool, Refusal> {
        loop {
            let counts = totals(&self.count_each(cluster, filter).await?);
            let sum = counts
                .values()
                .fold(0, |sum: u64, n| sum.saturating_add(*n));
            if sum >= count {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.until_one_more(cluster, filter, &counts, left.min(SLICE))
                .await;
        }
    }

    /// Counts the connections that match, node by node.
    async fn count_each(&self, cluster: &Cluster, filter: &str) -> Result<Answers, Refusal> {
        self.ask_each(cluster, |_| format!("/connections?{filter}&limit=1"))
            .await
    }

    /// Waits until any node has more that match than it had, or for so long.
    async fn until_one_more(
        &self,
        cluster: &Cluster,
        filter: &str,
        counts: &BTreeMap<String, u64>,
        wait: Duration,
    ) {
        let mut waits = FuturesUnordered::<BoxFuture<'_, bool>>::new();
        for (node, count) in counts {
            let (more, wait_ms) = (count.saturating_add(1), wait.as_millis());
            let target = format!("/connections?{filter}&limit=1&count={more}&wait={wait_ms}ms");
            waits.push(match node == cluster.node() {
                true => Box::pin(async { self.call_here(get(target)).await.status == 200 }),
                false => Box::pin(async {
                    let answered = cluster.call(node, &get(target), wait).await;
                    answered.is_ok_and(|answer| answer.status == 200)
                }),
            });
        }
        while let Some(has_more) = waits.next().await {
            if has_more {
                return;
            }
        }
    }
}

/// The number of those that match, by node.
fn totals(answers: &Answers) -> BTreeMap<String, u64> {
    let nodes = answers.nodes.iter();
    let total =
        nodes.map(|(node, page)| (node.clone(), page["total"].as_u64().unwrap_or_default()));
    total.collect()
}
