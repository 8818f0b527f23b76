//! Damages closed stores in a real directory, one case after another, and reads everything from
//! them.
//!
//! Contains the command line, the child processes that run the cases, and the final table.
//! Guarantee: no data is lost silently. Whatever happens to the files, each result is correct or an
//! error that names the file. There is never a wrong record, a shortened list, a panic, an abort, a
//! hang, or excessive memory use. Damage to the index only causes a rebuild.

mod alter;
mod base;
mod child;
mod original;
mod parent;
mod random;
mod tree;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
damage: damages closed stores and reads everything from them

  --cases N                number of cases (20000)
  --seconds N              start no more cases after this time
  --seed N                 seed of the cases (1)
  --only N                 run only this case, and print what it does
  --shard I/N              every N-th case, from the I-th (0/1)
  --jobs N                 concurrent child processes (2)
  --base DIR               keep the undamaged stores there, or reuse them
  --index-may-abort-once   accept an abort in the open of a damaged index, if the
                           next open returns everything (for panic = \"abort\")
";

type Failed = Box<dyn std::error::Error>;

pub struct Options {
    pub cases: u64,
    pub seconds: Option<u64>,
    pub seed: u64,
    pub only: Option<u64>,
    pub shard: (u64, u64),
    pub jobs: u64,
    pub base: Option<PathBuf>,
    pub index_may_abort_once: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("damage: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Failed> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options {
        cases: 20_000,
        seconds: None,
        seed: 1,
        only: None,
        shard: (0, 1),
        jobs: 2,
        base: None,
        index_may_abort_once: false,
    };
    while let Some(name) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{name} needs a value"))
        };
        match name.as_str() {
            "--cases" => options.cases = value()?.parse()?,
            "--seconds" => options.seconds = Some(value()?.parse()?),
            "--seed" => options.seed = value()?.parse()?,
            "--only" => options.only = Some(value()?.parse()?),
            "--jobs" => options.jobs = value()?.parse()?,
            "--base" => options.base = Some(value()?.into()),
            "--index-may-abort-once" => options.index_may_abort_once = true,
            "--shard" => {
                let text = value()?;
                let (i, n) = text.split_once('/').ok_or("--shard I/N")?;
                options.shard = (i.parse()?, n.parse()?);
            }
            "--child" => {
                let [base, work, seed, from, end, step, again] =
                    [(); 7].map(|()| arguments.next().unwrap_or_default());
                child::run(&child::Arguments {
                    base: base.into(),
                    work: work.into(),
                    seed: seed.parse()?,
                    from: from.parse()?,
                    end: end.parse()?,
                    step: step.parse()?,
                    again: again == "again",
                })?;
                return Ok(true);
            }
            "--help" => {
                print!("{HELP}");
                return Ok(true);
            }
            other => return Err(format!("unknown option {other}\n\n{HELP}").into()),
        }
    }
    parent::run(&options)
}
