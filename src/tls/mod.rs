//! TLS: certificates, and the handshakes of a server and of a client.
//!
//! | room | purpose |
//! |---|---|
//! | [`connector`] | TLS as a client, which verifies the server's certificate |
//! | [`certificate`] | certificate and key from PEM files, and the errors of both |
//! | [`faults`] | servers with faults, which the name that a client asks for chooses |
//! | [`failure`] | reasons of failed handshakes, in sentences |
//! | [`reload`] | reading the certificate again at a signal, for the program |
//! | [`self_signed`] | self-signed certificates |
//! | [`server`] | TLS as a server: the handshake, and the stream behind it |
//! | [`stream`] | a connection, with or without TLS |

mod certificate;
mod connector;
mod failure;
mod faults;
#[cfg(feature = "cli")]
mod reload;
mod self_signed;
mod server;
mod stream;

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tracing::field::display;
use tracing::info;

use crate::config::CertificateSource;
use crate::net::address::Address;
use crate::net::stream::Stream;

pub use certificate::TlsError;
pub(crate) use connector::Connector;
pub(crate) use failure::{Ending, FailedHandshake, begins_with};
use faults::Faults;
pub(crate) use stream::MaybeTls;

/// Name of HTTP/2 in ALPN (RFC 9113, section 3.2).
const HTTP2: &[u8] = b"h2";

/// Name of HTTP/1.1 in ALPN.
const HTTP1: &[u8] = b"http/1.1";

/// The protocols that ALPN offers (RFC 7301), the preferred one first.
const PROTOCOLS: &[&[u8]] = match cfg!(feature = "http2") {
    true => &[HTTP2, HTTP1],
    false => &[HTTP1],
};

/// Server of TLS. Its certificate can be replaced while it runs.
#[derive(Debug)]
pub struct Acceptor {
    source: CertificateSource,
    /// Hosts that a self-signed certificate is for.
    names: Vec<String>,
    /// Replaced as a whole, so that no TLS session with an old certificate is resumed.
    current: RwLock<Identity>,
}

/// Certificates that a server shows, and its settings.
#[derive(Debug, Clone)]
enum Identity {
    /// One certificate.
    Certificate(Arc<ServerConfig>),
    /// One for each name, some with faults.
    Faults(Arc<Faults>),
}

impl Acceptor {
    /// Reads or makes the certificate, for a server that listens on `addresses`. Blocks for as long
    /// as reading the files takes.
    pub(crate) fn new(source: CertificateSource, addresses: &[Address]) -> Result<Self, TlsError> {
        let names = self_signed::names(addresses);
        let current = RwLock::new(load(&source, &names)?.announce());
        Ok(Self {
            source,
            names,
            current,
        })
    }

    /// Reads the certificate again, or makes a new one. Open connections keep the old one.
    ///
    /// # Errors
    /// When there is no new certificate to be had. Then the old one stays in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.replace(load(&self.source, &self.names)?);
        Ok(())
    }

    fn replace(&self, loaded: Loaded) {
        let new = loaded.announce();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Performs the handshake. The caller must limit its time.
    ///
    /// # Errors
    /// When the handshake fails. The alert has been sent to the peer, as far as the socket took it
    /// without waiting.
    pub(crate) async fn accept(&self, stream: Stream) -> Result<MaybeTls, FailedHandshake> {
        match self.identity() {
            Identity::Certificate(config) => {
                match server::accept(config, Vec::new(), stream).await {
                    Ok(accepted) => Ok(MaybeTls::Server(Box::new(accepted))),
                    Err((error, stream)) => Err(FailedHandshake::new(error, stream)),
                }
            }
            Identity::Faults(faults) => faults.accept(stream).await,
        }
    }

    fn identity(&self) -> Identity {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

/// The provider of cryptography, which is ring.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A certificate that was read or made, and its file if there is one.
struct Loaded {
    identity: Identity,
    /// Fingerprint of the certificate, or of the authority that issues those with faults.
    sha256: String,
    file: Option<PathBuf>,
    /// Message of its log line.
    note: &'static str,
}

impl Loaded {
    /// Loads the one certificate that a server shows.
    fn certificate(
        certified: CertifiedKey,
        file: Option<PathBuf>,
        note: &'static str,
    ) -> Result<Self, TlsError> {
        let sha256 = fingerprint(certified.cert.first().map_or(&[][..], |der| der));
        Ok(Self {
            identity: Identity::Certificate(server_config(certified)?),
            sha256,
            file,
            note,
        })
    }

    /// Makes the authorities of a server with faults, and writes the file for its clients.
    fn faults(root: Option<&PathBuf>, names: &[String]) -> Result<Self, TlsError> {
        let faults = Faults::new(names)?;
        let note = match root {
            Some(file) => {
                faults.write_root(file)?;
                "certificates with faults, by name: give clients this file to trust, as curl \
                 --cacert does"
            }
            None => {
                "certificates with faults, by name: --tls-faults-root writes a file that clients \
                 can trust"
            }
        };
        Ok(Self {
            sha256: fingerprint(faults.root_der()),
            identity: Identity::Faults(Arc::new(faults)),
            file: root.cloned(),
            note,
        })
    }

    /// Logs that the certificate is used from now on.
    fn announce(self) -> Identity {
        let (file, sha256) = (self.file.as_ref(), self.sha256);
        let file = file.map(|file| display(file.display()));
        info!(file, sha256, "{}", self.note);
        self.identity
    }
}

/// Reads or makes a certificate.
fn load(source: &CertificateSource, names: &[String]) -> Result<Loaded, TlsError> {
    match source {
        CertificateSource::Files { certificate, key } => {
            let certified = certificate::load(certificate, key)?;
            Loaded::certificate(certified, Some(certificate.clone()), "certificate")
        }
        CertificateSource::SelfSigned { directory: None } => Loaded::certificate(
            self_signed::make(names)?,
            None,
            "self-signed certificate: compare this with what a browser shows, and proceed; for \
             other clients keep it with --tls-self-signed-dir",
        ),
        CertificateSource::SelfSigned {
            directory: Some(directory),
        } => {
            let (certified, file) = self_signed::keep_in(directory, names)?;
            let note = "self-signed certificate: give clients this file to trust, as curl --cacert \
                        does";
            Loaded::certificate(certified, Some(file), note)
        }
        CertificateSource::Faults { root } => Loaded::faults(root.as_ref(), names),
    }
}

fn server_config(certified: CertifiedKey) -> Result<Arc<ServerConfig>, TlsError> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(Arc::new(finish_config(config)))
}

/// Sets what every server has: its protocols, and access to the keys.
fn finish_config(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    // For the records that are read and written behind the handshake.
    config.enable_secret_extraction = true;
    config
}

/// The SHA-256 fingerprint of a certificate, as browsers and OpenSSL write it.
fn fingerprint(der: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, der).as_ref() {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}
