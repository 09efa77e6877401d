//! Certificate and key from PEM files, and the errors of both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::Error;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::task::JoinError;

/// Error that leaves no certificate to show, or none to trust.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .file.display())]
    Write {
        /// The file, or its directory.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is no PEM file: {fault}", .file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// The fault of the file.
        fault: &'static str,
    },
    /// A PEM file without a certificate.
    #[error("{} contains no certificate: none begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// A PEM file without a private key.
    #[error(
        "{} contains no private key in PKCS#8, PKCS#1 or SEC1 form; if it has a passphrase, take \
         that off: openssl pkey -in FILE -out NEW", .0.display()
    )]
    NoKey(PathBuf),
    /// The first certificate of the file cannot be used.
    #[error("the first certificate in {} cannot be used: {source}", .file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: Error,
    },
    /// The key is broken, or of a kind that is not supported.
    #[error(
        "the key in {} cannot be used: {source}; it must be RSA of at least 2048 bits, ECDSA on \
         P-256 or P-384, or Ed25519", .file.display()
    )]
    BadKey {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: Error,
    },
    /// Key and certificate are not a pair.
    #[error(
        "the key in {} does not belong to the first certificate in {}; a server's own certificate \
         comes before those that signed it", .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate in the file of trusted authorities cannot be used.
    #[error("a certificate in {} cannot be used: {source}", .file.display())]
    BadAuthority {
        /// The file.
        file: PathBuf,
        /// The reason.
        source: Error,
    },
    /// The system has no trusted authorities.
    #[error(
        "the system has no certificates of authorities: install them (the package is often called \
         ca-certificates), or name a file of them with --upstream-ca"
    )]
    NoAuthorities,
    /// A host name that no certificate can be for.
    #[error("{0} is no name that a certificate can be for")]
    BadName(String),
    /// The files were not read within this time.
    #[error(
        "the files were not read within {0:?}: is one of them a named pipe that nobody writes to, or \
         on a disk that does not answer?"
    )]
    Late(Duration),
    /// The task that loads the certificate failed.
    #[error("cannot load the certificate: {0}")]
    Failed(#[from] JoinError),
    /// A self-signed certificate cannot be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The settings are rejected by rustls.
    #[error("cannot set up TLS: {0}")]
    Setup(#[from] Error),
}

/// Reads a certificate with its chain, and its key.
pub(super) fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(certificate)?;
    let der = read_key(key)?;
    CertifiedKey::from_der(chain, der, &super::provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
        source @ Error::InvalidCertificate(_) => TlsError::BadCertificate {
            file: certificate.to_owned(),
            source,
        },
        source => TlsError::BadKey {
            file: key.to_owned(),
            source,
        },
    })
}

/// Reads the certificates of a file. There must be at least one.
pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(TlsError::NoCertificate(file.to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(not_pem(file, &error)),
    }
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey(file.to_owned()),
        error => not_pem(file, &error),
    })
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|source| TlsError::Read {
        file: file.to_owned(),
        source,
    })
}

/// Describes the error in our own words, because its own text quotes the file as a list of numbers.
fn not_pem(file: &Path, error: &pem::Error) -> TlsError {
    let fault = match error {
        pem::Error::MissingSectionEnd { .. } => "an -----END …----- line is missing",
        pem::Error::IllegalSectionStart { .. } => "a -----BEGIN …----- line is broken",
        pem::Error::Base64Decode(_) => "what is between BEGIN and END is not Base64",
        _ => "it cannot be read",
    };
    TlsError::NotPem {
        file: file.to_owned(),
        fault,
    }
}
