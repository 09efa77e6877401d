use echobeat_frames::{BINARY, CLOSE, TEXT, frame, header};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::TestServer;

#[tokio::test]
async fn close_is_answered_with_its_code_and_ends_the_stream() {
    let server = TestServer::start().await;
    for code in [1000, 1001, 3000, 4001] {
        let mut client = server.connect().await;
        client.echo("hello").await;
        let code = CloseCode::from(code);
        let reason = "enough".into();
        client.close(CloseFrame { code, reason }).await;
    }
}

#[tokio::test]
async fn a_close_arrives_whole_though_the_client_goes_on_sending() {
    let server = TestServer::start().await;
    for (code, bytes) in [
        (1002, frame(0xf1, b"")),
        (1007, frame(TEXT, b"\xff")),
        (1009, header(BINARY, 17 << 20)),
    ] {
        let mut raw = server.raw_session().await;
        raw.send(bytes).await;
        raw.send(vec![0; 8 << 20]).await;
        let rest = raw.rest().await;
        assert_eq!(rest[0], CLOSE);
        assert_eq!(rest.len(), 2 + usize::from(rest[1]), "{rest:?}");
        assert_eq!(u16::from_be_bytes([rest[2], rest[3]]), code);
        assert!(std::str::from_utf8(&rest[4..]).is_ok_and(|reason| !reason.is_empty()));
    }
}
