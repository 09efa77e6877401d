//! Compression, as a browser has it: it offers permessage-deflate by itself.

use serde_json::json;

use super::browser::Page;
use crate::support::TestServer;

/// Sends messages of all kinds over a WebSocket of the browser, and calls back with the extensions
/// and the number of messages that came back.
const SCRIPT: &str = "
    const [url, done] = arguments;
    const noise = (size) => {
        const bytes = new Uint8Array(size);
        for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
        return bytes;
    };
    const messages = [
        '', new Uint8Array(0), 'hello', 'hello', 'to and fro '.repeat(10_000), noise(100), noise(70_000),
        noise(5_000_000), new Uint8Array(5_000_000), 'x'.repeat(5_000_000),
    ];
    const same = (sent, got) => typeof sent === 'string' ? sent === got
        : got instanceof ArrayBuffer && got.byteLength === sent.length
            && new Uint8Array(got).every((byte, at) => byte === sent[at]);
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    let came = 0;
    socket.onopen = () => messages.forEach((message) => socket.send(message));
    socket.onmessage = ({ data }) => {
        if (!same(messages[came], data)) return done(['differs', came]);
        came += 1;
        if (came === messages.length) done([socket.extensions, came]);
    };
    socket.onclose = ({ code }) => done(['closed', code]);";

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_browser_compresses_and_the_page_says_so() {
    let server = TestServer::start().await;
    let page = Page::of("page-compression", &server).await;
    page.until("text('state-note').includes('permessage-deflate')")
        .await;
    page.browser.fill("url", "/?do=deflate:off").await;
    page.browser.click("connect").await;
    let is_plain =
        "text('state-title') === 'Connected' && !text('state-note').includes('permessage')";
    page.until(is_plain).await;
    let no_takeover = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
    for (step, agreed) in [
        ("", no_takeover),
        ("?do=fragment:64KiB", no_takeover),
        (
            "?do=deflate:takeover&do=fragment:1KiB",
            "permessage-deflate",
        ),
        ("?do=deflate:takeover", "permessage-deflate"),
        ("?do=deflate:off", ""),
    ] {
        let url = format!("ws://{}/{step}", server.address);
        let came = page.browser.run(SCRIPT, vec![json!(url)]).await;
        let words = |extensions: &str| {
            let mut words: Vec<_> = extensions.split("; ").map(str::to_owned).collect();
            words.sort_unstable();
            words
        };
        assert_eq!(
            words(came[0].as_str().unwrap_or_default()),
            words(agreed),
            "{came}"
        );
        assert_eq!(came[1], 10, "{came}");
    }
    page.close().await;
}
