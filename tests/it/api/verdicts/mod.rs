//! Verdicts: every way in which a connection can end, and what the API says of it.

mod by_peer;
mod by_server;
mod faults;
mod http2;
mod tls;

use std::time::Duration;

use echobeat::ServerConfig;
use echobeat_frames::{CLOSE, close_frame};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{ask, verdict};
use crate::support::{Raw, TestServer, config, soon, upgrade_request};

/// Time that a test waits for on purpose.
const SHORT: Duration = Duration::from_millis(100);

/// Act of a client, or of somebody who asks the API.
enum Act {
    Send(Vec<u8>),
    /// Reads up to the server's Close, and over it.
    ReadClose,
    /// Reads to the end of the stream, or to a reset.
    ReadEnd,
    /// Ends its side.
    Fin,
    /// Resets the connection.
    Rst,
    /// Ends the session through the API, with this query.
    Delete(&'static str),
}

/// A connection, and the verdict on it in short: see [`short`].
struct Case {
    id: String,
    /// Steps of `do`.
    steps: &'static str,
    acts: Vec<Act>,
    verdict: Value,
}

/// A connection without faults.
fn case(id: &str, acts: impl Into<Vec<Act>>, verdict: Value) -> Case {
    fault(id, "", acts, verdict)
}

fn fault(id: &str, steps: &'static str, acts: impl Into<Vec<Act>>, verdict: Value) -> Case {
    Case {
        id: id.to_owned(),
        steps,
        acts: acts.into(),
        verdict,
    }
}

/// A verdict in short: `why`, `code`, `clean`, `tcp`, `reset_by`, and who sent Close first.
fn short(found: &Value) -> Value {
    let end = &found["end"];
    json!([
        end["why"],
        end["code"],
        end["clean"],
        end["tcp"],
        end["reset_by"],
        found["close"]["first"]
    ])
}

/// A client's Close.
fn close(code: u16) -> Act {
    Act::Send(close_frame(code, b""))
}

async fn serve(settings: ServerConfig) -> TestServer {
    TestServer::start_with(ServerConfig {
        api: Some(echobeat::ApiConfig::default()),
        ..settings
    })
    .await
}

/// Plays all cases at once, and compares their verdicts.
async fn expect_all(server: &TestServer, cases: impl IntoIterator<Item = Case>) {
    join_all(cases.into_iter().map(|case| expect(server, case))).await;
}

async fn expect(server: &TestServer, case: Case) {
    let Case {
        id,
        steps,
        acts,
        verdict: expected,
    } = case;
    let mut raw = server.raw().await;
    raw.send(upgrade_request(&format!("/?id={id}&do={steps}")))
        .await;
    assert_eq!(raw.head().await.status, 101, "{id}");
    let raw = play(server, raw, &id, acts).await;
    let found = verdict(server.address, &id).await;
    drop(raw);
    assert_eq!(short(&found), expected, "{id}: {found:#}");
}

/// Plays a client, and returns its end of the connection unless it has reset it.
async fn play(server: &TestServer, mut raw: Raw, id: &str, acts: Vec<Act>) -> Option<Raw> {
    for act in acts {
        match act {
            Act::Send(bytes) => raw.send(bytes).await,
            Act::ReadClose => read_close(&mut raw).await,
            Act::ReadEnd => read_end(&mut raw).await,
            Act::Fin => soon(raw.stream.shutdown()).await.expect("it is open"),
            Act::Rst => {
                raw.stream.set_zero_linger().expect("a socket");
                return None;
            }
            Act::Delete(query) => {
                let request = format!("DELETE /connections/{id}?{query}");
                assert_eq!(ask(server.address, &request).await.0, 204, "{id}");
            }
        }
    }
    Some(raw)
}

/// Reads frames up to a Close, and over it.
async fn read_close<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>) {
    loop {
        let header = raw.read(2).await;
        let length = match header[1] {
            126 => raw.read(2).await,
            127 => raw.read(8).await,
            short => vec![short],
        };
        let length = length.iter().fold(0, |sum, byte| sum << 8 | *byte as usize);
        raw.read(length).await;
        if header[0] == CLOSE {
            return;
        }
    }
}

async fn read_end<S: AsyncRead + Unpin>(raw: &mut Raw<S>) {
    // A reset is an end too.
    let _ = soon(raw.stream.read_to_end(&mut Vec::new())).await;
}
