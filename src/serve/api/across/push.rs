//! Pushes to a topic, or to all, on all nodes.

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Api, Cluster, Query, Subject, note, with};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::registry::cluster::Spread;
use crate::registry::push::Push;
use crate::registry::state::{Delivery, Receivers};
use crate::serve::api::answer;
use crate::serve::api::routes::Route;

impl Api {
    /// Pushes a message to those that a path names, on all nodes.
    pub(super) async fn push_across(
        &self,
        cluster: &Cluster,
        about: Subject<'_>,
        push: &Push,
    ) -> Result<Answer, Refusal> {
        let query = Query::parse(about.query, &["wait"])?;
        let deadline = query.wait()?.map(|wait| Instant::now() + wait);
        check_size(cluster, push.len())?;
        let (receivers, filter) = match about.route {
            Route::Topic => {
                let filter = with("", |_| false, &[("topic", &about.name), ("state", "open")]);
                (Receivers::Topic(about.name), filter)
            }
            _ => (Receivers::All, "state=open".to_owned()),
        };
        let mut spread = cluster.push(&self.registry, &receivers, push).await;
        while let Some(deadline) = deadline
            && is_nobody(&spread)
            && self
                .until_count_across(cluster, &filter, 1, deadline)
                .await?
        {
            spread = cluster.push(&self.registry, &receivers, push).await;
        }
        let status = match is_nobody(&spread) {
            true => StatusCode::ACCEPTED,
            false => StatusCode::CREATED,
        };
        Ok(answer(status, &view(&spread)))
    }
}

/// Refuses a message that NATS would not take. Then nobody gets it, on this node either.
pub(super) fn check_size(cluster: &Cluster, bytes: usize) -> Result<(), Refusal> {
    let most = cluster.max_payload();
    if bytes <= most {
        return Ok(());
    }
    let sentence = format!(
        "NATS takes messages of {most} bytes here, by its max_payload; this one has {bytes}."
    );
    Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, sentence))
}

fn is_nobody(spread: &Spread) -> bool {
    spread.total == Delivery::default()
}

fn view(spread: &Spread) -> Value {
    let mut shown = json!({
        "delivered": spread.total.delivered,
        "skipped": spread.total.skipped,
        "nodes": spread.nodes,
    });
    note(&mut shown, &spread.unanswered);
    shown
}
