//! Flags that the server and the proxy have alike.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::values::{duration, threads};
use crate::config::CertificateSource;

/// How long a connection may take to begin, and to end on shutdown; and what all run on.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct LifetimeArgs {
    /// Time from accept until the request's head has arrived, over TLS too
    #[arg(
        long,
        env = "ECHOBEAT_HANDSHAKE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    pub(super) handshake_timeout: Duration,

    /// Time that WebSockets have to end on shutdown, before they are cut; the server closes a
    /// thousand a second, or all in the first half
    #[arg(
        long,
        env = "ECHOBEAT_DRAIN",
        value_name = "DURATION",
        default_value = "10s"
    )]
    #[arg(value_parser = duration)]
    pub(super) drain: Duration,

    /// Threads to run on, up to 1024 [default: one a core]
    #[arg(long, env = "ECHOBEAT_THREADS", value_name = "N", value_parser = threads)]
    pub(super) threads: Option<usize>,
}

/// TLS, which all addresses speak, or none does, and HTTP/2 without it.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "TLS and HTTP/2")]
pub(super) struct TransportArgs {
    /// Speak TLS: PEM file of the certificate, followed by those that signed it; read again on
    /// SIGHUP
    #[arg(long, env = "ECHOBEAT_TLS_CERT", value_name = "FILE")]
    #[arg(requires = "tls_key", conflicts_with = "tls_self_signed")]
    tls_cert: Option<PathBuf>,

    /// PEM file of the certificate's private key, without a passphrase; read again on SIGHUP
    #[arg(long, env = "ECHOBEAT_TLS_KEY", value_name = "FILE")]
    #[arg(requires = "tls_cert", conflicts_with = "tls_self_signed")]
    tls_key: Option<PathBuf>,

    /// Speak TLS with a certificate made at the start, for this machine and every --listen host
    #[arg(long, env = "ECHOBEAT_TLS_SELF_SIGNED")]
    #[arg(value_parser = BoolishValueParser::new())]
    tls_self_signed: bool,

    /// Directory to keep that certificate in from one start to the next
    #[arg(long, env = "ECHOBEAT_TLS_SELF_SIGNED_DIR", value_name = "DIR")]
    #[arg(requires = "tls_self_signed")]
    tls_self_signed_dir: Option<PathBuf>,

    /// Speak HTTP/2 without TLS too, with clients that begin with it, as meshes do
    #[arg(long, env = "ECHOBEAT_H2C", value_parser = BoolishValueParser::new())]
    #[arg(conflicts_with_all = ["tls_cert", "tls_self_signed"])]
    pub(super) h2c: bool,
}

impl TransportArgs {
    pub(super) fn into_source(self) -> Option<CertificateSource> {
        match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some(CertificateSource::Files { certificate, key }),
            _ => self
                .tls_self_signed
                .then_some(CertificateSource::SelfSigned {
                    directory: self.tls_self_signed_dir,
                }),
        }
    }
}
