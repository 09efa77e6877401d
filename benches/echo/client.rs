//! Connecting and upgrading.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;
use crate::traffic::Wire;

/// Everything that the benchmark waits for must come within this.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A good upgrade.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The longest head of a response.
const MAX_HEAD: usize = 4096;

/// Opens a connection, with a session on it if the wire has such.
pub fn connect(address: SocketAddr, wire: Wire) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if wire != Wire::Tcp {
        upgrade(&mut stream)?;
    }
    Ok(stream)
}

/// Opens a connection with a session at this path, which may have a query.
pub fn connect_at(address: SocketAddr, path: &str) -> Result<TcpStream, Failure> {
    let mut stream = connect(address, Wire::Tcp)?;
    let rest = &REQUEST[b"GET /".len()..];
    let request = [b"GET ", path.as_bytes(), rest].concat();
    exchange(&mut stream, &request)?;
    Ok(stream)
}

/// Opens a connection with a session that has these extensions, as the server has to word them.
pub fn connect_with(address: SocketAddr, extensions: &Extensions) -> Result<TcpStream, Failure> {
    let mut stream = connect(address, Wire::Tcp)?;
    let offer = format!("Sec-WebSocket-Extensions: {}\r\n\r\n", extensions.offered);
    let request = [&REQUEST[..REQUEST.len() - 2], offer.as_bytes()].concat();
    let head = exchange(&mut stream, &request)?;
    match agreed(&head) {
        Some(agreed) if extensions.is_answered_by(agreed) => Ok(stream),
        Some(agreed) => Err(format!("the server agrees on {agreed}").into()),
        None => Err("the server agrees on no extension".into()),
    }
}

/// Extensions of a session.
#[derive(Debug)]
pub struct Extensions {
    /// The offer.
    pub offered: String,
    /// Parameters that the answer must have.
    pub wanted: Vec<String>,
    /// One that it must not have.
    pub unwanted: &'static str,
}

impl Extensions {
    fn is_answered_by(&self, answer: &str) -> bool {
        let parameters: Vec<_> = answer.split(';').map(str::trim).collect();
        let mut wanted = self.wanted.iter();
        wanted.all(|wanted| parameters.contains(&wanted.as_str()))
            && !parameters.contains(&self.unwanted)
    }
}

/// The value of the header `Sec-WebSocket-Extensions` in the head of a response.
fn agreed(head: &str) -> Option<&str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let found = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"));
    found.map(|(_, value)| value.trim())
}

/// Makes a session of a connection.
pub fn upgrade(stream: &mut TcpStream) -> Result<(), Failure> {
    exchange(stream, REQUEST).map(drop)
}

/// Sends an upgrade, and returns the head of the response, which accepts it.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<String, Failure> {
    stream.write_all(request)?;
    let mut head = [0; MAX_HEAD];
    let mut length = 0;
    while !head[..length].ends_with(b"\r\n\r\n") {
        // Nothing follows the head: nothing was sent, and no heart beat comes as soon.
        length += match stream.read(&mut head[length..])? {
            0 if length == MAX_HEAD => return Err("the upgrade is answered with no head".into()),
            0 => return Err("the upgrade is not answered".into()),
            read => read,
        };
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let line = head[..length].split(|&byte| byte == b'\r').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        return Err(format!("the upgrade is refused: {line}").into());
    }
    Ok(String::from_utf8_lossy(&head[..length]).into_owned())
}
