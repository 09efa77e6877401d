//! Self-signed certificates, for users who have none of their own.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use tracing::info;

use super::certificate::{self, TlsError};
use crate::net::address::Address;
use crate::platform;

/// Files that a certificate is kept in. Other programs do not use these names, because the files
/// are replaced.
const CERTIFICATE_FILE: &str = "echobeat-cert.pem";
const KEY_FILE: &str = "echobeat-key.pem";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Validity of a certificate. Apple's clients accept at most 825 days
/// (<https://support.apple.com/en-us/103769>).
const VALID_FOR: Duration = DAY.saturating_mul(820);

/// Validity before the moment of making, for peers whose clock is slow.
const VALID_BEFORE: Duration = DAY;

/// Least validity that a kept certificate must have left. With less, a new one is made.
const TIME_LEFT: Duration = DAY.saturating_mul(30);

/// The loopback names of this machine, and the hosts of `addresses`.
pub(super) fn names(addresses: &[Address]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(Into::into).into();
    for address in addresses {
        let Address::Tcp { host, .. } = address else {
            continue;
        };
        let name = host.trim_start_matches('[').trim_end_matches(']');
        // A host that is no valid server name cannot be in a certificate either.
        let is_name = ServerName::try_from(name).is_ok();
        if is_name && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Makes a certificate for `names`.
pub(super) fn make(names: &[String]) -> Result<CertifiedKey, TlsError> {
    Pair::new(names)?.certified()
}

/// The certificate that is kept in `directory`, and its file. If there is none, or it is for other
/// names or will soon expire, a new one is made.
pub(super) fn keep_in(
    directory: &Path,
    names: &[String],
) -> Result<(CertifiedKey, PathBuf), TlsError> {
    let certificate = directory.join(CERTIFICATE_FILE);
    let key = directory.join(KEY_FILE);
    let why = match certificate::load(&certificate, &key) {
        Ok(kept) if is_good(&kept, names) => return Ok((kept, certificate)),
        Ok(_) => "the kept one is for other hosts, or will soon not be valid".to_owned(),
        Err(TlsError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            "none is kept yet".to_owned()
        }
        // The file may belong to another user, and must not be replaced.
        Err(error @ TlsError::Read { .. }) => return Err(error),
        Err(error) => error.to_string(),
    };
    info!(directory = %directory.display(), why, "making a new certificate");
    let pair = Pair::new(names)?;
    fs::create_dir_all(directory).map_err(|source| TlsError::Write {
        file: directory.to_owned(),
        source,
    })?;
    write_private(&key, &pair.key.serialize_pem())?;
    fs::write(&certificate, pair.certificate.pem()).map_err(|source| TlsError::Write {
        file: certificate.clone(),
        source,
    })?;
    Ok((pair.certified()?, certificate))
}

/// Writes a file that only its owner may read.
fn write_private(file: &Path, text: &str) -> Result<(), TlsError> {
    // Removed first, because an old file would keep its permissions.
    let written = match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => platform::create_private(file).and_then(|mut file| file.write_all(text.as_bytes())),
    };
    written.map_err(|source| TlsError::Write {
        file: file.to_owned(),
        source,
    })
}

/// Whether a client that trusts the certificate accepts it for each name, and still will after
/// [`TIME_LEFT`].
fn is_good(kept: &CertifiedKey, names: &[String]) -> bool {
    let Some(certificate) = kept.cert.first() else {
        return false;
    };
    let mut roots = RootCertStore::empty();
    if roots.add(certificate.clone()).is_err() {
        return false;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::provider()).build();
    let Ok(verifier) = verifier else {
        return false;
    };
    let later =
        UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + TIME_LEFT);
    names.iter().all(|name| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| {
            verifier
                .verify_server_cert(certificate, &[], &name, &[], later)
                .is_ok()
        })
    })
}

/// A certificate with its key.
struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Pair {
    fn new(names: &[String]) -> Result<Self, TlsError> {
        let mut params = CertificateParams::new(names)?;
        let subject = &mut params.distinguished_name;
        subject.push(DnType::CommonName, "echobeat, self-signed");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = SystemTime::now();
        params.not_before = (now - VALID_BEFORE).into();
        params.not_after = (now + VALID_FOR).into();
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, key })
    }

    fn certified(&self) -> Result<CertifiedKey, TlsError> {
        let chain = vec![self.certificate.der().clone()];
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        Ok(CertifiedKey::from_der(
            chain,
            key.into(),
            &super::provider(),
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(addresses: &[&str]) -> Vec<String> {
        let addresses: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        names(&addresses)
    }

    #[test]
    fn the_hosts_that_are_listened_on_are_names() {
        let own = ["localhost", "127.0.0.1", "::1"];
        assert_eq!(names_of(&["127.0.0.1:0", "[::1]:0", "unix:a.sock"]), own);
        let more = names_of(&["example.test:1", "[2001:db8::1]:1", "grün:1"]);
        assert_eq!(more[..3], own);
        assert_eq!(more[3..], ["example.test", "2001:db8::1"]);
    }

    #[test]
    fn a_certificate_is_good_for_its_own_names_alone() {
        let names = names_of(&["example.test:1"]);
        let made = make(&names).unwrap();
        assert!(is_good(&made, &names));
        assert!(is_good(&made, &names[..3]));
        assert!(!is_good(&made, &["other.test".to_owned()]));
    }
}
