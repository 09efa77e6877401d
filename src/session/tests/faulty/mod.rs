//! Faulty sessions, as far as the tests need a clock. The bytes that such sessions send are tested
//! over real sockets.

mod ends;

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadHalf, WriteHalf, split};
use tokio::time::Instant;

use super::*;
use crate::session::faulty::{self, Script};
use crate::ws::close::{End, Teardown};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn start(config: ServerConfig, scenario: &str, pipe: usize) -> Client {
    let (stream, far_end) = duplex(pipe);
    let scenario = scenario.parse().unwrap();
    let shutdown = Shutdown::new();
    let drain = shutdown.subscribe();
    let session = tokio::spawn(async move {
        let script = Script {
            scenario: &scenario,
            head: Vec::new(),
            request_info: None,
        };
        let session = faulty::run(far_end, b"", script, context(config, drain));
        session.await.0
    });
    Client {
        stream,
        session,
        shutdown,
    }
}

fn play(scenario: &str) -> Client {
    start(quiet(), scenario, PIPE)
}

/// Expects no byte within `time`.
async fn expect_silence(client: &mut Client, time: Duration) {
    let byte = timeout(time, client.stream.read_u8()).await;
    assert!(byte.is_err(), "{byte:?}");
}

/// Expects that the session ends, even if bytes are left to read. Returns its report.
async fn end(client: Client) -> Report {
    let report = timeout(2 * PATIENCE, client.session).await;
    report
        .expect("the session ends")
        .expect("it does not panic")
}

#[tokio::test(start_paused = true)]
async fn an_echo_is_late_by_the_delay_and_others_are_not() {
    let mut client = play("delay:200ms");
    let begun = Instant::now();
    client.send(&frame(TEXT, b"one")).await;
    client.send(&frame(PING, b"ping")).await;
    client.expect(PONG, b"ping").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    client.expect(TEXT, b"one").await;
    let late = begun.elapsed().as_millis();
    assert!((200..=202).contains(&late), "{late} ms");
}

#[tokio::test(start_paused = true)]
async fn random_delays_stay_in_their_range_and_keep_the_order() {
    let mut client = play("delay:50ms..200ms");
    let begun = Instant::now();
    for n in 0..50 {
        client.send(&frame(BINARY, &[n])).await;
    }
    for n in 0..50 {
        client.expect(BINARY, &[n]).await;
        let late = begun.elapsed().as_millis();
        assert!((50..=202).contains(&late), "{late} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_delayed_is_bounded_and_then_nothing_is_read() {
    let mut client = start(quiet(), "delay:1s", 64);
    let (mut reader, mut writer): (ReadHalf<_>, WriteHalf<_>) = split(client.stream);
    let begun = Instant::now();
    let sending = tokio::spawn(async move {
        for n in 0..200 {
            writer.write_all(&frame(BINARY, &[n])).await.unwrap();
        }
        (begun.elapsed(), writer)
    });
    for n in 0..200 {
        assert_eq!(read_frame(&mut reader).await, (BINARY, vec![n]));
    }
    // First 64 echoes wait, then 64 more.
    let (took, writer) = sending.await.unwrap();
    assert!(took >= 2 * SECOND, "{took:?}");
    client.stream = reader.unsplit(writer);
    client.send(&frame(CLOSE, &1000_u16.to_be_bytes())).await;
    client.expect_close(1000).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_not_read_for_its_delay_is_not_dead() {
    let config = ServerConfig {
        ping_interval: Some(SECOND),
        ping_timeout: SECOND,
        max_message_size: 1,
        ..quiet()
    };
    let mut client = start(config, "delay:30s", PIPE);
    client.send(&frame(BINARY, b"a")).await;
    client.expect(BINARY, b"a").await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_half_closes_gets_its_delayed_echoes() {
    let mut client = play("delay:1s");
    client.send(&frame(TEXT, b"bye")).await;
    client.stream.shutdown().await.unwrap();
    client.expect(TEXT, b"bye").await;
    let report = client.expect_end().await;
    assert!(matches!(report.end, End::Eof), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_and_is_no_stall() {
    let config = ServerConfig {
        send_timeout: Duration::from_millis(100),
        ..quiet()
    };
    for (scenario, least, most) in [
        ("rate:1,burst:1x8", 9, 10),
        ("rate:1KiB,burst:10x1022", 9, 11),
        ("rate:1MiB,burst:2x10MiB", 19, 21),
    ] {
        let mut client = start(config.clone(), scenario, PIPE);
        let begun = Instant::now();
        let mut messages = 0;
        while timeout(2 * SECOND, client.stream.read_u8()).await.is_ok() {
            messages += 1;
            // The rest of the bytes that were written at once.
            let mut rest = vec![0; 1 << 20];
            while let Ok(Ok(1..)) = timeout(Duration::ZERO, client.stream.read(&mut rest)).await {}
        }
        let took = begun.elapsed().as_secs_f64() - 2.0;
        assert!(messages > 0);
        assert!(
            (f64::from(least)..=f64::from(most)).contains(&took),
            "{scenario}: {took} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pings_come_at_their_interval_during_an_echo_storm() {
    let mut client = play("ping:1s");
    let begun = Instant::now();
    for second in 1..=5 {
        for _ in 0..9 {
            client.send(&frame(TEXT, b"storm")).await;
            client.expect(TEXT, b"storm").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        client.expect(PING, b"").await;
        assert_eq!(begun.elapsed().as_millis() / 10, second * 100);
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_keeps_the_interval_of_pings() {
    let config = ServerConfig {
        ping_interval: Some(SECOND),
        ..quiet()
    };
    for steps in [
        "who",
        "beat:off",
        "echo:off",
        "delay:1s",
        "fragment:1",
        "noreply",
        "fin@1h",
    ] {
        let mut client = start(config.clone(), steps, PIPE);
        let begun = Instant::now();
        client.expect(PING, b"").await;
        assert!(
            (500..=1001).contains(&begun.elapsed().as_millis()),
            "{steps}"
        );
        for _ in 0..5 {
            let answered = Instant::now();
            client.send(&frame(PONG, b"")).await;
            client.expect(PING, b"").await;
            let silence = answered.elapsed().as_millis();
            assert!((1000..=1002).contains(&silence), "{steps}: {silence} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn steps_take_the_place_of_settings() {
    let config = ServerConfig {
        heartbeat: Some(3 * SECOND),
        ..quiet()
    };
    let mut client = start(config.clone(), "beat:off", PIPE);
    expect_silence(&mut client, 60 * SECOND).await;
    let mut client = start(config.clone(), "say:tick", PIPE);
    expect_silence(&mut client, 3 * SECOND - Duration::from_millis(10)).await;
    client.expect(TEXT, b"tick").await;
    let mut client = start(config, "beat:1s", PIPE);
    for _ in 0..3 {
        expect_silence(&mut client, Duration::from_millis(990)).await;
        client.expect(TEXT, b"heart beat").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_misbehaves_still_minds_what_its_peer_does() {
    let mut client = play("who");
    client.send(&frame(0xf1, b"")).await;
    client.expect_close(1002).await;

    let mut client = play("who");
    client.send(&frame(TEXT, b"half a frame")[..9]).await;
    client.expect_close(1008).await;

    let mut client = play("who");
    client.send(&frame(PING, b"").repeat(1001)).await;
    for _ in 0..1001 {
        client.expect(PONG, b"").await;
    }
    client.expect_close(1008).await;

    let config = ServerConfig {
        ping_interval: Some(SECOND),
        ..quiet()
    };
    let mut client = start(config, "who", PIPE);
    client.expect(PING, b"").await;
    client.expect_close(1011).await;
}

/// A stream that notes the size of each write.
pub(super) struct Writes(pub(super) DuplexStream, pub(super) Vec<usize>);

impl Transport for Writes {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }

    fn drains_by_short_read(&self) -> bool {
        true
    }
}

impl AsyncRead for Writes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Writes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.1.push(buf.len());
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_and_what_goes_with_it_are_one_write_at_any_rate() {
    let (mut near, far) = duplex(PIPE);
    let scenario = "greet:hi,rate:1,fin".parse().unwrap();
    let script = Script {
        scenario: &scenario,
        head: b"HEAD".to_vec(),
        request_info: Some("{}".to_owned()),
    };
    let drain = Shutdown::new().subscribe();
    let far = Writes(far, Vec::new());
    let config = quiet();
    let session = faulty::run(far, b"", script, context(config, drain));
    let (report, Writes(far, writes)) = session.await;
    drop(far);
    let mut all = Vec::new();
    near.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"HEAD\x81\x02{}\x81\x02hi");
    assert_eq!((writes, report.sent.messages), (vec![12], 2));
}
