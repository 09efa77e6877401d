use super::*;

/// Status and sentence of the refusal of `head`.
fn refused(head: impl AsRef<[u8]>) -> (u16, String) {
    let reject = parse(head.as_ref()).expect_err("the head is bad");
    let Refusal {
        status, sentence, ..
    } = reject.refusal;
    (status.as_u16(), sentence.into_owned())
}

/// Target that hyper gets for a request with `target`.
fn target(target: impl AsRef<[u8]>) -> String {
    let read = [b"GET ", target.as_ref(), b" HTTP/1.1\r\nA: b\r\n\r\nbehind"].concat();
    let head = parse(&read).expect("a good head").expect("a whole head");
    assert_eq!(&read[head.length..], b"behind");
    let head = head.encoded.unwrap_or(read[..head.length].to_vec());
    let head = String::from_utf8(head).unwrap();
    let (target, rest) = head[4..].split_once(' ').unwrap();
    assert_eq!(rest, "HTTP/1.1\r\nA: b\r\n\r\n");
    target.to_owned()
}

#[test]
fn a_target_stays_as_it_is_where_a_uri_may_and_is_encoded_where_it_may_not() {
    for same in [
        "/",
        "/a?b=%22",
        "/?{}|^`\\[]",
        "/{}|^\\[]\"",
        "/?x=\u{fc}",
        "http://a",
        "WSS://a/b",
    ] {
        assert_eq!(target(same), same);
    }
    assert_eq!(target(r#"/?q={"a":1}"#), "/?q={%22a%22:1}");
    assert_eq!(target("/?<>"), "/?%3C%3E");
    assert_eq!(target("/<`>?`"), "/%3C%60%3E?%60");
    assert_eq!(target("http://a/?\""), "http://a/?%22");
    assert_eq!(target("/?\"\u{fc}"), "/?%22%C3%BC");
}

#[test]
fn what_is_wrong_with_a_request_line_is_said() {
    for (line, status, said) in [
        ("GET /a b HTTP/1.1", 400, "a space too many"),
        ("GET  / HTTP/1.1", 400, "a space too many"),
        ("GET /a\u{1}b HTTP/1.1", 400, "the byte 0x01"),
        ("GET /\u{7f} HTTP/1.1", 400, "the byte 0x7f"),
        ("GET /a\tb HTTP/1.1", 400, "the byte 0x09"),
        ("GET http://a b/ HTTP/1.1", 400, "a space too many"),
        ("GET http://<a>/ HTTP/1.1", 400, "no URI"),
        ("GET * HTTP/1.1", 400, "begins with /"),
        ("GET x HTTP/1.1", 400, "begins with /"),
        ("GET a:80 HTTP/1.1", 400, "begins with /"),
        ("GET ftp://a/ HTTP/1.1", 400, "begins with /"),
        ("GET ?x HTTP/1.1", 400, "begins with /"),
        ("GET  HTTP/1.1", 400, "method, target and version"),
        ("GET /", 400, "method, target and version"),
        ("GET", 400, "method, target and version"),
        ("GET / HTTX/1.1", 400, "method, target and version"),
        ("GET / HTTP/0.9", 505, "use HTTP/1.1"),
        ("GET / HTTP/2.0", 505, "use HTTP/1.1"),
        ("GET / HTTP/3", 505, "use HTTP/1.1"),
        ("G(T / HTTP/1.1", 400, "not HTTP"),
        ("\u{5}\u{1}\0", 400, "SOCKS"),
        ("SSH-2.0-OpenSSH_9.2", 400, "SSH"),
        ("EHLO localhost", 400, "SMTP"),
        ("*1\r\n$4\r\nPING", 400, "Redis"),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2", 400, "PROXY protocol"),
        ("\r\n\r\n\0\r\nQUIT\n\u{21}", 400, "PROXY protocol"),
        ("PRI * HTTP/2.0", 505, "HTTP/2"),
    ] {
        let (found, sentence) = refused(format!("{line}\r\nHost: a\r\n\r\n"));
        assert_eq!(found, status, "{line:?}: {sentence}");
        assert!(sentence.contains(said), "{line:?}: {sentence}");
    }
    let latin = refused(b"GET /\xfc HTTP/1.1\r\n\r\n");
    assert!(latin.1.contains("not UTF-8"), "{latin:?}");
    let frame = refused(b"\x81\x85\0\0\0\0hello");
    assert!(frame.1.contains("WebSocket frame"), "{frame:?}");
    for hello in [&b"\x16"[..], b"\x16\x03\x01\x02\0\x01\0"] {
        assert!(refused(hello).1.contains("--tls-cert"));
    }
}

#[test]
fn what_is_wrong_with_a_header_line_is_said_with_its_number() {
    for (lines, said) in [
        ("A : b", "Header line 1 has a space before its colon."),
        (
            "A: b\r\nC\u{fc}: d",
            "Header line 2 has a name that is no token.",
        ),
        ("A: b\r\n c", "Header line 2 begins with a space"),
        ("A: b\r\nC: d\r\nEf", "Header line 3 has no colon."),
        (": b", "Header line 1 has no name."),
        ("A: b\u{1}", "Header line 1 has a control byte"),
        ("A: b\rC: d", "Header line 1 has a"),
        ("Content-Length: a", "not a number"),
        ("Content-Length: +1", "not a number"),
        ("Content-Length: 1, 1", "not a number"),
        ("Content-Length: 18446744073709551615", "not a number"),
        ("Content-Length: 1\r\nContent-Length: 2", "they differ"),
        ("Transfer-Encoding: gzip", "must be chunked"),
        ("Transfer-Encoding: chunked, gzip", "must be chunked"),
    ] {
        let (status, sentence) = refused(format!("GET / HTTP/1.1\r\n{lines}\r\nZ: z\r\n\r\n"));
        assert_eq!(status, 400, "{lines:?}: {sentence}");
        assert!(sentence.contains(said), "{lines:?}: {sentence}");
    }
    let old = refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(old.1.contains("HTTP/1.0"), "{old:?}");
    let many = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(LINES + 1));
    assert_eq!(refused(many).0, 431);
    let long = format!("GET /{}", "a".repeat(READ_LIMIT));
    assert_eq!(refused(long).0, 431);
}

#[test]
fn a_head_that_may_become_good_is_waited_for() {
    let head = "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    for length in 0..head.len() {
        let read = &head.as_bytes()[..length];
        assert_eq!(parse(read).expect("no error yet"), None, "{length}");
    }
    let whole = parse(head.as_bytes()).unwrap().expect("it is whole");
    assert_eq!(whole.behind, BodyTracker::Length(2));
    assert_eq!(whole.length, head.len());
}

#[test]
fn the_body_ends_where_its_head_says() {
    let behind = |lines: &str| {
        let head = parse(format!("POST / HTTP/1.1\r\n{lines}\r\n").as_bytes());
        head.unwrap().unwrap().behind
    };
    assert_eq!(behind(""), BodyTracker::Head);
    assert_eq!(behind("Content-Length: 0\r\n"), BodyTracker::Head);
    let twice = "Content-Length: 7\r\nContent-Length: 7\r\n";
    assert_eq!(behind(twice), BodyTracker::Length(7));
    let chunked = "Content-Length: 7\r\nTransfer-Encoding: gzip, Chunked\r\n";
    let mut chunks = behind(chunked);
    assert_eq!(chunks, BodyTracker::Chunks(Chunks::default()));
    assert_eq!(chunks.advance(b"1\r\na\r\n0\r\n\r\nGET"), 11);
    assert_eq!(chunks, BodyTracker::Head);
    let mut length = BodyTracker::Length(5);
    assert_eq!((length.advance(b"abc"), length.advance(b"abc")), (3, 2));
    assert_eq!(length, BodyTracker::Head);
}

#[test]
fn an_asterisk_and_an_authority_are_targets_of_their_methods() {
    for line in ["OPTIONS * HTTP/1.1", "CONNECT a:80 HTTP/1.1"] {
        let read = format!("{line}\r\nA: b\r\n\r\n");
        assert!(matches!(parse(read.as_bytes()), Ok(Some(_))), "{line}");
    }
}
