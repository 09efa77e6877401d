//! Many waits at once, and those whose asker has gone.

use futures_util::future::join_all;
use hyper::Request;
use tokio::time::sleep;

use super::{ask_with, connect};
use crate::cli::Running;
use crate::faults::process;
use crate::http2;
use crate::http2::client::Http2;
use crate::support::{Raw, soon, upgrade_request};

const WAITS: usize = 1000;

/// Sends a request that waits.
async fn begin(raw: &mut Raw, request: &str) {
    raw.send(format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
}

/// Waits until the program has this many files open. No event tells of it, so it is asked for.
async fn until_files(running: &Running, is_met: impl Fn(usize) -> bool) {
    let met = async {
        while !is_met(running.files()) {
            sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    soon(met).await;
}

#[tokio::test]
async fn a_thousand_waits_cost_no_thread_and_leave_nothing() {
    let running = process::serve_many(&["--api"]).await;
    let address = running.address();
    let mut client = connect(address, "/?id=me&topic=t").await;
    client.echo("before").await;
    let (threads, files) = (running.threads(), running.files());
    let mut raws = join_all((0..WAITS).map(|_| Raw::connect(address))).await;
    for (n, raw) in raws.iter_mut().enumerate() {
        let request = match n % 2 {
            0 => "GET /connections/me/messages?direction=in&contains=now&wait=1h",
            _ => "GET /connections?topic=t&count=2&wait=1h",
        };
        begin(raw, request).await;
    }
    until_files(&running, |open| open == files + WAITS).await;
    assert_eq!(running.threads(), threads);

    client.echo("now").await;
    let other = connect(address, "/?topic=t").await;
    for raw in &mut raws {
        assert_eq!(raw.response().await.status, 200);
    }
    drop(other);

    for raw in &mut raws {
        begin(raw, "POST /topics/nobody?wait=1h").await;
        raw.stream.set_zero_linger().expect("a socket");
    }
    drop(raws);
    until_files(&running, |open| open == files).await;
    assert_eq!(running.threads(), threads);
    let mut late = connect(address, "/?id=late&topic=nobody").await;
    let posted = ask_with(address, "POST /connections/late", "", b"first").await;
    assert_eq!(posted.0, 201);
    assert_eq!(late.next().await, "first".into(), "no push was left over");
}

#[tokio::test]
async fn a_push_of_a_stream_that_is_reset_is_not_sent() {
    let running = process::serve(&["--api", "--h2c"]).await;
    let mut http2 = http2::connect(running.address()).await;
    let (response, mut body) = post(&mut http2, "/topics/t?wait=1h").await;
    body.send_data("left over".into(), true).expect("open");
    // The next stream is opened only when this one was reset.
    body.send_reset(h2::Reason::CANCEL);
    drop(response);
    let mut session = http2.stream_at("/?topic=t").await.raw();
    let (response, mut body) = post(&mut http2, "/topics/t").await;
    body.send_data("first".into(), true).expect("open");
    assert_eq!(soon(response).await.expect("an answer").status(), 201);
    assert_eq!(session.read(7).await, b"\x81\x05first");
}

async fn post(
    http2: &mut Http2,
    path: &str,
) -> (h2::client::ResponseFuture, h2::SendStream<bytes::Bytes>) {
    let request = Request::post(format!("http://localhost{path}"));
    http2.send(request.body(()).unwrap(), true).await
}

#[tokio::test]
async fn an_asker_that_ends_its_side_still_gets_its_answer() {
    let running = process::serve(&["--api"]).await;
    let mut raw = Raw::connect(running.address()).await;
    begin(&mut raw, "GET /connections?id=me&wait=20s").await;
    soon(tokio::io::AsyncWriteExt::shutdown(&mut raw.stream))
        .await
        .expect("it is open");
    let mut client = Raw::connect(running.address()).await;
    client.send(upgrade_request("/?id=me")).await;
    assert_eq!(raw.response().await.status, 200);
}
