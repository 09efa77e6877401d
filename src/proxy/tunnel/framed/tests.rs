use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::runtime::shutdown::Shutdown;

/// Bytes of each pipe.
const PIPE: usize = 64 << 10;

/// A tunnel with these steps, by the far ends of its pipes.
struct Ends {
    client: DuplexStream,
    upstream: DuplexStream,
    report: JoinHandle<Report>,
    begun: Instant,
    _shutdown: Shutdown,
}

impl Ends {
    fn of(steps: &str) -> Self {
        let scenario: TunnelScenario = steps.parse().unwrap();
        let (client, mut client_end) = duplex(PIPE);
        let (upstream, mut upstream_end) = duplex(PIPE);
        let shutdown = Shutdown::new();
        let drain = shutdown.subscribe();
        let report = tokio::spawn(async move {
            let [client, upstream] = [&mut client_end, &mut upstream_end].map(|stream| TunnelEnd {
                stream,
                early: Vec::new(),
            });
            let framing = Framing {
                scenario,
                inspected: None,
            };
            run(client, upstream, framing, &ProxyConfig::default(), drain)
                .await
                .0
        });
        Self {
            client,
            upstream,
            report,
            begun: Instant::now(),
            _shutdown: shutdown,
        }
    }

    /// The next bytes for the client, and the milliseconds from the start until they came.
    async fn next(&mut self, length: usize) -> (Vec<u8>, u128) {
        let mut bytes = vec![0; length];
        self.client.read_exact(&mut bytes).await.unwrap();
        (bytes, self.begun.elapsed().as_millis())
    }

    async fn end(self) -> (String, u128) {
        let report = self.report.await.unwrap();
        (report.end.to_string(), self.begun.elapsed().as_millis())
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_frames_keep_their_order_and_control_frames_stay_among_fragments() {
    let mut ends = Ends::of("delay:200ms");
    let frames = b"\x01\x02he\x89\x00\x80\x01y\x82\x00";
    ends.upstream.write_all(frames).await.unwrap();
    let (got, at) = ends.next(frames.len()).await;
    assert_eq!((&got[..], at / 10), (&frames[..], 20));
    let mut ends = Ends::of("delay:1ms..400ms");
    let mut sent = Vec::new();
    for n in 0..100 {
        ends.upstream.write_all(&[0x82, 1, n]).await.unwrap();
        sent.extend([0x82, 1, n]);
    }
    assert_eq!(ends.next(300).await.0, sent);
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_next_one_is_not_held_for_ever() {
    let mut ends = Ends::of("reorder");
    ends.upstream
        .write_all(b"\x81\x01a\x89\x00\x01\x01b\x80\x01c\x81\x01d")
        .await
        .unwrap();
    let (got, at) = ends.next(11).await;
    assert_eq!(
        (&got[..], at),
        (&b"\x89\x00\x01\x01b\x80\x01c\x81\x01a"[..], 0)
    );
    let (got, at) = ends.next(3).await;
    assert_eq!((&got[..], at / 10), (&b"\x81\x01d"[..], 100));
    // Nor is it lost when the source ends.
    ends.upstream.write_all(b"\x81\x01e").await.unwrap();
    ends.upstream.shutdown().await.unwrap();
    assert_eq!(ends.next(3).await.0, b"\x81\x01e");
}

#[tokio::test(start_paused = true)]
async fn a_held_message_waits_for_the_end_of_a_control_frame() {
    let mut ends = Ends::of("reorder");
    ends.upstream
        .write_all(b"\x81\x01a\x89\x02p")
        .await
        .unwrap();
    assert_eq!(ends.next(3).await.0, b"\x89\x02p");
    timeout(Duration::from_secs(2), ends.client.read_u8())
        .await
        .unwrap_err();
    ends.upstream.write_all(b"q").await.unwrap();
    assert_eq!(ends.next(4).await.0, b"q\x81\x01a");
}

#[tokio::test(start_paused = true)]
async fn a_held_message_does_not_complete_one_that_ends_in_its_middle() {
    let mut ends = Ends::of("reorder");
    ends.upstream
        .write_all(b"\x81\x01a\x82\x09b")
        .await
        .unwrap();
    ends.upstream.shutdown().await.unwrap();
    let mut got = Vec::new();
    ends.client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"\x82\x09b");
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_mask_gets_none_when_it_is_sent_again_or_later() {
    for (steps, copies) in [("up.reorder", 1), ("up.duplicate", 2)] {
        let mut ends = Ends::of(steps);
        ends.client.write_all(b"\x81\x01a").await.unwrap();
        let mut got = vec![0; 3 * copies];
        ends.upstream.read_exact(&mut got).await.unwrap();
        assert_eq!(got, b"\x81\x01a".repeat(copies), "{steps}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_message_comes_after_a_close_or_an_end() {
    for (steps, sent, expected) in [
        (
            "reorder",
            &b"\x81\x01a\x88\x00"[..],
            &b"\x81\x01a\x88\x00"[..],
        ),
        (
            "reorder,close:none@1msg",
            b"\x81\x01a",
            b"\x81\x01a\x88\x00",
        ),
        ("reorder,fin@1msg", b"\x81\x01a", b"\x81\x01a"),
    ] {
        let mut ends = Ends::of(steps);
        ends.upstream.write_all(sent).await.unwrap();
        let mut got = vec![0; expected.len()];
        ends.client.read_exact(&mut got).await.unwrap();
        assert_eq!(got, expected, "{steps}");
        ends.client.shutdown().await.unwrap();
        ends.upstream.shutdown().await.unwrap();
        let more = ends.client.read_u8().await.unwrap_err();
        assert_eq!(more.kind(), ErrorKind::UnexpectedEof, "{steps}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_too_large_to_be_kept_pass_once() {
    for steps in ["duplicate", "reorder"] {
        let mut ends = Ends::of(steps);
        let size = (1 << 20) + 5;
        let mut sent = vec![0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 5];
        sent.resize(sent.len() + size, 7);
        let Ends { upstream, .. } = &mut ends;
        let (mut upstream, other) = (std::mem::replace(upstream, duplex(1).0), b"\x81\x01a");
        tokio::spawn(async move {
            upstream.write_all(&sent).await.unwrap();
            upstream.write_all(other).await.unwrap();
            upstream.write_all(b"\x88\x00").await.unwrap();
        });
        let mut payload = 0;
        loop {
            let (header, _) = ends.next(2).await;
            let size = match header[1] {
                127 => u64::from_be_bytes(ends.next(8).await.0.try_into().unwrap()),
                126 => u16::from_be_bytes(ends.next(2).await.0.try_into().unwrap()).into(),
                size => size.into(),
            };
            match header[0] & 0x0f {
                1 | 8 => break,
                _ => {
                    let (got, _) = ends.next(size as usize).await;
                    assert!(got.iter().all(|byte| *byte == 7));
                    payload += size;
                }
            }
        }
        assert_eq!(payload, size as u64, "{steps}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_holds_on_its_way_alone() {
    let mut ends = Ends::of("rate:1KiB");
    let mut message = vec![0x82, 126, 0x0f, 0xfc];
    message.resize(4096, 1);
    ends.upstream.write_all(&message).await.unwrap();
    ends.client.write_all(&message).await.unwrap();
    let mut up = vec![0; 4096];
    ends.upstream.read_exact(&mut up).await.unwrap();
    assert!(ends.begun.elapsed() < Duration::from_millis(100));
    let (down, at) = ends.next(4096).await;
    assert_eq!((up, down), (message.clone(), message));
    assert!((3900..4200).contains(&at), "{at} ms");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_backpressure() {
    let mut ends = Ends::of("delay:1m");
    let block = [0x82, 2, 7, 7].repeat(PIPE / 4);
    let mut written = 0;
    while let Ok(result) = timeout(Duration::from_secs(5), ends.upstream.write_all(&block)).await {
        result.unwrap();
        written += block.len();
        assert!(written < 6 << 20, "{written} bytes went somewhere");
    }
    assert!(written >= 4 << 20, "{written}");
    // All of it arrives, the rest of it later by as much again.
    let (got, at) = ends.next(written).await;
    assert_eq!((got.len(), at / 1000), (written, 120));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_way_leaves_the_other_and_ends_in_time() {
    let mut ends = Ends::of("stall@1msg");
    ends.upstream
        .write_all(b"\x81\x01a\x81\x01b")
        .await
        .unwrap();
    assert_eq!(ends.next(3).await.0, b"\x81\x01a");
    ends.client.write_all(b"\x81\x01c").await.unwrap();
    let mut up = [0; 3];
    ends.upstream.read_exact(&mut up).await.unwrap();
    assert_eq!(&up, b"\x81\x01c");
    let (end, at) = ends.end().await;
    assert_eq!((&end[..], at / 1000), ("asked for by the step stall", 600));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_not_answered_is_not_waited_for_long() {
    let mut ends = Ends::of("up.close:4001:bye@1s");
    ends.client.write_all(b"\x02\x05ab").await.unwrap();
    let mut up = [0; 4];
    ends.upstream.read_exact(&mut up).await.unwrap();
    let (end, at) = ends.end().await;
    assert_eq!((&end[..], at / 100), ("asked for by the step up.close", 60));
}

#[tokio::test(start_paused = true)]
async fn a_timed_cut_waits_for_nobody() {
    let ends = Ends::of("rst@5s");
    let Ends {
        mut upstream,
        report,
        client: _client,
        _shutdown,
        begun,
    } = ends;
    // The client does not read.
    let writing =
        tokio::spawn(async move { while upstream.write_all(&[0x82, 1, 1]).await.is_ok() {} });
    let end = report.await.unwrap().end;
    assert_eq!(end.to_string(), "asked for by the step rst");
    assert_eq!(begun.elapsed().as_secs(), 5);
    writing.abort();
    // The client has ended its side, and nothing more is to be sent.
    let mut ends = Ends::of("fin@5s");
    ends.client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    ends.upstream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(ends.end().await.1 / 100, 50);
}

#[tokio::test(start_paused = true)]
async fn a_cut_waits_for_what_is_before_it() {
    let mut ends = Ends::of("delay:100ms,fin@2msg");
    ends.upstream
        .write_all(b"\x81\x01a\x81\x01b\x81\x01c")
        .await
        .unwrap();
    assert_eq!(ends.next(6).await.0, b"\x81\x01a\x81\x01b");
    let mut client = std::mem::replace(&mut ends.client, duplex(1).0);
    let (end, at) = ends.end().await;
    assert_eq!((&end[..], at / 10), ("asked for by the step fin", 10));
    let rest = client.read_u8().await.unwrap_err();
    assert_eq!(rest.kind(), ErrorKind::UnexpectedEof);
}
