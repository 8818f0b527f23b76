//! "tasks": jobs stored in the way Meilisearch stores its tasks, on LMDB through heed.
//!
//! This is modeled after `queue/tasks.rs` of Meilisearch's index-scheduler. Tasks are rows of JSON
//! with a `u32` key, written and read by serde. For each status, the numbers of its tasks are a
//! roaring bitmap in a separate database, which is read and written as a whole. Each registration
//! is a separate transaction under LMDB's single writer. A page computes the union of the bitmaps,
//! selects a range by its first task and its limit, gets and parses each task, and writes views of
//! the tasks.
//!
//! This is simplified: there are no kinds, indexes, or dates (three to five more bitmaps per task),
//! and bodies are stored as raw text in the row. A database of ids is added, because Meilisearch
//! looks up its tasks by number. The bitmaps are written once per transaction, which matters only
//! for a transaction with many tasks. For LMDB's syncs, see `environment.rs`.

use std::borrow::Cow;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use heed::byteorder::BigEndian;
use heed::types::{SerdeJson, Str, U8, U32};
use heed::{BoxedError, BytesDecode, BytesEncode, CommitOrAbort, Database, Env};
use heed::{RoTxn, WithoutTls};
use jobstore::State;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::environment;
use crate::peer::{Engine, Peer, Write};
use crate::requests::Parts;
use crate::store::{List, Store};

type Uid = U32<BigEndian>;

struct Tasks {
    environment: Env<WithoutTls>,
    all: Database<'static, Uid, SerdeJson<Task>>,
    /// The bitmaps by the number of the status.
    status: Database<'static, U8, Bitmap>,
    ids: Database<'static, Str, Uid>,
}

#[derive(Serialize, Deserialize)]
struct Task {
    uid: u32,
    id: String,
    status: Status,
    request: Request,
    enqueued_at: u64,
    started_at: Option<u64>,
    finished_at: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Running,
    Complete,
}

#[derive(Clone, Serialize, Deserialize)]
struct Request {
    command: String,
    url: String,
    body: Box<RawValue>,
}

#[derive(Serialize)]
struct Page<'a> {
    jobs: Vec<View<'a>>,
    result: &'static str,
}

#[derive(Serialize)]
struct View<'a> {
    #[serde(rename = "jobId")]
    id: &'a str,
    status: Status,
    request: &'a Request,
}

enum Bitmap {}

impl BytesEncode<'_> for Bitmap {
    type EItem = RoaringBitmap;

    fn bytes_encode(bitmap: &RoaringBitmap) -> Result<Cow<'_, [u8]>, BoxedError> {
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut bytes)?;
        Ok(Cow::Owned(bytes))
    }
}

impl BytesDecode<'_> for Bitmap {
    type DItem = RoaringBitmap;

    fn bytes_decode(bytes: &[u8]) -> Result<RoaringBitmap, BoxedError> {
        Ok(RoaringBitmap::deserialize_unchecked_from(bytes)?)
    }
}

pub fn open(dir: &Path) -> Result<Box<dyn Store>> {
    let environment = environment::open(dir, 3)?;
    let transaction = environment.write_txn()?;
    let made = environment.create_databases_and_commit(transaction, |maker, transaction| {
        let all = maker.create_database::<Uid, SerdeJson<Task>>(transaction, Some("all-tasks"))?;
        let status = maker.create_database::<U8, Bitmap>(transaction, Some("status"))?;
        let ids = maker.create_database::<Str, Uid>(transaction, Some("ids"))?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit((all, status, ids)))
    })?;
    let (all, status, ids) = made.commit().context("the databases were not made")?;
    Ok(Box::new(Peer::one_by_one(Tasks {
        environment,
        all,
        status,
        ids,
    })))
}

impl From<State> for Status {
    fn from(state: State) -> Status {
        match state {
            State::Pending => Status::Pending,
            State::Running => Status::Running,
            State::Complete => Status::Complete,
        }
    }
}

impl Task {
    fn view(&self) -> View<'_> {
        View {
            id: &self.id,
            status: self.status,
            request: &self.request,
        }
    }
}

impl Tasks {
    fn bitmap(&self, transaction: &RoTxn<'_>, state: State) -> Result<RoaringBitmap> {
        let bitmap = self.status.get(transaction, &(state as u8))?;
        Ok(bitmap.unwrap_or_default())
    }

    fn task(&self, transaction: &RoTxn<'_>, uid: u32) -> Result<Task> {
        let task = self.all.get(transaction, &uid)?;
        task.context("a number without a task")
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}

impl Engine for Tasks {
    type Record = Request;

    fn record(_: &str, _: State, request: &Parts) -> Result<Request> {
        Ok(Request {
            command: request.command.to_owned(),
            url: request.url.to_owned(),
            body: RawValue::from_string(request.body.clone())?,
        })
    }

    fn commit(&self, writes: &[Write<Request>]) -> Result<()> {
        let mut transaction = self.environment.write_txn()?;
        // The bitmaps that change. Each is read and written once.
        let mut bitmaps = [None, None, None];
        for write in writes {
            match write {
                Write::Submit(new) => {
                    let last = self.all.remap_data_type::<heed::types::DecodeIgnore>();
                    let last = last.last(&transaction)?;
                    let next = last.map_or(0, |(last, ())| last + 1);
                    for (uid, job) in (next..).zip(new) {
                        let task = Task {
                            uid,
                            id: job.id.clone(),
                            status: job.state.into(),
                            request: job.record.clone(),
                            enqueued_at: now(),
                            started_at: None,
                            finished_at: None,
                        };
                        self.all.put(&mut transaction, &uid, &task)?;
                        self.ids.put(&mut transaction, &job.id, &uid)?;
                        let bitmap = match &mut bitmaps[job.state as usize] {
                            Some(bitmap) => bitmap,
                            empty => empty.insert(self.bitmap(&transaction, job.state)?),
                        };
                        bitmap.insert(uid);
                    }
                }
                Write::Step(step) => {
                    let uid = self
                        .ids
                        .get(&transaction, &step.id)?
                        .context("unknown id")?;
                    let mut task = self.task(&transaction, uid)?;
                    let (from, to) = (step.from, step.to);
                    let is_from = task.status == from.into();
                    ensure!(is_from, "a job that is not {from} cannot become {to}");
                    task.status = to.into();
                    match to {
                        State::Complete => task.finished_at = Some(now()),
                        _ => task.started_at = Some(now()),
                    }
                    self.all.put(&mut transaction, &uid, &task)?;
                    for (state, is_in) in [(from, false), (to, true)] {
                        let bitmap = match &mut bitmaps[state as usize] {
                            Some(bitmap) => bitmap,
                            empty => empty.insert(self.bitmap(&transaction, state)?),
                        };
                        match is_in {
                            true => bitmap.insert(uid),
                            false => bitmap.remove(uid),
                        };
                    }
                }
            }
        }
        for (state, bitmap) in bitmaps.iter().enumerate() {
            if let Some(bitmap) = bitmap {
                self.status.put(&mut transaction, &(state as u8), bitmap)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn page(&self, list: &List, out: &mut Vec<u8>) -> Result<()> {
        let transaction = self.environment.read_txn()?;
        let mut wanted = RoaringBitmap::new();
        for state in State::ALL {
            if list.state.is_none_or(|only| only == state) {
                wanted |= self.bitmap(&transaction, state)?;
            }
        }
        wanted.remove_smallest(list.offset);
        let tasks = wanted.into_iter().take(list.limit as usize);
        let tasks = tasks.map(|uid| self.task(&transaction, uid));
        let tasks = tasks.collect::<Result<Vec<_>>>()?;
        let page = Page {
            jobs: tasks.iter().map(Task::view).collect(),
            result: "success",
        };
        out.clear();
        Ok(serde_json::to_writer(out, &page)?)
    }

    fn count(&self, state: State) -> Result<u64> {
        let transaction = self.environment.read_txn()?;
        Ok(self.bitmap(&transaction, state)?.len())
    }

    fn job(&self, id: &str, out: &mut Vec<u8>) -> Result<()> {
        let transaction = self.environment.read_txn()?;
        let uid = self.ids.get(&transaction, id)?.context("unknown id")?;
        let task = self.task(&transaction, uid)?;
        Ok(serde_json::to_writer(out, &task.view())?)
    }

    fn rest(&self) -> Result<()> {
        Ok(())
    }

    fn close(self) -> Result<()> {
        environment::close(self.environment);
        Ok(())
    }
}
