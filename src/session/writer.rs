//! The writer: the one owner of the socket. What it is fed is sent at the next flush, and a write
//! that makes no progress ends the session.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::{Span, trace};

use super::{BATCH, Traffic};
use crate::close::End;
use crate::config::ServerConfig;
use crate::wire::{self, Wire};

/// Bytes that are read at once. tungstenite allocates them for every connection and fills them with
/// zeros at every read: its default of 128 KiB costs 131 KiB of memory for an idle connection.
const READ_BUFFER: usize = 4 << 10;

/// Bytes that are gathered before a write, unless a flush comes first.
const WRITE_BUFFER: usize = 64 << 10;

/// The longest frame that we send without being asked: a Pong or a Close.
const MAX_CONTROL_FRAME: usize = 2 + 125;

type Socket<'a, S> = WebSocketStream<Wire<&'a mut S>>;

/// A message of this size or more is large: it is written straight from the memory that it was
/// received in, for tungstenite would copy it to a buffer that it keeps. What it was received in,
/// tungstenite keeps too, until we [shed](Writer::shed) it.
pub(super) const LARGE: usize = 32 << 10;

/// Characters of a message's text that the trace shows.
const PREVIEW: usize = 64;

/// The socket, and what has gone out on it.
pub(super) struct Writer<'a, S> {
    socket: Socket<'a, S>,
    sent: Traffic,
    send_timeout: Duration,
    /// When a blocked write last went on: a sign of life, for nothing was read meanwhile.
    unblocked_at: Instant,
    /// Whether a large message went through since the socket was new.
    grown: bool,
    /// The connection's, for log lines.
    span: &'a Span,
}

impl<'a, S> Writer<'a, S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub(super) async fn new(
        stream: &'a mut S,
        early: Vec<u8>,
        config: &ServerConfig,
        span: &'a Span,
    ) -> Self {
        let limit = config.max_message_size;
        let wire = Wire::new(stream, early.len(), wire::message_limit(limit));
        // The largest message fits behind a full buffer, and so do the Pongs of a batch of Pings:
        // a Close that did not fit would be lost.
        let max_write_buffer =
            WRITE_BUFFER + LARGE + wire::MAX_FRAME_HEADER + BATCH * MAX_CONTROL_FRAME;
        let settings = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(max_write_buffer)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        Self {
            socket: WebSocketStream::from_partially_read(wire, early, Role::Server, Some(settings))
                .await,
            sent: Traffic::default(),
            send_timeout: config.send_timeout,
            unblocked_at: Instant::now(),
            grown: false,
            span,
        }
    }

    /// Whether there is memory that can be [shed](Self::shed), provided that all is flushed. After
    /// a message in fragments it never can, for nobody knows what their headers took.
    pub(super) fn is_heavy(&self) -> bool {
        self.grown && self.socket.get_ref().is_drained()
    }

    /// Gives the memory of large messages back, which tungstenite keeps for as long as it lives: a
    /// new one takes over, which is as good where nothing is [left](Wire::is_drained) in the old.
    pub(super) async fn shed(self) -> Self {
        let settings = *self.socket.get_config();
        let wire = self.socket.into_inner();
        Self {
            socket: WebSocketStream::from_raw_socket(wire, Role::Server, Some(settings)).await,
            grown: false,
            ..self
        }
    }

    /// What the reader reads from.
    pub(super) fn stream(&mut self) -> &mut Socket<'a, S> {
        &mut self.socket
    }

    pub(super) fn wire(&mut self) -> &mut Wire<&'a mut S> {
        self.socket.get_mut()
    }

    /// The peer's last sign of life.
    pub(super) fn heard_at(&self) -> Instant {
        self.socket.get_ref().heard_at().max(self.unblocked_at)
    }

    pub(super) fn sent(&self) -> Traffic {
        self.sent
    }

    /// Takes a message to send at the next flush, once there is room for it.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), End> {
        self.trace("sent", &message);
        if message.is_text() || message.is_binary() {
            self.sent.count(message.len());
        }
        match message {
            Message::Text(text) if text.len() >= LARGE => {
                self.write_through(Data::Text, text.into()).await
            }
            Message::Binary(data) if data.len() >= LARGE => {
                self.write_through(Data::Binary, data).await
            }
            message => {
                self.progress(|socket, cx| socket.poll_ready_unpin(cx))
                    .await?;
                Ok(self.socket.start_send_unpin(message)?)
            }
        }
    }

    /// Writes a message behind what was fed, without a copy of it.
    async fn write_through(&mut self, kind: Data, payload: Bytes) -> Result<(), End> {
        self.grown = true;
        self.flush().await?;
        let mut header = Vec::with_capacity(wire::MAX_FRAME_HEADER);
        let form = FrameHeader {
            opcode: OpCode::Data(kind),
            ..FrameHeader::default()
        };
        form.format(payload.len() as u64, &mut header)?;
        let mut frame = header.as_slice().chain(payload);
        self.progress(|socket, cx| {
            while frame.has_remaining() {
                let wire = Pin::new(socket.get_mut());
                if ready!(poll_write_buf(wire, cx, &mut frame))? == 0 {
                    return Poll::Ready(Err(io::Error::from(ErrorKind::WriteZero).into()));
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends what was fed.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        self.progress(|socket, cx| socket.poll_flush_unpin(cx))
            .await
    }

    /// Sends what was fed, and then Close, if there is one to send. The answer to a Close of the
    /// peer's is waiting to be flushed already.
    pub(super) async fn close(&mut self, frame: Option<CloseFrame>) -> Result<(), End> {
        // Close goes last, but tungstenite would put a Pong that it still owes behind it.
        self.flush().await?;
        if let Some(frame) = frame {
            self.feed(Message::Close(Some(frame))).await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends Close as far as that takes no waiting.
    pub(super) fn try_close(&mut self, frame: Option<CloseFrame>) -> Result<(), End> {
        Ok(self.socket.start_send_unpin(Message::Close(frame))?)
    }

    /// Shows a message, cut short, to those who log at trace.
    pub(super) fn trace(&self, direction: &'static str, message: &Message) {
        trace!(parent: self.span, message = preview(message), "{direction}");
    }

    /// Polls the socket until it is ready.
    async fn progress<F>(&mut self, mut poll: F) -> Result<(), End>
    where
        F: FnMut(&mut Socket<'a, S>, &mut Context<'_>) -> Poll<tungstenite::Result<()>>,
    {
        let at_once = poll_fn(|cx| match poll(&mut self.socket, cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        });
        match at_once.await {
            Some(result) => Ok(result?),
            None => self.unless_stalled(poll).await,
        }
    }

    /// Polls the blocked socket until it is ready, or no byte has gone out for the send timeout.
    async fn unless_stalled<F>(&mut self, mut poll: F) -> Result<(), End>
    where
        F: FnMut(&mut Socket<'a, S>, &mut Context<'_>) -> Poll<tungstenite::Result<()>>,
    {
        let mut patience = pin!(sleep(self.send_timeout));
        let mut written = self.wire().written();
        poll_fn(|cx| {
            if let Poll::Ready(result) = poll(&mut self.socket, cx) {
                return Poll::Ready(result.map_err(End::from));
            }
            let progress = self.socket.get_ref().written();
            if progress != written {
                written = progress;
                patience.as_mut().reset(Instant::now() + self.send_timeout);
            }
            ready!(patience.as_mut().poll(cx));
            Poll::Ready(Err(End::Stalled))
        })
        .await?;
        self.unblocked_at = Instant::now();
        Ok(())
    }
}

/// Writes from the front of `frame`, both its parts in one go.
fn poll_write_buf(
    wire: Pin<&mut (impl AsyncWrite + Unpin)>,
    cx: &mut Context<'_>,
    frame: &mut impl Buf,
) -> Poll<io::Result<usize>> {
    let mut parts = [IoSlice::new(&[]); 2];
    let count = frame.chunks_vectored(&mut parts);
    let written = ready!(wire.poll_write_vectored(cx, &parts[..count]))?;
    frame.advance(written);
    Poll::Ready(Ok(written))
}

/// A message in few words.
fn preview(message: &Message) -> String {
    let bytes = message.len();
    match message {
        Message::Text(text) => {
            let start: String = text.chars().take(PREVIEW).collect();
            format!("text of {bytes} bytes: {start:?}")
        }
        Message::Close(Some(frame)) => format!("Close {}: {:?}", frame.code, &*frame.reason),
        Message::Close(None) => "Close".to_owned(),
        Message::Binary(_) => format!("binary of {bytes} bytes"),
        Message::Ping(_) => format!("Ping of {bytes} bytes"),
        Message::Pong(_) => format!("Pong of {bytes} bytes"),
        Message::Frame(_) => format!("frame of {bytes} bytes"),
    }
}
