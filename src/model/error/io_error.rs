// Converts I/O errors, classified by what the caller can do about them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Error;

impl Error {
    /// Classifies an I/O error by what the caller can do about it.
    pub(crate) fn io(operation: &'static str, path: impl AsRef<Path>, error: &io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        if error.get_ref().is_some_and(|why| why.is::<Revoked>()) {
            return Error::PageExpired;
        }
        if is_out_of_descriptors(error) {
            return Error::TooManyOpenFiles { operation, path };
        }
        match error.kind() {
            io::ErrorKind::PermissionDenied => Error::PermissionDenied { operation, path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::DiskFull { operation, path }
            }
            kind => Error::Io {
                operation,
                path,
                kind,
                message: error.to_string().into(),
            },
        }
    }

    pub(crate) fn damaged(file: impl AsRef<Path>, offset: u64, what: impl Into<Arc<str>>) -> Error {
        Error::Damaged {
            file: file.as_ref().to_path_buf(),
            offset,
            what: what.into(),
        }
    }

    pub(crate) fn output(error: &io::Error) -> Error {
        Error::Output {
            kind: error.kind(),
            message: error.to_string().into(),
        }
    }

    pub(crate) fn input(error: &io::Error) -> Error {
        Error::Input {
            kind: error.kind(),
            message: error.to_string().into(),
        }
    }
}

/// Whether the process or the system has run out of file descriptors. The file itself is not at
/// fault.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let of_process_or_system = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|errno| of_process_or_system.contains(&errno))
}

/// The error returned when a revoked file is read.
#[derive(Debug)]
pub(crate) struct Revoked;

impl std::fmt::Display for Revoked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the file was replaced or purged, and is no longer available to this page")
    }
}

impl std::error::Error for Revoked {}
