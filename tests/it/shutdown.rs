use std::time::Duration;

use echobeat::{Server, ServerConfig, StartError};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::http2;
use crate::support::{Raw, TestServer, config, soon, upgrade_request};

#[tokio::test]
async fn every_session_is_closed_with_1001_and_then_serving_ends() {
    let server = TestServer::start_with(ServerConfig {
        drain: Duration::from_secs(3),
        ..config()
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(server.connect().await);
    }
    let address = server.address;
    let begun = Instant::now();
    let running = server.stop();
    for client in clients {
        let frame = client.expect_close().await.expect("a code");
        assert_eq!(frame.code, CloseCode::Away);
    }
    // Fifty closes spread over the whole of the drain would hardly all come in so soon.
    assert!(
        begun.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        begun.elapsed()
    );
    soon(running).await.unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_connection_that_has_asked_for_nothing_does_not_outlive_the_drains_beginning() {
    let server = TestServer::start_with(ServerConfig {
        close_timeout: Duration::from_secs(60),
        handshake_timeout: Duration::from_secs(60),
        drain: Duration::from_secs(60),
        ..config()
    })
    .await;
    // It answers no Close, so that the drain goes on.
    let _stubborn = server.raw_session().await;
    let silent = server.raw().await;
    let mut halfway = server.raw().await;
    halfway.send("GET / HTTP/1.1\r\nHost: ").await;
    // An answer shows that the server has come to know of both.
    let healthz = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(server.ask(healthz).await.status, 200);
    server.stop();
    assert!(silent.rest().await.is_empty());
    halfway.rest().await;
}

#[tokio::test]
async fn few_sessions_are_closed_at_once() {
    let server = TestServer::start_with(ServerConfig {
        drain: Duration::from_secs(3600),
        h2c: true,
        ..config()
    })
    .await;
    let client = server.connect().await;
    let mut http2 = http2::connect(server.address).await;
    let over_http2 = http2.client().await;
    let idle = server.raw().await;
    let running = server.stop();
    // A close anywhere in the first half hour would hardly come in time.
    for frame in [client.expect_close().await, over_http2.expect_close().await] {
        assert_eq!(frame.expect("a code").code, CloseCode::Away);
    }
    soon(running).await.unwrap();
    assert!(idle.rest().await.is_empty());
}

#[tokio::test]
async fn a_draining_server_refuses_new_sessions() {
    let server = TestServer::start_with(ServerConfig {
        drain: Duration::from_secs(4),
        ..config()
    })
    .await;
    // It never answers the Close, and so keeps the server up.
    let stubborn = server.raw_session().await;
    let mut idle = server.raw().await;
    idle.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(idle.response().await.status, 200);
    let address = server.address;
    let running = server.stop();

    // A connection that waits for its next request is closed at once.
    assert!(idle.rest().await.is_empty());
    let mut late = Raw::connect(address).await;
    late.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let health = late.response().await;
    assert_eq!((health.status, health.body.as_str()), (503, "draining\n"));
    assert!(late.rest().await.is_empty());

    let mut late = Raw::connect(address).await;
    late.send(upgrade_request("/")).await;
    let refused = late.response().await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("Retry-After").is_some(), "{refused:?}");
    drop(stubborn);
    soon(running).await.unwrap();
}

#[tokio::test]
async fn sessions_that_do_not_end_in_time_are_dropped() {
    let server = TestServer::start_with(ServerConfig {
        drain: Duration::from_millis(300),
        ..config()
    })
    .await;
    let stubborn = server.raw_session().await;
    let begun = Instant::now();
    soon(server.stop()).await.unwrap();
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(300)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
    let close = stubborn.rest().await;
    assert_eq!(close[..4], [0x88, close[1], 0x03, 0xe9]);
}

#[tokio::test]
async fn a_dropped_server_drops_its_sessions() {
    let server = Server::bind(config()).await.unwrap();
    let address = server.endpoints()[0].socket_addr().unwrap();
    let running = tokio::spawn(server.serve(std::future::pending()));
    let raw = Raw::session(address).await;
    running.abort();
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let server = TestServer::start().await;
    let taken = Server::bind(ServerConfig {
        listen: vec![server.address.to_string().parse().unwrap()],
        ..config()
    });
    let Err(StartError::Bind(error)) = taken.await else {
        panic!("the address is in use");
    };
    assert!(
        error.to_string().contains(&server.address.to_string()),
        "{error}"
    );
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
}
