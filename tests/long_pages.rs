//! Long pages: however many threads produce the JSON, it is identical to the last byte, it ends at
//! the same fault, and no thread outlives it.
//!
//! Tests guarantees 4 (a page is one instant), 6 (damage is an error), and 7 (bodies are exact) for
//! pages produced in sections.

mod common;

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use jobstore::{Error, Graph, JobQuery, JobStore, Options, Outcome, Page, State};

use common::{Random, files_ending, pack, request, small_segments};

const JOBS: usize = 16_000;

/// Fills a store with jobs of all sizes and states, most of them packed, and closes it.
fn fill(dir: &Path) {
    let store = small_segments().segment_bytes(1 << 20).open(dir).unwrap();
    let graph = store.create_graph("p", "long").unwrap();
    let mut random = Random(11);
    for batch in 0..JOBS / 500 {
        if batch == JOBS / 500 - 2 {
            pack(&store, dir);
        }
        let requests = (0..500).map(|n| {
            // Some with a few thousand bytes, some in pieces, and a sequence of jobs that are each
            // a block.
            let bytes = match random.below(2000) {
                0 => 700_000,
                1 => 300_000,
                2..20 => 5_000,
                _ if batch == 7 && n < 60 => 40_000,
                _ => 10 + random.below(60) as usize,
            };
            request("fill", &format!("\"{}\"", "\u{e9}".repeat(bytes / 2)))
        });
        let ids = graph.submit_all(requests.collect::<Vec<_>>()).unwrap();
        let nonblocking = graph.nonblocking();
        let mut last = None;
        for id in &ids {
            // Both runs of complete jobs and single ones.
            if random.below(if batch % 3 == 0 { 2 } else { 100 }) > 0 {
                drop(nonblocking.start(id));
                last = Some(nonblocking.complete(id, Outcome::succeeded()));
            }
        }
        last.unwrap().wait().unwrap();
    }
    store.close().unwrap();
}

fn open(dir: &Path, threads: usize) -> (JobStore, Graph) {
    let options: Options = JobStore::options().page_threads(threads);
    let store = options.open(dir).unwrap();
    let graph = store.graph("p", "long").unwrap();
    (store, graph)
}

fn by_chunks(page: &Page) -> Vec<u8> {
    page.chunks().flat_map(|chunk| chunk.unwrap()).collect()
}

#[test]
fn a_long_page_is_the_same_by_however_many_threads_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let jobs = JOBS as u64;
    for threads in [1, 2, 3, 16] {
        let (store, graph) = open(dir.path(), threads);
        let lists = [
            JobQuery::new(),
            JobQuery::new().offset(1).limit(jobs - 2),
            JobQuery::new().offset(jobs / 3).limit(9_999),
            JobQuery::new().state(State::Complete),
            JobQuery::new().state(State::Pending),
            JobQuery::new().state(State::Pending).offset(77),
        ];
        for list in lists {
            let page = graph.list(list.clone()).unwrap();
            // Chunks are produced by one thread, in order.
            let expected = by_chunks(&page);
            assert!(page.to_json().unwrap() == expected, "{threads}, {list:?}");
            let mut written = Vec::new();
            page.write_json(&mut written).unwrap();
            assert!(written == expected, "{threads}, {list:?}");
        }
        store.close().unwrap();
    }
}

/// Accepts this many bytes, then fails.
struct Full {
    room: usize,
    taken: Vec<u8>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken.len() == self.room {
            return Err(io::Error::other("no room"));
        }
        let taken = bytes.len().min(self.room - self.taken.len());
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_and_a_block_that_is_damaged_end_a_long_page_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let (store, graph) = open(dir.path(), 3);
    let page = graph.list(JobQuery::new()).unwrap();
    let whole = by_chunks(&page);
    for room in [0, 5, 1 << 20, whole.len() / 2, whole.len() - 1] {
        let taken = Vec::new();
        let mut full = Full { room, taken };
        let ended = page.write_json(&mut full);
        assert!(matches!(ended, Err(Error::Output { .. })), "{ended:?}");
        assert!(full.taken == whole[..room], "{room}");
    }
    drop((page, graph));
    store.close().unwrap();

    // A bit in the middle of a pack in the middle of the list.
    let packs = files_ending(dir.path(), ".pack");
    let pack = &packs[packs.len() / 2];
    let mut bytes = std::fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(pack, bytes).unwrap();
    let mut ends = Vec::new();
    for threads in [1, 3] {
        let (store, graph) = open(dir.path(), threads);
        let mut written = Vec::new();
        let ended = graph
            .list(JobQuery::new())
            .unwrap()
            .write_json(&mut written);
        assert!(matches!(ended, Err(Error::Damaged { .. })), "{ended:?}");
        assert!(whole.starts_with(&written), "{threads}");
        ends.push(written.len());
        store.close().unwrap();
    }
    // All intact bytes before it are written, except for those that were still buffered.
    assert!(ends[0].abs_diff(ends[1]) < 64 << 10, "{ends:?}");
    assert!(ends[0] > 0 && ends[0] < whole.len());
}

#[test]
fn a_long_page_is_one_instant_though_its_jobs_end_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let (store, graph) = open(dir.path(), 3);
    let page = graph.list(JobQuery::new()).unwrap();
    let before = by_chunks(&page);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Ok(Some(run)) = graph.claim_next() {
                run.complete(Outcome::succeeded()).unwrap();
                if over.load(Ordering::Acquire) {
                    break;
                }
            }
        });
        for _ in 0..5 {
            assert!(page.to_json().unwrap() == before);
        }
        over.store(true, Ordering::Release);
    });
    let after = graph.list(JobQuery::new()).unwrap().to_json().unwrap();
    assert!(after != before, "jobs ended meanwhile");
    drop(page);
    store.close().unwrap();
}
