//! A store's directory as seen from outside: its segments and their frames, whether the store is
//! idle, its size, and the parts of its files that the system has cached.
//!
//! Segments and frames are read as `src/log/FORMAT.md` describes them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SEGMENT_MAGIC: &[u8] = b"JOBSLOG\0";
const SEGMENT_HEADER_BYTES: u64 = 64;
const FRAME_MAGIC: &[u8] = b"JFRM";
const FRAME_HEADER_BYTES: usize = 72;

/// Returns all files below a directory. Files that are removed during the scan are omitted.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Returns the disk space that the files use.
pub fn disk_bytes(dir: &Path) -> u64 {
    let blocks = |path: &PathBuf| path.metadata().map_or(0, |found| found.blocks());
    files(dir).iter().map(|path| blocks(path) * 512).sum()
}

/// Copies a directory that is not being written to.
pub fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let copy = to.join(file.strip_prefix(from).expect("a file below"));
        std::fs::create_dir_all(copy.parent().expect("a directory")).expect("a directory");
        std::fs::copy(&file, &copy).expect("copy");
    }
}

/// Returns the segments in use. The one being written comes last. Segments that are only
/// preallocated are omitted.
pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let is_begun = |path: &PathBuf| {
        let mut magic = [0; SEGMENT_MAGIC.len()];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut magic, 0));
        read.is_ok() && magic == SEGMENT_MAGIC
    };
    let mut segments = files(dir);
    segments.retain(|path| path.extension().is_some_and(|e| e == "segment") && is_begun(path));
    segments.sort();
    segments
}

/// The frames of a segment, one after another.
pub struct Frames {
    pub at: u64,
    pub bytes: Vec<u8>,
    pub lens: Vec<usize>,
}

impl Frames {
    /// Reads the frames of a segment from offset `at` on. 0 means all frames.
    pub fn read(segment: &Path, at: u64) -> Frames {
        let at = at.max(SEGMENT_HEADER_BYTES);
        let file = File::open(segment).expect("a segment");
        let len = file.metadata().expect("metadata").len() - at;
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, at).expect("a segment");
        let (mut lens, mut end) = (Vec::new(), 0);
        while let Some(len) = frame_len(&bytes[end..]) {
            lens.push(len);
            end += len;
        }
        bytes.truncate(end);
        Frames { at, bytes, lens }
    }

    /// Returns the offset after the last frame.
    pub fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

fn frame_len(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    if !header.starts_with(FRAME_MAGIC) {
        return None;
    }
    let payload_len = u32::from_le_bytes(header[8..12].try_into().ok()?);
    Some(FRAME_HEADER_BYTES + payload_len as usize)
}

/// Waits until an open store without writes has finished packing and merging. Returns the time at
/// which it finished.
pub fn wait_until_packed(dir: &Path) -> Instant {
    let is_at_rest = || {
        let unfinished = |path: &PathBuf| path.extension().is_some_and(|e| e == "aside");
        segments(dir).len() == 1 && !files(dir).iter().any(unfinished)
    };
    // The store may appear idle between two steps of this work.
    let mut seen = Vec::new();
    for _ in 0..60_000 {
        match is_at_rest() {
            true => seen.push(Instant::now()),
            false => seen.clear(),
        }
        if seen.len() == 3 {
            return seen[0];
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is not fully packed after ten minutes", dir.display());
}

/// Evicts a store's files from the system's cache. If this is not possible, returns the error.
pub fn drop_cache(dir: &Path) -> io::Result<()> {
    for path in files(dir) {
        let file = match File::open(&path) {
            // The file was removed after it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        // The system keeps data in memory that is not on disk yet.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// Returns whether the middle of the largest file would have to be read from the disk.
pub fn is_cold(dir: &Path) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let len = |path: &PathBuf| path.metadata().map_or(0, |found| found.len());
    let largest = files(dir).into_iter().max_by_key(len);
    let largest = largest.ok_or(io::ErrorKind::NotFound)?;
    let mut byte = [0];
    let mut bytes = [io::IoSliceMut::new(&mut byte)];
    let file = File::open(&largest)?;
    match preadv2(&file, &mut bytes, len(&largest) / 2, ReadWriteFlags::NOWAIT) {
        Ok(_) => Ok(false),
        Err(Errno::AGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
