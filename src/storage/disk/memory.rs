//! A folder in memory, for stores without a disk and for trying out crashes.
//!
//! Owns: what a power cut leaves of files and names that were not synced. Must
//! not know: formats.
//! Promise: `after_power_cut` keeps exactly what was synced.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Disk, File};

#[derive(Default)]
pub(crate) struct Memory {
    names: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    /// The names as of the last sync; kept only where crashes are tried out.
    #[cfg(test)]
    durable_names: Mutex<BTreeMap<String, Arc<MemoryFile>>>,
    /// Calls that change something and are still to succeed; then they fail.
    #[cfg(test)]
    calls_left: Mutex<Option<u64>>,
}

impl Memory {
    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        if let Some(left) = self.calls_left.lock().as_mut() {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::other("the power is off"))?;
        }
        Ok(())
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Memory {
    /// Lets `calls` more name changes succeed; all later ones fail.
    pub(crate) fn fail_after(&self, calls: u64) {
        *self.calls_left.lock() = Some(calls);
    }

    /// The folder as a power cut leaves it: synced names, synced contents.
    pub(crate) fn after_power_cut(&self) -> Memory {
        let names: BTreeMap<_, _> = self
            .durable_names
            .lock()
            .iter()
            .map(|(name, file)| {
                let content = file.durable.read().clone();
                (name.clone(), Arc::new(MemoryFile::of(content)))
            })
            .collect();
        Memory {
            names: Mutex::new(names.clone()),
            durable_names: Mutex::new(names),
            calls_left: Mutex::new(None),
        }
    }

    /// The folder as a kill of the process leaves it: all that was written.
    pub(crate) fn after_kill(&self) -> Memory {
        let names: BTreeMap<_, _> = self
            .names
            .lock()
            .iter()
            .map(|(name, file)| {
                let content = file.content.read().clone();
                (name.clone(), Arc::new(MemoryFile::of(content)))
            })
            .collect();
        Memory {
            names: Mutex::new(names.clone()),
            durable_names: Mutex::new(names),
            calls_left: Mutex::new(None),
        }
    }

    /// Changes a file's content behind the store's back.
    pub(crate) fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.names.lock().get(name) {
            change(&mut file.content.write());
        }
    }
}

impl Disk for Memory {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.step()?;
        let mut names = self.names.lock();
        if names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        names.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        match self.names.lock().get(name) {
            Some(file) => Ok(file.clone()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        let mut names = self.names.lock();
        let file = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        match self.names.lock().remove(name) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.names.lock().keys().cloned().collect())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.step()?;
        #[cfg(test)]
        {
            *self.durable_names.lock() = self.names.lock().clone();
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

#[derive(Default)]
struct MemoryFile {
    content: RwLock<Vec<u8>>,
    #[cfg(test)]
    durable: RwLock<Vec<u8>>,
}

#[cfg(test)]
impl MemoryFile {
    fn of(content: Vec<u8>) -> MemoryFile {
        MemoryFile {
            content: RwLock::new(content.clone()),
            durable: RwLock::new(content),
        }
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
        let mut content = self.content.write();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        {
            *self.durable.write() = self.content.read().clone();
        }
        Ok(())
    }
}
