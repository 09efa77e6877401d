//! Reasons of failed TLS handshakes, in sentences that say what to do.

use std::borrow::Cow;
use std::io;

use rustls::{AlertDescription, Error};

use super::faults::TlsFault;
use crate::net::stream::Stream;
use crate::telemetry::rejects::Cause;

/// First byte of TLS: the type of a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Whether this is the first byte of TLS.
pub(crate) fn begins_with(byte: u8) -> bool {
    byte == HANDSHAKE
}

/// A handshake on a server that came to nothing.
#[derive(Debug)]
pub(crate) struct FailedHandshake {
    pub(crate) cause: Cause,
    /// A sentence about it.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) error: io::Error,
    pub(crate) ending: Ending,
}

/// The connection of a failed handshake, and the way in which it is to end.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It ends in good order, so that the alert arrives.
    Orderly(Stream),
    /// It is reset.
    Reset(Stream),
    /// It is left as it is until its client leaves, or the time for a handshake is over.
    Stalled(Stream),
}

impl FailedHandshake {
    pub(super) fn new(error: io::Error, stream: Stream) -> Self {
        let (cause, reason) = complaint(&error);
        Self {
            cause,
            reason,
            error,
            ending: Ending::Orderly(stream),
        }
    }

    /// The same failure, which this fault asks for.
    pub(super) fn under(self, fault: Option<TlsFault>) -> Self {
        let Some(fault) = fault else {
            return self;
        };
        let error = &self.error;
        Self {
            cause: Cause::TlsFault,
            reason: format!("The client has met the fault {fault}: {error}.").into(),
            ..self
        }
    }

    /// A handshake that the fault `reset` asks to reset.
    pub(super) fn reset(stream: Stream) -> Self {
        Self::by_fault(TlsFault::Reset, Ending::Reset(stream))
    }

    /// A handshake that the fault `stall` asks not to answer.
    pub(super) fn stalled(stream: Stream) -> Self {
        Self::by_fault(TlsFault::Stall, Ending::Stalled(stream))
    }

    fn by_fault(fault: TlsFault, ending: Ending) -> Self {
        Self {
            cause: Cause::TlsFault,
            reason: format!("The client has asked for the fault {fault}.").into(),
            error: io::Error::other(format!("the fault {fault}")),
            ending,
        }
    }
}

/// The cause of a failed handshake on a server, and a sentence about it.
fn complaint(error: &io::Error) -> (Cause, Cow<'static, str>) {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match tls {
        Some(Error::AlertReceived(alert)) if is_distrust(*alert) => {
            let reason = format!(
                "The client does not trust the certificate ({alert:?}): give it the one that signed \
                 it, as curl --cacert does; --tls-self-signed-dir keeps a self-signed one."
            );
            (Cause::Untrusted, reason.into())
        }
        Some(Error::AlertReceived(alert)) => {
            let reason = format!("The client has ended the TLS handshake ({alert:?}).");
            (Cause::Tls, reason.into())
        }
        Some(Error::PeerIncompatible(why)) => {
            let reason = format!(
                "The client's TLS is not that of this server, which speaks 1.2 and 1.3 ({why:?})."
            );
            (Cause::Tls, reason.into())
        }
        Some(Error::NoApplicationProtocol) => {
            let reason = "The client wants neither h2 nor http/1.1 by ALPN.";
            (Cause::Tls, reason.into())
        }
        Some(Error::InvalidMessage(why)) => {
            (Cause::Tls, format!("This is not TLS ({why:?}).").into())
        }
        Some(other) => (
            Cause::Tls,
            format!("The TLS handshake failed: {other}.").into(),
        ),
        None => {
            let reason = format!(
                "The client has left in the middle of the TLS handshake: does it trust the \
                 certificate? ({error})"
            );
            (Cause::Untrusted, reason.into())
        }
    }
}

/// Whether this alert says that the client rejects the certificate (RFC 8446, section 6.2).
fn is_distrust(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            // The signature is not that of the authority that the certificate names.
            | AlertDescription::DecryptError
    )
}
