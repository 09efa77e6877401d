//! The page as an answer.

use echobeat::{Scenario, ServerConfig};
use hyper::Method;

use crate::http2;
use crate::support::{Response, TestServer, config, upgrade_request};
use crate::tls::{BOTH_VERSIONS, Issued};

fn request(method: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn assert_is_page(response: &Response) {
    assert_eq!(response.status, 200, "{response:?}");
    for (name, value) in [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("Referrer-Policy", "no-referrer"),
        ("Vary", "accept"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Embedder-Policy", "require-corp"),
    ] {
        assert_eq!(response.header(name), Some(value), "{name}");
    }
    let policy = response.header("Content-Security-Policy").expect("one");
    for part in [
        "default-src 'none'; ",
        "script-src 'sha256-",
        "style-src 'sha256-",
        "connect-src 'self' ws: wss:;",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn the_page_is_at_the_root_and_head_works_like_get() {
    let server = TestServer::start().await;
    let get = server.ask(request("GET")).await;
    assert_is_page(&get);
    assert!(get.body.starts_with("<!doctype html>"), "{}", get.body);
    assert!(get.body.ends_with("</html>\n"), "{}", get.body);

    let mut raw = server.raw().await;
    raw.send(request("HEAD")).await;
    let head = raw.head().await;
    assert_is_page(&head);
    let length = get.body.len().to_string();
    assert_eq!(head.header("Content-Length"), Some(&*length));
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn other_methods_are_refused_and_upgrades_are_sessions() {
    let server = TestServer::start().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = server.ask(request(method)).await;
        assert_eq!(refused.status, 405, "{method}");
        assert_eq!(refused.header("Allow"), Some("GET, HEAD"), "{method}");
    }
    assert_eq!(server.ask(upgrade_request("/")).await.status, 101);
}

#[tokio::test]
async fn a_root_that_is_for_websockets_alone_asks_for_an_upgrade() {
    let server = TestServer::start_with(ServerConfig {
        paths: vec!["/".parse().unwrap()],
        h2c: true,
        ..config()
    })
    .await;
    let plain = server.ask(request("GET")).await;
    assert_eq!(plain.status, 426, "{plain:?}");
    assert_eq!(plain.header("Upgrade"), Some("websocket"));
    let mut http2 = http2::connect(server.address).await;
    assert_eq!(http2.ask(Method::GET, "/").await.0.status(), 405);
}

#[tokio::test]
async fn the_page_knows_the_path_for_websockets() {
    let server = TestServer::start_with(ServerConfig {
        paths: vec!["/ws".parse().unwrap(), "/other".parse().unwrap()],
        ..config()
    })
    .await;
    let page = server.ask(request("GET")).await;
    assert_is_page(&page);
    assert!(page.body.contains(r#"data-path="/ws""#), "{}", page.body);
    assert!(page.body.contains(r#"data-faults="true""#), "{}", page.body);
}

#[tokio::test]
async fn the_page_knows_when_faults_are_switched_off() {
    let server = TestServer::start_with(ServerConfig {
        faults: false,
        ..config()
    })
    .await;
    let page = server.ask(request("GET")).await;
    assert!(
        page.body.contains(r#"data-faults="false""#),
        "{}",
        page.body
    );
}

/// The examples of the builder, as steps, from the rows of its table.
fn examples(page: &str) -> Vec<String> {
    let rows = page.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("  { name: \"")?.split_once('"')?;
        let values = rest.split_once("values: [").map(|(_, values)| {
            let (values, _) = values.split_once(']').expect("it ends");
            let quoted = values.split(", ").map(|value| value.trim_matches('"'));
            quoted.map(|value| format!("{name}:{value}")).collect()
        });
        Some(values.unwrap_or_else(|| vec![name.to_owned()]))
    });
    rows.flatten().collect()
}

#[tokio::test]
async fn the_builder_offers_every_step_with_examples_that_the_server_takes() {
    let server = TestServer::start().await;
    let page = server.ask(request("GET")).await;
    let examples = examples(&page.body);
    for example in &examples {
        let scenario = example.parse::<Scenario>();
        assert!(scenario.is_ok(), "{example}: {scenario:?}");
    }

    let refused = server.ask(upgrade_request("/?do=nothing")).await;
    let (_, usage) = refused.body.split_once(" are: ").expect("the steps");
    let (steps, _) = usage
        .split_once("; behind ")
        .expect("what may stand behind them");
    for usage in steps.split("; ") {
        let name = usage.split([':', ' ', ',', '.']).next().expect("a name");
        let is_offered = |example: &String| example.split(':').next() == Some(name);
        assert!(examples.iter().any(is_offered), "{name}");
    }
}

#[tokio::test]
async fn the_page_comes_over_tls() {
    let issued = Issued::new("page");
    let server = issued.serve(config()).await;
    let trusted = issued.trusted();
    let connecting = trusted.try_connect_with(&BOTH_VERSIONS, &["http/1.1"], server.address);
    let mut raw = connecting.await.expect("the certificate is good");
    raw.send("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n")
        .await;
    assert_is_page(&raw.response().await);
}

#[tokio::test]
async fn the_page_comes_over_http2() {
    let server = http2::serve(config()).await;
    let mut http2 = http2::connect(server.address).await;
    let (get, body) = http2.ask(Method::GET, "/").await;
    assert_eq!(get.status(), 200);
    assert!(body.ends_with("</html>\n"), "{body}");
    assert!(get.headers().contains_key("content-security-policy"));
    assert!(get.headers().contains_key("cross-origin-opener-policy"));

    let (head, nothing) = http2.ask(Method::HEAD, "/").await;
    assert_eq!((head.status().as_u16(), &*nothing), (200, ""));
    assert_eq!(head.headers()["content-length"], *body.len().to_string());
    assert_eq!(http2.ask(Method::POST, "/").await.0.status(), 405);
}
