//! Memory after a peak, which is given back while the server has nothing to do (row 50 of the fault
//! matrix).

use std::time::Duration;

use echobeat_frames::{BINARY, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use super::process::{serve_many, start_many};
use crate::cli::Running;
use crate::http2;
use crate::support::Raw;
use crate::tls::Issued;

const UPLOADS: usize = 1_500;

/// Time in which what the uploads took is to be given back.
const GIVEN_BACK: Duration = Duration::from_secs(15);

/// Resident memory in KiB, while all sessions are idle.
async fn idle(running: &Running) -> u64 {
    sleep(Duration::from_secs(1)).await;
    running.memory()
}

/// Begins a message, and sends most of it.
async fn upload<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>) {
    raw.send(header(BINARY, 1_000_000)).await;
    raw.send(vec![1; 900_000]).await;
}

/// Expects that memory falls to twice what it was when the server was idle.
async fn expect_given_back(running: &Running, idle: u64) {
    let begun = Instant::now();
    let mut after = running.memory();
    while after > 2 * idle && begun.elapsed() < GIVEN_BACK {
        sleep(Duration::from_millis(100)).await;
        after = running.memory();
    }
    let (peak, took) = (running.peak_memory(), begun.elapsed());
    println!("idle {idle} KiB, {peak} KiB at the peak, {after} KiB after {took:?}");
    assert!(peak > 10 * idle, "there was no peak");
    assert!(after <= 2 * idle, "{idle} KiB became {after} KiB");
}

#[tokio::test]
#[ignore = "takes 3,000 file descriptors and half a minute"]
async fn abandoned_uploads_leave_no_memory_behind() {
    echobeat::platform::raise_open_file_limit();
    let running = serve_many(&["--ping-interval=off"]).await;
    let control = running.control().await;
    let mut crowd = Vec::new();
    for _ in 0..UPLOADS {
        crowd.push(Raw::session(running.address()).await);
    }
    let idle = idle(&running).await;
    for raw in &mut crowd {
        upload(raw).await;
    }
    drop(crowd);
    expect_given_back(&running, idle).await;
    control.finish("abandoned uploads").await;
}

#[tokio::test]
#[ignore = "takes 3,000 file descriptors and half a minute"]
async fn abandoned_uploads_over_tls_leave_no_memory_behind() {
    echobeat::platform::raise_open_file_limit();
    let issued = Issued::new("abandoned");
    let running = start_many(issued.command(&["--ping-interval=off"])).await;
    let trusted = issued.trusted();
    let control = trusted.control(running.address()).await;
    let mut crowd = Vec::new();
    for _ in 0..UPLOADS {
        crowd.push(trusted.session(running.address()).await);
    }
    let idle = idle(&running).await;
    for raw in &mut crowd {
        upload(raw).await;
    }
    drop(crowd);
    expect_given_back(&running, idle).await;
    control.finish("abandoned uploads over TLS").await;
}

#[tokio::test]
#[ignore = "takes half a minute"]
async fn abandoned_uploads_over_http2_leave_no_memory_behind() {
    const STREAMS: usize = 50;
    let running = serve_many(&["--ping-interval=off", "--h2c"]).await;
    let control = running.control().await;
    let (mut connections, mut crowd) = (Vec::new(), Vec::new());
    for _ in 0..UPLOADS / STREAMS {
        let mut connection = http2::connect(running.address()).await;
        for _ in 0..STREAMS {
            crowd.push(connection.raw_session().await);
        }
        connections.push(connection);
    }
    let idle = idle(&running).await;
    for raw in &mut crowd {
        upload(raw).await;
    }
    // Bytes in the test's own pipes are still to be sent: until they are, the peak grows.
    let mut peak = 0;
    while running.peak_memory() > peak {
        peak = running.peak_memory();
        sleep(Duration::from_millis(250)).await;
    }
    for connection in connections {
        connection.connection.abort();
    }
    drop(crowd);
    expect_given_back(&running, idle).await;
    control.finish("abandoned uploads over HTTP/2").await;
}
