//! The `echobeat` program: reads the command line, starts logging, and serves or proxies until a
//! signal stops it, or probes.

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind as Usage;
use echobeat::cli::{Cli, Output, Role};
use echobeat::platform::{self, Hangups, Signals};
use echobeat::probe::{Probe, Report, check_health};
use echobeat::{
    Acceptor, Endpoint, ProbeConfig, Proxy, ProxyConfig, Server, ServerConfig, StartError,
    UpgradePath, logging,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error, info, warn};

/// Time in which further stop signals count as the same request: supervisors signal both a process
/// and its group, and wrappers pass on a signal that the terminal has sent to both.
const SAME_REQUEST: Duration = Duration::from_millis(500);

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[global_allocator]
static ALLOCATOR: platform::allocator::Jemalloc = platform::allocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(all(feature = "jemalloc", target_os = "linux"))]
    let gives_back = platform::allocator::give_back_memory();
    platform::note_passed_sockets();
    let cli = Cli::read(env::args_os(), |name| env::var_os(name))
        .unwrap_or_else(|complaint| complaint.exit());
    let _last_lines = logging::FlushOnDrop;
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
    // Raised before flags are read, because defaults of some depend on the limit.
    platform::raise_open_file_limit();
    if let Some(shortage) = cli.shortage() {
        warn!("{shortage}");
    }
    let threads = cli.threads();
    let role = cli
        .into_role()
        .unwrap_or_else(|contradiction| contradiction.exit());
    match run(role, threads) {
        Ok(exit_code) => exit_code,
        Err(failure) => {
            error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role, threads: Option<usize>) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = runtime(threads)?;
    let done = runtime.block_on(take_role(role));
    // Threads that are still blocked, for example by a name server or a file, are not waited for.
    runtime.shutdown_background();
    done
}

async fn take_role(role: Role) -> Result<ExitCode, Box<dyn Error>> {
    let signals = Signals::new()?;
    match role {
        Role::Server(config) => serve(*config, signals, Hangups::new()?).await?,
        Role::Proxy(config) => proxy(*config, signals, Hangups::new()?).await?,
        Role::Probe(config, output) => return probe(config, output, signals).await,
        Role::Health(config) => {
            check_health(config).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Role::Document(text) => {
            io::stdout().write_all(&text)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    config: ServerConfig,
    mut signals: Signals,
    hangups: Hangups,
) -> Result<(), Box<dyn Error>> {
    debug!(?config, "starting");
    let path = config
        .paths
        .first()
        .map_or("/".to_owned(), UpgradePath::to_string);
    let Some(server) = bind(Server::bind(config), &mut signals).await? else {
        return Ok(());
    };
    tokio::spawn(reload(server.tls(), hangups));
    for endpoint in server.endpoints() {
        log_endpoint(endpoint, &path, None);
    }
    server.api_endpoints().iter().for_each(log_api_endpoint);
    // In a task, so that connections are accepted on a thread that serves them.
    Ok(tokio::spawn(server.serve(shutdown(signals))).await?)
}

async fn proxy(
    config: ProxyConfig,
    mut signals: Signals,
    hangups: Hangups,
) -> Result<(), Box<dyn Error>> {
    debug!(?config, "starting");
    let upstream = config.upstream.clone();
    let Some(proxy) = bind(Proxy::bind(config), &mut signals).await? else {
        return Ok(());
    };
    tokio::spawn(reload(proxy.tls(), hangups));
    for endpoint in proxy.endpoints() {
        log_endpoint(endpoint, "/", Some(&upstream));
    }
    proxy.api_endpoints().iter().for_each(log_api_endpoint);
    Ok(tokio::spawn(proxy.serve(shutdown(signals))).await?)
}

/// Probes, and prints the report: what is known so far, if a signal stops it.
async fn probe(
    config: ProbeConfig,
    output: Output,
    mut signals: Signals,
) -> Result<ExitCode, Box<dyn Error>> {
    let report = Report::new(&config, io::stderr().is_terminal());
    let probe = Probe::new(config)?;
    let stopped = tokio::select! {
        () = probe.run(&report) => None,
        signal = signals.recv() => Some(signal),
    };
    let text = match output.json {
        true => report.json(),
        false => report.table(),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(match stopped {
        Some(signal) => signal.exit_code.into(),
        None if report.is_good() => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

/// Waits until a server or a proxy listens, unless a signal stops it before.
async fn bind<T>(
    bound: impl Future<Output = Result<T, StartError>>,
    signals: &mut Signals,
) -> Result<Option<T>, StartError> {
    tokio::select! {
        bound = bound => bound.map(Some),
        signal = signals.recv() => {
            info!("{}: stopping before anything is listened on", signal.name);
            Ok(None)
        }
    }
}

fn log_endpoint(endpoint: &Endpoint, path: &str, upstream: Option<&dyn Display>) {
    let (websocket, http) = (endpoint.websocket_url(path), endpoint.http_url());
    let upstream = upstream.map(tracing::field::display);
    info!(address = %endpoint, websocket, http, upstream, "listening");
}

fn log_api_endpoint(endpoint: &Endpoint) {
    let http = endpoint.http_url();
    info!(address = %endpoint, http, "listening for the API");
}

/// Reads the certificate again at every SIGHUP, if there is one.
async fn reload(tls: Option<Arc<Acceptor>>, mut hangups: Hangups) {
    match tls {
        Some(tls) => tls.reload_at(hangups).await,
        None => loop {
            hangups.recv().await;
            info!("SIGHUP: ignored, for there is no certificate to read again");
        },
    }
}

/// A runtime with this many threads, or with one for each core.
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

/// Waits for the first request to stop. A second request ends the process at once.
async fn shutdown(mut signals: Signals) {
    let first = signals.recv().await;
    info!("{}: stopping; once more to stop at once", first.name);
    let by_then = Instant::now() + SAME_REQUEST;
    tokio::spawn(async move {
        while let Ok(again) = timeout_at(by_then, signals.recv()).await {
            debug!("{}: the same request", again.name);
        }
        let second = signals.recv().await;
        warn!("{}: stopped at once", second.name);
        logging::flush();
        process::exit(second.exit_code.into());
    });
}
