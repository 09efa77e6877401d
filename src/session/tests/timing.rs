use std::io;
use std::pin::Pin;
use std::task::ready;

use tokio::io::{AsyncWrite, BufReader};
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::net::stream::delegate_read;
use crate::session::schedule::PROGRESS_TIMEOUT;
use crate::ws::close::Teardown;

fn beating() -> ServerConfig {
    ServerConfig {
        ping_interval: None,
        ..ServerConfig::default()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn the_heart_beats_every_three_seconds() {
    let start = Instant::now();
    let mut client = Client::start(beating());
    for beat in 1..=5 {
        client.expect(TEXT, b"heart beat").await;
        assert_eq!(start.elapsed().as_secs(), 3 * beat);
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_does_not_wait_for_the_first_heart_beat() {
    let start = Instant::now();
    let mut client = Client::start(beating());
    client.send(&frame(TEXT, b"hello")).await;
    client.expect(TEXT, b"hello").await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    client.expect(TEXT, b"heart beat").await;
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_heart_beat_says_what_it_is_told_to_and_can_be_off() {
    let mut client = Client::start(ServerConfig {
        heartbeat: Some(Duration::from_millis(500)),
        heartbeat_text: "poch".to_owned(),
        ..beating()
    });
    client.expect(TEXT, b"poch").await;

    let mut client = Client::start(quiet());
    assert!(
        timeout(secs(100), read_frame(&mut client.stream))
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn heart_beats_do_not_pile_up_behind_a_blocked_peer() {
    // The pipe holds half a heart beat, so that the first one is stuck from the start.
    let mut client = Client::start_over(
        ServerConfig {
            send_timeout: PATIENCE,
            ..beating()
        },
        6,
    );
    sleep(secs(100)).await;
    let start = Instant::now();
    client.expect(TEXT, b"heart beat").await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    // Then in its old rhythm.
    client.expect(TEXT, b"heart beat").await;
    let second = Instant::now();
    assert!(start.elapsed() <= secs(3), "{:?}", start.elapsed());
    client.expect(TEXT, b"heart beat").await;
    assert_eq!(second.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_heart_beat_that_is_due_during_a_blocked_echo_is_late_and_not_lost() {
    let mut client = Client::start_over(
        ServerConfig {
            send_timeout: PATIENCE,
            ..beating()
        },
        256,
    );
    client.send(&frame(BINARY, &[5; 300])).await;
    sleep(secs(100)).await;
    let start = Instant::now();
    client.expect(BINARY, &[5; 300]).await;
    client.expect(TEXT, b"heart beat").await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    // Then in its old rhythm.
    client.expect(TEXT, b"heart beat").await;
    let second = start.elapsed();
    assert!((secs(1)..=secs(3)).contains(&second), "{second:?}");
    client.expect(TEXT, b"heart beat").await;
    assert_eq!(start.elapsed() - second, secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_lives_if_it_answers() {
    let start = Instant::now();
    let mut client = Client::start(ServerConfig {
        heartbeat: None,
        ..ServerConfig::default()
    });
    client.expect(PING, b"").await;
    let first = start.elapsed();
    assert!((secs(12)..=secs(26)).contains(&first), "{first:?}");
    for _ in 0..3 {
        let answered = Instant::now();
        client.send(&frame(PONG, b"")).await;
        client.expect(PING, b"").await;
        assert_eq!(answered.elapsed().as_secs(), 25);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_dead() {
    let mut client = Client::start(ServerConfig {
        heartbeat: None,
        ..ServerConfig::default()
    });
    client.expect(PING, b"").await;
    let pinged = Instant::now();
    let report = client.expect_close(1011).await;
    assert_eq!(pinged.elapsed().as_secs(), 10);
    assert_eq!(
        (report.end.word(), report.teardown),
        ("dead", Teardown::Drop)
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_dropped_by_the_send_timeout() {
    let mut client = Client::start_over(quiet(), 1 << 10);
    let start = Instant::now();
    // Bytes that the session no longer reads stay in the pipe, and block this write too.
    let _ = timeout(
        secs(11),
        client
            .stream
            .write_all(&frame(BINARY, &[0; 100]).repeat(100)),
    )
    .await;
    let report = timeout(PATIENCE, client.session).await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(
        (report.end.word(), report.teardown),
        ("stalled", Teardown::Reset)
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_a_byte_a_second_is_slow_but_not_stalled() {
    let mut client = Client::start_over(quiet(), 256);
    client.send(&frame(BINARY, &[5; 300])).await;
    for _ in 0..100 {
        sleep(secs(1)).await;
        client.stream.read_u8().await.unwrap();
    }
    assert!(!client.session.is_finished());
}

/// A stream that takes all that is written, and then sends it as the pipe takes it, as TLS does.
struct Sealing {
    pipe: DuplexStream,
    sealed: Vec<u8>,
}

impl AsyncRead for Sealing {
    delegate_read!(Self { pipe, .. } => pipe);
}

impl AsyncWrite for Sealing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.sealed.extend(bytes);
        let _ = self.poll_flush(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let Self { pipe, sealed } = &mut *self;
            let sent = ready!(Pin::new(pipe).poll_write(cx, sealed))?;
            sealed.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

impl Transport for Sealing {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }

    fn unsent(&self) -> usize {
        self.sealed.len()
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_is_not_stalled_by_what_the_stream_holds_back() {
    let (mut client, pipe) = duplex(256);
    let sealed = Vec::new();
    let context = context(quiet(), Shutdown::new().subscribe());
    let session = tokio::spawn(async { run(Sealing { pipe, sealed }, b"", context).await.0 });
    client.write_all(&frame(BINARY, &[5; 3000])).await.unwrap();
    for _ in 0..100 {
        sleep(secs(1)).await;
        client.read_u8().await.unwrap();
    }
    assert!(!session.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_blocked_is_not_dead_for_its_silence() {
    let mut client = Client::start_over(
        ServerConfig {
            heartbeat: None,
            send_timeout: PATIENCE,
            ..ServerConfig::default()
        },
        256,
    );
    client.send(&frame(BINARY, &[5; 300])).await;
    sleep(secs(100)).await;
    client.expect(BINARY, &[5; 300]).await;
    let start = Instant::now();
    client.expect(PING, b"").await;
    assert!(start.elapsed() > secs(12), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_and_then_silence_is_closed_with_1008() {
    for begun in [
        frame(BINARY, &[1; 100])[..50].to_vec(),
        frame(BINARY, &[1; 100])[..1].to_vec(),
        frame(TEXT_BEGUN, b"and then"),
    ] {
        let mut client = Client::start(quiet());
        advance(secs(100)).await;
        let start = Instant::now();
        client.send(&begun).await;
        let report = client.expect_close(1008).await;
        assert_eq!(start.elapsed().as_secs(), PROGRESS_TIMEOUT.as_secs());
        assert_eq!(report.end.word(), "stuck");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_message_has_all_the_time_that_it_needs() {
    let mut client = Client::start(quiet());
    for byte in frame(BINARY, &[1; 100]) {
        client.send(&[byte]).await;
        sleep(PROGRESS_TIMEOUT - secs(1)).await;
    }
    client.expect(BINARY, &[1; 100]).await;
    // An idle session has forgotten that there was a message.
    sleep(10 * PROGRESS_TIMEOUT).await;
    assert!(!client.session.is_finished());
}

#[tokio::test]
async fn the_heart_beats_during_an_echo_storm() {
    let client = Client::start(ServerConfig {
        heartbeat: Some(Duration::from_millis(20)),
        ..ServerConfig::default()
    });
    let (reader, mut writer) = tokio::io::split(client.stream);
    let storm = tokio::spawn(async move {
        let messages = frame(TEXT, b"echo").repeat(100);
        while writer.write_all(&messages).await.is_ok() {}
    });
    let beats = async {
        let mut reader = BufReader::new(reader);
        let mut beats = 0;
        while beats < 5 {
            let (_, payload) = read_frame(&mut reader).await;
            beats += usize::from(payload == b"heart beat");
        }
    };
    let seen = timeout(secs(20), beats).await;
    seen.expect("heart beats come while the storm goes on");
    storm.abort();
}
