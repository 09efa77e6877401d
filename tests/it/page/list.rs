//! The page's list of messages, and what is sent many times.

use serde_json::{Value, json};

use super::browser::Page;
use crate::support::TestServer;

impl Page {
    async fn filter(&self, filter: &str) {
        let filter = json!(filter);
        self.value(&format!(
            "(field('filter').value = {filter}, field('filter').dispatchEvent(new Event('input')))"
        ))
        .await;
    }

    async fn texts_shown(&self) -> Value {
        self.value("rows().filter((row) => row.dataset.direction === 'in').map(preview)")
            .await
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn new_rows_below_the_end_are_counted_and_one_click_away() {
    let server = TestServer::start().await;
    let page = Page::of("page-newer", &server).await;
    page.send_many(100, 20).await;
    page.until("text('echo-count') === '101' && rows().length > 200")
        .await;
    assert_eq!(page.value("isShown('newer')").await, false);
    page.value("field('list').scrollTop = 0").await;
    page.until("field('list').scrollTop === 0").await;
    page.say("unseen").await;
    page.until("isShown('newer') && text('newer') === '2 new ↓'")
        .await;
    assert_eq!(page.value("field('list').scrollTop").await, 0);
    page.browser.click("newer").await;
    page.until("!isShown('newer')").await;
    page.until(
        "field('list').scrollHeight - field('list').scrollTop - field('list').clientHeight < 40",
    )
    .await;
    page.say("seen").await;
    page.until("preview(last('text')) === 'seen'").await;
    assert_eq!(page.value("isShown('newer')").await, false);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_filter_takes_regular_expressions() {
    let server = TestServer::start().await;
    let page = Page::of("page-filter", &server).await;
    for text in ["Alpha 1", "beta 22", "a/b"] {
        page.say(text).await;
    }
    page.until("text('echo-count') === '4' && preview(last('text')) === 'a/b'")
        .await;
    for (filter, shown) in [
        ("ALPHA", json!(["Alpha 1"])),
        (r"/\d{2}$/", json!(["beta 22"])),
        ("/^ALPHA/i", json!(["Alpha 1"])),
        ("/^ALPHA/", json!([])),
        ("/a|b/g", json!(["Alpha 1", "beta 22", "a/b"])),
        ("/b", json!(["a/b"])),
        (r"/^(?:[a-z]+|x) (\d){2}/", json!(["beta 22"])),
    ] {
        page.filter(filter).await;
        assert_eq!(page.texts_shown().await, shown, "{filter}");
        assert_eq!(page.value("text('filter-problem')").await, "", "{filter}");
    }
    for (filter, problem) in [
        ("/(/", "Invalid regular expression"),
        ("/a/zz", "Invalid flags"),
        ("/(a+)+$/", "A group that repeats"),
        ("/((a|b)c)*/", "A group that repeats"),
        ("/(a?){30}/", "A group that repeats"),
        (
            "/a?a?a?a?a?a?a?a?a?a?a?a?a?/",
            "An expression may have 12 choices",
        ),
    ] {
        page.filter(filter).await;
        let shown = page.value("text('filter-problem')").await;
        assert!(
            shown.as_str().expect("a text").contains(problem),
            "{filter}: {shown}"
        );
        assert_eq!(page.value("field('filter').ariaInvalid").await, "true");
        // An invalid filter hides nothing.
        assert_eq!(page.value("rows().length > 6").await, true, "{filter}");
    }
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn no_regular_expression_blocks_the_page() {
    let server = TestServer::start().await;
    let page = Page::of("page-slow-filter", &server).await;
    page.value("field('body').value = 'a'.repeat(60_000)").await;
    page.value("field('many-count').value = 50").await;
    page.value("field('many-card').open = true").await;
    page.browser.click("many-start").await;
    page.until("text('echo-count') === '51'").await;
    let took = page
        .value(
            "((begun) => {
            field('filter').value = '/a*a*a*a*b/';
            field('filter').dispatchEvent(new Event('input'));
            return performance.now() - begun;
        })(performance.now())",
        )
        .await;
    assert!(took.as_f64() < Some(5_000.0), "{took} ms");
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn many_at_once_sends_the_message_in_the_box() {
    let server = TestServer::start().await;
    let page = Page::of("page-box", &server).await;
    page.value("field('many-card').open = true").await;
    page.value("field('many-count').value = 20").await;
    page.browser.fill("body", "from the box").await;
    page.browser.click("many-start").await;
    page.until("text('echo-count') === '21'").await;
    page.until("rows().filter((row) => preview(row) === 'from the box').length === 40")
        .await;

    page.value("document.querySelector('[name=kind][value=base64]').click()")
        .await;
    page.browser.fill("body", "no base64!").await;
    page.browser.click("many-start").await;
    page.until("text('send-problem') !== ''").await;
    assert_eq!(page.value("text('sent-count')").await, "21");

    page.value("document.querySelector('[name=kind][value=text]').click()")
        .await;
    page.value("(field('body').value = '', field('body').dispatchEvent(new Event('input', { bubbles: true })))")
        .await;
    page.until("text('many-note').startsWith('The box is empty')")
        .await;
    page.browser.click("many-start").await;
    page.until("text('echo-count') === '41'").await;
    assert_eq!(page.value("text('echo-note')").await, "byte for byte");
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn base64_is_taken_and_shown_beside_hex() {
    let server = TestServer::start().await;
    let page = Page::of("page-base64", &server).await;
    page.value("document.querySelector('[name=kind][value=base64]').click()")
        .await;
    for (typed, hex) in [
        ("AAH+/w==", "00 01 fe ff"),
        ("AAH-_w", "00 01 fe ff"),
        ("AA H+", "00 01 fe"),
    ] {
        page.value("field('clear').click()").await;
        page.say(typed).await;
        let hex = json!(hex);
        page.until(&format!(
            "preview(last('binary')) === {hex} && last('binary').dataset.direction === 'in'"
        ))
        .await;
    }
    for (typed, problem) in [
        ("AA*=", "“*” is not a digit of base64"),
        ("A=A=", "“=” stands at the end of base64 alone"),
        ("AAAAA", "one is missing"),
    ] {
        page.say(typed).await;
        let problem = json!(problem);
        page.until(&format!("text('send-problem').includes({problem})"))
            .await;
    }

    page.value("last('binary').querySelector('summary').click()")
        .await;
    page.until("last('binary').querySelector('.detail pre')")
        .await;
    let shown = "last('binary').querySelector('.detail pre').textContent";
    let press = "[...last('binary').querySelectorAll('button')].find((button) => button.textContent === 'Base64').click()";
    page.value(press).await;
    assert_eq!(page.value(shown).await, "AAH+");
    page.value(press).await;
    assert_eq!(
        page.value(&format!("{shown}.startsWith('000000  00 01 fe')"))
            .await,
        true
    );
    page.close().await;
}
