use super::*;

/// The answer to a good upgrade with this query.
fn asked(query: &str, config: &ServerConfig) -> Result<Handshake, Refusal> {
    let mut request = request(&[("Sec-WebSocket-Protocol", "chat")]);
    *request.uri_mut() = format!("/?{query}").parse().unwrap();
    answer(&request, config).and_then(|handshake| handshake.distorted(config))
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
