//! A bridge to servers that speak TLS or HTTP/2: the load generator speaks plain TCP and HTTP/1.1 to
//! it, on the generator's core. It takes no CPU time of the server's; latencies include it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use hyper::{Method, Request};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio_rustls::TlsConnector;

use crate::Failure;
use crate::client::REQUEST;

/// Streams of a connection of HTTP/2: as many as echobeat allows.
const STREAMS: usize = 100;

/// Bytes that are moved at once.
const PIECE: usize = 64 << 10;

/// What a server is spoken to over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Plain,
    /// HTTP/1.1 over TLS, with a full handshake for each connection.
    Tls,
    /// HTTP/1.1 over TLS, whose handshakes resume an earlier session.
    ResumedTls,
    /// HTTP/2 without TLS.
    Http2,
}

impl Link {
    /// What an echobeat must be told to be spoken to so.
    pub fn flags(self) -> Vec<String> {
        match self {
            Self::Plain => vec![],
            Self::Tls | Self::ResumedTls => vec![
                "--tls-self-signed".to_owned(),
                format!("--tls-self-signed-dir={}", directory().display()),
            ],
            Self::Http2 => vec!["--h2c".to_owned()],
        }
    }
}

/// Where the certificate is.
fn directory() -> PathBuf {
    [env!("CARGO_TARGET_TMPDIR"), "bench-tls"].iter().collect()
}

/// The files of echobeat's certificate and its key, of which there are some once it has started.
pub fn certificate() -> [PathBuf; 2] {
    ["echobeat-cert.pem", "echobeat-key.pem"].map(|file| directory().join(file))
}

/// A bridge that runs.
#[derive(Debug)]
pub struct Bridge {
    /// Address on which the bridge listens.
    pub address: SocketAddr,
    pub handshakes: Arc<Handshakes>,
}

/// The handshakes of TLS with a server.
#[derive(Debug, Default)]
pub struct Handshakes {
    full: AtomicU64,
    resumed: AtomicU64,
    /// Terms of the first of them.
    agreed: OnceLock<String>,
}

impl Handshakes {
    fn add(&self, tls: &ClientConnection) {
        let count = match tls.handshake_kind() {
            Some(HandshakeKind::Resumed) => &self.resumed,
            _ => &self.full,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.agreed.get_or_init(|| agreed(tls).unwrap_or_default());
    }

    /// Terms of the first of them: the version, the cipher suite, and the key exchange.
    pub fn agreed(&self) -> &str {
        self.agreed.get().map_or("", String::as_str)
    }

    /// The part of them that resumed an earlier session.
    pub fn share_resumed(&self) -> f64 {
        let [full, resumed] = [&self.full, &self.resumed].map(|n| n.load(Ordering::Relaxed) as f64);
        resumed / (full + resumed)
    }
}

fn agreed(tls: &ClientConnection) -> Option<String> {
    let version = tls.protocol_version()?;
    let suite = tls.negotiated_cipher_suite()?.suite();
    let group = tls.negotiated_key_exchange_group()?.name();
    Some(format!("{version:?}, {suite:?}, {group:?}"))
}

/// Starts a bridge to `server`, which lasts as long as the benchmark, on the core of the thread that
/// starts it.
pub fn start(server: SocketAddr, link: Link) -> Result<Bridge, Failure> {
    let (listening, address) = mpsc::channel();
    let handshakes = Arc::new(Handshakes::default());
    let counted = Arc::clone(&handshakes);
    thread::spawn(move || {
        if let Err(failure) = run(server, link, listening, counted) {
            eprintln!("the bridge fails: {failure}");
        }
    });
    Ok(Bridge {
        address: address.recv()?,
        handshakes,
    })
}

fn run(
    server: SocketAddr,
    link: Link,
    listening: mpsc::Sender<SocketAddr>,
    handshakes: Arc<Handshakes>,
) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(server, link, listening, handshakes))
}

async fn serve(
    server: SocketAddr,
    link: Link,
    listening: mpsc::Sender<SocketAddr>,
    handshakes: Arc<Handshakes>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening.send(listener.local_addr()?)?;
    let connector = connector(link)?;
    let mut pool = Vec::new();
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        match &connector {
            Some(connector) => {
                let (connector, handshakes) = (connector.clone(), Arc::clone(&handshakes));
                tokio::spawn(over_tls(client, server, connector, handshakes));
            }
            None => {
                let (requests, place) = requests(&mut pool, server).await?;
                tokio::spawn(over_http2(client, requests, place));
            }
        }
    }
}

/// A connector that trusts the server's own certificate, where there is TLS.
fn connector(link: Link) -> Result<Option<TlsConnector>, Failure> {
    let resumption = match link {
        Link::Plain | Link::Http2 => return Ok(None),
        Link::Tls => Resumption::disabled(),
        Link::ResumedTls => Resumption::default(),
    };
    let mut roots = RootCertStore::empty();
    let [certificate, _] = certificate();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = resumption;
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

async fn over_tls(
    mut client: TcpStream,
    server: SocketAddr,
    connector: TlsConnector,
    handshakes: Arc<Handshakes>,
) -> io::Result<()> {
    let tcp = TcpStream::connect(server).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut tls = connector.connect(name, tcp).await?;
    handshakes.add(tls.get_ref().1);
    // Records of TLS are as long as they can be only if so much is written at once.
    copy_bidirectional_with_sizes(&mut client, &mut tls, PIECE, PIECE).await?;
    Ok(())
}

/// Connections of HTTP/2, each with a token of which every stream has a copy.
type Pool = Vec<(SendRequest<Bytes>, Arc<()>)>;

/// A connection that takes another stream.
async fn requests(
    pool: &mut Pool,
    server: SocketAddr,
) -> Result<(SendRequest<Bytes>, Arc<()>), Failure> {
    let free = |(_, token): &&(_, Arc<()>)| Arc::strong_count(token) <= STREAMS;
    if let Some((requests, token)) = pool.iter().find(free) {
        return Ok((requests.clone(), Arc::clone(token)));
    }
    let tcp = TcpStream::connect(server).await?;
    tcp.set_nodelay(true)?;
    let mut windows = h2::client::Builder::new();
    windows
        .initial_window_size(16 << 20)
        .initial_connection_window_size(1 << 30);
    let (requests, connection) = windows.handshake(tcp).await?;
    tokio::spawn(connection);
    let token = Arc::new(());
    pool.push((requests.clone(), Arc::clone(&token)));
    Ok((requests, token))
}

async fn over_http2(
    mut client: TcpStream,
    requests: SendRequest<Bytes>,
    _place: Arc<()>,
) -> Result<(), Failure> {
    let mut head = [0; REQUEST.len()];
    client.read_exact(&mut head).await?;
    let connect = Request::builder()
        .method(Method::CONNECT)
        .uri("http://localhost/")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(())?;
    let mut requests = requests.ready().await?;
    let (response, send) = requests.send_request(connect, false)?;
    let response = response.await?;
    if response.status() != 200 {
        return Err(format!("CONNECT is answered with {}", response.status()).into());
    }
    let (read, mut write) = client.into_split();
    write
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await?;
    let (there, back) = tokio::join!(forward(read, send), deliver(response.into_body(), write));
    there.and(back).map_err(Into::into)
}

async fn forward(mut from: OwnedReadHalf, mut to: SendStream<Bytes>) -> io::Result<()> {
    loop {
        let mut data = BytesMut::with_capacity(PIECE);
        let is_end = from.read_buf(&mut data).await? == 0;
        to.send_data(data.freeze(), is_end)
            .map_err(io::Error::other)?;
        if is_end {
            return Ok(());
        }
    }
}

async fn deliver(mut from: RecvStream, mut to: OwnedWriteHalf) -> io::Result<()> {
    while let Some(data) = from.data().await {
        let data = data.map_err(io::Error::other)?;
        let released = from.flow_control().release_capacity(data.len());
        released.map_err(io::Error::other)?;
        match to.write_all(&data).await {
            Err(gone) if gone.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    to.shutdown().await
}
