//! fjall: keyspaces for rows, ids, states, and counts, which are written in one batch.
//!
//! A commit is a batch with `PersistMode::SyncData`, which calls `fdatasync` on the journal before
//! the batch is applied. The block cache has 64 MiB. A row is the text that a page shows. Sequence
//! numbers have no gaps, because nothing is deleted, so a page at an offset begins with a seek.
//! fjall counts by reading, so the counts are stored as rows.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};
use jobstore::State;

use crate::batch::lock;
use crate::peer::{Engine, Peer, Write};
use crate::requests::Parts;
use crate::row::{self, Document};
use crate::store::{List, Store};

struct Fjall {
    db: Database,
    /// The rows by sequence number, which begins at 1.
    jobs: Keyspace,
    ids: Keyspace,
    /// Keys that consist of the state's number and the sequence number.
    states: Keyspace,
    counts: Keyspace,
    /// The last sequence number. The current writer locks it.
    last: Mutex<u64>,
}

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    let db = Database::builder(dir).cache_size(64 << 20).open()?;
    let keyspace = |name: &str| db.keyspace(name, KeyspaceCreateOptions::default);
    let jobs = keyspace("jobs")?;
    let last = match jobs.last_key_value() {
        Some(entry) => number(&entry.key()?)?,
        None => 0,
    };
    Ok(Box::new(Peer::in_batches(Fjall {
        ids: keyspace("ids")?,
        states: keyspace("states")?,
        counts: keyspace("counts")?,
        jobs,
        db,
        last: Mutex::new(last),
    })))
}

fn number(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(bytes.try_into()?))
}

fn state_key(state: State, seq: u64) -> [u8; 9] {
    let mut key = [state as u8; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

impl Engine for Fjall {
    type Record = Vec<u8>;

    fn record(id: &str, state: State, request: &Parts) -> Result<Vec<u8>> {
        Ok(row::new(id, state, &request.to_json()))
    }

    fn commit(&self, writes: &[Write<Vec<u8>>]) -> Result<()> {
        let mut last = lock(&self.last);
        let mut seq = *last;
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        let mut change = [0_u64; 3];
        for write in writes {
            match write {
                Write::Submit(new) => {
                    for job in new {
                        seq += 1;
                        batch.insert(&self.jobs, seq.to_be_bytes(), job.record.as_slice());
                        batch.insert(&self.ids, job.id.as_str(), seq.to_be_bytes());
                        batch.insert(&self.states, state_key(job.state, seq), []);
                        let count = &mut change[job.state as usize];
                        *count = count.wrapping_add(1);
                    }
                }
                Write::Step(step) => {
                    let key = self.ids.get(&step.id)?.context("unknown id")?;
                    let row = self.jobs.get(&key)?.context("an id without a row")?;
                    let next = row::with_state(&row, step.from, step.to)?;
                    let seq = number(&key)?;
                    batch.insert(&self.jobs, key, next);
                    batch.remove(&self.states, state_key(step.from, seq));
                    batch.insert(&self.states, state_key(step.to, seq), []);
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
                batch.insert(&self.counts, [state as u8], count.to_be_bytes());
            }
        }
        batch.commit()?;
        *last = seq;
        Ok(())
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        let snapshot = self.db.snapshot();
        let mut document = Document::new(out);
        match list.state {
            None => {
                let from = (list.offset + 1).to_be_bytes();
                let rows = snapshot.range(&self.jobs, from..);
                for entry in rows.take(list.limit as usize) {
                    document.row(&entry.value()?);
                }
            }
            Some(state) => {
                let wanted = snapshot.prefix(&self.states, [state as u8]);
                let wanted = wanted.skip(list.offset as usize);
                for entry in wanted.take(list.limit as usize) {
                    let row = snapshot.get(&self.jobs, &entry.key()?[1..])?;
                    document.row(&row.context("a state without a row")?);
                }
            }
        }
        document.end();
        Ok(())
    }

    fn count(&self, state: State) -> Result<u64> {
        let count = self.counts.get([state as u8])?;
        count.map_or(Ok(0), |count| number(&count))
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        let key = self.ids.get(id)?.context("unknown id")?;
        let row = self.jobs.get(key)?;
        out.extend_from_slice(&row.context("an id without a row")?);
        Ok(())
    }

    fn rest(&self) -> Result<()> {
        self.db.persist(PersistMode::SyncAll)?;
        while self.db.outstanding_flushes() > 0 || self.db.active_compactions() > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}
