//! A directory in memory, for stores without a disk and for crash tests.
//!
//! It behaves like a directory of the operating system. `trial` simulates crashes.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::sync::{Mutex, RwLock};

use super::{Disk, File, FreedSpace};

#[cfg(test)]
#[cfg_attr(jobstore_shuttle, allow(dead_code, reason = "each uses a part"))]
pub(crate) mod trial;
#[cfg(test)]
use trial::Trial;

#[derive(Default)]
pub(crate) struct MemoryDisk {
    names: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    trial: Arc<Trial>,
}

/// Outside of tests, no calls fail and no crashes are simulated.
#[cfg(not(test))]
#[derive(Default)]
struct Trial;

#[cfg(not(test))]
#[allow(clippy::unused_self, clippy::unnecessary_wraps)]
impl Trial {
    fn create(&self, _name: &str) -> io::Result<u64> {
        Ok(0)
    }

    fn link(&self, _name: &str, _number: u64) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn open(&self) -> io::Result<()> {
        Ok(())
    }

    fn closed(&self, _file: u64) {}

    fn free_bytes(&self) -> Option<u64> {
        None
    }

    fn freed_space(&self) -> FreedSpace {
        FreedSpace::Usable
    }

    fn write(&self, _file: u64, data: &[u8], _offset: u64) -> (usize, io::Result<()>) {
        (data.len(), Ok(()))
    }

    fn cut(&self, _file: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self, _file: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut names = self.names.lock();
        if names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile {
            content: RwLock::default(),
            number: self.trial.create(name)?,
            trial: self.trial.clone(),
        });
        names.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        match self.names.lock().get(name) {
            Some(file) => self
                .trial
                .open()
                .map(|()| -> Arc<dyn File> { file.clone() }),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open(name)
    }

    fn link(&self, name: &str, further: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        if names.contains_key(further) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = names.get(name).ok_or(io::ErrorKind::NotFound)?.clone();
        self.trial.link(further, file.number)?;
        names.insert(further.to_owned(), file);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        if !names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.trial.rename(from, to)?;
        let file = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut names = self.names.lock();
        if !names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.trial.remove(name)?;
        names.remove(name);
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.names.lock().keys().cloned().collect())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.trial.sync_names()
    }

    fn free_bytes(&self) -> io::Result<Option<u64>> {
        Ok(self.trial.free_bytes())
    }

    fn freed_space(&self) -> FreedSpace {
        self.trial.freed_space()
    }

    fn link_out(&self, _name: &str, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn identity(&self, name: &str) -> io::Result<Option<(u64, u64)>> {
        let file = self.names.lock().get(name).cloned();
        file.map(|file| file.identity()).transpose()
    }

    fn links(&self, name: &str) -> io::Result<u64> {
        let names = self.names.lock();
        let Some(file) = names.get(name) else {
            return Ok(0);
        };
        let links = names.values().filter(|other| Arc::ptr_eq(other, file));
        Ok(links.count() as u64)
    }

    fn is_in_place(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

struct MemoryFile {
    content: RwLock<Vec<u8>>,
    /// The file's number in the trial.
    number: u64,
    trial: Arc<Trial>,
}

impl Drop for MemoryFile {
    /// The file has neither a name nor an open handle.
    fn drop(&mut self) {
        self.trial.closed(self.number);
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.read();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start
            .checked_add(buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let found = content
            .get(start..end)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut content = self.content.write();
        let (written, result) = self.trial.write(self.number, data, offset);
        let end = start + written;
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(&data[..written]);
        result
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        let mut content = self.content.write();
        self.trial.cut(self.number, len)?;
        content.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.trial.sync(self.number)
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        Ok((0, std::ptr::from_ref(self).addr() as u64))
    }

    /// A directory in memory belongs to one process, which knows what it writes.
    fn version(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn links(&self) -> io::Result<u64> {
        Ok(1)
    }

    /// A directory in memory belongs to one process, so the lock is always free.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}
