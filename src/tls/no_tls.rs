//! TLS in a build without the feature `tls`: no connection has it, and a server that is to have it
//! does not start.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::pin::Pin;
#[cfg(feature = "cli")]
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinError;

use crate::config::{CertificateSource, Trust};
use crate::net::address::Address;
use crate::net::connection_info::TlsVersion;
use crate::net::stream::{Stream, delegate_read, delegate_write};
use crate::net::transport::{Hangup, Transport};
#[cfg(feature = "cli")]
use crate::platform::Hangups;
use crate::telemetry::rejects::Cause;

/// Server of TLS, which this build does not have.
#[derive(Debug)]
pub enum Acceptor {}

impl Acceptor {
    pub(crate) fn new(_: CertificateSource, _: &[Address]) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    /// Reads the certificate again.
    ///
    /// # Errors
    /// Never, for there is none.
    pub fn reload(&self) -> Result<(), TlsError> {
        match *self {}
    }

    /// Reloads at every SIGHUP.
    #[cfg(feature = "cli")]
    pub async fn reload_at(self: Arc<Self>, _: Hangups) {
        match *self {}
    }

    pub(crate) async fn accept(&self, _: Stream) -> Result<MaybeTls, FailedHandshake> {
        match *self {}
    }
}

/// Client of TLS, which this build does not have.
#[derive(Debug, Clone)]
pub(crate) enum Connector {}

impl Connector {
    pub(crate) fn new(_host: &str, _authorities: Option<&Path>) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    pub(crate) fn trusting(_host: &str, _: &Trust) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    pub(crate) fn offering_http2(&self) -> Self {
        match *self {}
    }

    pub(crate) async fn connect(&self, _: Stream) -> io::Result<MaybeTls> {
        match *self {}
    }
}

/// Error of a server that is to speak TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// This build has no TLS.
    #[error("this build has no TLS: it is without the feature tls")]
    NotBuilt,
    /// The thread that was to read the certificate did not.
    #[error("the certificate could not be read: {0}")]
    Lost(#[from] JoinError),
}

pub(crate) fn begins_with(_byte: u8) -> bool {
    false
}

/// A handshake that came to nothing, which there is none of.
#[derive(Debug)]
pub(crate) struct FailedHandshake {
    pub(crate) cause: Cause,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) error: io::Error,
    pub(crate) ending: Ending,
}

/// The connection of a failed handshake, and the way in which it is to end.
#[derive(Debug)]
pub(crate) enum Ending {
    Orderly(Stream),
    Reset(Stream),
    Stalled(Stream),
}

/// A connection, which is without TLS.
#[derive(Debug)]
pub(crate) enum MaybeTls {
    Plain(Stream),
}

impl MaybeTls {
    pub(crate) fn version(&self) -> Option<TlsVersion> {
        None
    }

    pub(crate) fn is_http2(&self) -> bool {
        false
    }
}

impl Transport for MaybeTls {
    fn reset(self) {
        let Self::Plain(stream) = self;
        stream.reset();
    }

    fn reset_on_drop(&self) {
        let Self::Plain(stream) = self;
        stream.reset_on_drop();
    }

    fn linger_at_most(&self, limit: Duration) {
        let Self::Plain(stream) = self;
        stream.linger_at_most(limit);
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        let Self::Plain(stream) = self;
        stream.poll_hangup(cx)
    }

    fn drains_by_short_read(&self) -> bool {
        true
    }

    fn poll_write_last(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self::Plain(stream) = self.get_mut();
        Pin::new(stream).poll_write_last(cx, bytes)
    }
}

impl AsyncRead for MaybeTls {
    delegate_read!(Self::Plain(stream) => stream);
}

impl AsyncWrite for MaybeTls {
    delegate_write!(Self::Plain(stream) => stream);
}
