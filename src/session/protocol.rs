//! The protocol beyond [single-frame messages](super::single_frame), which is left to tungstenite:
//! fragments, control frames, and illegal frames.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncRead;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Role, WebSocketConfig, WebSocketContext,
};
use tokio_tungstenite::tungstenite::{Error, Message, Result};

use super::read_buffer::ReadBuffer;
use super::single_frame::unmask;
use super::utf8::Utf8Checker;
use super::write_buffer::WriteBuffer;
use crate::runtime::budget::Budget;
use crate::session::tracked_io::TrackedIo;
use crate::ws::frames::{
    CONTINUATION, Endless, FIN, Frames, Header, MAX_FRAME_HEADER, Opcode, TEXT,
};

/// Maximum bytes that tungstenite reads at once.
const PIECE: usize = 1 << 10;

/// Maximum bytes of a fragment of text that are checked at once.
const CHECKED: usize = 256;

/// Maximum characters of a text message that the trace shows.
const PREVIEW: usize = 64;

/// Least number of fragments that a message of any size may have.
const FRAGMENTS: u64 = 128 << 10;

/// Message or frame from the peer. The payload stays where it is until the next one is asked for:
/// moving it would cost more than all other work on a short message.
#[derive(Debug)]
pub(super) enum Received {
    /// A text or binary message.
    Message(Opcode),
    /// A text or binary message that came compressed.
    Compressed(Opcode),
    /// Nothing, but the echo of a message that came compressed is complete.
    Echo,
    /// A Ping or a Pong.
    Control(Opcode),
    Close(Option<Box<CloseFrame>>),
    /// Part of a message: the turn is over, and more bytes may be there to read.
    Part,
}

impl Received {
    /// A short description for the trace.
    pub(super) fn preview(&self, payload: &[u8]) -> String {
        let bytes = payload.len();
        match self {
            Self::Message(Opcode::Text) | Self::Compressed(Opcode::Text) => {
                let text = String::from_utf8_lossy(payload);
                let start: String = text.chars().take(PREVIEW).collect();
                format!("text of {bytes} bytes: {start:?}")
            }
            Self::Message(_) | Self::Compressed(_) => format!("binary of {bytes} bytes"),
            Self::Control(opcode) => format!("{opcode:?} of {bytes} bytes"),
            Self::Close(Some(frame)) => format!("Close {}: {:?}", frame.code, &*frame.reason),
            Self::Close(None) => "Close".to_owned(),
            Self::Echo => "an echo was compressed".to_owned(),
            Self::Part => "part of a message".to_owned(),
        }
    }
}

/// tungstenite's state of a connection. It is given frames up to the end of a message and no
/// further, so that it can be dropped when it has nothing left to do.
pub(super) struct Protocol {
    context: WebSocketContext,
    /// Payload of what was received last.
    payload: Bytes,
    frames: Frames,
    text: FragmentedText,
    max_fragments: u64,
}

/// Maximum bytes of a message's fragments, headers included.
pub(super) fn max_fragments(max_message_size: usize) -> u64 {
    (max_message_size as u64).saturating_add(FRAGMENTS * MAX_FRAME_HEADER as u64)
}

impl Protocol {
    pub(super) fn new(max_message_size: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(PIECE)
            .write_buffer_size(0)
            .max_message_size(Some(max_message_size))
            .max_frame_size(Some(max_message_size));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            payload: Bytes::new(),
            frames: Frames::default(),
            text: FragmentedText::default(),
            max_fragments: max_fragments(max_message_size),
        }
    }

    /// Begins the frame at the start of the read buffer.
    pub(super) fn begin(&mut self, header: &Header) {
        self.text.begin(header);
        self.frames.begin(header);
    }

    /// Returns the message or control frame that the begun frames make, or `None` once all have
    /// been returned. Answers to Ping and Close are added to `replies`.
    pub(super) fn poll_next<S>(
        &mut self,
        read_buffer: &mut ReadBuffer,
        io: &mut TrackedIo<S>,
        replies: &mut WriteBuffer,
        budget: &mut Budget,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Received>>>
    where
        S: AsyncRead + Unpin,
    {
        let mut stream = Stream {
            source: Source {
                read_buffer,
                io,
                frames: &mut self.frames,
                text: &mut self.text,
                max_fragments: self.max_fragments,
                budget,
                is_cut_off: false,
                is_utf8: true,
                cx,
            },
            replies,
        };
        match self.context.read(&mut stream) {
            Err(Error::Io(_)) if !stream.source.is_utf8 => {
                Poll::Ready(Err(Error::Utf8(String::new())))
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                match stream.source.is_cut_off {
                    true => Poll::Ready(Ok(Some(Received::Part))),
                    false if self.frames.is_between_messages() => Poll::Ready(Ok(None)),
                    false => Poll::Pending,
                }
            }
            result => Poll::Ready(result.map(|message| Some(self.receive(message)))),
        }
    }

    fn receive(&mut self, message: Message) -> Received {
        let (received, payload) = match message {
            Message::Text(text) => (Received::Message(Opcode::Text), text.into()),
            Message::Binary(data) => (Received::Message(Opcode::Binary), data),
            Message::Ping(data) => (Received::Control(Opcode::Ping), data),
            Message::Pong(data) => (Received::Control(Opcode::Pong), data),
            Message::Close(frame) => (Received::Close(frame.map(Box::new)), Bytes::new()),
            // tungstenite never returns it from a read, says its documentation.
            Message::Frame(frame) => (Received::Message(Opcode::Binary), frame.into_payload()),
        };
        self.payload = payload;
        received
    }

    /// The payload of what was received last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Number of the frames of the last message.
    pub(super) fn message_frames(&self) -> u32 {
        self.frames.count()
    }

    /// Takes the payload of what was received last.
    pub(super) fn take_payload(&mut self) -> Bytes {
        mem::take(&mut self.payload)
    }

    /// Whether neither side has sent Close.
    pub(super) fn is_open(&self) -> bool {
        self.context.can_write()
    }

    /// Adds the answer to a Ping or Close to `replies`, if one is owed.
    pub(super) fn answer(&mut self, replies: &mut WriteBuffer) -> Result<()> {
        let mut stream = Stream {
            source: io::empty(),
            replies,
        };
        match self.context.flush(&mut stream) {
            // tungstenite returns this once it has answered Close.
            Err(Error::ConnectionClosed) => Ok(()),
            result => result,
        }
    }

    /// Adds Close to `replies`.
    pub(super) fn close(
        &mut self,
        frame: Option<CloseFrame>,
        replies: &mut WriteBuffer,
    ) -> Result<()> {
        let mut stream = Stream {
            source: io::empty(),
            replies,
        };
        self.context.close(&mut stream, frame)
    }
}

/// Text in fragments. tungstenite checks a fragment once it is complete, this one as it comes.
#[derive(Default)]
struct FragmentedText {
    checker: Utf8Checker,
    /// Whether the message is text.
    is_text: bool,
    /// Bytes of the current frame that are not checked: its header, or all of it.
    skipped: u64,
    mask: [u8; 4],
}

impl FragmentedText {
    /// Begins a frame.
    fn begin(&mut self, header: &Header) {
        self.skipped = header.frame_size();
        if header.is_control() {
            return;
        }
        match header.first & !FIN {
            CONTINUATION => {}
            first => {
                self.is_text = first == TEXT;
                self.checker = Utf8Checker::default();
            }
        }
        if let Some(mask) = header.mask.filter(|_| self.is_text) {
            (self.skipped, self.mask) = (header.size as u64, mask);
        }
    }

    /// Takes the next bytes of the frame, and returns whether the text may be UTF-8 yet.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        let skipped = self.skipped.min(bytes.len() as u64);
        self.skipped -= skipped;
        let mut pieces = bytes[skipped as usize..].chunks(CHECKED);
        pieces.all(|piece| self.check(piece))
    }

    fn check(&mut self, masked: &[u8]) -> bool {
        let mut text = [0; CHECKED];
        let text = &mut text[..masked.len()];
        text.copy_from_slice(masked);
        unmask(text, self.mask);
        self.mask.rotate_left(text.len() % 4);
        self.checker.push(text)
    }
}

/// Stream that is lent to tungstenite for one call.
struct Stream<'a, R> {
    source: R,
    replies: &'a mut WriteBuffer,
}

impl<R: Read> Read for Stream<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf)
    }
}

impl<R> Write for Stream<'_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.replies.put_frame(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of frames, up to the end of a message.
struct Source<'a, 'b, S> {
    read_buffer: &'a mut ReadBuffer,
    io: &'a mut TrackedIo<S>,
    frames: &'a mut Frames,
    text: &'a mut FragmentedText,
    max_fragments: u64,
    budget: &'a mut Budget,
    /// Whether the turn ended before the message did.
    is_cut_off: bool,
    /// Whether the text so far may be UTF-8.
    is_utf8: bool,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Source<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.frames.is_between_messages() {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.frames.left() == 0 && !self.begin()? {
            return Ok(0);
        }
        if self.read_buffer.is_empty() && self.fill(PIECE)? == 0 {
            return Ok(0);
        }
        let left = usize::try_from(self.frames.left()).unwrap_or(usize::MAX);
        let piece = left.min(buf.len()).min(self.read_buffer.len());
        self.read_buffer.copy_to_slice(&mut buf[..piece]);
        self.frames.pass(piece);
        self.is_utf8 = self.text.pass(&buf[..piece]);
        match self.is_utf8 {
            true => Ok(piece),
            false => Err(ErrorKind::InvalidData.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> Source<'_, '_, S> {
    /// Begins the next fragment, or a control frame before it. Returns false if the stream has
    /// ended.
    fn begin(&mut self) -> io::Result<bool> {
        self.check_turn()?;
        let header = loop {
            match Header::parse(self.read_buffer) {
                Some(header) => break header,
                None if self.fill(MAX_FRAME_HEADER)? == 0 => return Ok(false),
                None => {}
            }
        };
        self.budget.frame(0);
        self.text.begin(&header);
        self.frames.begin(&header);
        let fragments = self.frames.fragments();
        match fragments > self.max_fragments {
            true => Err(io::Error::other(Endless(fragments))),
            false => Ok(true),
        }
    }

    /// Reads into the read buffer.
    fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        self.check_turn()?;
        match self.read_buffer.poll_fill(wanted, self.io, self.cx) {
            Poll::Ready(result) => result.inspect(|read| self.budget.call(*read)),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Stops once the turn is over: a message may have many fragments.
    fn check_turn(&mut self) -> io::Result<()> {
        self.is_cut_off = self.budget.is_spent();
        match self.is_cut_off {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }
}
