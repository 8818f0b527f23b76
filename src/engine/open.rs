//! Opening a store: from files to an engine at work.
//!
//! Owns: the order in which a folder is checked, its log read, its index opened or
//! made anew, and the threads started. Must not know: what callers do with it.
//! Promise: everything acknowledged is there again, or the open fails with an
//! error that names the file; no byte is changed before the folder is known to be
//! a store and locked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Weak};

use crate::engine::commit::{self, Committer};
use crate::engine::ending::Worker;
use crate::engine::graph_state::GraphCore;
use crate::engine::indexing::{self, Indexer};
use crate::engine::lookup::ForeignIds;
use crate::engine::replay::{Problem, Replay};
use crate::engine::survey::check_pack;
use crate::engine::{Background, Engine, Graphs, Parts, Truth, check};
use crate::engine::{packing, recover};
use crate::error::{Error, Result};
use crate::index::folder::{IndexFolder, Wanted};
use crate::index::memory::MemoryIndex;
use crate::index::rows::{self, GraphRow, Head, ROWS_FORMAT};
use crate::index::runs::Runs;
use crate::index::{Fault, Index};
use crate::options::Options;
use crate::storage::disk::Disk;
use crate::storage::disk::memory::Memory;
use crate::storage::disk::os::Folder;
use crate::storage::event::NUMBER_MAX;
use crate::storage::identity::{self, Closed, IndexSeal, StoreId};
use crate::storage::log::Log;
use crate::storage::names;
use crate::storage::pack::Pack;
use crate::storage::segment::{Found, Segment};
use crate::storage::spare::{Room, Spare};
use crate::sync::{channel, thread};

/// The share of the cache budget that the index engine is told: it holds about as
/// much again besides, and the lookups' filters need some.
const INDEX_CACHE_SHARE: u64 = 4;

/// Opens the store in a folder; a damaged one, where that is wanted, after a repair.
pub(crate) fn open_folder(options: Options, path: &Path) -> Result<Arc<Engine>> {
    let opened = open_sound_folder(options.clone(), path);
    if !options.tolerant || !matches!(opened, Err(Error::Damaged { .. })) {
        return opened;
    }
    let repaired = check::repair_folder(path)?;
    tracing::warn!(
        jobs = repaired.jobs,
        events = repaired.events,
        "the store was damaged; what was damaged is set aside"
    );
    let engine = open_sound_folder(options, path)?;
    // A fresh engine's is empty.
    engine.repaired.set(repaired).ok();
    Ok(engine)
}

fn open_sound_folder(options: Options, path: &Path) -> Result<Arc<Engine>> {
    if !options.create && matches!(kind_of(path)?, Kind::Empty) {
        return Err(Error::StoreMissing {
            path: path.to_path_buf(),
        });
    }
    check_folder(path)?;
    Folder::create(path).map_err(|e| Error::io("create", path, &e))?;
    let disk = Folder::open(path).map_err(|e| Error::io("open", path, &e))?;
    let lock = lock(&path.join(names::LOCK), path, Look::AndChange)?;
    let cache_bytes = options.cache_bytes / INDEX_CACHE_SHARE;
    let folder = IndexFolder::new(path, options.index, cache_bytes);
    open(
        options,
        Arc::new(disk),
        Some(lock),
        IndexHome::Folder(folder),
    )
}

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

/// What a folder is.
enum Kind {
    Store,
    /// A store's files, but not its identity.
    Nameless,
    /// Nothing, or what a crash leaves while a store is being made.
    Empty,
    /// Something else, with one of its names.
    Foreign(String),
}

fn kind_of(path: &Path) -> Result<Kind> {
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Kind::Empty),
        entries => entries.map_err(|e| Error::io("read", path, &e))?,
    };
    if path.join(names::STORE).exists() {
        return Ok(Kind::Store);
    }
    let mut kind = Kind::Empty;
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("read", path, &e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let harmless = name == names::LOCK || name.ends_with(names::ASIDE);
        if names::is_ours(&name) && !harmless {
            return Ok(Kind::Nameless);
        }
        if !harmless {
            kind = Kind::Foreign(name);
        }
    }
    Ok(kind)
}

/// Refuses a folder that holds something else.
fn check_folder(path: &Path) -> Result<()> {
    match kind_of(path)? {
        Kind::Store | Kind::Empty => Ok(()),
        Kind::Nameless => {
            let what = "the file is missing, but the folder holds a store's files";
            Err(Error::damaged(path.join(names::STORE), 0, what))
        }
        Kind::Foreign(found) => Err(Error::NotAStore {
            path: path.to_path_buf(),
            found,
        }),
    }
}

/// The store's lock, while it lives.
pub(crate) struct StoreLock(std::fs::File);

impl Drop for StoreLock {
    fn drop(&mut self) {
        // Unlocked by name: a process that is just being started has a copy of the
        // handle, and closing ours would not let go of the lock.
        rustix::fs::flock(&self.0, rustix::fs::FlockOperation::Unlock).ok();
    }
}

/// Takes the lock file, which names its holder for those that come later.
pub(super) fn lock(path: &Path, folder: &Path, look: Look) -> Result<StoreLock> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |e: io::Error| Error::io("lock", path, &e);
    let change = look == Look::AndChange;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(change)
        .create(change)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&file, exclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            file.take(32).read_to_string(&mut holder).ok();
            return Err(Error::StoreInUse {
                path: folder.to_path_buf(),
                holder: holder.trim().parse().ok(),
            });
        }
        Err(e) => return Err(failed(e.into())),
    }
    let lock = StoreLock(file);
    if !change {
        return Ok(lock);
    }
    let mut file = &lock.0;
    file.set_len(0).map_err(failed)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())
        .map_err(failed)?;
    Ok(lock)
}

/// Whether what is looked at may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Only,
    AndChange,
}

/// A store's folder that nobody has open, and its lock, so that nobody opens it
/// meanwhile.
pub(crate) fn folder_at_rest(path: &Path, look: Look) -> Result<(Folder, Option<StoreLock>)> {
    match kind_of(path)? {
        Kind::Store | Kind::Nameless => {}
        Kind::Empty => {
            let path = path.to_path_buf();
            return Err(Error::StoreMissing { path });
        }
        Kind::Foreign(found) => {
            let path = path.to_path_buf();
            return Err(Error::NotAStore { path, found });
        }
    }
    let lock_path = path.join(names::LOCK);
    let lock = match look {
        Look::Only if !lock_path.exists() => None,
        look => Some(lock(&lock_path, path, look)?),
    };
    let disk = Folder::open(path).map_err(|e| Error::io("open", path, &e))?;
    Ok((disk, lock))
}

/// The index of a store that nobody has open.
pub(crate) fn index_at_rest(path: &Path, wanted: Wanted<'_>) -> Result<Option<Arc<dyn Index>>> {
    let cache_bytes = Options::default().cache_bytes / INDEX_CACHE_SHARE;
    IndexFolder::at_rest(path, cache_bytes, wanted).map_err(|e| Error::io("open", path, &e))
}

/// Opens a store whatever its disk, its lock and its index are.
pub(super) fn open(
    options: Options,
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
    let spare = Arc::new(Spare::new(files.next_epoch, options.segment_bytes));
    if let Err(error) = spare.make_reserve(&*disk) {
        tracing::warn!(%error, "there is no reserve for a full disk; it is tried again");
    }
    let mut log = begin_log(&disk, store, &spare, replay.next_lsn, (&truth, end))?;
    let time_ms = crate::clock::to_ms(options.clock.now());
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
    let engine = Arc::new(Engine::new(Parts {
        options,
        store,
        boot: replay.boot,
        recovered: found,
        graphs: replay.graphs,
        committer: Committer::new(log),
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

/// The files of a store, sorted out.
pub(crate) struct Files {
    packs: Vec<Arc<Pack>>,
    /// Those that are not packed yet, in order.
    segments: Vec<Arc<Segment>>,
    closed: Option<Closed>,
    /// Files that a crash left and nothing needs.
    useless: Vec<String>,
    next_epoch: u64,
}

impl Files {
    /// The last LSN that can be told without reading events.
    fn known_lsn(&self) -> u64 {
        let packed = self.packs.last().map_or(0, |pack| pack.last_lsn);
        let begun = self.segments.last().map_or(0, |s| s.header.first_lsn - 1);
        packed.max(begun)
    }
}

pub(crate) fn read_files(disk: &dyn Disk, store: StoreId) -> Result<Files> {
    let names = disk
        .names()
        .map_err(|e| Error::io("read", disk.path(""), &e))?;
    let mut useless: Vec<String> = names
        .iter()
        .filter(|name| name.ends_with(names::ASIDE))
        .cloned()
        .collect();
    let mut packs = Vec::new();
    for name in names
        .iter()
        .filter(|name| names::pack_range(name).is_some())
    {
        packs.push(Pack::open(disk, name, store)?);
    }
    let (kept, replaced) = chain(packs)?;
    for pack in &kept {
        if replaced
            .iter()
            .any(|r| r.first_lsn <= pack.last_lsn && r.last_lsn >= pack.first_lsn)
        {
            check_replacement(pack)?;
        }
    }
    useless.extend(replaced.into_iter().map(|pack| pack.name));
    let next_lsn = kept.last().map_or(1, |pack| pack.last_lsn + 1);
    let epochs: BTreeSet<u64> = names
        .iter()
        .filter_map(|n| names::segment_epoch(n))
        .collect();
    let mut segments = Vec::new();
    for &epoch in &epochs {
        match Segment::open(disk, epoch, store)? {
            Found::Segment(segment) if segment.header.first_lsn >= next_lsn => {
                segments.push(Arc::new(segment));
            }
            // Packed already.
            Found::Segment(segment) => {
                let lsn = segment.header.first_lsn;
                let pack = kept.partition_point(|pack| pack.last_lsn < lsn);
                kept.get(pack)
                    .map_or(Ok(()), |pack| check_replacement(pack))?;
                useless.push(segment.name);
            }
            // Prepared and never used.
            Found::Unused => useless.push(names::segment(epoch)),
        }
    }
    let closed = identity::read_closed(disk, store)?;
    let closed_epoch = closed.as_ref().map_or(0, |c| c.end.epoch);
    Ok(Files {
        packs: kept,
        segments,
        closed,
        useless,
        next_epoch: epochs.last().copied().unwrap_or(0).max(closed_epoch) + 1,
    })
}

/// What a pack replaces, after a crash, goes only when all of the pack is sound.
fn check_replacement(pack: &Pack) -> Result<()> {
    let checked = check_pack(pack, &mut |_| Ok(()))?;
    match checked.into_damage().into_iter().next() {
        None => Ok(()),
        Some((error, ..)) => Err(error),
    }
}

/// The packs that join without gap from the first LSN to the last, as few as can be,
/// and those that are not needed: what was merged stays until the larger pack is
/// durable, and a merge that failed may leave a pack beside others that overlap it.
fn chain(mut packs: Vec<Pack>) -> Result<(Vec<Arc<Pack>>, Vec<Pack>)> {
    packs.sort_by_key(|pack| (pack.first_lsn, Reverse(pack.last_lsn)));
    // For each LSN that can be reached: by how many packs, the last of which is.
    let mut reached: BTreeMap<u64, (usize, Option<usize>)> = BTreeMap::from([(1, (0, None))]);
    for (n, pack) in packs.iter().enumerate() {
        let Some(&(count, _)) = reached.get(&pack.first_lsn) else {
            continue;
        };
        let best = reached
            .entry(pack.last_lsn + 1)
            .or_insert((usize::MAX, None));
        if count + 1 < best.0 {
            *best = (count + 1, Some(n));
        }
    }
    let mut lsn = reached.keys().next_back().copied().unwrap_or(1);
    if let Some(beyond) = packs.iter().find(|pack| pack.last_lsn >= lsn) {
        return Err(gap(&beyond.path, lsn, beyond.first_lsn));
    }
    let mut needed = BTreeSet::new();
    while let Some(&(_, Some(n))) = reached.get(&lsn) {
        needed.insert(n);
        lsn = packs[n].first_lsn;
    }
    let (mut kept, mut replaced) = (Vec::new(), Vec::new());
    for (n, pack) in packs.into_iter().enumerate() {
        match needed.contains(&n) {
            true => kept.push(Arc::new(pack)),
            false => replaced.push(pack),
        }
    }
    Ok((kept, replaced))
}

fn gap(path: &Path, expected: u64, found: u64) -> Error {
    let what = format!(
        "it begins with log sequence number {found} where {expected} follows: \
         a file of the log is missing or foreign"
    );
    Error::damaged(path, 0, what)
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
        indexer
            .named
            .insert(key.to_vec(), rows::row_hash(key, value));
        let names = (row.project.as_str(), row.name.as_str());
        let graph = GraphCore::new(number, names, (row.number, row.key), row.created_ms);
        let graph = Arc::new(graph);
        indexer.graphs.insert(number, Arc::downgrade(&graph));
        graphs.insert(graph);
        Ok(())
    })?;
    index.scan(rows::STATUS, &mut |key, value| {
        let bytes = rows::open(key, value).ok_or_else(|| damaged("states"))?;
        let (number, chunk) = rows::parse_status_key(key).ok_or_else(|| damaged("states"))?;
        indexer
            .named
            .insert(key.to_vec(), rows::row_hash(key, value));
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
    for number in (0..head.graphs).filter(|number| !graphs.by_number.contains_key(number)) {
        indexer.dropped.push((number, Weak::new()));
    }
    index.scan(rows::RUNS, &mut |key, value| {
        indexer
            .named
            .insert(key.to_vec(), rows::row_hash(key, value));
        Ok(())
    })?;
    if !head.partial && (indexer.digest() != head.digest || graphs.created != head.graphs) {
        return Err(Fault("it is not whole".to_owned()).into());
    }
    indexer.applied_lsn = head.applied_lsn;
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
