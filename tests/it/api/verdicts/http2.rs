//! Verdicts over HTTP/2.

use bytes::Bytes;
use echobeat_frames::text_frame;
use tokio::net::TcpStream;

use super::*;
use crate::http2;
use crate::http2::client::{Http2, Stream};

/// Way in which a client ends a stream of HTTP/2.
#[derive(Debug, Clone, Copy)]
enum StreamEnd {
    EndStream,
    RstStream,
    /// Reads to the end, and then ends its side.
    AfterServer,
}

impl StreamEnd {
    async fn end(self, mut stream: Stream) -> Stream {
        match self {
            Self::EndStream => stream.send.send_data(Bytes::new(), true).expect("open"),
            Self::RstStream => stream.send.send_reset(h2::Reason::CANCEL),
            Self::AfterServer => {
                while let Some(Ok(_)) = soon(stream.receive.data()).await {}
                let _ = stream.send.send_data(Bytes::new(), true);
            }
        }
        stream
    }
}

#[tokio::test]
async fn ends_over_http2_are_those_of_the_stream() {
    let server = http2::serve(ServerConfig {
        api: Some(echobeat::ApiConfig::default()),
        ..config()
    })
    .await;
    let mut http2 = http2::connect(server.address).await;
    for (id, steps, sends, end, expected) in [
        (
            "end-stream",
            "",
            vec![],
            StreamEnd::EndStream,
            json!(["eof", 1006, false, "fin", null, null]),
        ),
        (
            "rst-stream",
            "",
            vec![],
            StreamEnd::RstStream,
            json!(["lost", 1006, false, "rst", "peer", null]),
        ),
        (
            "close-end-stream",
            "",
            close_frame(4000, b""),
            StreamEnd::AfterServer,
            json!(["closed", 4000, true, "fin", null, "peer"]),
        ),
        (
            "close-and-end-at-once",
            "",
            close_frame(4000, b""),
            StreamEnd::EndStream,
            json!(["closed", 4000, true, "fin", null, "peer"]),
        ),
        (
            "step-fin",
            "fin",
            vec![],
            StreamEnd::AfterServer,
            json!(["fault", 1006, false, "fin", null, null]),
        ),
        (
            "step-rst",
            "rst@1msg",
            // A reset at once would overtake the answer to the upgrade.
            text_frame("hello"),
            StreamEnd::AfterServer,
            json!(["fault", 1006, false, "rst", "server", null]),
        ),
    ] {
        let mut stream = http2.stream_at(&format!("/?id={id}&do={steps}")).await;
        if !sends.is_empty() {
            stream.send.send_data(sends.into(), false).expect("open");
        }
        let stream = end.end(stream).await;
        let found = verdict(server.address, id).await;
        drop(stream);
        assert_eq!(short(&found), expected, "{id}: {found:#}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_after_the_closes_was_reset_by_its_peer() {
    let server = http2::serve(ServerConfig {
        api: Some(echobeat::ApiConfig::default()),
        ..config()
    })
    .await;
    let mut http2 = http2::connect(server.address).await;
    let mut stream = http2.stream_at("/?id=me").await;
    let close = close_frame(4000, b"");
    stream.send.send_data(close.into(), false).expect("open");
    while let Some(Ok(_)) = soon(stream.receive.data()).await {}
    stream.send.send_reset(h2::Reason::CANCEL);
    let found = verdict(server.address, "me").await;
    let expected = json!(["closed", 4000, true, "rst", "peer", "peer"]);
    assert_eq!(short(&found), expected, "{found:#}");
}

/// A connection of HTTP/2, and a second handle of its socket.
async fn connect_twice(server: &TestServer) -> (Http2, TcpStream) {
    let stream = server.raw().await.stream.into_std().expect("a socket");
    let second = stream.try_clone().expect("a socket");
    let [stream, second] = [stream, second].map(|s| TcpStream::from_std(s).expect("a socket"));
    let http2 = Http2::over(stream, &mut h2::client::Builder::new()).await;
    (http2, second)
}

/// GOAWAY with this code (RFC 9113, section 6.8), which is sent behind whole frames alone.
fn goaway(code: u8) -> [u8; 17] {
    let mut frame = [0; 17];
    (frame[2], frame[3], frame[16]) = (8, 7, code);
    frame
}

#[tokio::test]
async fn the_end_of_an_http2_connection_ends_its_sessions() {
    let server = http2::serve(ServerConfig {
        api: Some(echobeat::ApiConfig::default()),
        ..config()
    })
    .await;
    let eof = json!(["eof", 1006, false, "fin", null, null]);
    let lost = json!(["lost", 1006, false, "rst", "peer", null]);
    for (id, code, resets, expected) in [
        ("fin", None, false, eof.clone()),
        ("rst", None, true, lost),
        ("goaway-and-fin", Some(0), false, eof.clone()),
        ("goaway-with-an-error-and-fin", Some(2), false, eof),
    ] {
        let (mut http2, mut socket) = connect_twice(&server).await;
        let mut stream = http2.stream_at(&format!("/?id={id}")).await.raw();
        // After a GOAWAY too: it concerns streams that the server would open.
        for _ in 0..2 {
            stream.send(text_frame("hello")).await;
            stream.read(7).await;
            if let Some(code) = code {
                socket.write_all(&goaway(code)).await.expect("open");
            }
        }
        if resets {
            socket.set_zero_linger().expect("a socket");
        }
        http2.connection.abort();
        drop(socket);
        let found = verdict(server.address, id).await;
        assert_eq!(short(&found), expected, "{id}: {found:#}");
    }
}

#[tokio::test]
async fn the_end_of_an_http2_connection_ends_a_session_that_is_silent() {
    let server = http2::serve(ServerConfig {
        api: Some(echobeat::ApiConfig::default()),
        ..config()
    })
    .await;
    let eof = json!(["eof", 1006, false, "fin", null, null]);
    let lost = json!(["lost", 1006, false, "rst", "peer", null]);
    for (id, steps, resets, expected) in [
        ("stall-fin", "stall@1msg", false, &eof),
        ("deaf-fin", "deaf@1msg", false, &eof),
        ("stall-rst", "stall@1msg", true, &lost),
        ("deaf-rst", "deaf@1msg", true, &lost),
    ] {
        let (mut http2, socket) = connect_twice(&server).await;
        let path = format!("/?id={id}&do={steps}");
        let mut stream = http2.stream_at(&path).await.raw();
        stream.send(text_frame("hello")).await;
        stream.read(7).await;
        if resets {
            socket.set_zero_linger().expect("a socket");
        }
        http2.connection.abort();
        drop(socket);
        let found = verdict(server.address, id).await;
        assert_eq!(short(&found), *expected, "{id}: {found:#}");
    }
}
