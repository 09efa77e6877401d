//! Ends of a connection: in order, cut off, and by what breaks the rules.

use std::io::{self, ErrorKind};
use std::task::Poll;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ContentType, Error, PeerMisbehaved, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::peer::Peer;
use super::{Cut, PIPE, Server, Setup, VERSIONS, accept, connect, read_once};

/// The error of rustls in one of the stream.
fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// Error of the next read.
async fn read_error(server: &mut Server) -> io::Error {
    server.read(&mut [0; 100]).await.unwrap_err()
}

/// A server and a peer that may send any record.
async fn with_peer(version: &'static SupportedProtocolVersion) -> (Peer, Server) {
    let (client, server) = connect(version).await;
    (client.into(), server)
}

#[tokio::test]
async fn each_side_may_end_first_and_the_other_may_go_on() {
    for version in VERSIONS {
        let (mut client, mut server) = connect(version).await;
        client.write_all(b"the last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"the last");
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0);
        server.write_all(b"the answer").await.unwrap();
        server.shutdown().await.unwrap();
        got.clear();
        client.read_to_end(&mut got).await.expect("close_notify");
        assert_eq!(got, b"the answer");

        let (mut client, mut server) = connect(version).await;
        server.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0);
        let error = server.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_error_behind_what_came() {
    for version in VERSIONS {
        let (mut client, mut server) = connect(version).await;
        client.write_all(b"the last").await.unwrap();
        let (mut stream, _) = client.into_inner();
        stream.write_all(&[23, 3, 3, 0, 100, 1]).await.unwrap();
        drop(stream);
        let mut got = [0; 8];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"the last");
        for _ in 0..2 {
            let error = read_error(&mut server).await;
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }
}

#[tokio::test]
async fn bytes_that_are_no_records_end_the_connection_with_an_alert() {
    for version in VERSIONS {
        for (bytes, alert) in [
            (
                &b"\x17\x03\x03\0\x20garbage, garbage, garbage, 32 b."[..],
                AlertDescription::BadRecordMac,
            ),
            (b"\x17\x03\x03\0\x03bad", AlertDescription::BadRecordMac),
            (b"\x17\x03\x03\xff\xff", AlertDescription::RecordOverflow),
        ] {
            let (mut client, mut server) = connect(version).await;
            client.write_all(b"good").await.unwrap();
            client.get_mut().0.write_all(bytes).await.unwrap();
            let Poll::Ready(Ok(got)) = read_once(&mut server, 100) else {
                panic!("what came before is lost");
            };
            assert_eq!(got, b"good");
            for _ in 0..2 {
                let error = read_error(&mut server).await;
                assert_eq!(error.kind(), ErrorKind::InvalidData);
            }
            let error = server.write(b"more").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let error = client.read(&mut [0; 9]).await.unwrap_err();
            assert_eq!(cause(&error), Some(&Error::AlertReceived(alert)));
        }
    }
}

#[tokio::test]
async fn records_that_have_no_place_there_end_the_connection() {
    let hello = &[1, 0, 0, 1, 0][..];
    for (version, typ, content) in [
        (&TLS12, ContentType::ChangeCipherSpec, &[1][..]),
        (&TLS13, ContentType::ChangeCipherSpec, &[1]),
        (&TLS12, ContentType::Handshake, &[24, 0, 0, 1, 0]),
        (&TLS13, ContentType::Handshake, hello),
        (&TLS13, ContentType::Handshake, &[24, 0, 0, 1, 2]),
        (
            &TLS13,
            ContentType::Handshake,
            &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0],
        ),
        (&TLS12, ContentType::Heartbeat, &[1, 0, 0]),
        (&TLS13, ContentType::Alert, &[1]),
        (&TLS13, ContentType::Alert, &[2, 0, 2, 0]),
        (&TLS13, ContentType::ApplicationData, &[0; (16 << 10) + 1]),
        (&TLS12, ContentType::ApplicationData, &[0; (16 << 10) + 1]),
    ] {
        let (mut peer, mut server) = with_peer(version).await;
        peer.send(typ, content).await;
        let error = read_error(&mut server).await;
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{typ:?} {error}");
    }
    let (mut peer, mut server) = with_peer(&TLS13).await;
    peer.send_raw(&[20, 3, 3, 0, 1, 1]).await;
    assert_eq!(read_error(&mut server).await.kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn alerts_of_the_peer_end_the_connection_unless_they_are_warnings() {
    for version in VERSIONS {
        let (mut peer, mut server) = with_peer(version).await;
        peer.send(ContentType::Alert, &[1, 90]).await;
        peer.send(ContentType::ApplicationData, b"on").await;
        server.read_exact(&mut [0; 2]).await.unwrap();
        peer.send(ContentType::Alert, &[2, 80]).await;
        let error = read_error(&mut server).await;
        let alert = Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(cause(&error), Some(&alert));
    }
}

#[tokio::test]
async fn nothing_is_read_behind_close_notify() {
    let (mut peer, mut server) = with_peer(&TLS13).await;
    peer.send(ContentType::ApplicationData, b"on").await;
    peer.send(ContentType::Alert, &[1, 0]).await;
    peer.send(ContentType::ApplicationData, b"off").await;
    peer.send_raw(b"garbage").await;
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"on");
}

#[tokio::test]
async fn records_without_content_are_read_up_to_a_number() {
    for version in VERSIONS {
        let (mut peer, mut server) = with_peer(version).await;
        for _ in 0..32 {
            peer.send(ContentType::ApplicationData, b"").await;
        }
        peer.send(ContentType::ApplicationData, b"on").await;
        server.read_exact(&mut [0; 2]).await.unwrap();
        for _ in 0..33 {
            peer.send(ContentType::ApplicationData, b"").await;
        }
        let error = read_error(&mut server).await;
        let misbehaved = Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments);
        assert_eq!(cause(&error), Some(&misbehaved));
    }
}

#[tokio::test]
async fn another_handshake_is_refused_once() {
    let (mut peer, mut server) = with_peer(&TLS12).await;
    peer.send(ContentType::Handshake, &[1, 0, 0, 0]).await;
    peer.send(ContentType::ApplicationData, b"on").await;
    server.read_exact(&mut [0; 2]).await.unwrap();
    peer.send(ContentType::Handshake, &[1, 0, 0, 0]).await;
    let error = read_error(&mut server).await;
    let misbehaved = Error::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests);
    assert_eq!(cause(&error), Some(&misbehaved));
    drop(server);
    // Two alerts, each of 5 bytes, 8, 2 and 16.
    assert_eq!(peer.read_to_end().await, 2 * 31);
}

#[tokio::test]
async fn a_message_of_the_handshake_takes_bounded_memory() {
    let setup = Setup::new(&TLS13, None);
    let (mut peer, stream) = duplex(PIPE);
    // A ClientHello of 16 MiB, in records of 16 KiB.
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + (16 << 10), 0);
    for _ in 0..30 {
        peer.write_all(&record).await.unwrap();
        record[5..9].fill(0);
    }
    let cut = Cut {
        stream,
        piece: PIPE,
    };
    let (error, mut cut) = accept(setup.server, Vec::new(), cut).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    drop(peer);
    let mut unread = Vec::new();
    cut.read_to_end(&mut unread).await.unwrap();
    assert!(unread.len() > 300_000, "{}", unread.len());
}
