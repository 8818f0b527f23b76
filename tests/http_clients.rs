//! HTTP clients of the list: many, slow, stalled, gone.
//!
//! Guarantee: a client costs one block of memory and blocks nobody; if it stalls or disconnects,
//! its page and its slot are released; a failure during a response aborts it; a shutdown always
//! finishes.

mod common;
#[path = "common/http.rs"]
mod http;

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Random, copy_directory, files_ending, pack, request, small_segments};
use http::{Answer, Server, ask, chunks, head, send};
use jobstore::http::{Bounds, Limits, Routes};
use jobstore::{Graph, JobId, JobQuery, JobStore, Outcome, State};

const LIST: &str = "/ges/v1.0/10001/graphs/movie/jobs/status";
const NEVER: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(200);

/// A graph whose list is larger than all buffers between server and client.
fn long_list() -> (JobStore, Graph) {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let body = format!(r#""{}""#, "x".repeat(200_000));
    for _ in 0..10 {
        graph.submit_all(vec![request("c", &body); 10]).unwrap();
    }
    (store, graph)
}

/// Clients never time out, and one long page is allowed at a time.
fn one_at_a_time() -> Limits {
    Limits::new().long_pages(1).stall(NEVER).whole(NEVER)
}

fn serve(store: &JobStore, limits: Limits) -> Server {
    let bounds = Bounds::new().stall(NEVER).grace(SOON);
    Server::bounded(Routes::new(store).limits(limits).all(), bounds)
}

/// Requests the long list and reads only the head of the response.
fn begin(server: &Server) -> BufReader<std::net::TcpStream> {
    let mut stream = server.connect();
    send(&mut stream, "GET", LIST, &[], b"");
    let mut reader = BufReader::with_capacity(1024, stream);
    let (status, _) = head(&mut reader);
    assert_eq!(status, 200);
    reader
}

/// Retries until a long page is allowed.
fn until_let_in(server: &Server) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = server.get(LIST);
        if answer.status == 200 {
            return answer;
        }
        answer.is_failure(503, "GES.8602", "engine service unavailable");
        assert!(Instant::now() < deadline, "the place did not come back");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads the rest of a chunked response.
fn rest(reader: &mut BufReader<std::net::TcpStream>) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let is_whole = chunks(reader, |piece| body.extend_from_slice(piece));
    (body, is_whole)
}

#[test]
fn a_slow_client_keeps_nobody_from_a_short_page_and_sees_one_instant() {
    let (store, graph) = long_list();
    let expected = graph.list(JobQuery::new()).unwrap().to_json().unwrap();
    let server = serve(&store, one_at_a_time());
    let mut slow = begin(&server);
    for _ in 0..5 {
        let short = server.get(&format!("{LIST}?offset=100"));
        assert_eq!(short.ok(), r#"{"jobs":[],"result":"success"}"#);
        let refused = server.get(LIST);
        refused.is_failure(503, "GES.8602", "engine service unavailable");
        // Writers continue.
        let run = graph.claim_next().unwrap().unwrap();
        run.complete(Outcome::succeeded()).unwrap();
    }
    let (body, is_whole) = rest(&mut slow);
    assert!(is_whole && body == expected);
    let now = until_let_in(&server);
    assert!(now.body != expected && now.is_whole);
}

#[test]
fn a_client_that_stalls_is_cut_off_and_lets_go_of_its_place() {
    let (store, _graph) = long_list();
    let limits = one_at_a_time().stall(SOON);
    let server = Server::bounded(
        Routes::new(&store).limits(limits).all(),
        Bounds::new().stall(SOON),
    );
    let mut stalled = begin(&server);
    assert!(until_let_in(&server).is_whole);
    // Its connection is closed, so what the system still has for it ends without a final chunk.
    let (body, is_whole) = rest(&mut stalled);
    assert!(!is_whole && body.len() < 20_000_000);
}

#[test]
fn a_stalled_page_is_let_go_of_whatever_the_server_does() {
    let (store, _graph) = long_list();
    let routes = Routes::new(&store).limits(one_at_a_time().stall(SOON));
    // A server that does not close stalled connections.
    let server = Server::plain(routes.all());
    let mut stalled = begin(&server);
    assert!(until_let_in(&server).is_whole);
    let (body, is_whole) = rest(&mut stalled);
    assert!(!is_whole && body.len() < 20_000_000);
}

#[test]
fn a_steady_client_is_cut_off_when_its_time_is_over() {
    let (store, _graph) = long_list();
    let server = serve(&store, one_at_a_time().whole(SOON));
    let mut steady = begin(&server);
    let begun = Instant::now();
    // It never stalls, and would take hours.
    let mut taken = 0;
    while begun.elapsed() < SOON * 3 {
        taken += steady.read(&mut [0; 64]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    until_let_in(&server);
    // The client gets what the system has buffered, but no more.
    let mut left = Vec::new();
    steady.read_to_end(&mut left).ok();
    taken += left.len();
    assert!(taken < 20_000_000, "{taken} bytes came");
}

#[test]
fn a_client_that_goes_away_lets_go_of_its_place_at_once() {
    let (store, _graph) = long_list();
    let server = serve(&store, one_at_a_time());
    for _ in 0..5 {
        drop(begin(&server));
        until_let_in(&server);
    }
    // An incomplete request does not reach the routes.
    let mut stream = server.connect();
    stream.write_all(b"GET /ges/v1.0/10001/gr").unwrap();
    drop(stream);
    assert!(server.get(LIST).is_whole);
}

#[test]
fn a_store_closes_while_clients_read_and_they_read_to_the_end() {
    let (store, graph) = long_list();
    let expected = graph.list(JobQuery::new()).unwrap().to_json().unwrap();
    let server = serve(&store, one_at_a_time());
    let mut slow = begin(&server);
    store.close().unwrap();
    server
        .get(LIST)
        .is_failure(503, "GES.8602", "engine service unavailable");
    let (body, is_whole) = rest(&mut slow);
    assert!(is_whole && body == expected);
}

#[test]
fn places_for_scans_come_back_and_other_lists_need_none() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for _ in 0..4 {
        graph
            .submit_all(vec![request("c", r#"{"a":[1,2,3]}"#); 5000])
            .unwrap();
    }
    let scan = format!("{LIST}?body_contains=nothing");
    let none = serve(&store, Limits::new().scans(0));
    none.get(&scan)
        .is_failure(503, "GES.8602", "engine service unavailable");
    for query in [
        "state=pending&limit=1",
        "limit=1",
        "order=newest_first&limit=1",
    ] {
        assert_eq!(none.get(&format!("{LIST}?{query}")).status, 200, "{query}");
    }
    // A scan that nobody waits for ends, and releases its slot.
    let limits = Limits::new().scans(1).first_byte(Duration::from_nanos(1));
    let hasty = serve(&store, limits);
    for _ in 0..20 {
        assert_eq!(hasty.get(&scan).status, 503);
    }
    let one = serve(&store, Limits::new().scans(1));
    for _ in 0..5 {
        drop({
            let mut stream = one.connect();
            send(&mut stream, "GET", &scan, &[], b"");
            stream
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        while one.get(&scan).status != 200 {
            assert!(Instant::now() < deadline, "the place did not come back");
        }
    }
}

#[test]
fn one_projects_clients_do_not_shut_out_those_of_others() {
    let (store, graph) = long_list();
    let other = store.create_graph("10002", "movie").unwrap();
    other
        .submit_all(vec![
            request("c", &format!("\"{}\"", "x".repeat(200_000)));
            10
        ])
        .unwrap();
    let server = serve(&store, Limits::new().long_pages(4).stall(NEVER));
    let _held = [begin(&server), begin(&server)];
    // Two slots are free, but none of them for this project.
    let refused = server.get(LIST);
    assert_eq!(refused.status, 503);
    refused.is_failure(503, "GES.8602", "engine service unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(server.get(&format!("{LIST}?limit=0")).status == 400);
    let served = server.get(&LIST.replace("10001", "10002"));
    assert_eq!(served.status, 200);
    assert!(served.is_whole && graph.count(State::Pending).unwrap() == 100);
}

#[test]
fn who_sends_no_request_is_hung_up_on() {
    let (store, _graph) = long_list();
    let bounds = Bounds::new().head(SOON).connections(2);
    let server = Server::bounded(Routes::new(&store).all(), bounds);
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nX-Never: ").unwrap();
    // Both take a connection; the third client is served when they are gone.
    assert_eq!(server.get("/nope").status, 404);
    for stream in [&mut silent, &mut slow] {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
}

#[test]
fn a_shutdown_lets_answers_end_and_cuts_off_what_stalls() {
    let (store, graph) = long_list();
    let expected = graph.list(JobQuery::new()).unwrap().to_json().unwrap();
    let patient = Bounds::new().stall(NEVER).grace(Duration::from_secs(60));
    let routes = Routes::new(&store).limits(one_at_a_time());
    let mut server = Server::bounded(routes.all(), patient);
    let mut reader = begin(&server);
    let ended = std::thread::scope(|scope| {
        let ending = scope.spawn(|| server.end());
        let (body, is_whole) = rest(&mut reader);
        assert!(is_whole && body == expected);
        ending.join()
    });
    ended.unwrap();

    let mut server = serve(&store, one_at_a_time());
    let mut stalled = begin(&server);
    server.end();
    let (_, is_whole) = rest(&mut stalled);
    assert!(!is_whole);
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

/// A store on disk with the packed graph `movie`, one of whose blocks is damaged.
fn damaged(dir: &Path) -> (JobStore, Graph, Vec<JobId>) {
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let (mut random, mut ids) = (Random(7), Vec::new());
    for _ in 0..30 {
        let batch = (0..100).map(|_| {
            let text: String = (0..30)
                .map(|_| format!("{:016x}", random.below(u64::MAX)))
                .collect();
            request("c", &format!("\"{text}\""))
        });
        ids.extend(graph.submit_all(batch).unwrap());
    }
    pack(&store, dir);
    store.close().unwrap();
    let sound = tempfile::tempdir().unwrap();
    copy_directory(dir, sound.path());
    // Which pack contains the middle of the list depends on how far packs were merged. An open store
    // may merge more of them, so each attempt begins with the same files.
    for path in files_ending(dir, ".pack") {
        std::fs::remove_dir_all(dir).unwrap();
        copy_directory(sound.path(), dir);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        if let Ok(store) = small_segments().open(dir) {
            let graph = store.graph("10001", "movie").unwrap();
            let page = graph.list(JobQuery::new()).unwrap();
            let good: usize = page.chunks().map_while(Result::ok).map(|c| c.len()).sum();
            if page.to_json().is_err() && good > 100_000 {
                return (store, graph, ids);
            }
            store.close().unwrap();
        }
    }
    panic!("no pack holds the middle of the list");
}

#[test]
fn a_fault_behind_the_first_bytes_aborts_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, graph, _) = damaged(dir.path());
    let list = graph.list(JobQuery::new()).unwrap();
    let good: usize = list.chunks().map_while(Result::ok).map(|c| c.len()).sum();
    let server = serve(&store, Limits::new());
    for encoding in ["identity", "gzip", "zstd"] {
        let answer = server.ask("GET", LIST, &[("Accept-Encoding", encoding)]);
        assert_eq!(answer.status, 200, "{encoding}");
        assert!(!answer.is_whole, "{encoding}: it ended as if it were whole");
        if encoding == "identity" {
            assert!(answer.body.len() <= good && answer.body.len() > 60_000);
        }
    }
    let detailed = server.get(&format!("{LIST}?detail=true"));
    assert!(detailed.status == 200 && !detailed.is_whole);
    // An HTTP/1.0 client detects the failure by the truncated document.
    let mut old = server.connect();
    write!(old, "GET {LIST} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).ok();
    let shown = String::from_utf8_lossy(&answer);
    assert!(shown.starts_with("HTTP/1.0 200"), "{shown:.60}");
    assert!(
        !shown.ends_with(r#""result":"success"}"#),
        "it ended as if it were whole"
    );
    // The slot was released each time.
    let server = serve(&store, Limits::new().long_pages(1));
    for _ in 0..3 {
        assert!(!until_let_in(&server).is_whole);
    }
}

#[test]
fn a_fault_before_the_first_byte_is_told_as_the_contract_says() {
    let dir = tempfile::tempdir().unwrap();
    let (store, graph, ids) = damaged(dir.path());
    // The first unreadable job.
    let jobs = ids.iter().position(|id| graph.job(id).is_err()).unwrap();
    let server = serve(&store, Limits::new());
    for query in [
        format!("offset={jobs}&limit=1"),
        format!("offset={jobs}"),
        format!("offset={jobs}&detail=true"),
        "body_contains=nothing".to_owned(),
    ] {
        let answer = server.get(&format!("{LIST}?{query}"));
        answer.is_failure(500, "GES.8302", "job query error");
    }
    let state = LIST.replace("status", &format!("{}/status", ids[jobs]));
    server
        .get(&state)
        .is_failure(500, "GES.8302", "job query error");
    let before = server.get(&format!("{LIST}?limit=10"));
    assert!(before.is_whole && before.status == 200);
}

/// The resident memory of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

#[test]
fn many_clients_read_long_pages_in_little_memory_while_others_write() {
    const CLIENTS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let body = format!(r#"{{"x":"{}"}}"#, "y".repeat(300));
    for _ in 0..10 {
        graph.submit_all(vec![request("c", &body); 2000]).unwrap();
    }
    let page_bytes = graph.list(JobQuery::new().limit(20_000)).unwrap();
    let page_bytes = page_bytes.to_json().unwrap().len();
    let server = serve(&store, Limits::new().long_pages(2 * CLIENTS).stall(NEVER));
    let (is_over, reading) = (AtomicBool::new(false), AtomicUsize::new(CLIENTS));
    let before = resident();
    let peak = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    graph.submit(request("more", "{}")).unwrap();
                    let run = graph.claim_next().unwrap().unwrap();
                    run.complete(Outcome::succeeded()).unwrap();
                }
            });
        }
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = server.connect();
                let path = format!("{LIST}?limit=20000");
                send(&mut stream, "GET", &path, &[], b"");
                let mut reader = BufReader::with_capacity(4096, stream);
                assert_eq!(head(&mut reader).0, 200);
                let (mut jobs, mut last) = (0, Vec::new());
                let is_whole = chunks(&mut reader, |piece| {
                    jobs += piece.windows(9).filter(|w| w == br#""jobId":""#).count();
                    last = piece[piece.len().saturating_sub(20)..].to_vec();
                });
                assert!(is_whole && last.ends_with(br#""result":"success"}"#));
                // Some keys may span two pieces.
                assert!(jobs > 19_000, "{jobs} jobs came");
                reading.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut peak = before;
        while reading.load(Ordering::Relaxed) > 0 {
            peak = peak.max(resident());
            std::thread::sleep(Duration::from_millis(10));
        }
        is_over.store(true, Ordering::Relaxed);
        peak
    });
    let (grown, pages) = (peak - before, CLIENTS * page_bytes);
    println!("{CLIENTS} pages of {page_bytes} bytes: {grown} bytes more in memory");
    assert!(
        grown < pages / 3,
        "{grown} bytes for pages of {pages} in all"
    );
    assert!(graph.count(State::Complete).unwrap() > 0);
}

#[test]
fn a_client_walks_a_million_jobs_and_sees_each_once() {
    const JOBS: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let mut ids = Vec::with_capacity(JOBS);
    while ids.len() < JOBS {
        ids.extend(graph.submit_all(vec![request("c", "{}"); 100_000]).unwrap());
    }
    let server = serve(&store, Limits::new());
    let mut known = ids.iter();
    let (mut pages, mut next) = (0, String::new());
    loop {
        // Each page has the largest size that the API allows.
        let answer = server.get(&format!("{LIST}?limit=100000{next}"));
        let text = answer.ok();
        for job in text.split(r#"{"jobId":""#).skip(1) {
            let id = known.next().expect("more jobs than there are").as_str();
            assert!(job.starts_with(id), "{id} was expected: {}", &job[..60]);
        }
        pages += 1;
        match answer.header("x-next-cursor") {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((pages, known.next()), (10, None));
    for offset in [0, 499_950, 999_990] {
        let answer = server.get(&format!("{LIST}?limit=10&offset={offset}"));
        assert!(answer.ok().contains(ids[offset].as_str()));
        assert_eq!(answer.header("x-total-count"), Some("1000000"));
    }
}

#[test]
fn several_requests_go_over_one_connection() {
    let (store, _graph) = long_list();
    let server = serve(&store, Limits::new());
    let mut stream = server.connect();
    for path in [LIST, "/nope", LIST] {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (status, headers) = head(&mut reader);
        let of = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        match of("content-length") {
            Some(length) => {
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
            }
            None => assert!(chunks(&mut reader, |_| {})),
        }
        assert_eq!(status, if path == LIST { 200 } else { 404 });
        assert!(reader.buffer().is_empty());
    }
    assert_eq!(ask(stream, "GET", "/nope", &[], b"").status, 404);
}
