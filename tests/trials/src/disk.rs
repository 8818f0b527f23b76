//! A disk that loses unsynced data.
//!
//! Contains [`Disk`]: the state of a directory after a process's calls, the durable part of it, and
//! the [`Image`]s that a power failure could leave. Data is durable if it was written before the
//! start of a sync that succeeded. A name is durable once its directory was synced. Any part of the
//! rest may be present: each sector of 512 bytes and each name independently. If a sync fails, a
//! later successful sync does not make its data durable.

mod file;
mod image;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::disk::file::{Change, File};
use crate::trace::{At, Call, Event, Trace};

pub use image::{Image, Kept};

/// Files and directories below a root, in their current and durable states.
pub struct Disk {
    root: String,
    files: Vec<File>,
    /// The directories by path. The path of the root is empty.
    directories: BTreeMap<String, Directory>,
    /// The open files of the process.
    open: HashMap<i64, Open>,
    /// The writes that have begun but not ended, by the number of their call.
    at_work: HashMap<usize, (usize, Change)>,
    /// What each pending sync will make durable.
    syncs: HashMap<usize, Scope>,
    /// The calls that have begun but not ended.
    begun: HashMap<usize, Call>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    File(usize),
    Directory,
}

#[derive(Default)]
struct Directory {
    durable: BTreeMap<String, Node>,
    now: BTreeMap<String, Node>,
    /// The changes since the last sync. Each of them is atomic.
    pending: Vec<Vec<Entry>>,
    /// The number of earlier changes, which are durable.
    base: usize,
}

/// A name that was set or removed.
#[derive(Clone)]
struct Entry {
    name: String,
    node: Option<Node>,
}

#[derive(Clone)]
enum Open {
    File {
        file: usize,
        at: u64,
        appends: bool,
    },
    Directory(String),
    /// The process's output.
    Words,
}

/// How many changes a sync makes durable in a file or directory.
enum Scope {
    File(usize, usize),
    Directory(String, usize),
    Nothing,
}

/// The meaning of an event, for the checks of the disk.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The process writes output.
    Says(Arc<[u8]>),
    /// A sync is about to succeed.
    Synced,
    Other,
}

impl Disk {
    /// Returns an empty disk. `root` is the path of the real directory that is traced.
    #[must_use]
    pub fn new(root: &Path) -> Disk {
        let root = root.to_string_lossy().into_owned();
        Disk {
            root,
            files: Vec::new(),
            directories: BTreeMap::from([(String::new(), Directory::default())]),
            open: HashMap::new(),
            at_work: HashMap::new(),
            syncs: HashMap::new(),
            begun: HashMap::new(),
        }
    }

    /// Begins a new process. Its first open file is its output.
    pub fn begin_process(&mut self) {
        self.open = HashMap::from([(1, Open::Words)]);
        self.syncs.clear();
    }

    /// Returns the meaning of the next event.
    #[must_use]
    pub fn look(&self, trace: &Trace, event: Event) -> Step {
        match event {
            Event::Began(call) => match &trace.calls[call] {
                // If a kill cut off the output, nobody read it. Besides, strace can show the last
                // call of a killed thread twice.
                Call::Write { file, data, .. } if self.is_words(*file) && trace.ended[call] => {
                    Step::Says(data.clone())
                }
                _ => Step::Other,
            },
            Event::Ended(call, 0) if self.syncs.contains_key(&call) => {
                match self.syncs.get(&call) {
                    None | Some(Scope::Nothing) => Step::Other,
                    Some(_) => Step::Synced,
                }
            }
            Event::Ended(..) => Step::Other,
        }
    }

    /// Returns whether a sync that ends is a sync of a directory, or of a file with this suffix.
    #[must_use]
    pub fn syncs_names_or(&self, event: Event, ending: &str) -> bool {
        let Event::Ended(call, _) = event else {
            return false;
        };
        match self.syncs.get(&call) {
            Some(Scope::Directory(..)) => true,
            Some(Scope::File(file, _)) => self.directories.values().any(|directory| {
                let mut names = directory.now.iter();
                names.any(|(name, node)| *node == Node::File(*file) && name.ends_with(ending))
            }),
            _ => false,
        }
    }

    fn is_words(&self, file: i64) -> bool {
        matches!(self.open.get(&file), Some(Open::Words))
    }

    /// Whether a file or directory of this path exists.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.node(path).is_some()
    }

    /// Applies the next event.
    ///
    /// # Errors
    /// The event is impossible: the trace or this model is wrong.
    pub fn take(&mut self, trace: &Trace, event: Event) -> Result<(), String> {
        match event {
            Event::Began(number) => self.began(number, &trace.calls[number]),
            Event::Ended(number, value) => {
                let call = &trace.calls[number];
                let taken = self.ended(number, call, value);
                taken.ok_or_else(|| format!("{call:?} cannot have returned {value}"))?;
            }
        }
        Ok(())
    }

    fn began(&mut self, number: usize, call: &Call) {
        self.begun.insert(number, call.clone());
        match call {
            Call::Write { file, at, data } => {
                if let Some(Open::File { file, at: here, .. }) = self.open.get(file) {
                    let at = at.unwrap_or(*here);
                    let data = data.clone();
                    self.at_work
                        .insert(number, (*file, Change::Write { at, data }));
                }
            }
            Call::Sync(file) => {
                let scope = match self.open.get(file) {
                    Some(Open::File { file, .. }) => {
                        Scope::File(*file, self.files[*file].changes())
                    }
                    Some(Open::Directory(path)) => {
                        let directory = self.directories.get(path);
                        let changes = directory.map_or(0, |f| f.base + f.pending.len());
                        Scope::Directory(path.clone(), changes)
                    }
                    _ => Scope::Nothing,
                };
                self.syncs.insert(number, scope);
            }
            // The number of the file may be reused before the end of this call is seen.
            Call::Close(file) => {
                self.open.remove(file);
            }
            _ => {}
        }
    }

    fn ended(&mut self, number: usize, call: &Call, value: i64) -> Option<()> {
        self.begun.remove(&number);
        let written = self.at_work.remove(&number);
        let synced = self.syncs.remove(&number);
        if value < 0 {
            if let Some(Scope::File(file, changes)) = synced {
                self.files[file].sync_failed(changes);
            }
            return Some(());
        }
        match call {
            Call::Open {
                path,
                creates,
                cuts,
                appends,
            } => {
                if let Some(path) = self.resolve(path) {
                    self.open_path(&path, value, (*creates, *cuts, *appends))?;
                }
            }
            Call::MakeDir(path) => {
                if let Some(path) = self.resolve(path) {
                    self.directories.insert(path.clone(), Directory::default());
                    self.set(&[(&path, Some(Node::Directory))])?;
                }
            }
            Call::Write { file, at, .. } => {
                if let Some((written, mut change)) = written {
                    change.cut(value as u64);
                    if at.is_none() {
                        if let Some(Open::File { at, appends, .. }) = self.open.get_mut(file) {
                            if *appends {
                                return None;
                            }
                            *at += value as u64;
                        }
                    }
                    self.files[written].change(change);
                }
            }
            Call::SetLen { file, len } => {
                if let Some(Open::File { file, .. }) = self.open.get(file) {
                    self.files[*file].change(Change::SetLen(*len));
                }
            }
            Call::Rename(from, to) => {
                if let (Some(from), Some(to)) = (self.resolve(from), self.resolve(to)) {
                    let node = self.node(&from)?;
                    self.set(&[(&from, None), (&to, Some(node))])?;
                }
            }
            Call::Remove(path) => {
                if let Some(path) = self.resolve(path) {
                    self.set(&[(&path, None)])?;
                }
            }
            Call::Sync(_) => match synced? {
                Scope::File(file, changes) => self.files[file].synced(changes),
                Scope::Directory(path, changes) => self.directories.get_mut(&path)?.synced(changes),
                Scope::Nothing => {}
            },
            Call::Dup { from } => {
                if let Some(open) = self.open.get(from).cloned() {
                    self.open.insert(value, open);
                }
            }
            Call::Close(_) | Call::Nothing => {}
            Call::Unknown => return None,
        }
        Some(())
    }

    /// Returns the path below the root. `None` for any other path.
    fn resolve(&self, (directory, path): &At) -> Option<String> {
        // A path relative to the handle of a directory.
        let by_handle = || {
            let (directory, path) = path.strip_prefix("/proc/self/fd/")?.split_once('/')?;
            Some((Some(directory.parse().ok()?), path.to_owned()))
        };
        let by_handle = by_handle();
        let (directory, path) = match &by_handle {
            Some((directory, path)) => (directory, path),
            None => (directory, path),
        };
        let whole = match (directory, path.starts_with('/')) {
            (_, true) => path.clone(),
            (Some(directory), false) => match self.open.get(directory)? {
                Open::Directory(above) => format!("{}/{above}/{path}", self.root),
                _ => return None,
            },
            (None, false) => return None,
        };
        let below = whole.strip_prefix(&self.root)?;
        (below.is_empty() || below.starts_with('/')).then(|| {
            below
                .trim_end_matches("/.")
                .trim_matches('/')
                .replace("//", "/")
        })
    }

    fn node(&self, path: &str) -> Option<Node> {
        if path.is_empty() {
            return Some(Node::Directory);
        }
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.directories.get(directory)?.now.get(name).copied()
    }

    fn open_path(&mut self, path: &str, number: i64, how: (bool, bool, bool)) -> Option<()> {
        let (creates, cuts, appends) = how;
        let opened = match self.node(path) {
            Some(Node::Directory) => Open::Directory(path.to_owned()),
            Some(Node::File(file)) => {
                if cuts && self.files[file].len() > 0 {
                    self.files[file].change(Change::SetLen(0));
                }
                Open::File {
                    file,
                    at: 0,
                    appends,
                }
            }
            None if creates => {
                let file = self.files.len();
                self.files.push(File::default());
                self.set(&[(path, Some(Node::File(file)))])?;
                Open::File {
                    file,
                    at: 0,
                    appends,
                }
            }
            None => return None,
        };
        self.open.insert(number, opened);
        Some(())
    }

    /// Sets and removes names in one directory, as one change.
    fn set(&mut self, names: &[(&str, Option<Node>)]) -> Option<()> {
        let mut changes = Vec::new();
        let mut within = "";
        for (path, node) in names {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            within = directory;
            changes.push(Entry {
                name: name.to_owned(),
                node: *node,
            });
        }
        let directory = self.directories.get_mut(within)?;
        changes
            .iter()
            .for_each(|change| change.apply(&mut directory.now));
        directory.pending.push(changes);
        Some(())
    }
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self.node {
            Some(node) => names.insert(self.name.clone(), node),
            None => names.remove(&self.name),
        };
    }
}

impl Directory {
    fn synced(&mut self, changes: usize) {
        let count = changes.saturating_sub(self.base);
        for change in self.pending.drain(..count) {
            change
                .iter()
                .for_each(|entry| entry.apply(&mut self.durable));
        }
        self.base += count;
    }
}
