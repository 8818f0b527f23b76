//! The hash of all files of an index, which shows whether they have changed.
//!
//! The hash does not depend on how many threads compute it. Only a few files are open at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::files::{FileEntry, files};

/// Contents are hashed in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;
/// An open uses at most this many threads, however many cores there are.
const THREADS_MAX: usize = 4;
/// Each thread hashes at least this many pieces. Most indexes are small and need only one thread.
const PIECES_PER_THREAD: usize = 4;

struct Piece<'e> {
    name: &'e str,
    offset: u64,
    len: usize,
}

/// Computes the hash of everything below a directory: names, lengths, and contents.
pub(super) fn hash(root: &Path) -> io::Result<u128> {
    let entries = files(root)?;
    let pieces = pieces(&entries);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = (pieces.len() / PIECES_PER_THREAD).min(cores.min(THREADS_MAX));
    let mut hashes = hash_all(root, &pieces, threads)?.into_iter();
    let mut hasher = Xxh3::new();
    for entry in &entries {
        let name = entry.name.as_bytes();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(&entry.len.unwrap_or(u64::MAX).to_le_bytes());
        let count = entry.len.unwrap_or(0).div_ceil(PIECE_BYTES);
        for piece in hashes.by_ref().take(count as usize) {
            hasher.update(&piece.to_le_bytes());
        }
    }
    Ok(hasher.digest128())
}

fn pieces(entries: &[FileEntry]) -> Vec<Piece<'_>> {
    let pieces = entries.iter().flat_map(|entry| {
        let len = entry.len.unwrap_or(0);
        let offsets = (0..len).step_by(PIECE_BYTES as usize);
        offsets.map(move |offset| Piece {
            name: &entry.name,
            offset,
            len: (len - offset).min(PIECE_BYTES) as usize,
        })
    });
    pieces.collect()
}

/// Computes the hashes of all pieces, in order.
fn hash_all(root: &Path, pieces: &[Piece<'_>], threads: usize) -> io::Result<Vec<u128>> {
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Vec<(usize, u128)>> {
        let (mut buffer, mut done) = (Vec::new(), Vec::new());
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(n) else {
                return Ok(done);
            };
            buffer.resize(piece.len, 0);
            let file = File::open(root.join(piece.name))?;
            file.read_exact_at(&mut buffer, piece.offset)?;
            done.push((n, xxh3_128(&buffer)));
        }
    };
    let mut hashes = vec![0; pieces.len()];
    let mut note = |done: Vec<(usize, u128)>| done.iter().for_each(|&(n, hash)| hashes[n] = hash);
    thread::scope(|scope| {
        // If a thread cannot be spawned, the calling thread does its work.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        note(work()?);
        for other in others {
            let panicked = |_| io::Error::other("a thread that read the index panicked");
            note(other.join().map_err(panicked)??);
        }
        Ok::<(), io::Error>(())
    })?;
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_of_any_byte_name_or_length_changes_the_hash() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("blobs")).unwrap();
        let mut large: Vec<u8> = (0..20 << 20).map(|n: u32| (n % 251) as u8).collect();
        large.truncate((20 << 20) - 7);
        fs::write(root.join("db"), &large).unwrap();
        fs::write(root.join("blobs/1"), b"1").unwrap();
        fs::write(root.join("empty"), b"").unwrap();
        let before = hash(root).unwrap();
        let entries = files(root).unwrap();
        let pieces = pieces(&entries);
        let alone = hash_all(root, &pieces, 1).unwrap();
        for threads in 2..9 {
            assert_eq!(
                hash_all(root, &pieces, threads).unwrap(),
                alone,
                "{threads}"
            );
        }
        assert_eq!(hash(root).unwrap(), before);
        for at in [0, (1 << 20) - 1, 1 << 20, large.len() - 1] {
            let mut changed = large.clone();
            changed[at] ^= 1;
            fs::write(root.join("db"), &changed).unwrap();
            assert_ne!(hash(root).unwrap(), before, "{at}");
        }
        fs::write(root.join("db"), &large[1..]).unwrap();
        assert_ne!(hash(root).unwrap(), before);
        fs::write(root.join("db"), &large).unwrap();
        assert_eq!(hash(root).unwrap(), before);
        fs::rename(root.join("empty"), root.join("blobs/2")).unwrap();
        assert_ne!(hash(root).unwrap(), before);
        fs::remove_file(root.join("blobs/2")).unwrap();
        assert_ne!(hash(root).unwrap(), before);
    }
}
