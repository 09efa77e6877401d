//! Two programs: a server, and a proxy in front of it.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::cli::{Running, echobeat};
use crate::support::soon;

#[tokio::test]
async fn echoes_and_heart_beats_come_through_and_both_log_it() {
    let mut server = Running::start(echobeat(&["127.0.0.1:0", "--heartbeat=100ms"])).await;
    let upstream = format!("--upstream={}", server.url);
    let mut proxy = Running::start(echobeat(&["proxy", "--listen=127.0.0.1:0", &upstream])).await;
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(&proxy.url, stream)
        .await
        .unwrap();
    soon(socket.send("hello".into())).await.unwrap();
    let (mut echoes, mut beats) = (0, 0);
    while echoes < 1 || beats < 3 {
        match soon(socket.next()).await.unwrap().unwrap() {
            Message::Text(text) if text == "hello" => echoes += 1,
            Message::Text(text) if text == "heart beat" => beats += 1,
            other => panic!("{other:?}"),
        }
    }
    soon(socket.close(None)).await.unwrap();
    while soon(socket.next()).await.is_some() {}
    drop(socket);
    proxy.logs("connection: open").await;
    let end = proxy.logs("connection: end").await;
    assert!(end.contains("why=\"closed\""), "{end}");
    server.logs("end why=\"closed\"").await;
}
