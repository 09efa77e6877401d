//! The client, against a server that says what it has seen of it.

use echobeat::TestServer;
use echobeat::testing::{Error, Side, TcpEnd, blocking};
use echobeat_example::converse;

#[tokio::test]
async fn the_client_greets_listens_and_closes_in_good_order() -> Result<(), Error> {
    let server = TestServer::start().await?;
    let url = server.url().to_owned();
    let client = tokio::spawn(async move { converse(&url).await });

    let mut connection = server.connection().await?;
    assert_eq!(connection.next_message().await?, "hello");
    connection.push("news")?;
    connection.close(4001, "bye")?;

    let verdict = connection.ended().await?;
    assert!(verdict.clean, "{verdict}");
    assert_eq!(verdict.first_close, Some(Side::Server));
    assert_eq!(verdict.tcp, Some(TcpEnd::Fin));

    let conversation = client.await.expect("no panic").expect("no error");
    assert_eq!(conversation.texts, ["hello", "news"]);
    assert_eq!(conversation.code, Some(4001));
    Ok(())
}

#[tokio::test]
async fn the_client_reports_a_reset_as_an_error() -> Result<(), Error> {
    let server = TestServer::start().await?;
    let client = converse(&server.url_with("rst@1msg")).await;
    assert!(client.is_err(), "{client:?}");
    assert_eq!(
        server.connection().await?.ended().await?.tcp,
        Some(TcpEnd::Rst(Side::Server))
    );
    Ok(())
}

#[test]
fn a_test_that_is_not_async_sees_the_same() -> Result<(), Error> {
    let server = blocking::TestServer::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let url = server.url_with("close:4002:bye@1msg");
    let conversation = runtime.expect("a runtime").block_on(converse(&url));
    assert_eq!(conversation.expect("no error").code, Some(4002));
    let verdict = server.connection()?.ended()?;
    assert_eq!((&*verdict.why, verdict.code), ("fault", 4002));
    Ok(())
}
