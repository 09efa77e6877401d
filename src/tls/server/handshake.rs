//! The handshake of a server, by rustls.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{Error, InvalidMessage, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::incoming::{self, Incoming};
use super::outgoing::Outgoing;
use super::protection::Protection;
use super::stream::ServerStream;
use crate::net::connection_info::TlsVersion;
use crate::tls::HTTP2;

/// Bytes that are read at once.
pub(super) const PIECE: usize = 4 << 10;

/// Maximum bytes that are kept for a message of the handshake, as in rustls' own connection.
pub(super) const LONGEST_MESSAGE: usize = 64 << 10;

/// Performs the handshake, on a stream that these bytes have been read from.
///
/// # Errors
/// When the handshake fails. The alert has been sent to the peer, as far as the socket took it
/// without waiting.
pub(in crate::tls) async fn accept<S>(
    config: Arc<ServerConfig>,
    read: Vec<u8>,
    mut stream: S,
) -> Result<ServerStream<S>, (io::Error, S)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match perform(config, read, &mut stream).await {
        Ok(handshake) => handshake.finish(stream),
        Err(error) => Err((error, stream)),
    }
}

async fn perform<S>(
    config: Arc<ServerConfig>,
    read: Vec<u8>,
    stream: &mut S,
) -> io::Result<Handshake>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut handshake = Handshake::new(config, read).map_err(invalid)?;
    loop {
        match handshake.step() {
            Ok(Next::Step) => {}
            Ok(Next::Write) => handshake.write(stream).await?,
            Ok(Next::Read) => handshake.read(stream).await?,
            Ok(Next::Done) => break,
            Err(error) => {
                handshake.alert(stream).await;
                return Err(invalid(error));
            }
        }
    }
    // The peer waits for our Finished. Tickets go with the first bytes that are written.
    if handshake.version() == TlsVersion::Tls12 {
        handshake.write(stream).await?;
    }
    Ok(handshake)
}

struct Handshake {
    connection: UnbufferedServerConnection,
    incoming: Vec<u8>,
    /// Number of the incoming bytes that rustls has seen, and keeps, for part of a message.
    seen: usize,
    outgoing: Vec<u8>,
}

/// Next thing to do.
enum Next {
    Step,
    Write,
    Read,
    Done,
}

impl Handshake {
    fn new(config: Arc<ServerConfig>, read: Vec<u8>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config)?,
            incoming: read,
            seen: 0,
            outgoing: Vec::new(),
        })
    }

    /// Lets rustls see one record more, so that it never sees one behind the handshake. Of part of
    /// a record it judges only the header.
    fn step(&mut self) -> Result<Next, Error> {
        let whole = incoming::record_length(&self.incoming[self.seen..]);
        let end = whole.map_or(self.incoming.len(), |length| self.seen + length);
        let UnbufferedStatus { discard, state } = self
            .connection
            .process_tls_records(&mut self.incoming[..end]);
        let is_seen = discard > 0 || !matches!(state, Ok(ConnectionState::EncodeTlsData(_)));
        let next = match state? {
            ConnectionState::EncodeTlsData(data) => {
                encode(data, &mut self.outgoing)?;
                Next::Step
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Next::Write
            }
            // It may write already while it waits for the peer's Finished.
            ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => match whole {
                Some(_) => Next::Step,
                None => Next::Read,
            },
            state => return Err(Error::General(format!("{state:?} in the handshake"))),
        };
        if whole.is_some() && is_seen {
            self.seen = end;
        }
        self.seen -= discard;
        self.incoming.drain(..discard);
        Ok(match self.is_done() {
            true => Next::Done,
            false => next,
        })
    }

    /// Whether the peer's Finished was accepted, and our answer is among the outgoing bytes.
    fn is_done(&self) -> bool {
        !self.connection.is_handshaking() && !self.connection.wants_write()
    }

    fn version(&self) -> TlsVersion {
        match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            // The only other version that rustls speaks.
            _ => TlsVersion::Tls13,
        }
    }

    async fn write(&mut self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.outgoing).await?;
        stream.flush().await?;
        self.outgoing.clear();
        Ok(())
    }

    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        if self.incoming.len() > LONGEST_MESSAGE {
            return Err(invalid(InvalidMessage::HandshakePayloadTooLarge.into()));
        }
        self.incoming.reserve(PIECE);
        match stream.read_buf(&mut self.incoming).await? {
            0 => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "tls handshake eof",
            )),
            _ => Ok(()),
        }
    }

    /// Sends the alert of a failed handshake, as far as the socket takes it without waiting.
    async fn alert(&mut self, stream: &mut (impl AsyncWrite + Unpin)) {
        // Without an alert it would read on, where it has failed.
        while self.connection.wants_write() {
            let status = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = status.state else {
                return;
            };
            if encode(data, &mut self.outgoing).is_err() {
                return;
            }
        }
        let alert = &self.outgoing;
        poll_fn(|cx| {
            // What failed is the handshake, whether or not the peer gets to know why.
            let _ = Pin::new(&mut *stream).poll_write(cx, alert);
            Poll::Ready(())
        })
        .await;
    }

    fn finish<S>(self, stream: S) -> Result<ServerStream<S>, (io::Error, S)> {
        let version = self.version();
        let is_http2 = self.connection.alpn_protocol() == Some(HTTP2);
        let suite = self.connection.negotiated_cipher_suite();
        let keys = self.connection.dangerous_into_kernel_connection();
        match keys.and_then(|keys| Protection::new(suite, keys)) {
            Ok(protection) => Ok(ServerStream::new(
                stream,
                protection,
                Incoming::new(&self.incoming),
                Outgoing::new(self.outgoing),
                version,
                is_http2,
            )),
            Err(error) => Err((invalid(error), stream)),
        }
    }
}

/// Appends a message of the handshake.
fn encode(
    mut data: EncodeTlsData<'_, ServerConnectionData>,
    outgoing: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) {
        outgoing.resize(start + needed.required_size, 0);
    }
    let encoded = data.encode(&mut outgoing[start..]);
    encoded.map_err(|error| Error::General(error.to_string()))?;
    Ok(())
}

/// An error of TLS, as an error of the stream.
pub(super) fn invalid(error: Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}
