//! Checks whether an import would import at least one job.
//!
//! Reads lines up to the first job. If an import cannot record any job, because of its lines or the
//! graph's name, it fails before a store or a graph is created.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use jobstore::{Error, Graph, JobStore, OnBadLine};

use crate::access::{Import, MAX_REQUEST_BYTES};
use crate::problem::Problem;
use crate::store_args::GraphName;

/// The maximum number of bytes of bad lines that are skipped by this check. After that, the import
/// starts.
const SKIPPED_BYTES_MAX: usize = 16 << 20;
/// The longest line that this check reads. The import itself refuses a longer line.
const LINE_BYTES_MAX: u64 = MAX_REQUEST_BYTES + (2 << 20);

/// Lines whose beginning has been checked.
pub(crate) struct CheckedLines {
    /// All lines, including the checked ones.
    pub(crate) lines: Box<dyn Read + Send>,
    /// The first bad line, if bad lines are skipped and no line is a job.
    pub(crate) only_bad: Option<Problem>,
}

/// Imports the first lines into a store in memory. Returns an error if the import would stop before
/// its first job.
pub(crate) fn check(
    graph: &GraphName,
    lines: Box<dyn Read + Send>,
    how: Import,
) -> Result<CheckedLines, Problem> {
    let options = JobStore::options().max_request_bytes(MAX_REQUEST_BYTES);
    let store = options.in_memory()?;
    let scratch = store.create_graph(&graph.project, &graph.name)?;
    let (mut lines, mut read) = (BufReader::new(lines), Vec::new());
    let found = first_job(&scratch, &mut lines, &mut read, how);
    store.close()?;
    Ok(CheckedLines {
        only_bad: found?,
        lines: Box::new(Cursor::new(read).chain(lines)),
    })
}

/// Returns the first bad line if all lines are bad.
fn first_job(
    scratch: &Graph,
    lines: &mut impl BufRead,
    read: &mut Vec<u8>,
    how: Import,
) -> Result<Option<Problem>, Problem> {
    let (mut number, mut bad) = (0, None);
    while read.len() < SKIPPED_BYTES_MAX {
        let start = read.len();
        let bytes = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', read);
        if bytes.map_err(|e| unreadable(&e))? == 0 {
            return Ok(bad);
        }
        number += 1;
        match scratch.import(&read[start..], OnBadLine::Stop) {
            Ok(done) if done.imported > 0 => return Ok(None),
            Ok(_) => {}
            Err(Error::BadLine { problem, .. }) => {
                let error = Error::BadLine {
                    line: number,
                    problem,
                };
                match how.skip_bad {
                    true => drop(bad.get_or_insert_with(|| nothing_created(&error))),
                    false => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn nothing_created(error: &Error) -> Problem {
    Problem::failed(
        format!("{error}; no other line contains a valid job either"),
        "no graph was created",
    )
}

fn unreadable(error: &io::Error) -> Problem {
    Problem::failed(
        format!("cannot read the input: {error}"),
        "nothing was imported",
    )
}
