// Online backup of a store.
//
// A backup contains every write that was acknowledged before the call, is durable when the call
// returns, and opens as a store. The source is not changed.

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

/// The number of bytes copied in one step.
const COPY_BYTES: u64 = 1 << 20;

/// The progress and result of a backup: see [`JobStore::backup_with_progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// The number of bytes in the files of the backup so far.
    pub bytes: u64,
    /// How many of these bytes are in files shared with the store through hard links. The number is
    /// 0 unless the backup was made with [`JobStore::backup_linked`].
    pub linked_bytes: u64,
    /// The total number of bytes in the complete backup.
    pub of: u64,
}

impl BackupReport {
    /// Returns the report as JSON: `{"bytes":1048576,"linkedBytes":0,"of":1048576}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let BackupReport {
            bytes,
            linked_bytes,
            of,
        } = self;
        format!(r#"{{"bytes":{bytes},"linkedBytes":{linked_bytes},"of":{of}}}"#)
    }
}

impl JobStore {
    /// Backs up the store, while it is in use, to a directory that is empty or does not exist yet.
    ///
    /// The backup contains everything that was acknowledged before the call. A commit made during
    /// the call is included in the backup either completely or not at all. The backup is a closed
    /// store: [`JobStore::verify`] detects whether its end is missing. When it is opened, jobs that
    /// were running at the time of the backup are recovered as after a crash, and the index is
    /// rebuilt.
    ///
    /// The backup shares no files with the store, so damage to one does not affect the other.
    /// [`JobStore::backup_linked`] takes less time and space.
    ///
    /// Job ids, cursors, and change feed positions that were issued before the call are valid in
    /// both stores. Those that are issued afterward are valid only in the store that issued them;
    /// the other store rejects them ([`Error::InvalidCursor`], [`Error::InvalidPosition`]). The
    /// same applies to any copy of a store's directory, once the copy has been opened. Do not mix
    /// the files of the two stores.
    ///
    /// # Cost
    /// Commits wait for one sync and for the list of files to be completed. The backup takes up as
    /// much space as the log.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] if the directory is not empty; [`Error::InvalidUse`] if the store is in
    /// memory, or if the directory is inside the store's own; [`Error::DiskFull`],
    /// [`Error::PermissionDenied`], [`Error::Io`], [`Error::Closed`], [`Error::ReadOnly`]. An
    /// incomplete backup is removed.
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

    /// Like [`JobStore::backup`], but calls `progress` after each file and each MiB, on the calling
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

    /// Like [`JobStore::backup_with_progress`], but shares packs with the store through hard links
    /// if both are on the same file system. Shared packs take up no additional space and are not
    /// copied.
    ///
    /// A store never modifies a pack. But a linked pack is one file with two names, so a `chmod`, a
    /// stray write, or a bad sector affects both. A linked backup protects against mistaken
    /// changes to the store's contents, such as an unintended purge, but not against damage to its
    /// files.
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

/// Creates the directory, or uses an empty one. Returns whether it was created.
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
    /// Whether to link packs if possible.
    links: bool,
    /// Files created in the backup.
    made: Vec<PathBuf>,
    done: BackupReport,
    progress: P,
}

impl<P: FnMut(BackupReport)> Backup<'_, P> {
    fn run(&mut self) -> Result<()> {
        let _to_the_end = self.engine.keep_retired();
        // Packs are not renamed while this lock is held.
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
            // If this process only reads the store, another process may have given the pack's name
            // to another file; so may have a follower that is being restored.
            let engine = self.engine;
            let links = self.links && !engine.read_only && !engine.is_restoring();
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
        // Written last: a directory without it is not a store.
        let text = identity::text_without_replica(&*self.engine.disk, self.engine.store)?;
        self.write_text(file_names::STORE, &text)?;
        let parent = self.dir.parent().filter(|p| !p.as_os_str().is_empty());
        for dir in [self.dir, parent.unwrap_or(Path::new("."))] {
            let synced = File::open(dir).and_then(|dir| dir.sync_all());
            synced.map_err(|e| Error::io("sync", dir, &e))?;
        }
        Ok(())
    }

    /// Records in the backup that the store was closed, and where its log ends.
    fn write_closed(&mut self, closed: &Closed) -> Result<()> {
        let text = identity::closed_text(self.engine.store, closed);
        self.write_text(file_names::CLOSED, &text)
    }

    fn write_text(&mut self, name: &str, text: &str) -> Result<()> {
        let mut file = self.create(name)?;
        let written = file.write_all(text.as_bytes());
        written
            .and_then(|()| file.sync_all())
            .map_err(|e| Error::io("write", self.dir.join(name), &e))
    }

    /// Creates a file of the backup.
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

    /// Copies one of the small text files, if it exists.
    fn copy_text(&mut self, name: &str) -> Result<()> {
        let path = self.engine.disk.path(name);
        let text = match self.engine.disk.open(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
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
            // The progress covers the log, but not the small files, which are only a few bytes
            // long.
            if name != file_names::SECRET_KEYS {
                self.done.bytes += step;
            }
            (self.progress)(self.done);
        }
        file.sync_all().map_err(|e| failed(&e))
    }
}
