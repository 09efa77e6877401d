//! Tunnels: what one side does, the other sees (rows 43 and 45 of the fault matrix).

use std::io::ErrorKind;
use std::time::Duration;

use echobeat_frames::{text_echo, text_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{ACCEPTED, Stub, TestProxy, to};
use crate::support::{Raw, TestServer, soon, upgrade_request};

/// A tunnel, by its two ends.
pub(super) async fn tunnel(stub: &Stub, proxy: &TestProxy) -> (Raw, Raw) {
    let mut client = proxy.raw().await;
    client.send(upgrade_request("/")).await;
    let (mut upstream, _) = stub.accept().await;
    upstream.send(ACCEPTED).await;
    assert_eq!(client.head().await.status, 101);
    (client, upstream)
}

#[tokio::test]
async fn subprotocol_and_extensions_are_the_clients_and_the_upstreams() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    let offer = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate; a=1\r\n\
         Origin: https://page.test\r\nCookie: a=b\r\n\r\n";
    let request = upgrade_request("/a?b").replace("\r\n\r\n", &format!("\r\n{offer}"));
    client.send(request).await;
    let (mut upstream, head) = stub.accept().await;
    let head = head.to_lowercase();
    for line in offer.trim().to_lowercase().split("\r\n") {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert!(
        head.contains("upgrade: websocket") && head.contains("connection: upgrade"),
        "{head}"
    );
    let answer =
        "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    upstream
        .send(ACCEPTED.replace("\r\n\r\n", &format!("\r\n{answer}")))
        .await;
    let response = client.head().await;
    assert_eq!(response.header("Sec-WebSocket-Protocol"), Some("chat"));
    assert_eq!(
        response.header("Sec-WebSocket-Extensions"),
        Some("permessage-deflate")
    );
}

#[tokio::test]
async fn bytes_behind_either_head_are_not_lost() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let mut client = proxy.raw().await;
    client
        .send([upgrade_request("/").as_bytes(), b"early"].concat())
        .await;
    let (mut upstream, _) = stub.accept().await;
    upstream.send([ACCEPTED.as_bytes(), b"soon"].concat()).await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(client.read(4).await, b"soon");
    assert_eq!(upstream.read(5).await, b"early");
}

#[tokio::test]
async fn an_end_of_either_side_ends_one_direction() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let (mut client, mut upstream) = tunnel(&stub, &proxy).await;
    client.send("last").await;
    client.stream.shutdown().await.unwrap();
    let mut received = Vec::new();
    soon(upstream.stream.read_to_end(&mut received))
        .await
        .unwrap();
    assert_eq!(received, b"last");
    upstream.send("answer").await;
    drop(upstream);
    assert_eq!(client.rest().await, b"answer");

    let (client, mut upstream) = tunnel(&stub, &proxy).await;
    upstream.stream.shutdown().await.unwrap();
    let mut client = client;
    let mut received = Vec::new();
    soon(client.stream.read_to_end(&mut received))
        .await
        .unwrap();
    assert!(received.is_empty());
    client.send("still there").await;
    assert_eq!(upstream.read(11).await, b"still there");
    drop(client);
    assert!(upstream.rest().await.is_empty());
}

#[tokio::test]
async fn a_reset_by_either_side_reaches_the_other() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    for client_first in [true, false] {
        let (client, upstream) = tunnel(&stub, &proxy).await;
        let (gone, mut left) = match client_first {
            true => (client, upstream),
            false => (upstream, client),
        };
        gone.stream.set_zero_linger().unwrap();
        drop(gone);
        let mut bytes = Vec::new();
        let end = soon(left.stream.read_to_end(&mut bytes)).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset, "{client_first}");
    }
}

/// The timers of sockets that are connected, by their local and remote port: 2 is keepalive's (Linux,
/// `Documentation/networking/proc_net_tcp.rst`).
#[cfg(target_os = "linux")]
fn timers() -> Vec<(u16, u16, u8)> {
    let port = |address: &str| u16::from_str_radix(address.split(':').nth(1)?, 16).ok();
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = sockets.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let timer = columns[5].split(':').next()?.parse().ok()?;
        Some((port(columns[1])?, port(columns[2])?, timer))
    });
    sockets.collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn tcp_keepalive_is_on_for_both_sides() {
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let (client, upstream) = tunnel(&stub, &proxy).await;
    let client = client.stream.local_addr().unwrap();
    let to_upstream = upstream.stream.peer_addr().unwrap();
    for socket in [
        (proxy.address.port(), client.port()),
        (to_upstream.port(), stub.address.port()),
    ] {
        // Until the last segment is acknowledged, another timer is on.
        let asked = async {
            while !timers().contains(&(socket.0, socket.1, 2)) {
                tokio::task::yield_now().await;
            }
        };
        soon(asked).await;
    }
}

#[tokio::test]
async fn a_side_that_does_not_read_stops_the_other() {
    const FAR_TOO_MUCH: usize = 256 << 20;
    let stub = Stub::start().await;
    let proxy = TestProxy::before(stub.address).await;
    let (client, mut upstream) = tunnel(&stub, &proxy).await;
    let block = vec![7; 1 << 20];
    let mut written = 0;
    // Blocked is what takes no byte for a second.
    while written < FAR_TOO_MUCH {
        match timeout(Duration::from_secs(1), upstream.stream.write(&block)).await {
            Ok(more) => written += more.unwrap(),
            Err(_blocked) => break,
        }
    }
    assert!(written < FAR_TOO_MUCH, "{written} bytes went somewhere");
    drop(upstream);
    assert_eq!(client.rest().await, vec![7; written]);
}

#[tokio::test]
async fn a_silent_tunnel_ends_only_with_an_idle_timeout() {
    let server = TestServer::start().await;
    let mut config = to(&format!("http://{}", server.address));
    config.idle_timeout = Some(Duration::from_millis(300));
    let proxy = TestProxy::start(config).await;
    let mut raw = Raw::session(proxy.address).await;
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn tunnels_go_on_until_the_end_of_the_drain() {
    let server = TestServer::start().await;
    let mut config = to(&format!("http://{}", server.address));
    config.drain = Duration::from_millis(500);
    let proxy = TestProxy::start(config).await;
    let mut raw = Raw::session(proxy.address).await;
    let running = proxy.stop();
    raw.send(text_frame("hello")).await;
    assert_eq!(raw.read(7).await, text_echo("hello"));
    assert!(raw.rest().await.is_empty());
    soon(running).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn an_upstream_may_be_a_unix_socket() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("upstream.sock");
    let listen = format!("unix:{}", path.display());
    let server = echobeat::Server::bind(echobeat::ServerConfig {
        listen: vec![listen.parse().unwrap()],
        ..crate::support::config()
    });
    let running = tokio::spawn(server.await.unwrap().serve(std::future::pending()));
    let proxy = TestProxy::start(to(&listen)).await;
    proxy.control().await.finish("a Unix socket").await;
    running.abort();
}

#[tokio::test]
#[ignore = "takes 5,000 file descriptors and some seconds"]
async fn a_thousand_tunnels_echo() {
    echobeat::platform::raise_open_file_limit();
    let server = TestServer::start().await;
    let proxy = TestProxy::before(server.address).await;
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        clients.push(Raw::session(proxy.address).await);
    }
    for client in &mut clients {
        client.send(text_frame("hello")).await;
    }
    for client in &mut clients {
        assert_eq!(client.read(7).await, text_echo("hello"));
    }
}
