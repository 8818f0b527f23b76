//! `jobstore replica`: tests, inspects, restores, follows, takes over, and replaces a replica.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::BinaryBytes;
use jobstore::replica::{self, ProveError, Replica, ReplicaError, TakeOver};
use jobstore::{Error, JobQuery, JobStore, Options, Recovery};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::access;
use crate::confirm::is_agreed;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::store_args::StoreArgs;
use crate::when;

const AFTER_HELP: &str = "\
A URL is s3://BUCKET/PREFIX, or, with the log in etcd,
log=etcd://HOST:PORT,HOST:PORT/PREFIX,packs=s3://BUCKET/PREFIX
(etcds://... for TLS). If no URL is given, that of --replica or JOBSTORE_REPLICA
is used.

The endpoint, region, and credentials of S3 come from the environment:
AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_PROFILE. So do the user and the certificates of etcd:
ETCDCTL_USER, ETCDCTL_PASSWORD, ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY.

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

const PROBE_HELP: &str = "\
Works in a scratch location below the prefix, and removes what it creates there.

Examples:
  jobstore replica probe s3://bucket/jobs
  jobstore replica probe log=etcd://a:2379,b:2379,c:2379/jobs,packs=s3://bucket/jobs";

const STATUS_HELP: &str = "\
Exit code 1 means that the replica is empty, or that an error occurred.

Examples:
  jobstore replica status s3://bucket/jobs
  JOBSTORE_REPLICA=s3://bucket/jobs jobstore replica status --format json";

const RESTORE_HELP: &str = "\
An engine that uses the replica is not affected. To continue to write to the
restored store, promote it.

Examples:
  jobstore replica restore s3://bucket/jobs --data /var/tmp/jobs
  jobstore list --data /var/tmp/jobs";

const FOLLOW_HELP: &str = "\
The store stays locked until the command ends, and other commands cannot read
it in the meantime, because this command opens no control socket. To read from
a follower, use `jobstore serve --follow`.

Examples:
  jobstore replica follow s3://bucket/jobs --data /var/lib/standby/jobs";

const PROMOTE_HELP: &str = "\
Makes the directory the mirror of the replica. If the replica is empty, copies
the store in the directory to it.

Examples:
  jobstore replica promote s3://bucket/jobs --data /var/lib/standby/jobs
  jobstore replica promote s3://bucket/jobs --data /var/lib/standby/jobs --if-quiet 10";

const RESEED_HELP: &str = "\
Examples:
  jobstore replica status s3://bucket/jobs
  jobstore replica reseed s3://bucket/jobs --data /var/lib/engine/jobs
  jobstore replica reseed s3://bucket/jobs --data /var/lib/engine/jobs --yes";

const DETACH_HELP: &str = "\
The replica itself is not changed.

Examples:
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

/// The replica of an action.
#[derive(Args)]
struct Url {
    /// URL of the replica [default: --replica or JOBSTORE_REPLICA]
    url: Option<String>,
}

impl Url {
    fn of(&self, store_args: &StoreArgs) -> Result<String, Problem> {
        match (&self.url, store_args.replica_option()) {
            (Some(_), Some(_)) => Err(Problem::usage(
                "the URL of the replica was given twice",
                "omit --replica",
            )),
            (Some(url), None) => Ok(url.clone()),
            (None, _) => store_args.replica()?.ok_or_else(|| {
                Problem::usage(
                    "no replica was given",
                    "append the URL of the replica, or set JOBSTORE_REPLICA to it",
                )
            }),
        }
    }
}

#[derive(Subcommand)]
enum Action {
    /// Test whether a server can be used for a replica
    #[command(after_help = PROBE_HELP)]
    Probe {
        #[command(flatten)]
        url: Url,
    },
    /// Show what a replica contains, and which process claimed it last
    #[command(after_help = STATUS_HELP)]
    Status {
        #[command(flatten)]
        url: Url,
        /// Format of the output
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Restore the replica into the directory, for reading
    #[command(after_help = RESTORE_HELP)]
    Restore {
        #[command(flatten)]
        url: Url,
    },
    /// Keep the directory up to date with the replica until a signal arrives
    #[command(after_help = FOLLOW_HELP)]
    Follow {
        #[command(flatten)]
        url: Url,
    },
    /// Take over the replica, so that its previous engine can no longer write
    #[command(after_help = PROMOTE_HELP)]
    Promote {
        #[command(flatten)]
        url: Url,
        /// Do not take over if the log grows within this many seconds
        #[arg(long, value_name = "SECONDS")]
        if_quiet: Option<u64>,
    },
    /// Replace the contents of the replica with the store in the directory
    ///
    /// Use this for a replica that was lost or damaged, or to move a store to another prefix.
    /// Writes that are only in the replica are lost. First make sure that no engine uses it.
    #[command(after_help = RESEED_HELP)]
    Reseed {
        #[command(flatten)]
        url: Url,
        /// Do not ask for confirmation if events that are only in the replica would be lost
        #[arg(long)]
        yes: bool,
    },
    /// Stop using the replica, so that the store can be opened without it
    #[command(after_help = DETACH_HELP)]
    Detach,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let of = |url: &Url| url.of(store_args);
    match &arguments.action {
        Action::Probe { url } => probe(&of(url)?),
        Action::Status { url, format } => status(&of(url)?, *format),
        Action::Restore { url } => restore(store_args, &of(url)?),
        Action::Follow { url } => follow(store_args, &of(url)?),
        Action::Promote { url, if_quiet } => promote(store_args, &of(url)?, *if_quiet),
        Action::Reseed { url, yes } => reseed(store_args, &of(url)?, *yes),
        Action::Detach => detach(store_args),
    }
}

/// Connects to a replica.
pub(crate) fn connect(url: &str) -> Result<Arc<dyn Replica>, Problem> {
    let replica = replica::connect(url).map_err(|error| match error {
        ReplicaError::Refused { what } => Problem::usage(what, ""),
        error => Problem::failed(error.to_string(), ""),
    })?;
    match url.starts_with("etcd://") || url.starts_with("etcds://") {
        false => Ok(replica),
        true => Err(Problem::usage(
            format!(
                "invalid replica URL {}: etcd can keep only the log of a replica",
                replica.place()
            ),
            "use log=etcd://HOST:PORT/PREFIX,packs=s3://BUCKET/PREFIX",
        )),
    }
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
    let replica = connect(url)?;
    let opened = JobStore::options().replica(replica.clone()).follow(&dir);
    opened.map_err(|error| problem_of(&dir, &*replica, error))
}

/// Why a store with this replica could not be opened.
fn problem_of(dir: &Path, replica: &dyn Replica, error: Error) -> Problem {
    match error {
        Error::StoreMissing { .. } => Problem::failed(
            format!("the replica {} is empty", replica.place()),
            "check the URL; the replica is filled when an engine first opens its store with this URL",
        ),
        Error::ReplicaInUse { place, by, .. } => Problem::failed(
            format!("the replica {place} is in use by {by}"),
            "to take over anyway, omit --if-quiet",
        ),
        error => access::at_rest(dir, error),
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
        .take_over(take_over);
    let replica = connect(url)?;
    let opened = options.replica(replica.clone()).open(&dir);
    let store = opened.map_err(|error| problem_of(&dir, &*replica, error))?;
    let token = store.reign().unwrap_or_default();
    store.close()?;
    let done = match token {
        // The first claim: the replica was empty.
        1 => "copied the store to the replica",
        _ => "took over the replica",
    };
    output::note(&format!("{done}; fencing token {token}"));
    Ok(Verdict::Fine)
}

fn reseed(store_args: &StoreArgs, url: &str, yes: bool) -> Result<Verdict, Problem> {
    let dir = store_args.data()?;
    access::check_owner(&dir)?;
    let replica = connect(url)?;
    if !yes {
        if let Some(loss) = lost_by_reseed(&dir, &*replica)? {
            output::note(&loss);
            let how = "use --yes to replace the contents of the replica without confirmation";
            if !is_agreed("Replace the contents of the replica?", how)? {
                output::note("nothing was changed");
                return Ok(Verdict::Wrong);
            }
        }
    }
    let options = JobStore::options().reseed(true).replica(replica);
    let store = opened(&dir, options).map_err(|error| access::at_rest(&dir, error))?;
    let token = store.reign().unwrap_or_default();
    store.close()?;
    output::note(&format!(
        "copied the store to the replica; fencing token {token}"
    ));
    Ok(Verdict::Fine)
}

/// What the replica contains that the directory may lack.
fn lost_by_reseed(dir: &Path, replica: &dyn Replica) -> Result<Option<String>, Problem> {
    let local = last_lsn(dir).map_err(|error| access::at_rest(dir, error))?;
    let place = replica.place();
    let here = match local {
        0 => "the directory contains no graphs".to_owned(),
        lsn => format!("the directory ends at log sequence number {lsn}"),
    };
    match replica::status(replica, TIMEOUT) {
        Ok(None) => Ok(None),
        Ok(Some(status)) if status.last_lsn <= local => Ok(None),
        Ok(Some(status)) => Ok(Some(format!(
            "the replica {place} ends at log sequence number {}, but {here}; the later events \
             would be lost",
            status.last_lsn
        ))),
        Err(Error::ReplicaDamaged { what, .. }) => Ok(Some(format!(
            "the replica {place} is damaged ({what}), so it is unknown where it ends; {here}; \
             later events in the replica would be lost"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// The last log sequence number in the directory; 0 if there are no graphs.
fn last_lsn(dir: &Path) -> Result<u64, Error> {
    let store = JobStore::options().read_only(true).open(dir)?;
    let lsn = match store.graphs()?.first() {
        Some(graph) => graph.list(JobQuery::new().limit(1))?.as_of_lsn(),
        None => 0,
    };
    store.close()?;
    Ok(lsn)
}

fn detach(store_args: &StoreArgs) -> Result<Verdict, Problem> {
    if store_args.replica_option().is_some() {
        return Err(Problem::usage(
            "detach does not access the replica",
            "omit --replica",
        ));
    }
    let dir = store_args.data()?;
    access::check_owner(&dir)?;
    let (store, done) = match opened(&dir, JobStore::options()) {
        Ok(store) => (Ok(store), "the store had no replica"),
        Err(Error::ReplicaNeeded { .. }) => (
            opened(&dir, JobStore::options().detach_replica(true)),
            "the store no longer has a replica",
        ),
        Err(error) => (Err(error), ""),
    };
    let store = store.map_err(|error| access::at_rest(&dir, error))?;
    store.close()?;
    output::note(done);
    Ok(Verdict::Fine)
}

/// Opens the store in the directory. Only its own engine settles the jobs that were running.
fn opened(dir: &Path, options: Options) -> Result<JobStore, Error> {
    options.create(false).recovery(Recovery::Leave).open(dir)
}
