//! Bytes come and go unchanged, however they are cut, and take the memory that they need.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, SupportedCipherSuite};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{PIPE, Setup, VERSIONS, connect, pattern, read_once};
use crate::tls::provider;
use crate::tls::server::incoming::Incoming;

#[tokio::test]
async fn bytes_pass_with_every_cipher_wherever_they_are_cut() {
    for &suite in &provider().cipher_suites {
        // The certificate's key is of an elliptic curve.
        if format!("{suite:?}").contains("RSA") {
            continue;
        }
        let version = match suite {
            SupportedCipherSuite::Tls12(_) => &TLS12,
            SupportedCipherSuite::Tls13(_) => &TLS13,
        };
        for (piece, size) in [(1, 7), (5, 1_000), (1_000, 100_000), (17_000, 16_384)] {
            let setup = Setup::new(version, Some(suite)).cut(piece);
            let (mut client, mut server) = setup.connect().await;
            assert_eq!(client.get_ref().1.negotiated_cipher_suite(), Some(suite));
            // Longer than a record.
            let sent = pattern(17_000.max(piece * 3));
            client.write_all(&sent).await.unwrap();
            client.flush().await.unwrap();
            let mut got = Vec::new();
            let mut memory = vec![0; size];
            while got.len() < sent.len() {
                let read = server.read(&mut memory).await.unwrap();
                got.extend_from_slice(&memory[..read]);
            }
            assert!(got == sent, "{suite:?} {piece} {size}");

            server.write_all(&sent).await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut got).await.unwrap();
            assert!(got == sent, "{suite:?} {piece} {size}");
        }
    }
}

#[tokio::test]
async fn bytes_behind_the_handshake_are_kept() {
    for (version, piece) in VERSIONS.into_iter().zip([PIPE, 1]) {
        let setup = Setup::new(version, None).cut(piece);
        let (mut client, mut server) = setup.connect().await;
        client.write_all(b"first").await.unwrap();
        let mut got = [0; 5];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"first");
    }
}

#[tokio::test]
async fn many_records_come_with_one_read() {
    for version in VERSIONS {
        let (mut client, mut server) = connect(version).await;
        let mut sent = Vec::new();
        for index in 0..100 {
            let record = pattern(index * 10);
            client.write_all(&record).await.unwrap();
            sent.extend(record);
        }
        let Poll::Ready(Ok(got)) = read_once(&mut server, PIPE) else {
            panic!("nothing came");
        };
        assert_eq!(got, sent);
        assert!(read_once(&mut server, PIPE).is_pending());
    }
}

#[test]
fn reads_in_succession_use_one_buffer() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut incoming = Incoming::default();
    let places = [(); 2].map(|()| {
        let mut io = &[23, 3, 3, 0, 1, 0][..];
        assert!(incoming.poll_fill(1, &mut io, &mut cx).is_ready());
        let record = incoming.next_record().unwrap().unwrap();
        incoming.payload(&record).as_ptr()
    });
    assert_eq!(places[0], places[1]);
}

#[tokio::test]
async fn an_idle_connection_has_no_buffer() {
    let (mut client, mut server) = connect(&TLS13).await;
    server.flush().await.unwrap();
    client.write_all(&pattern(100_000)).await.unwrap();
    while read_once(&mut server, PIPE).is_ready() {}
    assert_eq!(server.buffered(), 0);
    server.write_all(&pattern(100_000)).await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(server.buffered(), 0);
}

#[tokio::test]
async fn a_record_that_does_not_fit_waits_in_memory_of_its_size() {
    let (mut client, mut server) = connect(&TLS13).await;
    server.flush().await.unwrap();
    let sent = pattern(16 << 10);
    client.write_all(&sent).await.unwrap();
    let Poll::Ready(Ok(mut got)) = read_once(&mut server, 10) else {
        panic!("nothing came");
    };
    assert_eq!(got.len(), 10);
    assert_eq!(server.buffered(), sent.len() - 10);
    while let Poll::Ready(Ok(more)) = read_once(&mut server, 1_000) {
        got.extend(more);
    }
    assert!(got == sent);
}

#[tokio::test]
async fn a_peer_that_never_reads_makes_the_writer_wait() {
    let (mut client, mut server) = connect(&TLS13).await;
    let bytes = pattern(100_000);
    let mut cx = Context::from_waker(Waker::noop());
    let mut sent = Vec::new();
    while let Poll::Ready(written) = Pin::new(&mut server).poll_write(&mut cx, &bytes) {
        sent.extend_from_slice(&bytes[..written.unwrap()]);
        assert!(server.buffered() < 66 << 10);
    }
    assert!(sent.len() > PIPE / 2);
    assert!(Pin::new(&mut server).poll_flush(&mut cx).is_pending());
    let mut got = vec![0; sent.len()];
    let (flushed, read) = tokio::join!(server.flush(), client.read_exact(&mut got));
    flushed.unwrap();
    read.unwrap();
    assert!(got == sent);
}

#[tokio::test]
async fn slices_go_together_in_order() {
    let (mut client, mut server) = connect(&TLS13).await;
    let long = pattern(40_000);
    let slices = [&b""[..], b"a header", b"", &long, b"the end"];
    let sent = slices.concat();
    let slices = slices.map(IoSlice::new);
    let written = server.write_vectored(&slices).await.unwrap();
    assert_eq!(written, sent.len());
    let mut got = vec![0; sent.len()];
    client.read_exact(&mut got).await.unwrap();
    assert!(got == sent);
    let many = vec![IoSlice::new(b"a"); 100];
    assert!(server.write_vectored(&many).await.unwrap() > 0);
    assert_eq!(server.write(b"").await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_comes_again_resumes() {
    for version in VERSIONS {
        let setup = Setup::new(version, None);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut client, mut server) = setup.connect().await;
            assert_eq!(client.get_ref().1.handshake_kind(), Some(kind));
            server.write_all(b"with it goes a ticket").await.unwrap();
            client.read_exact(&mut [0; 21]).await.unwrap();
        }
    }
}
