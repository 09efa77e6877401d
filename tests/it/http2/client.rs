//! A client of HTTP/2: h2's.

use std::io;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use hyper::{Method, Request, Response};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex,
    split,
};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::{Client, Raw, soon};

/// Bytes that wait for a test to read them.
const PIPE: usize = 1 << 20;

/// A connection, closed with the test.
pub struct Http2 {
    pub requests: SendRequest<Bytes>,
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

/// The two directions of a stream that is a session.
pub struct Stream {
    pub send: SendStream<Bytes>,
    pub receive: RecvStream,
}

impl Http2 {
    pub async fn over<S>(stream: S, settings: &mut Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (requests, connection) = soon(settings.handshake(stream))
            .await
            .expect("the server speaks HTTP/2");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    /// Sends a request; `body` says whether the stream stays open for one.
    pub async fn send(
        &mut self,
        request: Request<()>,
        body: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = soon(self.requests.clone().ready())
            .await
            .expect("the server takes requests");
        requests
            .send_request(request, !body)
            .expect("a good request")
    }

    /// The answer to a request without a body: its head, and its body.
    pub async fn ask(&mut self, method: Method, path: &str) -> (Response<()>, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"));
        let (response, _) = self.send(request.body(()).unwrap(), false).await;
        whole(response).await
    }

    /// Asks for a session, with these header lines, and returns what is answered.
    pub async fn try_session(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.extended_connect("websocket", path, headers).await
    }

    pub async fn extended_connect(
        &mut self,
        protocol: &'static str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://localhost{path}"))
            .extension(Protocol::from_static(protocol));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(()).unwrap(), true).await
    }

    /// A session, as a stream of HTTP/2.
    pub async fn stream(&mut self) -> Stream {
        self.stream_at("/wshandler").await
    }

    /// A session on this path, as a stream of HTTP/2.
    pub async fn stream_at(&mut self, path: &str) -> Stream {
        let version = [("sec-websocket-version", "13")];
        let (response, send) = self.try_session(path, &version).await;
        let response = soon(response).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let receive = response.into_body();
        Stream { send, receive }
    }

    /// A session, for a client that says what it wants.
    pub async fn raw_session(&mut self) -> Raw<DuplexStream> {
        self.stream().await.raw()
    }

    /// A session with a good client.
    pub async fn client(&mut self) -> Client<DuplexStream> {
        let stream = self.raw_session().await.stream;
        Client {
            socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await,
        }
    }
}

impl Stream {
    /// For a client that says what it wants.
    pub fn raw(self) -> Raw<DuplexStream> {
        let (ours, theirs) = duplex(PIPE);
        let (from_test, to_test) = split(theirs);
        tokio::spawn(forward(from_test, self.send));
        tokio::spawn(deliver(self.receive, to_test));
        Raw { stream: ours }
    }
}

/// A response with its body.
pub async fn whole(response: ResponseFuture) -> (Response<()>, String) {
    let (head, mut body) = soon(response).await.expect("an answer").into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data.expect("a whole body");
        let released = body.flow_control().release_capacity(data.len());
        released.expect("what has come");
        bytes.extend(data);
    }
    let body = String::from_utf8(bytes).expect("UTF-8");
    (Response::from_parts(head, ()), body)
}

async fn forward(mut from: ReadHalf<DuplexStream>, mut to: SendStream<Bytes>) -> io::Result<()> {
    loop {
        let mut data = BytesMut::with_capacity(PIPE);
        let is_end = from.read_buf(&mut data).await? == 0;
        to.send_data(data.freeze(), is_end)
            .map_err(io::Error::other)?;
        if is_end {
            return Ok(());
        }
    }
}

async fn deliver(mut from: RecvStream, mut to: WriteHalf<DuplexStream>) -> io::Result<()> {
    while let Some(data) = from.data().await {
        let data = data.map_err(io::Error::other)?;
        to.write_all(&data).await?;
        let released = from.flow_control().release_capacity(data.len());
        released.map_err(io::Error::other)?;
    }
    to.shutdown().await
}
