//! `jobstore export`: writes whole jobs as lines of JSON.
//!
//! Writes to a file or to standard output. The file appears only when it is complete. It and its
//! temporary file are readable only by their owner.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::{Builder, NamedTempFile};

use crate::access;
use crate::filters::Selection;
use crate::output;
use crate::problem::{Problem, Verdict};
use crate::progress::Bar;
use crate::store_args::StoreArgs;

const AFTER_HELP: &str = "\
Writes all jobs as of one instant, oldest first, with their outcomes and
times. `jobstore import` reads this format. Jobs whose secrets are masked are
marked as masked; after an import, no recovery requeues them.

An engine can open the store during an export. If it replaces files that the
export has not read yet, the export fails and must be repeated. Therefore,
write to a file rather than to a slow reader.

Until the export is complete, the file is named FILE.*.unfinished and only you
can read it. If an export is killed, remove this file.

Examples:
  jobstore export movie.jsonl
  jobstore export | zstd > movie.jsonl.zst
  jobstore export --reveal-secrets movie.jsonl
  jobstore export --outcome failed --completed-from 7d failed.jsonl";

/// Write whole jobs as lines of JSON
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// File to create; - is standard output
    #[arg(value_name = "FILE|-", default_value = "-")]
    to: PathBuf,
    /// Include the credentials in requests instead of "******", for import into a store that will
    /// run these jobs
    #[arg(long)]
    reveal_secrets: bool,
    #[command(flatten)]
    jobs: Selection,
}

pub(crate) fn run(store_args: &StoreArgs, arguments: &Arguments) -> Result<Verdict, Problem> {
    let access = access::open(store_args)?;
    let graph = arguments.jobs.graph.choose(&*access)?;
    let bar = match arguments.to == Path::new("-") && io::stdout().is_terminal() {
        true => Bar::none(),
        false => Bar::items("exporting"),
    };
    let mut jobs = 0;
    into(&arguments.to, |out| {
        let reveal = arguments.reveal_secrets;
        jobs = access.export(
            &graph,
            &arguments.jobs.filters,
            reveal,
            out,
            &mut |done, of| bar.at(done, of),
        )?;
        Ok(())
    })?;
    drop(bar);
    access.close()?;
    output::note(&format!("exported {}", output::jobs(jobs)));
    Ok(Verdict::Fine)
}

/// Calls `write` with standard output, or with a file that is renamed into place when it is
/// complete.
fn into(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Problem>,
) -> Result<(), Problem> {
    if path == Path::new("-") {
        return write(&mut output::plain());
    }
    let there = || {
        Problem::usage(
            format!("{} already exists", path.display()),
            "choose another file, or remove this one",
        )
    };
    if fs::symlink_metadata(path).is_ok() {
        return Err(there());
    }
    let failed = |e: &io::Error| Problem::file("write", path, e);
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = parent.unwrap_or(Path::new("."));
    if let Some(store) = store_around(directory) {
        return Err(Problem::usage(
            format!(
                "{} is inside the directory of a store, {}",
                path.display(),
                store.display()
            ),
            "choose a file elsewhere: an engine may delete unknown files in the directory of its \
             store",
        ));
    }
    let mut file = ExportFile {
        file: unfinished(path, directory).map_err(|e| failed(&e))?,
        failure: None,
    };
    let mut out = BufWriter::new(&mut file);
    let written = write(&mut out).and_then(|()| out.flush().map_err(|e| failed(&e)));
    drop(out);
    if let Some(e) = file.failure {
        return Err(failed(&e));
    }
    written?;
    let file = file.file;
    file.as_file().sync_all().map_err(|e| failed(&e))?;
    file.persist_noclobber(path)
        .map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => there(),
            _ => failed(&e.error),
        })?;
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|e| failed(&e))
}

/// Returns the nearest store that contains this directory: the directory itself or one of its
/// ancestors.
fn store_around(directory: &Path) -> Option<PathBuf> {
    let directory = directory.canonicalize().ok()?;
    let store = directory
        .ancestors()
        .find(|above| above.join("STORE").is_file());
    store.map(Path::to_path_buf)
}

/// Creates a new file with an unpredictable name that only its owner can open (mode 0600).
fn unfinished(path: &Path, directory: &Path) -> io::Result<NamedTempFile> {
    let mut begin = path.file_name().unwrap_or_default().to_owned();
    begin.push(".");
    let mut builder = Builder::new();
    builder
        .prefix(&begin)
        .suffix(".unfinished")
        .tempfile_in(directory)
}

/// A file that keeps its first write error, because its caller learns only that writing failed.
struct ExportFile {
    file: NamedTempFile,
    failure: Option<io::Error>,
}

impl ExportFile {
    fn keep<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|e| {
            let kind = e.kind();
            // An interrupted write is retried.
            if kind != io::ErrorKind::Interrupted {
                self.failure.get_or_insert(e);
            }
            kind.into()
        })
    }
}

impl Write for ExportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let done = self.file.write(bytes);
        self.keep(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.file.flush();
        self.keep(done)
    }
}
