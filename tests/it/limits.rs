use echobeat::ServerConfig;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{TestServer, config, soon, upgrade_request};

#[tokio::test]
async fn one_session_too_many_is_refused_until_another_ends() {
    let server = TestServer::start_with(ServerConfig {
        max_connections: 2,
        ..config()
    })
    .await;
    let mut first = server.connect().await;
    let second = server.connect().await;

    let refused = server.ask(upgrade_request("/")).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("Retry-After").is_some(), "{refused:?}");
    let health = server
        .ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(health.status, 200);
    first.echo("still here").await;

    drop(second);
    let third = async {
        loop {
            match server.try_connect().await {
                Ok(client) => break client,
                Err(_full) => tokio::task::yield_now().await,
            }
        }
    };
    soon(third).await.echo("now me").await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_closed_with_1009() {
    let server = TestServer::start_with(ServerConfig {
        max_message_size: 1_000,
        ..config()
    })
    .await;
    let mut client = server.connect().await;
    client.echo(vec![1; 1_000]).await;
    client.send(vec![1; 1_001]).await;
    let frame = client.expect_close().await.expect("a code");
    assert_eq!(frame.code, CloseCode::Size);
    assert_eq!(frame.reason.as_str(), "message over 1000 bytes");
}
