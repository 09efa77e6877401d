//! Unix: `RLIMIT_NOFILE`, permissions, `unix:PATH`.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use rustix::net::{self, RecvFlags};
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

use super::watch::watch;

/// A connection accepted on a Unix domain socket.
pub(crate) type LocalStream = UnixStream;

watch!(UnixStream);

/// Connects to a Unix domain socket.
pub(crate) async fn connect_local(path: &Path) -> io::Result<LocalStream> {
    UnixStream::connect(path).await
}

/// Waits for the first bytes, and leaves them to be read.
pub(crate) async fn peek_local(stream: &LocalStream, buf: &mut [u8]) -> io::Result<usize> {
    let mut peek = || Ok(net::recv(stream, &mut *buf, RecvFlags::PEEK)?.0);
    stream.async_io(Interest::READABLE, &mut peek).await
}

/// The name of this machine.
pub(crate) fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    Some(name.nodename().to_string_lossy().into_owned())
}

/// Number of a group that is given by name or by number, as for `chown`. The system's lookup also
/// finds groups that `/etc/group` does not have, such as those of LDAP, and may take long.
///
/// # Errors
/// When there is no such group.
pub(crate) async fn group_id(name: &str) -> io::Result<u32> {
    if let Some(group) = find_group(name).await? {
        return Ok(group);
    }
    match name.parse() {
        // The largest number means no group.
        Ok(number) if number != u32::MAX => Ok(number),
        _ => {
            let complaint = format!("there is no group {name:?}; its number works too");
            Err(io::Error::new(ErrorKind::NotFound, complaint))
        }
    }
}

#[cfg(feature = "cli")]
async fn find_group(name: &str) -> io::Result<Option<u32>> {
    let name = name.to_owned();
    let find = move || nix::unistd::Group::from_name(&name);
    let group = tokio::task::spawn_blocking(find).await??;
    Ok(group.map(|group| group.gid.as_raw()))
}

/// Finds none: this build asks for numbers.
#[cfg(not(feature = "cli"))]
async fn find_group(_name: &str) -> io::Result<Option<u32>> {
    Ok(None)
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

/// Most files that this process may have open, by its soft limit.
#[must_use]
pub fn open_file_limit() -> usize {
    let soft = getrlimit(Resource::Nofile).current;
    soft.map_or(usize::MAX, |soft| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    })
}

/// A listening Unix domain socket, which removes its file when it is dropped.
#[derive(Debug)]
pub(crate) struct LocalListener {
    listener: UnixListener,
    _file: Option<SocketFile>,
}

/// The file of a socket that was bound elsewhere stays.
impl From<UnixListener> for LocalListener {
    fn from(listener: UnixListener) -> Self {
        Self {
            listener,
            _file: None,
        }
    }
}

/// The file of a Unix domain socket, which is removed when this is dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that another process's file is not removed.
    identity: (u64, u64),
}

/// Most connections that wait to be accepted: tokio's default.
const BACKLOG: i32 = 1024;

impl LocalListener {
    /// Binds to `path`, in place of a socket file that nobody listens on. The file gets this mode
    /// and group; if they are `None`, it keeps those that the process gives it.
    pub(crate) fn bind(path: &Path, mode: Option<u32>, group: Option<u32>) -> io::Result<Self> {
        remove_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::of(path)?;
        file.admit(mode, group)?;
        // Clients may connect only now: the file's first permissions may have been too wide.
        socket.listen(BACKLOG)?;
        Ok(Self {
            listener: UnixListener::from_std(socket.into())?,
            _file: Some(file),
        })
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<LocalStream>> {
        self.listener
            .poll_accept(cx)
            .map_ok(|(stream, _unnamed)| stream)
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            identity: identity(path)?,
            path: path.to_owned(),
        })
    }

    /// Sets the group and the mode of the file: a client that may write to it may connect. The
    /// group comes first, because the mode is meant for it.
    fn admit(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        if let Some(group) = group {
            let given = chown(&self.path, None, Some(group));
            given.map_err(|error| {
                explain("the group can be set by its members and by root", &error)
            })?;
        }
        if let Some(mode) = mode {
            let set = fs::set_permissions(&self.path, fs::Permissions::from_mode(mode));
            set.map_err(|error| explain("the mode cannot be set", &error))?;
        }
        Ok(())
    }
}

fn explain(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket file that refuses connections. Anything else in the way stays: a live socket, a
/// file of another kind, or one that we may not look at.
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
    match connect_at_once(path) {
        Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(full) if full.kind() == ErrorKind::WouldBlock => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another process listens there, and does not accept: it may have hung",
        )),
        Err(other) => Err(other),
        Ok(_live) => Err(ErrorKind::AddrInUse.into()),
    }
}

/// Connects, without waiting if the backlog is full.
fn connect_at_once(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}
