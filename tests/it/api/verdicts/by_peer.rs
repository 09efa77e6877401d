//! Ends by the peer, and because of it.

use echobeat_frames::{BINARY, frame, header, text_frame};
use tokio::io::AsyncWriteExt;

use super::*;

#[tokio::test]
async fn the_peer_ends_the_connection() {
    let close_reset = [close(4000), Act::ReadClose, Act::Rst];
    let server = serve(config()).await;
    expect_all(
        &server,
        [
            case(
                "close",
                [close(4000), Act::ReadEnd, Act::Fin],
                json!(["closed", 4000, true, "fin", null, "peer"]),
            ),
            case(
                "close-and-fin-at-once",
                [close(4000), Act::Fin],
                json!(["closed", 4000, true, "fin", null, "peer"]),
            ),
            case(
                "close-without-code",
                [Act::Send(frame(CLOSE, b"")), Act::ReadEnd, Act::Fin],
                json!(["closed", 1005, true, "fin", null, "peer"]),
            ),
            case(
                "close-with-illegal-code",
                [close(1005), Act::ReadEnd, Act::Fin],
                json!(["protocol", 1002, true, "fin", null, "peer"]),
            ),
            case(
                "close-and-reset",
                close_reset,
                json!(["closed", 4000, true, "rst", "peer", "peer"]),
            ),
            case(
                "close-and-stay",
                [close(4000), Act::ReadEnd],
                json!(["closed", 4000, true, "timeout", null, "peer"]),
            ),
            case(
                "fin",
                [Act::Fin],
                json!(["eof", 1006, false, "fin", null, null]),
            ),
            case(
                "fin-and-echoes",
                [Act::Send(text_frame("hello")), Act::Fin, Act::ReadEnd],
                json!(["eof", 1006, false, "fin", null, null]),
            ),
            case(
                "fin-within-a-message",
                [Act::Send(text_frame("hello")[..7].to_vec()), Act::Fin],
                json!(["eof", 1006, false, "fin", null, null]),
            ),
            case(
                "reset",
                [Act::Rst],
                json!(["lost", 1006, false, "rst", "peer", null]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_peer_breaks_the_protocol() {
    let bad_opcode = || Act::Send(frame(0x83, b""));
    let bad_text = Act::Send(frame(0x81, b"\xff"));
    let too_big = Act::Send(header(BINARY, 1 << 40));
    let server = serve(config()).await;
    expect_all(
        &server,
        [
            case(
                "opcode",
                [bad_opcode(), Act::ReadEnd, Act::Fin],
                json!(["protocol", 1002, false, "fin", null, "server"]),
            ),
            case(
                "text",
                [bad_text, Act::ReadEnd, Act::Fin],
                json!(["not-utf8", 1007, false, "fin", null, "server"]),
            ),
            case(
                "size",
                [too_big, Act::ReadEnd, Act::Fin],
                json!(["too-big", 1009, false, "fin", null, "server"]),
            ),
            case(
                "opcode-and-reset",
                [bad_opcode(), Act::ReadClose, Act::Rst],
                json!(["protocol", 1002, false, "rst", "peer", "server"]),
            ),
            // A session that has failed reads no more (RFC 6455, section 7.1.7).
            case(
                "opcode-and-close",
                [bad_opcode(), Act::ReadClose, close(1002), Act::Fin],
                json!(["protocol", 1002, false, "fin", null, "server"]),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_dead() {
    let server = serve(ServerConfig {
        ping_interval: Some(SHORT),
        ping_timeout: SHORT,
        ..config()
    })
    .await;
    let dead = case(
        "dead",
        [],
        json!(["dead", 1011, false, "timeout", null, "server"]),
    );
    expect_all(&server, [dead]).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_reset() {
    let server = serve(ServerConfig {
        ping_interval: None,
        send_timeout: SHORT,
        ..config()
    })
    .await;
    let mut raw = server.raw().await;
    raw.send(upgrade_request("/?id=stalled")).await;
    raw.head().await;
    let message = frame(BINARY, &[0; 100_000]);
    soon(async { while raw.stream.write_all(&message).await.is_ok() {} }).await;
    let found = verdict(server.address, "stalled").await;
    let expected = json!(["stalled", 1006, false, "rst", "server", null]);
    assert_eq!(short(&found), expected, "{found:#}");
}
