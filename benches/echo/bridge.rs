//! A bridge to servers that speak TLS or HTTP/2: the load generator speaks plain TCP and HTTP/1.1 to
//! it, on the generator's core. It takes no CPU time of the server's; latencies include it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use hyper::{Method, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
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
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 without TLS.
    Http2,
}

impl Link {
    /// What an echobeat must be told to be spoken to so.
    pub fn flags(self) -> Vec<String> {
        match self {
            Self::Plain => vec![],
            Self::Tls => vec![
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

/// Starts a bridge to `server`, which lasts as long as the benchmark, on the core of the thread that
/// starts it. Returns where it listens.
pub fn start(server: SocketAddr, link: Link) -> Result<SocketAddr, Failure> {
    let (listening, address) = mpsc::channel();
    thread::spawn(move || {
        if let Err(failure) = run(server, link, listening) {
            eprintln!("the bridge fails: {failure}");
        }
    });
    Ok(address.recv()?)
}

fn run(server: SocketAddr, link: Link, listening: mpsc::Sender<SocketAddr>) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(server, link, listening))
}

async fn serve(
    server: SocketAddr,
    link: Link,
    listening: mpsc::Sender<SocketAddr>,
) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening.send(listener.local_addr()?)?;
    let connector = connector(link)?;
    let mut pool = Vec::new();
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        match &connector {
            Some(connector) => drop(tokio::spawn(over_tls(client, server, connector.clone()))),
            None => {
                let (requests, place) = requests(&mut pool, server).await?;
                tokio::spawn(over_http2(client, requests, place));
            }
        }
    }
}

/// A connector that trusts the server's own certificate, where there is TLS.
fn connector(link: Link) -> Result<Option<TlsConnector>, Failure> {
    if link != Link::Tls {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    let certificate = directory().join("echobeat-cert.pem");
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

async fn over_tls(
    mut client: TcpStream,
    server: SocketAddr,
    connector: TlsConnector,
) -> io::Result<()> {
    let tcp = TcpStream::connect(server).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let mut tls = connector.connect(name, tcp).await?;
    copy_bidirectional(&mut client, &mut tls).await.map(drop)
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
