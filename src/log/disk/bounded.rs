//! A directory with a bounded number of open files, however many files it has.
//!
//! A file that has not been read recently is closed, and is opened again by name when needed.
//! Therefore, a file that loses its name while someone can still read it is kept open until its
//! last handle is dropped. The number of open descriptors is at most `OPEN_MAX`, plus the few files
//! that must stay open, plus the files without a name that are still in use. If another file has
//! since taken over the name of a closed file, that other file is never read instead. Nor is a file
//! that another process replaced, and whose space it has used for other data.

pub(crate) mod pool;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

pub(crate) use self::pool::FileAccess;
use self::pool::{OnDemand, Original, Shared, State};
use crate::base::sync::atomic::{AtomicBool, Ordering};
use crate::base::sync::{Mutex, RwLock};
use crate::log::disk::{Disk, File, FreedSpace};

/// A directory whose files are closed and reopened as needed.
pub(crate) struct BoundedDisk {
    shared: Arc<Shared>,
}

/// The handle that callers get. The pool does not keep a file open after its last handle is
/// dropped.
struct Handle(Arc<OnDemand>);

impl BoundedDisk {
    pub(crate) fn new(disk: Arc<dyn Disk>, access: FileAccess) -> BoundedDisk {
        BoundedDisk {
            shared: Arc::new(Shared {
                disk,
                access,
                pool: Mutex::default(),
            }),
        }
    }

    fn check_write(&self) -> io::Result<()> {
        match self.shared.access {
            FileAccess::ReadWrite => Ok(()),
            FileAccess::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn add(
        &self,
        name: &str,
        is_writable: bool,
        open: impl FnOnce(&dyn Disk) -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<dyn File>> {
        let mut pool = self.shared.pool.lock();
        pool.make_room();
        let file = open(&*self.shared.disk)?;
        let on_demand = Arc::new(OnDemand {
            shared: Arc::downgrade(&self.shared),
            state: RwLock::new(State {
                name: name.to_owned(),
                is_writable,
                identity: file.identity()?,
                original: match self.shared.access {
                    FileAccess::ReadWrite => None,
                    FileAccess::ReadOnly => Some(Original::of(&*file)?),
                },
                len: match is_writable {
                    true => None,
                    false => Some(file.len()?),
                },
                file: Some(file),
                is_pinned: false,
            }),
            is_used: AtomicBool::new(true),
            is_dirty: AtomicBool::new(false),
        });
        pool.open.push_back(on_demand.clone());
        pool.name(name, Arc::downgrade(&on_demand));
        Ok(Arc::new(Handle(on_demand)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // No handle is left, so nobody can read the file.
        self.0.state.write().file = None;
        if let Some(shared) = self.0.shared.upgrade() {
            let mut pool = shared.pool.lock();
            pool.open.retain(|open| !Arc::ptr_eq(open, &self.0));
        }
    }
}

impl Disk for BoundedDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.check_write()?;
        self.add(name, true, |disk| disk.create(name))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.add(name, false, |disk| disk.open(name))
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.check_write()?;
        self.add(name, true, |disk| disk.open_to_write(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_write()?;
        let mut pool = self.shared.pool.lock();
        pool.pin(&self.shared, to)?;
        self.shared.disk.rename(from, to)?;
        let moved = pool.by_name.remove(from).unwrap_or_default();
        for file in moved.iter().filter_map(Weak::upgrade) {
            to.clone_into(&mut file.state.write().name);
        }
        pool.by_name.insert(to.to_owned(), moved);
        Ok(())
    }

    fn link(&self, name: &str, further: &str) -> io::Result<()> {
        self.check_write()?;
        self.shared.disk.link(name, further)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_write()?;
        let mut pool = self.shared.pool.lock();
        pool.pin(&self.shared, name)?;
        self.shared.disk.remove(name)?;
        pool.by_name.remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.shared.disk.names()
    }

    fn sync_names(&self) -> io::Result<()> {
        self.check_write()?;
        self.shared.disk.sync_names()
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        self.shared.disk.free_bytes()
    }

    fn freed_space(&self) -> FreedSpace {
        self.shared.disk.freed_space()
    }

    fn link_out(&self, name: &str, to: &Path) -> io::Result<()> {
        self.shared.disk.link_out(name, to)
    }

    fn identity(&self, name: &str) -> io::Result<Option<(u64, u64)>> {
        self.shared.disk.identity(name)
    }

    fn links(&self, name: &str) -> io::Result<u64> {
        self.shared.disk.links(name)
    }

    fn is_in_place(&self) -> io::Result<bool> {
        self.shared.disk.is_in_place()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.shared.disk.path(name)
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        let file = self.0.file()?;
        let len = file.len()?;
        self.0.check_not_reused(&*file)?;
        Ok(len)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.0.file()?;
        let read = file.read_exact_at(buffer, offset);
        self.0.check_not_reused(&*file)?;
        read
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        // Set before the file is looked up. From now on, the pool does not close it.
        self.0.is_dirty.store(true, Ordering::Release);
        self.0.file()?.write_all_at(data, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.0.is_dirty.store(true, Ordering::Release);
        self.0.file()?.cut(len)
    }

    fn sync(&self) -> io::Result<()> {
        let file = self.0.file()?;
        let was_dirty = self.0.is_dirty.swap(false, Ordering::AcqRel);
        let synced = file.sync();
        if synced.is_err() && was_dirty {
            self.0.is_dirty.store(true, Ordering::Release);
        }
        synced
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok(self.0.state.read().identity)
    }

    fn version(&self) -> io::Result<u64> {
        self.0.file()?.version()
    }

    fn links(&self) -> io::Result<u64> {
        self.0.file()?.links()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.keep_open()?;
        self.0.file()?.try_lock()
    }

    fn keep_open(&self) -> io::Result<()> {
        let file = self.0.file()?;
        let mut state = self.0.state.write();
        state.is_pinned = true;
        state.file = Some(file);
        Ok(())
    }
}

#[cfg(all(test, not(jobstore_shuttle)))]
mod tests {
    use super::pool::OPEN_MAX;
    use super::*;
    use crate::log::disk::memory::MemoryDisk;
    use crate::log::disk::os::OsDirectory;
    use crate::model::error::Revoked;

    fn content(file: &dyn File) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn is_open(disk: &BoundedDisk) -> usize {
        disk.shared.pool.lock().open.len()
    }

    #[test]
    fn all_files_are_read_while_few_are_open() {
        let disk = BoundedDisk::new(Arc::new(MemoryDisk::default()), FileAccess::ReadWrite);
        let mut files = Vec::new();
        for n in 0..5 * OPEN_MAX {
            let file = disk.create(&format!("{n}")).unwrap();
            file.write_all_at(format!("content {n}").as_bytes(), 0)
                .unwrap();
            file.sync().unwrap();
            files.push(file);
            assert!(is_open(&disk) <= OPEN_MAX);
        }
        for _ in 0..2 {
            for (n, file) in files.iter().enumerate() {
                assert_eq!(content(&**file).unwrap(), format!("content {n}").as_bytes());
                assert!(is_open(&disk) <= OPEN_MAX);
            }
        }
        files.truncate(3);
        assert!(is_open(&disk) <= 3, "a file nobody can read is closed");
    }

    #[test]
    fn what_is_not_synced_stays_open() {
        let disk = BoundedDisk::new(Arc::new(MemoryDisk::default()), FileAccess::ReadWrite);
        let written = disk.create("written").unwrap();
        written.write_all_at(b"1", 0).unwrap();
        let Some(dirty) = disk.shared.pool.lock().open.front().cloned() else {
            panic!("it is open");
        };
        for n in 0..2 * OPEN_MAX {
            disk.create(&format!("{n}")).unwrap();
        }
        let others: Vec<_> = (0..2 * OPEN_MAX)
            .map(|n| disk.open(&format!("{n}")).unwrap())
            .collect();
        assert!(dirty.state.read().file.is_some());
        written.sync().unwrap();
        let more: Vec<_> = (0..2 * OPEN_MAX)
            .map(|n| disk.open(&format!("{n}")).unwrap())
            .collect();
        assert!(dirty.state.read().file.is_none());
        written.write_all_at(b"2", 1).unwrap();
        assert_eq!(content(&*written).unwrap(), b"12");
        drop((others, more));
    }

    #[test]
    fn what_is_kept_open_is_never_closed() {
        let disk = BoundedDisk::new(Arc::new(MemoryDisk::default()), FileAccess::ReadWrite);
        let create = |name: &str| disk.create(name).unwrap();
        for name in ["kept", "not kept"] {
            create(name);
        }
        let kept = disk.open("kept").unwrap();
        kept.keep_open().unwrap();
        let not_kept = disk.open("not kept").unwrap();
        let others: Vec<_> = (0..3 * OPEN_MAX).map(|n| create(&format!("{n}"))).collect();
        let is_open = |name: &str| {
            let pool = disk.shared.pool.lock();
            let files = pool.by_name[name].iter().filter_map(Weak::upgrade);
            let open: Vec<bool> = files.map(|f| f.state.read().file.is_some()).collect();
            open == [true]
        };
        assert!(is_open("kept"));
        assert!(!is_open("not kept"));
        assert!(disk.shared.pool.lock().open.len() <= OPEN_MAX);
        drop((kept, not_kept, others));
    }

    #[test]
    fn a_file_that_loses_its_name_is_read_on_and_none_is_taken_for_another() {
        let disk = BoundedDisk::new(Arc::new(MemoryDisk::default()), FileAccess::ReadWrite);
        let write = |name: &str, text: &[u8]| {
            let file = disk.create(name).unwrap();
            file.write_all_at(text, 0).unwrap();
            file.sync().unwrap();
        };
        let push_out = || {
            for n in 0..2 * OPEN_MAX {
                let name = format!("other {n}");
                write(&name, b"");
                disk.remove(&name).unwrap();
            }
            let names: Vec<String> = (0..2 * OPEN_MAX).map(|n| format!("more {n}")).collect();
            names.iter().for_each(|name| write(name, b"x"));
            let open: Vec<_> = names.iter().map(|name| disk.open(name).unwrap()).collect();
            drop(open);
            names.iter().for_each(|name| disk.remove(name).unwrap());
        };
        write("a", b"first");
        write("b", b"gone");
        let (a, b) = (disk.open("a").unwrap(), disk.open("b").unwrap());
        push_out();
        write("a.aside", b"later");
        disk.rename("a.aside", "a").unwrap();
        disk.remove("b").unwrap();
        push_out();
        assert_eq!(content(&*a).unwrap(), b"first");
        assert_eq!(content(&*b).unwrap(), b"gone");
        assert_eq!(content(&*disk.open("a").unwrap()).unwrap(), b"later");
        assert!(disk.open("b").is_err());
    }

    #[test]
    fn a_reader_changes_nothing_and_notices_what_others_replace() {
        let memory = Arc::new(MemoryDisk::default());
        let write = |name: &str, text: &[u8]| {
            let file = memory.create(name).unwrap();
            file.write_all_at(text, 0).unwrap();
        };
        for n in 0..2 * OPEN_MAX {
            write(&format!("{n}"), b"before");
        }
        let disk = BoundedDisk::new(memory.clone(), FileAccess::ReadOnly);
        let files: Vec<_> = (0..2 * OPEN_MAX)
            .map(|n| disk.open(&format!("{n}")).unwrap())
            .collect();
        let refused = [
            disk.create("new").map(drop),
            disk.open_to_write("0").map(drop),
            disk.rename("0", "1"),
            disk.link("0", "new"),
            disk.remove("0"),
            disk.sync_names(),
        ];
        for refused in refused {
            let kind = refused.unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::ReadOnlyFilesystem);
        }
        for n in 0..2 * OPEN_MAX {
            let name = format!("{n}");
            memory.remove(&name).unwrap();
            if n % 2 == 0 {
                write(&name, b"replaced");
            }
        }
        let (mut read, mut noticed) = (0, 0);
        for file in files {
            match content(&*file) {
                Ok(content) => {
                    assert_eq!(content, b"before");
                    read += 1;
                }
                Err(e) => {
                    assert!(e.get_ref().is_some_and(|why| why.is::<Revoked>()), "{e}");
                    noticed += 1;
                }
            }
        }
        assert!(read > 0 && noticed > 0, "{read} read, {noticed} noticed");
    }

    #[test]
    fn a_reader_notices_that_a_replaced_file_was_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let writer = OsDirectory::open(dir.path()).unwrap();
        let appended = writer.create("appended").unwrap();
        appended.write_all_at(b"before", 0).unwrap();
        writer
            .create("replaced")
            .unwrap()
            .write_all_at(b"before", 0)
            .unwrap();
        let reader = OsDirectory::open(dir.path()).unwrap();
        let disk = BoundedDisk::new(Arc::new(reader), FileAccess::ReadOnly);
        let files = ["appended", "replaced"].map(|name| disk.open(name).unwrap());
        let removed = disk.open("appended").unwrap();
        writer.rename("replaced", "reserve").unwrap();
        for file in &files {
            assert_eq!(content(&**file).unwrap(), b"before");
        }
        let reserve = writer.open_to_write("reserve").unwrap();
        // The clock of the file system may be coarse.
        let version = reserve.version().unwrap();
        while reserve.version().unwrap() == version {
            reserve.write_all_at(&[0; 6], 0).unwrap();
            appended.write_all_at(b"after", 6).unwrap();
        }
        assert_eq!(content(&*files[0]).unwrap(), b"beforeafter");
        // Removing a file that was appended to leaves its readers alone.
        writer.remove("appended").unwrap();
        assert_eq!(content(&*removed).unwrap(), b"beforeafter");
        let is_noticed = || {
            let error = content(&*files[1]).unwrap_err();
            error.get_ref().is_some_and(|why| why.is::<Revoked>())
        };
        assert!(is_noticed());
        writer.remove("reserve").unwrap();
        assert!(is_noticed());
    }
}
