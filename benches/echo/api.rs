//! The API where nobody asks it: what its records of all messages cost the same echobeat.

use crate::Failure;
use crate::bridge::Link;
use crate::cases;
use crate::rounds::Bench;
use crate::servers::{Contender, Program};
use crate::table;

/// Measures the cases that are asked for, without the API and with it, and writes the report on
/// them.
pub fn report(bench: &Bench) -> Result<String, Failure> {
    let echobeats = bench.args.echobeats(&bench.built).into_iter();
    let contenders: Vec<_> = echobeats
        .flat_map(|(name, path)| {
            let plain = Program::Echobeat(path.clone(), Link::Plain);
            [
                Contender::new(name, plain),
                Contender::new(
                    &format!("{name} --api"),
                    Program::WithFlags(path, &["--api"]),
                ),
            ]
        })
        .collect();
    let results = bench.loads_of(cases::api(), &contenders)?;
    Ok(table::beside(&results, "The API, where nobody asks it"))
}
