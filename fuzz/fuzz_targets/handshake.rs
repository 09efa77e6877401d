//! The upgrade handshake. The input is a request's head as it stands on the wire.

#![no_main]

use std::sync::LazyLock;

use echobeat::{ServerConfig, fuzzing};
use hyper::header::{
    CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use libfuzzer_sys::{Corpus, fuzz_target};

/// hyper's own limit, above the server's.
const MAX_HEADERS: usize = 100;

/// Every choice of paths, subprotocols and origins to be set or not. The first has none set, and
/// refuses nothing that another accepts.
static CONFIGS: LazyLock<Vec<ServerConfig>> = LazyLock::new(|| {
    let (on, off) = (true, false);
    let mut configs = Vec::new();
    for paths in [off, on] {
        for subprotocols in [off, on] {
            for origins in [off, on] {
                let mut config = ServerConfig {
                    faults: false,
                    ..ServerConfig::default()
                };
                if paths {
                    config.paths = ["/ws", "/chat"].map(|path| path.parse().unwrap()).into();
                }
                if subprotocols {
                    config.subprotocols = ["chat", "mqtt"].map(|name| name.parse().unwrap()).into();
                }
                if origins {
                    let origins = ["https://example.com", "null"];
                    config.allowed_origins = origins.map(|name| name.parse().unwrap()).into();
                }
                configs.push(config);
            }
        }
    }
    configs
});

/// The settings that let a request ask for anything.
static FAULTS: LazyLock<ServerConfig> = LazyLock::new(ServerConfig::default);

fuzz_target!(|head: &[u8]| -> Corpus {
    let Some(request) = parse(head) else {
        return Corpus::Reject;
    };
    let answers: Vec<_> = CONFIGS
        .iter()
        .filter_map(|config| Some((config, fuzzing::answer(&request, config)?)))
        .collect();
    if let Some(answer) = fuzzing::answer(&request, &FAULTS) {
        check_lines(&answer);
        assert!(!answer.body().contains(char::is_control));
    }
    for (config, answer) in &answers {
        check_lines(answer);
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            check_acceptance(&request, config, answer);
            let (_, open) = &answers[0];
            assert_eq!(open.status(), answer.status());
            let accept = |answer: &Response<_>| answer.headers()[SEC_WEBSOCKET_ACCEPT].clone();
            assert_eq!(accept(open), accept(answer));
        } else {
            check_refusal(answer);
        }
    }
    Corpus::Keep
});

/// The request that hyper makes of a head.
fn parse(head: &[u8]) -> Option<Request<()>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    if !parsed.parse(head).ok()?.is_complete() {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = parsed.method?.parse().ok()?;
    *request.uri_mut() = Uri::try_from(parsed.path?).ok()?;
    *request.version_mut() = match parsed.version? {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    for header in parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(header.value).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// Checks that no header breaks out of its line.
fn check_lines(answer: &Response<String>) {
    for value in answer.headers().values() {
        let breaks_lines = |byte: &u8| matches!(byte, b'\r' | b'\n');
        assert!(!value.as_bytes().iter().any(breaks_lines), "{value:?}");
    }
}

/// Checks a 101 (RFC 6455, section 4.2.2), and what the request must have been to get it.
fn check_acceptance(request: &Request<()>, config: &ServerConfig, answer: &Response<String>) {
    let count = |name: &HeaderName| request.headers().get_all(name).iter().count();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!((count(&HOST), count(&SEC_WEBSOCKET_KEY)), (1, 1));
    let path = request.uri().path();
    assert!(config.paths.is_empty() || config.paths.iter().any(|known| known.matches(path)));

    let headers = answer.headers();
    assert_eq!(headers[CONNECTION], "Upgrade");
    assert_eq!(headers[UPGRADE], "websocket");
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match headers[SEC_WEBSOCKET_ACCEPT].as_bytes() {
        [digits @ .., b'='] => {
            // 20 bytes in base64.
            assert!(digits.len() == 27 && digits.iter().all(digit));
        }
        accept => panic!("{accept:?}"),
    }
    let Some(selected) = headers.get(SEC_WEBSOCKET_PROTOCOL) else {
        return;
    };
    let selected = selected.to_str().unwrap();
    let ours = &config.subprotocols;
    assert!(ours.is_empty() || ours.iter().any(|name| name.as_str() == selected));
    let offers = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let offers = offers.iter().filter_map(|line| line.to_str().ok());
    assert!(
        offers
            .flat_map(|line| line.split(','))
            .any(|offer| offer.trim() == selected)
    );
}

/// Checks that a refusal is one, and fits a log line.
fn check_refusal(answer: &Response<String>) {
    let (status, sentence) = (answer.status(), answer.body());
    assert!(status.is_client_error() || status.is_server_error());
    assert!(!sentence.is_empty() && !sentence.contains(char::is_control));
}
