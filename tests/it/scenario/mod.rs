//! Faults on demand: what a client sees of each, byte by byte, over whatever it connects by.

mod foreign;
mod handshake;
mod left;
mod links;
mod scenes;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::support::{Raw, soon};

/// What happens in a session, as its client sees it.
#[derive(Debug)]
enum Event {
    /// The client sends these bytes.
    Sends(Vec<u8>),
    /// It gets these, and none before them.
    Gets(Vec<u8>),
    /// Nothing more comes, and the stream ends.
    Ends,
    /// The stream is reset.
    IsReset,
}

use Event::{Ends, Gets, IsReset, Sends};

/// Plays a scene in a session that has begun.
async fn play<S>(mut raw: Raw<S>, steps: &str, scene: Vec<Event>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for event in scene {
        match event {
            Sends(bytes) => raw.send(bytes).await,
            Gets(expected) => {
                let got = raw.read(expected.len()).await;
                assert!(got == expected, "{steps}: {got:x?} is not {expected:x?}");
            }
            Ends => {
                let rest = raw.rest().await;
                assert!(rest.is_empty(), "{steps}: {rest:x?}");
                return;
            }
            IsReset => {
                let mut rest = Vec::new();
                let end = soon(raw.stream.read_to_end(&mut rest)).await;
                assert!(end.is_err(), "{steps}: ends in good order behind {rest:x?}");
                return;
            }
        }
    }
}

/// A path that asks for these steps.
fn path(steps: &str) -> String {
    format!("/wshandler?do={steps}")
}
