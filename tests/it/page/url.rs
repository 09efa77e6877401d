//! The page's URL field: what is typed is completed and shown, or refused with a sentence.

use serde_json::json;

use super::browser::Page;
use crate::support::TestServer;

impl Page {
    async fn connect_to(&self, typed: &str) {
        self.browser.fill("url", typed).await;
        self.browser.click("connect").await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_url_that_is_not_whole_is_completed_and_shown() {
    let server = TestServer::start().await;
    let page = Page::of("page-url", &server).await;
    let address = server.address;
    for (typed, path) in [
        (format!("{address}"), "/"),
        (format!("  {address}/chat "), "/chat"),
        (format!("localhost:{}", address.port()), "/"),
        (format!("//{address}/x"), "/x"),
        (format!("ws://{address}"), "/"),
        (format!("HTTP://{address}/a?b=c"), "/a?b=c"),
        (
            "/path of mine?do=greet:h i".to_owned(),
            "/path%20of%20mine?do=greet:h%20i",
        ),
        ("?do=greet:hi".to_owned(), "/?do=greet:hi"),
    ] {
        page.value("field('clear').click()").await;
        page.connect_to(&typed).await;
        page.until("text('state-title') === 'Connected'").await;
        let host = match typed.strip_prefix("localhost") {
            Some(port) => format!("localhost{port}"),
            None => address.to_string(),
        };
        let url = format!("ws://{host}{path}");
        assert_eq!(page.value("field('url').value").await, url, "{typed}");
        let said = json!(format!("Connecting to {url}"));
        page.until(&format!("rows().some((row) => preview(row) === {said})"))
            .await;
        assert_eq!(page.value("field('url').ariaInvalid").await, "false");
    }
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn what_is_no_url_is_refused_with_a_sentence_and_nothing_is_connected() {
    let server = TestServer::start().await;
    let page = Page::of("page-no-url", &server).await;
    for (typed, sentence) in [
        ("", "Type a URL"),
        ("   ", "Type a URL"),
        ("ws://", "There is no host"),
        ("wss:///path", "There is no host"),
        ("https://", "There is no host"),
        ("//", "There is no host"),
        ("ws:", "Behind ws: there must be two slashes"),
        ("wss:/host", "Behind wss: there must be two slashes"),
        (
            "ftp://x",
            "A WebSocket URL begins with ws:// or wss://, not with ftp://",
        ),
        (
            "mailto:me",
            "A WebSocket URL begins with ws:// or wss://, not with mailto:",
        ),
        (
            "localhost:",
            "A WebSocket URL begins with ws:// or wss://, not with localhost:",
        ),
        ("/chat#end", "A WebSocket URL has no fragment"),
        ("two words", "“ws://two words” is no URL"),
        ("host:70000", "“ws://host:70000” is no URL"),
        ("::1:8002", "“ws://::1:8002” is no URL: an IPv6 address"),
    ] {
        page.connect_to(typed).await;
        let sentence = json!(sentence);
        page.until(&format!(
            "text('connection-problem').startsWith({sentence})"
        ))
        .await;
        let state = "[text('state-title'), field('url').ariaInvalid, field('url').value]";
        assert_eq!(
            page.value(state).await,
            json!(["Not connected", "true", typed])
        );
    }
    page.connect_to("/").await;
    page.until("text('state-title') === 'Connected' && text('connection-problem') === ''")
        .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_url_is_explained_while_it_is_typed() {
    let server = TestServer::start().await;
    let page = Page::of("page-reading", &server).await;
    let own = format!("ws://{}/", server.address);
    for (typed, note) in [
        (
            "foo",
            "Connects to ws://foo/ (ws, as the page came by http)".to_owned(),
        ),
        ("https://foo", "Connects to wss://foo/".to_owned()),
        (
            "/chat",
            format!("A path on the server of this page: {own}chat"),
        ),
    ] {
        page.browser.fill("url", typed).await;
        let note = json!(format!("{note} · Still connected to {own}"));
        page.until(&format!("text('connection-note') === {note}"))
            .await;
    }
    page.browser.click("own-url").await;
    page.until("text('connection-note') === ''").await;
    page.close().await;
}
