//! redb: a table of rows, one of ids, and one for each state. The length of a state's table is the
//! count of that state.
//!
//! With `Durability::Immediate`, redb's default, a commit returns when its pages are synced. The
//! cache has 64 MiB. A row is the text that a page shows. Sequence numbers have no gaps, because
//! nothing is deleted, so a page at an offset begins with a seek.

use std::path::Path;

use anyhow::{Context as _, Result};
use jobstore::State;
use redb::{
    Builder, Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use crate::peer::{Engine, Peer, Write};
use crate::requests::Parts;
use crate::row::{self, Document};
use crate::store::{List, Store};

/// The rows by sequence number, which begins at 1.
const JOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("jobs");
const IDS: TableDefinition<'_, &str, u64> = TableDefinition::new("ids");
/// The sequence numbers of the jobs in each state.
const STATES: [TableDefinition<'_, u64, ()>; 3] = [
    TableDefinition::new("pending"),
    TableDefinition::new("running"),
    TableDefinition::new("complete"),
];

struct Redb(Database);

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    std::fs::create_dir_all(dir)?;
    let db = Builder::new()
        .set_cache_size(64 << 20)
        .create(dir.join("jobs.redb"))?;
    let write = db.begin_write()?;
    write.open_table(JOBS)?;
    write.open_table(IDS)?;
    for state in STATES {
        write.open_table(state)?;
    }
    write.commit()?;
    Ok(Box::new(Peer::in_batches(Redb(db))))
}

impl Engine for Redb {
    type Record = Vec<u8>;

    fn record(id: &str, state: State, request: &Parts) -> Result<Vec<u8>> {
        Ok(row::new(id, state, &request.to_json()))
    }

    fn commit(&self, writes: &[Write<Vec<u8>>]) -> Result<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut jobs = transaction.open_table(JOBS)?;
            let mut ids = transaction.open_table(IDS)?;
            let [pending, running, complete] = STATES;
            let mut states = [
                transaction.open_table(pending)?,
                transaction.open_table(running)?,
                transaction.open_table(complete)?,
            ];
            let mut seq = jobs.last()?.map_or(0, |(last, _)| last.value());
            for write in writes {
                match write {
                    Write::Submit(new) => {
                        for job in new {
                            seq += 1;
                            jobs.insert(seq, job.record.as_slice())?;
                            ids.insert(job.id.as_str(), seq)?;
                            states[job.state as usize].insert(seq, ())?;
                        }
                    }
                    Write::Step(step) => {
                        let seq = ids.get(step.id.as_str())?.context("unknown id")?.value();
                        let row = jobs.get(seq)?.context("an id without a row")?;
                        let next = row::with_state(row.value(), step.from, step.to)?;
                        drop(row);
                        jobs.insert(seq, next.as_slice())?;
                        states[step.from as usize].remove(seq)?;
                        states[step.to as usize].insert(seq, ())?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        let transaction = self.0.begin_read()?;
        let jobs = transaction.open_table(JOBS)?;
        let mut document = Document::new(out);
        match list.state {
            None => {
                for entry in jobs.range(list.offset + 1..)?.take(list.limit as usize) {
                    document.row(entry?.1.value());
                }
            }
            Some(state) => {
                let wanted = transaction.open_table(STATES[state as usize])?;
                let wanted = wanted.iter()?.skip(list.offset as usize);
                for entry in wanted.take(list.limit as usize) {
                    let row = jobs.get(entry?.0.value())?;
                    document.row(row.context("a state without a row")?.value());
                }
            }
        }
        document.end();
        Ok(())
    }

    fn count(&self, state: State) -> Result<u64> {
        let transaction = self.0.begin_read()?;
        Ok(transaction.open_table(STATES[state as usize])?.len()?)
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        let transaction = self.0.begin_read()?;
        let seq = transaction
            .open_table(IDS)?
            .get(id)?
            .context("unknown id")?;
        let row = transaction.open_table(JOBS)?.get(seq.value())?;
        out.extend_from_slice(row.context("an id without a row")?.value());
        Ok(())
    }

    fn rest(&self) -> Result<()> {
        Ok(())
    }

    fn close(self) -> Result<()> {
        Ok(self.0.close()?)
    }
}
