//! The server that the proxies stand in front of. It accepts an upgrade, and then sends back what
//! comes, as it comes: so it takes the least from the core that it shares with the load generator.

use std::convert::Infallible;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::Failure;
use crate::peers;

/// The longest head of a request.
const MAX_HEAD: usize = 4096;

/// Serves for ever on a free port, whose address is the first line on stdout.
pub fn serve() -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(session(stream));
        }
    })
}

async fn session(mut stream: TcpStream) -> io::Result<Infallible> {
    let head = read_head(&mut stream).await?;
    let key = key(&head).ok_or(io::ErrorKind::InvalidData)?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes()),
    );
    stream.write_all(answer.as_bytes()).await?;
    peers::floor(stream).await
}

/// Reads a head, which nothing follows until it is answered.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::with_capacity(MAX_HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut head).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if head.len() > MAX_HEAD => return Err(io::ErrorKind::InvalidData.into()),
            _ => {}
        }
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// The key of an upgrade. Proxies write the names of headers as they like.
fn key(head: &str) -> Option<&str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let (_, key) = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    Some(key.trim())
}
