//! The reverse proxy: in front of an echobeat, and of upstreams that are worse than any.

mod faults;
mod forwarding;
mod half_close;
mod http2;
mod inspector;
mod interim;
mod messages;
mod programs;
mod secure;
mod standstill;
mod tunnels;
mod upstreams;

use std::net::SocketAddr;

use echobeat::{ApiConfig, Proxy, ProxyConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Control, Raw, Response, soon};

/// A proxy on a free port of this machine, stopped with the test.
pub struct TestProxy {
    pub address: SocketAddr,
    /// Address of the API's own, if it has one.
    api: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl TestProxy {
    pub async fn before(upstream: SocketAddr) -> Self {
        Self::start(to(&format!("http://{upstream}"))).await
    }

    /// With an API on its own address.
    pub async fn before_with_api(upstream: SocketAddr) -> Self {
        Self::start(ProxyConfig {
            api: Some(ApiConfig::default()),
            ..to(&format!("http://{upstream}"))
        })
        .await
    }

    pub async fn start(config: ProxyConfig) -> Self {
        let proxy = Proxy::bind(config).await.expect("a free port");
        let address = proxy.endpoints()[0].socket_addr().expect("TCP");
        let api = proxy.api_endpoints().first();
        let api = api.map(|endpoint| endpoint.socket_addr().expect("TCP"));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(proxy.serve(async { drop(stopped.await) }));
        Self {
            address,
            api,
            stop,
            running,
        }
    }

    async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    async fn control(&self) -> Control {
        Control::start(self.address).await
    }

    /// The answer to one request on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut raw = self.raw().await;
        raw.send(request).await;
        raw.response().await
    }

    fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.running
    }
}

/// The defaults, on a free port, in front of `upstream`.
pub fn to(upstream: &str) -> ProxyConfig {
    ProxyConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        upstream: upstream.parse().unwrap(),
        ..ProxyConfig::default()
    }
}

/// An upstream that does as the test says.
pub struct Stub {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Stub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// The next connection, with the head that came over it.
    pub async fn accept(&self) -> (Raw, String) {
        let (stream, _) = soon(self.listener.accept()).await.expect("a connection");
        let mut raw = Raw { stream };
        let head = head(&mut raw.stream).await;
        (raw, head)
    }

    /// Answers every connection with the same bytes, and then ends its side.
    fn answer_always(self, answer: Vec<u8>) -> JoinHandle<()> {
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = self.listener.accept().await {
                head(&mut stream).await;
                let _ = stream.write_all(&answer).await;
            }
        })
    }
}

/// Reads the head of a request.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_end) => break,
        }
    }
    String::from_utf8(head).expect("ASCII")
}

/// The accept of the key in `support::UPGRADE` (RFC 6455, section 1.3).
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
