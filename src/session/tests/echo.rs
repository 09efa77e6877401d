use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, ReadBuf};

use super::faulty::Writes;
use super::*;
use crate::session::read_buffer::READ_AHEAD;
use crate::telemetry::metrics::Traffic;
use crate::ws::close::Teardown;

#[tokio::test(start_paused = true)]
async fn messages_of_every_size_come_back() {
    let mut client = Client::start_over(quiet(), 4 << 20);
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
        client.send(&frame(TEXT, &text)).await;
        client.expect(TEXT, &text).await;

        let binary: Vec<u8> = (0..=255).cycle().take(size).collect();
        client.send(&frame(BINARY, &binary)).await;
        client.expect(BINARY, &binary).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_together_goes_back_in_one_write() {
    let (mut near, far) = duplex(PIPE);
    let drain = Shutdown::new().subscribe();
    let (far, config) = (Writes(far, Vec::new()), quiet());
    let session = tokio::spawn(run(far, b"", context(config, drain)));
    for (messages, payload) in [(1, b"alone"), (3, b"three")] {
        let sent = frame(TEXT, payload).repeat(messages);
        near.write_all(&sent).await.unwrap();
        for _ in 0..messages {
            assert_eq!(read_frame(&mut near).await, (TEXT, payload.to_vec()));
        }
    }
    let close = frame(CLOSE, &1000_u16.to_be_bytes());
    near.write_all(&close).await.unwrap();
    let session = timeout(PATIENCE, session).await.expect("the session ends");
    let (_, Writes(_, writes)) = session.unwrap();
    assert_eq!(writes, [7, 3 * 7, 4]);
}

#[tokio::test(start_paused = true)]
async fn text_is_text_and_binary_is_binary() {
    let mut client = Client::start(quiet());
    let payload = "äöü 心拍 💓".as_bytes();
    client
        .send(&[frame(TEXT, payload), frame(BINARY, payload)].concat())
        .await;
    client.expect(TEXT, payload).await;
    client.expect(BINARY, payload).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_comes_back_whole_however_it_is_fragmented() {
    let message = "aé💓".as_bytes();
    let mut client = Client::start(quiet());
    for (whole, begun) in [(TEXT, TEXT_BEGUN), (BINARY, BINARY_BEGUN)] {
        // Each bit of `cuts` says whether there is a cut after that byte.
        for cuts in 0..1 << (message.len() - 1) {
            let mut first = begun;
            let mut fragment = Vec::new();
            for (at, byte) in message.iter().enumerate() {
                fragment.push(*byte);
                if cuts & (1 << at) != 0 {
                    client.send(&frame(first, &fragment)).await;
                    first = CONTINUED;
                    fragment.clear();
                }
            }
            let last = if first == begun {
                whole
            } else {
                CONTINUED_LAST
            };
            client.send(&frame(last, &fragment)).await;
            client.expect(whole, message).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn control_frames_may_stand_between_fragments() {
    let mut client = Client::start(quiet());
    client.send(&frame(TEXT_BEGUN, b"half ")).await;
    client.send(&frame(PING, b"are you there?")).await;
    client.expect(PONG, b"are you there?").await;
    client.send(&frame(CONTINUED_LAST, b"and half")).await;
    client.expect(TEXT, b"half and half").await;
}

#[tokio::test(start_paused = true)]
async fn bytes_may_be_cut_anywhere() {
    let bytes = [
        frame(TEXT, "é".as_bytes()),
        frame(PING, b"?"),
        frame(BINARY_BEGUN, b"bin"),
        frame(CONTINUED_LAST, b"ary"),
        frame(BINARY, &[7; 200]),
    ]
    .concat();
    for cut in 1..bytes.len() {
        let mut client = Client::start(quiet());
        client.send(&bytes[..cut]).await;
        settle().await;
        client.send(&bytes[cut..]).await;
        client.expect(TEXT, "é".as_bytes()).await;
        client.expect(PONG, b"?").await;
        client.expect(BINARY, b"binary").await;
        client.expect(BINARY, &[7; 200]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_messages_in_flight_keep_their_order() {
    let mut client = Client::start(quiet());
    let names: Vec<_> = (0..1_000).map(|n| format!("message {n}")).collect();
    let bytes: Vec<_> = names
        .iter()
        .flat_map(|name| frame(TEXT, name.as_bytes()))
        .collect();
    client.send(&bytes).await;
    for name in names {
        client.expect(TEXT, name.as_bytes()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_with_the_head_is_echoed() {
    let (mut stream, far_end) = duplex(PIPE);
    let shutdown = Shutdown::new();
    let (early, late) = (frame(TEXT, b"early"), frame(TEXT, b"split"));
    let early = [&early[..], &late[..3]].concat();
    let drain = shutdown.subscribe();
    tokio::spawn(run(far_end, &early, context(quiet(), drain)));
    assert_eq!(read_frame(&mut stream).await, (TEXT, b"early".to_vec()));
    stream.write_all(&late[3..]).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, (TEXT, b"split".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_peer_gets_every_echo_that_it_is_owed() {
    // The pipe holds fewer echoes than are owed, so that some wait when the end is read.
    let mut client = Client::start_over(quiet(), 1 << 10);
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            writer.write_all(&frame(BINARY, &[9; 100])).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let mut echoes = Vec::new();
    timeout(PATIENCE, reader.read_to_end(&mut echoes))
        .await
        .expect("the session ends")
        .unwrap();
    assert_eq!(echoes.len(), 100 * 102);
    sending.await.unwrap();
    let report = (&mut client.session).await.unwrap();
    assert_eq!(
        (report.end.word(), report.teardown),
        ("eof", Teardown::Linger)
    );
}

#[tokio::test(start_paused = true)]
async fn the_report_counts_messages_and_their_bytes() {
    let mut client = Client::start(ServerConfig {
        ping_interval: None,
        ..ServerConfig::default()
    });
    client
        .send(
            &[
                frame(TEXT, b"four"),
                frame(PING, b"uncounted"),
                frame(BINARY, b""),
            ]
            .concat(),
        )
        .await;
    client.expect(TEXT, b"four").await;
    client.expect(PONG, b"uncounted").await;
    client.expect(BINARY, b"").await;
    client.expect(TEXT, b"heart beat").await;
    client.send(&frame(CLOSE, &1000_u16.to_be_bytes())).await;
    let report = client.expect_close(1000).await;
    assert_eq!(
        report.received,
        Traffic {
            messages: 2,
            bytes: 4
        }
    );
    assert_eq!(
        report.sent,
        Traffic {
            messages: 3,
            bytes: 14
        }
    );
    assert_eq!(report.lasted.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_without_end_makes_way_for_others() {
    let plain = frame(BINARY, &[7; 100]).repeat(10_000);
    let fragments = [
        frame(BINARY_BEGUN, b""),
        frame(CONTINUED, b"").repeat(200_000),
    ]
    .concat();
    // Over TLS a read gets one record, often a whole message: no read ends inside a message.
    let record = frame(BINARY, &[7; (16 << 10) - 8]);
    for (sent, at_once) in [
        (plain, usize::MAX),
        (fragments, usize::MAX),
        (record.repeat(200), record.len()),
    ] {
        let (mut stream, far_end) = duplex(sent.len());
        let far_end = Records(far_end, at_once);
        let drain = Shutdown::new().subscribe();
        let config = quiet();
        tokio::spawn(run(far_end, b"", context(config, drain)));
        stream.write_all(&sent).await.unwrap();
        yield_now().await;
        // The session had one turn: the pipe has room for as much as the session read, and no more.
        let room = timeout(Duration::ZERO, stream.write(&sent)).await;
        let room = room.expect("some was read").unwrap();
        assert!(room <= 2 * READ_AHEAD, "{room} bytes in one turn");
    }
}

/// A stream of which one read gets at most this many bytes.
struct Records(DuplexStream, usize);

impl Transport for Records {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }
}

impl AsyncRead for Records {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut record = vec![0; buf.remaining().min(self.1)];
        let mut record = ReadBuf::new(&mut record);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut record))?;
        buf.put_slice(record.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Records {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
