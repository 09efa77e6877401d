//! Faults of TLS, one for each name of the server: `expired.localhost` has a certificate that has
//! expired, and any other name a good one. Certificates are made for the name that a client asks
//! for, by authorities that are made at the start.
//!
//! | room | purpose |
//! |---|---|
//! | [`fault`] | the faults, and the names that ask for them |
//! | [`authorities`] | the authorities, and the certificates that they issue |
//! | [`client_certificate`] | asking clients for a certificate, whoever has signed it |

mod authorities;
mod client_certificate;
mod fault;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificate::TlsError;
use super::failure::FailedHandshake;
use super::stream::MaybeTls;
use super::{finish_config, provider, server};
use crate::net::stream::Stream;
use authorities::Authorities;
use client_certificate::AnyCertificate;
pub(super) use fault::TlsFault;

/// Versions of TLS that are spoken where none of them is the fault.
const BOTH_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A server of TLS with a fault for each of some names. Its certificates differ from client to
/// client, and its settings are made once.
#[derive(Debug)]
pub(super) struct Faults {
    authorities: Arc<Authorities>,
    ordinary: Arc<ServerConfig>,
    client_certificate: Arc<ServerConfig>,
    tls12: Arc<ServerConfig>,
    tls13: Arc<ServerConfig>,
    no_alpn: Arc<ServerConfig>,
}

impl Faults {
    /// Makes the authorities. Clients that do not say which name they want get a certificate for
    /// `names`.
    pub(super) fn new(names: &[String]) -> Result<Self, TlsError> {
        let authorities = Arc::new(Authorities::new(names)?);
        let anybody = || WebPkiClientVerifier::no_client_auth();
        let config = |versions, clients| config(&authorities, versions, clients);
        let mut no_alpn = config(BOTH_VERSIONS, anybody())?;
        no_alpn.alpn_protocols.clear();
        Ok(Self {
            ordinary: config(BOTH_VERSIONS, anybody())?.into(),
            client_certificate: config(BOTH_VERSIONS, Arc::new(AnyCertificate::new()))?.into(),
            tls12: config(&[&TLS12], anybody())?.into(),
            tls13: config(&[&TLS13], anybody())?.into(),
            no_alpn: no_alpn.into(),
            authorities,
        })
    }

    /// Writes the certificate of the authority that clients may trust to a file.
    pub(super) fn write_root(&self, file: &Path) -> Result<(), TlsError> {
        fs::write(file, self.authorities.root().pem()).map_err(|source| TlsError::Write {
            file: file.to_owned(),
            source,
        })
    }

    /// The certificate of that authority.
    pub(super) fn root_der(&self) -> &[u8] {
        self.authorities.root().der()
    }

    /// Performs the handshake, with the fault that the client's name for this server asks for.
    pub(super) async fn accept(&self, mut stream: Stream) -> Result<MaybeTls, FailedHandshake> {
        let (read, name) = match server::read_hello(&mut stream).await {
            Ok(hello) => hello,
            Err(error) => return Err(FailedHandshake::new(error, stream)),
        };
        let fault = name.as_deref().and_then(TlsFault::of);
        match fault {
            Some(TlsFault::Reset) => return Err(FailedHandshake::reset(stream)),
            Some(TlsFault::Stall) => return Err(FailedHandshake::stalled(stream)),
            _ => {}
        }
        let accepted = server::accept(self.config(fault), read, stream).await;
        match accepted {
            Ok(accepted) => Ok(MaybeTls::Server(Box::new(accepted))),
            Err((error, stream)) => Err(FailedHandshake::new(error, stream).under(fault)),
        }
    }

    fn config(&self, fault: Option<TlsFault>) -> Arc<ServerConfig> {
        let config = match fault {
            Some(TlsFault::ClientCert) => &self.client_certificate,
            Some(TlsFault::Tls12) => &self.tls12,
            Some(TlsFault::Tls13) => &self.tls13,
            Some(TlsFault::NoAlpn) => &self.no_alpn,
            _ => &self.ordinary,
        };
        Arc::clone(config)
    }
}

fn config(
    authorities: &Arc<Authorities>,
    versions: &[&'static SupportedProtocolVersion],
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(clients);
    Ok(finish_config(
        builder.with_cert_resolver(Arc::clone(authorities) as _),
    ))
}
