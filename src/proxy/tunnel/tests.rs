use std::task::Context;

use tokio::io::{
    self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream, DuplexStream, duplex,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::net::transport::Hangup;
use crate::runtime::shutdown::Shutdown;

const SOON: Duration = Duration::from_secs(60);

impl Transport for BufStream<DuplexStream> {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }
}

impl<R, W> Transport for io::Join<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }
}

fn config(idle_timeout: Option<Duration>) -> ProxyConfig {
    ProxyConfig {
        idle_timeout,
        send_timeout: SOON,
        ..ProxyConfig::default()
    }
}

/// A tunnel between two pipes of `size` bytes, and the far ends of both.
fn tunnel(
    size: usize,
    early: [&[u8]; 2],
    idle: Option<Duration>,
    shutdown: &Shutdown,
) -> (
    DuplexStream,
    DuplexStream,
    impl Future<Output = Report> + use<>,
) {
    let (client, mut client_end) = duplex(size);
    let (upstream, mut upstream_end) = duplex(size);
    let [from_client, from_upstream] = early.map(<[u8]>::to_vec);
    let drain = shutdown.subscribe();
    let report = async move {
        let client = TunnelEnd {
            stream: &mut client_end,
            early: from_client,
        };
        let upstream = TunnelEnd {
            stream: &mut upstream_end,
            early: from_upstream,
        };
        run(client, upstream, &config(idle), drain).await
    };
    (client, upstream, report)
}

#[tokio::test]
async fn bytes_go_both_ways_and_early_ones_come_first() {
    let shutdown = Shutdown::new();
    let (mut client, mut upstream, report) = tunnel(7, [b"one ", b"uno "], None, &shutdown);
    let report = tokio::spawn(report);
    let big = vec![7; 1 << 20];
    let (mut client_read, mut client_write) = tokio::io::split(&mut client);
    let (mut upstream_read, mut upstream_write) = tokio::io::split(&mut upstream);
    let (mut in_bytes, mut out_bytes) = (Vec::new(), Vec::new());
    let all = async {
        tokio::try_join!(
            async {
                client_write.write_all(&big).await?;
                client_write.shutdown().await
            },
            async {
                upstream_write.write_all(b"dos").await?;
                upstream_write.shutdown().await
            },
            client_read.read_to_end(&mut out_bytes),
            upstream_read.read_to_end(&mut in_bytes),
        )
    };
    timeout(SOON, all).await.unwrap().unwrap();
    assert!(in_bytes == [b"one ", &big[..]].concat());
    assert_eq!(out_bytes, b"uno dos");
    let report = report.await.unwrap();
    assert!(matches!(report.end, End::Closed(_)), "{report:?}");
    assert_eq!((report.bytes_in, report.bytes_out), (4 + (1 << 20), 7));
}

#[tokio::test]
async fn the_side_that_sends_close_has_closed_whichever_ends_tcp() {
    const FROM_CLIENT: &[u8] = &[0x88, 0x82, 1, 2, 3, 4, 2, 0xea];
    const FROM_UPSTREAM: &[u8] = &[0x88, 2, 3, 0xe8];
    for (first, side) in [
        (Some(Side::Client), Side::Client),
        (Some(Side::Upstream), Side::Upstream),
        (None, Side::Upstream),
    ] {
        let shutdown = Shutdown::new();
        let (mut client, mut upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
        let report = tokio::spawn(report);
        let mut closing = [0; 8];
        if first == Some(Side::Client) {
            client.write_all(FROM_CLIENT).await.unwrap();
            upstream.read_exact(&mut closing).await.unwrap();
        }
        if first.is_some() {
            upstream.write_all(FROM_UPSTREAM).await.unwrap();
            client.read_exact(&mut closing[..4]).await.unwrap();
        }
        // A server ends first.
        upstream.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
        client.shutdown().await.unwrap();
        let report = timeout(SOON, report).await.unwrap().unwrap();
        assert!(
            matches!(report.end, End::Closed(s) if s == side),
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn bytes_that_a_sink_buffers_are_flushed() {
    let shutdown = Shutdown::new();
    let (mut client, client_end) = duplex(64);
    let (mut upstream, mut upstream_end) = duplex(64);
    let mut client_end = BufStream::new(client_end);
    let drain = shutdown.subscribe();
    let running = tokio::spawn(async move {
        let client = TunnelEnd {
            stream: &mut client_end,
            early: b"early".to_vec(),
        };
        let upstream = TunnelEnd {
            stream: &mut upstream_end,
            early: b"first".to_vec(),
        };
        run(client, upstream, &config(None), drain).await
    });
    let mut read = [0; 5];
    timeout(SOON, client.read_exact(&mut read))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&read, b"first");
    upstream.write_all(b"again").await.unwrap();
    timeout(SOON, client.read_exact(&mut read))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&read, b"again");
    running.abort();
}

#[tokio::test]
async fn one_side_may_end_and_still_be_answered() {
    let shutdown = Shutdown::new();
    let (mut client, mut upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
    let report = tokio::spawn(report);
    client.shutdown().await.unwrap();
    assert_eq!(upstream.read(&mut [0; 1]).await.unwrap(), 0);
    upstream.write_all(b"late").await.unwrap();
    drop(upstream);
    let mut answer = Vec::new();
    timeout(SOON, client.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, b"late");
    let report = report.await.unwrap();
    assert!(
        matches!(report.end, End::Closed(Side::Client)),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_side_that_does_not_read_stops_the_other() {
    let shutdown = Shutdown::new();
    let (mut client, _upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
    let running = tokio::spawn(report);
    let flood = vec![0; 1 << 20];
    let written = timeout(Duration::from_millis(200), client.write_all(&flood)).await;
    assert!(written.is_err(), "it is held back");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn silence_and_the_end_of_the_drain_end_a_tunnel() {
    let shutdown = Shutdown::new();
    let limit = Duration::from_secs(5);
    let (mut client, _upstream, report) = tunnel(64, [b"", b""], Some(limit), &shutdown);
    let report = tokio::spawn(report);
    tokio::time::sleep(Duration::from_secs(4)).await;
    client.write_all(b"x").await.unwrap();
    let report = report.await.unwrap();
    assert!(matches!(report.end, End::Idle), "{report:?}");
    assert_eq!(report.lasted.as_secs(), 9);

    let (_client, _upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
    shutdown.begin(limit, usize::MAX);
    let report = report.await;
    assert!(matches!(report.end, End::Drained), "{report:?}");
    assert_eq!(report.lasted.as_secs(), 5);
}

#[tokio::test]
async fn the_end_of_the_drain_ends_a_tunnel_that_never_pauses() {
    let shutdown = Shutdown::new();
    let [mut client, mut upstream] = [(); 2].map(|()| io::join(io::repeat(7), io::sink()));
    let [client, upstream] = [&mut client, &mut upstream].map(|stream| TunnelEnd {
        stream,
        early: Vec::new(),
    });
    let drain = shutdown.subscribe();
    shutdown.begin(Duration::from_millis(50), usize::MAX);
    let config = config(None);
    let running = run(client, upstream, &config, drain);
    let report = timeout(SOON, running).await.unwrap();
    assert!(matches!(report.end, End::Drained), "{report:?}");
}

#[tokio::test]
async fn a_direction_that_never_pauses_leaves_the_other_its_turn() {
    let shutdown = Shutdown::new();
    let (mut client, client_end) = duplex(64);
    let (mut upstream, upstream_end) = duplex(64);
    let mut client_end = io::join(io::repeat(7), client_end);
    let mut upstream_end = io::join(upstream_end, io::sink());
    let drain = shutdown.subscribe();
    let running = tokio::spawn(async move {
        let client = TunnelEnd {
            stream: &mut client_end,
            early: Vec::new(),
        };
        let upstream = TunnelEnd {
            stream: &mut upstream_end,
            early: Vec::new(),
        };
        run(client, upstream, &config(None), drain).await
    });
    upstream.write_all(b"x").await.unwrap();
    let mut byte = [0];
    let read = timeout(SOON, client.read_exact(&mut byte)).await;
    running.abort();
    assert!(read.is_ok(), "nothing comes");
    assert_eq!(&byte, b"x");
}

/// The report of a tunnel whose client sends `sent` and then ends, while the upstream need not read
/// all of that.
async fn end_of(client: &mut DuplexStream, sent: &[u8], report: JoinHandle<Report>) -> Report {
    let sending = async {
        let _ = client.write_all(sent).await;
        let _ = client.shutdown().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        report = report => report.unwrap(),
        () = sending => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_ends_the_tunnel() {
    let shutdown = Shutdown::new();
    let (mut client, _upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
    let report = end_of(&mut client, &[7; 1 << 10], tokio::spawn(report)).await;
    assert!(
        matches!(report.end, End::Stalled(Side::Upstream)),
        "{report:?}"
    );
    assert_eq!(report.lasted.as_secs(), SOON.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_little_by_little_does_not_end_the_tunnel() {
    let shutdown = Shutdown::new();
    let (mut client, mut upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
    let report = tokio::spawn(report);
    let sending = tokio::spawn(async move {
        client.write_all(&[7; 256]).await.unwrap();
        client
    });
    let mut read = [0; 32];
    for _ in 0..8 {
        tokio::time::sleep(SOON * 9 / 10).await;
        upstream.read_exact(&mut read).await.unwrap();
    }
    let _client = sending.await.unwrap();
    // An idle tunnel has no time limit.
    tokio::time::sleep(SOON * 100).await;
    assert!(!report.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_side_that_does_not_end_after_the_other_has_its_time() {
    let shutdown = Shutdown::new();
    let (mut client, _upstream, report) = tunnel(64, [b"", b""], None, &shutdown);
    let report = end_of(&mut client, b"bye", tokio::spawn(report)).await;
    assert!(
        matches!(report.end, End::HalfClosed(Side::Client)),
        "{report:?}"
    );
    assert_eq!(report.bytes_in, 3);
}

#[test]
fn an_idle_tunnel_is_small() {
    assert!(size_of::<Flow>() <= 48, "{}", size_of::<Flow>());
}
