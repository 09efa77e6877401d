//! Listening sockets that systemd passes to the program, by its protocol for socket activation:
//! `LISTEN_FDS` and `LISTEN_PID` (sd_listen_fds(3)).

use std::io::{self, ErrorKind};
use std::sync::{LazyLock, Mutex, PoisonError};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{LocalListener, PassedSocket};

/// Number of the first file descriptor that is passed.
const FIRST: u32 = 3;

static PASSED: LazyLock<Mutex<ListenFd>> = LazyLock::new(|| Mutex::new(ListenFd::from_env()));

/// Reads and removes the variables that tell of the sockets. A program with threads must not change
/// its environment, so this comes before they start.
pub fn note_passed_sockets() {
    LazyLock::force(&PASSED);
}

/// Takes the socket that was passed as this file descriptor.
///
/// # Errors
/// When there is none, it does not listen, or it is neither of TCP nor a Unix domain socket.
pub(crate) fn passed_socket(descriptor: u32) -> io::Result<PassedSocket> {
    let index = descriptor
        .checked_sub(FIRST)
        .and_then(|n| n.try_into().ok());
    let index: usize = index.ok_or_else(absent)?;
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(tcp) = passed.take_tcp_listener(index) {
        let tcp = tcp.ok_or_else(absent)?;
        check(&SockRef::from(&tcp))?;
        return Ok(PassedSocket::Tcp(TcpListener::from_std(tcp)?));
    }
    let local = passed.take_unix_listener(index);
    let local = local.map_err(|_other| unsuitable())?.ok_or_else(absent)?;
    check(&SockRef::from(&local))?;
    let path = local.local_addr()?.as_pathname().map(ToOwned::to_owned);
    let listener = LocalListener::from(UnixListener::from_std(local)?);
    Ok(PassedSocket::Local(listener, path.unwrap_or_default()))
}

/// Refuses a socket that does not listen, and has the others not block.
fn check(socket: &SockRef<'_>) -> io::Result<()> {
    if !socket.is_listener()? {
        let complaint = "the socket does not listen: its systemd unit must have Accept=no";
        return Err(io::Error::new(ErrorKind::InvalidInput, complaint));
    }
    socket.set_nonblocking(true)
}

fn unsuitable() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidInput,
        "what was passed is neither a TCP socket nor a Unix stream socket",
    )
}

fn absent() -> io::Error {
    io::Error::new(
        ErrorKind::NotFound,
        "no such socket was passed, as systemd does by LISTEN_FDS",
    )
}
