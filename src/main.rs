//! The `echobeat` program: reads the command line, starts logging, serves or proxies until a signal
//! says stop.

use std::error::Error;
use std::io;
use std::num::NonZero;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;

use clap::error::ErrorKind as Usage;
use clap::{CommandFactory, Parser};
use echobeat::cli::{Cli, Role};
use echobeat::platform::{self, Hangups, Signals};
use echobeat::{Acceptor, Proxy, ProxyConfig, Server, ServerConfig, UpgradePath};
use tokio::runtime::{Builder, Runtime};
use tracing::{debug, error, info, warn};

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod allocator;

fn main() -> ExitCode {
    #[cfg(all(feature = "jemalloc", target_os = "linux"))]
    let gives_back = allocator::give_back_memory();
    let cli = Cli::parse();
    if let Err(error) = cli.log().install() {
        let complaint = format!("invalid value for 'RUST_LOG': {error}");
        Cli::command()
            .error(Usage::ValueValidation, complaint)
            .exit();
    }
    #[cfg(all(feature = "jemalloc", target_os = "linux"))]
    if let Err(error) = gives_back {
        debug!(%error, "memory is not given back after a peak");
    }
    // Before flags are read whose defaults depend on it.
    platform::raise_open_file_limit();
    let threads = cli.threads();
    let role = cli
        .into_role()
        .unwrap_or_else(|contradiction| contradiction.exit());
    match run(role, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role, threads: Option<usize>) -> Result<(), Box<dyn Error>> {
    runtime(threads)?.block_on(async {
        let signals = Signals::new()?;
        match role {
            Role::Server(config) => serve(config, signals).await?,
            Role::Proxy(config) => proxy(config, signals).await?,
        }
        info!("stopped");
        Ok(())
    })
}

async fn serve(config: ServerConfig, signals: Signals) -> Result<(), Box<dyn Error>> {
    debug!(?config, "starting");
    let path = config
        .paths
        .first()
        .map_or("/".to_owned(), UpgradePath::to_string);
    let server = Server::bind(config).await?;
    reload_at_hangup(server.tls())?;
    for endpoint in server.endpoints() {
        let (websocket, http) = (endpoint.websocket_url(&path), endpoint.http_url());
        info!(address = %endpoint, websocket, http, "listening");
    }
    // In a task, so that connections are accepted on a thread that serves them.
    Ok(tokio::spawn(server.serve(shutdown(signals))).await?)
}

async fn proxy(config: ProxyConfig, signals: Signals) -> Result<(), Box<dyn Error>> {
    debug!(?config, "starting");
    let upstream = config.upstream.clone();
    let proxy = Proxy::bind(config).await?;
    reload_at_hangup(proxy.tls())?;
    for endpoint in proxy.endpoints() {
        let (websocket, http) = (endpoint.websocket_url("/"), endpoint.http_url());
        info!(address = %endpoint, websocket, http, %upstream, "listening");
    }
    Ok(tokio::spawn(proxy.serve(shutdown(signals))).await?)
}

fn reload_at_hangup(tls: Option<Arc<Acceptor>>) -> io::Result<()> {
    if let Some(tls) = tls {
        tokio::spawn(tls.reload_at(Hangups::new()?));
    }
    Ok(())
}

/// A runtime with so many threads, or one for each core.
fn runtime(threads: Option<usize>) -> io::Result<Runtime> {
    let cores = || thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.unwrap_or_else(cores);
    let mut builder = match threads {
        // Without threads to pass tasks to, a connection costs a sixth less (benches/README.md).
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build()
}

/// Waits for the first signal to stop. A second one ends the process at once.
async fn shutdown(mut signals: Signals) {
    let first = signals.recv().await;
    info!("{}: stopping; once more to stop at once", first.name);
    tokio::spawn(async move {
        let second = signals.recv().await;
        warn!("{}: stopped at once", second.name);
        process::exit(second.exit_code.into());
    });
}
