//! Readers of others: a page's `EventSource`, and curl.

use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::READERS;
use crate::api::{connect, serve};
use crate::browser::Browser;
use crate::support::soon;

/// Script of a page that reads an `EventSource` until a connection of its own is closed.
const LISTEN: &str = "
    const done = arguments[0];
    const got = [];
    const source = new EventSource('/events?topic=a');
    for (const name of ['opened', 'message', 'closed']) {
        source.addEventListener(name, (event) => {
            const data = JSON.parse(event.data);
            got.push([Number(event.lastEventId) > 0, name, data.text ?? data.id]);
            if (name !== 'closed') return;
            source.close();
            done(got);
        });
    }
    source.onopen = () => {
        const socket = new WebSocket(`ws://${location.host}/?id=me&topic=a`);
        socket.onopen = () => socket.send('hello');
        socket.onmessage = () => socket.close(4001, 'bye');
    };";

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn an_event_source_in_a_page_gets_the_events() {
    let server = serve().await;
    let browser = Browser::start("events").await;
    browser.open(&format!("http://{}/", server.address)).await;
    let got = browser.run(LISTEN, Vec::new()).await;
    browser.close().await;
    let all = [
        ("opened", "me"),
        ("message", "hello"),
        ("message", "hello"),
        ("message", "bye"),
        ("message", "bye"),
        ("closed", "me"),
    ];
    assert_eq!(
        got,
        json!(all.map(|(name, text)| json!([true, name, text])))
    );
}

#[tokio::test]
#[ignore = "needs curl"]
async fn curl_shows_events_as_they_come() {
    let server = serve().await;
    let mut curl = Command::new("curl")
        .args(["--no-buffer", "--silent"])
        .arg(format!("http://{}/events", server.address))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("curl is installed");
    let stdout = curl.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    server.raw().await.counts(READERS, 1).await;
    let _client = connect(server.address, "/?id=me").await;
    for expected in ["id: 1", "event: opened"] {
        let line = soon(lines.next_line()).await.expect("a pipe");
        assert_eq!(line.as_deref(), Some(expected));
    }
    soon(server.stop()).await.expect("it stops");
    let status = soon(curl.wait()).await.expect("curl ends");
    assert!(status.success(), "the stream ended in good order: {status}");
}
