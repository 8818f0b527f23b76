//! The same work on jobstore and on its peers, compared.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! does all of it and prints Markdown; `-- --help` has the options.
//!
//! # What is compared
//!
//! Each store is written as somebody would who knows its engine and wants this work done
//! fast; the head of its file in `stores/` says how, and how it syncs. The same requests
//! go in, from `benches/common/requests.rs`, and the same JSON comes out: before anything
//! is measured, pages at several offsets, by each state, and single jobs are compared
//! byte for byte, and a difference ends the run. For that the peers are filled with the
//! ids that jobstore made; later each makes its own.
//!
//! Every write is synced before it is acknowledged. Callers that come together share a
//! transaction (`batch.rs`), as they do in jobstore; a single caller commits on its own
//! thread. Only "tasks" commits each write by itself, as what it is taken from does.
//!
//! In favour of the peers: they do not check that a body is JSON, keep no times and no
//! outcomes (but "tasks" its times), rely on a job being driven by one caller, and have no
//! answer to damage beyond their engine's own. sled has no snapshot for a page.
//!
//! # What is measured
//!
//! Everything in one run, each measurement on one store after the other, the order rotated
//! every round; medians. First the opening of the stores as the fill left them; then
//! reads, after a round that is not counted, so that what they read is in memory; then
//! writes, on the filled stores, with requests that were made before. What a store leaves
//! to be done in the background (jobstore's packing, fjall's compaction) goes on during a
//! measurement, and is waited for after it, so that it is on no other store's time. At the
//! end each store must count all the jobs that it acknowledged.
//!
//! As the stores take turns, each finds the processor's caches full of the others' data:
//! pages that would fit there are slower than when one store is measured alone. With so
//! many jobs that the stores together are larger than the memory, what is read at random
//! comes from the disk.
//!
//! # That commits are synced
//!
//! Seen on Linux 6.18 with ext4, in a trace of one caller's submits for half a second,
//!
//! ```console
//! $ strace -f -yy -e trace=fsync,fdatasync,msync,sync_file_range,pwrite64,write,openat \
//!     -o trace jobstore-peers --quick --seconds 0.5 --only redb
//! ```
//!
//! | store | for each submit, on its file |
//! |---|---|
//! | jobstore | a `pwrite64` and an `fdatasync` of the log |
//! | SQLite | an `fsync` of the WAL; as bundled it is built without `fdatasync` |
//! | redb | an `fdatasync` |
//! | LMDB, tasks | an `fdatasync`, then a `pwrite64` through a handle opened with `O_DSYNC` |
//! | fjall | a `write` and an `fdatasync` of the journal |
//! | sled | of its own two `sync_file_range`, which reach no disk's cache; then our `fdatasync` |
//!
//! SQLite can be built to call `fdatasync`, with `LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC=1` in
//! the environment.

mod batch;
mod chart;
mod columns;
mod fill;
mod ids;
mod machine;
mod measure;
mod options;
mod peer;
#[path = "../../common/requests.rs"]
mod requests;
mod row;
mod store;
mod stores;
mod table;
mod work;

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::columns::Columns;
use crate::fill::Filled;
use crate::options::Options;
use crate::work::Work;

/// jobstore's greatest page.
const PAGE_JOBS_MAX: u64 = 100_000;

fn main() -> Result<()> {
    let Some(options) = Options::from_arguments()? else {
        return Ok(());
    };
    let directory = tempfile::Builder::new()
        .prefix("jobstore-peers-")
        .disable_cleanup(options.keep)
        .tempdir_in(&options.dir)
        .with_context(|| format!("no directory can be made in {}", options.dir.display()))?;
    run(&options, directory.path())?;
    if options.keep {
        eprintln!("the stores are in {}", directory.path().display());
    }
    Ok(())
}

fn run(options: &Options, dir: &Path) -> Result<()> {
    let about = machine::describe(dir)?;
    let kinds = &options.kinds;
    // Pages at the beginning, the middle and the end have to be different ones.
    let page_jobs = PAGE_JOBS_MAX.min(options.jobs / 4);
    let filled = Filled::fill(kinds.clone(), dir, options.jobs)?;
    let opens = work::opens(&filled, options.rounds)?;
    let mut columns = Columns::open(&filled)?;
    eprintln!("comparing what the stores answer");
    let page_bytes = columns.compare(page_jobs)?;
    let work = Work::new(&mut columns, options.rounds, options.time, page_jobs);
    let mut rows = work.all()?;
    columns.close()?;
    rows.extend([opens, work::bytes(&filled)]);

    let versions = kinds.iter().filter(|kind| !kind.only_pages);
    let versions = versions
        .map(|kind| (kind.version)())
        .collect::<Result<Vec<_>>>()?;
    let versions = versions.join(", ");
    let about_jobs = format!("{} jobs. {about}.", options.jobs);
    let chart = chart::draw(kinds, &rows, &[&about_jobs, &versions]);
    let at = options
        .chart
        .clone()
        .unwrap_or_else(|| dir.join("chart.svg"));
    std::fs::write(&at, chart).with_context(|| format!("{} was not written", at.display()))?;
    eprintln!("the chart is at {}", at.display());
    let megabytes = page_bytes as f64 / 1e6;
    println!(
        "{about}. {} jobs; a page of {page_jobs} is {megabytes:.1} MB of JSON; medians of {} \
         rounds; durable writes for {:?} each. {versions}.\n",
        options.jobs, options.rounds, options.time,
    );
    println!("Next to jobstore: more than 1 is how many times better jobstore did.\n");
    println!("{}", table::ratios(kinds, &rows));
    println!("What was measured:\n");
    print!("{}", table::absolute(kinds, &rows));
    Ok(())
}
