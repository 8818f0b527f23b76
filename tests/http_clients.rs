//! Clients that walk, crowd, dawdle, stall and go away.
//!
//! Promise: a list is right however many read it and write to it; a slow client costs
//! little, one that stalls or goes away costs nothing for long; an answer that fails on
//! its way has no end.

mod common;
#[path = "common/http.rs"]
mod net;

use std::collections::HashSet;
use std::io::{BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use common::{files_ending, pack, request, small_segments};
use jobstore::http::{Bounds, Limits, Routes};
use jobstore::{Graph, JobStore, List};
use net::{Answer, Server, chunks, head, send};

const LIST: &str = "/ges/v1.0/10001/graphs/movie/jobs/status";
/// No wait in these tests is longer, whatever the machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn filled(jobs: u64) -> (JobStore, Graph) {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    submit(&movie, jobs);
    (store, movie)
}

fn submit(movie: &Graph, jobs: u64) {
    let body = format!("\"{}\"", "x".repeat(200));
    for first in (0..jobs).step_by(10_000) {
        let count = (jobs - first).min(10_000);
        movie
            .submit_all((0..count).map(|_| request("c", &body)))
            .unwrap();
    }
}

/// A page of some 120 MB, in few pieces of work.
fn more_than_buffers_take() -> (JobStore, Graph) {
    let (store, movie) = filled(0);
    let body = format!("\"{}\"", "x".repeat(4 << 20));
    (0..30).for_each(|_| drop(movie.submit(request("large", &body)).unwrap()));
    (store, movie)
}

fn routes(store: &JobStore, limits: Limits) -> Router {
    Routes::new(store).limits(limits).all()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    let document: serde_json::Value = serde_json::from_str(answer.ok()).unwrap();
    let jobs = document["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["jobId"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn who_walks_the_list_sees_every_job_once_while_others_write() {
    let (store, movie) = filled(40_000);
    let server = Server::start(routes(&store, Limits::new()));
    let over = AtomicBool::new(false);
    let (by_cursor, by_offset) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                submit(&movie, 100);
                if let Some(run) = movie.run_next().unwrap() {
                    run.complete(jobstore::Outcome::succeeded()).unwrap();
                }
            }
        });
        let (mut by_cursor, mut cursor) = (Vec::new(), String::new());
        // The writer may always be ahead.
        while by_cursor.len() < 40_000 {
            let answer = server.get(&format!("{LIST}?limit=9000{cursor}"));
            by_cursor.append(&mut ids(&answer));
            let next = answer.header("x-next-cursor").unwrap();
            cursor = format!("&cursor={next}");
        }
        let mut by_offset = Vec::new();
        while by_offset.len() < 40_000 {
            let offset = by_offset.len();
            let answer = server.get(&format!("{LIST}?limit=9000&offset={offset}"));
            by_offset.append(&mut ids(&answer));
        }
        over.store(true, Ordering::Relaxed);
        (by_cursor, by_offset)
    });
    let there = common::ids(&movie.list(List::new()).unwrap());
    for seen in [by_cursor, by_offset] {
        assert!(seen[..] == there[..seen.len()]);
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len());
    }
}

/// The most memory that this process has had, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn sixty_four_clients_read_full_pages_in_bounded_memory_while_others_write() {
    let (store, movie) = filled(20_000);
    let server = Server::start(routes(&store, Limits::new()));
    let one = server.get(LIST);
    let page_bytes = one.body.len() as u64;
    let before = peak_bytes();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                submit(&movie, 10);
            }
        });
        let clients: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = server.connect();
                    send(&mut stream, "GET", &format!("{LIST}?limit=20000"), &[], b"");
                    let mut reader = BufReader::new(stream);
                    assert_eq!(head(&mut reader).0, 200);
                    // Nothing is kept here, so what grows is the server's.
                    let mut bytes = 0;
                    let is_whole = chunks(&mut reader, |piece| bytes += piece.len() as u64);
                    (is_whole, bytes)
                })
            })
            .collect();
        for client in clients {
            let (is_whole, bytes) = client.join().unwrap();
            assert!(is_whole && bytes >= page_bytes, "{bytes} of {page_bytes}");
        }
        over.store(true, Ordering::Relaxed);
    });
    // All pages at once would be twelve times this; a block or two each is far below.
    let grown = peak_bytes() - before;
    assert!(
        grown < 64 * page_bytes / 4,
        "{grown} bytes, a page has {page_bytes}"
    );
}

#[test]
fn a_slow_client_gets_all_of_its_page_and_holds_up_nobody() {
    let (store, movie) = filled(20_000);
    let server = Server::start(routes(&store, Limits::new()));
    let mut stream = server.connect();
    send(&mut stream, "GET", LIST, &[], b"");
    let mut reader = BufReader::with_capacity(1024, stream);
    assert_eq!(head(&mut reader).0, 200);
    let mut first = [0; 3000];
    reader.read_exact(&mut first).unwrap();
    // In the middle of its page, others write and read.
    movie.submit(request("later", "{}")).unwrap();
    assert!(server.get(&format!("{LIST}?limit=2")).is_whole);
    assert!(server.get(LIST).is_whole);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    let text = [&first[..], &rest[..]].concat();
    assert!(text.ends_with(b"0\r\n\r\n"), "it has no end");
    // It is the instant of its beginning.
    assert!(!text.windows(5).any(|w| w == b"later"));
}

/// Whether what is left of an answer has the end that a chunked body has.
fn comes_to_its_end(mut stream: std::net::TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).ok();
    rest.ends_with(b"0\r\n\r\n")
}

/// One long page at a time; the place comes back.
fn place_comes_back(server: &Server, leave: impl FnOnce(std::net::TcpStream)) {
    let mut stream = server.connect();
    send(&mut stream, "GET", LIST, &[], b"");
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    assert_eq!(server.get(LIST).status, 503);
    leave(stream);
    wait_for("the place", || server.get(LIST).status == 200);
}

#[test]
fn a_client_that_goes_away_ends_its_work_and_one_that_stalls_is_cut_off() {
    let (store, _movie) = more_than_buffers_take();
    let limits = Limits::new().long_pages(1);
    let server = Server::start(routes(&store, limits));
    place_comes_back(&server, drop);

    let limits = limits.stall(Duration::from_millis(200));
    let bounds = Bounds::new().stall(Duration::from_millis(200));
    let bounded = Server::bounded(routes(&store, limits), bounds);
    let plain = Server::plain(routes(&store, limits));
    for (server, is_ours) in [(&bounded, true), (&plain, false)] {
        let mut kept = None;
        place_comes_back(server, |stream| kept = Some(stream));
        assert!(!comes_to_its_end(kept.unwrap()), "ours: {is_ours}");
    }
    store.close().unwrap();
}

#[test]
fn an_answer_that_fails_on_its_way_has_no_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    submit(&movie, 3000);
    pack(&store, dir.path());
    let server = Server::start(routes(&store, Limits::new()));
    let whole = server.get(LIST);
    assert!(whole.is_whole && whole.body.len() > 500_000);
    // Behind the first pieces, which are sound: in the pack that most were merged into, or
    // in the last.
    let mut packs = files_ending(dir.path(), ".pack");
    packs.sort_by_key(|pack| std::fs::metadata(pack).unwrap().len());
    let bytes = |pack: &std::path::PathBuf| std::fs::metadata(pack).unwrap().len();
    let largest = packs.last().unwrap().clone();
    let is_merged = bytes(&largest) > 3 * bytes(&packs[0]) || packs.len() == 1;
    packs.sort();
    let pack = if is_merged {
        largest
    } else {
        packs.pop().unwrap()
    };
    {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(&pack).unwrap();
        file.write_all_at(&[0x55; 64], bytes(&pack) / 2).unwrap();
    }
    for encoding in ["identity", "gzip"] {
        let answer = server.ask("GET", LIST, &[("Accept-Encoding", encoding)]);
        assert_eq!(answer.status, 200);
        assert!(!answer.is_whole, "{encoding}: it ends as if it were whole");
    }
}

#[test]
fn a_shutdown_ends_though_a_client_stalls_and_the_store_closes() {
    let (store, _movie) = more_than_buffers_take();
    let bounds = Bounds::new().grace(Duration::from_millis(100));
    let mut server = Server::bounded(routes(&store, Limits::new()), bounds);
    let mut stalled = server.connect();
    send(&mut stalled, "GET", LIST, &[], b"");
    server.end();
    store.close().unwrap();
    assert!(!comes_to_its_end(stalled));
}
