//! WebSockets over TLS, with rustls for a client, and what may go wrong with certificates.

mod certificates;
mod faults;
mod handshake;
#[cfg(unix)]
mod reload;
mod sessions;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use echobeat::{CertificateSource, ServerConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cli::{Running, echobeat};
use crate::support::{Client, Control, Raw, TestServer, soon, upgrade_request};

pub const BOTH_VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An authority, and the files of a server that it vouches for.
pub struct Issued {
    authority: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Issued {
    /// In a directory of this name, which no other test uses.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By the name that others have too, OpenSSL takes theirs for self-signed.
        let subject = &mut params.distinguished_name;
        subject.push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().unwrap();
        let issued = Self {
            authority: CertifiedIssuer::self_signed(params, key).unwrap(),
            directory: directory(name),
        };
        issued.issue();
        issued
    }

    /// Issues a new certificate, with the authority's own behind it.
    pub fn issue(&self) -> CertificateDer<'static> {
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        fs::write(
            self.certificate(),
            [certificate.pem(), self.authority.pem()].concat(),
        )
        .unwrap();
        fs::write(self.key(), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }

    /// A file with the authority's own certificate.
    pub fn authority_file(&self) -> PathBuf {
        let file = self.directory.join("authority.pem");
        fs::write(&file, self.authority.pem()).unwrap();
        file
    }

    pub fn trusted(&self) -> Trusting {
        Trusting::only(self.authority.der().clone())
    }

    /// The program with these files.
    pub async fn run(&self, args: &[&str]) -> Running {
        Running::start(self.command(args)).await
    }

    /// Command that runs the program with these files.
    pub fn command(&self, args: &[&str]) -> Command {
        let (certificate, key) = (self.certificate(), self.key());
        let tls = [
            "127.0.0.1:0",
            "--heartbeat=off",
            "--tls-cert",
            text(&certificate),
            "--tls-key",
            text(&key),
        ];
        echobeat(&[&tls, args].concat())
    }

    pub async fn serve(&self, settings: ServerConfig) -> TestServer {
        TestServer::start_with(ServerConfig {
            tls: Some(CertificateSource::Files {
                certificate: self.certificate(),
                key: self.key(),
            }),
            ..settings
        })
        .await
    }
}

/// An empty directory.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("tls")
        .join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Files that came with the tests.
fn key_file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/it/tls/keys", name]
        .iter()
        .collect()
}

/// The handshake, by a client that has this name for the server.
async fn handshake_as<S: AsyncRead + AsyncWrite + Unpin>(
    name: &'static str,
    config: ClientConfig,
    stream: S,
) -> io::Result<Raw<TlsStream<S>>> {
    let name = ServerName::try_from(name).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    soon(connecting).await.map(|stream| Raw { stream })
}

/// A client that trusts one certificate, or those that it signed.
#[derive(Clone)]
pub struct Trusting {
    roots: RootCertStore,
}

impl Trusting {
    fn only(certificate: CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        Self { roots }
    }

    /// Trusts the certificate of this file.
    fn file(file: &Path) -> Self {
        Self::only(CertificateDer::from_pem_file(file).unwrap())
    }

    /// The handshake, with these versions and protocols to offer.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        stream: S,
    ) -> io::Result<Raw<TlsStream<S>>> {
        let mut config = self.builder(versions).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        handshake_as("localhost", config, stream).await
    }

    fn builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
    }

    pub async fn try_connect_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
        address: SocketAddr,
    ) -> io::Result<Raw<TlsStream<TcpStream>>> {
        let tcp = Raw::connect(address).await.stream;
        self.handshake(versions, protocols, tcp).await
    }

    pub async fn connect(&self, address: SocketAddr) -> Raw<TlsStream<TcpStream>> {
        self.try_connect_with(&BOTH_VERSIONS, &[], address)
            .await
            .expect("the certificate is good")
    }

    pub async fn session(&self, address: SocketAddr) -> Raw<TlsStream<TcpStream>> {
        let mut raw = self.connect(address).await;
        raw.send(upgrade_request("/")).await;
        assert_eq!(raw.head().await.status, 101);
        raw
    }

    pub async fn client(&self, address: SocketAddr) -> Client<TlsStream<TcpStream>> {
        let stream = self.connect(address).await.stream;
        Client::over(stream, "wss://localhost/".to_owned())
            .await
            .expect("the server upgrades")
    }

    pub async fn control(&self, address: SocketAddr) -> Control {
        Control::over(self.connect(address).await).await
    }
}
