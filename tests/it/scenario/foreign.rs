//! What clients that share no code with the server make of a fault: Python's websockets, and ws of
//! Node.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::process::Command;

use super::path;
use crate::proxy::TestProxy;
use crate::support::{TestServer, soon};

/// What a client makes of a server that does `steps`: the fields of its report that `expected` has.
async fn expect(client: &Client, address: SocketAddr, steps: &str, expected: &Value) {
    let url = format!("ws://{address}{}", path(steps));
    let script = format!(
        "{}/tests/clients/{}",
        env!("CARGO_MANIFEST_DIR"),
        client.script
    );
    let output = Command::new(&client.program)
        .args([script, url])
        .kill_on_drop(true)
        .output();
    let output = soon(output).await.expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{steps}: {error}: {output:?}"));
    for (field, value) in expected.as_object().expect("fields") {
        assert_eq!(&report[field], value, "{steps}: {report}");
    }
}

struct Client {
    program: OsString,
    script: &'static str,
}

/// Runs each case against a server, and those that do not say what the proxy changes through it too.
async fn expect_all(client: Client, cases: &[(&str, Value)]) {
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    for (steps, expected) in cases {
        expect(&client, server.address, steps, expected).await;
        if !steps.starts_with("accept:") {
            expect(&client, proxy.address, steps, expected).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs Python with websockets, as in tests/clients/requirements.txt, at $PYTHON or python3"]
async fn pythons_websockets_library_reports_every_fault() {
    let hello = || json!(["hello"]);
    // It closes with 4999 itself where all is well.
    let well = |messages| json!({"messages": messages, "code": 4999, "sent": 4999});
    let failed = |code: u16| json!({"messages": [], "code": null, "sent": code});
    let cases = [
        ("greet:hi", well(json!(["hi", "hello"]))),
        ("greet:a,greet:b", well(json!(["a", "b", "hello"]))),
        ("reply:hello=bye", well(json!(["bye"]))),
        ("delay:100ms,fragment:1", well(hello())),
        ("burst:3x8", well(json!([8, 8, 8, "hello"]))),
        (
            "close:4001:bye@1msg",
            json!({"messages": ["hello"], "code": 4001, "reason": "bye"}),
        ),
        (
            "close:none@1msg",
            json!({"messages": ["hello"], "code": 1005}),
        ),
        ("close:1006", failed(1002)),
        ("close:999", failed(1002)),
        (
            "fin@1msg",
            json!({"messages": ["hello"], "code": null, "sent": null}),
        ),
        (
            "rst@500ms",
            json!({"messages": ["hello"], "code": null, "sent": null}),
        ),
        // It gets no answer to its Pings.
        ("stall", failed(1011)),
        ("deaf", failed(1011)),
        (
            "noreply",
            json!({"messages": ["hello"], "code": null, "sent": 4999}),
        ),
        ("bad:utf8", failed(1007)),
        ("bad:rsv", failed(1002)),
        ("bad:opcode", failed(1002)),
        ("bad:masked", failed(1002)),
        ("bad:continuation", failed(1002)),
        ("bad:ping126", failed(1002)),
        ("bad:length", failed(1009)),
        ("bad:deflate", failed(1002)),
        ("bad:window", failed(1002)),
        ("bad:rsv1", failed(1002)),
        ("bad:desync", failed(1002)),
        ("bad:bfinal", well(json!(["Hello", "hello"]))),
        ("bad:bomb:16MiB", failed(1009)),
        ("deflate:off", well(hello())),
        ("deflate:takeover,deflate:window:9", well(hello())),
        (
            "accept:unasked",
            json!({"refused": "Unsupported extension: name = x-webkit-deflate-frame, params = []"}),
        ),
        ("refuse:503:1s", json!({"status": 503})),
        ("refuse:401", json!({"status": 401})),
        ("nonsense", json!({"status": 400})),
        (
            "accept:none",
            json!({"refused": "missing Sec-WebSocket-Accept header"}),
        ),
        (
            "subprotocol:chat",
            json!({"refused": "no subprotocols supported"}),
        ),
    ];
    let program = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let script = "fault.py";
    expect_all(Client { program, script }, &cases).await;
}

#[tokio::test]
#[ignore = "needs Node with ws, where $NODE_PATH says"]
async fn the_ws_library_of_node_reports_every_fault() {
    let hello = || json!(["hello"]);
    let well = |messages| json!({"messages": messages, "code": 4999, "error": null});
    let failed = |error: &str| json!({"messages": [], "code": 1006, "error": error});
    let gone = |messages| json!({"messages": messages, "code": 1006, "error": null});
    let wrong_accept = || json!({"refused": "Invalid Sec-WebSocket-Accept header"});
    let cases = [
        ("greet:hi", well(json!(["hi", "hello"]))),
        ("greet:a,greet:b", well(json!(["a", "b", "hello"]))),
        ("reply:hello=bye", well(json!(["bye"]))),
        ("delay:100ms,fragment:1", well(hello())),
        ("burst:3x8", well(json!([8, 8, 8, "hello"]))),
        (
            "close:4001:bye@1msg",
            json!({"messages": ["hello"], "code": 4001, "reason": "bye"}),
        ),
        (
            "close:none@1msg",
            json!({"messages": ["hello"], "code": 1005}),
        ),
        ("close:1006", failed("WS_ERR_INVALID_CLOSE_CODE")),
        ("close:999", failed("WS_ERR_INVALID_CLOSE_CODE")),
        ("fin@1msg", gone(hello())),
        ("rst@500ms", gone(hello())),
        ("stall", gone(json!([]))),
        ("deaf", gone(json!([]))),
        ("noreply", gone(hello())),
        ("bad:utf8", failed("WS_ERR_INVALID_UTF8")),
        ("bad:rsv", failed("WS_ERR_UNEXPECTED_RSV_2_3")),
        ("bad:opcode", failed("WS_ERR_INVALID_OPCODE")),
        ("bad:masked", failed("WS_ERR_UNEXPECTED_MASK")),
        ("bad:continuation", failed("WS_ERR_INVALID_OPCODE")),
        (
            "bad:ping126",
            failed("WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH"),
        ),
        (
            "bad:length",
            failed("WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH"),
        ),
        ("bad:deflate", failed("Z_DATA_ERROR")),
        ("bad:window", failed("Z_DATA_ERROR")),
        ("bad:rsv1", failed("WS_ERR_UNEXPECTED_RSV_1")),
        (
            "bad:desync",
            json!({"messages": ["Hello"], "code": 1006, "error": "Z_DATA_ERROR"}),
        ),
        ("bad:bfinal", well(json!(["Hello", "hello"]))),
        (
            "bad:bomb:256MiB",
            failed("WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"),
        ),
        ("deflate:off", well(hello())),
        ("deflate:takeover,deflate:window:9", well(hello())),
        (
            "accept:unasked",
            json!({"refused": "Server indicated an extension that was not requested"}),
        ),
        ("refuse:503:1s", json!({"status": 503})),
        ("refuse:302:/path", json!({"status": 302})),
        ("nonsense", json!({"status": 400})),
        ("accept:wrong", wrong_accept()),
        ("accept:none", wrong_accept()),
        (
            "subprotocol:chat",
            json!({"refused": "Server sent a subprotocol but none was requested"}),
        ),
    ];
    let program = "node".into();
    let script = "fault.js";
    expect_all(Client { program, script }, &cases).await;
}
