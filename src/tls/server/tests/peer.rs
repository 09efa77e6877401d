//! A peer that may send any record.

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{ContentType, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::Client;
use crate::tls::server::protection::sealer;

/// The client's side of a connection, with its key to seal with.
pub(super) struct Peer {
    stream: DuplexStream,
    sealer: Box<dyn MessageEncrypter>,
    sealed: u64,
}

impl From<Client> for Peer {
    fn from(client: Client) -> Self {
        let (stream, connection) = client.into_inner();
        let suite = connection.negotiated_cipher_suite().unwrap();
        let (sealed, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
        Self {
            stream,
            sealer: sealer(suite, secrets).unwrap(),
            sealed,
        }
    }
}

impl Peer {
    /// Sends a record of this type and content.
    pub(super) async fn send(&mut self, typ: ContentType, content: &[u8]) {
        let plain = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(content),
        };
        let record = self.sealer.encrypt(plain, self.sealed).unwrap();
        self.sealed += 1;
        self.send_raw(&record.encode()).await;
    }

    pub(super) async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Number of bytes that come until the end.
    pub(super) async fn read_to_end(&mut self) -> usize {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.unwrap()
    }
}
