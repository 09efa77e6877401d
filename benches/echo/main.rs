//! The benchmark: what a message costs echobeat, and what it costs its peers.
//!
//! `cargo bench` measures everything, `cargo bench -- --quick` less exactly in under two minutes,
//! and `cargo bench -- --help` says what else there is.
//!
//! Every server is a process of its own, echobeat with the flags that it has by default. They are
//! measured in turns, round after round, so that a machine which slows down slows them all down.
//! The load is a closed loop: a connection sends its next message when an echo has come back. So
//! latencies are those of a server under full load, and a server that stalls is sent less.
//!
//! What counts is the CPU time that the server takes for a message, of all its threads and in the
//! kernel too: it depends least on the machine, and on what else runs there.
//!
//! - `args`: the command line
//! - `cases`: what is measured
//! - `machine`: cores, pinning, and what the report says of the machine
//! - `process`: CPU time and memory of a process
//! - `servers`: starting and stopping the servers
//! - `peers`: the servers that echobeat is compared with
//! - `traffic`: the frames that are sent, and the bytes that must come back
//! - `echoes`: reads what comes back, and checks it
//! - `client`: connecting and upgrading
//! - `load`: the generator, and one measured round
//! - `results`: medians and ratios of the rounds
//! - `table`: the report

mod args;
mod cases;
mod client;
mod echoes;
mod load;
mod machine;
mod peers;
mod process;
mod results;
mod servers;
mod table;
mod traffic;

use std::env;
use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::cases::Load;
use crate::machine::Machine;
use crate::results::CaseResults;
use crate::servers::{Contender, Running};
use crate::traffic::Traffic;

/// What can go wrong, said in a sentence.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    // `cargo test --all-targets` starts benchmarks too, to see that they run.
    if !env::args().any(|arg| arg == "--bench") {
        println!("`cargo bench` measures");
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    let done = match args.command {
        Some(Command::Serve { peer, threads }) => peers::serve(peer, threads),
        None => benchmark(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn benchmark(args: &Args) -> Result<(), Failure> {
    let machine = Machine::new();
    println!("{}\n{}\n", machine.facts(), args.timing());
    let loads = cases::loads()
        .into_iter()
        .filter(|load| args.wants(&load.name()));
    let mut results = Vec::new();
    for load in loads {
        results.push(measure_load(args, &machine, &load)?);
    }
    print!("{}", table::loads(&results));
    print!("{}", table::summary(&results));
    Ok(())
}

/// Measures a load on all servers, in turns.
fn measure_load(args: &Args, machine: &Machine, load: &Load) -> Result<CaseResults, Failure> {
    let servers = start_all(&args.contenders()?, machine, load.threads)?;
    let timing = args.timing();
    let mut results = CaseResults::new(load.clone(), &servers);
    for round in 0..timing.rounds {
        eprintln!("{}: round {} of {}", load.name(), round + 1, timing.rounds);
        for turn in 0..servers.len() {
            let index = (round + turn) % servers.len();
            let server = &servers[index];
            let traffic = Traffic::new(load, server.wire);
            let sample = machine
                .on_generator_core(load.threads, || {
                    load::round(server, load, &traffic, &timing)
                })
                .map_err(|failure| format!("{}, {}: {failure}", server.name, load.name()))?;
            results.add(index, sample);
        }
    }
    Ok(results)
}

fn start_all(
    contenders: &[Contender],
    machine: &Machine,
    threads: usize,
) -> Result<Vec<Running>, Failure> {
    let servers = contenders.iter().map(|contender| {
        machine
            .on_server_core(threads, || contender.start(threads))
            .map_err(|failure| format!("{} does not start: {failure}", contender.name).into())
    });
    servers.collect()
}
