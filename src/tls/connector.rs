//! TLS as a client, which verifies the server's certificate.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::certificate::{TlsError, read_chain};
use super::{HTTP1, MaybeTls, PROTOCOLS, provider};
use crate::config::Trust;
use crate::net::stream::Stream;

/// Client of TLS for one server.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Connector {
    /// A connector for `host`, which is a name or an IP address. The server's certificate must be
    /// signed by an authority in the PEM file `authorities`, or without it by one that the system
    /// trusts.
    pub(crate) fn new(host: &str, authorities: Option<&Path>) -> Result<Self, TlsError> {
        let name = server_name(host)?;
        let roots = match authorities {
            Some(file) => roots_in(file)?,
            None => roots_of_the_system()?,
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Ok(Self {
            tls: Arc::new(config).into(),
            name,
        })
    }

    /// A connector as [`new`](Self::new) makes it, by `trust`.
    pub(crate) fn trusting(host: &str, trust: &Trust) -> Result<Self, TlsError> {
        let authorities = match trust {
            Trust::System => None,
            Trust::File(file) => Some(file.as_path()),
            Trust::Anyone => return Self::without_verification(host),
        };
        Self::new(host, authorities)
    }

    fn without_verification(host: &str) -> Result<Self, TlsError> {
        let name = server_name(host)?;
        let provider = provider();
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Ok(Self {
            tls: Arc::new(config).into(),
            name,
        })
    }

    /// The same connector, which offers HTTP/2 too.
    pub(crate) fn offering_http2(&self) -> Self {
        let mut config = ClientConfig::clone(self.tls.config());
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Self {
            tls: Arc::new(config).into(),
            name: self.name.clone(),
        }
    }

    /// Performs the handshake. The caller must limit its time.
    ///
    /// # Errors
    /// When the handshake fails, or the certificate is not trusted.
    pub(crate) async fn connect(&self, stream: Stream) -> io::Result<MaybeTls> {
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        Ok(MaybeTls::Client(Box::new(stream)))
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| TlsError::BadName(host.to_owned()))
}

/// Verifier that accepts any certificate whose key the server has.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn roots_in(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(file)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::BadAuthority {
                file: file.to_owned(),
                source,
            })?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Unreadable certificates are skipped: systems still have some old ones.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(TlsError::NoAuthorities),
        false => Ok(roots),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for host in ["localhost", "a.example", "127.0.0.1", "[::1]"] {
            let file = Path::new("no such file");
            let error = Connector::new(host, Some(file)).unwrap_err();
            assert!(matches!(error, TlsError::Read { .. }), "{host}: {error}");
        }
        let error = Connector::new("a_b..c", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a_b..c is no name that a certificate can be for"
        );
    }
}
