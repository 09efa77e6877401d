//! TLS as a client, which verifies the server's certificate.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::certificate::{TlsError, read_chain};
use super::{MaybeTls, provider};
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
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| TlsError::BadName(host.to_owned()))?;
        let roots = match authorities {
            Some(file) => roots_in(file)?,
            None => roots_of_the_system()?,
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: Arc::new(config).into(),
            name,
        })
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
