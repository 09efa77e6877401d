//! The description of the API, compared with what the API answers.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use echobeat::{ApiConfig, ServerConfig};
use serde_json::{Map, Value};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{ask, ask_with, connect, serve, verdict};
use crate::support::{TestServer, config, soon};

/// Time that schemathesis may take: half a minute on a machine that does nothing else.
const MINUTES: Duration = Duration::from_secs(300);

/// The description of a server's API.
async fn description(address: SocketAddr) -> Value {
    let (status, description) = ask(address, "GET /openapi.json").await;
    assert_eq!(status, 200);
    description
}

/// A schema, or what it refers to.
fn resolve<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let found = description.pointer(reference.trim_start_matches('#'));
            found.unwrap_or_else(|| panic!("{reference}"))
        }
        None => schema,
    }
}

/// The properties of a schema, those of its parts among them, and which of them are required.
fn properties(description: &Value, schema: &Value) -> (Map<String, Value>, Vec<Value>) {
    let schema = resolve(description, schema);
    let mut found = (Map::new(), Vec::new());
    found.0.extend(
        schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, property)| (name.clone(), property.clone())),
    );
    found
        .1
        .extend(schema["required"].as_array().into_iter().flatten().cloned());
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (more, required) = properties(description, part);
        found.0.extend(more);
        found.1.extend(required);
    }
    found
}

/// Expects that every member of an answer is described, and that none is missing.
fn expect_described(description: &Value, schema: &Value, value: &Value, at: &str) {
    match value {
        Value::Object(members) => {
            let schema = not_null(description, schema);
            let (properties, required) = properties(description, schema);
            for name in required {
                let name = name.as_str().expect("a name");
                assert!(members.contains_key(name), "{at}.{name} is missing");
            }
            for (name, member) in members {
                let property = properties.get(name);
                let property = property.unwrap_or_else(|| panic!("{at}.{name} is not described"));
                expect_described(description, property, member, &format!("{at}.{name}"));
            }
        }
        Value::Array(items) => {
            let schema = &resolve(description, schema)["items"];
            let at = format!("{at}[]");
            items
                .iter()
                .for_each(|item| expect_described(description, schema, item, &at));
        }
        _ => {}
    }
}

/// The schema of what may be null.
fn not_null<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolve(description, schema);
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let mut schemas = choices.filter(|choice| choice["type"] != "null");
    schemas.next().unwrap_or(schema)
}

#[tokio::test]
async fn every_member_of_an_answer_is_described() {
    let server = serve().await;
    let address = server.address;
    let description = description(address).await;
    let mut client = connect(address, "/?id=me&topic=news").await;
    client.echo("hello").await;
    client.echo(vec![0, 255]).await;
    let topics = ["GET /topics", "GET /topics/news"];
    for request in topics.into_iter().chain(["GET /@connections/me"]) {
        expect_answer(address, &description, request, b"").await;
    }
    expect_answer(address, &description, "POST /connections/me", b"x").await;
    expect_answer(
        address,
        &description,
        "PATCH /connections/me",
        br#"{"do":""}"#,
    )
    .await;
    let close = CloseFrame {
        code: 4000.into(),
        reason: "bye".into(),
    };
    // What was pushed comes first.
    client.next().await;
    client.close(close).await;
    verdict(address, "me").await;
    for request in [
        "GET /connections",
        "GET /connections/me",
        "GET /connections/me/messages",
        "GET /connections/nobody",
        "GET /@connections/me",
        "POST /topics/news",
    ] {
        expect_answer(address, &description, request, b"x").await;
    }
}

/// Expects that the answer to a request is described under its path, method and status.
async fn expect_answer(address: SocketAddr, description: &Value, request: &str, body: &[u8]) {
    let (method, path) = request.split_once(' ').expect("a method");
    let (status, answer) = ask_with(address, request, "", body).await;
    let name = match path.contains("topics/") {
        true => path.replace("/news", "/{topic}"),
        false => path.replace("/me", "/{id}").replace("/nobody", "/{id}"),
    };
    let name = name.replace("/{id}ssages", "/messages");
    let operation = &description["paths"][&name][method.to_lowercase()];
    let response = resolve(description, &operation["responses"][status.to_string()]);
    let schema = &response["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{request}: {status} is not described");
    expect_described(description, schema, &answer, request);
}

/// Connections of this name, one after the other, for as long as somebody closes them.
async fn stay(address: SocketAddr, id: &str) {
    loop {
        let mut client = connect(address, &format!("/?id={id}&topic=news")).await;
        while let Some(Ok(_)) = futures_util::StreamExt::next(&mut client.socket).await {}
    }
}

#[tokio::test]
#[ignore = "needs Python with schemathesis, as in tests/clients/requirements.txt, at $PYTHON or python3"]
async fn schemathesis_finds_nothing_that_is_not_as_described() {
    let server = TestServer::start_with(ServerConfig {
        api: Some(ApiConfig::default()),
        ..config()
    })
    .await;
    let address = server.address;
    let mut client = connect(address, "/?id=closed&topic=news").await;
    client.echo("hello").await;
    client.echo(vec![0, 255]).await;
    let close = CloseFrame {
        code: 4000.into(),
        reason: "bye".into(),
    };
    client.close(close).await;
    verdict(address, "closed").await;
    let open = ["me", "other"].map(|id| tokio::spawn(stay(address, id)));
    let (status, list) = soon(ask(address, "GET /connections?state=open&count=2&wait=20s")).await;
    assert_eq!(status, 200, "{list}");

    let settings = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/clients/schemathesis.toml"
    );
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let schemathesis = Command::new(python)
        .args(["-m", "schemathesis.cli", "--config-file", settings, "run"])
        .arg(format!("http://{address}/openapi.json"))
        // Where it leaves what it has learnt.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .kill_on_drop(true)
        .output();
    let output = timeout(MINUTES, schemathesis)
        .await
        .expect("it ends in time");
    let output = output.expect("Python runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{output:?}");
    open.iter().for_each(tokio::task::JoinHandle::abort);
}
