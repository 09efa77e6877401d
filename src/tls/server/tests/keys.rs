//! Keys are updated when the peer asks for it, and when they are worn out.

use rustls::ContentType;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::peer::Peer;
use super::{Client, Server, connect};

/// Sends a message each way.
async fn ping_pong(client: &mut Client, server: &mut Server) {
    let mut got = [0; 4];
    client.write_all(b"ping").await.unwrap();
    server.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"ping");
    server.write_all(b"pong").await.unwrap();
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"pong");
}

#[tokio::test]
async fn a_peer_may_ask_for_new_keys() {
    let (mut client, mut server) = connect(&TLS13).await;
    for _ in 0..50 {
        ping_pong(&mut client, &mut server).await;
        client.get_mut().1.refresh_traffic_keys().unwrap();
        ping_pong(&mut client, &mut server).await;
    }
    // Two in succession get one answer.
    client.get_mut().1.refresh_traffic_keys().unwrap();
    client.get_mut().1.refresh_traffic_keys().unwrap();
    ping_pong(&mut client, &mut server).await;
}

#[tokio::test]
async fn a_peer_that_goes_on_with_its_old_key_is_left() {
    let (client, mut server) = connect(&TLS13).await;
    let mut peer = Peer::from(client);
    peer.send(ContentType::Handshake, &[24, 0, 0, 1, 1]).await;
    // Sealed with the old key, which is no longer good.
    peer.send(ContentType::ApplicationData, b"old").await;
    server.read(&mut [0; 9]).await.unwrap_err();
}

#[tokio::test]
async fn keys_that_are_worn_out_are_replaced() {
    let (mut client, mut server) = connect(&TLS13).await;
    server.protection().limit(4);
    for _ in 0..20 {
        ping_pong(&mut client, &mut server).await;
    }
    let sent = super::pattern(1 << 20);
    let mut got = vec![0; sent.len()];
    let (written, read) = tokio::join!(
        async {
            server.write_all(&sent).await?;
            server.flush().await
        },
        client.read_exact(&mut got)
    );
    written.unwrap();
    read.unwrap();
    assert!(got == sent);
    assert!(server.protection().sealed() < 4);
}

#[tokio::test]
async fn without_other_keys_a_connection_ends_when_they_are_worn_out() {
    let (mut client, mut server) = connect(&TLS12).await;
    server.protection().limit(4);
    // Finished was the first record.
    server.write_all(b"a").await.unwrap();
    server.write_all(b"b").await.unwrap();
    server.write_all(b"c").await.unwrap_err();
    server.shutdown().await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.expect("close_notify");
    assert_eq!(got, b"ab");
}
