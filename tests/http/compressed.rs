//! Guarantee: a compressed page contains exactly the bytes of the page, whether its jobs were
//! compressed for this response or for an earlier one, and whatever happened in between.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use jobstore::http::{Limits, Routes};
use jobstore::replica::MemoryReplica;
use jobstore::{Graph, JobQuery, JobStore, Outcome, State};

use crate::common::{closed_directory, pack, request, small_segments, wait_until};
use crate::http::Server;
use crate::{LIST, app, page, serve};

/// The number of jobs that are compressed together.
const RUN: usize = 512;

fn with_cache(store: &JobStore, bytes: u64) -> Server {
    let limits = Limits::new().compressed_cache_bytes(bytes);
    Server::start(app(&Routes::new(store).limits(limits)))
}

/// Submits jobs with these numbers.
fn submit(graph: &Graph, numbers: std::ops::Range<usize>) {
    let numbers: Vec<usize> = numbers.collect();
    for some in numbers.chunks(1000) {
        let some = some.iter().map(|n| {
            let body = format!(r#"{{"n":{n},"of":[{n}]}}"#);
            request(&format!("run-{}", n / RUN), &body)
        });
        graph.submit_all(some).unwrap();
    }
}

/// Completes all pending jobs whose position in the list is not among these.
fn complete(graph: &Graph, except: &[usize]) {
    let page = graph.list(JobQuery::new()).unwrap();
    let mut last = None;
    for (n, job) in page.jobs().enumerate() {
        let job = job.unwrap();
        if job.state() == State::Pending && !except.contains(&n) {
            drop(graph.nonblocking().start(job.id()));
            let write = graph.nonblocking().complete(job.id(), Outcome::succeeded());
            last = Some(write);
        }
    }
    if let Some(last) = last {
        last.wait().unwrap();
    }
}

fn decoded(server: &Server, query: &str, encoding: &str) -> String {
    let answer = server.ask(
        "GET",
        &format!("{LIST}?{query}"),
        &[("Accept-Encoding", encoding)],
    );
    assert!(answer.status == 200 && answer.is_whole, "{answer:?}");
    let mut text = Vec::new();
    match answer.header("content-encoding") {
        None => text.extend_from_slice(&answer.body),
        Some("zstd") => {
            let mut decoder = zstd::stream::read::Decoder::new(&answer.body[..]).unwrap();
            decoder.read_to_end(&mut text).unwrap();
        }
        // Many clients read only the first member.
        Some("gzip") => {
            let mut decoder = flate2::bufread::GzDecoder::new(&answer.body[..]);
            decoder.read_to_end(&mut text).unwrap();
            assert!(decoder.into_inner().is_empty());
        }
        Some(other) => panic!("{other}"),
    }
    String::from_utf8(text).unwrap()
}

/// Asserts that this page has the same bytes in each encoding.
#[track_caller]
fn assert_page(server: &Server, graph: &Graph, list: JobQuery, query: &str) {
    let plain = page(graph, list);
    for encoding in ["zstd", "gzip"] {
        let text = decoded(server, query, encoding);
        assert!(text == plain, "{encoding}, {query}: {text:.200}");
    }
}

#[track_caller]
fn assert_pages(server: &Server, graph: &Graph) {
    let offsets = [0, 1, RUN - 1, RUN, 3 * RUN - 7, 5 * RUN];
    let limits = [RUN, 2 * RUN - 1, 100_000];
    for (offset, limit) in offsets
        .into_iter()
        .flat_map(|o| limits.map(|limit| (o as u64, limit as u64)))
    {
        let list = JobQuery::new().offset(offset).limit(limit);
        assert_page(
            server,
            graph,
            list,
            &format!("offset={offset}&limit={limit}"),
        );
    }
    for state in [State::Complete, State::Pending] {
        let list = JobQuery::new().state(state);
        assert_page(server, graph, list, &format!("state={state}"));
    }
    assert_page(
        server,
        graph,
        JobQuery::new().newest_first(),
        "order=newest_first",
    );
    let list = JobQuery::new().body_contains("3").count_total();
    assert_page(server, graph, list, "body_contains=3&count_total=true");
    let list = JobQuery::new().limit_bytes(100_000);
    assert_page(server, graph, list, "limit_bytes=100000");
}

/// Half of the jobs are in packs.
fn mixed(dir: &Path) -> (JobStore, Graph) {
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    submit(&graph, 0..3 * RUN + 100);
    pack(&store, dir);
    submit(&graph, 3 * RUN + 100..6 * RUN + 40);
    // Two jobs of the second run are not complete, and nothing from the sixth run on.
    let mut open = vec![RUN + 3, RUN + 400];
    open.extend(5 * RUN + 7..6 * RUN + 40);
    complete(&graph, &open);
    (store, graph)
}

#[test]
fn a_compressed_page_is_the_plain_page() {
    let dir = closed_directory();
    let (store, graph) = mixed(dir.path());
    // The last is smaller than any run, and the one before holds only a few.
    let servers = [16 << 20, 0, 30_000, 1].map(|bytes| with_cache(&store, bytes));
    for server in &servers {
        assert_pages(server, &graph);
        assert_pages(server, &graph);
    }
    // Completes the second run. One job is running.
    let open: Vec<_> = (5 * RUN + 7..6 * RUN + 40).collect();
    complete(&graph, &open);
    graph.claim_next().unwrap().unwrap().detach();
    for server in &servers {
        assert_pages(server, &graph);
    }
    // Purges some jobs of a cached run, all jobs of another, and the first and last of others.
    for n in [0, 2 * RUN - 1, 2 * RUN + 5] {
        let one = JobQuery::new().body_contains(format!(r#""n":{n},"#));
        assert_eq!(graph.purge(one).unwrap().jobs, 1);
    }
    let run = JobQuery::new().command("run-3");
    assert_eq!(graph.purge(run).unwrap().jobs, RUN as u64);
    for server in &servers {
        assert_pages(server, &graph);
    }
    complete(&graph, &[]);
    for server in &servers {
        assert_pages(server, &graph);
    }
    // The texts move to packs.
    pack(&store, dir.path());
    for server in &servers {
        assert_pages(server, &graph);
    }
    store.close().unwrap();
}

#[test]
fn large_jobs_among_small_ones_are_in_a_compressed_page() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let large = format!(r#""{}""#, "large ".repeat(200_000));
    for (small, bytes) in [(RUN + 100, 0), (700, 0), (40, 2000), (3 * RUN, 10)] {
        submit(&graph, 0..small);
        graph.submit(request("c", &large)).unwrap();
        let body = format!(r#""{}""#, "x".repeat(bytes));
        graph.submit_all(vec![request("c", &body); 300]).unwrap();
    }
    complete(&graph, &[]);
    let server = serve(&store);
    for _ in 0..2 {
        assert_pages(&server, &graph);
    }
}

#[test]
fn several_zstd_frames_are_sent_only_to_a_client_that_prefers_zstd() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    submit(&graph, 0..2 * RUN);
    complete(&graph, &[]);
    let (server, without_cache) = (serve(&store), with_cache(&store, 0));
    let frames = |server: &Server, query: &str, accepted: &str| {
        let path = format!("{LIST}?{query}");
        let answer = server.ask("GET", &path, &[("Accept-Encoding", accepted)]);
        let magic = [0x28, 0xb5, 0x2f, 0xfd];
        let frames = answer.body.windows(4).filter(|bytes| *bytes == magic);
        let encoding = answer.header("content-encoding").map(str::to_owned);
        (encoding, frames.count())
    };
    let gzip = (Some("gzip".to_owned()), 0);
    let zstd = |frames| (Some("zstd".to_owned()), frames);
    let both = "gzip, deflate, br, zstd";
    for _ in 0..2 {
        assert_eq!(frames(&server, "", both), gzip);
        // The beginning, two runs, and the end.
        assert_eq!(frames(&server, "", "zstd, gzip;q=0.9"), zstd(4));
        assert_eq!(frames(&server, "", "zstd"), zstd(4));
        // No run.
        assert_eq!(frames(&server, "offset=1&limit=1000", both), zstd(1));
        assert_eq!(frames(&server, "order=newest_first", both), zstd(1));
        assert_eq!(frames(&server, "detail=true", both), zstd(1));
        assert_eq!(frames(&without_cache, "", both), zstd(1));
    }
}

#[test]
fn a_graph_of_the_same_name_has_its_own_pages() {
    let store = JobStore::in_memory().unwrap();
    let server = serve(&store);
    for round in 0..3 {
        let graph = store.create_graph("10001", "moviejx").unwrap();
        submit(&graph, round * RUN..(round + 2) * RUN);
        complete(&graph, &[]);
        for _ in 0..2 {
            assert_page(&server, &graph, JobQuery::new(), "");
        }
        store.drop_graph("10001", "moviejx").unwrap();
    }
}

#[test]
fn a_follower_whose_log_was_replaced_serves_the_jobs_of_the_new_log() {
    let dir = closed_directory();
    let path = |name: &str| dir.path().join(name);
    let replica = MemoryReplica::default();
    let options = || small_segments().replica(Arc::new(replica.clone()));
    let writer = options().open(path("a")).unwrap();
    writer.create_graph("10001", "moviejx").unwrap();
    writer.close().unwrap();
    // Another store continues the same log.
    std::fs::create_dir(path("c")).unwrap();
    for file in std::fs::read_dir(path("a")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            let mut bytes = std::fs::read(file.path()).unwrap();
            let name = file.file_name();
            if name.to_str().unwrap().ends_with(".segment") {
                // Full, so that each open begins another segment, with the same number.
                let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
                bytes.truncate(end + 1);
            }
            std::fs::write(path("c").join(name), bytes).unwrap();
        }
    }
    let fill = |store: &JobStore| {
        let graph = store.graph("10001", "moviejx").unwrap();
        submit(&graph, 0..2 * RUN + 10);
        complete(&graph, &[]);
        page(&graph, JobQuery::new())
    };
    let writer = options().open(path("a")).unwrap();
    let left = fill(&writer);
    writer.close().unwrap();
    let follower = options().follow(path("b")).unwrap();
    let server = serve(&follower);
    let graph = follower.graph("10001", "moviejx").unwrap();
    wait_until("the follower shows the log", || {
        page(&graph, JobQuery::new()) == left
    });
    for _ in 0..2 {
        assert_page(&server, &graph, JobQuery::new(), "");
    }
    let other = JobStore::options().detach_replica(true);
    let other = other.open(path("c")).unwrap();
    let right = fill(&other);
    other.close().unwrap();
    assert!(left != right && left.len() == right.len());
    let writer = options().reseed(true).open(path("c")).unwrap();
    wait_until("the follower shows the other log", || {
        page(&graph, JobQuery::new()) == right
    });
    for encoding in ["zstd", "gzip", "identity"] {
        assert!(decoded(&server, "", encoding) == right, "{encoding}");
    }
    writer.close().unwrap();
}
