//! A copy of a store at work.
//!
//! Owns: [`JobStore::backup`]. Must not know: what is in the files.
//! Promise: the copy holds everything that was acknowledged before the call, is durable
//! when the call returns, and opens as a store; the store that it is of is not touched.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::api::store::JobStore;
use crate::engine::core::Engine;
use crate::log::disk::File as _;
use crate::log::file_names;
use crate::log::identity::{self, Closed};
use crate::model::error::{Error, Result};

/// Bytes copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// How far a backup has come: see [`JobStore::backup_with_progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Bytes of files that are in the copy.
    pub bytes: u64,
    /// Of those, in files that it shares with the store, by hard links: only with
    /// [`JobStore::backup_linked`].
    pub linked_bytes: u64,
    /// Bytes it will have.
    pub of: u64,
}

impl JobStore {
    /// Makes a copy of the store, which goes on meanwhile, in a folder that does not
    /// exist yet or is empty.
    ///
    /// The copy holds everything that was acknowledged before the call, and whole commits
    /// of what came meanwhile or nothing of them. It is a closed store: [`JobStore::verify`]
    /// notices if its end is cut off. When it opens, jobs that are running by then are
    /// recovered as after a crash, and its index is rebuilt.
    ///
    /// The copy shares no file with the store, so nothing that happens to one reaches the
    /// other. [`JobStore::backup_linked`] takes less time and space.
    ///
    /// Both are the same store to ids, and to cursors and positions that were given out
    /// before the call. From there they go their own ways: one refuses, for ever, what the
    /// other gives out ([`Error::InvalidCursor`], [`Error::InvalidPosition`]), as it does on
    /// any copy that was made of a store's folder and opened. Do not put files of one into
    /// the other.
    ///
    /// # Cost
    /// Commits wait for one sync and a look at what files there are. The copy takes as much
    /// space as the log.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] for a folder that holds something; [`Error::InvalidUse`] for a
    /// store in memory, and for a folder within the store's own; [`Error::DiskFull`],
    /// [`Error::PermissionDenied`], [`Error::Io`], [`Error::Closed`], [`Error::ReadOnly`].
    /// What was made of the copy is removed.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let dir = tempfile::tempdir()?;
    /// let store = JobStore::open(dir.path().join("store"))?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let copy = dir.path().join("copy");
    /// store.backup(&copy)?;
    ///
    /// let copy = JobStore::open(&copy)?;
    /// assert_eq!(copy.graph("10001", "movie")?.list(JobQuery::new())?.total(), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with_progress(dir, |_| {})
    }

    /// [`JobStore::backup`] that calls `progress` after each file and each MiB, on this
    /// thread.
    ///
    /// # Errors
    /// Those of [`JobStore::backup`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::JobStore;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = JobStore::open(dir.join("store"))?;
    /// let copied = store.backup_with_progress(dir.join("copy"), |copied| {
    ///     eprintln!("{} of {} bytes", copied.bytes, copied.of);
    /// })?;
    /// assert_eq!(copied.bytes, copied.of);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup_with_progress(
        &self,
        dir: impl AsRef<Path>,
        progress: impl FnMut(BackupReport),
    ) -> Result<BackupReport> {
        self.backup_by(dir.as_ref(), false, progress)
    }

    /// [`JobStore::backup_with_progress`] that shares packs with the store by hard links, if both are
    /// on the same file system: it takes no space and little time.
    ///
    /// A store never writes to a pack again, but each of them is one file with two names:
    /// `chmod`, `chown`, a stray write and a bad sector in one directory are in the other,
    /// too. It guards against mistakes in the store's contents, such as a purge, and not
    /// against damage to its files.
    ///
    /// # Errors
    /// Those of [`JobStore::backup`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::JobStore;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let store = JobStore::open(dir.join("store"))?;
    /// store.backup_linked(dir.join("before-upgrade"), |_| {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup_linked(
        &self,
        dir: impl AsRef<Path>,
        progress: impl FnMut(BackupReport),
    ) -> Result<BackupReport> {
        self.backup_by(dir.as_ref(), true, progress)
    }

    fn backup_by(
        &self,
        dir: &Path,
        links: bool,
        progress: impl FnMut(BackupReport),
    ) -> Result<BackupReport> {
        let _span = tracing::info_span!("backup", dir = %dir.display()).entered();
        let engine = self.engine();
        engine.check_open()?;
        engine.check_sound()?;
        if !engine.is_on_disk() {
            return Err(Error::InvalidUse {
                what: "an in-memory store has no files to back up; export its graphs instead",
            });
        }
        if engine.is_within(dir) {
            return Err(Error::InvalidUse {
                what: "the backup would be inside the store's own directory; choose a directory \
                     outside it",
            });
        }
        let is_new = make_directory(dir)?;
        let mut backup = Backup {
            engine,
            dir,
            links,
            made: Vec::new(),
            done: BackupReport::default(),
            progress,
        };
        let copied = backup.run();
        if copied.is_err() {
            backup
                .made
                .iter()
                .for_each(|path| drop(fs::remove_file(path)));
            if is_new {
                fs::remove_dir(dir).ok();
            }
        }
        copied.map(|()| backup.done)
    }
}

/// Makes the folder, or takes one that is empty.
fn make_directory(dir: &Path) -> Result<bool> {
    let failed = |e: &io::Error| Error::io("create", dir, e);
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {
            let set = fs::set_permissions(dir, Permissions::from_mode(0o700));
            set.map(|()| true).map_err(|e| failed(&e))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let mut there = fs::read_dir(dir).map_err(|e| failed(&e))?;
            match there.next() {
                None => Ok(false),
                Some(found) => {
                    let found = found.map_err(|e| failed(&e))?.file_name();
                    Err(Error::NotEmpty {
                        path: dir.to_path_buf(),
                        found: found.to_string_lossy().into_owned(),
                    })
                }
            }
        }
        Err(e) => Err(failed(&e)),
    }
}

struct Backup<'b, P> {
    engine: &'b Engine,
    dir: &'b Path,
    /// Whether packs are linked where they can be.
    links: bool,
    /// Files of the copy.
    made: Vec<PathBuf>,
    done: BackupReport,
    progress: P,
}

impl<P: FnMut(BackupReport)> Backup<'_, P> {
    fn run(&mut self) -> Result<()> {
        let _to_the_end = self.engine.keep_retired();
        // Packs keep their names as long as this is held.
        let files = self.engine.files_lock.lock();
        self.engine.check_files()?;
        let (packs, segments, closed) = self.engine.at_rest()?;
        let end = closed.end.offset;
        let packed: u64 = packs.iter().map(|pack| pack.bytes).sum();
        let last = segments.len().saturating_sub(1);
        let end_of = |n: usize| match n == last {
            true => Ok(end),
            false => segments[n].end().map_or_else(|| segments[n].file.len(), Ok),
        };
        let mut ends = Vec::new();
        for (n, segment) in segments.iter().enumerate() {
            ends.push(end_of(n).map_err(|e| Error::io("read", &segment.path, &e))?);
        }
        self.done.of = packed + ends.iter().sum::<u64>();
        let mut to_copy = Vec::new();
        for pack in &packs {
            let to = self.dir.join(&pack.name);
            // Beside a reader, another file may have the pack's name by now.
            let links = self.links && !self.engine.read_only;
            if links && self.engine.disk.link_out(&pack.name, &to).is_ok() {
                self.made.push(to);
                self.done.bytes += pack.bytes;
                self.done.linked_bytes += pack.bytes;
                (self.progress)(self.done);
            } else {
                to_copy.push(pack);
            }
        }
        drop(files);
        for pack in to_copy {
            self.copy(&*pack.file, pack.bytes, &pack.name, &pack.path)?;
        }
        for (segment, end) in segments.iter().zip(ends) {
            self.copy(&*segment.file, end, &segment.name, &segment.path)?;
        }
        self.copy_text(file_names::SECRET_KEYS)?;
        self.write_closed(&closed)?;
        // Last: without it the folder is no store.
        self.copy_text(file_names::STORE)?;
        let parent = self.dir.parent().filter(|p| !p.as_os_str().is_empty());
        for dir in [self.dir, parent.unwrap_or(Path::new("."))] {
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(|e| Error::io("sync", dir, &e))?;
        }
        Ok(())
    }

    /// Marks the copy as closed where it ends.
    fn write_closed(&mut self, closed: &Closed) -> Result<()> {
        let text = identity::closed_text(self.engine.store, closed);
        let mut file = self.create(file_names::CLOSED)?;
        let written = file.write_all(text.as_bytes());
        written
            .and_then(|()| file.sync_all())
            .map_err(|e| Error::io("write", self.dir.join(file_names::CLOSED), &e))
    }

    /// Creates a file of the copy.
    fn create(&mut self, name: &str) -> Result<File> {
        let to = self.dir.join(name);
        let failed = |e: &io::Error| Error::io("write", &to, e);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&to);
        let file = opened.map_err(|e| failed(&e))?;
        self.made.push(to.clone());
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|e| failed(&e))?;
        Ok(file)
    }

    /// Copies one of the small texts, if it is there.
    fn copy_text(&mut self, name: &str) -> Result<()> {
        let path = self.engine.disk.path(name);
        let text = match self.engine.disk.open(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && name != file_names::STORE => {
                return Ok(());
            }
            opened => opened.map_err(|e| Error::io("read", &path, &e))?,
        };
        let len = text.len().map_err(|e| Error::io("read", &path, &e))?;
        self.copy(&*text, len, name, &path)
    }

    fn copy(
        &mut self,
        from: &dyn crate::log::disk::File,
        bytes: u64,
        name: &str,
        path: &Path,
    ) -> Result<()> {
        let to = self.dir.join(name);
        let failed = |e: &io::Error| Error::io("write", &to, e);
        let mut file = self.create(name)?;
        let (mut at, mut buffer) = (0, Vec::new());
        while at < bytes {
            let step = (bytes - at).min(COPY_BYTES);
            buffer.resize(step as usize, 0);
            from.read_exact_at(&mut buffer, at)
                .map_err(|e| Error::io("read", path, &e))?;
            file.write_all(&buffer).map_err(|e| failed(&e))?;
            at += step;
            // What a store is made of counts, not the few bytes about it.
            if ![file_names::STORE, file_names::SECRET_KEYS].contains(&name) {
                self.done.bytes += step;
            }
            (self.progress)(self.done);
        }
        file.sync_all().map_err(|e| failed(&e))
    }
}
