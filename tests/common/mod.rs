//! Code that the test programs share: short requests, reading a list in all ways, and changes to a
//! store's directory between two opens.
//!
//! Whenever a test reads a list, all ways of reading a page are compared.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobstore::{Body, Graph, JobQuery, JobStore, Options, Page, Request};

/// A request with this command and body, and an arbitrary URL.
pub fn request(command: &str, body: &str) -> Request {
    Request::new(command, "/ges", Body::from_json(body).unwrap()).unwrap()
}

/// Returns a directory that other users cannot access. If they could, the store would log a
/// warning.
pub fn closed_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

/// Returns options with segments so small that a few writes fill one, which is then packed.
pub fn small_segments() -> Options {
    JobStore::options().segment_bytes(64 << 10)
}

/// Returns the list of all jobs as JSON. Asserts that all ways of reading the page agree.
pub fn listed(graph: &Graph) -> String {
    let page = graph.list(JobQuery::new()).unwrap();
    let whole = page.to_json().unwrap();
    let mut written = Vec::new();
    page.write_json(&mut written).unwrap();
    assert!(written == whole, "write_json and to_json differ");
    let chunks: Vec<u8> = page.chunks().flat_map(|chunk| chunk.unwrap()).collect();
    assert!(chunks == whole, "chunks and to_json differ");
    String::from_utf8(whole).unwrap()
}

/// Packs everything that was submitted before. The store must have been opened with
/// [`small_segments`]. This creates another graph, whose jobs fill the segments.
pub fn pack(store: &JobStore, dir: &Path) {
    let filler = store.get_or_create_graph("filler", "filler").unwrap();
    let body = format!("\"{}\"", "x".repeat(1024));
    for _ in 0..10 {
        filler.submit_all(vec![request("fill", &body); 16]).unwrap();
    }
    wait_until_packed(dir);
}

/// Waits until packs contain everything except what is in the segment being written.
pub fn wait_until_packed(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let names = names_in(dir);
        let packs = names.iter().filter(|name| name.ends_with(".pack")).count();
        let unfinished = names.iter().any(|name| name.ends_with(".aside"));
        // A preallocated segment has no header yet.
        let written = names
            .iter()
            .filter(|name| name.ends_with(".segment"))
            .filter(|name| fs::read(dir.join(name)).is_ok_and(|b| b.starts_with(b"JOBSLOG\0")))
            .count();
        if packs > 0 && written == 1 && !unfinished {
            return;
        }
        assert!(Instant::now() < deadline, "not packed yet: {names:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a condition is true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "not so yet: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The names in a directory, sorted.
pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Deletes the whole index of a closed store.
pub fn lose_index(dir: &Path) {
    fs::remove_dir_all(dir.join("index")).unwrap();
}

/// Returns the directory of this name that projects share, if this checkout has it.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(name);
    if path.exists() {
        Some(path)
    } else {
        println!("{} is not there; own fixtures only", path.display());
        None
    }
}

/// The ids of a page, in order.
pub fn ids(page: &Page) -> Vec<String> {
    page.jobs()
        .map(|job| job.unwrap().id().to_string())
        .collect()
}

/// The paths in a directory with this suffix, sorted.
pub fn files_ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let names = names_in(dir).into_iter();
    names
        .filter(|name| name.ends_with(end))
        .map(|name| dir.join(name))
        .collect()
}

/// The size of all files below a directory.
pub fn bytes_in(dir: &Path) -> u64 {
    let names = names_in(dir).into_iter();
    let bytes = names.map(|name| match dir.join(&name) {
        path if path.is_dir() => bytes_in(&path),
        path => path.metadata().unwrap().len(),
    });
    bytes.sum()
}

/// Copies a directory recursively.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names_in(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_directory(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// Pseudorandom numbers, determined by the seed.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
