//! Systems other than Unix: no known limit of open files, no Unix domain sockets.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Ready};

use super::Watch;

/// Creates a file with the permissions that its directory gives it.
///
/// # Errors
/// When there is such a file already, or it cannot be created.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    File::create_new(path)
}

/// Most files that this process may have open: there is no limit to ask for.
#[must_use]
pub fn open_file_limit() -> usize {
    1 << 16
}

/// The name of this machine, as its environment has it.
pub(crate) fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

/// Fails.
pub(crate) async fn connect_local(_path: &Path) -> io::Result<LocalStream> {
    Err(unsupported())
}

/// Fails: there are no groups.
pub(crate) async fn group_id(_name: &str) -> io::Result<u32> {
    Err(unsupported())
}

/// Is never called.
pub(crate) async fn peek_local(stream: &LocalStream, _buf: &mut [u8]) -> io::Result<usize> {
    match stream.0 {}
}

fn unsupported() -> io::Error {
    io::Error::new(
        ErrorKind::Unsupported,
        "unix sockets are not supported on this platform",
    )
}

/// Unix domain sockets cannot be had: no value of this type exists.
#[derive(Debug)]
pub(crate) struct LocalListener(Infallible);

impl LocalListener {
    pub(crate) fn bind(_path: &Path, _mode: Option<u32>, _group: Option<u32>) -> io::Result<Self> {
        Err(unsupported())
    }

    pub(crate) fn poll_accept(&self, _cx: &mut Context<'_>) -> Poll<io::Result<LocalStream>> {
        match self.0 {}
    }
}

/// A connection that no [`LocalListener`] accepts.
#[derive(Debug)]
pub(crate) struct LocalStream(Infallible);

impl Watch for LocalStream {
    fn state(&self) -> Option<Ready> {
        match self.0 {}
    }

    fn poll_change(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn read_now(&self, _bytes: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}
