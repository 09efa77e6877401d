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

/// Makes a session of a connection.
pub fn upgrade(stream: &mut TcpStream) -> Result<(), Failure> {
    stream.write_all(REQUEST)?;
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
    Ok(())
}
