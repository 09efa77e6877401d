//! The stream of a server after the handshake.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::crypto::cipher::OutboundChunks;
use rustls::{AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshake::invalid;
use super::incoming::{Incoming, Record};
use super::outgoing::Outgoing;
use super::protection::Protection;
use crate::net::connection_info::TlsVersion;

/// Maximum plaintext of a record.
const RECORD: usize = 16 << 10;

/// Maximum bytes that are sealed before they are written.
const BATCH: usize = 64 << 10;

/// Slices of a vectored write that are looked at.
const SLICES: usize = 16;

/// Records without content that a peer may send in succession: as many as rustls allows.
const PATIENCE: u8 = 32;

/// Level of alerts that end a connection, which TLS 1.3 has with all but one.
const FATAL: u8 = 2;

/// Level of alerts that need not end one.
const WARNING: u8 = 1;

/// A message of TLS 1.3 that announces the next key, without asking for the peer's.
const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 0];

/// A message of TLS 1.3 that announces the next key, and asks for the peer's.
const KEY_UPDATE_REQUESTED: &[u8] = &[24, 0, 0, 1, 1];

/// A stream over TLS, of a server.
#[derive(Debug)]
pub(crate) struct ServerStream<S> {
    io: S,
    protection: Protection,
    incoming: Incoming,
    outgoing: Outgoing,
    version: TlsVersion,
    is_http2: bool,
    /// Whether the peer has asked for another key of ours.
    owes_key_update: bool,
    /// Whether our close_notify, or an alert, is the last of the outgoing records.
    is_write_closed: bool,
    /// Whether the peer wanted another handshake of TLS 1.2.
    has_renegotiated: bool,
    /// Records without content that the peer may still send in succession.
    patience: u8,
    end: Option<End>,
}

/// Why there is nothing more to read.
#[derive(Debug)]
enum End {
    /// The peer has sent its close_notify.
    Closed,
    /// The stream has ended without one.
    Cut,
    Lost(io::Error),
    Failed(Box<Error>),
}

impl End {
    /// Result of every read from now on.
    fn read(&self) -> io::Result<()> {
        Err(match self {
            Self::Closed => return Ok(()),
            Self::Cut => io::Error::new(
                ErrorKind::UnexpectedEof,
                "the peer closed the connection without a TLS close_notify",
            ),
            Self::Lost(error) => match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => error.kind().into(),
            },
            Self::Failed(error) => invalid(Error::clone(error)),
        })
    }
}

impl<S> ServerStream<S> {
    /// The stream behind a handshake.
    pub(super) fn new(
        io: S,
        protection: Protection,
        incoming: Incoming,
        outgoing: Outgoing,
        version: TlsVersion,
        is_http2: bool,
    ) -> Self {
        Self {
            io,
            protection,
            incoming,
            outgoing,
            version,
            is_http2,
            owes_key_update: false,
            is_write_closed: false,
            has_renegotiated: false,
            patience: PATIENCE,
            end: None,
        }
    }

    pub(crate) fn version(&self) -> TlsVersion {
        self.version
    }

    /// Whether ALPN selected HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Number of sealed bytes that the socket has not taken.
    pub(crate) fn unsent(&self) -> usize {
        self.outgoing.unsent()
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.io
    }

    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.io
    }

    pub(crate) fn into_inner(self) -> S {
        self.io
    }

    #[cfg(test)]
    pub(super) fn protection(&mut self) -> &mut Protection {
        &mut self.protection
    }

    /// Size of the memory that buffers take.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.incoming.size() + self.outgoing.size()
    }

    /// Opens a record, and does what it says.
    fn open(&mut self, record: &Record) -> Result<(), Error> {
        if self.protection.is_tls13() && record.typ != ContentType::ApplicationData {
            return Err(unexpected(record.typ));
        }
        let payload = self.incoming.payload(record);
        let plain = self.protection.open(record.typ, record.version, payload)?;
        match (plain.typ, plain.payload) {
            (ContentType::ApplicationData, payload) if !payload.is_empty() => {
                let length = payload.len();
                self.patience = PATIENCE;
                self.incoming.keep_plain(record, length);
                return Ok(());
            }
            (ContentType::ApplicationData, _) => {}
            (ContentType::Alert, &[level, alert]) => self.heed(level, alert.into())?,
            (ContentType::Alert, _) => return Err(InvalidMessage::MessageTooShort.into()),
            (ContentType::Handshake, &[24, 0, 0, 1, asked @ 0..=1])
                if self.protection.is_tls13() =>
            {
                self.protection.update_opener()?;
                self.owes_key_update |= asked == 1;
            }
            (ContentType::Handshake, &[1, ..]) if !self.protection.is_tls13() => {
                self.refuse_renegotiation()?;
            }
            (typ, _) => return Err(unexpected(typ)),
        }
        self.patience = self
            .patience
            .checked_sub(1)
            .ok_or(PeerMisbehaved::TooManyEmptyFragments)?;
        Ok(())
    }

    /// Does what the peer's alert says.
    fn heed(&mut self, level: u8, alert: AlertDescription) -> Result<(), Error> {
        match alert {
            AlertDescription::CloseNotify => {
                self.end = Some(End::Closed);
                self.incoming.clear();
                Ok(())
            }
            AlertDescription::UserCanceled => Ok(()),
            _ if level == WARNING && !self.protection.is_tls13() => Ok(()),
            alert => Err(Error::AlertReceived(alert)),
        }
    }

    /// Answers a ClientHello of TLS 1.2, once.
    fn refuse_renegotiation(&mut self) -> Result<(), Error> {
        if self.has_renegotiated {
            return Err(PeerMisbehaved::TooManyRenegotiationRequests.into());
        }
        self.has_renegotiated = true;
        self.alert(WARNING, AlertDescription::NoRenegotiation)
    }

    fn alert(&mut self, level: u8, alert: AlertDescription) -> Result<(), Error> {
        if self.is_write_closed {
            return Ok(());
        }
        let payload = [level, alert.into()];
        self.push(ContentType::Alert, OutboundChunks::Single(&payload))
    }

    /// Seals a record behind the outgoing ones.
    fn push(&mut self, typ: ContentType, payload: OutboundChunks<'_>) -> Result<(), Error> {
        let record = self.protection.seal(typ, payload)?;
        self.outgoing.push(record);
        Ok(())
    }

    /// Seals part of the plaintext as a record. Announces another key before, if one is due.
    fn push_plain(&mut self, payload: OutboundChunks<'_>) -> Result<(), Error> {
        let is_worn_out = self.protection.is_worn_out();
        if is_worn_out && !self.protection.is_tls13() {
            self.close_write()?;
            return Err(Error::EncryptError);
        }
        if is_worn_out || self.owes_key_update {
            let update = match self.owes_key_update {
                true => KEY_UPDATE,
                false => KEY_UPDATE_REQUESTED,
            };
            self.push(ContentType::Handshake, OutboundChunks::Single(update))?;
            self.protection.update_sealer()?;
            self.owes_key_update = false;
        }
        self.push(ContentType::ApplicationData, payload)
    }

    /// Says that nothing more is written.
    fn close_write(&mut self) -> Result<(), Error> {
        self.alert(WARNING, AlertDescription::CloseNotify)?;
        self.is_write_closed = true;
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerStream<S> {
    /// Reads until `buf` is full, or the socket is empty and something was read.
    fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), End>> {
        let before = buf.filled().len();
        let mut may_have_more = true;
        loop {
            self.incoming.take_plain(buf);
            if buf.remaining() == 0 || self.end.is_some() {
                return Poll::Ready(Ok(()));
            }
            if let Some(record) = self.incoming.next_record().map_err(failed)? {
                self.open(&record).map_err(failed)?;
            } else if may_have_more || buf.filled().len() == before {
                let filled = self.incoming.poll_fill(buf.remaining(), &mut self.io, cx);
                let filled = ready!(filled).map_err(End::Lost)?;
                let (1.., more) = filled else {
                    return Poll::Ready(Err(End::Cut));
                };
                may_have_more = more;
            } else {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Ends the stream. If the peer has broken the rules, an alert tells it, as far as the socket
    /// takes it without waiting.
    fn fail(&mut self, end: End, cx: &mut Context<'_>) {
        if let End::Failed(error) = &end
            && let Some(alert) = alert_for(error)
            && self.alert(FATAL, alert).is_ok()
        {
            // The error is that of the peer, whether or not it gets to know.
            let _ = self.outgoing.poll_write(&mut self.io, cx);
        }
        if matches!(end, End::Failed(_)) {
            self.is_write_closed = true;
        }
        self.incoming.clear();
        self.end = Some(end);
    }

    /// Seals plaintext, and writes it as far as the socket takes it. Nothing is sealed while
    /// earlier records wait.
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &[&[u8]],
    ) -> Poll<io::Result<usize>> {
        if self.is_write_closed {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        // Tickets, which nobody waits for, go along with the first plaintext.
        if self.outgoing.are_waiting() {
            ready!(self.outgoing.poll_write(&mut self.io, cx))?;
        }
        let (mut left, _) = OutboundChunks::new(chunks).split_at(BATCH);
        let taken = left.len();
        while !left.is_empty() {
            let (record, rest) = left.split_at(RECORD);
            self.push_plain(record).map_err(invalid)?;
            left = rest;
        }
        match self.outgoing.poll_write(&mut self.io, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ServerStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = this.poll_records(cx, buf);
        let is_pending = read.is_pending();
        if let Poll::Ready(Err(end)) = read {
            this.fail(end, cx);
        }
        this.incoming.settle();
        match &this.end {
            // What came before the end is given first.
            _ if buf.filled().len() > before => Poll::Ready(Ok(())),
            Some(end) => Poll::Ready(end.read()),
            None if is_pending => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ServerStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_chunks(cx, &[buf])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut chunks = [&[][..]; SLICES];
        let mut count = 0;
        for (chunk, buf) in chunks
            .iter_mut()
            .zip(bufs.iter().filter(|buf| !buf.is_empty()))
        {
            *chunk = buf;
            count += 1;
        }
        self.get_mut().poll_write_chunks(cx, &chunks[..count])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.outgoing.poll_write(&mut this.io, cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_write_closed {
            this.close_write().map_err(invalid)?;
        }
        ready!(this.outgoing.poll_write(&mut this.io, cx))?;
        match ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
            // The peer has left before us.
            Err(error) if error.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

fn failed(error: Error) -> End {
    End::Failed(Box::new(error))
}

/// A record, or a message, that has no place after the handshake.
fn unexpected(got_type: ContentType) -> Error {
    match got_type {
        ContentType::Handshake => Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::KeyUpdate],
            got_type: HandshakeType::Unknown(0),
        },
        got_type => Error::InappropriateMessage {
            expect_types: vec![ContentType::ApplicationData],
            got_type,
        },
    }
}

/// The alert that tells the peer of an error, unless it told us.
fn alert_for(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::AlertReceived(_) => None,
        Error::DecryptError => Some(AlertDescription::BadRecordMac),
        Error::PeerSentOversizedRecord | Error::InvalidMessage(InvalidMessage::MessageTooLarge) => {
            Some(AlertDescription::RecordOverflow)
        }
        Error::InvalidMessage(_) => Some(AlertDescription::DecodeError),
        _ => Some(AlertDescription::UnexpectedMessage),
    }
}
