//! Compares jobstore with its peers on the same work.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! This runs all measurements and prints Markdown. `-- --help` lists the options.
//!
//! # What is compared
//!
//! Each store is used as an expert in its engine would use it to be fast at this work. The comment
//! at the top of its file in `stores/` explains how, and how it syncs. All stores get the same
//! requests, from `benches/common/requests.rs`, and return the same JSON. To verify this, pages at
//! several offsets, pages by each state, and single jobs are compared byte for byte before anything
//! is measured. A difference ends the run. For this comparison, the peers are filled with the ids
//! that jobstore generated. Later, each store generates its own ids.
//!
//! Every write is synced before it is acknowledged. Concurrent callers share a transaction
//! (`batch.rs`), as they do in jobstore. A single caller commits on its own thread. Only "tasks"
//! commits each write separately, like the program after which it is modeled.
//!
//! The peers have some advantages: they do not check that a body is JSON, they store no times and
//! no outcomes (except for the times of "tasks"), they rely on a job being handled by one caller,
//! and they handle damage only as far as their engine does. sled has no snapshot for a page.
//!
//! # What is measured
//!
//! Everything is measured in one run. Each measurement is made on one store after the other, and
//! the order is rotated in every round. The figures are medians. First, the stores are opened as
//! they were left after they were filled. Then reads are measured, after a warm-up round, so that
//! the data is in memory. Then writes are measured on the filled stores, with requests that were
//! built in advance. Background work of a store (jobstore's packing, fjall's compaction) continues
//! during a measurement. The next measurement waits for it, so that it does not affect another
//! store. At the end, each store must count all the jobs that it acknowledged.
//!
//! Because the stores alternate, each finds the processor's caches full of the others' data. Pages
//! that would fit there are therefore slower than when one store is measured alone. If the stores
//! together are larger than the memory, random reads come from the disk.
//!
//! # Commits are synced
//!
//! This was observed on Linux 6.18 with ext4, in a trace of one caller that submits for half a
//! second:
//!
//! ```console
//! $ strace -f -yy -e trace=fsync,fdatasync,msync,sync_file_range,pwrite64,write,openat \
//!     -o trace jobstore-peers --quick --seconds 0.5 --only redb
//! ```
//!
//! | store | system calls on its file per submit |
//! |---|---|
//! | jobstore | a `pwrite64` and an `fdatasync` of the log |
//! | SQLite | an `fsync` of the WAL; the bundled build does not use `fdatasync` |
//! | redb | an `fdatasync` |
//! | LMDB, tasks | an `fdatasync`, then a `pwrite64` through a handle opened with `O_DSYNC` |
//! | fjall | a `write` and an `fdatasync` of the journal |
//! | sled | two `sync_file_range`, which do not flush the disk's cache, then our `fdatasync` |
//!
//! SQLite calls `fdatasync` if it is built with `LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC=1` in the
//! environment.

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

/// The largest page of jobstore.
const PAGE_JOBS_MAX: u64 = 100_000;

fn main() -> Result<()> {
    let Some(options) = Options::from_arguments()? else {
        return Ok(());
    };
    let directory = tempfile::Builder::new()
        .prefix("jobstore-peers-")
        .disable_cleanup(options.keep)
        .tempdir_in(&options.dir)
        .with_context(|| format!("cannot create a directory in {}", options.dir.display()))?;
    run(&options, directory.path())?;
    if options.keep {
        eprintln!("the stores are in {}", directory.path().display());
    }
    Ok(())
}

fn run(options: &Options, dir: &Path) -> Result<()> {
    let about = machine::describe(dir)?;
    let kinds = &options.kinds;
    // Pages at the beginning, the middle, and the end must differ.
    let page_jobs = PAGE_JOBS_MAX.min(options.jobs / 4);
    let filled = Filled::fill(kinds.clone(), dir, options.jobs)?;
    let opens = work::opens(&filled, options.rounds)?;
    let mut columns = Columns::open(&filled)?;
    eprintln!("comparing the results of the stores");
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
    eprintln!("the chart was written to {}", at.display());
    let megabytes = page_bytes as f64 / 1e6;
    println!(
        "{about}. {} jobs; a page of {page_jobs} is {megabytes:.1} MB of JSON; medians of {} \
         rounds; durable writes for {:?} each. {versions}.\n",
        options.jobs, options.rounds, options.time,
    );
    println!("Ratios to jobstore: above 1, jobstore is better by this factor.\n");
    println!("{}", table::ratios(kinds, &rows));
    println!("Measured values:\n");
    println!("{}", table::absolute(kinds, &rows));
    println!("In the rows that are marked with +, jobstore does more than the other stores:\n");
    print!("{}", table::more(&rows));
    Ok(())
}
