//! A file that can be revoked while readers have a handle to it.
//!
//! Once the file is revoked, the system can reuse its space, and reads return an error that reports
//! the revocation.

use std::io;
use std::sync::Arc;

use crate::base::sync::RwLock;
use crate::log::disk::File;
use crate::model::error::Revoked;

/// A file that can be read until it is revoked.
pub(crate) struct Revocable {
    file: RwLock<Option<Arc<dyn File>>>,
}

impl Revocable {
    pub(crate) fn new(file: Arc<dyn File>) -> Revocable {
        Revocable {
            file: RwLock::new(Some(file)),
        }
    }

    /// Reads through another handle of the same file from now on.
    pub(crate) fn replace(&self, file: Arc<dyn File>) {
        *self.file.write() = Some(file);
    }

    /// Closes the file after reads in progress have finished.
    pub(crate) fn revoke(&self) {
        self.file.write().take();
    }

    fn file(&self) -> io::Result<Arc<dyn File>> {
        let file = self.file.read().clone();
        file.ok_or_else(|| io::Error::other(Revoked))
    }
}

impl File for Revocable {
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file()?.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file()?.write_all_at(data, offset)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.file()?.cut(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.sync()
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        self.file()?.identity()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file()?.try_lock()
    }
}
