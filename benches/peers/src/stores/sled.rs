//! sled: one tree with a row for each job, id, and state, and the counts of the states.
//!
//! sled's `flush` writes its data to the disk with `sync_file_range`, which syncs neither the
//! disk's own cache nor the file's metadata. Each commit therefore also calls `fdatasync` on the
//! file, and on the files of large values, if there are any. The cache has 64 MiB, and sled's own
//! background flush is off. A row is the text that a page shows. Sequence numbers have no gaps,
//! because nothing is deleted, so a page at an offset begins with a seek. sled has no snapshots, so
//! a page does not show a single instant.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use jobstore::State;
use sled::{Batch, Db};

use crate::batch::lock;
use crate::peer::{Engine, Peer, Write};
use crate::requests::Parts;
use crate::row::{self, Document};
use crate::store::{List, Store};

/// Rows by sequence number, which begins at 1.
const JOBS: u8 = b'j';
const IDS: u8 = b'i';
/// Keys that consist of the state's number and the sequence number.
const STATES: u8 = b's';
const COUNTS: u8 = b'c';

struct Sled {
    db: Db,
    /// The database file, which sled has open as well.
    file: File,
    blobs: PathBuf,
    /// The last sequence number. The current writer locks it.
    last: Mutex<u64>,
}

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    let config = sled::Config::new().path(dir).cache_capacity(64 << 20);
    let db = config.flush_every_ms(None).open()?;
    let last = match db.scan_prefix([JOBS]).keys().next_back() {
        Some(key) => number(&key?[1..])?,
        None => 0,
    };
    Ok(Box::new(Peer::in_batches(Sled {
        db,
        file: File::open(dir.join("db"))?,
        blobs: dir.join("blobs"),
        last: Mutex::new(last),
    })))
}

fn number(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(bytes.try_into()?))
}

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(kind);
    key.extend_from_slice(rest);
    key
}

fn job_key(seq: u64) -> Vec<u8> {
    key(JOBS, &seq.to_be_bytes())
}

fn state_key(state: State, seq: u64) -> Vec<u8> {
    let mut key = key(STATES, &[state as u8]);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

impl Sled {
    fn sync(&self) -> Result<()> {
        self.db.flush()?;
        self.file.sync_data()?;
        for blob in std::fs::read_dir(&self.blobs)? {
            File::open(blob?.path())?.sync_data()?;
        }
        Ok(())
    }
}

impl Engine for Sled {
    type Record = Vec<u8>;

    fn record(id: &str, state: State, request: &Parts) -> Result<Vec<u8>> {
        Ok(row::new(id, state, &request.to_json()))
    }

    fn commit(&self, writes: &[Write<Vec<u8>>]) -> Result<()> {
        let mut last = lock(&self.last);
        let mut seq = *last;
        let mut batch = Batch::default();
        let mut change = [0_u64; 3];
        for write in writes {
            match write {
                Write::Submit(new) => {
                    for job in new {
                        seq += 1;
                        batch.insert(job_key(seq), job.record.as_slice());
                        batch.insert(key(IDS, job.id.as_bytes()), &seq.to_be_bytes());
                        batch.insert(state_key(job.state, seq), &[]);
                        let count = &mut change[job.state as usize];
                        *count = count.wrapping_add(1);
                    }
                }
                Write::Step(step) => {
                    let seq = self.db.get(key(IDS, step.id.as_bytes()))?;
                    let seq = number(&seq.context("unknown id")?)?;
                    let row = self.db.get(job_key(seq))?.context("an id without a row")?;
                    batch.insert(job_key(seq), row::with_state(&row, step.from, step.to)?);
                    batch.remove(state_key(step.from, seq));
                    batch.insert(state_key(step.to, seq), &[]);
                    for (state, by) in [(step.from, u64::MAX), (step.to, 1)] {
                        let count = &mut change[state as usize];
                        *count = count.wrapping_add(by);
                    }
                }
            }
        }
        for state in State::ALL {
            if change[state as usize] != 0 {
                let count = self.count(state)?.wrapping_add(change[state as usize]);
                batch.insert(key(COUNTS, &[state as u8]), &count.to_be_bytes());
            }
        }
        self.db.apply_batch(batch)?;
        self.sync()?;
        *last = seq;
        Ok(())
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        let mut document = Document::new(out);
        match list.state {
            None => {
                let rows = self.db.range(job_key(list.offset + 1)..[JOBS + 1].to_vec());
                for entry in rows.take(list.limit as usize) {
                    document.row(&entry?.1);
                }
            }
            Some(state) => {
                let wanted = self.db.scan_prefix(key(STATES, &[state as u8])).keys();
                let wanted = wanted.skip(list.offset as usize);
                for entry in wanted.take(list.limit as usize) {
                    let row = self.db.get(key(JOBS, &entry?[2..]))?;
                    document.row(&row.context("a state without a row")?);
                }
            }
        }
        document.end();
        Ok(())
    }

    fn count(&self, state: State) -> Result<u64> {
        let count = self.db.get(key(COUNTS, &[state as u8]))?;
        count.map_or(Ok(0), |count| number(&count))
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        let seq = self
            .db
            .get(key(IDS, id.as_bytes()))?
            .context("unknown id")?;
        let row = self.db.get(key(JOBS, &seq))?;
        out.extend_from_slice(&row.context("an id without a row")?);
        Ok(())
    }

    fn rest(&self) -> Result<()> {
        self.sync()
    }

    fn close(self) -> Result<()> {
        self.sync()
    }
}
