//! A file that can be revoked while readers have a handle to it.
//!
//! Once the file is revoked, the system can reuse its space, and reads return an error that reports
//! the revocation.

use std::io;
use std::sync::{Arc, Weak};

use crate::base::sync::RwLock;
use crate::log::disk::File;
use crate::model::error::Revoked;

/// A file that can be read until it is revoked.
pub(crate) struct Revocable {
    file: RwLock<Option<Arc<Opened>>>,
}

/// The file, shared by its handle and by the reads that are in progress.
struct Opened(Arc<dyn File>);

/// Tells whether a file can still be read through a [`Revocable`].
pub(crate) struct Readers(Weak<Opened>);

impl Readers {
    /// Returns whether a read is in progress, or a later one is possible.
    pub(crate) fn exist(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Revocable {
    pub(crate) fn new(file: Arc<dyn File>) -> Revocable {
        Revocable {
            file: RwLock::new(Some(Arc::new(Opened(file)))),
        }
    }

    /// Reads through another handle of the same file from now on.
    pub(crate) fn replace(&self, file: Arc<dyn File>) {
        *self.file.write() = Some(Arc::new(Opened(file)));
    }

    /// Closes the file after reads in progress have finished.
    pub(crate) fn revoke(&self) {
        self.file.write().take();
    }

    pub(crate) fn readers(&self) -> Readers {
        let file = self.file.read();
        Readers(file.as_ref().map(Arc::downgrade).unwrap_or_default())
    }

    fn file(&self) -> io::Result<Arc<Opened>> {
        let file = self.file.read().clone();
        file.ok_or_else(|| io::Error::other(Revoked))
    }
}

impl File for Revocable {
    fn len(&self) -> io::Result<u64> {
        self.file()?.0.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file()?.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file()?.0.write_all_at(data, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.file()?.0.cut(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.0.sync()
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        self.file()?.0.identity()
    }

    fn links(&self) -> io::Result<u64> {
        self.file()?.0.links()
    }

    fn version(&self) -> io::Result<u64> {
        self.file()?.0.version()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file()?.0.try_lock()
    }
}
