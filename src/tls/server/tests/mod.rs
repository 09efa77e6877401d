//! Tests of the stream, against clients of rustls, and against a peer that may send any record.

mod bytes;
mod ends;
mod keys;
mod peer;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ServerStream, accept};
use crate::net::stream::delegate_write;
use crate::tls::{provider, self_signed, server_config};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Bytes that the pipe between both sides holds.
const PIPE: usize = 1 << 20;

type Client = TlsStream<DuplexStream>;
type Server = ServerStream<Cut>;

/// A stream of which a read gets at most this number of bytes.
#[derive(Debug)]
struct Cut {
    stream: DuplexStream,
    piece: usize,
}

impl AsyncRead for Cut {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let size = this.piece.min(buf.remaining());
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(size));
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut piece);
        let got = piece.filled().len();
        buf.advance(got);
        read
    }
}

impl AsyncWrite for Cut {
    delegate_write!(Self { stream, .. } => stream);
}

/// Settings of both sides.
struct Setup {
    server: Arc<ServerConfig>,
    client: ClientConfig,
    piece: usize,
}

impl Setup {
    /// One version of TLS, and one of its ciphers if it is named.
    fn new(
        version: &'static SupportedProtocolVersion,
        suite: Option<SupportedCipherSuite>,
    ) -> Self {
        let certified = self_signed::make(&["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert[0].clone()).unwrap();
        let provider = CryptoProvider {
            cipher_suites: suite.map_or(provider().cipher_suites.clone(), |suite| vec![suite]),
            ..CryptoProvider::clone(&provider())
        };
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.enable_secret_extraction = true;
        Self {
            server: server_config(certified).unwrap(),
            client,
            piece: PIPE,
        }
    }

    /// Reads of the server get at most this number of bytes.
    fn cut(mut self, piece: usize) -> Self {
        self.piece = piece;
        self
    }

    /// Both sides of a connection, after the handshake.
    async fn connect(&self) -> (Client, Server) {
        let (near, far) = duplex(PIPE);
        let cut = Cut {
            stream: far,
            piece: self.piece,
        };
        let connector = TlsConnector::from(Arc::new(self.client.clone()));
        let name = ServerName::try_from("localhost").unwrap();
        let (client, server) = tokio::join!(
            connector.connect(name, near),
            accept(Arc::clone(&self.server), Vec::new(), cut)
        );
        (client.unwrap(), server.map_err(|(error, _)| error).unwrap())
    }
}

/// Both sides of a connection of this version.
async fn connect(version: &'static SupportedProtocolVersion) -> (Client, Server) {
    Setup::new(version, None).connect().await
}

/// Reads once, into a buffer of this size.
fn read_once(server: &mut Server, size: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut memory = vec![0; size];
    let mut buf = ReadBuf::new(&mut memory);
    Pin::new(server)
        .poll_read(&mut Context::from_waker(Waker::noop()), &mut buf)
        .map_ok(|()| buf.filled().to_vec())
}

/// Bytes that are not all the same.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 / 5) as u8).collect()
}
