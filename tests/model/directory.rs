//! Direct access to a store's directory: what a kill leaves, and where the log ends.
//!
//! It knows nothing about the files except that the unused end of a log is zeros.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common;

/// The size of a segment's header, after which frames begin.
pub const SEGMENT_HEADER_BYTES: usize = 64;

pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files that a killed process leaves: read again until nothing changes meanwhile, because
/// packing and flushing run in the background.
pub fn left_in(directory: &Path) -> Files {
    let mut before = Err(std::io::ErrorKind::NotFound.into());
    loop {
        let mut files = Files::new();
        let now = read_all(directory, Path::new(""), &mut files).map(|()| files);
        match (before, now) {
            (Ok(before), Ok(now)) if before == now => return now,
            (_, now) => before = now,
        }
    }
}

pub fn read_all(directory: &Path, inner: &Path, files: &mut Files) -> std::io::Result<()> {
    for entry in fs::read_dir(directory.join(inner))? {
        let name = inner.join(entry?.file_name());
        if directory.join(&name).is_dir() {
            read_all(directory, &name, files)?;
        } else {
            files.insert(name.clone(), fs::read(directory.join(&name))?);
        }
    }
    Ok(())
}

pub fn put_into(directory: &Path, files: &Files) {
    for (name, content) in files {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// The end of the log: the newest segment with a header, and the position after its last nonzero
/// byte, or after its header if it has no frame yet.
pub fn log_end(files: &Files) -> (PathBuf, usize) {
    let is_segment = |name: &&PathBuf| name.extension().is_some_and(|end| end == "segment");
    let newest = files.keys().filter(is_segment).rev().find_map(|name| {
        let last = files[name].iter().rposition(|&byte| byte != 0)?;
        Some((name.clone(), SEGMENT_HEADER_BYTES.max(last + 1)))
    });
    newest.expect("an open store has a segment")
}

/// Like [`log_end`], for the directory of an open store.
pub fn log_end_in(directory: &Path) -> (PathBuf, usize) {
    loop {
        let names = common::names_in(directory).into_iter().rev();
        let mut segments = names.filter(|name| name.ends_with(".segment"));
        let newest = segments.find_map(|name| {
            // A segment that was packed and deleted meanwhile is not the newest.
            let content = fs::read(directory.join(&name)).ok()?;
            let last = content.iter().rposition(|&byte| byte != 0)?;
            Some((PathBuf::from(name), SEGMENT_HEADER_BYTES.max(last + 1)))
        });
        if let Some(newest) = newest {
            return newest;
        }
    }
}
