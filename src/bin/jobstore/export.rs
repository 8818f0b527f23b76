//! `jobstore export`: whole jobs as lines of JSON.
//!
//! Owns: where the lines go. Must not know: what is in them.
//! Promise: a file of that name holds all lines or is not there; nobody else may read it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::access;
use crate::filters::Filters;
use crate::output;
use crate::place::Place;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;

const AFTER_HELP: &str = "\
All jobs at one instant, oldest first, each with its outcome and times. `jobstore import`
is the inverse. Jobs whose secrets are left out are marked as redacted, and are not
worked on again where they are imported.

Examples:
  jobstore export movie.jsonl
  jobstore export | zstd > movie.jsonl.zst
  jobstore export --reveal-secrets move.jsonl
  jobstore export --outcome failed --finished-since 7d failed.jsonl";

/// Writes whole jobs as lines of JSON
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The file to make; - is standard output
    #[arg(value_name = "FILE|-", default_value = "-")]
    to: PathBuf,
    /// Writes the credentials that requests carry, too, where it says "******" otherwise:
    /// for a store that is to work on these jobs
    #[arg(long)]
    reveal_secrets: bool,
    #[command(flatten)]
    filters: Filters,
}

pub(crate) fn run(place: &Place, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(place)?;
    let graph = place.graph(&*access)?;
    let bar = match arguments.to == Path::new("-") && io::stdout().is_terminal() {
        true => Bar::none(),
        false => Bar::items("exporting"),
    };
    let mut jobs = 0;
    into(&arguments.to, |out| {
        let reveal = arguments.reveal_secrets;
        jobs = access.export(&graph, &arguments.filters, reveal, out, &mut |done, of| {
            bar.at(done, of)
        })?;
        Ok(())
    })?;
    drop(bar);
    access.close()?;
    output::note(&format!("exported {}", output::jobs(jobs)));
    Ok(Verdict::Fine)
}

/// Writes to standard output, or to a file that gets its name once it is whole.
fn into(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Problem>,
) -> Result<(), Problem> {
    if path == Path::new("-") {
        return write(&mut output::plain());
    }
    if path.exists() {
        return Err(Problem::usage(
            format!("{} is there already", path.display()),
            "name another file, or remove it",
        ));
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unfinished");
    let aside = PathBuf::from(aside);
    let failed = |e: &io::Error| Problem::file("write", path, e);
    let mut options = OpenOptions::new();
    let opened = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside);
    let mut out = BufWriter::new(opened.map_err(|e| failed(&e))?);
    let written = write(&mut out).and_then(|()| {
        out.flush()
            .and_then(|()| out.get_ref().sync_all())
            .and_then(|()| fs::rename(&aside, path))
            .map_err(|e| failed(&e))
    });
    if written.is_err() {
        fs::remove_file(&aside).ok();
    }
    written
}
