//! Lists of the connections and of the topics of all nodes.

use std::collections::BTreeMap;
use std::fmt;

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Answers, Api, Cluster, Query, note, with};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::serve::api::read::{LIST_PARAMETERS, status};
use crate::serve::api::{answer, bad_request};

/// Place where a page begins: on one node, behind the connection of this number if there is one. The
/// nodes before it by name are on earlier pages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    node: String,
    after: Option<u64>,
}

impl Cursor {
    fn parse(text: Option<&str>) -> Result<Self, Refusal> {
        let parsed = text.unwrap_or(":").rsplit_once(':');
        let parsed = parsed.and_then(|(node, after)| {
            let (node, is_first) = (node.to_owned(), after.is_empty());
            let after = match is_first {
                true => None,
                false => Some(after.parse().ok()?),
            };
            Some(Self { node, after })
        });
        parsed.ok_or_else(|| bad_request("after is the next of another page, as NODE:7."))
    }

    /// Whether all connections of a node are on earlier pages.
    fn is_past(&self, node: &str) -> bool {
        *node < *self.node
    }

    /// The number behind which a node's own list begins; `None`: with its first.
    fn after(&self, node: &str) -> Option<u64> {
        self.after.filter(|_| node == self.node)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.node)?;
        self.after.map_or(Ok(()), |after| write!(f, "{after}"))
    }
}

impl Api {
    /// A page of the connections of all nodes that match, once there are enough of them.
    pub(super) async fn list_across(
        &self,
        cluster: &Cluster,
        query: &str,
    ) -> Result<Answer, Refusal> {
        let given = Query::parse(query, &LIST_PARAMETERS)?;
        let (cursor, limit) = (Cursor::parse(given.text("after"))?, given.limit()?);
        let wait = given.wait()?;
        let count = given.number("count")?.unwrap_or(wait.is_some().into());
        let is_filter = |name: &str| matches!(name, "topic" | "path" | "state" | "id" | "order");
        let filter = with(query, is_filter, &[]);
        let is_in_time = match wait.map(|wait| Instant::now() + wait) {
            Some(deadline) => {
                self.until_count_across(cluster, &filter, count, deadline)
                    .await?
            }
            None => false,
        };
        let target = |node: &str, limit: usize| {
            let after = cursor.after(node);
            let after = after.map_or_else(String::new, |after| format!("&after={after}"));
            format!("/connections?{filter}{after}&limit={limit}")
        };
        let mut answers = self.ask_each(cluster, |node| target(node, limit)).await?;
        let mut page = Page::new(limit);
        let nodes: Vec<String> = answers.nodes.keys().cloned().collect();
        for node in nodes.iter().filter(|node| !cursor.is_past(node)) {
            if page.has_too_many(&answers.nodes[node]) {
                // So that its node says where the next page begins.
                self.ask_again(
                    cluster,
                    node,
                    target(node, page.room().max(1)),
                    &mut answers,
                )
                .await;
            }
            if let Some(found) = answers.nodes.get(node) {
                page.add(node, found);
            }
        }
        let (shown, total) = page.view(&answers);
        Ok(answer(status(is_in_time || total >= count), &shown))
    }

    async fn ask_again(
        &self,
        cluster: &Cluster,
        node: &str,
        target: String,
        answers: &mut Answers,
    ) {
        let call = super::get(target);
        let answered = match node == cluster.node() {
            true => Ok(self.call_here(call).await),
            false => cluster.call(node, &call, std::time::Duration::ZERO).await,
        };
        answers.nodes.remove(node);
        answers.add(node, answered);
    }

    /// A page of the topics of all nodes.
    pub(super) async fn topics_across(
        &self,
        cluster: &Cluster,
        query: &str,
    ) -> Result<Answer, Refusal> {
        let given = Query::parse(query, &["after", "limit"])?;
        let limit = given.limit()?;
        // Without the limit: so the total is known unless there are very many.
        let after = with(query, |name| name == "after", &[]);
        let answers = self
            .ask_each(cluster, |_| format!("/topics?{after}"))
            .await?;
        let (topics, mut next) = merge(answers.nodes.values());
        let is_whole = next.is_none() && given.text("after").unwrap_or_default().is_empty();
        let total = topics.len();
        let shown: Vec<_> = topics.into_iter().take(limit).collect();
        if shown.len() < total {
            next = shown.last().map(|(name, _)| name.clone());
        }
        let mut page = json!({
            "topics": shown.into_iter().map(|(name, topic)| topic.view(&name)).collect::<Vec<_>>(),
            "next": next,
            // Nobody knows it without all names of all nodes.
            "total": is_whole.then_some(total),
        });
        note(&mut page, &answers.unanswered);
        Ok(answer(StatusCode::OK, &page))
    }

    /// A topic, with its subscribers on all nodes.
    pub(super) async fn topic_across(
        &self,
        cluster: &Cluster,
        name: &str,
        query: &str,
    ) -> Result<Answer, Refusal> {
        Query::parse(query, &[])?;
        let path = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let answers = self
            .ask_each(cluster, |_| format!("/topics/{path}"))
            .await?;
        let mut topic = Topic::default();
        let mut nodes = BTreeMap::new();
        for (node, found) in &answers.nodes {
            topic.add(found);
            nodes.insert(node, found["subscribers"].clone());
        }
        let mut shown = topic.view(name);
        shown["nodes"] = json!(nodes);
        note(&mut shown, &answers.unanswered);
        Ok(answer(StatusCode::OK, &shown))
    }
}

/// A page of connections, node by node.
struct Page {
    limit: usize,
    connections: Vec<Value>,
    next: Option<Cursor>,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            connections: Vec::new(),
            next: None,
        }
    }

    fn room(&self) -> usize {
        self.limit - self.connections.len()
    }

    /// Whether some of a node's connections will be on another page, and it did not say which.
    fn has_too_many(&self, found: &Value) -> bool {
        let length = found["connections"].as_array().map_or(0, Vec::len);
        self.next.is_none() && self.room() > 0 && length > self.room()
    }

    /// Adds what a node has found.
    fn add(&mut self, node: &str, found: &Value) {
        let list = found["connections"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        if self.next.is_some() || list.is_empty() {
            return;
        }
        let cursor = |after| Cursor {
            node: node.to_owned(),
            after,
        };
        if self.room() == 0 {
            self.next = Some(cursor(None));
            return;
        }
        self.next = found["next"].as_u64().map(Some).map(cursor);
        for connection in list.iter().take(self.room()) {
            let mut connection = connection.clone();
            connection["node"] = node.into();
            self.connections.push(connection);
        }
    }

    /// The page as it is shown, and the number of all connections that match.
    fn view(self, answers: &Answers) -> (Value, u64) {
        let of_node = |page: &Value| page["total"].as_u64().unwrap_or_default();
        let nodes = answers.nodes.iter();
        let nodes: BTreeMap<&String, u64> =
            nodes.map(|(node, page)| (node, of_node(page))).collect();
        let total = nodes.values().fold(0, |sum: u64, n| sum.saturating_add(*n));
        let mut shown = json!({
            "connections": self.connections,
            "next": self.next.map(|next| next.to_string()),
            "total": total,
            "nodes": nodes,
        });
        note(&mut shown, &answers.unanswered);
        (shown, total)
    }
}

/// A topic, as several nodes have it.
#[derive(Debug, Default)]
struct Topic {
    subscribers: u64,
    messages: u64,
}

impl Topic {
    fn add(&mut self, found: &Value) {
        let number = |name: &str| found[name].as_u64().unwrap_or_default();
        self.subscribers = self.subscribers.saturating_add(number("subscribers"));
        // A push is counted by each node that has subscribers.
        self.messages = self.messages.max(number("messages"));
    }

    fn view(&self, name: &str) -> Value {
        json!({ "topic": name, "subscribers": self.subscribers, "messages": self.messages })
    }
}

/// The topics of several pages, up to the name where the first of them ends, which comes second.
fn merge<'a>(pages: impl Iterator<Item = &'a Value>) -> (BTreeMap<String, Topic>, Option<String>) {
    let mut topics = BTreeMap::<String, Topic>::new();
    let mut end: Option<String> = None;
    for page in pages {
        if let Some(next) = page["next"].as_str()
            && end.as_deref().is_none_or(|end| next < end)
        {
            end = Some(next.to_owned());
        }
        for topic in page["topics"].as_array().into_iter().flatten() {
            let name = topic["topic"].as_str().unwrap_or_default();
            topics.entry(name.to_owned()).or_default().add(topic);
        }
    }
    if let Some(end) = &end {
        topics.retain(|name, _| name <= end);
    }
    (topics, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(numbers: &[u64], next: Option<u64>) -> Value {
        let connections: Vec<_> = numbers.iter().map(|n| json!({ "number": n })).collect();
        json!({ "connections": connections, "next": next, "total": 9 })
    }

    #[test]
    fn a_page_goes_from_node_to_node_and_says_where_the_next_begins() {
        let mut whole = Page::new(3);
        whole.add("a", &page(&[1, 2], None));
        whole.add("b", &page(&[1], None));
        whole.add("c", &page(&[], None));
        assert_eq!((whole.connections.len(), whole.next), (3, None));
        let mut cut = Page::new(3);
        cut.add("a", &page(&[1, 2], None));
        assert!(cut.has_too_many(&page(&[1, 2], None)) && cut.room() == 1);
        cut.add("b", &page(&[1], Some(1)));
        cut.add("c", &page(&[1], None));
        assert_eq!(cut.next.unwrap().to_string(), "b:1");
        let mut full = Page::new(1);
        full.add("a", &page(&[1], None));
        full.add("b", &page(&[1], None));
        assert_eq!(full.next.unwrap().to_string(), "b:");
        assert_eq!(full.connections[0]["node"], "a");
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = |text| Cursor::parse(text).map_err(|refusal| refusal.status.as_u16());
        let read = cursor(Some("b:7")).unwrap();
        assert_eq!(read.to_string(), "b:7");
        assert_eq!(
            [read.after("a"), read.after("b"), read.after("c")],
            [None, Some(7), None]
        );
        assert!(read.is_past("a") && !read.is_past("b"));
        for start in [None, Some(":"), Some("a:")] {
            let start = cursor(start).unwrap();
            assert!(!start.is_past("a") && start.after("a").is_none());
        }
        for bad in ["", "7", "b:x", "b:-1"] {
            assert_eq!(cursor(Some(bad)), Err(400), "{bad:?}");
        }
    }

    #[test]
    fn topics_are_merged_as_far_as_all_nodes_have_told() {
        let topic = |name: &str, n: u64| json!({ "topic": name, "subscribers": n, "messages": n });
        let pages = [
            json!({ "topics": [topic("a", 1), topic("c", 1)], "next": "c" }),
            json!({ "topics": [topic("a", 2), topic("b", 1), topic("d", 1)], "next": null }),
        ];
        let (topics, next) = merge(pages.iter());
        assert_eq!(next.as_deref(), Some("c"));
        let names: Vec<_> = topics.keys().map(String::as_str).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((topics["a"].subscribers, topics["a"].messages), (3, 2));
    }
}
