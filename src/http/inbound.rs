//! A client's stream as hyper reads it: one head at a time, each checked before hyper gets it, and
//! with the client's end held back while an answer is owed.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Request;
use hyper::body::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::head::{self, BodyTracker, READ_LIMIT, Reject};
use super::progress::Progress;
use crate::runtime::budget;

/// Bytes that are read at once.
const PIECE: usize = 4 << 10;

/// Silence that an answer may keep towards a client that has ended its side.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// Stream of a client that gives hyper one request at a time.
///
/// Bytes that come while a request is being answered are read and kept for the next head, because
/// reading shows a reset. hyper would take the end of the client's side for the end of the
/// connection (by RFC 9112, section 9.6, the answer is still owed), or with `half_close` would not
/// watch for it.
#[derive(Debug)]
pub(super) struct Inbound<S> {
    stream: S,
    progress: Progress,
    /// Bytes that were read and not handed on.
    input: Vec<u8>,
    /// Checked bytes, which hyper gets before anything else.
    cleared: Bytes,
    behind: BodyTracker,
    /// Whether the head in `cleared` has an `Upgrade`.
    is_upgrade: bool,
    /// Whether new bytes may have made the head complete or bad.
    is_news: bool,
    has_ended: bool,
    /// Error that hyper has still to see.
    error: Option<io::Error>,
    /// Whether hyper may still have to write an answer, or some of it.
    is_unflushed: bool,
    /// Whether bytes were read ahead, which are handed on after the answer.
    is_waiting: bool,
    reject: Option<Box<Reject>>,
    /// Timer of a client that has ended its side, while an answer to it makes no progress.
    silence: Option<Pin<Box<Sleep>>>,
    /// Time that a write may wait, if that is bounded here.
    send_timeout: Option<Duration>,
    /// Timer of a write that waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Parts of an [`Inbound`] that remain once hyper is done with it.
pub(super) struct Left<S> {
    pub(super) stream: S,
    /// Bytes that were read and not handed on.
    pub(super) unread: Vec<u8>,
    /// The head that ended the stream, if one did.
    pub(super) reject: Option<Box<Reject>>,
    /// Whether the client ended its side before it had sent anything.
    pub(super) is_mute: bool,
}

impl<S> Inbound<S> {
    /// A stream whose requests are counted in `progress`.
    pub(super) fn new(stream: S, progress: Progress) -> Self {
        Self {
            stream,
            progress,
            input: Vec::new(),
            cleared: Bytes::new(),
            behind: BodyTracker::Head,
            is_upgrade: false,
            is_news: false,
            has_ended: false,
            error: None,
            is_unflushed: false,
            is_waiting: false,
            reject: None,
            silence: None,
            send_timeout: None,
            stalled: None,
        }
    }

    /// Has a write fail that waits for this long, because the client does not read.
    pub(super) fn with_send_timeout(mut self, limit: Option<Duration>) -> Self {
        self.send_timeout = limit;
        self
    }

    pub(super) fn into_left(self) -> Left<S> {
        let unread = [&self.cleared[..], &self.input].concat();
        Left {
            is_mute: self.has_ended && unread.is_empty() && self.progress.is_new(),
            stream: self.stream,
            unread,
            reject: self.reject,
        }
    }

    /// The head that was read last, as a request, if it has an `Upgrade` and no body follows.
    pub(super) fn upgrade(&self) -> Option<Request<()>> {
        match self.is_upgrade && self.behind == BodyTracker::Head {
            true => head::request(&self.cleared),
            false => None,
        }
    }

    /// Takes the head that was read last, so that it is not handed on.
    pub(super) fn take_head(&mut self) {
        self.cleared = Bytes::new();
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.cleared.len().min(buf.remaining());
        buf.put_slice(&self.cleared[..length]);
        self.cleared.advance(length);
        if self.cleared.is_empty() {
            // Bytes that were handed on take no memory while the connection is idle.
            self.cleared = Bytes::new();
        }
    }

    /// Clears bytes of a body for hyper to read.
    fn clear_body(&mut self) {
        let length = self.behind.advance(&self.input);
        self.clear(length);
    }

    fn clear(&mut self, length: usize) {
        let rest = self.input.split_off(length);
        self.cleared = mem::replace(&mut self.input, rest).into();
        self.is_news = true;
    }

    /// Clears the next head for hyper, if it is complete and good. A bad one ends the stream.
    fn clear_head(&mut self) {
        if !mem::take(&mut self.is_news) {
            return;
        }
        match head::parse(&self.input) {
            Ok(Some(head)) => {
                self.clear(head.length);
                if let Some(encoded) = head.encoded {
                    self.cleared = encoded.into();
                }
                self.behind = head.behind;
                self.is_upgrade = head.is_upgrade;
                self.progress.begin();
                self.is_unflushed = true;
            }
            Ok(None) => {}
            Err(reject) => self.reject = Some(Box::new(reject)),
        }
    }

    fn note_write(&mut self) {
        self.is_unflushed = true;
        if let Some(silence) = &mut self.silence {
            silence.as_mut().reset(Instant::now() + HALF_CLOSED);
        }
    }

    /// Passes on the result of a write, unless the write has waited for too long.
    fn in_time<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let Some(limit) = self.send_timeout.filter(|_| written.is_pending()) else {
            self.stalled = None;
            return written;
        };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Whether a request was handed on and is not answered yet.
    fn owes(&self) -> bool {
        self.is_unflushed || self.progress.is_under_way()
    }
}

impl<S: AsyncRead + Unpin> Inbound<S> {
    /// Reads some more, and says whether anything came.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [const { MaybeUninit::uninit() }; PIECE];
        let room = READ_LIMIT.saturating_sub(self.input.len()).min(PIECE);
        let mut read = ReadBuf::uninit(&mut space[..room]);
        match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
            // TCP ended without a TLS close: no harm, because a head shows whether it is complete.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            // A client that resets the connection has left as well.
            result => result.inspect_err(|_| self.has_ended = true)?,
        }
        let read = read.filled();
        self.has_ended = read.is_empty();
        if self.has_ended {
            self.progress.client_ended();
        }
        // Without this, every byte of a slow head would have it parsed again.
        self.is_news |= self.input.is_empty() || read.contains(&b'\n');
        self.input.extend_from_slice(read);
        self.is_news |= self.input.len() == READ_LIMIT;
        Poll::Ready(Ok(!read.is_empty()))
    }

    /// Reads ahead while an answer is owed, so that a reset is seen.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_ended && self.input.len() < READ_LIMIT {
            self.is_waiting = !self.input.is_empty();
            ready!(self.poll_fill(cx))?;
        }
        // Nothing more is read, so nothing else would wake hyper after its answer.
        self.is_waiting = true;
        match self.has_ended {
            true => self.poll_silence(cx),
            false => Poll::Pending,
        }
    }

    /// Gives up a client that has ended its side once its answer has made no progress for long: the
    /// client may be gone, which only a write would show.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(sleep(HALF_CLOSED)));
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Clears the first head before hyper asks for it. An error is kept for hyper.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.error = ready!(self.poll_head(cx)).err();
        Poll::Ready(())
    }

    /// Clears the next head, or comes to the end without one.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        if self.owes() {
            return self.poll_ahead(cx);
        }
        while self.reject.is_none() {
            self.clear_head();
            if !self.cleared.is_empty() || self.reject.is_some() {
                break;
            }
            if self.has_ended || !ready!(self.poll_fill(cx))? {
                let is_blank = self.input.trim_ascii().is_empty();
                self.reject = (!is_blank).then(|| Box::new(Reject::cut_off()));
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads some of a body, and keeps the bytes after it.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        let body = self.behind.advance(read);
        self.input.extend_from_slice(&read[body..]);
        self.is_news = true;
        buf.set_filled(before + body);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Inbound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cleared.is_empty() {
            match self.behind {
                BodyTracker::Head => ready!(self.poll_head(cx))?,
                _ if self.input.is_empty() => return self.poll_body(cx, buf),
                _ => self.clear_body(),
            }
        }
        self.hand_on(buf);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Inbound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.in_time(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note_write();
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.in_time(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_unflushed = false;
        if self.is_waiting && !self.owes() {
            self.is_waiting = false;
            // A client may send requests without end.
            budget::give_way(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_ended_its_side_is_given_up_when_nothing_more_of_its_answer_comes() {
        const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (mut client, server) = duplex(1 << 10);
        client.write_all(HEAD).await.unwrap();
        client.shutdown().await.unwrap();
        let mut inbound = Inbound::new(server, Progress::default());
        let mut head = vec![0; HEAD.len()];
        inbound.read_exact(&mut head).await.unwrap();
        for _ in 0..3 {
            let more = timeout(HALF_CLOSED * 9 / 10, inbound.read_u8());
            assert!(more.await.is_err(), "an answer is owed");
            inbound.write_all(b"a part of it").await.unwrap();
        }
        advance(HALF_CLOSED).await;
        let given_up = inbound.read_u8().await.unwrap_err();
        assert_eq!(given_up.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_once_a_client_has_taken_nothing_of_it_for_the_time_that_it_has() {
        const LIMIT: Duration = Duration::from_secs(10);
        let (mut client, server) = duplex(4);
        let inbound = Inbound::new(server, Progress::default());
        let mut inbound = inbound.with_send_timeout(Some(LIMIT));
        let slowly = async {
            let mut read = [0; 2];
            for _ in 0..6 {
                sleep(LIMIT * 9 / 10).await;
                client.read_exact(&mut read).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(inbound.write_all(&[1; 16]), slowly);
        written.unwrap();
        let begun = Instant::now();
        let late = inbound.write_all(&[1]).await.unwrap_err();
        assert_eq!((late.kind(), begun.elapsed()), (ErrorKind::TimedOut, LIMIT));
    }

    /// A peer that sends the beginning of a head, and then resets.
    struct Resetting(&'static [u8]);

    impl AsyncRead for Resetting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0.is_empty() {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            buf.put_slice(mem::take(&mut self.0));
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_error_within_the_first_head_is_left_for_hyper_to_see() {
        let mut inbound = Inbound::new(Resetting(b"GET / HT"), Progress::default());
        poll_fn(|cx| inbound.poll_first(cx)).await;
        let error = inbound.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(inbound.into_left().reject.is_none());
    }
}
