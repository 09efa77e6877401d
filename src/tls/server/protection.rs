//! The keys of a connection, which open and seal its records.

use std::fmt;

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets, ProtocolVersion,
    SupportedCipherSuite,
};

/// Keys of a connection.
pub(super) struct Protection {
    opener: Box<dyn MessageDecrypter>,
    /// Number of records opened with this key.
    opened: u64,
    sealer: Box<dyn MessageEncrypter>,
    /// Number of records sealed with this key.
    sealed: u64,
    /// Number of records after which a key to seal with is worn out.
    limit: u64,
    suite: SupportedCipherSuite,
    /// Source of the next keys, in TLS 1.3.
    updates: Option<Box<Updates>>,
}

type Updates = KernelConnection<ServerConnectionData>;

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protection")
            .field("opened", &self.opened)
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

impl Protection {
    /// Takes the keys that a handshake has agreed on.
    pub(super) fn new(
        suite: Option<SupportedCipherSuite>,
        (secrets, updates): (ExtractedSecrets, Updates),
    ) -> Result<Self, Error> {
        let suite = suite.ok_or(Error::HandshakeNotComplete)?;
        let ((opened, rx), (sealed, tx)) = (secrets.rx, secrets.tx);
        let (limit, updates) = match suite {
            SupportedCipherSuite::Tls12(suite) => (suite.common.confidentiality_limit, None),
            SupportedCipherSuite::Tls13(suite) => {
                (suite.common.confidentiality_limit, Some(updates.into()))
            }
        };
        Ok(Self {
            opener: opener(suite, rx)?,
            opened,
            sealer: sealer(suite, tx)?,
            sealed,
            limit,
            suite,
            updates,
        })
    }

    pub(super) fn is_tls13(&self) -> bool {
        self.updates.is_some()
    }

    /// Opens a record where it lies.
    pub(super) fn open<'a>(
        &mut self,
        typ: ContentType,
        version: ProtocolVersion,
        payload: &'a mut [u8],
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let sealed = InboundOpaqueMessage::new(typ, version, payload);
        let plain = self.opener.decrypt(sealed, self.opened)?;
        self.opened += 1;
        Ok(plain)
    }

    /// Seals a record, whose header is in front.
    pub(super) fn seal(
        &mut self,
        typ: ContentType,
        payload: OutboundChunks<'_>,
    ) -> Result<Vec<u8>, Error> {
        let plain = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload,
        };
        let sealed = self.sealer.encrypt(plain, self.sealed)?;
        self.sealed += 1;
        Ok(sealed.encode())
    }

    /// Whether the key to seal with can seal one record more, and no other.
    pub(super) fn is_worn_out(&self) -> bool {
        self.sealed >= self.limit.saturating_sub(1)
    }

    /// Opens with the next key from now on.
    pub(super) fn update_opener(&mut self) -> Result<(), Error> {
        let updates = self.updates.as_mut().ok_or(Error::HandshakeNotComplete)?;
        let (opened, secrets) = updates.update_rx_secret()?;
        (self.opener, self.opened) = (opener(self.suite, secrets)?, opened);
        Ok(())
    }

    /// Seals with the next key from now on.
    pub(super) fn update_sealer(&mut self) -> Result<(), Error> {
        let updates = self.updates.as_mut().ok_or(Error::HandshakeNotComplete)?;
        let (sealed, secrets) = updates.update_tx_secret()?;
        (self.sealer, self.sealed) = (sealer(self.suite, secrets)?, sealed);
        Ok(())
    }

    /// Makes keys wear out after this number of records.
    #[cfg(test)]
    pub(super) fn limit(&mut self, records: u64) {
        self.limit = records;
    }

    /// Number of records sealed with this key.
    #[cfg(test)]
    pub(super) fn sealed(&self) -> u64 {
        self.sealed
    }
}

fn opener(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let (key, iv) = parts(secrets)?;
    Ok(match suite {
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            suite.aead_alg.decrypter(key, &iv.as_ref()[..fixed])
        }
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
    })
}

pub(super) fn sealer(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    let (key, iv) = parts(secrets)?;
    Ok(match suite {
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            let (fixed, explicit) = iv.as_ref().split_at(fixed);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
    })
}

fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("a cipher that is not known here".to_owned())),
    }
}
