//! Opening a store: from files to an engine at work.
//!
//! Owns: the order in which a log is read, its index opened or made anew, and the
//! threads started. Must not know: folders, what callers do with it.
//! Promise: everything acknowledged is there again, or the open fails with an
//! error that names the file.

use std::io;
use std::sync::{Arc, Weak};

use crate::engine::backlog::Backlog;
use crate::engine::commit::{self, Committer};
use crate::engine::ending::Worker;
use crate::engine::files::{Files, gap, read_files};
use crate::engine::folder::{Look, StoreLock};
use crate::engine::graph_state::GraphCore;
use crate::engine::history::Opening;
use crate::engine::indexing::{self, Indexer, Known};
use crate::engine::lookup::ForeignIds;
use crate::engine::replay::{Problem, Replay};
use crate::engine::{Background, Engine, Graphs, Parts, Truth};
use crate::engine::{packing, recover};
use crate::error::{Error, Result};
use crate::index::folder::IndexFolder;
use crate::index::memory::MemoryIndex;
use crate::index::rows::{self, GraphRow, Head, ROWS_FORMAT};
use crate::index::runs::Runs;
use crate::index::{Fault, Index};
use crate::options::Options;
use crate::secrets::Keys;
use crate::storage::disk::Disk;
use crate::storage::disk::memory::Memory;
use crate::storage::event::NUMBER_MAX;
use crate::storage::identity::{self, IndexSeal, StoreId};
use crate::storage::log::Log;
use crate::storage::names;
use crate::storage::secret_keys;
use crate::storage::segment::Segment;
use crate::storage::spare::{Room, Spare};
use crate::sync::{channel, thread};

/// Makes a store in memory.
pub(crate) fn open_memory(options: Options) -> Result<Arc<Engine>> {
    open_disk(options, Arc::new(Memory::default()))
}

/// Opens a store on a disk in memory, with an index in memory that is always made
/// anew.
pub(crate) fn open_disk(options: Options, disk: Arc<dyn Disk>) -> Result<Arc<Engine>> {
    let anew = |_| -> Arc<dyn Index> { Arc::new(MemoryIndex::default()) };
    open(options, disk, None, IndexHome::Memory(&anew))
}

/// Where the index is.
pub(crate) enum IndexHome<'a> {
    Folder(IndexFolder),
    /// Elsewhere; called with whether it is to be made anew.
    Memory(&'a dyn Fn(bool) -> Arc<dyn Index>),
}

impl IndexHome<'_> {
    fn open(&self, anew: bool, seal: Option<&IndexSeal>) -> Result<Arc<dyn Index>> {
        match self {
            IndexHome::Folder(folder) => folder
                .open(anew, seal)
                .map_err(|e| Error::io("open", folder.path(), &e)),
            IndexHome::Memory(open) => Ok(open(anew)),
        }
    }

    /// To be called once the index was read, well or not.
    fn opened(&self) -> Result<()> {
        match self {
            IndexHome::Folder(folder) => folder
                .opened()
                .map_err(|e| Error::io("open", folder.path(), &e)),
            IndexHome::Memory(_) => Ok(()),
        }
    }
}

/// Opens a store whatever its disk, its lock and its index are.
pub(super) fn open(
    mut options: Options,
    disk: Arc<dyn Disk>,
    lock: Option<StoreLock>,
    home: IndexHome<'_>,
) -> Result<Arc<Engine>> {
    let store = match identity::read(&*disk)? {
        Some(store) => store,
        None => {
            let store = StoreId(u128::from_le_bytes(random(&*disk)?));
            identity::create(&*disk, store)?;
            store
        }
    };
    let recorded = secret_keys::read(&*disk, store)?.unwrap_or_default();
    options.secret_keys = options.named_secrets.over(&recorded);
    let files = read_files(&*disk, store)?;
    let change = Look::AndChange;
    let seal = files.closed.as_ref().and_then(|c| c.index.as_ref());
    let index = home.open(false, seal)?;
    let read = match read_log(&*disk, store, &files, &options, index, change) {
        Err(Problem::Index(fault)) => {
            tracing::warn!(fault = %fault.0, "the index does not fit the log");
            let index = home.open(true, None)?;
            read_log(&*disk, store, &files, &options, index, change)
        }
        read => read,
    };
    home.opened()?;
    let ReadLog {
        mut replay,
        mut truth,
        end,
        found,
    } = read.map_err(Problem::into_error)?;
    // From here on the folder changes. What a file replaces may go only once that
    // file's name is durable; then it goes first, for the room.
    disk.sync_names()
        .map_err(|e| Error::io("sync", disk.path(""), &e))?;
    for name in &files.useless {
        disk.remove(name)
            .map_err(|e| Error::io("remove", disk.path(name), &e))?;
    }
    if options.secret_keys.keys == Keys::Every {
        tracing::warn!("every key is secret until some are named: the record of them was damaged");
    }
    // Before anything is recorded that they hold for.
    if options.secret_keys != recorded {
        secret_keys::write(&*disk, store, &options.secret_keys)?;
    }
    let spare = Arc::new(Spare::new(files.next_epoch, options.segment_bytes));
    if let Err(error) = spare.make_reserve(&*disk) {
        tracing::warn!(%error, "there is no reserve for a full disk; it is tried again");
    }
    let mut log = begin_log(&disk, store, &spare, replay.next_lsn, (&truth, end))?;
    let time_ms = crate::clock::to_ms(options.clock.now());
    let known_ms = replay.known_ms();
    let opening_lsn = log.next_lsn();
    let settled = recover::settle(&mut replay, &mut log, &found, time_ms);
    let sealed = settled.map_err(Problem::into_error)?;
    for segment in sealed.into_iter().chain([log.active().clone()]) {
        if !truth
            .segments
            .iter()
            .any(|there| Arc::ptr_eq(there, &segment))
        {
            truth.segments.push(segment);
        }
    }
    let changed = replay.indexer.lacking(&replay.graphs);
    let dropped = replay.indexer.not_among(&replay.graphs);
    let backlog = Backlog::of_open(changed, dropped);
    let engine = Arc::new(Engine::new(Parts {
        options,
        store,
        opening: Opening {
            lsn: opening_lsn,
            boot: replay.boot,
            time_ms,
        },
        recovered: found,
        graphs: replay.graphs,
        committer: Committer::new(log, backlog),
        truth,
        ids: replay.ids,
        indexer: replay.indexer,
        index: replay.index,
        index_folder: match home {
            IndexHome::Folder(folder) => Some(folder),
            IndexHome::Memory(_) => None,
        },
        spare,
        lock,
        disk,
    }));
    engine.begin_ages(known_ms);
    start_threads(&engine).inspect_err(|_| {
        engine.close().ok();
    })?;
    Ok(engine)
}

/// Goes on behind the log that was read: in a fresh segment, or where there is no room
/// for one, in the last one. The mark of a clean close stays until it is clear that
/// the log can go on.
fn begin_log(
    disk: &Arc<dyn Disk>,
    store: StoreId,
    spare: &Arc<Spare>,
    next_lsn: u64,
    (truth, end): (&Truth, (u64, u64)),
) -> Result<Log> {
    let last = truth.segments.last();
    match spare.take(&**disk, 0, Room::Reserve) {
        Ok(prepared) => {
            identity::remove_closed(&**disk)?;
            if let Some(last) = last {
                last.seal(end.1);
            }
            Log::begin(disk.clone(), store, spare.clone(), prepared, next_lsn, end)
        }
        Err(refused @ Error::DiskFull { .. }) => {
            let Some(last) = last.cloned() else {
                return Err(refused);
            };
            let place = (next_lsn, end.1);
            match Log::resume(disk.clone(), store, spare.clone(), last, place)? {
                Some(log) => {
                    identity::remove_closed(&**disk)?;
                    Ok(log)
                }
                None => Err(refused),
            }
        }
        Err(error) => Err(error),
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>(disk: &dyn Disk) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        let e = io::Error::other(e.to_string());
        Error::io("draw random numbers for", disk.path(""), &e)
    })?;
    Ok(bytes)
}

/// What the log and the index make together.
pub(crate) struct ReadLog {
    replay: Replay,
    truth: Truth,
    /// Epoch and end of the last segment.
    end: (u64, u64),
    found: Vec<recover::Found>,
}

/// Reads the whole log, on top of what the index holds.
pub(crate) fn read_log(
    disk: &dyn Disk,
    store: StoreId,
    files: &Files,
    options: &Options,
    index: Arc<dyn Index>,
    look: Look,
) -> Result<ReadLog, Problem> {
    let closed = files.closed.as_ref().map(|closed| closed.end);
    let mut replay = load_index(index, store)?;
    replay.follow(options.on_replay.clone(), files.known_lsn());
    for pack in &files.packs {
        replay.pack(pack)?;
    }
    let mut end = (0, 0);
    let mut last = disk.path(names::STORE);
    for (n, segment) in files.segments.iter().enumerate() {
        let header = segment.header;
        if header.first_lsn != replay.next_lsn {
            return Err(gap(&segment.path, replay.next_lsn, header.first_lsn).into());
        }
        let known_end = match files.segments.get(n + 1).map(|next| next.header) {
            Some(next) if next.previous_epoch == header.epoch => Some(next.previous_end),
            Some(next) => {
                let missing = disk.path(&names::segment(next.previous_epoch));
                let what = "the segment is missing, though a later one is there";
                return Err(Error::damaged(missing, 0, what).into());
            }
            None => closed.filter(|c| c.epoch == header.epoch).map(|c| c.offset),
        };
        let end_at = read_segment(disk, &mut replay, segment, known_end, look)?;
        if n + 1 < files.segments.len() {
            segment.seal(end_at);
        }
        end = (header.epoch, end_at);
        last = segment.path.clone();
    }
    if let Some(closed) = closed {
        if closed.lsn >= replay.next_lsn && closed.epoch != end.0 {
            let missing = disk.path(&names::segment(closed.epoch));
            let what = "the segment that the log was closed with is missing";
            return Err(Error::damaged(missing, 0, what).into());
        }
        if closed.lsn != replay.next_lsn - 1 {
            let what = format!(
                "the log ends at log sequence number {}, but was closed at {}: \
                 a file of the log is missing or cut",
                replay.next_lsn - 1,
                closed.lsn
            );
            return Err(Error::damaged(last, 0, what).into());
        }
    }
    replay.check_whole(&last)?;
    replay.followed();
    let found = recover::find(&replay, options.recovery)?;
    let truth = Truth {
        packs: files.packs.clone(),
        segments: files.segments.clone(),
    };
    Ok(ReadLog {
        replay,
        truth,
        end,
        found,
    })
}

/// Takes in a segment and returns where it ends.
fn read_segment(
    disk: &dyn Disk,
    replay: &mut Replay,
    segment: &Arc<Segment>,
    known_end: Option<u64>,
    look: Look,
) -> Result<u64, Problem> {
    // What a later segment or a clean close speaks of was synced before.
    let is_synced = known_end.is_some();
    let bytes = segment.read_all()?;
    if !is_synced && look == Look::AndChange {
        segment.make_durable(disk, &bytes)?;
    }
    let scanned = segment.scan_events(&bytes, known_end, |lsn, event, end| {
        replay.segment_event(lsn, &event, segment, end)
    })?;
    segment.note_frames(scanned.frames);
    replay.next_lsn = scanned.next_lsn;
    Ok(scanned.end)
}

/// What the index holds, where all of it is sound.
pub(crate) fn load_index(index: Arc<dyn Index>, store: StoreId) -> Result<Replay, Problem> {
    let mut indexer = Indexer::new(store);
    let Some(value) = index.get(rows::HEAD)? else {
        // Rows without a head are left over from a crash at the very beginning.
        let mut empty = true;
        index.scan(&[], &mut |_, _| {
            empty = false;
            Ok(())
        })?;
        if !empty {
            return Err(Fault("it has rows but no head".to_owned()).into());
        }
        let ids = ForeignIds::new(Runs::default());
        return Ok(Replay::new(Graphs::default(), ids, indexer, index, 0));
    };
    let head: Head = rows::open_value(rows::HEAD, &value)
        .ok_or_else(|| Fault("its head is not valid".to_owned()))?;
    let is_possible = head.applied_lsn < NUMBER_MAX && head.boot < NUMBER_MAX;
    if head.rows_format != ROWS_FORMAT || head.store != store.0 || !is_possible {
        return Err(Fault("it is of another store or release".to_owned()).into());
    }
    let mut graphs = Graphs {
        created: head.graphs,
        ..Graphs::default()
    };
    let damaged = |what: &str| Fault(format!("a row of {what} is not valid"));
    index.scan(rows::GRAPHS, &mut |key, value| {
        let row: GraphRow = rows::open_value(key, value).ok_or_else(|| damaged("a graph"))?;
        let number = rows::parse_graph_key(key).ok_or_else(|| damaged("a graph"))?;
        indexer.name(key, Some(value));
        let names = (row.project.as_str(), row.name.as_str());
        let graph = GraphCore::new(number, names, (row.number, row.key), row.created_ms);
        graph.state.write().forgotten_lsn = row.forgotten_lsn;
        let graph = Arc::new(graph);
        let known = Known {
            graph: Arc::downgrade(&graph),
            forgotten_lsn: row.forgotten_lsn,
        };
        indexer.graphs.insert(number, known);
        graphs.insert(graph);
        Ok(())
    })?;
    index.scan(rows::STATUS, &mut |key, value| {
        let bytes = rows::open(key, value).ok_or_else(|| damaged("states"))?;
        let (number, chunk) = rows::parse_status_key(key).ok_or_else(|| damaged("states"))?;
        indexer.name(key, Some(value));
        // Rows of a graph that is being removed from the index may be left over.
        if let Some(graph) = graphs.by_number.get(&number) {
            let mut state = graph.state.write();
            let restored = state.status.restore(chunk, bytes).and_then(|(jobs, rest)| {
                let details = &mut state.details;
                details.restore(chunk, jobs, rest)
            });
            restored.ok_or_else(|| damaged("states"))?;
        }
        Ok(())
    })?;
    // The last process may have ended while somebody still read a dropped graph.
    index.scan(rows::DROPPED, &mut |key, _| {
        let number = rows::parse_dropped_key(key).ok_or_else(|| damaged("a dropped graph"))?;
        if !graphs.by_number.contains_key(&number) {
            indexer.dropped.push((number, Weak::new()));
        }
        Ok(())
    })?;
    index.scan(rows::RUNS, &mut |key, value| {
        indexer.name(key, Some(value));
        Ok(())
    })?;
    if !head.partial && (indexer.digest() != head.digest || graphs.created != head.graphs) {
        return Err(Fault("it is not whole".to_owned()).into());
    }
    indexer.applied_lsn = head.applied_lsn;
    indexer.time_ms = head.time_ms;
    let ids = ForeignIds::new(Runs::open(&*index)?);
    Ok(Replay::new(graphs, ids, indexer, index, head.boot))
}

fn start_threads(engine: &Arc<Engine>) -> Result<()> {
    let (call_packer, packer_calls) = channel::bounded(1);
    let (call_indexer, indexer_calls) = channel::bounded(1);
    // The first call packs what was sealed before this open.
    let spawn = |worker: Worker, work: Box<dyn FnOnce(&Engine) + Send>| {
        let running = engine.ending.start(worker);
        let engine: Weak<Engine> = Arc::downgrade(engine);
        let name = worker.name();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Dropped last: by then nothing of the engine is held.
                let _running = running;
                if let Some(engine) = engine.upgrade() {
                    work(&engine);
                }
            })
            .map(|thread| (worker, thread))
            .map_err(|e| Error::io("start a thread for", engine_path(name), &e))
    };
    let threads = vec![
        spawn(Worker::Committer, Box::new(commit::run))?,
        spawn(
            Worker::Packer,
            Box::new(move |engine| packing::run(engine, &packer_calls)),
        )?,
        spawn(
            Worker::Indexer,
            Box::new(move |engine| indexing::run(engine, &indexer_calls)),
        )?,
    ];
    engine.set_background(Background {
        packer: Some(call_packer),
        indexer: Some(call_indexer),
        threads,
    });
    Ok(())
}

fn engine_path(name: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(name)
}
