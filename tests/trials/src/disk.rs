//! A disk that forgets what was not synced.
//!
//! Owns: [`Disk`]: what a process's calls have made of a folder, apart what of it is
//! durable, and the [`Image`]s that a power cut could leave. Must not know: stores.
//! Promise: durable is what was written before the start of a sync that returned
//! well; a name, once its folder was synced so. Of the rest any part may be there:
//! each sector of 512 bytes and each name on its own. After a sync that failed, what
//! it was to make durable never becomes so by a later one.

mod file;
mod image;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::disk::file::{Change, File};
use crate::trace::{At, Call, Event, Trace};

pub use image::{Image, Kept};

/// Files and folders below a root, as they are and as they are durably.
pub struct Disk {
    root: String,
    files: Vec<File>,
    /// By path; the root's is empty.
    directories: BTreeMap<String, Directory>,
    /// Open files of the process.
    open: HashMap<i64, Open>,
    /// Writes that began and have not ended, by the number of their call.
    at_work: HashMap<usize, (usize, Change)>,
    /// What each sync that has not ended is to make durable.
    syncs: HashMap<usize, Scope>,
    /// Calls that began and have not ended.
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
    /// What was changed since the last sync, each whole or not at all.
    pending: Vec<Vec<Entry>>,
    /// How many were made durable before those.
    base: usize,
}

/// A name that was set or taken away.
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
    /// Where the process says what it does.
    Words,
}

/// So many changes of this file or folder.
enum Scope {
    File(usize, usize),
    Directory(String, usize),
    Nothing,
}

/// What a step was, for those who look at the disk.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// The process says something.
    Says(Arc<[u8]>),
    /// A sync is about to end well; `names` when it is that of a folder.
    Synced,
    Other,
}

impl Disk {
    /// An empty one; `root` is the path of the real folder that is followed.
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

    /// A new process begins; its first open file is for its words.
    pub fn begin_process(&mut self) {
        self.open = HashMap::from([(1, Open::Words)]);
        self.syncs.clear();
    }

    /// What the next event is.
    #[must_use]
    pub fn look(&self, trace: &Trace, event: Event) -> Step {
        match event {
            Event::Began(call) => match &trace.calls[call] {
                // Words that a kill cut short were not heard; and strace can show the
                // last call of a killed thread a second time.
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

    /// Whether a sync that ends is one of a folder, or of a file with such a name.
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

    /// Whether there is a file or folder of this path now.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.node(path).is_some()
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// It cannot be: the trace or this model is wrong.
    pub fn take(&mut self, trace: &Trace, event: Event) -> Result<(), String> {
        match event {
            Event::Began(number) => self.began(number, &trace.calls[number]),
            Event::Ended(number, value) => {
                let call = &trace.calls[number];
                let taken = self.ended(number, call, value);
                taken.ok_or_else(|| format!("it cannot be that {call:?} returned {value}"))?;
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
            // Its number may be given to another before this is seen to end.
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

    /// The path below the root; `None` for all others.
    fn resolve(&self, (directory, path): &At) -> Option<String> {
        // A path through the handle of a folder.
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

    /// Sets and takes away names, all of them in one folder, as one change.
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
