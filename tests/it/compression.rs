//! permessage-deflate over real sockets, and clients that share no code with the server.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;

use echobeat::{Compression, ServerConfig};
use echobeat_frames::{TEXT, frame, text_echo, text_frame};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;
use zlib_rs::{Inflate, InflateFlush};

use crate::cli::{Running, echobeat};
use crate::proxy::TestProxy;
use crate::support::{PATIENCE, Raw, TestServer, UPGRADE, config};

/// Bit that marks a compressed message.
const RSV1: u8 = 0x40;

/// "Hello", compressed, and once more by reference to the first (RFC 7692, section 7.2.3).
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
const AGAIN: &[u8] = b"\xf2\x00\x11\x00\x00";

/// End of a flush, which senders remove from a message.
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Answer of the server by default.
const NO_TAKEOVER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// A session whose client offers this, and the extension that was agreed on.
async fn session(server: &TestServer, path: &str, offer: &str) -> (Raw, Option<String>) {
    session_at(server.address, path, offer).await
}

async fn session_at(address: SocketAddr, path: &str, offer: &str) -> (Raw, Option<String>) {
    let mut raw = Raw::connect(address).await;
    let offer = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    raw.send(format!("GET {path} HTTP/1.1\r\n{UPGRADE}{offer}\r\n"))
        .await;
    let head = raw.head().await;
    assert_eq!(head.status, 101);
    let agreed = head.header("sec-websocket-extensions").map(str::to_owned);
    (raw, agreed)
}

async fn server(compression: Compression) -> TestServer {
    TestServer::start_with(ServerConfig {
        compression,
        ..config()
    })
    .await
}

#[tokio::test]
async fn messages_come_back_as_they_were_sent() {
    let server = server(Compression::On).await;
    let (mut raw, agreed) = session(&server, "/", "permessage-deflate").await;
    assert_eq!(agreed.as_deref(), Some(NO_TAKEOVER));
    for _ in 0..3 {
        raw.send(frame(TEXT | RSV1, HELLO)).await;
        let echo = [&[TEXT | RSV1, HELLO.len() as u8][..], HELLO].concat();
        assert_eq!(raw.read(echo.len()).await, echo);
        raw.send(text_frame("Hello")).await;
        assert_eq!(raw.read(7).await, text_echo("Hello"));
    }
}

#[tokio::test]
async fn a_url_decides_over_the_server() {
    let server = server(Compression::Off).await;
    let (_, agreed) = session(&server, "/", "permessage-deflate").await;
    assert_eq!(agreed, None);
    let (mut raw, agreed) = session(&server, "/?do=deflate:takeover", "permessage-deflate").await;
    assert_eq!(agreed.as_deref(), Some("permessage-deflate"));
    let mut inflate = Inflate::new(false, 15);
    for compressed in [HELLO, AGAIN] {
        raw.send(frame(TEXT | RSV1, compressed)).await;
        let header = raw.read(2).await;
        assert_eq!(header[0], TEXT | RSV1);
        let echo = [raw.read(header[1].into()).await, FLUSHED.to_vec()].concat();
        let (mut text, flush) = ([0; 5], InflateFlush::SyncFlush);
        let inflated = inflate.decompress(&echo, &mut text, flush);
        inflated.expect("it is compressed");
        assert_eq!(&text, b"Hello");
    }
    let offer = "permessage-deflate; client_max_window_bits";
    let (_, agreed) = session(&server, "/?do=deflate:window:9", offer).await;
    let windows = "; server_max_window_bits=9; client_max_window_bits=9";
    assert_eq!(agreed, Some(format!("{NO_TAKEOVER}{windows}")));
}

#[tokio::test]
async fn an_extension_that_was_not_offered_can_be_asked_for() {
    let server = server(Compression::On).await;
    for (offer, expected) in [
        ("x-other", "permessage-deflate"),
        ("permessage-deflate", "x-webkit-deflate-frame"),
    ] {
        let (_, agreed) = session(&server, "/?do=accept:unasked", offer).await;
        assert_eq!(agreed.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn who_and_the_metrics_say_what_was_agreed() {
    let server = server(Compression::On).await;
    let offer = "x-other, permessage-deflate; server_max_window_bits=10";
    let (mut raw, agreed) = session(&server, "/?do=who", offer).await;
    assert_eq!(raw.read(2).await, [TEXT, 126]);
    let length: [u8; 2] = raw.read(2).await.try_into().expect("two bytes");
    let text = raw.read(u16::from_be_bytes(length).into()).await;
    let info: Value = serde_json::from_slice(&text).expect("JSON");
    let expected = json!({"offered": [offer], "agreed": agreed});
    assert_eq!(info["extensions"], expected);
    let metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let counter = "echobeat_compressed_sessions_opened_total";
    for (takeover, count) in [("none", 1), ("both", 0)] {
        let line = format!("{counter}{{takeover=\"{takeover}\"}} {count}\n");
        assert!(metrics.body.contains(&line), "{line}{}", metrics.body);
    }
}

#[tokio::test]
async fn the_log_says_what_was_agreed() {
    let mut running = Running::start(echobeat(&["127.0.0.1:0"])).await;
    for (offer, field) in [("permessage-deflate", Some(NO_TAKEOVER)), ("x-other", None)] {
        let (_, agreed) = session_at(running.address(), "/", offer).await;
        assert_eq!(agreed.as_deref(), field);
        let open = running.logs("open").await;
        let said = open.split_once("extension=\"").map(|(_, said)| said);
        let said = said.and_then(|said| said.split('"').next());
        assert_eq!(said, field, "{open}");
    }
}

/// The report of a client that runs this script.
async fn run(program: &OsString, script: &str, url: &str, bits: Option<&str>) -> Value {
    let script = format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program)
        .args([&script, url])
        .args(bits)
        .kill_on_drop(true)
        .output();
    // Megabytes of noise take long in a debug build.
    let output = timeout(3 * PATIENCE, output).await.expect("in time");
    let output = output.expect("it runs");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{url}: {error}: {output:?}"))
}

/// Runs the script with every way of compression, directly and through the proxy. Its reports go to
/// `check`, with the parameters that are expected.
async fn run_all(program: OsString, script: &str, check: impl Fn(&Value)) {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    let windows =
        |bits: u8| format!("; server_max_window_bits={bits}; client_max_window_bits={bits}");
    let takeover = "permessage-deflate";
    for (step, bits, expected) in [
        ("", None, NO_TAKEOVER.to_owned()),
        ("", Some("9"), format!("{NO_TAKEOVER}{}", windows(9))),
        ("", Some("15"), format!("{NO_TAKEOVER}{}", windows(15))),
        ("?do=deflate:takeover", None, takeover.to_owned()),
        (
            "?do=deflate:takeover",
            Some("9"),
            format!("{takeover}{}", windows(9)),
        ),
        (
            "?do=deflate:takeover",
            Some("15"),
            format!("{takeover}{}", windows(15)),
        ),
        ("?do=fragment:1000", None, NO_TAKEOVER.to_owned()),
    ] {
        for address in [server.address, proxy.address] {
            let url = format!("ws://{address}/{step}");
            let report = run(&program, script, &url, bits).await;
            if script.ends_with("py") {
                assert_eq!(report["agreed"], expected, "{step}");
            }
            check(&report);
        }
    }
}

#[tokio::test]
#[ignore = "needs Python with websockets, as in tests/clients/requirements.txt, at $PYTHON or python3"]
async fn pythons_websockets_library_gets_all_back_compressed() {
    let program = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    run_all(program, "deflate.py", |report| {
        assert_eq!(report["compressed"], report["messages"]);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs Node with ws, where $NODE_PATH says"]
async fn the_ws_library_of_node_gets_all_back_compressed() {
    run_all("node".into(), "deflate.js", |report| {
        assert_eq!(report["agreed"], "permessage-deflate");
    })
    .await;
}
