//! Opening a store: from files to an engine at work.
//!
//! Owns: the order in which a log is read, its index opened or made anew, and the
//! threads started. Must not know: folders, what callers do with it.
//! Promise: everything acknowledged is there again, or the open fails with an
//! error that names the file.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};

use crate::base::codec::NUMBER_MAX;
use crate::base::sync::time::Instant;
use crate::base::sync::{channel, thread};
use crate::engine::commit;
use crate::engine::core::{Background, Engine, Parts};
use crate::engine::files::{Files, gap, read_files};
use crate::engine::indexing;
use crate::engine::replay::{Problem, Replay};
use crate::engine::state::backlog::Backlog;
use crate::engine::state::catalog::Graphs;
use crate::engine::state::committer::Committer;
use crate::engine::state::external_ids::ForeignIds;
use crate::engine::state::graph::GraphCore;
use crate::engine::state::indexer::{Indexer, Known, NAMED_KEY_BYTES_MAX};
use crate::engine::state::log_files::Truth;
use crate::engine::state::recovered::Found;
use crate::engine::state::retention::ages::AgeClock;
use crate::engine::state::status;
use crate::engine::state::store_lock::StoreLock;
use crate::engine::state::workers::Worker;
use crate::engine::{epochs, packing, recover};
use crate::index::folder::IndexFolder;
use crate::index::memory::MemoryIndex;
use crate::index::rows::{self, GraphRow, Head, ROWS_FORMAT};
use crate::index::sorted_runs::Runs;
use crate::index::{Fault, Index};
use crate::log::disk::memory::Memory;
use crate::log::disk::{self, Disk, File as _};
use crate::log::file_names;
use crate::log::identity::{self, IndexSeal};
use crate::log::preallocation::{Room, Spare};
use crate::log::secret_keys;
use crate::log::segment::Segment;
use crate::log::writer::{Log, Resume};
use crate::model::error::{Error, Result};
use crate::model::options::{Options, Recovery};
use crate::model::secrets::Keys;
use crate::model::states::States;
use crate::model::store_id::StoreId;
use crate::model::token::Opening;

/// Whether what is looked at may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Only,
    AndChange,
}

/// What an open zeroes at most behind the log's end rather than begin a fresh segment.
const ZEROS_MAX: u64 = 1 << 20;

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

/// What was read of the log, and why its index is in memory, if it is.
type ReadOn = (Result<ReadLog, Problem>, Option<Arc<str>>);

/// An index may have so many bytes, and twice those of the log.
const INDEX_BYTES_FREE: u64 = 32 << 20;

/// Where the index is.
pub(crate) enum IndexHome<'a> {
    Folder(IndexFolder),
    /// Elsewhere; called with whether it is to be made anew.
    Memory(&'a dyn Fn(bool) -> Arc<dyn Index>),
}

impl IndexHome<'_> {
    /// Opens the index and reads the log on top of it; rebuilds the index if it does not
    /// fit, or as asked; and keeps it in memory if there is no room for it on disk: says why.
    fn read(
        &self,
        mut rebuild: bool,
        seal: Option<&IndexSeal>,
        read: &dyn Fn(Arc<dyn Index>) -> Result<ReadLog, Problem>,
    ) -> Result<ReadOn> {
        let in_memory = |why: String| {
            tracing::warn!(
                why,
                "not enough disk space for the index; keeping it in memory"
            );
            if let IndexHome::Folder(folder) = self {
                if let Err(error) = folder.discard() {
                    tracing::warn!(%error, "cannot remove the index");
                }
            }
            let index = Arc::new(MemoryIndex::default());
            Ok((read(index), Some(why.into())))
        };
        if !self.has_room() {
            return in_memory("the disk is nearly full".to_owned());
        }
        loop {
            let index = match self.open(rebuild, seal.filter(|_| !rebuild)) {
                Err(error) if disk::is_full(&error) || !self.has_room() => {
                    return in_memory(error.to_string());
                }
                index => index?,
            };
            match read(index) {
                Err(Problem::Index(fault)) if !rebuild => {
                    tracing::warn!(fault = %fault.0, "the index does not match the log");
                    rebuild = true;
                }
                Err(Problem::Index(fault)) => return in_memory(fault.0),
                read => {
                    self.opened()?;
                    return Ok((read, None));
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        match self {
            IndexHome::Folder(folder) => folder.has_room(),
            IndexHome::Memory(_) => true,
        }
    }

    fn open(&self, anew: bool, seal: Option<&IndexSeal>) -> Result<Arc<dyn Index>> {
        match self {
            IndexHome::Folder(folder) => folder
                .open(anew, seal)
                .map_err(|e| Error::io("open", folder.path(), &e)),
            IndexHome::Memory(open) => Ok(open(anew)),
        }
    }

    /// Whether its files have grown far beyond what an index of this log needs: its engine
    /// keeps garbage for a while, and a rebuilt index has none.
    fn is_overgrown(&self, files: &Files) -> bool {
        let IndexHome::Folder(folder) = self else {
            return false;
        };
        let bound = INDEX_BYTES_FREE + 2 * files.bytes();
        let overgrown = folder.bytes().is_ok_and(|bytes| bytes > bound);
        if overgrown {
            tracing::info!(bound, "the index exceeds its maximum size; rebuilding it");
        }
        overgrown
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
pub(crate) fn open(
    options: Options,
    disk: Arc<dyn Disk>,
    lock: Option<StoreLock>,
    home: IndexHome<'_>,
) -> Result<Arc<Engine>> {
    let engine = assemble(options, disk, lock, home)?;
    start_threads(&engine).inspect_err(|_| {
        engine.close().ok();
    })?;
    Ok(engine)
}

/// Reads a store and makes an engine of it, without threads.
pub(crate) fn assemble(
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
    let read = |index| read_log(&*disk, store, &files, &options, index, change);
    let (read, index_in_memory) = home.read(home.is_overgrown(&files), seal, &read)?;
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
        match disk.remove(name) {
            // Not the store's, whatever its name.
            Err(e) if disk::is_directory(&e) => {}
            removed => removed.map_err(|e| Error::io("remove", disk.path(name), &e))?,
        }
    }
    if options.secret_keys.keys == Keys::Every {
        tracing::warn!(
            "the record of the secret keys was corrupt, so every value is masked; set \
             the secret keys again"
        );
    }
    let spare = Arc::new(Spare::new(files.next_epoch, options.segment_bytes));
    // Before anything is recorded that they hold for.
    if options.secret_keys != recorded {
        secret_keys::write_in((&*disk, &*spare), store, &options.secret_keys)?;
    }
    for segment in &truth.segments {
        spare.note_to_pack(segment.header.epoch, segment.file.len().unwrap_or(0));
    }
    let can_resume = |last: &Arc<Segment>| Log::can_resume(last, end.at);
    let needs_reserve = !truth.segments.last().is_some_and(can_resume);
    if let Err(error) = spare.make_reserves(&*disk, needs_reserve) {
        tracing::warn!(%error, "cannot preallocate the reserve for a full disk; retrying later");
    }
    let mut log = begin_log(&disk, store, &spare, replay.next_lsn, (&truth, &end))?;
    let time_ms = crate::base::clock::to_ms(options.clock.now());
    let clock = AgeClock::begin((replay.clock, replay.gaps.clone()), Instant::now(), time_ms);
    let opening_lsn = log.next_lsn();
    let settled = recover::settle(&mut replay, &mut log, &found, clock.mark());
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
        read_only: false,
        store,
        opening: Opening {
            lsn: opening_lsn,
            boot: replay.boot,
            time_ms,
        },
        clock,
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
        index_in_memory,
        spare,
        lock,
        disk,
    }));
    engine.begin_retention();
    engine.note_fixed_files();
    Ok(engine)
}

/// Opens a store to be read as it is: nothing is written, not even what is recovered. The
/// index is in memory: `sealed` brings that of a clean close, if it can be used; otherwise it
/// is rebuilt from the log.
pub(crate) fn open_read_only(
    mut options: Options,
    disk: Arc<dyn Disk>,
    sealed: impl FnOnce(&IndexSeal) -> Option<Arc<dyn Index>>,
) -> Result<Arc<Engine>> {
    options.recovery = Recovery::Leave;
    let store = identity::read(&*disk)?.ok_or_else(|| Error::StoreMissing {
        path: disk.path(""),
    })?;
    let recorded = secret_keys::read(&*disk, store)?.unwrap_or_default();
    options.secret_keys = options.named_secrets.over(&recorded);
    let files = read_files(&*disk, store)?;
    let seal = files.closed.as_ref().and_then(|c| c.index.as_ref());
    let read = |index| read_log(&*disk, store, &files, &options, index, Look::Only);
    let rebuilt = || read(Arc::new(MemoryIndex::default()));
    let read = match seal.and_then(sealed) {
        Some(index) => match read(index) {
            Err(Problem::Index(_)) => rebuilt(),
            read => read,
        },
        None => rebuilt(),
    };
    let ReadLog {
        replay, truth, end, ..
    } = read.map_err(Problem::into_error)?;
    if let Some(last) = truth.segments.last() {
        last.seal(end.at);
    }
    let log = Log::detached(store, replay.next_lsn)?;
    let now_ms = crate::base::clock::to_ms(options.clock.now());
    let clock = AgeClock::begin((replay.clock, replay.gaps.clone()), Instant::now(), now_ms);
    // An index that is whole leaves nothing to be replayed.
    let opening = match replay.opening {
        None => epochs::last_opening(&truth.packs)?,
        opening => opening,
    };
    let opening = opening.unwrap_or(Opening {
        lsn: 0,
        boot: replay.boot,
        time_ms: 0,
    });
    Ok(Arc::new(Engine::new(Parts {
        read_only: true,
        store,
        opening,
        clock,
        recovered: Vec::new(),
        graphs: replay.graphs,
        committer: Committer::new(log, Backlog::default()),
        truth,
        ids: replay.ids,
        indexer: replay.indexer,
        index: replay.index,
        index_folder: None,
        index_in_memory: None,
        spare: Arc::new(Spare::new(files.next_epoch, options.segment_bytes)),
        lock: None,
        options,
        disk,
    })))
}

/// Continues the log that was read: in its last segment, so that opens leave no files
/// behind, unless it is full. After a crash all that lies behind the log's end has to be
/// zeroed first; if that is much, or if there is no segment, a fresh one is begun. If there
/// is no room for that, the last segment is continued however much it is. The mark of a
/// clean close stays until it is clear that the log can be continued.
fn begin_log(
    disk: &Arc<dyn Disk>,
    store: StoreId,
    spare: &Arc<Spare>,
    next_lsn: u64,
    (truth, end): (&Truth, &ReadEnd),
) -> Result<Log> {
    let last = truth.segments.last();
    let resume = |zeros_max, capacity_max| match last.cloned() {
        Some(last) => {
            let place = Resume {
                next_lsn,
                end: end.at,
                is_blank: end.is_blank,
                zeros_max,
                capacity_max,
            };
            Log::resume(disk.clone(), store, spare.clone(), last, place)
        }
        None => Ok(None),
    };
    let resumed = match resume(ZEROS_MAX, spare.segment_bytes()) {
        // Where overwriting takes new room, there may be none.
        Err(Error::DiskFull { .. }) => None,
        resumed => resumed?,
    };
    let log = match resumed {
        Some(log) => log,
        None => match spare.take(&**disk, 0, Room::Freeing) {
            Ok(prepared) => {
                identity::remove_closed(&**disk)?;
                if let Some(last) = last {
                    last.seal(end.at);
                }
                let previous = (end.epoch, end.at);
                let (disk, spare) = (disk.clone(), spare.clone());
                return Log::begin(disk, store, spare, prepared, next_lsn, previous);
            }
            Err(refused @ Error::DiskFull { .. }) => resume(u64::MAX, u64::MAX)?.ok_or(refused)?,
            Err(error) => return Err(error),
        },
    };
    identity::remove_closed(&**disk)?;
    Ok(log)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>(disk: &dyn Disk) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    #[cfg(feature = "simulation")]
    if crate::base::simulated::fill(&mut bytes) {
        return Ok(bytes);
    }
    getrandom::fill(&mut bytes).map_err(|e| {
        let e = io::Error::other(e.to_string());
        Error::io("generate random numbers for", disk.path(""), &e)
    })?;
    Ok(bytes)
}

/// The digits that a graph's ids begin with: 19, the first of them no zero.
pub(crate) fn random_id_number(disk: &dyn Disk) -> Result<u64> {
    const SMALLEST: u64 = 1_000_000_000_000_000_000;
    let random = u64::from_le_bytes(random(disk)?);
    Ok(SMALLEST + random % (9 * SMALLEST))
}

/// Where a log ends that was read.
#[derive(Clone, Copy)]
struct ReadEnd {
    /// The last segment's epoch; 0 if there is none.
    epoch: u64,
    /// The byte behind its last frame.
    at: u64,
    /// Whether all behind that is known to be zeros, durably.
    is_blank: bool,
}

/// What the log and the index make together.
pub(crate) struct ReadLog {
    pub(super) replay: Replay,
    truth: Truth,
    end: ReadEnd,
    found: Vec<Found>,
}

impl ReadLog {
    /// How many jobs each graph has.
    pub(crate) fn jobs(&self) -> BTreeMap<u32, u64> {
        let graphs = self.replay.graphs.by_number.iter();
        graphs
            .map(|(&number, graph)| (number, graph.state.read().status.total(States::ALL)))
            .collect()
    }
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
    let mut end = ReadEnd {
        epoch: 0,
        at: 0,
        is_blank: false,
    };
    let mut last = disk.path(file_names::STORE);
    for (n, segment) in files.segments.iter().enumerate() {
        let header = segment.header;
        if header.first_lsn != replay.next_lsn {
            return Err(gap(&segment.path, replay.next_lsn, header.first_lsn).into());
        }
        let known_end = match files.segments.get(n + 1).map(|next| next.header) {
            Some(next) if next.previous_epoch == header.epoch => Some(next.previous_end),
            Some(next) => {
                let missing = disk.path(&file_names::segment(next.previous_epoch));
                let what = "the segment is missing, but a later one exists";
                return Err(Error::damaged(missing, 0, what).into());
            }
            None => closed.filter(|c| c.epoch == header.epoch).map(|c| c.offset),
        };
        let (end_at, is_blank) = read_segment(disk, &mut replay, segment, known_end, look)?;
        if n + 1 < files.segments.len() {
            segment.seal(end_at);
        }
        end = ReadEnd {
            epoch: header.epoch,
            at: end_at,
            is_blank,
        };
        last = segment.path.clone();
    }
    if let Some(closed) = closed {
        if closed.lsn >= replay.next_lsn && closed.epoch != end.epoch {
            let missing = disk.path(&file_names::segment(closed.epoch));
            let what = "the last segment of the log is missing";
            return Err(Error::damaged(missing, 0, what).into());
        }
        if closed.lsn != replay.next_lsn - 1 {
            let what = format!(
                "the log ends at log sequence number {}, but was closed at {}: a file of the log \
                 is missing or truncated",
                replay.next_lsn - 1,
                closed.lsn
            );
            return Err(Error::damaged(last, 0, what).into());
        }
    }
    // A store may have been open for long after its last write.
    let at_close = files.closed.as_ref().map(|closed| closed.clock);
    replay.clock = at_close.or(replay.clock);
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

/// Takes in a segment and returns where it ends, and whether all behind that is known to
/// be zeros.
fn read_segment(
    disk: &dyn Disk,
    replay: &mut Replay,
    segment: &Arc<Segment>,
    known_end: Option<u64>,
    look: Look,
) -> Result<(u64, bool), Problem> {
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
    replay.clock = scanned.clock.or(replay.clock);
    replay.next_lsn = scanned.next_lsn;
    // After a crash, zeros that are read need not be on the disk.
    let rest = bytes.get(scanned.end as usize..).unwrap_or_default();
    let is_blank = is_synced && rest.iter().all(|&byte| byte == 0);
    Ok((scanned.end, is_blank))
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
            return Err(Fault("it has rows but no header".to_owned()).into());
        }
        let ids = ForeignIds::new(Runs::default());
        return Ok(Replay::new(Graphs::default(), ids, indexer, index, 0));
    };
    let head: Head =
        rows::open_value(rows::HEAD, &value).ok_or_else(|| Fault("invalid header".to_owned()))?;
    let is_possible =
        head.applied_lsn < NUMBER_MAX && head.boot < NUMBER_MAX && head.gaps.is_possible();
    if head.rows_format != ROWS_FORMAT || head.store != store.0 || !is_possible {
        return Err(Fault("it belongs to another store or release".to_owned()).into());
    }
    let mut graphs = Graphs::after(head.graphs);
    let damaged = |what: &str| Fault(format!("invalid row of {what}"));
    index.scan(rows::GRAPHS, &mut |key, value| {
        let row: GraphRow = rows::open_value(key, value).ok_or_else(|| damaged("a graph"))?;
        let number = rows::parse_graph_key(key).ok_or_else(|| damaged("a graph"))?;
        indexer.name(key, Some(value));
        let names = (graphs.project(&row.project), row.name.as_str());
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
            if let Some(chunks) = status::run_of(bytes) {
                let restored = state.status.restore_gone(chunk, chunks);
                restored.ok_or_else(|| damaged("states"))?;
                let runs = indexer.gone_runs.entry(number).or_default();
                runs.restore(chunk, chunks);
                return Ok(());
            }
            let bytes = rows::unpack_words(bytes, status::SAVED_WORDS_MAX);
            let bytes = bytes.ok_or_else(|| damaged("states"))?;
            let restored = state
                .status
                .restore(chunk, &bytes)
                .and_then(|(jobs, rest)| {
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
        if key.len() > NAMED_KEY_BYTES_MAX {
            return Err(damaged("lookups"));
        }
        indexer.name(key, Some(value));
        Ok(())
    })?;
    if !head.partial && (indexer.digest() != head.digest || graphs.created != head.graphs) {
        return Err(Fault("it is incomplete".to_owned()).into());
    }
    indexer.applied_lsn = head.applied_lsn;
    indexer.lost_ids = head.lost_ids;
    let ids = ForeignIds::new(Runs::open(&*index)?);
    let mut replay = Replay::new(graphs, ids, indexer, index, head.boot);
    replay.gaps = head.gaps;
    Ok(replay)
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
    #[cfg_attr(not(feature = "archive"), allow(unused_mut))]
    let mut threads = vec![
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
    #[cfg(feature = "archive")]
    let archiver = {
        let (call, calls) = channel::bounded(1);
        let run = move |engine: &Engine| crate::engine::archiver::run(engine, &calls);
        threads.push(spawn(Worker::Archiver, Box::new(run))?);
        Some(call)
    };
    #[cfg(not(feature = "archive"))]
    let archiver = None;
    engine.set_background(Background {
        archiver,
        packer: Some(call_packer),
        indexer: Some(call_indexer),
        threads,
    });
    Ok(())
}

fn engine_path(name: &str) -> std::path::PathBuf {
    std::path::PathBuf::from(name)
}
