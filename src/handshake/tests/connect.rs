use super::*;

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
fn compression_is_agreed_on_over_http2_as_over_http1() {
    let version = ("Sec-WebSocket-Version", "13");
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let config = ServerConfig::default();
    let over_http2 = answer(&connect("websocket", &[version, offer]), &config).unwrap();
    let over_http1 = answer(&request(&[offer]), &config).unwrap();
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for handshake in [over_http2, over_http1] {
        let response: Response<()> = handshake.response();
        assert_eq!(response.headers()["sec-websocket-extensions"], expected);
    }
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

#[test]
fn there_is_no_accept_to_distort_over_http2() {
    let mut request = connect("websocket", &[("Sec-WebSocket-Version", "13")]);
    *request.uri_mut() = "https://localhost/?do=accept:wrong".parse().unwrap();
    let refusal = answer(&request, &ServerConfig::default())
        .and_then(|handshake| handshake.distorted(&ServerConfig::default()))
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
