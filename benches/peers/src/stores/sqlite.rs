//! SQLite: one table, with an index on the state, and a row for the count of each state.
//!
//! SQLite uses a WAL with `synchronous=FULL`, which syncs the WAL at every commit. Checkpoints
//! occur at 64 MiB of WAL instead of 4 MiB. The page cache has 64 MiB, and reads use a memory map
//! up to SQLite's limit (2 GiB). Statements are prepared once, and a page copies the text of each
//! request from its row.
//!
//! A page by OFFSET reads and skips the rows before the page. A page by key begins after the last
//! row of the previous page, which a caller that walks the pages knows.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};
use jobstore::State;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::batch::lock;
use crate::peer::{Engine, Peer, Write};
use crate::requests::Parts;
use crate::row::{self, Document};
use crate::store::{List, Store};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS jobs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        state INTEGER NOT NULL,
        request TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
    CREATE TABLE IF NOT EXISTS counts (state INTEGER PRIMARY KEY, jobs INTEGER NOT NULL);
    INSERT OR IGNORE INTO counts VALUES (0, 0), (1, 0), (2, 0);
";
const BY_OFFSET: &str = "SELECT id, state, request FROM jobs ORDER BY seq LIMIT ?1 OFFSET ?2";
const BY_KEY: &str = "SELECT id, state, request FROM jobs WHERE seq > ?2 ORDER BY seq LIMIT ?1";
const BY_STATE: &str =
    "SELECT id, state, request FROM jobs WHERE state = ?3 ORDER BY seq LIMIT ?1 OFFSET ?2";

struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    list: &'static str,
}

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(Peer::in_batches(open_with(dir, BY_OFFSET)?)))
}

pub fn open_by_key(dir: &Path) -> Result<Box<dyn Store>> {
    Ok(Box::new(Peer::in_batches(open_with(dir, BY_KEY)?)))
}

fn open_with(dir: &Path, list: &'static str) -> Result<Sqlite> {
    std::fs::create_dir_all(dir)?;
    let writer = connect(dir)?;
    writer.execute_batch(TABLES)?;
    Ok(Sqlite {
        reader: Mutex::new(connect(dir)?),
        writer: Mutex::new(writer),
        list,
    })
}

fn connect(dir: &Path) -> Result<Connection> {
    let db = Connection::open(dir.join("jobs.sqlite"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", -64 * 1024)?;
    db.pragma_update(None, "mmap_size", 2_i64 << 30)?;
    db.pragma_update(None, "wal_autocheckpoint", (64 << 20) / 4096)?;
    Ok(db)
}

fn text(row: &rusqlite::Row<'_>, out: &mut Vec<u8>) -> Result<()> {
    let (id, state, request) = (row.get_ref(0)?, row.get_ref(1)?, row.get_ref(2)?);
    let state = State::ALL[state.as_i64()? as usize];
    row::push(id.as_bytes()?, state, request.as_bytes()?, out);
    Ok(())
}

impl Engine for Sqlite {
    type Record = String;

    fn record(_: &str, _: State, request: &Parts) -> Result<String> {
        Ok(request.to_json())
    }

    fn commit(&self, writes: &[Write<String>]) -> Result<()> {
        let mut db = lock(&self.writer);
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut change = [0_i64; 3];
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO jobs (id, state, request) VALUES (?1, ?2, ?3)")?;
            let mut update = transaction
                .prepare_cached("UPDATE jobs SET state = ?3 WHERE id = ?1 AND state = ?2")?;
            for write in writes {
                match write {
                    Write::Submit(jobs) => {
                        for job in jobs {
                            insert.execute(params![job.id, job.state as u8, job.record])?;
                            change[job.state as usize] += 1;
                        }
                    }
                    Write::Step(step) => {
                        let (from, to) = (step.from, step.to);
                        let steps = update.execute(params![step.id, from as u8, to as u8])?;
                        ensure!(steps == 1, "a job that is not {from} cannot become {to}");
                        change[from as usize] -= 1;
                        change[to as usize] += 1;
                    }
                }
            }
            let mut count = transaction
                .prepare_cached("UPDATE counts SET jobs = jobs + ?2 WHERE state = ?1")?;
            for (state, change) in change.into_iter().enumerate() {
                if change != 0 {
                    count.execute(params![state, change])?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        let db = lock(&self.reader);
        let mut document = Document::new(out);
        let mut statement = db.prepare_cached(list.state.map_or(self.list, |_| BY_STATE))?;
        let mut rows = match list.state {
            None => statement.query(params![list.limit, list.offset])?,
            Some(state) => statement.query(params![list.limit, list.offset, state as u8])?,
        };
        while let Some(row) = rows.next()? {
            text(row, document.next())?;
        }
        document.end();
        Ok(())
    }

    fn count(&self, state: State) -> Result<u64> {
        let db = lock(&self.reader);
        let mut count = db.prepare_cached("SELECT jobs FROM counts WHERE state = ?1")?;
        Ok(count.query_row([state as u8], |row| row.get(0))?)
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        let db = lock(&self.reader);
        let mut job = db.prepare_cached("SELECT id, state, request FROM jobs WHERE id = ?1")?;
        let mut rows = job.query([id])?;
        let row = rows.next()?;
        text(row.ok_or(rusqlite::Error::QueryReturnedNoRows)?, out)
    }

    fn rest(&self) -> Result<()> {
        let db = lock(&self.writer);
        let busy: i64 = db.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0))?;
        ensure!(busy == 0, "SQLite's WAL could not be carried over");
        Ok(())
    }

    fn close(self) -> Result<()> {
        for connection in [self.reader, self.writer] {
            let db = connection
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            db.close().map_err(|(_, error)| error)?;
        }
        Ok(())
    }
}
