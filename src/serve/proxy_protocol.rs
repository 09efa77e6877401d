//! The PROXY protocol: a header that a load balancer puts before the bytes of its client, to say who
//! that is (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// First bytes of a header of version 1.
const TEXT: &[u8] = b"PROXY ";

/// First bytes of a header of version 2.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Length of the shortest header: `PROXY UNKNOWN`, and the end of the line.
const SHORTEST: usize = 15;

/// Length of the longest header of version 1.
const LONGEST_TEXT: usize = 107;

/// Length of a header of version 2 up to its addresses. The last two bytes count the rest.
const FIXED: usize = 16;

/// Longest header of version 2 that is read. It has at most 216 bytes of addresses, and the
/// extensions of balancers take some hundred more.
const LONGEST_BINARY: usize = 4 << 10;

/// Errors of a connection that is to begin with a header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The connection ends before, or fails.
    #[error("the connection ended within the header: {0}")]
    Ended(#[from] io::Error),
    /// The connection ends without a byte, as that of a health check does.
    #[error("the connection ended without a byte")]
    Empty,
    /// Something else comes, which begins with these bytes.
    #[error("there is no header")]
    Absent(Vec<u8>),
    /// The header does not come in time.
    #[error("the header has not come in time")]
    Late,
    /// The header is wrong.
    #[error("the header is broken")]
    Broken,
    /// The header is longer than any that is read.
    #[error("the header is longer than {LONGEST_BINARY} bytes")]
    TooLong,
}

/// Reads a header of either version, and no byte behind it. Returns the address of the client;
/// `None` if the balancer speaks for itself, or does not know the address.
pub(super) async fn read_header<S>(stream: &mut S) -> Result<Option<SocketAddr>, HeaderError>
where
    S: AsyncRead + Unpin,
{
    let mut header = Vec::with_capacity(LONGEST_TEXT);
    loop {
        let missing = missing(&header)?;
        if missing == 0 {
            return client(&header);
        }
        let read = (&mut *stream)
            .take(missing as u64)
            .read_buf(&mut header)
            .await?;
        match read {
            0 if header.is_empty() => return Err(HeaderError::Empty),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => {}
        }
    }
}

/// Least number of bytes that a header lacks which begins with these.
fn missing(header: &[u8]) -> Result<usize, HeaderError> {
    let begins = |prefix: &[u8]| {
        let length = header.len().min(prefix.len());
        header[..length] == prefix[..length]
    };
    let length = match header {
        _ if !begins(TEXT) && !begins(BINARY) => return Err(HeaderError::Absent(header.to_vec())),
        [] => SHORTEST,
        [b'P', ..] if header.ends_with(b"\r\n") => header.len(),
        [b'P', ..] if header.len() < SHORTEST => SHORTEST,
        // The end of the line is two bytes.
        [b'P', .., last] => header.len() + if *last == b'\r' { 1 } else { 2 },
        _ if header.len() < FIXED => FIXED,
        _ => FIXED + usize::from(u16::from_be_bytes([header[14], header[15]])),
    };
    let is_text = header.first() == Some(&b'P');
    match length {
        _ if is_text && length > LONGEST_TEXT => Err(HeaderError::Broken),
        _ if length > LONGEST_BINARY => Err(HeaderError::TooLong),
        _ => Ok(length - header.len()),
    }
}

/// The client that a whole header names.
fn client(header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
    match ProxyHeader::parse(header, ParseConfig::default()) {
        Ok((parsed, length)) if length == header.len() => match parsed.proxied_address() {
            Some(addresses) if addresses.protocol == Protocol::Stream => Ok(Some(addresses.source)),
            Some(_datagram) => Err(HeaderError::Broken),
            None => Ok(None),
        },
        _ => Err(HeaderError::Broken),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    /// The request behind a header.
    const REST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    /// A header of version 2, with this command, family and content.
    fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [BINARY, &[command, family], &length, content].concat()
    }

    /// Reads a header from a stream that takes this many bytes at once, with a request behind it.
    async fn read_in_pieces(header: &[u8], size: usize) -> Result<Option<SocketAddr>, HeaderError> {
        let (mut near, mut far) = duplex(size);
        let bytes = [header, REST].concat();
        let writing = tokio::spawn(async move { far.write_all(&bytes).await });
        let client = read_header(&mut near).await;
        if client.is_ok() {
            let mut rest = vec![0; REST.len()];
            near.read_exact(&mut rest).await.unwrap();
            assert_eq!(rest, REST);
        }
        drop(near);
        let _ = writing.await.unwrap();
        client
    }

    async fn read(header: &[u8]) -> Result<Option<SocketAddr>, HeaderError> {
        let whole = read_in_pieces(header, 10_000).await;
        let bytewise = read_in_pieces(header, 1).await;
        assert_eq!(whole.as_ref().ok(), bytewise.as_ref().ok(), "{header:?}");
        whole
    }

    #[tokio::test]
    async fn headers_of_both_versions_name_the_client() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x34, 0, 80];
        let v6 = [
            &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2)[..],
            &[0x12, 0x34, 0, 80],
        ]
        .concat();
        let extended = [&v4[..], &[0x04, 0, 3, 0, 0, 0]].concat();
        for (header, client) in [
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 80\r\n".to_vec(),
                "192.0.2.1:4660",
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4660 80\r\n".to_vec(),
                "[2001:db8::1]:4660",
            ),
            (binary(0x21, 0x11, &v4), "192.0.2.1:4660"),
            (binary(0x21, 0x21, &v6), "[2001:db8::1]:4660"),
            (binary(0x21, 0x11, &extended), "192.0.2.1:4660"),
        ] {
            let read = read(&header).await.unwrap().unwrap();
            assert_eq!(read, client.parse().unwrap(), "{header:?}");
        }
    }

    #[tokio::test]
    async fn a_balancer_may_speak_for_itself() {
        let unknown = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            unknown.to_vec(),
            binary(0x20, 0, &[]),
            binary(0x21, 0, &[]),
            binary(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(read(&header).await.unwrap(), None, "{header:?}");
        }
    }

    #[tokio::test]
    async fn headers_are_bounded_and_checked() {
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LONGEST_TEXT - 16));
        assert_eq!(long.len(), LONGEST_TEXT);
        assert!(read(long.as_bytes()).await.is_ok());
        let longer = long.replace("\r\n", "f\r\n");
        let endless = [b'f'; 1_000];
        for broken in [
            longer.as_bytes(),
            &[b"PROXY TCP4 ", &endless[..]].concat(),
            b"PROXY TCP5 192.0.2.1 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            b"PROXY \r\n\r\n\r\n\r\n\r\n",
            &binary(0x31, 0x11, &[0; 12]),
            &binary(0x21, 0x11, &[0; 11]),
            &binary(0x21, 0x12, &[0; 12]),
        ] {
            let error = read(broken).await.unwrap_err();
            assert!(matches!(error, HeaderError::Broken), "{broken:?}: {error}");
        }
        let bounded = binary(0x21, 0, &[0; LONGEST_BINARY - FIXED]);
        assert_eq!(read(&bounded).await.unwrap(), None);
        let error = read(&binary(0x21, 0, &[0; LONGEST_BINARY]))
            .await
            .unwrap_err();
        assert!(matches!(error, HeaderError::TooLong), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_header_is_told_by_its_first_bytes() {
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"PUT / HTTP/1.1\r\n",
            b"\r\nGET",
        ] {
            let error = read(other).await.unwrap_err();
            assert!(matches!(error, HeaderError::Absent(_)), "{error}");
        }
        let error = read_header(&mut &b""[..]).await.unwrap_err();
        assert!(matches!(error, HeaderError::Empty), "{error}");
        let error = read_header(&mut &b"PROXY TCP4"[..]).await.unwrap_err();
        assert!(matches!(error, HeaderError::Ended(_)), "{error}");
    }
}
