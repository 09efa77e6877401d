//! State that survives a reload of the page, and state that a link to it carries.

use serde_json::json;

use super::browser::{ENTER, Page};
use crate::support::TestServer;

/// Arrow keys, as WebDriver has them.
const UP: &str = "\u{e013}";
const DOWN: &str = "\u{e015}";
const LEFT: &str = "\u{e012}";

impl Page {
    async fn is_in_box(&self, text: &str) {
        let text = json!(text);
        self.until(&format!("field('body').value === {text}")).await;
    }

    async fn press_in_box(&self, keys: &str) {
        self.value("field('body').focus()").await;
        self.browser.press(None, keys).await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn url_steps_and_history_survive_a_reload() {
    let server = TestServer::start().await;
    let page = Page::of("page-reload", &server).await;
    page.add_step("greet", "again", "").await;
    page.until("steps().length === 1").await;
    page.browser.fill("subprotocols", "chat").await;
    page.say("one").await;
    page.say("two").await;
    page.until("text('sent-count') === '3'").await;
    page.browser.reload().await;
    page.until("text('state-title') === 'Connected'").await;
    page.until("rows().some((row) => preview(row) === 'again')")
        .await;
    assert_eq!(page.value("steps()").await, json!(["greet:again"]));
    assert_eq!(page.value("field('subprotocols').value").await, "chat");
    page.press_in_box(UP).await;
    page.is_in_box("two").await;
    page.press_in_box(UP).await;
    page.is_in_box("one").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn arrows_bring_back_what_was_sent_as_in_a_shell() {
    let server = TestServer::start().await;
    let page = Page::of("page-history", &server).await;
    page.say("one").await;
    page.value("document.querySelector('[name=kind][value=hex]').click()")
        .await;
    page.say("0a 0b").await;
    page.until("text('sent-count') === '3'").await;
    page.value("document.querySelector('[name=kind][value=text]').click()")
        .await;
    page.value("field('body').value = 'draft\\nof two lines'")
        .await;
    page.value("field('body').setSelectionRange(18, 18)").await;

    // In the last line of two, the first arrow only moves the caret.
    page.press_in_box(UP).await;
    page.is_in_box("draft\nof two lines").await;
    page.press_in_box(UP).await;
    page.is_in_box("0a 0b").await;
    assert_eq!(
        page.value("document.querySelector('[name=kind]:checked').value")
            .await,
        "hex"
    );
    page.press_in_box(UP).await;
    page.is_in_box("one").await;
    page.press_in_box(&format!("{UP}{UP}")).await;
    page.is_in_box("one").await;
    page.press_in_box(&format!("{DOWN}{DOWN}{LEFT}")).await;
    page.is_in_box("draft\nof two lines").await;
    page.press_in_box(DOWN).await;
    page.is_in_box("draft\nof two lines").await;

    // A long line has several rows: the caret goes through them first.
    page.value("field('body').value = 'word '.repeat(60)").await;
    page.value("field('body').setSelectionRange(300, 300)")
        .await;
    page.press_in_box(UP).await;
    page.is_in_box(&"word ".repeat(60)).await;
    page.press_in_box(ENTER).await;
    page.until("text('sent-count') === '4'").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_link_carries_the_url_and_the_faults() {
    let server = TestServer::start().await;
    let url = format!("http://{}/", server.address);
    let page = Page::load(
        "page-link",
        &format!("{url}?do=greet:h%C3%AF%5C,%26,close:4001@1msg&path=/a%20b%3Fc"),
    )
    .await;
    page.until("rows().some((row) => preview(row) === 'hï,&')")
        .await;
    let own = format!("ws://{}", server.address);
    assert_eq!(
        page.value("field('url').value").await,
        format!("{own}/a%20b%3Fc?do=greet:h%C3%AF%5C,%26,close:4001@1msg")
    );
    page.until("text('state-title') === 'Closed 4001'").await;

    // A path is on this server, whatever it is.
    for (path, expected) in [
        ("//elsewhere.invalid/", "//elsewhere.invalid/"),
        ("@elsewhere.invalid", "/@elsewhere.invalid"),
        (":80", "/:80"),
    ] {
        page.browser.open(&format!("{url}?path={path}")).await;
        page.until("text('state-title') === 'Connected'").await;
        assert_eq!(
            page.value("field('url').value").await,
            format!("{own}{expected}")
        );
    }

    // A reload finds the text typed since, and the link is unchanged.
    page.browser.fill("url", "/typed").await;
    page.browser.reload().await;
    page.until("text('state-title') === 'Connected'").await;
    assert_eq!(
        page.value("field('url').value").await,
        format!("{own}/typed")
    );
    page.browser.open(&format!("{url}?path=/linked")).await;
    page.until("text('state-title') === 'Connected'").await;
    assert_eq!(
        page.value("field('url').value").await,
        format!("{own}/linked")
    );
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn rubbish_in_the_storage_does_no_harm() {
    let server = TestServer::start().await;
    let page = Page::of("page-rubbish", &server).await;
    let own = page.value("field('url').value").await;
    for rubbish in [
        "{",
        "null",
        "\"text\"",
        "[1]",
        r#"{"url":7,"subprotocols":{},"history":"x"}"#,
        r#"{"history":[null,1,{"kind":"file","body":"x"},{"kind":"text"},{"kind":"text","body":"good"}]}"#,
    ] {
        let rubbish = json!(rubbish);
        page.value(&format!(
            "localStorage.setItem(Object.keys(localStorage)[0] ?? 'none', {rubbish})"
        ))
        .await;
        page.browser.reload().await;
        page.greeted().await;
        assert_eq!(page.value("field('url').value").await, own, "{rubbish}");
    }
    page.press_in_box(UP).await;
    page.is_in_box("good").await;

    // No room, or no storage at all.
    page.value("(Storage.prototype.setItem = () => { throw new Error('full'); }, 0)")
        .await;
    page.say("still sent").await;
    page.until("preview(last('text')) === 'still sent'").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_history_is_bounded() {
    let server = TestServer::start().await;
    let page = Page::of("page-bounded", &server).await;
    let script = "
        const [done] = arguments;
        const body = document.getElementById('body');
        for (let number = 0; number < 80; number += 1) {
            body.value = `${number} `.padEnd(number < 70 ? 10 : 60_000, 'x');
            document.getElementById('send').requestSubmit();
            await new Promise((resolve) => setTimeout(resolve));
        }
        const { history } = JSON.parse(Object.values(localStorage)[0]);
        done([history.length, history.reduce((sum, { body }) => sum + body.length, 0), history.at(-1).body.slice(0, 3)]);";
    let script = format!("(async (...arguments) => {{ {script} }})(...arguments)");
    let kept = page.browser.run(&script, Vec::new()).await;
    assert_eq!(kept, json!([2, 120_000, "79 "]));
    page.close().await;
}
