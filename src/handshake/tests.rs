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

/// An extended CONNECT to `protocol`.
fn connect(protocol: &'static str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .version(Version::HTTP_2)
        .uri("https://localhost/wshandler")
        .extension(Protocol::from_static(protocol));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

#[test]
fn an_extended_connect_is_answered_with_200_and_the_subprotocol() {
    let version = ("Sec-WebSocket-Version", "13");
    let request = connect(
        "websocket",
        &[version, ("Sec-WebSocket-Protocol", "chat, superchat")],
    );
    assert!(is_asked_for(&request));
    let handshake = answer(&request, &ServerConfig::default()).unwrap();
    let response: Response<()> = handshake.response();
    assert_eq!(response.status(), StatusCode::OK);
    let headers: Vec<_> = response.headers().iter().collect();
    let chat = HeaderValue::from_static("chat");
    assert_eq!(headers, [(&SEC_WEBSOCKET_PROTOCOL, &chat)]);
}

#[test]
fn what_is_wrong_with_an_extended_connect_is_refused_with_its_status() {
    let version = ("Sec-WebSocket-Version", "13");
    for (status, protocol, headers) in [
        (501, "connect-udp", &[version][..]),
        (501, "WebSocket", &[version]),
        (400, "websocket", &[]),
        (400, "websocket", &[("Sec-WebSocket-Version", "8")]),
        (400, "websocket", &[version, ("Content-Length", "1")]),
        (400, "websocket", &[version, ("Host", "a"), ("Host", "a")]),
        (431, "websocket", &[version; 65]),
    ] {
        let request = connect(protocol, headers);
        assert!(is_asked_for(&request));
        let refusal = answer(&request, &ServerConfig::default()).unwrap_err();
        assert_eq!(refusal.status.as_u16(), status, "{headers:?}: {refusal:?}");
        assert!(!refusal.headers.iter().any(|(name, _)| name == UPGRADE));
    }
}

#[test]
fn paths_and_origins_are_checked_over_http2_too() {
    let config = ServerConfig {
        paths: vec!["/elsewhere".parse().unwrap()],
        ..ServerConfig::default()
    };
    let headers = [("Sec-WebSocket-Version", "13"), ("Origin", "null")];
    let refusal = answer(&connect("websocket", &headers), &config).unwrap_err();
    assert_eq!(refusal.status, StatusCode::NOT_FOUND);

    let config = ServerConfig {
        allowed_origins: vec!["https://example.com".parse().unwrap()],
        ..ServerConfig::default()
    };
    let refusal = answer(&connect("websocket", &headers), &config).unwrap_err();
    assert_eq!(refusal.status, StatusCode::FORBIDDEN);

    // The server's own page, by :authority.
    let headers = [
        ("Sec-WebSocket-Version", "13"),
        ("Origin", "https://localhost"),
    ];
    assert!(answer(&connect("websocket", &headers), &config).is_ok());
}

/// The answer to a good upgrade with this query.
fn asked(query: &str, config: &ServerConfig) -> Result<Handshake, Refusal> {
    let mut request = request(&[("Sec-WebSocket-Protocol", "chat")]);
    *request.uri_mut() = format!("/?{query}").parse().unwrap();
    answer(&request, config).and_then(Handshake::distorted)
}

#[test]
fn a_scenario_changes_the_answer() {
    let config = ServerConfig::default();
    let headers = |query| {
        let handshake = asked(query, &config).unwrap();
        let response: Response<()> = handshake.response();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let value = |name| response.headers().get(name).cloned();
        (value(SEC_WEBSOCKET_ACCEPT), value(SEC_WEBSOCKET_PROTOCOL))
    };
    let some = |value| Some(HeaderValue::from_static(value));
    let good = some(ACCEPT);
    assert_eq!(headers("a=do&undo=who"), (good.clone(), some("chat")));
    assert_eq!(headers("do=accept:none"), (None, some("chat")));
    assert_eq!(headers("do=subprotocol:none"), (good.clone(), None));
    assert_eq!(headers("do=subprotocol:mqtt"), (good.clone(), some("mqtt")));
    let (wrong, _) = headers("do=accept:wrong");
    assert_ne!(wrong, good);
    assert_eq!(wrong.unwrap().len(), ACCEPT.len());
}

#[test]
fn a_scenario_refuses() {
    let config = ServerConfig::default();
    let refused = |query| {
        let refusal = asked(query, &config).unwrap_err();
        let headers = refusal.headers.into_iter();
        let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        (refusal.status.as_u16(), headers.collect::<Vec<_>>())
    };
    for (query, status, header) in [
        ("do=refuse:418", 418, None),
        ("do=refuse:599", 599, None),
        ("do=refuse:503:4500ms", 503, Some("retry-after: 5")),
        ("do=refuse:302:/a%5C%2Cb", 302, Some("location: /a,b")),
        (
            "do=refuse:401",
            401,
            Some("www-authenticate: Basic realm=\"echobeat\""),
        ),
    ] {
        let expected = header.map(str::to_owned).into_iter().collect();
        assert_eq!(refused(query), (status, expected), "{query:?}");
    }
}

#[test]
fn scenarios_that_are_none_are_refused_with_the_list_of_steps() {
    let config = ServerConfig {
        scenario: "beat:off".parse().unwrap(),
        ..ServerConfig::default()
    };
    for (query, named) in [
        ("do=explode", "explode"),
        ("do=who,close:bye", "close:bye"),
        ("do=who&do=who", "who"),
        ("do=say:hi", "beat"),
    ] {
        let refusal = asked(query, &config).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        assert!(refusal.sentence.contains(named), "{refusal:?}");
        assert_eq!(refusal.advice, Some(Scenario::usage()));
    }
    let refusal = asked("do=beat:1s", &config);
    assert_eq!(refusal.unwrap().scenario.to_string(), "beat:1s");
}

#[test]
fn faults_can_be_switched_off() {
    let config = ServerConfig {
        faults: false,
        ..ServerConfig::default()
    };
    for query in ["do=who", "a=b&do", "do=nonsense"] {
        let refusal = asked(query, &config).unwrap_err();
        assert_eq!(refusal.status, StatusCode::FORBIDDEN, "{query:?}");
    }
    assert!(asked("undo=who", &config).is_ok());
}

#[test]
fn there_is_no_accept_to_distort_over_http2() {
    let mut request = connect("websocket", &[("Sec-WebSocket-Version", "13")]);
    *request.uri_mut() = "https://localhost/?do=accept:wrong".parse().unwrap();
    let refusal = answer(&request, &ServerConfig::default())
        .and_then(Handshake::distorted)
        .unwrap_err();
    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    assert!(refusal.sentence.contains("accept"), "{refusal:?}");
}

#[test]
fn the_target_of_an_extended_connect_is_checked() {
    let version = ("Sec-WebSocket-Version", "13");
    let refused = |request: Request<()>| {
        let answered = answer(&request, &ServerConfig::default());
        answered.err().map(|refusal| refusal.status.as_u16())
    };
    let same = connect("websocket", &[version, ("Host", "LOCALHOST")]);
    assert_eq!(refused(same), None);
    let other = connect("websocket", &[version, ("Host", "other")]);
    assert_eq!(refused(other), Some(400));
    for uri in [
        "https://user@localhost/ws",
        "ftp://localhost/ws",
        "https://localhost?x",
    ] {
        let mut request = connect("websocket", &[version]);
        *request.uri_mut() = uri.parse().unwrap();
        assert_eq!(refused(request), Some(400), "{uri}");
    }
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
