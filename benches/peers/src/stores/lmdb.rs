//! LMDB: a database of rows, one of ids, and one for each state. The length of a state's database
//! is the count of that state.
//!
//! A row is the text that a page shows, copied from the memory map. Sequence numbers have no gaps,
//! because nothing is deleted, so a page at an offset begins with a seek. New rows are appended,
//! which fills LMDB's pages. For its syncs, see `environment.rs`.

use std::path::Path;

use anyhow::{Context as _, Result};
use heed::byteorder::BigEndian;
use heed::types::{Bytes, Str, U64, Unit};
use heed::{CommitOrAbort, Database, Env, PutFlags, WithoutTls};
use jobstore::State;

use super::environment;
use crate::peer::{Engine, Peer, Write};
use crate::requests::Parts;
use crate::row::{self, Document};
use crate::store::{List, Store};

type Seq = U64<BigEndian>;

struct Lmdb {
    environment: Env<WithoutTls>,
    /// The rows by sequence number, which begins at 1.
    jobs: Database<'static, Seq, Bytes>,
    ids: Database<'static, Str, Seq>,
    /// The sequence numbers of the jobs in each state.
    states: [Database<'static, Seq, Unit>; 3],
}

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    let environment = environment::open(dir, 5)?;
    let transaction = environment.write_txn()?;
    let made = environment.create_databases_and_commit(transaction, |maker, transaction| {
        let jobs = maker.create_database::<Seq, Bytes>(transaction, Some("jobs"))?;
        let ids = maker.create_database::<Str, Seq>(transaction, Some("ids"))?;
        let pending = maker.create_database::<Seq, Unit>(transaction, Some("pending"))?;
        let running = maker.create_database::<Seq, Unit>(transaction, Some("running"))?;
        let complete = maker.create_database::<Seq, Unit>(transaction, Some("complete"))?;
        let made = (jobs, ids, [pending, running, complete]);
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(made))
    })?;
    let (jobs, ids, states) = made.commit().context("the databases were not made")?;
    Ok(Box::new(Peer::in_batches(Lmdb {
        environment,
        jobs,
        ids,
        states,
    })))
}

impl Engine for Lmdb {
    type Record = Vec<u8>;

    fn record(id: &str, state: State, request: &Parts) -> Result<Vec<u8>> {
        Ok(row::new(id, state, &request.to_json()))
    }

    fn commit(&self, writes: &[Write<Vec<u8>>]) -> Result<()> {
        let mut transaction = self.environment.write_txn()?;
        let mut seq = self.jobs.last(&transaction)?.map_or(0, |(last, _)| last);
        for write in writes {
            match write {
                Write::Submit(new) => {
                    for job in new {
                        seq += 1;
                        let (flags, row) = (PutFlags::APPEND, job.record.as_slice());
                        self.jobs
                            .put_with_flags(&mut transaction, flags, &seq, row)?;
                        self.ids.put(&mut transaction, &job.id, &seq)?;
                        self.states[job.state as usize].put(&mut transaction, &seq, &())?;
                    }
                }
                Write::Step(step) => {
                    let seq = self
                        .ids
                        .get(&transaction, &step.id)?
                        .context("unknown id")?;
                    let row = self.jobs.get(&transaction, &seq)?;
                    let row = row.context("an id without a row")?;
                    let next = row::with_state(row, step.from, step.to)?;
                    self.jobs.put(&mut transaction, &seq, &next)?;
                    self.states[step.from as usize].delete(&mut transaction, &seq)?;
                    self.states[step.to as usize].put(&mut transaction, &seq, &())?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        let transaction = self.environment.read_txn()?;
        let mut document = Document::new(out);
        match list.state {
            None => {
                let rows = self.jobs.range(&transaction, &(list.offset + 1..))?;
                for entry in rows.take(list.limit as usize) {
                    document.row(entry?.1);
                }
            }
            Some(state) => {
                let wanted = self.states[state as usize].iter(&transaction)?;
                let wanted = wanted.skip(list.offset as usize);
                for entry in wanted.take(list.limit as usize) {
                    let row = self.jobs.get(&transaction, &entry?.0)?;
                    document.row(row.context("a state without a row")?);
                }
            }
        }
        document.end();
        Ok(())
    }

    fn count(&self, state: State) -> Result<u64> {
        let transaction = self.environment.read_txn()?;
        Ok(self.states[state as usize].len(&transaction)?)
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        let transaction = self.environment.read_txn()?;
        let seq = self.ids.get(&transaction, id)?.context("unknown id")?;
        let row = self.jobs.get(&transaction, &seq)?;
        out.extend_from_slice(row.context("an id without a row")?);
        Ok(())
    }

    fn rest(&self) -> Result<()> {
        Ok(())
    }

    fn close(self) -> Result<()> {
        environment::close(self.environment);
        Ok(())
    }
}
