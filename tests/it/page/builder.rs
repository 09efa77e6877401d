//! The page's builder of faults, and what it says of a handshake that failed.

use echobeat::ServerConfig;
use serde_json::json;

use super::browser::Page;
use crate::support::{TestServer, config};

const STEPS_FIELD: &str = "isShown('step-fields')";

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_fault_from_the_builder_is_shown_with_its_code() {
    let server = TestServer::start().await;
    let page = Page::of("page-fault", &server).await;
    page.add_step("greet", "a, b", "").await;
    page.add_step("close", "4001:bye, @you", "3msg").await;
    page.until("steps().length === 2").await;
    page.browser.click("connect").await;
    page.until("rows().some((row) => preview(row) === 'a, b')")
        .await;
    for text in ["one", "two", "three"] {
        page.say(text).await;
    }
    page.until("text('state-title') === 'Closed 4001'").await;
    page.until("text('state-note').includes('bye, @you')").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_builder_writes_steps_into_the_url_as_the_url_needs_them() {
    let server = TestServer::start().await;
    let page = Page::of("page-builder", &server).await;
    page.value("field('url').value += '?x=a+b%20c&do=deaf@1s,say:a:b@home'")
        .await;
    page.value("field('url').dispatchEvent(new Event('input'))")
        .await;
    for (name, value, time) in [
        ("close", r"4001:a,b @ü&#+%'\", "3msg"),
        ("deaf", "", "5s"),
        ("who", "", ""),
    ] {
        page.add_step(name, value, time).await;
    }
    page.until("steps().length === 4").await;
    let listed = json!([
        "say:a:b@home",
        r"close:4001:a\,b \@ü&#+%'\\@3msg",
        "deaf@5s",
        "who"
    ]);
    page.until(&format!(
        "JSON.stringify(steps()) === JSON.stringify({listed})"
    ))
    .await;
    let list =
        "do=say:a:b@home,close:4001:a%5C,b%20%5C@%C3%BC%26%23%2B%25%27%5C%5C@3msg,deaf@5s,who";
    assert_eq!(page.value("text('do-text')").await, list);
    let url = format!("ws://{}/?x=a+b%20c&{list}", server.address);
    assert_eq!(page.value("field('url').value").await, url);

    // A parser of URLs leaves it as it is, and the server reads the same.
    assert_eq!(page.value("new URL(field('url').value).href").await, url);
    page.browser.click("connect").await;
    page.until("rows().some((row) => preview(row)?.includes('\"authority\":'))")
        .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_builder_says_what_is_wrong_in_the_words_of_the_server() {
    let server = TestServer::start().await;
    let page = Page::of("page-judge", &server).await;
    page.add_step("beat", "off", "").await;
    page.until("steps().length === 1").await;
    for (name, value, time, sentence) in [
        ("delay", "abc", "", "The step \"delay:abc\" is wrong"),
        ("delay", "", "", "The step \"delay\" is wrong"),
        (
            "stall",
            "",
            "soon",
            "What is behind the @ of \"stall@soon\"",
        ),
        (
            "say",
            "x",
            "",
            "The steps beat and say contradict each other",
        ),
    ] {
        page.add_step(name, value, time).await;
        let sentence = json!(sentence);
        page.until(&format!("text('step-problem').startsWith({sentence})"))
            .await;
        page.until("steps().length === 1").await;
    }
    assert_eq!(page.value("field('step-value').ariaInvalid").await, "true");

    // An earlier mistake does not keep a valid step from being added, and is shown beside the URL.
    page.value(
        "(field('url').value += ',delay:abc', field('url').dispatchEvent(new Event('input')))",
    )
    .await;
    page.until("text('connection-problem').includes('delay:abc')")
        .await;
    page.add_step("wait", "1ms", "").await;
    page.until("steps().length === 3 && text('step-problem') === ''")
        .await;

    // A step that may be there only once replaces the one that was there.
    page.add_step("beat", "2s", "").await;
    page.until("steps().join() === 'delay:abc,wait:1ms,beat:2s'")
        .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_builder_offers_no_faults_where_they_are_switched_off() {
    let server = TestServer::start_with(ServerConfig {
        faults: false,
        ..config()
    })
    .await;
    let page = Page::of("page-no-faults", &server).await;
    page.browser.click("faults-card").await;
    page.until("isShown('faults-off') && text('faults-count') === 'off'")
        .await;
    assert_eq!(page.value(STEPS_FIELD).await, false);

    // Another server may have some.
    page.browser.fill("url", "ws://192.0.2.1/").await;
    page.until(STEPS_FIELD).await;
    page.browser
        .open(&format!("http://{}/?do=who", server.address))
        .await;
    page.until("text('connection-problem').startsWith('The server answers 403: Faults on demand')")
        .await;
    page.close_after_failures().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_handshake_that_failed_is_explained() {
    let server = TestServer::start_with(ServerConfig {
        paths: vec!["/ws".parse().unwrap()],
        subprotocols: vec!["chat".parse().unwrap()],
        ..config()
    })
    .await;
    let page = Page::of("page-refused", &server).await;
    for (url, offers, reason) in [
        (
            "/ws?do=delay:abc",
            "",
            "The server answers 400: The step \"delay:abc\" is wrong",
        ),
        (
            "/ws?do=refuse:401",
            "",
            "The server answers 401: This is what the step refuse:401",
        ),
        (
            "/ws?do=refuse:302:/x",
            "",
            "The server answers 302: This is what",
        ),
        (
            "/other",
            "",
            "The server answers 404: No WebSocket here. Connect to /ws.",
        ),
        (
            "/ws?do=accept:wrong",
            "",
            "The server would accept this handshake now",
        ),
        (
            "/ws",
            "soap",
            "The server selects none of these subprotocols",
        ),
        (
            "/ws?do=subprotocol:new",
            "chat",
            "The server selects the subprotocol new",
        ),
    ] {
        page.browser.fill("subprotocols", offers).await;
        page.browser.fill("url", url).await;
        page.browser.click("connect").await;
        let reason = json!(reason);
        page.until(&format!("text('connection-problem').startsWith({reason})"))
            .await;
        assert_eq!(page.value("text('state-title')").await, "Failed 1006");
        page.until(&format!("preview(rows().at(-1)).startsWith({reason})"))
            .await;
        assert_eq!(page.value("isShown('curl')").await, false, "{reason}");
    }

    let other = TestServer::start().await;
    let url = format!("ws://{}/it's?do=refuse:503", other.address);
    page.browser.fill("url", &url).await;
    page.browser.click("connect").await;
    page.until("isShown('curl')").await;
    let line = page.value("text('curl-line')").await;
    let line = line.as_str().expect("a text");
    let origin = format!("-H 'Origin: http://{}'", server.address);
    assert!(line.contains(&origin), "{line}");
    let place = format!(r"'http://{}/it'\''s?do=refuse:503'", other.address);
    assert!(line.ends_with(&place), "{line}");
    page.close_after_failures().await;
}
