//! The benchmark: what a message costs echobeat, and what it costs its peers.
//!
//! `cargo bench -p echobeat-bench` measures everything, with `-- --quick` less exactly in some three
//! minutes, and with `-- --help` it says what else there is.
//!
//! Every server is a process of its own; echobeat has the flags that it has by default, and no log.
//! They are measured in turns, round after round, so that a machine which slows down slows them all
//! down. The load is a closed loop: a connection sends its next message when an echo has come back.
//! So latencies are those of a server under full load, and a server that stalls is sent less. A
//! round opens its own connections, and has closed them before their first heart beat: what heart
//! beats cost, the idle connections show.
//!
//! What counts is the CPU time that the server takes for a message, of all its threads and in the
//! kernel too: it depends least on the machine, and on what else runs there.
//!
//! - `args`: the command line
//! - `build`: the echobeat that is measured
//! - `cases`: the messages that are measured
//! - `machine`: cores, pinning, and what the report says of the machine
//! - `process`: CPU time and memory of a process
//! - `servers`: starting and stopping the servers
//! - `peers`, `uwebsockets`: the servers that echobeat is compared with
//! - `traffic`: the frames that are sent, and the bytes that must come back
//! - `echoes`: reads what comes back, and checks it
//! - `bridge`: from plain TCP to TLS and HTTP/2
//! - `client`: connecting and upgrading
//! - `json`: messages that compress
//! - `deflate`: compressed messages, beside the servers that compress, and what sessions keep
//! - `tls`: the servers that speak TLS, and nginx in front of one that does not
//! - `proxy`: the reverse proxy, beside nginx and HAProxy
//! - `api`: the same echobeat without its API and with it
//! - `fanout`, `topic`: messages to all subscribers of a topic
//! - `cluster`: the same, with subscribers on several nodes, over NATS
//! - `installed`: programs that are installed on the machine
//! - `load`, `opening`, `batches`, `idle`, `beats`: one measurement of one server each
//! - `rounds`: which server is measured when
//! - `results`: medians and ratios of the rounds
//! - `table`, `markdown`, `chart`: the report

#![allow(unreachable_pub, reason = "nobody reaches any of it from outside")]

mod api;
mod args;
mod batches;
mod beats;
mod bridge;
mod build;
mod cases;
mod chart;
mod client;
mod cluster;
mod deflate;
mod echoes;
mod fanout;
mod idle;
mod installed;
mod json;
mod load;
mod machine;
mod markdown;
mod opening;
mod peers;
mod process;
mod proxy;
mod results;
mod rounds;
mod servers;
mod table;
mod tls;
mod topic;
mod traffic;
mod uwebsockets;

use std::env;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::machine::Machine;
use crate::rounds::Bench;

/// What can go wrong, said in a sentence.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benchmarks too, to see that they run.
    if !env::args().any(|arg| arg == "--bench") {
        println!("`cargo bench -p echobeat-bench` measures");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let done = match args.command {
        Some(Command::Backend) => proxy::backend(),
        Some(Command::Serve { peer, threads }) => peers::serve(peer, threads),
        None => benchmark(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn benchmark(args: Args) -> Result<(), Failure> {
    // Cargo starts benchmarks in their package. Paths on the command line are the repository's.
    env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let bench = Bench {
        args,
        machine: Machine::new(),
        built: build::echobeat()?,
    };
    println!("{}\n{}\n", bench.machine.facts(), bench.args.timing());
    let mut results = bench.loads(cases::loads())?;
    print!("{}", table::loads(&results));
    let openings = bench.openings()?;
    print!("{}", table::openings(&openings));
    let links = bench.links(cases::links())?;
    print!("{}", table::links(&links));
    print!("{}", tls::report(&bench)?);
    print!("{}", deflate::report(&bench)?);
    print!("{}", api::report(&bench)?);
    print!("{}", fanout::report(&bench)?);
    print!("{}", cluster::report(&bench)?);
    print!("{}", table::idle(&bench.idle()?));
    print!("{}", table::beats(&bench.beats()?));
    print!("{}", proxy::report(&bench)?);
    let threads = cases::threads(bench.machine.cores());
    print!("{}", table::threads(&bench.loads(threads)?));
    results.extend(openings);
    print!("{}", table::summary(&results));
    if let Some(path) = &bench.args.chart {
        let written = fs::write(path, chart::draw(&results));
        written.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(())
}
