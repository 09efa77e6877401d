//! The servers that echobeat is compared with, each written as its library's own example has it.

use std::convert::Infallible;
use std::io;

use clap::ValueEnum;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::task::unconstrained;
use tokio_websockets::{Config, Limits, ServerBuilder};

use crate::Failure;

/// A server that echobeat is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Fastwebsockets,
    TokioWebsockets,
    /// The library that echobeat is made with
    TokioTungstenite,
    /// In C++: only with `--features uwebsockets`
    Uwebsockets,
    /// A plain TCP echo of the same bytes: what reading and writing them costs
    Floor,
}

impl Peer {
    pub const ALL: [Self; 5] = [
        Self::Fastwebsockets,
        Self::TokioWebsockets,
        Self::TokioTungstenite,
        Self::Uwebsockets,
        Self::Floor,
    ];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fastwebsockets => "fastwebsockets",
            Self::TokioWebsockets => "tokio-websockets",
            Self::TokioTungstenite => "tokio-tungstenite",
            Self::Uwebsockets => "uWebSockets",
            Self::Floor => "floor",
        }
    }
}

/// Serves, as one of those in Rust, for ever on a free port, whose address is the first line on stdout.
pub fn serve(peer: Peer, threads: usize) -> Result<(), Failure> {
    let mut runtime = match threads {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(threads).enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match peer {
                Peer::Fastwebsockets => drop(tokio::spawn(fastwebsockets(stream))),
                Peer::TokioWebsockets => {
                    drop(tokio::spawn(unconstrained(tokio_websockets(stream))))
                }
                Peer::TokioTungstenite => drop(tokio::spawn(tokio_tungstenite(stream))),
                Peer::Uwebsockets => return Err("it is a program of its own".into()),
                Peer::Floor => drop(tokio::spawn(floor(stream))),
            }
        }
    })
}

async fn fastwebsockets(stream: TcpStream) -> hyper::Result<()> {
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(fastwebsockets_upgrade))
        .with_upgrades()
        .await
}

async fn fastwebsockets_upgrade(
    mut request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgrade) = upgrade::upgrade(&mut request)?;
    tokio::spawn(unconstrained(fastwebsockets_session(upgrade)));
    Ok(response)
}

async fn fastwebsockets_session(upgrade: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgrade.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn tokio_websockets(stream: TcpStream) -> Result<(), tokio_websockets::Error> {
    let (_request, mut socket) = ServerBuilder::new()
        .config(Config::default().frame_size(usize::MAX))
        .limits(Limits::unlimited())
        .accept(stream)
        .await?;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn tokio_tungstenite(stream: TcpStream) -> tokio_tungstenite::tungstenite::Result<()> {
    let (write, read) = tokio_tungstenite::accept_async(stream).await?.split();
    read.try_filter(|message| future::ready(message.is_text() || message.is_binary()))
        .forward(write)
        .await
}

/// Sends back what comes, as it comes, until the client ends.
pub async fn floor(mut stream: TcpStream) -> io::Result<Infallible> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stream.write_all(&buffer[..length]).await?;
    }
}
