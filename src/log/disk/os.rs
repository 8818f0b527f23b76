//! A directory of the operating system.
//!
//! Everything in it is reached through one directory handle, so all files stay together even if the
//! directory is moved. Files have mode 0600, and the directory has mode 0700. Symbolic links in it
//! are not followed. After [`Disk::sync_names`] or [`File::sync`] has returned, its changes survive
//! a power failure, as far as the device keeps its guarantees.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Disk, File, FreedSpace};

/// The flags with which any file is opened. Opening a pipe does not block.
const PLAIN: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);

pub(crate) struct OsDirectory {
    /// The path as it was passed, for messages.
    path: PathBuf,
    /// The absolute path, because the working directory may change.
    place: PathBuf,
    handle: Arc<fs::File>,
}

impl OsDirectory {
    /// Opens an existing directory.
    pub(crate) fn open(path: &Path) -> io::Result<OsDirectory> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(OsDirectory {
            path: path.to_path_buf(),
            place: std::path::absolute(path)?,
            handle: Arc::new(handle),
        })
    }

    /// Durably creates the directory and its missing parents.
    pub(crate) fn create(path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        OsDirectory::create(parent)?;
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) => return Err(e),
            // The umask may have removed permissions of the owner, too.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700))?,
        }
        fs::File::open(parent)?.sync_all()
    }

    /// The handle of the open directory. The store locks the directory itself because it cannot be
    /// deleted or replaced as long as it contains files.
    pub(crate) fn handle(&self) -> &Arc<fs::File> {
        &self.handle
    }

    /// The absolute path.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// Opens a file for reading and writing, and creates it if it does not exist. Its contents are
    /// kept.
    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<fs::File> {
        match self.open_plain(name, OFlags::RDWR) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => match self.create_plain(name) {
                // Another process created it first.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    self.open_plain(name, OFlags::RDWR)
                }
                created => created,
            },
            opened => opened,
        }
    }

    /// Opens a regular file.
    pub(crate) fn open_plain(&self, name: &str, flags: OFlags) -> io::Result<fs::File> {
        let opened = rustix::fs::openat(&*self.handle, name, flags | PLAIN, Mode::empty());
        let file = match opened {
            Err(Errno::LOOP) => return Err(not_regular("a symbolic link")),
            // A pipe without a reader, or a socket.
            Err(Errno::NXIO) => return Err(not_regular("a pipe or socket")),
            opened => fs::File::from(opened?),
        };
        match file.metadata()? {
            found if found.is_file() => Ok(file),
            found if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(not_regular("a pipe or device")),
        }
    }

    /// Atomically exchanges the names of two files or directories. Fails if the file system does
    /// not support this.
    pub(crate) fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            Ok(rustix::fs::renameat_with(
                &*self.handle,
                one,
                &*self.handle,
                other,
                flags,
            )?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (one, other);
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    /// Returns the metadata of a regular file. `None` if there is no such file.
    fn stat_file(&self, name: &str) -> io::Result<Option<rustix::fs::Stat>> {
        match rustix::fs::statat(&*self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
                Ok(Some(found))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn create_plain(&self, name: &str) -> io::Result<fs::File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | PLAIN;
        let file = rustix::fs::openat(&*self.handle, name, flags, OWNER_ONLY)?;
        // The umask may have removed permissions of the owner.
        rustix::fs::fchmod(&file, OWNER_ONLY)?;
        Ok(fs::File::from(file))
    }
}

fn not_regular(what: &str) -> io::Error {
    let what = format!("it is {what}, not a regular file; remove it");
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

impl Disk for OsDirectory {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OsFile(self.create_plain(name)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OsFile(self.open_plain(name, OFlags::RDONLY)?)))
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(OsFile(self.open_plain(name, OFlags::RDWR)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(
            &*self.handle,
            from,
            &*self.handle,
            to,
        )?)
    }

    fn link(&self, name: &str, further: &str) -> io::Result<()> {
        let (dir, flags) = (&*self.handle, AtFlags::empty());
        Ok(rustix::fs::linkat(dir, name, dir, further, flags)?)
    }

    fn link_out(&self, name: &str, to: &Path) -> io::Result<()> {
        let flags = AtFlags::empty();
        Ok(rustix::fs::linkat(&*self.handle, name, CWD, to, flags)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.handle, name, AtFlags::empty())?)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&*self.handle)? {
            // A name that is not valid UTF-8 does not belong to the store.
            if let Ok(name) = entry?.file_name().to_str() {
                if ![".", ".."].contains(&name) {
                    names.push(name.to_owned());
                }
            }
        }
        Ok(names)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        let found = rustix::fs::fstatvfs(&*self.handle)?;
        Ok(Some(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn freed_space(&self) -> FreedSpace {
        let found = rustix::fs::fstatvfs(&*self.handle);
        found.map_or(FreedSpace::Unknown, |found| {
            FreedSpace::of(found.f_bavail, found.f_bfree)
        })
    }

    #[allow(clippy::unnecessary_cast, reason = "not on every system")]
    fn identity(&self, name: &str) -> io::Result<Option<(u64, u64)>> {
        let found = self.stat_file(name)?;
        Ok(found.map(|found| (found.st_dev as u64, found.st_ino as u64)))
    }

    #[allow(clippy::unnecessary_cast, reason = "not on every system")]
    fn links(&self, name: &str) -> io::Result<u64> {
        let found = self.stat_file(name)?;
        Ok(found.map_or(0, |found| found.st_nlink as u64))
    }

    fn is_in_place(&self) -> io::Result<bool> {
        match fs::metadata(&self.place) {
            Ok(there) => Ok(identity(&there) == identity(&self.handle.metadata()?)),
            Err(e) => match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(false),
                _ => Err(e),
            },
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

struct OsFile(fs::File);

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        // The identity is queried each time, because an overlay file system may change it once,
        // when a file of a lower layer is first written to.
        Ok(identity(&self.0.metadata()?))
    }

    fn links(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.nlink())
    }

    fn version(&self) -> io::Result<u64> {
        let found = self.0.metadata()?;
        let nanoseconds =
            i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
        Ok(nanoseconds as u64)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Ok(false),
            done => done.map(|()| true).map_err(io::Error::from),
        }
    }
}
