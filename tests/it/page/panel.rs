//! The page's panel of the server's side.

use echobeat::{ApiConfig, ServerConfig};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::browser::{ENTER, Page};
use crate::api::{connect, serve, serve_with};
use crate::support::{TestServer, config};

impl Page {
    /// Opens the page, and waits until its own connection is in the list.
    async fn with_panel(profile: &str, server: &TestServer) -> Self {
        let page = Self::of(profile, server).await;
        page.until("names().length === 1 && text('roster').includes('this page')")
            .await;
        page
    }

    /// Chooses the connection of this name in the list.
    async fn choose(&self, name: &str) {
        let name = json!(name);
        self.value(&format!(
            "[...document.querySelectorAll('.member')]
                .find((member) => member.querySelector('bdi').textContent === {name})
                .querySelector('input').click()"
        ))
        .await;
    }

    /// Pushes what the form has to these receivers, and expects this answer.
    async fn push(&self, to: &str, topic: &str, answer: &str) {
        let (to, topic, answer) = (json!(to), json!(topic), json!(answer));
        self.value(&format!(
            "(field('push-card').open = true, field('push-to').value = {to},
              field('push-to').dispatchEvent(new Event('input')),
              field('push-topic').value = {topic}, field('push').requestSubmit())"
        ))
        .await;
        self.until(&format!("text('push-answer').endsWith({answer})"))
            .await;
    }

    /// Connects to this path, and waits until the connection is open.
    async fn reconnect_to(&self, path: &str) {
        self.browser.fill("url", path).await;
        self.browser.click("connect").await;
        self.until("text('state-title') === 'Connected' && text('ending') === ''")
            .await;
    }

    /// Waits for the server's verdict on the page's connection.
    async fn verdict(&self, sentence: &str) {
        let sentence = json!(format!("The server’s verdict: {sentence}"));
        self.until(&format!("text('ending') === {sentence}")).await;
    }

    /// Waits for a verdict that begins and ends so.
    async fn verdict_with(&self, begin: &str, end: &str) {
        let begin = json!(format!("The server’s verdict: {begin}"));
        let end = json!(end);
        self.until(&format!(
            "text('ending').startsWith({begin}) && text('ending').endsWith({end})"
        ))
        .await;
    }
}

fn close(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_list_of_connections_is_live() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-live", &server).await;
    let mut client = connect(server.address, "/chat?id=other&topic=a&topic=b&x=1").await;
    page.until(
        "names().length === 2 && names()[0] === 'other' && text('server-count') === '2 open'",
    )
    .await;
    let row = "document.querySelector('.member').innerText";
    let shown = page.value(row).await;
    for part in [
        "/chat?x=1\n",
        "topics a, b\n",
        "127.0.0.1:",
        "0 in · 0 out · since ",
    ] {
        assert!(shown.as_str().unwrap().contains(part), "{part}: {shown}");
    }
    client.echo("counted").await;
    page.until(&format!("{row}.includes('1 in · 1 out')")).await;

    client.close(close(1000, "")).await;
    page.until("names().length === 1 && text('server-count') === '1 open'")
        .await;
    let sentence = "The client sent Close 1000 first, the server answered, TCP ended by FIN.";
    page.until(&format!("text('ended').endsWith('{sentence}')"))
        .await;
    assert_eq!(page.value("text('ended').startsWith('other')").await, true);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_list_is_bounded_and_says_how_many_more_there_are() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-many", &server).await;
    let mut clients = Vec::new();
    for n in 1..=120 {
        clients.push(connect(server.address, &format!("/?id=client-{n}")).await);
    }
    page.until("text('server-count') === '121 open' && names()[0] === 'client-120'")
        .await;
    assert_eq!(page.value("names().length").await, 100);
    assert_eq!(
        page.value("text('roster-more')").await,
        "These are the newest; 21 more are open."
    );
    // Of however many there are, the newest come first.
    let asked = page
        .value(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).searchParams)
                .filter((query) => query.get('state') === 'open').map((query) => query.get('order'))",
        )
        .await;
    let asked = asked.as_array().expect("a list");
    assert!(
        !asked.is_empty() && asked.iter().all(|order| order == "newest"),
        "{asked:?}"
    );
    // Those that are older take the place of newer ones that end.
    for client in clients.drain(20..) {
        drop(client);
    }
    page.until("text('server-count') === '21 open' && names().length === 21")
        .await;
    assert_eq!(page.value("text('roster-more')").await, "");
    assert_eq!(page.value("field('ended').childElementCount").await, 20);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_push_arrives_and_its_answer_is_shown() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-push", &server).await;
    let mut client = connect(server.address, "/?id=one&topic=news").await;
    page.until("names()[0] === 'one'").await;

    page.value("field('push-body').value = 'to all, ünd <b>each</b>'")
        .await;
    page.push("all", "", "Delivered to 2, skipped 0.").await;
    let pushed = Message::from("to all, ünd <b>each</b>");
    assert_eq!(client.next().await, pushed);
    page.until("preview(last('text')) === 'to all, ünd <b>each</b>'")
        .await;

    page.value("field('push-body').value = 'to a topic'").await;
    page.push("topic", "news", "Delivered to 1, skipped 0.")
        .await;
    assert_eq!(client.next().await, "to a topic".into());
    page.push("topic", "no one's", "Nobody was there.").await;
    assert_eq!(
        page.value("[...field('push-topics').children].map(({ value }) => value)")
            .await,
        json!(["news"])
    );

    page.push("one", "", "").await;
    page.until("text('push-problem').startsWith('Choose a connection')")
        .await;
    page.choose("one").await;
    page.value("field('push-body').value = 'to one'").await;
    page.push("one", "", "Delivered to 1, skipped 0.").await;
    assert_eq!(client.next().await, "to one".into());
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_connection_is_closed_with_a_code_or_cut() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-close", &server).await;
    let own = page.value("names()[0]").await;
    let own = own.as_str().expect("a name");
    page.value("field('end-card').open = true").await;
    page.browser.click("end-button").await;
    page.until("text('end-problem').startsWith('Choose a connection')")
        .await;
    page.choose(own).await;
    page.browser.fill("end-code", "4001").await;
    page.browser.fill("end-reason", "bye").await;
    page.browser.click("end-button").await;
    page.until("text('state-title') === 'Closed 4001'").await;
    page.verdict(
        "The server sent Close 4001 “bye” first, you answered, TCP ended by FIN. \
         Why: it was asked for by the API.",
    )
    .await;
    page.until("rows().some((row) => preview(row).startsWith('The server’s verdict: '))")
        .await;
    page.until(&format!(
        "text('end-answer').endsWith(' · Asked to close {own}.')"
    ))
    .await;

    for (button, tcp) in [("end-fin", "FIN"), ("end-rst", "RST")] {
        page.browser.click("connect").await;
        page.until(&format!("names().includes('{own}')")).await;
        page.choose(own).await;
        page.browser.click(button).await;
        page.until("text('state-title') === 'Closed 1006'").await;
        page.verdict_with(
            &format!("Nobody sent a Close, TCP ended by {tcp}"),
            ". Why: it was asked for by the API.",
        )
        .await;
    }

    // A code that may not be sent is refused with the server's sentence.
    page.browser.click("connect").await;
    page.until(&format!("names().includes('{own}')")).await;
    page.choose(own).await;
    page.browser.fill("end-code", "1005").await;
    page.browser.click("end-button").await;
    page.until("text('end-problem').startsWith('A code is 1000 to 1003')")
        .await;
    page.close_after_failures().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_verdict_on_the_pages_connection_is_a_sentence() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        max_message_size: 1024,
        ..config()
    })
    .await;
    let page = Page::with_panel("page-panel-verdict", &server).await;
    page.browser.click("disconnect").await;
    page.verdict("You sent Close 1000 first, the server answered, TCP ended by FIN.")
        .await;
    for (steps, sentence) in [
        (
            "close:4001:bye@1msg",
            "The server sent Close 4001 “bye” first, you answered, TCP ended by FIN. \
             Why: it was asked for by the step close of do.",
        ),
        (
            "close:none@1msg",
            "The server sent a Close without a code first, you answered, TCP ended by FIN. \
             Why: it was asked for by the step close of do.",
        ),
        (
            "fin@1msg",
            "Nobody sent a Close, TCP ended by FIN. Why: it was asked for by the step fin of do.",
        ),
    ] {
        page.reconnect_to(&format!("/?do={steps}")).await;
        page.say("the message that it waits for").await;
        page.verdict(sentence).await;
    }

    page.reconnect_to("/?do=rst@1msg").await;
    page.say("the message that it waits for").await;
    page.verdict_with(
        "Nobody sent a Close, TCP ended by RST",
        ". Why: it was asked for by the step rst of do.",
    )
    .await;

    page.reconnect_to("/").await;
    page.send_many(1, 1025).await;
    page.verdict_with(
        "The server sent Close 1009 “message over 1024 bytes” first, ",
        ", TCP ended by FIN. Why: a message was too big: message over 1024 bytes.",
    )
    .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_page_names_its_connection_in_its_url_if_it_may() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-name", &server).await;
    let url = "field('url').value";
    let named = page
        .value(&format!("{url}.endsWith('/?id=' + names()[0])"))
        .await;
    assert_eq!(named, true, "{}", page.value(url).await);

    // A name of the user's own is kept.
    page.reconnect_to("/chat?id=mine").await;
    page.until("names().join() === 'mine' && text('roster').includes('this page')")
        .await;
    page.browser.click("disconnect").await;
    page.verdict("You sent Close 1000 first, the server answered, TCP ended by FIN.")
        .await;

    page.browser.click("own-url").await;
    page.browser.click("named").await;
    let plain = format!("ws://{}/", server.address);
    assert_eq!(page.value(url).await, plain);
    page.reconnect_to("/").await;
    page.until("names().length === 1 && !text('roster').includes('this page')")
        .await;
    assert_eq!(page.value(url).await, plain);
    page.browser.click("disconnect").await;
    page.until("text('ending').startsWith('Without a name')")
        .await;

    // The choice outlives the page.
    page.browser.reload().await;
    page.until("text('state-title') === 'Connected'").await;
    assert_eq!(page.value("field('named').checked").await, false);
    assert_eq!(page.value(url).await, plain);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_panel_asks_for_the_token_and_keeps_it_in_memory_alone() {
    let server = serve_with(ApiConfig {
        token: Some("secret-token".parse().unwrap()),
        ..ApiConfig::default()
    })
    .await;
    let page = Page::of("page-panel-token", &server).await;
    page.until("isShown('token-form') && !isShown('roster') && !isShown('push-section')")
        .await;
    page.until("text('state-title') === 'Connected' && text('echo-count') === '1'")
        .await;
    assert_eq!(
        page.value("text('server-count') + text('roster-more')")
            .await,
        ""
    );
    // Nothing is asked before there is a token.
    assert!(page.browser.complaints().await.is_empty());

    page.browser.fill("token", &format!("wrong{ENTER}")).await;
    page.until("text('server-problem') === 'The server does not take this token.'")
        .await;
    assert_eq!(page.value("field('token').ariaInvalid").await, "true");
    page.browser.fill("token", &format!("nö{ENTER}")).await;
    page.until("text('server-problem').startsWith('A token has visible')")
        .await;

    page.browser
        .fill("token", &format!("secret-token{ENTER}"))
        .await;
    page.until("isShown('roster') && !isShown('token-form') && names().length === 1")
        .await;
    page.push("all", "", "Delivered to 1, skipped 0.").await;
    let stored = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])";
    let stored = page.value(stored).await;
    assert!(
        !stored.as_str().unwrap().contains("secret-token"),
        "{stored}"
    );
    page.browser.reload().await;
    page.until("isShown('token-form') && !isShown('roster')")
        .await;
    page.close_after_failures().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn there_is_no_panel_where_the_page_has_no_api() {
    let without = TestServer::start().await;
    let elsewhere = serve_with(ApiConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        ..ApiConfig::default()
    })
    .await;
    for (profile, server) in [
        ("page-no-api", &without),
        ("page-api-elsewhere", &elsewhere),
    ] {
        let page = Page::of(profile, server).await;
        page.browser.click("disconnect").await;
        page.until("text('state-title') === 'Closed 1000'").await;
        for id in [
            "server",
            "push-section",
            "end-section",
            "named-field",
            "ending",
        ] {
            assert_eq!(
                page.value(&format!("isShown('{id}') && text('{id}') !== ''"))
                    .await,
                false,
                "{id}"
            );
        }
        let url = format!("ws://{}/", server.address);
        assert_eq!(page.value("field('url').value").await, url);
        let asked = "performance.getEntriesByType('resource').map(({ name }) => name)";
        assert_eq!(page.value(asked).await, json!([]));
        page.close().await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn names_of_strangers_are_shown_as_text() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-hostile", &server).await;
    let html = "<img src=x onerror=\"document.title='broken'\">";
    let escaped = "%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D%27broken%27%22%3E";
    let path = format!("/%3Cscript%3E?id={escaped}%E2%80%AEgpj&topic={escaped}&q=%3Cb%3E");
    let client = connect(server.address, &path).await;
    page.until(&format!(
        "names()[0] === {}",
        json!(format!("{html}\\u{{202e}}gpj"))
    ))
    .await;
    page.until(&format!(
        "text('roster').includes({})",
        json!(format!("topic {html}"))
    ))
    .await;
    page.push("topic", html, "Delivered to 1, skipped 0.").await;
    let mut client = client;
    client.next().await;
    client.close(close(4000, "<i>\u{202e}</i>")).await;
    page.until("text('ended').includes('Close 4000 “<i>\\\\u{202e}</i>” first')")
        .await;
    let elements = "document.querySelectorAll('#server :is(img, script, b, i)').length";
    assert_eq!(page.value(elements).await, 0);
    assert_eq!(page.value("document.title.includes('broken')").await, false);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_panel_follows_the_server_over_a_restart() {
    let server = serve().await;
    let address = server.address;
    let page = Page::with_panel("page-panel-restart", &server).await;
    server.stop().await.expect("the server stops");
    page.until("text('server-note').endsWith('Trying again …')")
        .await;
    let _server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        listen: vec![address.to_string().parse().unwrap()],
        ..config()
    })
    .await;
    page.until(
        "text('server-note') === '' && names().length === 0 && text('server-count') === '0 open'",
    )
    .await;
    let _client = connect(address, "/?id=new").await;
    page.until("names().join() === 'new'").await;
    page.close_after_failures().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_panel_can_be_used_by_keyboard_alone_and_on_small_screens() {
    let server = serve().await;
    let page = Page::with_panel("page-panel-keyboard", &server).await;
    let client = connect(server.address, "/?id=second").await;
    page.until("names().length === 2").await;
    page.tab_to(None, "#roster input").await;
    page.press(" ").await;
    let actions =
        "[...document.querySelectorAll('.actions')].filter((actions) => !actions.hidden).length";
    page.until(&format!("{actions} === 1")).await;
    // The next row, and back.
    page.press("\u{e015}").await;
    page.until("document.querySelectorAll('.member')[1].querySelector('input').checked")
        .await;
    page.press("\u{e013}").await;
    page.until("document.querySelector('.member input').checked")
        .await;
    page.tab_to(None, ".actions button").await;
    page.press(ENTER).await;
    page.until("document.activeElement.id === 'push-body' && field('push-to').value === 'one'")
        .await;
    page.tab_to(None, "#push-button").await;
    page.press(ENTER).await;
    page.until("text('push-answer').endsWith('Delivered to 1, skipped 0.')")
        .await;

    // The focus stays in the list when its row goes.
    page.value("document.querySelector('.member input').focus()")
        .await;
    drop(client);
    page.until("names().length === 1 && document.activeElement.matches('.member input')")
        .await;

    let screen = json!({ "width": 360, "height": 780, "deviceScaleFactor": 1.0, "mobile": true });
    page.browser
        .emulate("setDeviceMetricsOverride", screen)
        .await;
    page.until("innerWidth === 360").await;
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(page.value(fits).await, Value::Bool(true));
    page.close().await;
}
