mod connect;
mod faults;

use super::*;

/// The key and the accept of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const GOOD: &[(&str, &str)] = &[
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

/// A good request, with all lines of the headers in `changes` replaced by those given there.
fn request(changes: &[(&str, &str)]) -> Request<()> {
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let kept = GOOD
        .iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| same(name, changed)));
    let mut request = Request::builder().uri("/wshandler");
    for (name, value) in kept.chain(changes.iter().filter(|(_, value)| *value != "-")) {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn refused(changes: &[(&str, &str)]) -> Refusal {
    answer(&request(changes), &ServerConfig::default()).unwrap_err()
}

fn selected(ours: &[&str], offers: &[&str]) -> Option<String> {
    let config = ServerConfig {
        subprotocols: ours.iter().map(|name| name.parse().unwrap()).collect(),
        ..ServerConfig::default()
    };
    let lines: Vec<_> = offers
        .iter()
        .map(|offer| ("Sec-WebSocket-Protocol", *offer))
        .collect();
    let handshake = answer(&request(&lines), &config).unwrap();
    let response: Response<()> = handshake.response();
    response
        .headers()
        .get(SEC_WEBSOCKET_PROTOCOL)
        .map(|name| name.to_str().unwrap().to_owned())
}

#[test]
fn the_101_is_that_of_the_rfc() {
    let handshake = answer(&request(&[]), &ServerConfig::default()).unwrap();
    let response: Response<()> = handshake.response();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_bytes()))
        .collect();
    let expected: [(_, &[u8]); 3] = [
        ("connection", b"Upgrade"),
        ("upgrade", b"websocket"),
        ("sec-websocket-accept", ACCEPT.as_bytes()),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn connection_and_upgrade_are_token_lists_of_any_case_over_several_lines() {
    for changes in [
        &[("Connection", "keep-alive"), ("Connection", "Upgrade")][..],
        &[("Connection", "keep-alive, UPGRADE")],
        &[("Connection", "upgrade,keep-alive")],
        &[("Upgrade", "foo, WebSocket")],
        &[("Upgrade", "foo"), ("Upgrade", "websocket")],
        &[("Content-Length", "0")],
        // Its last digit has spare bits that are not zero.
        &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZZ==")],
    ] {
        let request = request(changes);
        assert!(is_asked_for(&request), "{changes:?}");
        assert!(
            answer(&request, &ServerConfig::default()).is_ok(),
            "{changes:?}"
        );
    }
    assert!(!is_asked_for(&request(&[("Upgrade", "-")])));
    assert!(!is_asked_for(&request(&[("Upgrade", "h2c")])));
}

#[test]
fn what_is_wrong_is_refused_with_its_status() {
    let long = "x".repeat(17 << 10);
    let short_key = "dGhlIHNhbXBsZSBub24=";
    for (status, changes) in [
        (400, &[("Host", "-")][..]),
        (400, &[("Host", "a"), ("Host", "a")]),
        (400, &[("Host", "a b")]),
        (400, &[("Host", "a/b")]),
        (400, &[("Host", "user@a")]),
        (400, &[("Host", "a:x")]),
        (400, &[("Host", "a:99999")]),
        (400, &[("Host", "[::1")]),
        (400, &[("Connection", "-")]),
        (400, &[("Connection", "keep-alive")]),
        (400, &[("Connection", "upgraded")]),
        (426, &[("Sec-WebSocket-Version", "-")]),
        (426, &[("Sec-WebSocket-Version", "8")]),
        (426, &[("Sec-WebSocket-Version", "13, 8")]),
        (
            426,
            &[
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Version", "8"),
            ],
        ),
        (400, &[("Sec-WebSocket-Key", "-")]),
        (
            400,
            &[("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY)],
        ),
        (400, &[("Sec-WebSocket-Key", "not base64, but 24 char.")]),
        (400, &[("Sec-WebSocket-Key", short_key)]),
        (400, &[("Content-Length", "1")]),
        (400, &[("Transfer-Encoding", "chunked")]),
        (431, &[("X-Long", &long)]),
        (431, &[("X-Many", "x"); 60]),
    ] {
        let refusal = refused(changes);
        assert_eq!(refusal.status.as_u16(), status, "{changes:?}: {refusal:?}");
        assert!(refusal.sentence.ends_with(['.', '?']), "{refusal:?}");
    }
}

#[test]
fn a_refused_version_names_ours() {
    let headers = refused(&[("Sec-WebSocket-Version", "8")]).headers;
    let value = HeaderValue::from_static;
    let expected = [
        (SEC_WEBSOCKET_VERSION, value("13")),
        (UPGRADE, value("websocket")),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn methods_and_versions_of_http_are_checked() {
    let mut post = request(&[]);
    *post.method_mut() = Method::POST;
    let refusal = answer(&post, &ServerConfig::default()).unwrap_err();
    assert_eq!(refusal.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(
        refusal.headers,
        [(hyper::header::ALLOW, HeaderValue::from_static("GET"))]
    );

    let mut old = request(&[]);
    *old.version_mut() = Version::HTTP_10;
    let refusal = answer(&old, &ServerConfig::default()).unwrap_err();
    assert_eq!(refusal.status, StatusCode::HTTP_VERSION_NOT_SUPPORTED);
}

#[test]
fn without_subprotocols_of_ours_the_first_valid_offer_is_selected() {
    for (offers, expected) in [
        (&[][..], None),
        (&["chat"], Some("chat")),
        (&["chat, superchat"], Some("chat")),
        (&["bad token, (worse), good"], Some("good")),
        (&["", "second"], Some("second")),
        (&["no good"], None),
    ] {
        assert_eq!(selected(&[], offers).as_deref(), expected, "{offers:?}");
    }
}

#[test]
fn of_our_subprotocols_the_first_that_was_offered_is_selected() {
    for (offers, expected) in [
        (&[][..], None),
        (&["b, a"], Some("a")),
        (&["c", "b"], Some("b")),
        (&["A"], None),
    ] {
        assert_eq!(
            selected(&["a", "b"], offers).as_deref(),
            expected,
            "{offers:?}"
        );
    }
}

#[test]
fn foreign_origins_are_refused_where_ours_are_named() {
    let config = ServerConfig {
        allowed_origins: vec!["https://example.com".parse().unwrap()],
        ..ServerConfig::default()
    };
    let status = |changes: &[(&str, &str)]| match answer(&request(changes), &config) {
        Ok(_) => 101,
        Err(refusal) => refusal.status.as_u16(),
    };
    assert_eq!(status(&[]), 101);
    assert_eq!(status(&[("Origin", "https://example.com")]), 101);
    assert_eq!(status(&[("Origin", "HTTPS://Example.Com")]), 101);
    assert_eq!(
        status(&[("Origin", "https://example.com.evil.example")]),
        403
    );
    assert_eq!(status(&[("Origin", "http://example.com")]), 403);
    assert_eq!(status(&[("Origin", "null")]), 403);
    let two = [
        ("Origin", "https://example.com"),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(status(&two), 403);
}

#[test]
fn other_paths_are_refused_where_ours_are_named() {
    let config = ServerConfig {
        paths: vec!["/a".parse().unwrap(), "/wshandler".parse().unwrap()],
        ..ServerConfig::default()
    };
    assert!(answer(&request(&[]), &config).is_ok());
    let mut elsewhere = request(&[]);
    *elsewhere.uri_mut() = "/wshandler/?x=/a".parse().unwrap();
    let refusal = answer(&elsewhere, &config).unwrap_err();
    assert_eq!(refusal.status, StatusCode::NOT_FOUND);
    assert_eq!(
        refusal.sentence,
        "No WebSocket here. Connect to /a or /wshandler."
    );
}

#[test]
fn a_host_may_have_a_port_or_be_an_address() {
    for host in [
        "",
        "a",
        "a:",
        "a:80",
        "[::1]",
        "[::1]:8002",
        "192.0.2.1:1",
        "x_y.test",
    ] {
        let good = request(&[("Host", host)]);
        assert!(answer(&good, &ServerConfig::default()).is_ok(), "{host}");
    }
}

#[test]
fn a_plain_host_is_one_for_the_parser_too() {
    let mut texts = vec![String::new()];
    for _ in 0..6 {
        let longer = texts.iter().flat_map(|text| {
            let add = move |byte| format!("{text}{byte}");
            ['a', '1', '-', '.', ':', '@'].map(add)
        });
        texts = longer.collect();
        let plain = texts.iter().filter(|text| is_plain_host(text.as_bytes()));
        for text in plain {
            assert!(is_authority(text), "{text}");
        }
    }
    assert!(is_plain_host(b"127.0.0.1:9000"));
    assert!(is_plain_host(b"localhost"));
}
