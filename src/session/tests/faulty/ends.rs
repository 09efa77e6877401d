//! Ends of faulty sessions.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_deaf_server_beats_on_without_an_answer_to_anything() {
    let config = ServerConfig {
        heartbeat: Some(60 * SECOND),
        fault_timeout: 3600 * SECOND,
        ..ServerConfig::default()
    };
    let mut client = start(config, "deaf@2s", 64);
    client.send(&frame(TEXT, b"heard")).await;
    client.expect(TEXT, b"heard").await;
    tokio::time::sleep(2 * SECOND).await;
    // It sends no Ping either, and half a frame does not end it.
    client.send(&frame(TEXT, b"not heard")[..9]).await;
    for _ in 0..59 {
        client.expect(TEXT, b"heart beat").await;
    }
    let mut more = vec![0; 1000];
    more.extend(frame(CLOSE, b""));
    let written = timeout(SECOND, client.stream.write_all(&more)).await;
    assert!(written.is_err(), "it reads");
    let report = end(client).await;
    assert_eq!(
        (report.end.word(), report.teardown),
        ("fault", Teardown::Reset)
    );
    assert_eq!(report.lasted.as_secs(), 3602);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_server_does_nothing_for_ten_minutes() {
    let mut client = start(ServerConfig::default(), "beat:1s,stall@5500ms", PIPE);
    for _ in 0..5 {
        client.expect(TEXT, b"heart beat").await;
    }
    tokio::time::sleep(SECOND).await;
    client.send(&frame(PING, b"")).await;
    client.send(&frame(CLOSE, b"")).await;
    let report = client.expect_end().await;
    assert_eq!(report.end.to_string(), "asked for by the step stall");
    assert_eq!(report.teardown, Teardown::Reset);
    assert_eq!(report.lasted.as_secs(), 605);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_stall_at_once() {
    let client = play("stall");
    tokio::time::sleep(SECOND).await;
    client.shutdown.begin(10 * SECOND, usize::MAX);
    let report = client.expect_end().await;
    assert_eq!((report.end.code(), report.lasted), (1006, SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_close_is_followed_by_the_wait_for_its_answer() {
    for (answer, clean, teardown, seconds) in [
        (&frame(CLOSE, b"")[..], true, Teardown::Linger, 1),
        (&frame(TEXT, b"not yet"), false, Teardown::Drop, 6),
    ] {
        let mut client = play("close:1005:no@1s");
        client.expect(CLOSE, b"\x03\xedno").await;
        client.send(answer).await;
        if clean {
            client.stream.shutdown().await.unwrap();
        }
        let report = client.expect_end().await;
        assert_eq!((report.clean, report.teardown), (clean, teardown));
        assert_eq!((report.end.code(), report.end.word()), (1005, "fault"));
        assert_eq!(report.lasted.as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_tcp_may_follow_a_close_that_is_not_answered_or_a_stall() {
    for (scenario, teardown) in [
        ("close:4000@1s,rst@2s", Teardown::Reset),
        ("close:4000@1s,fin@2s", Teardown::Linger),
        ("stall@1s,rst@2s", Teardown::Reset),
        ("stall@1s,fin@2s", Teardown::Linger),
    ] {
        let report = end(play(scenario)).await;
        assert_eq!(report.teardown, teardown, "{scenario}");
        assert_eq!((report.clean, report.lasted.as_secs()), (false, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_with_noreply_waits_for_the_peer_to_end() {
    let mut client = play("noreply,beat:1s");
    client.send(&frame(CLOSE, &4001_u16.to_be_bytes())).await;
    expect_silence(&mut client, 60 * SECOND).await;
    client.stream.shutdown().await.unwrap();
    let report = client.expect_end().await;
    assert_eq!((report.end.code(), report.clean), (4001, false));
    assert_eq!(report.teardown, Teardown::Linger);
}

#[tokio::test(start_paused = true)]
async fn a_timed_end_does_not_wait_for_a_peer_that_does_not_read() {
    for (scenario, word, teardown) in [
        ("burst:1024x1MiB,rst@5s", "fault", Teardown::Reset),
        ("burst:1024x1MiB,fin@5s", "fault", Teardown::Linger),
        ("burst:1024x1MiB,stall@5s,rst@6s", "fault", Teardown::Reset),
        ("burst:1024x1MiB", "stalled", Teardown::Reset),
    ] {
        let report = end(start(quiet(), scenario, 1000)).await;
        assert_eq!(
            (report.end.word(), report.teardown),
            (word, teardown),
            "{scenario}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_timed_close_comes_behind_the_message_at_hand() {
    let mut client = start(quiet(), "burst:1000x1KiB,close:4001@1s", 100);
    tokio::time::sleep(2 * SECOND).await;
    // The messages that were being written come: a batch at most.
    for number in 0..1000_u64 {
        let (first, payload) = client.frame().await;
        if first == CLOSE {
            assert!((1..=66).contains(&number), "{number}");
            client.send(&frame(CLOSE, b"")).await;
            client.stream.shutdown().await.unwrap();
            assert!(client.expect_end().await.clean);
            return;
        }
        assert_eq!(payload[..8], number.to_be_bytes());
    }
    panic!("the close came last");
}

#[tokio::test(start_paused = true)]
async fn a_drain_sends_its_close_where_it_can() {
    let client = play("who");
    client.shutdown.begin(SECOND, usize::MAX);
    client.expect_close(1001).await;

    // In the middle of a frame no Close can be sent.
    let client = start(quiet(), "rate:1KiB,burst:1x1MiB", PIPE);
    tokio::time::sleep(SECOND).await;
    client.shutdown.begin(SECOND, usize::MAX);
    let report = end(client).await;
    assert_eq!(
        (report.end.word(), report.teardown),
        ("drained", Teardown::Reset)
    );
}
