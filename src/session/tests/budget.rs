//! Amount of work that a session does in one turn.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::deflate::{DEFAULT, Zip};
use super::*;
use crate::session::faulty::{self, Script};

/// Bit that marks a compressed message.
const RSV1: u8 = 0x40;

/// A stream that has all its bytes at once, takes everything that is written, and never ends.
struct AtOnce(Vec<u8>);

impl AsyncRead for AtOnce {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let read = self.0.len().min(buf.remaining());
        if read == 0 {
            return Poll::Pending;
        }
        buf.put_slice(&self.0[..read]);
        self.0.drain(..read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AtOnce {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for AtOnce {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }
}

/// Number of polls of `session` within a second, while it waits for nothing but its turn.
async fn polls(session: impl Future) -> usize {
    let polls = AtomicUsize::new(0);
    let mut session = pin!(session);
    let counted = poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        session.as_mut().poll(cx)
    });
    tokio::select! {
        _ = counted => {}
        () = sleep(Duration::from_secs(1)) => {}
    }
    polls.into_inner()
}

/// Number of polls of an ordinary session that finds `bytes` at once.
async fn polls_for(bytes: Vec<u8>) -> usize {
    let drain = Shutdown::new().subscribe();
    let (stream, config) = (AtOnce(bytes), quiet());
    polls(run(stream, b"", context(config, drain))).await
}

/// Number of polls of a session with this scenario that finds `bytes` at once.
async fn polls_of(scenario: &str, bytes: Vec<u8>) -> usize {
    let scenario = scenario.parse().unwrap();
    let script = Script {
        scenario: &scenario,
        head: Vec::new(),
        request_info: None,
    };
    let drain = Shutdown::new().subscribe();
    let (stream, config) = (AtOnce(bytes), quiet());
    polls(faulty::run(stream, b"", script, context(config, drain))).await
}

fn fragments(payload: &[u8], count: usize) -> Vec<u8> {
    let middle = frame(CONTINUED, payload).repeat(count - 2);
    let last = frame(CONTINUED_LAST, payload);
    [frame(TEXT_BEGUN, payload), middle, last].concat()
}

#[tokio::test(start_paused = true)]
async fn a_turn_has_a_bounded_number_of_frames() {
    let close = frame(CLOSE, b"");
    for (what, bytes) in [
        ("one message", fragments(b"", 40_000)),
        ("bytes", fragments(b"x", 40_000)),
        ("many messages", fragments(b"", 100).repeat(400)),
        ("messages", frame(TEXT, b"").repeat(40_000)),
    ] {
        let polls = polls_for(bytes.clone()).await;
        assert!((78..200).contains(&polls), "{what}: {polls} polls");
        let polls = polls_of("echo:off", bytes.clone()).await;
        assert!(
            (78..400).contains(&polls),
            "{what}, no echoes: {polls} polls"
        );
        let refused = [frame(TEXT, b"\xff"), bytes, close.clone()].concat();
        assert!(polls_for(refused).await < 5, "{what} behind the end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_has_a_bounded_number_of_bytes() {
    let message = frame(BINARY, &[7; 16 << 20]);
    let polls = polls_for(message.clone()).await;
    assert!((32..100).contains(&polls), "{polls} polls");
    let polls = polls_of("echo:off", message).await;
    assert!((32..200).contains(&polls), "{polls} polls");
}

/// Number of polls of a session with compression that finds `bytes` at once.
async fn polls_for_compressed(bytes: Vec<u8>) -> usize {
    let context = SessionContext {
        deflate: Some(DEFAULT),
        ..context(quiet(), Shutdown::new().subscribe())
    };
    polls(run(AtOnce(bytes), b"", context)).await
}

#[tokio::test(start_paused = true)]
async fn a_bomb_takes_turns() {
    let bomb = Zip::new(DEFAULT, 9).compress(&vec![0; 16 << 20], &[]);
    assert!(bomb.len() < 20_000, "{} bytes", bomb.len());
    let polls = polls_for_compressed(frame(BINARY | RSV1, &bomb)).await;
    assert!((64..400).contains(&polls), "{polls} polls");
}

#[tokio::test(start_paused = true)]
async fn small_compressed_messages_and_blocks_with_bfinal_take_turns() {
    let message = b"\x4a\x04\x00";
    let polls = polls_for_compressed(frame(BINARY | RSV1, message).repeat(2_000)).await;
    assert!((80..200).contains(&polls), "messages: {polls} polls");

    // Behind each block zlib is told the last 32 KiB.
    let mut blocks = Zip::new(DEFAULT, 1).compress(&[7; 40_000], &[]);
    blocks.extend([0x00, 0x00, 0xff, 0xff]);
    blocks.extend(b"\x4b\x04\x00".repeat(2_000));
    let polls = polls_for_compressed(frame(BINARY | RSV1, &blocks)).await;
    assert!((100..300).contains(&polls), "blocks: {polls} polls");
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_close_is_waited_for_takes_turns_too() {
    let bytes = fragments(b"", 40_000);
    let shutdown = Shutdown::new();
    let drain = shutdown.subscribe();
    shutdown.begin(Duration::ZERO, usize::MAX);
    let (stream, config) = (AtOnce(bytes), quiet());
    let session = run(stream, b"", context(config, drain));
    let polls = polls(session).await;
    assert!((78..200).contains(&polls), "{polls} polls");
}

#[tokio::test(start_paused = true)]
async fn the_step_burst_takes_turns() {
    let polls_of = |scenario| polls_of(scenario, Vec::new());
    let small = polls_of("burst:1x1048576,fragment:1").await;
    assert!((128..400).contains(&small), "fragments: {small} polls");
    let large = polls_of("burst:1x67108864").await;
    assert!((128..400).contains(&large), "bytes: {large} polls");
    let many = polls_of("burst:65536x8").await;
    assert!((8..100).contains(&many), "messages: {many} polls");
}
