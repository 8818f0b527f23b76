//! A directory in memory that can become full, fail, lose power, and be copied.
//!
//! Contains files and names, and whether each of them is durable, as well as limits, faults, and
//! counters. A kill preserves everything written. A power failure preserves everything synced and
//! an arbitrary part of the rest, sector by sector and name by name. As on Linux, if a sync fails,
//! a later successful sync does not make its data durable.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::interrupt::before_call;
use super::random;
use crate::log::disk::bounded::{BoundedDisk, FileAccess};
use crate::log::disk::simulated::PATH;
use crate::log::disk::{Disk as Seam, File as FileSeam, FreedSpace};

/// The unit that a power failure keeps or loses as a whole.
const SECTOR_BYTES: usize = 512;

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Create,
    Open,
    Rename,
    Remove,
    SyncNames,
    Write,
    Sync,
    Read,
}

/// A call that will fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// How many calls of the class still succeed before the fault.
    pub after: u64,
    pub errno: i32,
    /// Whether later calls also fail.
    pub lasting: bool,
    pub classes: Vec<Class>,
}

/// The numbers of calls and bytes since the disk was created.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub calls: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub syncs: u64,
    pub faults: u64,
}

#[derive(Clone, Default)]
struct Node {
    data: Vec<u8>,
    /// The data that writes since the last sync have replaced. The latest comes last.
    loose: Vec<Loose>,
    /// The length that is durable.
    durable_len: usize,
    /// The number of open handles.
    handles: u64,
    /// How often the file was written to or truncated.
    version: u64,
}

#[derive(Clone)]
struct Loose {
    offset: usize,
    before: Vec<u8>,
    after_len: usize,
    /// Whether a failed sync has lost the new data.
    lost: bool,
}

impl Node {
    /// Marks data in this range as no longer lost, because it is being written again.
    fn supersede_lost(&mut self, start: usize, end: usize) {
        let overlaps = |l: &Loose| l.lost && l.offset < end && start < l.offset + l.after_len;
        if !self.loose.iter().any(overlaps) {
            return;
        }
        for loose in std::mem::take(&mut self.loose) {
            if !overlaps(&loose) {
                self.loose.push(loose);
                continue;
            }
            let loose_end = loose.offset + loose.after_len;
            for (from, to) in [(loose.offset, start), (end, loose_end)] {
                if from >= to {
                    continue;
                }
                let there = loose.before.len();
                let cut = |at: usize| (at - loose.offset).min(there);
                self.loose.push(Loose {
                    offset: from,
                    before: loose.before[cut(from)..cut(to)].to_vec(),
                    after_len: to - from,
                    lost: true,
                });
            }
        }
    }
}

#[derive(Clone)]
enum NameChange {
    Set(String, u64),
    Moved(String, String, u64),
    Gone(String),
}

#[derive(Default)]
pub(super) struct State {
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    next_node: u64,
    /// The process that may use the directory.
    process: u64,
    bytes_max: Option<u64>,
    /// How many of these bytes the store may not use, because they are reserved for root.
    reserved: u64,
    files_max: Option<u64>,
    descriptors_max: Option<u64>,
    descriptors: u64,
    descriptors_top: u64,
    fault: Option<Fault>,
    die_after: Option<u64>,
    /// Whether `die_after` has stopped the process.
    dead: bool,
    counters: Counters,
}

pub(super) type Shared = Arc<Mutex<State>>;

/// A directory in memory that outlives the processes that use it.
#[derive(Clone, Default)]
pub struct Disk {
    state: Shared,
}

impl Disk {
    #[must_use]
    pub fn new() -> Disk {
        Disk::default()
    }

    /// Returns the directory for a new process. If there is a previous process, it is ended.
    pub(super) fn mount(&self) -> Arc<dyn Seam> {
        let mut state = self.state.lock();
        state.end_process();
        let process = state.process;
        drop(state);
        self.mounted(process, FileAccess::ReadWrite)
    }

    /// Returns the directory for a process that only reads, at the same time as any other process.
    pub(super) fn mount_beside(&self) -> Arc<dyn Seam> {
        let process = self.state.lock().process;
        self.mounted(process, FileAccess::ReadOnly)
    }

    /// Returns the directory for the current process, with a path that may later lead to another
    /// directory.
    #[cfg(feature = "archive")]
    pub(super) fn mount_at(&self, path: &Path) -> Arc<dyn Seam> {
        Arc::new(Mounted {
            process: self.state.lock().process,
            state: self.state.clone(),
            place: Some(path.to_owned()),
        })
    }

    #[cfg(feature = "archive")]
    pub(super) fn is(&self, state: &Shared) -> bool {
        Arc::ptr_eq(&self.state, state)
    }

    /// Returns the directory with a limit on descriptors, as the directory of a real store has.
    fn mounted(&self, process: u64, access: FileAccess) -> Arc<dyn Seam> {
        let mounted = Mounted {
            state: self.state.clone(),
            process,
            place: None,
        };
        Arc::new(BoundedDisk::new(Arc::new(mounted), access))
    }

    pub fn limit_bytes(&self, max: Option<u64>) {
        let mut state = self.state.lock();
        state.bytes_max = max;
        state.reserved = 0;
    }

    /// Lets root use all free space, including blocks that are reserved for root. Of the space
    /// that is then freed, the store cannot use the first `reserved` bytes.
    pub fn fill_as_root(&self, reserved: u64) {
        let mut state = self.state.lock();
        state.bytes_max = Some(state.used_bytes());
        state.reserved = reserved;
    }

    pub fn limit_files(&self, max: Option<u64>) {
        self.state.lock().files_max = max;
    }

    pub fn limit_descriptors(&self, max: Option<u64>) {
        self.state.lock().descriptors_max = max;
    }

    pub fn fail(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.fault = None;
        state.die_after = None;
    }

    /// Stops the process after this many more calls. Later calls have no effect.
    pub fn die_after(&self, calls: u64) {
        self.state.lock().die_after = Some(calls);
    }

    /// Whether the process was stopped by [`Disk::die_after`].
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Ends the process. Its later calls fail and have no effect.
    pub fn kill(&self) {
        self.state.lock().end_process();
    }

    /// Ends the process, and removes data that was not durable. The seed determines how much of it.
    pub fn cut_power(&self, seed: u64) {
        let mut state = self.state.lock();
        state.end_process();
        state.cut_power(seed);
    }

    /// Changes one byte of a file. Returns whether there is such a byte.
    pub fn corrupt(&self, name: &str, offset: u64, mask: u8) -> bool {
        let mut state = self.state.lock();
        let Some(&number) = state.names.get(name) else {
            return false;
        };
        let byte = state
            .nodes
            .get_mut(&number)
            .and_then(|node| node.data.get_mut(offset as usize));
        byte.map(|byte| *byte ^= mask).is_some()
    }

    /// Deletes a file without the store's knowledge.
    pub fn delete(&self, name: &str) -> bool {
        let mut state = self.state.lock();
        state.durable_names.remove(name);
        state.names.remove(name).is_some()
    }

    #[must_use]
    pub fn names(&self) -> Vec<(String, u64)> {
        let state = self.state.lock();
        let len = |number: &u64| state.nodes.get(number).map_or(0, |node| node.data.len());
        let names = state.names.iter();
        names
            .map(|(name, number)| (name.clone(), len(number) as u64))
            .collect()
    }

    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let number = state.names.get(name)?;
        state.nodes.get(number).map(|node| node.data.clone())
    }

    /// Adds a file as if it had always existed.
    pub fn put(&self, name: &str, data: Vec<u8>) {
        let mut state = self.state.lock();
        state.next_node += 1;
        let number = state.next_node;
        let node = Node {
            durable_len: data.len(),
            data,
            ..Node::default()
        };
        state.nodes.insert(number, node);
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
    }

    /// Returns the space that the files use, including deleted files that are still open.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    #[must_use]
    pub fn files(&self) -> u64 {
        self.state.lock().names.len() as u64
    }

    #[must_use]
    pub fn descriptors(&self) -> u64 {
        self.state.lock().descriptors
    }

    /// Returns the largest number of open descriptors since this was last called.
    #[must_use]
    pub fn descriptors_top(&self) -> u64 {
        let mut state = self.state.lock();
        let open = state.descriptors;
        std::mem::replace(&mut state.descriptors_top, open)
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.lock().counters
    }

    /// Returns a copy of all current files, without limits and faults.
    #[must_use]
    pub fn image(&self) -> Disk {
        let state = self.state.lock();
        let image = Disk::new();
        for (name, number) in &state.names {
            let data = state.nodes.get(number).map(|node| node.data.clone());
            image.put(name, data.unwrap_or_default());
        }
        drop(state);
        image
    }

    /// Reads the files of a real directory.
    ///
    /// # Errors
    /// Any error while reading the directory.
    pub fn load(dir: &Path) -> io::Result<Disk> {
        let disk = Disk::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                disk.put(&name, std::fs::read(entry.path())?);
            }
        }
        Ok(disk)
    }

    /// Writes all files to a real directory.
    ///
    /// # Errors
    /// Any error while writing the files.
    pub fn store(&self, dir: &Path) -> io::Result<()> {
        for (name, _) in self.names() {
            std::fs::write(dir.join(&name), self.read(&name).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl State {
    fn end_process(&mut self) {
        self.process += 1;
        self.descriptors = 0;
        self.descriptors_top = 0;
        self.dead = false;
        self.die_after = None;
        self.fault = None;
        let changed = self.name_changes.iter().filter_map(|change| match change {
            NameChange::Set(_, number) | NameChange::Moved(_, _, number) => Some(number),
            NameChange::Gone(_) => None,
        });
        let names: std::collections::BTreeSet<u64> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .chain(changed)
            .copied()
            .collect();
        self.nodes.retain(|number, _| names.contains(number));
        self.nodes.values_mut().for_each(|node| node.handles = 0);
    }

    /// As on a real disk, a deleted file uses space until it is closed.
    fn used_bytes(&self) -> u64 {
        let named: std::collections::BTreeSet<_> = self.names.values().collect();
        let nodes = self.nodes.iter();
        nodes
            .filter(|(number, node)| node.handles > 0 || named.contains(number))
            .map(|(_, node)| node.data.len() as u64)
            .sum()
    }

    fn free_bytes(&self) -> Option<u64> {
        Some(
            self.bytes_max?
                .saturating_sub(self.used_bytes() + self.reserved),
        )
    }

    fn freed_space(&self) -> FreedSpace {
        match (self.free_bytes(), self.bytes_max) {
            (Some(usable), Some(max)) if self.reserved > 0 => {
                FreedSpace::of(usable, max.saturating_sub(self.used_bytes()))
            }
            _ => FreedSpace::Usable,
        }
    }

    /// Counts a call. Returns an error if a fault is due.
    fn call(&mut self, class: Class) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the process was stopped"));
        }
        self.counters.calls += 1;
        if class != Class::Read {
            match &mut self.die_after {
                Some(0) => {
                    self.dead = true;
                    return Err(io::Error::other("the process was stopped"));
                }
                Some(left) => *left -= 1,
                None => {}
            }
        }
        let Some(fault) = &mut self.fault else {
            return Ok(());
        };
        if !fault.classes.contains(&class) {
            return Ok(());
        }
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        let error = io::Error::from_raw_os_error(fault.errno);
        if !fault.lasting {
            self.fault = None;
        }
        self.counters.faults += 1;
        Err(error)
    }

    fn take_descriptor(&mut self) -> io::Result<()> {
        if self
            .descriptors_max
            .is_some_and(|max| self.descriptors >= max)
        {
            // EMFILE
            return Err(io::Error::from_raw_os_error(24));
        }
        self.descriptors += 1;
        self.descriptors_top = self.descriptors_top.max(self.descriptors);
        Ok(())
    }

    fn cut_power(&mut self, seed: u64) {
        let mut random = seed;
        let mut one_in = |n: u64| random::next(&mut random) % n == 0;
        let mut names = self.durable_names.clone();
        let all_or_none = one_in(2);
        let keep_all = one_in(2);
        for change in std::mem::take(&mut self.name_changes) {
            let kept = if all_or_none { keep_all } else { one_in(2) };
            if !kept {
                continue;
            }
            match change {
                NameChange::Set(name, number) => drop(names.insert(name, number)),
                NameChange::Moved(from, to, number) => {
                    if names.get(&from) == Some(&number) {
                        names.remove(&from);
                    }
                    names.insert(to, number);
                }
                NameChange::Gone(name) => drop(names.remove(&name)),
            }
        }
        self.names.clone_from(&names);
        self.durable_names = names;
        for node in self.nodes.values_mut() {
            let keep_none = one_in(3);
            let keep_all = one_in(3);
            for loose in std::mem::take(&mut node.loose).into_iter().rev() {
                let mut at = loose.offset;
                let end = loose.offset + loose.after_len;
                while at < end {
                    let next = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                    let kept = !loose.lost && !keep_none && (keep_all || one_in(2));
                    if !kept {
                        for n in at..next {
                            let before = loose.before.get(n - loose.offset).copied();
                            if let Some(byte) = node.data.get_mut(n) {
                                *byte = before.unwrap_or(0);
                            }
                        }
                    }
                    at = next;
                }
            }
            let len = node.data.len();
            if len > node.durable_len && (keep_none || one_in(2)) {
                let grown = (len - node.durable_len) as u64;
                let kept = match keep_none {
                    true => 0,
                    false => random::next(&mut random_of(seed, grown)) % (grown + 1),
                };
                node.data.truncate(node.durable_len + kept as usize);
            }
            node.durable_len = node.data.len();
        }
        let live: std::collections::BTreeSet<u64> = self.names.values().copied().collect();
        self.nodes.retain(|number, _| live.contains(number));
    }
}

fn random_of(seed: u64, salt: u64) -> u64 {
    seed ^ salt.rotate_left(32)
}

/// The directory as seen by one process.
struct Mounted {
    state: Shared,
    process: u64,
    /// The path at which the directory is looked up. `None` for a store, whose path always leads to
    /// its directory.
    place: Option<PathBuf>,
}

impl Mounted {
    fn with<T>(&self, call: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        with(&self.state, self.process, call)
    }

    fn handle(&self, state: &mut State, number: u64) -> io::Result<Arc<dyn FileSeam>> {
        state.take_descriptor()?;
        if let Some(node) = state.nodes.get_mut(&number) {
            node.handles += 1;
        }
        Ok(Arc::new(Handle {
            state: self.state.clone(),
            process: self.process,
            number,
        }))
    }

    fn open_as(&self, name: &str) -> io::Result<Arc<dyn FileSeam>> {
        self.with(|state| {
            state.call(Class::Open)?;
            let number = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            self.handle(state, number)
        })
    }
}

fn with<T>(
    state: &Mutex<State>,
    process: u64,
    call: impl FnOnce(&mut State) -> io::Result<T>,
) -> io::Result<T> {
    let mut state = state.lock();
    if state.process != process {
        return Err(io::Error::other("the process has ended"));
    }
    call(&mut state)
}

impl Seam for Mounted {
    fn create(&self, name: &str) -> io::Result<Arc<dyn FileSeam>> {
        self.with(|state| {
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.call(Class::Create)?;
            let full = state
                .files_max
                .is_some_and(|max| state.names.len() as u64 >= max);
            if full || state.free_bytes() == Some(0) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.next_node += 1;
            let number = state.next_node;
            state.nodes.insert(number, Node::default());
            let handle = self.handle(state, number)?;
            state.names.insert(name.to_owned(), number);
            let change = NameChange::Set(name.to_owned(), number);
            state.name_changes.push(change);
            Ok(handle)
        })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn FileSeam>> {
        self.open_as(name)
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn FileSeam>> {
        self.open_as(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|state| {
            state.call(Class::Rename)?;
            let number = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), number);
            let change = NameChange::Moved(from.to_owned(), to.to_owned(), number);
            state.name_changes.push(change);
            Ok(())
        })
    }

    fn link(&self, name: &str, further: &str) -> io::Result<()> {
        self.with(|state| {
            state.call(Class::Create)?;
            if state.names.contains_key(further) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let number = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(further.to_owned(), number);
            let change = NameChange::Set(further.to_owned(), number);
            state.name_changes.push(change);
            Ok(())
        })
    }

    fn link_out(&self, _name: &str, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn identity(&self, name: &str) -> io::Result<Option<(u64, u64)>> {
        self.with(|state| Ok(state.names.get(name).map(|&number| (1, number))))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|state| {
            state.call(Class::Remove)?;
            state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            state.name_changes.push(NameChange::Gone(name.to_owned()));
            Ok(())
        })
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.with(|state| {
            state.call(Class::Open)?;
            Ok(state.names.keys().cloned().collect())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        before_call();
        self.with(|state| {
            state.call(Class::SyncNames)?;
            state.durable_names.clone_from(&state.names);
            state.name_changes.clear();
            Ok(())
        })
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.with(|state| Ok(state.free_bytes()))
    }

    fn freed_space(&self) -> FreedSpace {
        self.state.lock().freed_space()
    }

    fn links(&self, name: &str) -> io::Result<u64> {
        self.with(|state| {
            let number = state.names.get(name);
            let links = state.names.values().filter(|&other| Some(other) == number);
            Ok(links.count() as u64)
        })
    }

    fn is_in_place(&self) -> io::Result<bool> {
        #[cfg(feature = "archive")]
        if let Some(path) = &self.place {
            return Ok(super::archive::is_at(path, &self.state));
        }
        Ok(true)
    }

    fn path(&self, name: &str) -> PathBuf {
        let place = self.place.as_deref();
        place.unwrap_or(Path::new(PATH)).join(name)
    }
}

/// An open file.
struct Handle {
    state: Arc<Mutex<State>>,
    process: u64,
    number: u64,
}

impl Handle {
    fn with<T>(
        &self,
        class: Class,
        call: impl FnOnce(&mut State, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        with(&self.state, self.process, |state| {
            state.call(class)?;
            call(state, self.number)
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.process == self.process {
            state.descriptors -= 1;
            if let Some(node) = state.nodes.get_mut(&self.number) {
                node.handles -= 1;
            }
        }
    }
}

impl FileSeam for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(Class::Read, |state, number| {
            let node = state.nodes.get(&number).ok_or(io::ErrorKind::NotFound)?;
            Ok(node.data.len() as u64)
        })
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        before_call();
        self.with(Class::Read, |state, number| {
            let node = state.nodes.get(&number).ok_or(io::ErrorKind::NotFound)?;
            let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let found = start
                .checked_add(buffer.len())
                .and_then(|end| node.data.get(start..end));
            let found = found.ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(found);
            state.counters.bytes_read += buffer.len() as u64;
            Ok(())
        })
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        before_call();
        let mut state = self.state.lock();
        if state.process != self.process {
            return Err(io::Error::other("the process has ended"));
        }
        if state.dead {
            return Err(io::Error::other("the process was stopped"));
        }
        let mut result = state.call(Class::Write);
        // If a write fails, or the process is stopped during it, half of the data is written.
        let mut len = match &result {
            Ok(()) => data.len(),
            Err(_) => data.len() / 2,
        };
        let start = offset as usize;
        if let Some(free) = state.free_bytes() {
            let there = state
                .nodes
                .get(&self.number)
                .map_or(0, |node| node.data.len());
            let fits = (there as u64 + free)
                .saturating_sub(offset)
                .min(data.len() as u64);
            if (fits as usize) < len {
                len = fits as usize;
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        state.counters.bytes_written += len as u64;
        if let Some(node) = state.nodes.get_mut(&self.number) {
            let end = start + len;
            let there = node.data.len();
            let before = node.data.get(start.min(there)..end.min(there));
            let before = before.unwrap_or_default().to_vec();
            if there < end {
                node.data.resize(end, 0);
            }
            node.data[start..end].copy_from_slice(&data[..len]);
            node.version += 1;
            node.supersede_lost(start, end);
            node.loose.push(Loose {
                offset: start,
                before,
                after_len: len,
                lost: false,
            });
        }
        result
    }

    /// Truncation is durable immediately. The store truncates only files that have no valid name
    /// before the next sync.
    fn cut(&self, len: u64) -> io::Result<()> {
        self.with(Class::Write, |state, number| {
            let node = state
                .nodes
                .get_mut(&number)
                .ok_or(io::ErrorKind::NotFound)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            node.version += 1;
            node.data.truncate(len);
            node.loose.retain_mut(|loose| {
                let left = len.saturating_sub(loose.offset);
                loose.before.truncate(left);
                loose.after_len = loose.after_len.min(left);
                left > 0
            });
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        before_call();
        let mut state = self.state.lock();
        if state.process != self.process {
            return Err(io::Error::other("the process has ended"));
        }
        let result = state.call(Class::Sync);
        state.counters.syncs += 1;
        let is_dead = state.dead;
        if let Some(node) = state.nodes.get_mut(&self.number) {
            match result {
                Ok(()) => {
                    // This sync does not make data durable that an earlier failed sync lost.
                    node.loose.retain(|loose| loose.lost);
                    node.durable_len = node.data.len();
                }
                Err(_) if is_dead => {}
                Err(_) => node.loose.iter_mut().for_each(|loose| loose.lost = true),
            }
        }
        result
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((1, self.number))
    }

    fn version(&self) -> io::Result<u64> {
        self.with(Class::Read, |state, number| {
            let node = state.nodes.get(&number).ok_or(io::ErrorKind::NotFound)?;
            Ok(node.version)
        })
    }

    fn links(&self) -> io::Result<u64> {
        Ok(1)
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}
