use tokio::time::Instant;

use super::*;
use crate::session::flood;
use crate::ws::close::Teardown;

#[tokio::test(start_paused = true)]
async fn close_is_answered_with_the_same_code() {
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999,
    ] {
        let mut client = Client::start(quiet());
        client.send(&close_frame(code, b"so long")).await;
        let report = client.expect_close(code).await;
        assert_eq!((report.end.word(), report.end.code()), ("closed", code));
        assert_eq!((report.clean, report.teardown), (true, Teardown::Linger));
    }
}

#[tokio::test(start_paused = true)]
async fn close_without_a_code_is_answered_without_one() {
    let mut client = Client::start(quiet());
    client.send(&frame(CLOSE, b"")).await;
    client.expect(CLOSE, b"").await;
    assert_eq!(client.expect_end().await.end.code(), 1005);
}

#[tokio::test(start_paused = true)]
async fn echoes_come_before_the_answer_to_close_and_nothing_after_it() {
    let mut client = Client::start(quiet());
    let bytes = [
        frame(TEXT, b"last words"),
        close_frame(1000, b""),
        frame(TEXT, b"too late"),
    ];
    client.send(&bytes.concat()).await;
    client.expect(TEXT, b"last words").await;
    client.expect_close(1000).await;
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_protocol_is_closed_with_1002() {
    let unmasked = vec![TEXT, 2, b'h', b'i'];
    for bytes in [
        unmasked,
        frame(TEXT | 0x40, b"rsv1"),
        frame(TEXT | 0x20, b"rsv2"),
        frame(TEXT | 0x10, b"rsv3"),
        frame(0x83, b"reserved opcode"),
        frame(0x8b, b"reserved control opcode"),
        frame(PING, &[0; 126]),
        frame(PING & 0x7f, b"fragmented"),
        frame(CLOSE & 0x7f, b""),
        frame(CONTINUED_LAST, b"of nothing"),
        frame(CONTINUED, b"of nothing"),
        [frame(TEXT_BEGUN, b"one"), frame(TEXT, b"another")].concat(),
        frame(CLOSE, b"\x03"),
        close_frame(0, b""),
        close_frame(999, b""),
        close_frame(1004, b""),
        close_frame(1005, b""),
        close_frame(1006, b""),
        close_frame(1015, b""),
        close_frame(5000, b""),
    ] {
        let mut client = Client::start(quiet());
        client.send(&frame(TEXT, b"before")).await;
        client.send(&bytes).await;
        client.expect(TEXT, b"before").await;
        client.expect_close(1002).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_utf8_is_closed_with_1007() {
    for bytes in [
        frame(TEXT, b"\xff"),
        frame(TEXT, b"cut \xe2\x82"),
        frame(TEXT, b"surrogate \xed\xa0\x80"),
        [frame(TEXT_BEGUN, b"\xe2"), frame(CONTINUED_LAST, b"\x28")].concat(),
        [frame(TEXT_BEGUN, b"\xe2\x82"), frame(CONTINUED_LAST, b"")].concat(),
        close_frame(1000, b"\xff"),
    ] {
        let mut client = Client::start(quiet());
        client.send(&bytes).await;
        client.expect_close(1007).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_closed_with_1009() {
    let config = ServerConfig {
        max_message_size: 1_000,
        ..quiet()
    };
    let mut client = Client::start(config.clone());
    client.send(&frame(BINARY, &[0; 1_000])).await;
    client.expect(BINARY, &[0; 1_000]).await;

    for bytes in [
        frame(BINARY, &[0; 1_001]),
        header(BINARY, 1_001),
        header(BINARY, (1 << 63) - 1),
        [frame(BINARY_BEGUN, &[0; 600]), frame(CONTINUED, &[0; 401])].concat(),
    ] {
        let mut client = Client::start(config.clone());
        client.send(&bytes).await;
        client.send(&[0; 4]).await;
        let report = client.expect_close(1009).await;
        assert_eq!(report.end.word(), "too-big");
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_without_end_are_closed_with_1008() {
    let config = ServerConfig {
        max_message_size: 1_000,
        ..quiet()
    };
    let client = Client::start(config);
    let (reader, mut writer) = tokio::io::split(client.stream);
    tokio::spawn(async move {
        let empty = frame(CONTINUED, b"").repeat(1_000);
        // A Ping now and then does not begin a new message.
        let round = [empty, frame(PING, b"")].concat();
        let _ = writer.write_all(&frame(BINARY_BEGUN, b"")).await;
        while writer.write_all(&round).await.is_ok() {}
    });
    let report = timeout(PATIENCE, client.session)
        .await
        .expect("it ends")
        .unwrap();
    drop(reader);
    assert_eq!(report.end.code(), 1008);
    assert_eq!(report.end.to_string(), "fragments without end");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_control_frames_is_closed_with_1008() {
    for first in [PING, PONG] {
        let mut client = Client::start(quiet());
        let burst = flood::BURST as usize;
        client.send(&frame(first, b"x").repeat(2 * burst)).await;
        let mut pongs = 0;
        let (last, payload) = loop {
            match client.frame().await {
                (PONG, _) => pongs += 1,
                other => break other,
            }
        };
        assert_eq!((last, &payload[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
        assert_eq!(pongs, if first == PING { burst + 1 } else { 0 });
        client.expect_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_with_1001_within_its_window() {
    let start = Instant::now();
    let mut client = Client::start(quiet());
    client.send(&frame(TEXT, b"hello")).await;
    client.expect(TEXT, b"hello").await;
    client.shutdown.begin(Duration::from_secs(4), usize::MAX);
    let (first, payload) = client.frame().await;
    assert_eq!((first, &payload[..2]), (CLOSE, &1001_u16.to_be_bytes()[..]));
    assert!(
        start.elapsed() <= Duration::from_millis(4_001),
        "{:?}",
        start.elapsed()
    );
    // A message that crosses the Close is no error, and is not echoed.
    client
        .send(&[frame(TEXT, b"crossed"), close_frame(1001, b"")].concat())
        .await;
    let report = client.expect_end().await;
    assert_eq!(report.end.word(), "drained");
    assert_eq!((report.clean, report.teardown), (true, Teardown::Linger));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_our_close_is_dropped() {
    let mut client = Client::start(quiet());
    client.shutdown.begin(Duration::ZERO, usize::MAX);
    let (first, _) = client.frame().await;
    let closed = Instant::now();
    assert_eq!(first, CLOSE);
    let report = client.expect_end().await;
    assert_eq!(closed.elapsed().as_secs(), 5);
    assert_eq!((report.clean, report.teardown), (false, Teardown::Drop));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_ends_the_session() {
    let client = Client::start(quiet());
    drop(client.stream);
    let report = timeout(PATIENCE, client.session)
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!((report.end.word(), report.end.code()), ("eof", 1006));
}
