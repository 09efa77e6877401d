//! A stream that is written at a bounded rate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::net::transport::{Hangup, Transport};

/// Number of writes a second, if the rate has a byte for each.
const WRITES: u64 = 20;

#[derive(Debug)]
pub(crate) struct Paced<S> {
    io: S,
    pace: Option<Pace>,
}

#[derive(Debug)]
struct Pace {
    /// Bytes a second.
    rate: u64,
    /// Bytes that are written before the rate begins to hold.
    exempt: usize,
    /// Timer for the moment at which more may be written.
    free: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// A stream that has no rate at first.
    pub(crate) fn new(io: S) -> Self {
        Self { io, pace: None }
    }

    /// Bounds the rate to `rate` bytes a second, from `exempt` more bytes on.
    pub(crate) fn pace(&mut self, rate: u64, exempt: usize) {
        self.pace = Some(Pace {
            rate,
            exempt,
            free: Box::pin(sleep_until(Instant::now())),
        });
    }

    /// Leaves the rate open.
    pub(super) fn unpace(&mut self) {
        self.pace = None;
    }

    /// The stream itself.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        &mut self.io
    }

    pub(crate) fn into_inner(self) -> S {
        self.io
    }
}

impl Pace {
    /// Waits until something may be written, and returns how many bytes.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if self.exempt > 0 {
            return Poll::Ready(self.exempt);
        }
        ready!(self.free.as_mut().poll(cx));
        let room = (self.rate / WRITES).max(1);
        Poll::Ready(usize::try_from(room).unwrap_or(usize::MAX))
    }

    fn written(&mut self, bytes: usize) {
        if self.exempt > 0 {
            self.exempt -= bytes;
            return;
        }
        let time = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let from = self.free.deadline().max(Instant::now());
        self.free.as_mut().reset(from + time);
    }
}

impl<S: Transport> Transport for Paced<S> {
    fn reset(self) {
        self.io.reset();
    }

    fn linger_at_most(&self, limit: Duration) {
        self.io.linger_at_most(limit);
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        self.io.poll_hangup(cx)
    }

    fn unsent(&self) -> usize {
        self.io.unsent()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, pace } = self.get_mut();
        let io = Pin::new(io);
        let Some(pace) = pace else {
            return io.poll_write(cx, buf);
        };
        let room = ready!(pace.poll_room(cx)).min(buf.len());
        let written = ready!(io.poll_write(cx, &buf[..room]))?;
        pace.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_from_its_beginning() {
        for (rate, exempt, bytes, least, most) in [
            (1000, 0, 3000, 2900, 3000),
            (1000, 2000, 3000, 900, 1000),
            (3, 0, 6, 1666, 2000),
        ] {
            let (near, mut far) = duplex(1 << 20);
            let mut paced = Paced::new(near);
            paced.pace(rate, exempt);
            let begun = Instant::now();
            tokio::spawn(async move { paced.write_all(&vec![7; bytes]).await });
            let mut read = Vec::new();
            far.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, vec![7; bytes]);
            // Nothing waits after the last write. Each timer is late by up to 1 ms.
            let took = begun.elapsed().as_millis();
            assert!((least..=most + 60).contains(&took), "{took} ms");
        }
    }
}
