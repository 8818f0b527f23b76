//! `jobstore backup`: a copy of the store.
//!
//! Owns: what is said of it. Must not know: how a store is copied.
//! Promise: a copy that is said to be made is whole and durable.

use std::path::PathBuf;

use clap::Args;
use indicatif::BinaryBytes;

use crate::access;
use crate::output;
use crate::place::Place;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;

const AFTER_HELP: &str = "\
The engine keeps running. The copy is a closed store that shares no file with
this one, and takes its size.

With --link, files that are never written to again are shared by hard links if
both directories are on one file system. That takes little time and space, but
damage to such a file, or a chmod, is in both.

Examples:
  jobstore backup /backup/jobs-2026-11-24
  jobstore verify --data /backup/jobs-2026-11-24
  jobstore backup --link /var/lib/ges/jobs-before-upgrade";

/// Copies the store, also one that an engine works with
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The folder to make: it must not exist, or be empty
    to: PathBuf,
    /// Share files by hard links instead of copying them
    #[arg(long)]
    link: bool,
}

pub(crate) fn run(place: &Place, arguments: &Arguments) -> Result<Verdict, Problem> {
    // The engine that may do it stands in another folder.
    let to =
        std::path::absolute(&arguments.to).map_err(|e| Problem::file("find", &arguments.to, &e))?;
    let access = access::open(place)?;
    let bar = Bar::bytes("copying");
    let (bytes, shared) =
        access.backup(&to, arguments.link, &mut |done, of| bar.at(done, Some(of)))?;
    drop(bar);
    access.close()?;
    let shared = match shared {
        0 => String::new(),
        some => format!(", of which {} are shared with the store", BinaryBytes(some)),
    };
    output::note(&format!(
        "copied {1} to {0}{shared}",
        to.display(),
        BinaryBytes(bytes)
    ));
    Ok(Verdict::Fine)
}
