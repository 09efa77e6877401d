//! The page in Chromium.

use std::net::SocketAddr;
use std::time::Duration;

use echobeat::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::browser::Browser;
use crate::support::{TestServer, config};
use crate::tls::Issued;

/// The key that sends, as WebDriver has it.
pub const ENTER: &str = "\u{e007}";

/// Milliseconds until a condition must hold: fewer than [`soon`](crate::support::soon) waits.
const PATIENCE: u32 = 8_000;

/// What conditions and values are written in: the text of an element, and the last rows of the list.
const WORDS: &str = "
    const text = (id) => document.getElementById(id).textContent;
    const rows = () => [...document.querySelectorAll('.entry')];
    const last = (kind) => rows().filter((row) => row.dataset.kind === kind).at(-1);
    const preview = (row) => row?.querySelector('.preview').textContent;
    const field = (id) => document.getElementById(id);
    const steps = () => [...document.querySelectorAll('#steps code')].map((step) => step.textContent);
    const isShown = (id) => field(id).getClientRects().length > 0;
    const names = () => [...document.querySelectorAll('.member bdi')].map((name) => name.textContent);
    const top = (selector) => document.querySelector(selector).getBoundingClientRect().top;";

/// The page, open in a browser of its own.
pub struct Page {
    pub browser: Browser,
}

impl Page {
    /// Opens the page, and waits for what it does by itself: it connects, and says hello.
    async fn open(profile: &str, url: &str) -> Self {
        let page = Self::load(profile, url).await;
        page.greeted().await;
        page
    }

    /// Waits until the page has connected and has said hello, which comes some time later.
    pub async fn greeted(&self) {
        self.until("text('state-title') === 'Connected' && text('echo-count') === '1'")
            .await;
    }

    /// Opens the page.
    pub async fn load(profile: &str, url: &str) -> Self {
        let browser = Browser::start(profile).await;
        browser.open(url).await;
        Self { browser }
    }

    pub async fn of(profile: &str, server: &TestServer) -> Self {
        Self::open(profile, &format!("http://{}/", server.address)).await
    }

    /// Waits until this expression holds.
    pub async fn until(&self, condition: &str) {
        let script = format!(
            "const done = arguments[0]; {WORDS}
             const begun = Date.now();
             const look = () => {{
                 const holds = Boolean({condition});
                 if (holds || Date.now() - begun > {PATIENCE}) done([holds, document.body.innerText]);
                 else setTimeout(look, 20);
             }};
             look();"
        );
        let found = self.browser.run(&script, Vec::new()).await;
        assert_eq!(found[0], true, "{condition}: {}", found[1]);
    }

    /// The value of this expression.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!("const done = arguments[0]; {WORDS} done({expression});");
        self.browser.run(&script, Vec::new()).await
    }

    /// Types a message, and sends it.
    pub async fn say(&self, text: &str) {
        self.browser.fill("body", &format!("{text}{ENTER}")).await;
    }

    /// Sends many messages at once.
    pub async fn send_many(&self, count: usize, size: usize) {
        self.browser
            .run(
                "const [count, size, done] = arguments;
                 document.getElementById('many-card').open = true;
                 document.getElementById('many-what').value = 'text';
                 document.getElementById('many-count').value = count;
                 document.getElementById('many-size').value = size;
                 done();",
                vec![count.into(), size.into()],
            )
            .await;
        self.browser.click("many-start").await;
    }

    /// Fills the builder in, and adds the step.
    pub async fn add_step(&self, name: &str, value: &str, time: &str) {
        let script = "
            const [name, value, time, done] = arguments;
            const field = (id) => document.getElementById(id);
            field('faults-card').open = true;
            field('step').value = name;
            field('step').dispatchEvent(new Event('input'));
            field('step-value').value = value;
            field('step-when').value = time;
            field('faults').requestSubmit();
            done();";
        let step = vec![name.into(), value.into(), time.into()];
        self.browser.run(script, step).await;
    }

    /// Ends the browser, whose console has nothing but that connections failed, as they should.
    pub async fn close_after_failures(self) {
        let complaints = self.browser.complaints().await;
        let is_of_a_try = |line: &String| {
            line.contains("WebSocket connection to") || line.contains("Failed to load resource")
        };
        assert!(!complaints.is_empty());
        assert!(complaints.iter().all(is_of_a_try), "{complaints:#?}");
        self.browser.close().await;
    }

    /// Ends the browser, whose console has nothing to complain of.
    pub async fn close(self) {
        let complaints = self.browser.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.browser.close().await;
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_page_connects_and_messages_come_back() {
    let server = TestServer::start().await;
    let page = Page::of("page-echo", &server).await;
    let url = page.value("document.getElementById('url').value").await;
    assert_eq!(url, format!("ws://{}/", server.address));

    page.say("grüße, 世界").await;
    page.until("text('echo-count') === '2'").await;
    page.until("preview(last('text')) === 'grüße, 世界'").await;
    let echo = "[last('text').dataset.direction, last('text').querySelector('.trip').dataset.echo]";
    assert_eq!(page.value(echo).await, json!(["in", "same"]));

    let choose = "document.querySelector('[name=kind][value=hex]').click()";
    page.value(choose).await;
    page.say("00 01:FE,0xff").await;
    page.until("text('echo-count') === '3'").await;
    page.until("preview(last('binary')) === '00 01 fe ff'")
        .await;
    assert_eq!(
        page.value(&echo.replace("'text'", "'binary'")).await,
        json!(["in", "same"])
    );

    page.say("0g").await;
    page.until("text('send-problem').includes('“g”')").await;
    assert_eq!(page.value("text('sent-count')").await, "3");
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn heart_beats_are_shown_apart() {
    let server = TestServer::start_with(ServerConfig {
        heartbeat: Some(Duration::from_millis(100)),
        heartbeat_text: "still \"here\" & <b>well</b>".to_owned(),
        ..config()
    })
    .await;
    let page = Page::of("page-beats", &server).await;
    page.until("Number(text('beat-count')) > 2").await;
    page.until("text('beat-interval').endsWith(' ms')").await;
    page.until("text('beat-jitter').startsWith('jitter ')")
        .await;
    assert_eq!(page.value("last('beat') ?? null").await, Value::Null);
    page.browser.click("show-beat").await;
    page.until("preview(last('beat')) === 'still \"here\" & <b>well</b>'")
        .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn a_close_by_the_server_is_shown_with_what_its_code_means() {
    let server = TestServer::start_with(ServerConfig {
        max_message_size: 1024,
        ..config()
    })
    .await;
    let page = Page::of("page-close", &server).await;
    page.send_many(1, 1025).await;
    page.until("text('state-title') === 'Closed 1009'").await;
    let note = page.value("text('state-note')").await;
    let note = note.as_str().expect("a text");
    assert!(note.starts_with("message too big, “message over 1024 bytes” · clean"));
    page.until("text('echo-note') === '1 lost'").await;

    page.browser.click("connect").await;
    page.until("text('state-title') === 'Connected'").await;
    server.stop();
    page.until("text('state-title') === 'Closed 1001'").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn ten_thousand_messages_leave_the_page_light() {
    let server = TestServer::start().await;
    let page = Page::of("page-many", &server).await;
    page.send_many(10_000, 64).await;
    page.until("text('echo-count') === '10,001'").await;
    assert_eq!(page.value("text('echo-note')").await, "byte for byte");
    page.until("rows().length === 300").await;
    page.say("still here").await;
    page.until("text('echo-count') === '10,002'").await;
    page.until("preview(last('text')) === 'still here'").await;
    assert_eq!(page.value("rows().length").await, 300);
    let elements = page.value("document.querySelectorAll('*').length").await;
    assert!(elements.as_u64() < Some(4_000), "{elements}");

    let script = "
        const [done] = arguments;
        URL.createObjectURL = (blob) => {
            blob.text().then(done);
            return '#exported';
        };
        document.getElementById('export').click();";
    let exported = page.browser.run(script, Vec::new()).await;
    let lines = exported.as_str().expect("a text").lines();
    let records: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(records.len(), 5_000);
    let last = records.last().unwrap();
    assert_eq!(last["text"], "still here");
    assert_eq!(last["echo"], "same");
    assert!(last["roundTripMs"].is_number(), "{last}");
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn html_and_json_in_a_message_are_text() {
    let server = TestServer::start().await;
    let page = Page::of("page-html", &server).await;
    let html = "<img src=x onerror=\"document.title='broken'\"><script>alert(1)</script>";
    page.say(html).await;
    page.until("text('echo-count') === '2'").await;
    page.until("preview(last('text')).startsWith('<img')").await;
    page.value("last('text').querySelector('summary').click()")
        .await;
    page.until("last('text').querySelector('.detail pre')")
        .await;
    let shown = "[last('text').querySelector('pre').textContent, preview(last('text')),
        document.querySelectorAll('#list img, #list script').length]";
    assert_eq!(page.value(shown).await, json!([html, html, 0]));

    page.say(r#"{"big":12345678901234567890,"<b>":[true,{}]}"#)
        .await;
    page.until("preview(last('text')).startsWith('{')").await;
    page.value("last('text').querySelector('summary').click()")
        .await;
    page.until("last('text').querySelector('.detail pre')")
        .await;
    let folded = "{\n  \"big\": 12345678901234567890,\n  \"<b>\": [\n    true,\n    {}\n  ]\n}";
    let shown = "last('text').querySelector('pre').textContent";
    assert_eq!(page.value(shown).await, folded);
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_page_reconnects_by_itself_if_it_is_asked_to() {
    let server = TestServer::start().await;
    let address = server.address;
    let page = Page::of("page-reconnect", &server).await;
    page.browser.click("reconnect").await;
    server.stop().await.expect("the server stops");
    page.until("text('state-note').includes('waits for try 2')")
        .await;
    let _server = TestServer::start_with(ServerConfig {
        listen: vec![address.to_string().parse().unwrap()],
        ..config()
    })
    .await;
    page.until("text('state-title') === 'Connected'").await;
    page.close_after_failures().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_page_works_under_a_prefix_and_with_a_path_for_websockets() {
    let anywhere = TestServer::start().await;
    let proxy = stripping("/tools/echo", anywhere.address).await;
    let page = Page::open("page-prefix", &format!("http://{proxy}/tools/echo/")).await;
    let url = page.value("document.getElementById('url').value").await;
    assert_eq!(url, format!("ws://{proxy}/tools/echo/"));

    let one_path = TestServer::start_with(ServerConfig {
        paths: vec!["/ws".parse().unwrap()],
        ..config()
    })
    .await;
    for (origin, prefix) in [
        (one_path.address, ""),
        (
            stripping("/tools/echo", one_path.address).await,
            "/tools/echo",
        ),
    ] {
        page.browser
            .open(&format!("http://{origin}{prefix}/"))
            .await;
        page.until("text('state-title') === 'Connected'").await;
        let url = page.value("document.getElementById('url').value").await;
        assert_eq!(url, format!("ws://{origin}{prefix}/ws"));
    }
    page.close().await;
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn the_page_connects_over_tls() {
    let issued = Issued::new("page-browser");
    let server = issued.serve(config()).await;
    let origin = format!("localhost:{}", server.address.port());
    let page = Page::open("page-tls", &format!("https://{origin}/")).await;
    let url = page.value("document.getElementById('url').value").await;
    assert_eq!(url, format!("wss://{origin}/"));
    page.close().await;
}

/// A proxy that takes `prefix` off the path of the first request of every connection.
async fn stripping(prefix: &'static str, upstream: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(strip(client, prefix, upstream));
        }
    });
    address
}

async fn strip(
    mut client: TcpStream,
    prefix: &str,
    upstream: SocketAddr,
) -> std::io::Result<(u64, u64)> {
    let mut start = vec![0; "GET ".len() + prefix.len()];
    client.read_exact(&mut start).await?;
    assert_eq!(start, [b"GET ", prefix.as_bytes()].concat());
    let mut server = TcpStream::connect(upstream).await?;
    server.write_all(b"GET ").await?;
    copy_bidirectional(&mut client, &mut server).await
}
