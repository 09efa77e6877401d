use echobeat::ServerConfig;
use echobeat_frames::{
    BINARY, BINARY_BEGUN, CLOSE, CONTINUED, CONTINUED_LAST, PING, TEXT, TEXT_BEGUN, close_frame,
    frame, header, server_frame, text_echo, text_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::{PATIENCE, Raw, TestServer, config, soon};

#[tokio::test]
async fn every_broken_frame_is_answered_with_its_close() {
    let server = TestServer::start().await;
    let control = server.control().await;
    for (code, bytes) in [
        // Reserved bits, reserved opcodes, no mask.
        (1002, frame(0xc1, b"rsv1")),
        (1002, frame(0xa1, b"rsv2")),
        (1002, frame(0x91, b"rsv3")),
        (1002, frame(0x83, b"")),
        (1002, frame(0x8f, b"")),
        (1002, server_frame(TEXT, b"hi")),
        // Control frames that are too long, or fragmented.
        (1002, frame(PING, &[0; 126])),
        (1002, frame(0x09, b"")),
        (1002, frame(0x08, b"")),
        // Continuations out of place.
        (1002, frame(CONTINUED_LAST, b"")),
        (1002, frame(CONTINUED, b"")),
        (1002, [frame(TEXT_BEGUN, b"a"), frame(TEXT, b"b")].concat()),
        (
            1002,
            [frame(BINARY_BEGUN, b"a"), frame(TEXT_BEGUN, b"b")].concat(),
        ),
        // Text that is not UTF-8: in one frame, over fragments, cut short at the end.
        (1007, frame(TEXT, b"\xc3\x28")),
        (
            1007,
            [
                frame(TEXT_BEGUN, b"\xf0\x9f"),
                frame(CONTINUED_LAST, b"\x28\x8c"),
            ]
            .concat(),
        ),
        (1007, frame(TEXT, b"\xf0\x9f\x92")),
        // Lengths beyond all memory.
        (1009, header(BINARY, (1 << 63) - 1)),
        (1009, header(BINARY, 1 << 63)),
        (1009, header(BINARY, u64::MAX)),
        // Closes with codes that may not be sent, half a code, or a reason that is not UTF-8.
        (1002, close_frame(0, b"")),
        (1002, close_frame(999, b"")),
        (1002, close_frame(1004, b"")),
        (1002, close_frame(1005, b"")),
        (1002, close_frame(1006, b"")),
        (1002, close_frame(1015, b"")),
        (1002, close_frame(5000, b"")),
        (1002, frame(CLOSE, b"\x03")),
        (1007, close_frame(1000, b"\xc3\x28")),
    ] {
        let mut raw = server.raw_session().await;
        raw.send([text_frame("before"), bytes].concat()).await;
        assert_eq!(raw.read(8).await, text_echo("before"));
        raw.expect_close(code).await;
    }
    control.finish("broken frames").await;
}

#[tokio::test]
async fn valid_text_may_be_cut_anywhere() {
    let server = TestServer::start().await;
    let mut raw = server.raw_session().await;
    let text = "aé💓".as_bytes();
    for cut in 0..=text.len() {
        raw.send(
            [
                frame(TEXT_BEGUN, &text[..cut]),
                frame(CONTINUED_LAST, &text[cut..]),
            ]
            .concat(),
        )
        .await;
        assert_eq!(raw.read(2 + text.len()).await[2..], *text);
    }
}

#[tokio::test]
async fn a_close_with_1009_reaches_a_client_that_goes_on_sending() {
    too_big(10, 10).await;
}

#[tokio::test]
#[ignore = "sends 10 GB"]
async fn a_close_with_1009_nearly_always_arrives() {
    too_big(100, 99).await;
}

/// Expects that at least `required` of `tries` peers get their Close.
async fn too_big(tries: usize, required: usize) {
    let server = TestServer::start().await;
    let control = server.control().await;
    let mut arrived = 0;
    for _ in 0..tries {
        arrived += usize::from(keep_sending(server.raw_session().await).await);
    }
    assert!(arrived >= required, "{arrived} of {tries}");
    control.finish("a message over the limit").await;
}

/// Sends 100 MB of a message that is over the limit, and says whether Close 1009 came.
async fn keep_sending(raw: Raw) -> bool {
    let (mut reader, mut writer) = raw.stream.into_split();
    let sending = tokio::spawn(async move {
        let piece = vec![0; 1_000_000];
        let _ = writer.write_all(&header(BINARY, 100_000_000)).await;
        for _ in 0..100 {
            if writer.write_all(&piece).await.is_err() {
                break;
            }
        }
    });
    let mut close = [0; 4];
    let read = soon(reader.read_exact(&mut close)).await;
    // It ends by itself: the server reads on, or resets.
    soon(sending).await.unwrap();
    read.is_ok() && close[0] == 0x88 && close[2..] == 1009_u16.to_be_bytes()
}

#[tokio::test]
async fn empty_fragments_without_end_are_closed_with_1008() {
    for payload in [&b""[..], b"x"] {
        let server = TestServer::start_with(ServerConfig {
            max_message_size: 1 << 20,
            ..config()
        })
        .await;
        let control = server.control().await;
        let raw = server.raw_session().await;
        let (mut reader, mut writer) = raw.stream.into_split();
        let sending = tokio::spawn(async move {
            let round = frame(CONTINUED, payload).repeat(10_000);
            let _ = writer.write_all(&frame(BINARY_BEGUN, b"")).await;
            for _ in 0..1_000 {
                if writer.write_all(&round).await.is_err() {
                    break;
                }
            }
        });
        let mut close = [0; 4];
        soon(reader.read_exact(&mut close)).await.expect("Close");
        assert_eq!((close[0], &close[2..]), (0x88, &1008_u16.to_be_bytes()[..]));
        sending.abort();
        control.finish("empty fragments").await;
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn endless_fragments_are_closed_with_1009_in_bounded_memory() {
    let running = super::process::serve(&[]).await;
    let control = running.control().await;
    let raw = Raw::session(running.address()).await;
    let (mut reader, mut writer) = raw.stream.into_split();
    let sending = tokio::spawn(async move {
        let fragment = frame(CONTINUED, &[0; 60_000]);
        let _ = writer.write_all(&frame(BINARY_BEGUN, b"")).await;
        while writer.write_all(&fragment).await.is_ok() {}
    });
    let mut close = [0; 4];
    soon(reader.read_exact(&mut close)).await.expect("Close");
    assert_eq!((close[0], &close[2..]), (0x88, &1009_u16.to_be_bytes()[..]));
    sending.abort();
    // The message, a copy while its buffer grows, and the program.
    assert!(
        running.peak_memory() < 80 << 10,
        "{} KiB",
        running.peak_memory()
    );
    control.finish("endless fragments").await;
}

#[tokio::test]
#[ignore = "waits 30 s"]
async fn half_a_frame_and_then_silence_is_closed_with_1008() {
    let server = TestServer::start().await;
    let control = server.control().await;
    let mut raw = server.raw_session().await;
    raw.send(&text_frame("half a frame")[..9]).await;
    let (mut reader, _writer) = raw.stream.into_split();
    let mut rest = Vec::new();
    let read = timeout(2 * PATIENCE, reader.read_to_end(&mut rest)).await;
    read.expect("it ends in time").expect("an orderly end");
    assert_eq!(
        (rest[0], &rest[2..4]),
        (0x88, &1008_u16.to_be_bytes()[..]),
        "{rest:x?}"
    );
    control.finish("half a frame").await;
}

#[tokio::test]
async fn what_follows_a_close_is_ignored() {
    let server = TestServer::start().await;
    let control = server.control().await;
    let mut raw = server.raw_session().await;
    raw.send(close_frame(1000, b"bye")).await;
    raw.send(text_frame("too late").repeat(1_000)).await;
    raw.expect_close(1000).await;
    control.finish("data after Close").await;
}
