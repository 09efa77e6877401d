//! The faults of TLS, and the names that ask for them.

use std::fmt;

/// A fault of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another host.
    WrongHost,
    /// The certificate comes from an authority that nobody trusts.
    UntrustedRoot,
    /// The certificate of the intermediate authority is missing.
    IncompleteChain,
    /// The client must have a certificate.
    ClientCert,
    /// TLS 1.2 alone is spoken.
    Tls12,
    /// TLS 1.3 alone is spoken.
    Tls13,
    /// ALPN (RFC 7301) is not answered.
    NoAlpn,
    /// The connection is reset after the ClientHello.
    Reset,
    /// The ClientHello is not answered.
    Stall,
}

const FAULTS: [TlsFault; 11] = [
    TlsFault::Expired,
    TlsFault::NotYetValid,
    TlsFault::WrongHost,
    TlsFault::UntrustedRoot,
    TlsFault::IncompleteChain,
    TlsFault::ClientCert,
    TlsFault::Tls12,
    TlsFault::Tls13,
    TlsFault::NoAlpn,
    TlsFault::Reset,
    TlsFault::Stall,
];

impl TlsFault {
    /// The fault that a server's name asks for, by its first label.
    pub(super) fn of(name: &str) -> Option<Self> {
        let label = name.split('.').next()?;
        FAULTS
            .into_iter()
            .find(|fault| label.eq_ignore_ascii_case(fault.label()))
    }

    fn label(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongHost => "wrong-host",
            Self::UntrustedRoot => "untrusted-root",
            Self::IncompleteChain => "incomplete-chain",
            Self::ClientCert => "client-cert",
            Self::Tls12 => "tls1-2",
            Self::Tls13 => "tls1-3",
            Self::NoAlpn => "no-alpn",
            Self::Reset => "reset",
            Self::Stall => "stall",
        }
    }
}

/// The label that asks for it.
impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_of_a_name_asks_for_a_fault() {
        for fault in FAULTS {
            for name in [format!("{fault}.localhost"), fault.to_string()] {
                assert_eq!(TlsFault::of(&name), Some(fault), "{name}");
            }
        }
        assert_eq!(TlsFault::of("TLS1-2.a.example"), Some(TlsFault::Tls12));
        for name in ["", "localhost", "a.expired.localhost", "expired-.localhost"] {
            assert_eq!(TlsFault::of(name), None, "{name}");
        }
    }
}
