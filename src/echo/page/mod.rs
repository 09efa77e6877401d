//! The page at `GET /`: a WebSocket client in one document, which is part of the program. Its source
//! is in pieces, one for each purpose, that are joined when the program is built.

use std::sync::LazyLock;

use data_encoding::BASE64;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, VARY,
};
use hyper::{Request, StatusCode};
use ring::digest::{SHA256, digest};

use crate::config::ServerConfig;
use crate::handshake;
use crate::http::response::{self, Answer};

const PAGE: &str = concat!(
    include_str!("head.html"),
    include_str!("page.css"),
    include_str!("panel.css"),
    include_str!("body.html"),
    include_str!("panel.html"),
    include_str!("tools.html"),
    include_str!("bounds.js"),
    include_str!("steps.js"),
    include_str!("urls.js"),
    include_str!("verdict.js"),
    include_str!("memory.js"),
    include_str!("format.js"),
    include_str!("measurements.js"),
    include_str!("journal.js"),
    include_str!("link.js"),
    include_str!("document.js"),
    include_str!("rows.js"),
    include_str!("filter.js"),
    include_str!("list.js"),
    include_str!("chart.js"),
    include_str!("figures.js"),
    include_str!("builder.js"),
    include_str!("destination.js"),
    include_str!("composer.js"),
    include_str!("api.js"),
    include_str!("ending.js"),
    include_str!("roster.js"),
    include_str!("push.js"),
    include_str!("member.js"),
    include_str!("panel.js"),
    include_str!("own.js"),
    include_str!("page.js"),
    include_str!("foot.html"),
);

/// Settings in the page's HTML, in place of which the server puts its own. These are the defaults.
const SETTINGS: &str =
    r#"data-path="" data-heartbeat="heart beat" data-faults="true" data-api="none""#;

/// Policy of the page: it may run its own script and style, which are known by their hashes,
/// connect WebSockets to anywhere, since its URL can be edited, and ask this server for its
/// [verdict](super::verdict) on them and its [API](crate::serve::api). The last two directives keep
/// text from ever becoming HTML.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let script = hash(inside("<script type=\"module\">", "</script>"));
    let style = hash(inside("<style>", "</style>"));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self' ws: wss:; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
});

/// The page, with the settings of this server.
pub(super) fn answer<B>(request: &Request<B>, config: &ServerConfig) -> Answer {
    let body = body(config);
    let mut answer = response::answer(StatusCode::OK, "text/html; charset=utf-8", body);
    let headers = answer.headers_mut();
    // Base64 is visible ASCII, so this does not fail.
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-cache"),
        (REFERRER_POLICY, "no-referrer"),
        (VARY, "accept"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_trustworthy(request, config) {
        isolate(&mut answer);
    }
    answer
}

/// Isolates the page, so that it can measure in steps of 5 µs. Other pages get steps of 100 µs from
/// browsers, because they could spy on what else runs in their process.
fn isolate(answer: &mut Answer) {
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
    ] {
        let name = HeaderName::from_static(name);
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
}

/// Whether the browser takes the page's origin for trustworthy. If not, it would grant no
/// isolation, and complain of being asked for it.
fn is_trustworthy<B>(request: &Request<B>, config: &ServerConfig) -> bool {
    let host = handshake::host(request).unwrap_or_default();
    let local = ["localhost", "127.0.0.1", "[::1]"];
    let is_local = |name: &str| {
        let port = host.strip_prefix(name);
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    };
    config.tls.is_some() || local.into_iter().any(is_local)
}

fn body(config: &ServerConfig) -> Bytes {
    let path = config.paths.first().map(ToString::to_string);
    let settings = format!(
        r#"data-path="{}" data-heartbeat="{}" data-faults="{}" data-api="{}""#,
        escaped(&path.unwrap_or_default()),
        escaped(&config.heartbeat_text),
        config.faults,
        api(config),
    );
    if settings == SETTINGS {
        return Bytes::from_static(PAGE.as_bytes());
    }
    PAGE.replacen(SETTINGS, &settings, 1).into()
}

/// The API as the page can reach it, on its own address: so that it need not ask where there is none,
/// or no token has been given yet.
fn api(config: &ServerConfig) -> &'static str {
    match &config.api {
        Some(api) if !api.listen.is_empty() => "none",
        Some(api) if api.token.is_some() => "token",
        Some(_) => "open",
        None => "none",
    }
}

/// Escapes a text for a quoted attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

/// The text between the page's first `start` and the `end` after it.
fn inside(start: &str, end: &str) -> &'static str {
    let (_, behind) = PAGE.split_once(start).unwrap_or_default();
    behind.split_once(end).unwrap_or_default().0
}

/// The hash of a source, as a policy writes it (Content Security Policy Level 3, section 2.3.1).
fn hash(source: &str) -> String {
    let hash = digest(&SHA256, source.as_bytes());
    format!("sha256-{}", BASE64.encode(hash.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiConfig;

    #[test]
    fn the_page_is_one_file_with_one_script_and_one_style() {
        for (what, times) in [(SETTINGS, 1), ("<script", 1), ("<style", 1), (" style=", 0)] {
            assert_eq!(PAGE.matches(what).count(), times, "{what}");
        }
        assert!(inside("<script type=\"module\">", "</script>").contains("new WebSocket"));
        assert!(inside("<style>", "</style>").contains(":root"));
        for outside in ["src=", "@import", "url(", "http://", "https://"] {
            let found = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(outside), "{outside}");
        }
    }

    #[test]
    fn nothing_in_the_page_makes_html_of_text() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!PAGE.contains(way), "{way}");
        }
    }

    #[test]
    fn the_page_is_told_where_to_connect_and_what_a_heart_beat_is() {
        assert_eq!(body(&ServerConfig::default()), PAGE);
        let config = ServerConfig {
            paths: vec!["/ws".parse().unwrap(), "/other".parse().unwrap()],
            heartbeat_text: r#"<b title="&amp;">"#.to_owned(),
            faults: false,
            ..ServerConfig::default()
        };
        let page = String::from_utf8(body(&config).into()).unwrap();
        let settings = r#"data-path="/ws" data-heartbeat="<b title=&quot;&amp;amp;&quot;>" data-faults="false" data-api="none""#;
        assert!(page.contains(settings));
        assert_eq!(page.len() - settings.len(), PAGE.len() - SETTINGS.len());
    }

    #[test]
    fn the_page_is_told_of_an_api_on_its_own_address_alone() {
        let api_of = |api: Option<ApiConfig>| {
            let page = body(&ServerConfig {
                api,
                ..ServerConfig::default()
            });
            let page = String::from_utf8(page.into()).unwrap();
            let (_, behind) = page.split_once("data-api=\"").unwrap();
            behind.split_once('"').unwrap().0.to_owned()
        };
        assert_eq!(api_of(None), "none");
        assert_eq!(api_of(Some(ApiConfig::default())), "open");
        let token = Some("secret".parse().unwrap());
        let with_token = ApiConfig {
            token,
            ..ApiConfig::default()
        };
        assert_eq!(api_of(Some(with_token.clone())), "token");
        let elsewhere = ApiConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..with_token
        };
        assert_eq!(api_of(Some(elsewhere)), "none");
    }

    #[test]
    fn isolation_is_for_origins_that_browsers_trust() {
        for (host, is_local) in [
            ("localhost", true),
            ("127.0.0.1:8002", true),
            ("[::1]:8002", true),
            ("localhost.example", false),
            ("192.168.0.7:8002", false),
        ] {
            let request = Request::get("/").header("host", host).body(()).unwrap();
            let answer = answer(&request, &ServerConfig::default());
            let is_isolated = answer.headers().contains_key("cross-origin-opener-policy");
            assert_eq!(is_isolated, is_local, "{host}");
        }
    }
}
