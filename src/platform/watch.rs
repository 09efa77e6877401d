//! Sockets whose end is noticed although they are not read.

use std::io;
use std::task::{Context, Poll};

use tokio::io::Ready;

/// A socket that can be watched without reading what has come.
pub(crate) trait Watch {
    /// The state of its read side, once it is known.
    fn state(&self) -> Option<Ready>;

    /// Waits for another state. Bytes that are already there no longer count as readiness: only
    /// [`read_now`](Self::read_now) gets them.
    fn poll_change(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads the bytes that are there.
    ///
    /// # Errors
    /// `WouldBlock` if there are none.
    fn read_now(&self, bytes: &mut [u8]) -> io::Result<usize>;
}

/// Implements [`Watch`] for a socket of tokio's.
macro_rules! watch {
    ($socket:ty) => {
        impl $crate::platform::Watch for $socket {
            fn state(&self) -> Option<tokio::io::Ready> {
                use futures_util::FutureExt;
                use tokio::io::Interest;
                self.ready(Interest::READABLE | Interest::ERROR)
                    .now_or_never()?
                    .ok()
            }

            fn poll_change(
                &self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                // Clears the readiness, so that the kernel's next event is waited for.
                let nothing = || Err::<(), _>(std::io::ErrorKind::WouldBlock.into());
                let _ = self.try_io(tokio::io::Interest::READABLE, nothing);
                self.poll_read_ready(cx)
            }

            fn read_now(&self, bytes: &mut [u8]) -> std::io::Result<usize> {
                std::io::Read::read(&mut &*socket2::SockRef::from(self), bytes)
            }
        }
    };
}
pub(super) use watch;

watch!(tokio::net::TcpStream);
