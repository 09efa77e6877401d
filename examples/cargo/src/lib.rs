//! A client that is to be tested: it greets, and says how it was said goodbye to.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The conversation that a client has had.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Texts that it was sent.
    pub texts: Vec<String>,
    /// Code of the Close that it was sent.
    pub code: Option<u16>,
}

/// Greets the server at `url`, and listens until the server says goodbye.
pub async fn converse(url: &str) -> Result<Conversation, Error> {
    let (mut socket, _) = connect_async(url).await?;
    socket.send("hello".into()).await?;
    let mut conversation = Conversation::default();
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => conversation.texts.push(text.as_str().to_owned()),
            Message::Close(frame) => conversation.code = frame.map(|frame| frame.code.into()),
            _ => {}
        }
    }
    Ok(conversation)
}
