//! Accepting connections, without a call that finds none.

use std::io::{self, ErrorKind};
use std::net::{self, SocketAddr};
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};

/// A listening TCP socket that is asked whether anybody waits before it is told to accept.
///
/// tokio's listener learns that nobody waits from an `accept` that fails: one for each connection
/// that comes alone. Such a call makes a socket and a file before it looks, and then undoes them:
/// in a loop it took 3.9 µs where `poll` took 0.3 (Linux 6.18, benches/README.md).
#[derive(Debug)]
pub(crate) struct TcpAcceptor(AsyncFd<net::TcpListener>);

impl TcpAcceptor {
    /// # Errors
    /// When the socket has no such option, or the runtime cannot wait for it.
    #[expect(
        deprecated,
        reason = "its replacement is unsafe, and requires what std's listener always does"
    )]
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
        // Accepted connections inherit it.
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        let listener = listener.into_std()?;
        Ok(Self(AsyncFd::with_interest(listener, Interest::READABLE)?))
    }

    /// The next connection, which sends without delay.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let accepted = accept(self.0.get_ref());
            if !is_anybody_waiting(self.0.get_ref()) {
                // A connection that comes from now on is another event.
                ready.clear_ready();
            }
            match accepted {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                accepted => return Poll::Ready(accepted),
            }
        }
    }
}

fn accept(listener: &net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.ok_or(ErrorKind::InvalidData)?;
    let stream = TcpStream::from_std(net::TcpStream::from(stream))?;
    Ok((stream, SocketAddr::try_from(peer)?))
}

fn is_anybody_waiting(listener: &impl AsFd) -> bool {
    let mut listener = [PollFd::new(listener, PollFlags::IN)];
    // In doubt `accept` decides.
    poll(&mut listener, Some(&Timespec::default())).map_or(true, |waiting| waiting > 0)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn all_are_accepted_whether_they_come_together_or_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TcpAcceptor::new(listener).unwrap();
        for together in [1, 3, 1, 2] {
            let mut clients = Vec::new();
            for _ in 0..together {
                clients.push(TcpStream::connect(address).await.unwrap());
            }
            for client in clients {
                let accepted = poll_fn(|cx| acceptor.poll_accept(cx));
                let accepted = timeout(Duration::from_secs(10), accepted).await;
                let (stream, peer) = accepted.expect("it is accepted").unwrap();
                assert_eq!(peer, client.local_addr().unwrap());
                assert_eq!(stream.peer_addr().unwrap(), peer);
                assert!(stream.nodelay().unwrap());
            }
            let next = poll_fn(|cx| Poll::Ready(acceptor.poll_accept(cx))).await;
            assert!(next.is_pending());
        }
    }
}
