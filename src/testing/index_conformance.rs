//! The conformance tests that every index engine must pass.
//!
//! The suite tests [`Index`]. It does not depend on an engine's files, except for the directory
//! that sled would create for large values. Code above the index behaves the same with every
//! engine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::index::directory::IndexDirectory;
use crate::index::memory::MemoryIndex;
use crate::index::{BATCH_BYTES_MAX, Batch, Fault, Index, VALUE_BYTES_MAX};
use crate::log::disk::os::OsDirectory;
use crate::log::file_names;

const CACHE_BYTES: u64 = 1 << 20;

fn open(store: &Path) -> Arc<dyn Index> {
    let disk = Arc::new(OsDirectory::open(store).unwrap());
    let directory = IndexDirectory::new(&disk, CACHE_BYTES);
    let index = directory.open(false, None).unwrap();
    directory.opened().unwrap();
    index
}

/// Allows only one test at a time: sled shares threads within a process, so tests of different
/// indexes can affect each other.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs a test with an empty index in memory and one on sled.
fn on_each(test: impl Fn(&str, &dyn Index)) {
    let _one = ONE.lock();
    test("memory", &MemoryIndex::default());
    let dir = tempfile::tempdir().unwrap();
    test("sled", &*open(dir.path()));
}

fn write(index: &dyn Index, rows: &[(&[u8], Option<&[u8]>)]) {
    let mut batch = Batch::default();
    for (key, value) in rows {
        match value {
            Some(value) => batch.put(key.to_vec(), value.to_vec()),
            None => batch.remove(key.to_vec()),
        }
    }
    index.write(&batch).unwrap();
}

fn scan(index: &dyn Index, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    index
        .scan(prefix, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
    rows
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

#[test]
fn rows_are_those_of_a_plain_map() {
    on_each(|engine, index| {
        let mut random = Random(7);
        let mut plain = BTreeMap::new();
        let key = |random: &mut Random| -> Vec<u8> {
            let len = 1 + random.below(3);
            let bytes = [0, 1, b'd', b's', 0xfe, 0xff];
            (0..len).map(|_| bytes[random.below(6) as usize]).collect()
        };
        for round in 0..150 {
            let mut batch = Batch::default();
            for _ in 0..random.below(12) {
                let key = key(&mut random);
                if random.below(3) == 0 {
                    batch.remove(key.clone());
                    plain.remove(&key);
                } else {
                    let len = [0, 1, 30, 3000][random.below(4) as usize];
                    let value = vec![round as u8; len];
                    batch.put(key.clone(), value.clone());
                    plain.insert(key, value);
                }
            }
            index.write(&batch).unwrap();
            for _ in 0..4 {
                let key = key(&mut random);
                assert_eq!(
                    index.get(&key).unwrap(),
                    plain.get(&key).cloned(),
                    "{engine}"
                );
            }
            for prefix in [&[][..], &[0], b"d", &[0xff], &[0xff, 0xff], &[1, 0xff]] {
                let expected: Vec<_> = plain
                    .iter()
                    .filter(|(key, _)| key.starts_with(prefix))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(scan(index, prefix), expected, "{engine} {prefix:?}");
            }
        }
    });
}

#[test]
fn the_last_of_two_changes_of_a_batch_counts() {
    on_each(|engine, index| {
        write(index, &[(b"a", Some(b"1")), (b"a", Some(b"2"))]);
        assert_eq!(index.get(b"a").unwrap().unwrap(), b"2", "{engine}");
        write(index, &[(b"a", Some(b"3")), (b"a", None)]);
        assert_eq!(index.get(b"a").unwrap(), None, "{engine}");
        write(index, &[(b"a", None), (b"a", Some(b"4"))]);
        assert_eq!(index.get(b"a").unwrap().unwrap(), b"4", "{engine}");
        // Removes an absent key, and writes an empty batch.
        write(index, &[(b"b", None)]);
        write(index, &[]);
        assert_eq!(scan(index, b"").len(), 1, "{engine}");
    });
}

#[test]
fn a_scan_ends_where_its_caller_faults() {
    on_each(|engine, index| {
        write(
            index,
            &[(b"a1", Some(b"")), (b"a2", Some(b"")), (b"a3", Some(b""))],
        );
        let mut seen = 0;
        let scanned = index.scan(b"a", &mut |_, _| {
            seen += 1;
            match seen {
                2 => Err(Fault("enough".to_owned())),
                _ => Ok(()),
            }
        });
        assert_eq!(
            (scanned.unwrap_err().0.as_str(), seen),
            ("enough", 2),
            "{engine}"
        );
        // Removing this row removes no other row.
        write(index, &[(b"a4", Some(b""))]);
        assert_eq!(scan(index, b"a").len(), 4, "{engine}");
    });
}

/// Returns the largest possible batch.
fn full_batch(seed: u8) -> Batch {
    let mut batch = Batch::default();
    let mut n = 0u32;
    while !batch.is_full() {
        batch.put(n.to_be_bytes().to_vec(), vec![seed; VALUE_BYTES_MAX]);
        n += 1;
    }
    let left = BATCH_BYTES_MAX.saturating_sub(batch.bytes + 4);
    let last = [(n.to_be_bytes().to_vec(), Some(vec![seed; left]))];
    assert!(left < VALUE_BYTES_MAX && batch.has_room_for(&last));
    let [(key, value)] = last;
    batch.put(key, value.unwrap_or_default());
    assert_eq!(batch.bytes, BATCH_BYTES_MAX);
    batch
}

#[test]
fn the_largest_batches_are_taken_whole_and_again_and_again() {
    on_each(|engine, index| {
        for seed in 0..40 {
            let batch = full_batch(seed);
            index.write(&batch).unwrap();
            let rows = scan(index, b"");
            assert_eq!(rows.len(), batch.rows.len(), "{engine}");
            assert!(
                rows.iter()
                    .all(|(_, value)| *value == vec![seed; value.len()])
            );
        }
    });
}

#[test]
fn no_value_leaves_the_engines_own_files() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path());
    for seed in 0..60 {
        index.write(&full_batch(seed)).unwrap();
    }
    index.flush().unwrap();
    drop(index);
    let big = dir.path().join(file_names::INDEX).join("blobs");
    assert_eq!(std::fs::read_dir(big).unwrap().count(), 0);
}

#[test]
fn what_flush_handed_over_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0u32..8 {
        let index = open(dir.path());
        assert_eq!(scan(&*index, b"").len(), round as usize * 50);
        for n in 0u32..50 {
            let key = [round.to_be_bytes(), n.to_be_bytes()].concat();
            write(&*index, &[(&key, Some(&[7; 600]))]);
        }
        index.flush().unwrap();
    }
}

/// The number of rows per batch in the test below. All rows of a batch contain its generation
/// number.
const GENERATION_ROWS: u32 = 60;

fn generation(number: u64) -> Batch {
    let mut batch = Batch::default();
    for row in 0..GENERATION_ROWS {
        let mut value = vec![row as u8; 100 + (number % 50) as usize * 40];
        value[..8].copy_from_slice(&number.to_be_bytes());
        batch.put(row.to_be_bytes().to_vec(), value);
    }
    batch
}

fn number_of(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}

#[test]
fn reads_go_on_while_batches_are_written_and_never_go_back() {
    on_each(|engine, index| {
        index.write(&generation(0)).unwrap();
        let (written, ended) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for reader in 0..3u64 {
                let (written, ended) = (&written, &ended);
                scope.spawn(move || {
                    let (mut random, mut seen) = (Random(reader), 0);
                    while !ended.load(Ordering::Acquire) {
                        let least = written.load(Ordering::Acquire);
                        if reader == 0 {
                            let rows = scan(index, b"");
                            assert_eq!(rows.len(), GENERATION_ROWS as usize, "{engine}");
                            assert!(rows.iter().all(|(_, v)| number_of(v) >= least), "{engine}");
                            continue;
                        }
                        let row = random.below(GENERATION_ROWS.into()) as u32;
                        let value = index.get(&row.to_be_bytes()).unwrap().unwrap();
                        let number = number_of(&value);
                        assert!(number >= least.max(if reader == 1 { 0 } else { seen }));
                        let expected = &generation(number).rows[row as usize].1;
                        assert_eq!(Some(&value), expected.as_ref(), "{engine}");
                        seen = seen.max(least);
                    }
                });
            }
            for number in 1..150 {
                index.write(&generation(number)).unwrap();
                written.store(number, Ordering::Release);
            }
            ended.store(true, Ordering::Release);
        });
    });
}

/// The environment variable that passes the directory to the child process of the test below.
const CHILD: &str = "JOBSTORE_INDEX_CHILD";
const CHILD_TEST: &str =
    "testing::index_conformance::a_kill_leaves_whole_batches_and_what_was_flushed";

#[test]
fn a_kill_leaves_whole_batches_and_what_was_flushed() {
    if let Ok(path) = std::env::var(CHILD) {
        let index = open(Path::new(&path));
        let first = index.get(&0u32.to_be_bytes()).unwrap();
        let first = first.map_or(0, |value| number_of(&value));
        // The loop is finite, so the child ends by itself if it is not killed.
        for number in first + 1..first + 100_000 {
            index.write(&generation(number)).unwrap();
            if number % 41 == 0 {
                index.flush().unwrap();
                println!("\nflushed {number}");
            }
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for kill in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD_TEST, "--exact", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut flushed = 0;
        let numbers = lines.filter_map(|line| {
            let number = line.unwrap();
            number.strip_prefix("flushed ")?.parse::<u64>().ok()
        });
        let mut numbers = numbers.fuse();
        for number in numbers.by_ref().take(1 + kill) {
            flushed = number;
        }
        // Kill the child at an arbitrary moment between two of these lines.
        std::thread::sleep(Duration::from_millis(7 * kill as u64 % 40));
        child.kill().unwrap();
        // The last number that the child reported before it was killed.
        flushed = numbers.last().unwrap_or(flushed);
        child.wait().unwrap();
        assert!(flushed > 0, "the child wrote nothing");
        let rows = scan(&*open(dir.path()), b"");
        assert_eq!(rows.len(), GENERATION_ROWS as usize);
        let number = number_of(&rows[0].1);
        assert!(number >= flushed, "{number}, {flushed} was flushed");
        let expected = generation(number).rows.into_iter();
        let expected: Vec<_> = expected.map(|(k, v)| (k, v.unwrap())).collect();
        assert!(rows == expected, "a batch is there in part");
    }
}
