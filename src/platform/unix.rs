//! Unix: SIGINT, SIGTERM and SIGHUP, `RLIMIT_NOFILE`, permissions, `unix:PATH`.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::{fs, os::unix::net::UnixStream as BlockingUnixStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{self, SignalKind};

use super::Signal;

/// A connection accepted on a Unix domain socket.
pub(crate) type LocalStream = UnixStream;

/// Connects to a Unix domain socket.
pub(crate) async fn connect_local(path: &Path) -> io::Result<LocalStream> {
    UnixStream::connect(path).await
}

/// Whether a socket has failed, as it does when its peer resets it, whatever is to be read still.
pub(crate) fn has_failed(socket: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    let answered = poll(&mut asked, Some(&Timespec::default()));
    answered.is_ok() && asked[0].revents().contains(PollFlags::ERR)
}

/// The name of this machine.
pub(crate) fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    Some(name.nodename().to_string_lossy().into_owned())
}

/// The signals that ask the process to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// Starts to listen for SIGINT and SIGTERM, in place of what they do by default.
    ///
    /// # Errors
    /// When the operating system does not let the handlers be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub async fn recv(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INTERRUPT,
            _ = self.terminate.recv() => Signal { name: "SIGTERM", exit_code: 143 },
        }
    }
}

/// The signal that asks for files to be read anew: SIGHUP.
#[derive(Debug)]
pub struct Hangups(unix::Signal);

impl Hangups {
    /// Starts to listen for SIGHUP, which would end the process by default.
    ///
    /// # Errors
    /// When the operating system does not let the handler be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self(unix::signal(SignalKind::hangup())?))
    }

    /// Waits for the next signal.
    pub async fn recv(&mut self) {
        self.0.recv().await;
    }
}

/// Creates a file that its owner alone may read.
///
/// # Errors
/// When there is such a file already, or it cannot be created.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// How many files this process may have open, by its soft limit.
#[must_use]
pub fn open_file_limit() -> usize {
    rlimit::Resource::NOFILE
        .get_soft()
        .map_or(1024, |soft| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// Raises the soft limit of open files to the hard one: shells keep the soft limit low for the
/// sake of `select(2)`, which nothing here uses.
pub fn raise_open_file_limit() {
    // Best effort: with the limit as it was, the server works as well, for fewer connections.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}

/// A listening Unix domain socket, which removes its file when it is dropped.
#[derive(Debug)]
pub(crate) struct LocalListener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, so that no other's is removed.
    file: (u64, u64),
}

impl LocalListener {
    /// Binds to `path`, and takes the place of a socket file there that nobody listens on.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let listener = UnixListener::bind(path)?;
        Ok(Self {
            listener,
            file: identity(path)?,
            path: path.to_owned(),
        })
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<LocalStream>> {
        self.listener
            .poll_accept(cx)
            .map_ok(|(stream, _unnamed)| stream)
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket file that refuses connections. Anything else that is in the way stays: a live
/// socket, a file of another kind, one that we may not look at.
fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(absent) if absent.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "a file that is not a socket is in the way",
        ));
    }
    match BlockingUnixStream::connect(path) {
        Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(other) => Err(other),
        Ok(_live) => Err(ErrorKind::AddrInUse.into()),
    }
}
