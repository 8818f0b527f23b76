//! Kills, replaces, pauses, and disconnects processes whose store has a replica that they share,
//! delays their requests, and loses their directories.
//!
//! Guarantee: everything acknowledged is present after any of this, wherever the store is opened;
//! nothing is present that was not attempted, or that was refused because another process had taken
//! over the replica. Exits with status 1 if this is violated.
//!
//! The moments are random: a seed repeats the choices, but not the moments. After a failure, the
//! output, the store's directories, and the replica are kept, unless this process was its server.

#![forbid(unsafe_code)]

#[path = "../../../../common/fake_s3.rs"]
mod fake_s3;
mod kills;
mod network;
mod proxy;
mod takeovers;
mod trial;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use jobstore_trials::args::Args;
use jobstore_trials::child;

use crate::fake_s3::FakeS3;
use crate::network::Network;
use crate::takeovers::Fault;
use crate::trial::{Sum, Trial};

const USAGE: &str = "replicas [MODE N] [--seed S] [--url URL]

--kills N      kills the writer N times, and loses its directory or replaces it with an older copy
--depose N     lets another process take over the replica from the writer N times
--pause N      does the same while the writer is stopped, and then continues it
--delay N      does the same while requests of the writer are held back; they reach the server after
               the takeover
--partition N  does the same while the writer, in a network namespace, cannot reach the server, and
               then heals the partition
--url URL      keeps the replicas below this URL (features replica-s3, replica-etcd), and leaves them
               there; otherwise, they are in a directory. http://HOST:PORT/BUCKET/PREFIX is an S3
               server with the access key key-id and the secret key secret-key. --delay and
               --partition need such a URL, or the feature replica-s3: then they start a server";
const MODES: [&str; 5] = ["--kills", "--depose", "--pause", "--delay", "--partition"];
/// The number of kills, or of takeovers, of one store.
const ROUNDS_OF_A_STORE: u64 = 8;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(child::WORK) {
        // The children write to files, so they do not notice by themselves that the parent exits.
        let kill = Some(rustix::process::Signal::KILL);
        rustix::process::set_parent_process_death_signal(kill).ok();
    }
    if let Some(code) = child::be_child() {
        return code;
    }
    let mut args = Args::new(USAGE);
    let url = args.text("--url");
    let seed = args.number("--seed").unwrap_or(1);
    let given = MODES.map(|mode| args.number(mode).map(|rounds| (mode, rounds)));
    args.end();
    let (mode, rounds) = given
        .into_iter()
        .flatten()
        .next()
        .unwrap_or((MODES[0], 200));
    let fault = match mode {
        "--pause" => Fault::Pause,
        "--delay" => Fault::Delay,
        "--partition" => match Network::new() {
            Ok(network) => Fault::Partition(network),
            Err(why) => {
                println!("SKIPPED: partitions: {why}");
                return ExitCode::SUCCESS;
            }
        },
        _ => Fault::None,
    };
    let server = (fault.needs_server() && url.is_none()).then(FakeS3::start);
    let place = server.map(|server| format!("{}/jobs", server.url));
    let place = place.or_else(|| url.clone());
    let began = Instant::now();
    let mut sum = Sum::default();
    let mut done = 0;
    while done < rounds {
        let count = (rounds - done).min(ROUNDS_OF_A_STORE);
        let seed = seed + done / ROUNDS_OF_A_STORE;
        let mut trial = match Trial::new(seed, place.as_deref()) {
            Ok(trial) => trial,
            Err(e) => {
                println!("FAILED: cannot create a directory for a store: {e}");
                return ExitCode::FAILURE;
            }
        };
        let survived = match mode {
            "--kills" => kills::run(&mut trial, count, &mut sum),
            _ => takeovers::run(&mut trial, count, &fault, &mut sum),
        };
        sum.acknowledged += trial.acknowledged();
        if let Err(what) = survived {
            println!("FAILED: {what}");
            println!("{sum}");
            let url = url.map_or_else(String::new, |url| format!(" --url {url}"));
            println!("repeat: replicas {mode} {count} --seed {seed}{url}");
            println!("kept in {}", trial.keep().display());
            return ExitCode::FAILURE;
        }
        done += count;
    }
    if sum.acknowledged == 0 {
        println!("FAILED: no call was acknowledged, so nothing was checked; {sum}");
        return ExitCode::FAILURE;
    }
    let took = Duration::from_secs(began.elapsed().as_secs());
    println!("{sum}; seed {seed}; {took:?}");
    ExitCode::SUCCESS
}
