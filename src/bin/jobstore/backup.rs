//! `jobstore backup`: copies the store.
//!
//! A backup is reported as complete only when it is complete and durable.

use std::path::PathBuf;

use clap::Args;
use indicatif::BinaryBytes;

use crate::access;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::store_args::StoreArgs;

const AFTER_HELP: &str = "\
An engine can keep working on the store. The copy is a closed store that
shares no files with the original and needs as much disk space.

With --link, files that are never written again are shared through hard links,
if both directories are on the same file system. This takes little time and
space, but damage to such a file, or a change of its mode, affects both
stores.

Examples:
  jobstore backup /backup/jobs-2026-11-24
  jobstore verify --data /backup/jobs-2026-11-24
  jobstore backup --link /var/lib/ges/jobs-before-upgrade";

/// Copy the store, even while an engine uses it
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Directory to create; it must not exist or must be empty
    to: PathBuf,
    /// Share files through hard links instead of copying them
    #[arg(long)]
    link: bool,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    // The engine that makes the copy may have another working directory.
    let to = std::path::absolute(&arguments.to)
        .map_err(|e| Problem::file("resolve", &arguments.to, &e))?;
    let access = access::open(store_args)?;
    let bar = Bar::bytes("copying");
    let (bytes, shared) =
        access.backup(&to, arguments.link, &mut |done, of| bar.at(done, Some(of)))?;
    drop(bar);
    access.close()?;
    let shared = match shared {
        0 => String::new(),
        some => format!(" ({} of it shared with the store)", BinaryBytes(some)),
    };
    output::note(&format!(
        "copied {} to {}{shared}",
        BinaryBytes(bytes),
        to.display()
    ));
    Ok(Verdict::Fine)
}
