//! A connection to a [`TestServer`](super::TestServer), as a test sees it.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Error, Message, Verdict};
use crate::registry::Registry;
use crate::registry::connection::{Phase, SessionEnd};
use crate::registry::filter::MessageFilter;
use crate::registry::follow::Opened;
use crate::registry::mailbox::{Ending, Posted};
use crate::registry::push::Push;
use crate::registry::record::{CloseContent, Direction};
use crate::registry::state::Batch;
use crate::ws::close::{MAX_REASON, Teardown, may_be_sent};

/// A connection of a client. It can be asked for as long as it is kept, even once the client has
/// gone.
///
/// ```
/// use echobeat::TestServer;
/// use echobeat::testing::{Side, TcpEnd};
/// use futures_util::StreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = TestServer::start().await?;
/// # let tcp = tokio::net::TcpStream::connect(server.address()).await?;
/// # let connect_async = |url: String| tokio_tungstenite::client_async(url, tcp);
/// let url = format!("{}chat?id=me", server.url());
/// let (mut client, _) = connect_async(url).await?;
///
/// let connection = server.connection().await?;
/// assert_eq!((connection.id(), connection.path()), ("me", "/chat"));
/// connection.push("news")?;
/// connection.close(4001, "bye")?;
///
/// assert_eq!(client.next().await.expect("a push")?, "news".into());
/// // The Close, which the client answers, and the end.
/// while client.next().await.is_some() {}
/// drop(client); // This client keeps TCP open until then.
///
/// let verdict = connection.ended().await?;
/// assert_eq!((verdict.first_close, verdict.clean), (Some(Side::Server), true));
/// assert_eq!((verdict.code, verdict.tcp), (4001, Some(TcpEnd::Fin)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection {
    registry: Registry,
    opened: Opened,
    deadline: Duration,
    /// Messages that were received and not returned yet.
    received: VecDeque<Result<Message, Error>>,
    /// Number of the last record that was looked at.
    last: u64,
    /// Number of the messages that were returned.
    returned: usize,
}

/// Way to end a connection without a Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cut {
    /// TCP ends in order, as when a server process ends.
    Fin,
    /// TCP is reset, as when a proxy drops the connection.
    Rst,
}

impl Connection {
    pub(super) fn new(registry: Registry, opened: Opened, deadline: Duration) -> Self {
        Self {
            registry,
            opened,
            deadline,
            received: VecDeque::new(),
            last: 0,
            returned: 0,
        }
    }

    /// Name of the connection: the parameter `id` of its URL, or else a unique one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.opened.description.id
    }

    /// Path that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.opened.description.path
    }

    /// Query of the URL that the client asked for.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.opened.description.query.as_deref()
    }

    /// Subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.opened.description.subprotocol.as_deref()
    }

    /// Header lines of the client's request, with their names in lower case. Secrets, such as
    /// cookies and tokens, are redacted, so that they can only be compared.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.opened.description.headers.iter();
        lines.map(|[name, value]| (&**name, &**value))
    }

    /// Whether the session goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let snapshot = self.registry.snapshot(self.opened.key);
        snapshot.is_some_and(|snapshot| snapshot.status.phase == Phase::Open)
    }

    /// Waits for the next message that the client sends: each call returns another, in their order,
    /// beginning with the first. Those that have come are returned even if the session is over.
    ///
    /// # Errors
    /// When the deadline passes, the session ends before, or messages are not kept any more.
    pub async fn next_message(&mut self) -> Result<Message, Error> {
        if self.received.is_empty() {
            let deadline = self.deadline;
            match tokio::time::timeout(deadline, self.receive()).await {
                Ok(received) => received?,
                Err(_late) => return Err(self.late(format!("message {}", self.returned + 1))),
            }
        }
        self.returned += 1;
        self.received
            .pop_front()
            .unwrap_or_else(|| Err(self.forgotten()))
    }

    /// Waits until there is at least one message to return.
    async fn receive(&mut self) -> Result<(), Error> {
        while self.received.is_empty() {
            let filter = MessageFilter {
                after: self.last,
                direction: Some(Direction::In),
                ..MessageFilter::default()
            };
            // The history itself is bounded.
            let batch = self
                .registry
                .until_message(self.opened.key, &filter, usize::MAX)
                .await;
            let batch = batch.ok_or_else(|| self.forgotten())?;
            let is_over = batch.records.is_empty();
            self.take(batch);
            if is_over && self.received.is_empty() {
                return Err(Error::Ended {
                    id: self.id().to_owned(),
                    returned: self.returned,
                    end: self.end(),
                });
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: Batch) {
        self.last = batch.next;
        let id = self.id().to_owned();
        let missed = (batch.dropped > 0).then(|| {
            let records = batch.dropped;
            Err(Error::NotKept {
                id: id.clone(),
                records,
            })
        });
        self.received.extend(missed);
        let data = batch
            .records
            .into_iter()
            .filter(|record| !record.message.kind.is_control());
        self.received.extend(data.map(|record| {
            let message = Message::of(record.message);
            message.ok_or_else(|| Error::NotKept {
                id: id.clone(),
                records: 1,
            })
        }));
    }

    /// Sends a message to the client, which need not have sent one. Pushes arrive in their order.
    ///
    /// # Errors
    /// When the session is over, or the client does not read what was pushed before.
    pub fn push(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let push = Push::new(message.opcode(), message.as_bytes());
        match self.registry.push(self.opened.key, &push) {
            Posted::Taken => Ok(()),
            Posted::Skipped { .. } => Err(Error::Full(self.id().to_owned())),
            Posted::Gone => Err(self.not_open()),
        }
    }

    /// Closes the connection with this code and reason, after what was pushed before.
    ///
    /// # Errors
    /// When the session is over, or this may not be sent: a code is 1000 to 1003, 1007 to 1014, or
    /// 3000 to 4999, and a reason has at most 123 bytes.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Error> {
        if !may_be_sent(code) {
            return Err(Error::CloseCode(code));
        }
        if reason.len() > MAX_REASON {
            return Err(Error::CloseReason(reason.len()));
        }
        self.end_with(Ending::Close(CloseContent {
            code: Some(code),
            reason: reason.to_owned(),
        }))
    }

    /// Ends the connection at once, without a Close.
    ///
    /// ```
    /// use echobeat::TestServer;
    /// use echobeat::testing::Cut;
    /// use futures_util::StreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = TestServer::start().await?;
    /// # let tcp = tokio::net::TcpStream::connect(server.address()).await?;
    /// # let (mut client, _) = tokio_tungstenite::client_async(server.url(), tcp).await?;
    /// # let connection = server.connection().await?;
    /// connection.cut(Cut::Rst)?;
    /// assert!(client.next().await.expect("an error").is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the session is over.
    pub fn cut(&self, cut: Cut) -> Result<(), Error> {
        self.end_with(Ending::Cut(match cut {
            Cut::Fin => Teardown::Linger,
            Cut::Rst => Teardown::Reset,
        }))
    }

    fn end_with(&self, ending: Ending) -> Result<(), Error> {
        let ended = self.registry.end(self.opened.key, ending);
        ended.map_err(|_gone| self.not_open())
    }

    /// Waits until the session is over and TCP has ended, and says how. A client that has closed its
    /// session and keeps TCP open is waited for, but no longer than 2 seconds.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn ended(&self) -> Result<Verdict, Error> {
        let closed = self.registry.until_closed(self.opened.key);
        match tokio::time::timeout(self.deadline, closed).await {
            Ok(Some(snapshot)) => Ok(snapshot.status.into()),
            Ok(None) => Err(self.forgotten()),
            Err(_late) => Err(self.late("the end".to_owned())),
        }
    }

    fn late(&self, wanted: String) -> Error {
        let snapshot = self.registry.snapshot(self.opened.key);
        let found = match snapshot.map(|snapshot| snapshot.status) {
            Some(status) if status.phase == Phase::Open => {
                let messages = status.received.messages;
                format!("it is open, and messages received so far: {messages}")
            }
            Some(status) => format!(
                "its session is over, but TCP is not ({})",
                word(status.end.as_ref())
            ),
            None => "it is not kept any more".to_owned(),
        };
        Error::Deadline {
            deadline: self.deadline,
            wanted: format!("{wanted} of connection {}", self.id()),
            found,
        }
    }

    /// The end of the session, in words.
    fn end(&self) -> String {
        let snapshot = self.registry.snapshot(self.opened.key);
        word(snapshot.and_then(|snapshot| snapshot.status.end).as_ref())
    }

    fn not_open(&self) -> Error {
        Error::NotOpen {
            id: self.id().to_owned(),
            end: self.end(),
        }
    }

    fn forgotten(&self) -> Error {
        Error::Forgotten(self.id().to_owned())
    }
}

fn word(end: Option<&SessionEnd>) -> String {
    match end {
        Some(end) => format!("{}: {}", end.why, end.reason),
        None => "it ends".to_owned(),
    }
}
