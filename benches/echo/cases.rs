//! What is measured.

/// Messages of one kind, echoed over and over.
#[derive(Debug, Clone)]
pub struct Load {
    pub content: Content,
    /// Bytes of payload in a message.
    pub size: usize,
    /// Messages that each connection has on their way.
    pub in_flight: usize,
    pub connections: usize,
    /// Threads of the server.
    pub threads: usize,
}

/// What a message consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    Binary,
    /// Text in ASCII.
    Text,
    /// Text, most of which is not ASCII.
    Utf8,
}

impl Load {
    const fn new(content: Content, size: usize, in_flight: usize, connections: usize) -> Self {
        Self {
            content,
            size,
            in_flight,
            connections,
            threads: 1,
        }
    }

    /// The case in a few words: the message, how many are in flight, on how many connections.
    pub fn name(&self) -> String {
        let size = match self.size {
            size if size >= 1 << 20 => format!("{} MiB", size >> 20),
            size if size >= 1 << 10 => format!("{} KiB", size >> 10),
            size => format!("{size} B"),
        };
        let content = match self.content {
            Content::Binary => "",
            Content::Text => " text",
            Content::Utf8 => " UTF-8",
        };
        format!(
            "{size}{content} × {} × {}",
            self.in_flight, self.connections
        )
    }
}

/// The cases that are measured on one thread.
pub fn loads() -> Vec<Load> {
    use Content::{Binary, Text, Utf8};
    vec![
        Load::new(Binary, 64, 1, 50),
        Load::new(Binary, 20, 16, 100),
        Load::new(Text, 200, 16, 100),
        Load::new(Binary, 125, 200, 10),
        Load::new(Text, 125, 200, 10),
        Load::new(Binary, 16 << 10, 1, 20),
        Load::new(Utf8, 16 << 10, 1, 20),
        Load::new(Binary, 64 << 10, 2, 10),
        Load::new(Binary, 1 << 20, 1, 4),
        Load::new(Text, 1 << 20, 1, 4),
    ]
}
