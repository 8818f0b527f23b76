//! The stores of a run, filled with the same jobs and closed.
//!
//! Contains [`Filled`], with the jobs and their states. However many jobs there are, only one batch
//! of them is in memory.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use jobstore::State;

use crate::machine::disk_bytes;
use crate::requests::{self, Seeded};
use crate::store::{Job, Kind};

/// The number of jobs added per batch.
const BATCH_JOBS: u64 = 10_000;
/// One in this many jobs stays pending, and the others are complete.
const PENDING_EVERY: u64 = 100;
/// The number of ids that are kept, to look up jobs.
const IDS_KEPT: u64 = 100_000;

/// The filled stores. jobstore comes first.
pub struct Filled {
    pub kinds: Vec<&'static Kind>,
    pub dir: PathBuf,
    pub jobs: u64,
    /// Some of the ids, from all over the list.
    pub ids: Vec<String>,
    /// The disk space of each kind of store. `None` for a kind that only reads another kind's
    /// store.
    pub bytes: Vec<Option<u64>>,
}

impl Filled {
    pub fn fill(kinds: Vec<&'static Kind>, dir: &Path, jobs: u64) -> Result<Filled> {
        let whole = kinds.iter().filter(|kind| !kind.only_pages);
        let stores = whole.map(|kind| Ok((*kind, (kind.open)(&dir.join(kind.key))?)));
        let stores = stores.collect::<Result<Vec<_>>>()?;
        let mut spent = vec![0.0; stores.len()];
        let (mut random, mut ids, mut filled) = (Seeded(7), Vec::new(), 0);
        let mut told = 0;
        while filled < jobs {
            let end = jobs.min(filled + BATCH_JOBS);
            let batch = (filled..end).map(|_| next_job(&mut random));
            let mut batch = batch.collect::<Vec<_>>();
            for ((kind, store), spent) in stores.iter().zip(&mut spent) {
                let start = Instant::now();
                store.fill(&mut batch).context(kind.name)?;
                *spent += start.elapsed().as_secs_f64();
            }
            let every = jobs.div_ceil(IDS_KEPT);
            let kept = (filled..).zip(&batch).filter(|(seq, _)| seq % every == 0);
            ids.extend(kept.map(|(_, job)| job.id.clone()));
            filled = end;
            if filled * 10 / jobs > told {
                told = filled * 10 / jobs;
                eprintln!("{filled} jobs added");
            }
        }
        for ((kind, store), spent) in stores.into_iter().zip(spent) {
            let start = Instant::now();
            store.rest().context(kind.name)?;
            store.close().context(kind.name)?;
            let rest = start.elapsed().as_secs_f64();
            eprintln!(
                "{}: filled in {spent:.1} s, idle after {rest:.1} s",
                kind.name
            );
        }
        let bytes = kinds.iter().map(|kind| match kind.only_pages {
            true => Ok(None),
            false => disk_bytes(&dir.join(kind.key)).map(Some),
        });
        Ok(Filled {
            bytes: bytes.collect::<Result<_>>()?,
            kinds,
            dir: dir.to_owned(),
            jobs,
            ids,
        })
    }
}

fn next_job(random: &mut Seeded) -> Job {
    Job {
        id: String::new(),
        state: match random.below(PENDING_EVERY) {
            0 => State::Pending,
            _ => State::Complete,
        },
        request: requests::next(random),
    }
}
