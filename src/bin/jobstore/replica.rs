//! `jobstore replica`: tests, inspects, restores, follows, takes over, and replaces a replica.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::BinaryBytes;
use jobstore::replica::{self, ProveError, Replica, ReplicaError, TakeOver};
use jobstore::{Error, JobStore, Options, Recovery};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::access;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::store_args::StoreArgs;
use crate::when;

const AFTER_HELP: &str = "\
A URL is s3://BUCKET/PREFIX, etcd://HOST:PORT,HOST:PORT/PREFIX, or
log=etcd://...,packs=s3://... The endpoint, region, and credentials of S3 come
from the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_PROFILE).

probe, status, restore, and follow do not affect an engine that uses the
replica. promote and reseed take over the replica, so that engine can no
longer write.

Examples:
  jobstore replica probe s3://bucket/jobs
  jobstore replica status s3://bucket/jobs
  jobstore replica restore s3://bucket/jobs --data /var/tmp/jobs
  jobstore replica follow s3://bucket/jobs --data /var/lib/standby/jobs
  jobstore replica promote s3://bucket/jobs --data /var/lib/standby/jobs
  jobstore replica reseed s3://bucket/jobs --data /var/lib/engine/jobs
  jobstore replica detach --data /var/lib/engine/jobs";

/// How long to wait for a server that does not respond.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Test, inspect, restore, follow, or take over a replica
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Action {
    /// Test whether a server can be used for a replica
    Probe {
        /// URL of the replica
        url: String,
    },
    /// Show what a replica contains, and which process claimed it last
    Status {
        /// URL of the replica
        url: String,
        /// Format of the output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Make the directory a copy of the replica, for reading
    Restore {
        /// URL of the replica
        url: String,
    },
    /// Keep the directory a copy of the replica until a signal arrives
    Follow {
        /// URL of the replica
        url: String,
    },
    /// Take over the replica, so that its previous engine can no longer write
    Promote {
        /// URL of the replica
        url: String,
        /// Do not take over if the log grows within this many seconds
        #[arg(long, value_name = "SECONDS")]
        if_quiet: Option<u64>,
    },
    /// Replace the contents of the replica with the store in the directory
    ///
    /// Use this for a replica that was lost or damaged. Writes that are only in the replica are
    /// lost. First make sure that no engine uses it.
    Reseed {
        /// URL of the replica
        url: String,
    },
    /// Stop using the replica, so that the store can be opened without it
    Detach,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    match &arguments.action {
        Action::Probe { url } => probe(url),
        Action::Status { url, format } => status(url, *format),
        Action::Restore { url } => restore(store_args, url),
        Action::Follow { url } => follow(store_args, url),
        Action::Promote { url, if_quiet } => promote(store_args, url, *if_quiet),
        Action::Reseed { url } => reseed(store_args, url),
        Action::Detach => detach(store_args),
    }
}

/// Connects to a replica.
pub(crate) fn connect(url: &str) -> Result<Arc<dyn Replica>, Problem> {
    replica::connect(url).map_err(|error| match error {
        ReplicaError::Refused { what } => Problem::usage(what, ""),
        error => Problem::failed(error.to_string(), ""),
    })
}

fn probe(url: &str) -> Result<Verdict, Problem> {
    let replica = connect(url)?;
    match replica::prove(&*replica) {
        Ok(()) => {
            output::note(&format!("{} can be used for a replica", replica.place()));
            Ok(Verdict::Fine)
        }
        Err(ProveError::Unfit { place, what }) => Err(Problem::failed(
            format!("{place} cannot be used for a replica: {what}"),
            "",
        )),
        Err(error) => Err(Problem::failed(
            format!("cannot complete the test: {error}"),
            "",
        )),
    }
}

fn status(url: &str, format: Format) -> Result<Verdict, Problem> {
    let replica = connect(url)?;
    let Some(found) = replica::status(&*replica, TIMEOUT)? else {
        output::note(&format!("{} is empty", replica.place()));
        return Ok(Verdict::Wrong);
    };
    let text = match format {
        Format::Json => json!({
            "place": replica.place(),
            "store": format!("{:032x}", found.store),
            "claimedBy": found.holder,
            "claimedAt": when::to_ms(found.held_since),
            "reign": found.reign,
            "lastChunk": found.last_chunk,
            "lastLsn": found.last_lsn,
            "chunks": found.chunks,
            "claims": found.claims,
            "blobs": found.blobs,
            "blobBytes": found.blob_bytes,
        })
        .to_string(),
        Format::Text => format!(
            "replica       {}\nstore         {:032x}\nclaimed by    {}, at {}\n\
             fencing token {}\nevents        {}\n\
             chunks        {} since the last checkpoint, {} claims\nblobs         {}, {}",
            replica.place(),
            found.store,
            found.holder,
            when::here(when::to_ms(found.held_since)),
            found.reign,
            output::grouped(found.last_lsn),
            output::grouped(found.chunks),
            output::grouped(found.claims),
            output::grouped(found.blobs),
            BinaryBytes(found.blob_bytes),
        ),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").map_err(|e| Problem::output(&e))?;
    Ok(Verdict::Fine)
}

/// Opens the directory as a follower.
pub(crate) fn followed(store_args: &StoreArgs, url: &str) -> Result<JobStore, Problem> {
    let dir = store_args.data()?;
    access::check_owner(&dir)?;
    let options = JobStore::options().replica(connect(url)?);
    options.follow(&dir).map_err(problem_of)
}

/// Why a store with a replica could not be opened.
fn problem_of(error: Error) -> Problem {
    match error {
        Error::StoreMissing { .. } => Problem::failed(
            "the replica is empty",
            "check the URL; the replica is filled when an engine first opens its store with this URL",
        ),
        Error::ReplicaInUse { .. } => {
            Problem::failed(error.to_string(), "to take over anyway, omit --if-quiet")
        }
        error => error.into(),
    }
}

fn restore(store_args: &StoreArgs, url: &str) -> Result<Verdict, Problem> {
    let store = followed(store_args, url)?;
    let jobs = store.stats_of(0)?.totals;
    store.close()?;
    let jobs = output::jobs(jobs.pending + jobs.running + jobs.complete);
    let dir = store_args.data()?;
    output::note(&format!("restored {jobs} to {}", dir.display()));
    Ok(Verdict::Fine)
}

fn follow(store_args: &StoreArgs, url: &str) -> Result<Verdict, Problem> {
    let failed = |e: std::io::Error| Problem::failed(format!("cannot wait for signals: {e}"), "");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (mut terminated, mut interrupted) = {
        let _entered = runtime.enter();
        let terminated = signal(SignalKind::terminate()).map_err(failed)?;
        (terminated, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    let store = followed(store_args, url)?;
    let dir = store_args.data()?;
    output::note(&format!(
        "following the replica in {}; stop with Ctrl-C",
        dir.display()
    ));
    runtime.block_on(async {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    });
    store.close()?;
    Ok(Verdict::Fine)
}

fn promote(store_args: &StoreArgs, url: &str, if_quiet: Option<u64>) -> Result<Verdict, Problem> {
    let dir = store_args.data()?;
    access::check_owner(&dir)?;
    let take_over = match if_quiet {
        Some(seconds) => TakeOver::IfQuiet(Duration::from_secs(seconds)),
        None => TakeOver::Now,
    };
    let options = JobStore::options()
        .create(false)
        .recovery(Recovery::Leave)
        .take_over(take_over)
        .replica(connect(url)?);
    let store = options.open(&dir).map_err(problem_of)?;
    let token = store.reign().unwrap_or_default();
    store.close()?;
    output::note(&format!("took over the replica; fencing token {token}"));
    Ok(Verdict::Fine)
}

fn reseed(store_args: &StoreArgs, url: &str) -> Result<Verdict, Problem> {
    let store = opened(
        store_args,
        JobStore::options().reseed(true).replica(connect(url)?),
    )?;
    let token = store.reign().unwrap_or_default();
    store.close()?;
    output::note(&format!(
        "copied the store to the replica; fencing token {token}"
    ));
    Ok(Verdict::Fine)
}

fn detach(store_args: &StoreArgs) -> Result<Verdict, Problem> {
    opened(store_args, JobStore::options().detach_replica(true))?.close()?;
    output::note("the store no longer has a replica");
    Ok(Verdict::Fine)
}

/// Opens the store in the directory. Only its own engine settles the jobs that were running.
fn opened(store_args: &StoreArgs, options: Options) -> Result<JobStore, Problem> {
    let dir = store_args.data()?;
    access::check_owner(&dir)?;
    Ok(options.create(false).recovery(Recovery::Leave).open(&dir)?)
}
