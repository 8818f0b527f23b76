//! Simulated crashes, failing calls, and blocked syncs on a directory in memory.
//!
//! An [`Image`] contains all files at one instant. After a simulated power failure, the files
//! contain at least what was synced by then, and at most what was written.
//!
//! Unsynced data is kept or lost sector by sector, and unsynced names one by one, because a disk
//! does not guarantee an order. As on Linux, if a sync fails, a later successful sync does not make
//! its data durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{FreedSpace, MemoryDisk, MemoryFile};
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Condvar, Mutex};

/// The unit that a power failure keeps or loses as a whole.
const SECTOR_BYTES: u64 = 512;
/// How long a test waits for an event that must happen.
const WAIT: Duration = Duration::from_secs(60);

/// A call that changes something or opens a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Open,
    Rename,
    Remove,
    SyncNames,
    Write,
    Sync,
}

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The error number of the operating system.
    pub(crate) errno: i32,
    /// Whether later calls also fail, until [`MemoryDisk::heal`].
    pub(crate) lasting: bool,
    /// Which calls can fail.
    pub(crate) hits: fn(Call) -> bool,
}

#[derive(Default)]
pub(super) struct Trial {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    disk: OnDisk,
    next_file: u64,
    /// Files that have neither a name nor a handle.
    closed: BTreeSet<u64>,
    /// The fault, and the number of calls that it could hit but that still succeed before it.
    fault: Option<(u64, Fault)>,
    /// The capacity for all files together in bytes, and whether it is visible to callers.
    capacity: Option<(u64, bool)>,
    /// How many bytes of the capacity the store may not use, because they are reserved for root.
    reserved: u64,
    /// The maximum number of files.
    files_max: Option<usize>,
    failed: bool,
    hold_syncs: bool,
    held: bool,
    recorder: Option<Recorder>,
}

struct Recorder {
    every: u64,
    calls: u64,
    counters: Vec<Arc<AtomicU64>>,
    images: Vec<Image>,
}

/// Synced and unsynced names and contents.
#[derive(Clone, Default)]
struct OnDisk {
    names: BTreeMap<String, u64>,
    /// The changes since the last sync of the names.
    name_changes: Vec<NameChange>,
    files: BTreeMap<u64, Content>,
}

#[derive(Clone)]
enum NameChange {
    Created(String, u64),
    Renamed(String, String, u64),
    Removed(String),
}

#[derive(Clone, Default)]
struct Content {
    len: u64,
    synced: Arc<Vec<u8>>,
    /// The writes since the last sync of the file.
    writes: Vec<Write>,
}

#[derive(Clone)]
struct Write {
    offset: u64,
    data: Arc<[u8]>,
    /// Whether a sync of this write failed.
    lost: bool,
}

/// All files at one instant.
#[derive(Clone)]
pub(crate) struct Image {
    disk: OnDisk,
    /// The values of the counters passed to [`MemoryDisk::record`].
    pub(crate) counters: Vec<u64>,
}

impl Trial {
    /// Makes a change, unless this call is one that must fail.
    fn call<T>(&self, call: Call, change: impl FnOnce(&mut State) -> T) -> io::Result<T> {
        let mut state = self.state.lock();
        state.count(call)?;
        let done = change(&mut state);
        state.take_image();
        Ok(done)
    }

    /// Counts a call of `open`, which changes nothing.
    pub(super) fn open(&self) -> io::Result<()> {
        self.state.lock().count(Call::Open)
    }

    pub(super) fn closed(&self, file: u64) {
        self.state.lock().closed.insert(file);
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        let state = self.state.lock();
        let (_, is_told) = state.capacity?;
        state.room().filter(|_| is_told)
    }

    pub(super) fn freed_space(&self) -> FreedSpace {
        let state = self.state.lock();
        let (Some((capacity, _)), Some(room)) = (state.capacity, state.room()) else {
            return FreedSpace::Usable;
        };
        match state.reserved {
            0 => FreedSpace::Usable,
            _ => FreedSpace::of(room, capacity.saturating_sub(state.used_bytes())),
        }
    }

    pub(super) fn create(&self, name: &str) -> io::Result<u64> {
        {
            let state = self.state.lock();
            let files = state.disk.live_names().len();
            let has_inode = state.files_max.is_none_or(|max| files < max);
            if !has_inode || state.room() == Some(0) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.call(Call::Create, |state| {
            state.next_file += 1;
            let number = state.next_file;
            let change = NameChange::Created(name.to_owned(), number);
            state.disk.name_changes.push(change);
            state.disk.files.insert(number, Content::default());
            number
        })
    }

    pub(super) fn link(&self, further: &str, number: u64) -> io::Result<()> {
        self.call(Call::Create, |state| {
            let change = NameChange::Created(further.to_owned(), number);
            state.disk.name_changes.push(change);
        })
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(Call::Rename, |state| {
            let number = state.disk.live_names().get(from).copied();
            let change =
                NameChange::Renamed(from.to_owned(), to.to_owned(), number.unwrap_or_default());
            state.disk.name_changes.push(change);
        })
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Call::Remove, |state| {
            let change = NameChange::Removed(name.to_owned());
            state.disk.name_changes.push(change);
        })
    }

    pub(super) fn sync_names(&self) -> io::Result<()> {
        self.call(Call::SyncNames, |state| {
            let State { disk, closed, .. } = state;
            disk.names = disk.live_names();
            disk.name_changes.clear();
            let names = &disk.names;
            disk.files.retain(|number, _| {
                !closed.contains(number) || names.values().any(|n| n == number)
            });
        })
    }

    /// Returns how much of `data` reaches the file, and the result for the caller. A failing write
    /// writes half of the data.
    pub(super) fn write(&self, file: u64, data: &[u8], offset: u64) -> (usize, io::Result<()>) {
        let mut state = self.state.lock();
        let mut result = state.count(Call::Write);
        let mut written = match result {
            Ok(()) => data.len(),
            Err(_) => data.len() / 2,
        };
        let len = state.disk.files.get(&file).map_or(0, |c| c.len);
        if let Some(room) = state.room() {
            let fits = (len + room).saturating_sub(offset).min(data.len() as u64) as usize;
            if fits < written {
                written = fits;
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        if let Some(content) = state.disk.files.get_mut(&file) {
            content.len = len.max(offset + written as u64);
            content.writes.push(Write {
                offset,
                data: data[..written].into(),
                lost: false,
            });
        }
        state.take_image();
        (written, result)
    }

    /// Truncation is durable immediately. The log truncates only files whose names do not matter
    /// before the next sync.
    pub(super) fn cut(&self, file: u64, len: u64) -> io::Result<()> {
        self.call(Call::Write, |state| {
            let Some(content) = state.disk.files.get_mut(&file) else {
                return;
            };
            content.len = content.len.min(len);
            let bytes = len as usize;
            if content.synced.len() > bytes {
                Arc::make_mut(&mut content.synced).truncate(bytes);
            }
            content.writes.retain_mut(|write| {
                let left = len.saturating_sub(write.offset);
                if left < write.data.len() as u64 {
                    write.data = write.data[..left as usize].into();
                }
                left > 0
            });
        })
    }

    pub(super) fn sync(&self, file: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let holds_data = |state: &State| {
            let writes = state.disk.files.get(&file).map(|content| &content.writes);
            writes.is_some_and(|writes| writes.iter().any(|w| w.data.iter().any(|&b| b != 0)))
        };
        while state.hold_syncs && holds_data(&state) {
            state.held = true;
            self.changed.notify_all();
            self.changed.wait(&mut state);
        }
        let result = state.count(Call::Sync);
        if let Some(content) = state.disk.files.get_mut(&file) {
            match result {
                Ok(()) => content.sync(),
                Err(_) => content
                    .writes
                    .iter_mut()
                    .for_each(|write| write.lost = true),
            }
        }
        state.take_image();
        result
    }
}

impl State {
    /// Counts a call. Returns an error if this call must fail.
    fn count(&mut self, call: Call) -> io::Result<()> {
        let Some((left, fault)) = &mut self.fault else {
            return Ok(());
        };
        if !(fault.hits)(call) {
            return Ok(());
        }
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        let error = io::Error::from_raw_os_error(fault.errno);
        if !fault.lasting {
            self.fault = None;
        }
        self.failed = true;
        Err(error)
    }

    /// Returns how many bytes the files can still grow by. As on a real disk, a removed file takes
    /// up space until it is closed.
    fn room(&self) -> Option<u64> {
        let (capacity, _) = self.capacity?;
        Some(capacity.saturating_sub(self.used_bytes() + self.reserved))
    }

    fn used_bytes(&self) -> u64 {
        let files = self.disk.files.iter();
        let files = files.filter(|(number, _)| !self.closed.contains(number));
        files.map(|(_, content)| content.len).sum()
    }

    fn take_image(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.calls += 1;
            if recorder.calls % recorder.every == 0 {
                let counters = &recorder.counters;
                recorder.images.push(Image {
                    disk: self.disk.clone(),
                    counters: counters.iter().map(|c| c.load(Ordering::SeqCst)).collect(),
                });
            }
        }
    }
}

impl OnDisk {
    fn live_names(&self) -> BTreeMap<String, u64> {
        self.names_with(|| true)
    }

    /// Returns the synced names, with those later changes for which `kept` returns `true`.
    fn names_with(&self, mut kept: impl FnMut() -> bool) -> BTreeMap<String, u64> {
        let mut names = self.names.clone();
        for change in self.name_changes.iter().filter(|_| kept()) {
            match change {
                NameChange::Created(name, number) => {
                    names.insert(name.clone(), *number);
                }
                NameChange::Renamed(from, to, number) => {
                    if names.get(from) == Some(number) {
                        names.remove(from);
                    }
                    names.insert(to.clone(), *number);
                }
                NameChange::Removed(name) => {
                    names.remove(name);
                }
            }
        }
        names
    }
}

impl Content {
    fn sync(&mut self) {
        self.overwrite_lost();
        let synced = Arc::make_mut(&mut self.synced);
        self.writes.retain(|write| {
            if !write.lost {
                put(synced, write.offset, &write.data);
            }
            write.lost
        });
    }

    /// Replaces lost data with the data that was later written at the same offsets. The lost data
    /// must not reappear after that, because the writes to an offset keep their order.
    fn overwrite_lost(&mut self) {
        for n in 0..self.writes.len() {
            let (before, after) = self.writes.split_at_mut(n);
            let Some(write) = after.first().filter(|write| !write.lost) else {
                continue;
            };
            let (start, end) = (write.offset, write.offset + write.data.len() as u64);
            for lost in before.iter_mut().filter(|write| write.lost) {
                let lost_end = lost.offset + lost.data.len() as u64;
                let (from, to) = (start.max(lost.offset), end.min(lost_end));
                if from < to {
                    let mut data = lost.data.to_vec();
                    let again = &write.data[(from - start) as usize..(to - start) as usize];
                    data[(from - lost.offset) as usize..(to - lost.offset) as usize]
                        .copy_from_slice(again);
                    lost.data = data.into();
                }
            }
        }
    }

    /// The contents as their writers see them.
    fn live(&self) -> Vec<u8> {
        let mut bytes = (*self.synced).clone();
        for write in &self.writes {
            put(&mut bytes, write.offset, &write.data);
        }
        bytes
    }

    /// The contents after a power failure. For each sector, `kept` is passed the number of writes
    /// since the last sync, and returns how many of them survive.
    fn torn(&self, mut kept: impl FnMut(u64) -> u64) -> Vec<u8> {
        let mut bytes = (*self.synced).clone();
        let mut sectors: BTreeMap<u64, Vec<(u64, &[u8])>> = BTreeMap::new();
        for write in &self.writes {
            let (mut at, mut data) = (write.offset, &write.data[..]);
            while !data.is_empty() {
                let room = SECTOR_BYTES - at % SECTOR_BYTES;
                let (piece, rest) = data.split_at(data.len().min(room as usize));
                sectors
                    .entry(at / SECTOR_BYTES)
                    .or_default()
                    .push((at, piece));
                (at, data) = (at + piece.len() as u64, rest);
            }
        }
        for pieces in sectors.values() {
            for (at, piece) in &pieces[..kept(pieces.len() as u64) as usize] {
                put(&mut bytes, *at, piece);
            }
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(data);
}

impl Image {
    /// The directory after a power failure that keeps only what was synced.
    pub(crate) fn after_power_cut(&self) -> MemoryDisk {
        let files = &self.disk.files;
        let names = self.disk.names.iter();
        MemoryDisk::holding(names.map(|(name, number)| {
            let content = files.get(number).map(|content| (*content.synced).clone());
            (name.clone(), content.unwrap_or_default())
        }))
    }

    /// The directory after a power failure that keeps unsynced changes at random. `draw` returns a
    /// number below its argument.
    pub(crate) fn after_torn_power_cut(&self, mut draw: impl FnMut(u64) -> u64) -> MemoryDisk {
        let names = self.disk.names_with(|| draw(2) == 1);
        let mut files = Vec::new();
        for (name, number) in names {
            // All, none, or some of the writes to a file survive. Each of these cases must be
            // frequent.
            let choice = draw(3);
            let content = self.disk.files.get(&number).map(|content| {
                content.torn(|writes| match choice {
                    0 => 0,
                    1 => writes,
                    _ => draw(writes + 1),
                })
            });
            files.push((name, content.unwrap_or_default()));
        }
        MemoryDisk::holding(files)
    }

    /// The directory after the process was killed: everything that was written is there, but
    /// unsynced changes are still not durable.
    pub(crate) fn after_kill(&self) -> MemoryDisk {
        let trial = Arc::new(Trial::default());
        let files = &self.disk.files;
        let names = self.disk.live_names();
        let open = |(name, number): (String, u64)| {
            let content = files.get(&number).map(Content::live).unwrap_or_default();
            (name, MemoryFile::of(content, number, &trial))
        };
        let names = names.into_iter().map(open).collect();
        {
            let mut state = trial.state.lock();
            state.disk = self.disk.clone();
            state.next_file = files.keys().last().copied().unwrap_or_default();
            let numbers: BTreeSet<u64> = self.disk.live_names().into_values().collect();
            let closed = files.keys().filter(|number| !numbers.contains(number));
            state.closed = closed.copied().collect();
        }
        MemoryDisk {
            names: Mutex::new(names),
            trial,
        }
    }

    /// Returns whether there is an unsynced file whose name has this suffix.
    pub(crate) fn has_unsynced(&self, end: &str) -> bool {
        let there = self.disk.live_names().into_keys();
        let mut ending = there.filter(|name| name.ends_with(end));
        ending.any(|name| !self.disk.names.contains_key(&name))
    }

    /// The names as the process sees them.
    pub(crate) fn names(&self) -> Vec<String> {
        self.disk.live_names().into_keys().collect()
    }
}

impl MemoryFile {
    fn of(content: Vec<u8>, number: u64, trial: &Arc<Trial>) -> Arc<MemoryFile> {
        Arc::new(MemoryFile {
            content: crate::base::sync::RwLock::new(content),
            number,
            trial: trial.clone(),
        })
    }
}

impl MemoryDisk {
    /// Creates a directory with these files, all durable.
    pub(crate) fn holding(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> MemoryDisk {
        let memory = MemoryDisk::default();
        {
            let (mut state, mut names) = (memory.trial.state.lock(), memory.names.lock());
            for (name, content) in files {
                state.next_file += 1;
                let number = state.next_file;
                state.disk.names.insert(name.clone(), number);
                let stored = Content {
                    len: content.len() as u64,
                    synced: Arc::new(content.clone()),
                    writes: Vec::new(),
                };
                state.disk.files.insert(number, stored);
                names.insert(name, MemoryFile::of(content, number, &memory.trial));
            }
        }
        memory
    }

    /// All files as the process sees them.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let names = self.names.lock();
        let files = names.iter();
        files
            .map(|(name, file)| (name.clone(), file.content.read().clone()))
            .collect()
    }

    /// All names as the process sees them.
    pub(crate) fn names_now(&self) -> Vec<String> {
        self.names.lock().keys().cloned().collect()
    }

    /// All files at this instant.
    pub(crate) fn image(&self) -> Image {
        Image {
            disk: self.trial.state.lock().disk.clone(),
            counters: Vec::new(),
        }
    }

    /// Takes an image after every `every`-th call, with the values of the counters at that time.
    pub(crate) fn record(&self, every: u64, counters: Vec<Arc<AtomicU64>>) {
        self.trial.state.lock().recorder = Some(Recorder {
            every,
            calls: 0,
            counters,
            images: Vec::new(),
        });
    }

    /// The images that were taken since the last call.
    pub(crate) fn images(&self) -> Vec<Image> {
        let mut state = self.trial.state.lock();
        let recorder = state.recorder.as_mut();
        recorder.map_or_else(Vec::new, |r| std::mem::take(&mut r.images))
    }

    /// Lets the next `calls` calls that the fault can hit succeed; the one after them fails.
    pub(crate) fn fail_after(&self, calls: u64, fault: Fault) {
        self.trial.state.lock().fault = Some((calls, fault));
    }

    /// Whether a call has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.trial.state.lock().failed
    }

    /// Stops calls from failing.
    pub(crate) fn heal(&self) {
        self.trial.state.lock().fault = None;
    }

    /// Limits the growth of all files together to this many bytes.
    pub(crate) fn leave_room(&self, bytes: u64) {
        let mut state = self.trial.state.lock();
        state.capacity = Some((state.used_bytes() + bytes, true));
        state.reserved = 0;
    }

    /// Limits the total size of the files to their current size. Moreover, of the space that is
    /// freed, the first `bytes` bytes cannot be used: root has used its reserved blocks, and gets
    /// them back first.
    pub(crate) fn reserve_freed(&self, bytes: u64) {
        self.limit_with_reserved(self.used_bytes(), bytes);
    }

    /// Limits the total size of the files. The last `reserved` bytes cannot be used.
    pub(crate) fn limit_with_reserved(&self, capacity: u64, reserved: u64) {
        let mut state = self.trial.state.lock();
        state.capacity = Some((capacity, true));
        state.reserved = reserved;
    }

    /// Limits the number of files that can still be created.
    pub(crate) fn leave_files(&self, files: usize) {
        let mut state = self.trial.state.lock();
        state.files_max = Some(state.disk.live_names().len() + files);
    }

    /// The total size of all files, including open files without a name.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.trial.state.lock().used_bytes()
    }

    /// Removes the limit on the size of the files.
    pub(crate) fn unbound(&self) {
        let mut state = self.trial.state.lock();
        state.capacity = None;
        state.reserved = 0;
        state.files_max = None;
    }

    /// Hides the amount of free space from callers, as under a quota.
    pub(crate) fn hide_room(&self) {
        if let Some((_, is_told)) = &mut self.trial.state.lock().capacity {
            *is_told = false;
        }
    }

    /// Blocks every sync that would make anything but zeros durable.
    pub(crate) fn hold_syncs(&self) {
        let mut state = self.trial.state.lock();
        state.hold_syncs = true;
        state.held = false;
    }

    /// Waits until a sync is blocked.
    pub(crate) fn wait_until_held(&self) {
        let mut state = self.trial.state.lock();
        while !state.held {
            let waited = self.trial.changed.wait_for(&mut state, WAIT);
            assert!(!waited.timed_out(), "no sync came");
        }
    }

    /// Unblocks the syncs.
    pub(crate) fn release_syncs(&self) {
        self.trial.state.lock().hold_syncs = false;
        self.trial.changed.notify_all();
    }
}
