//! Paging: limits are checked and never clamped, an offset counts the jobs of the instant, cursors
//! neither skip nor repeat a job, and a page stays readable while its files are replaced.
//!
//! Tests guarantees 3 (one order) and 5 (an offset costs nothing: the pages here cross every kind
//! of boundary; the cost itself is benchmarked).

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jobstore::{Cursor, Error, Graph, Job, JobQuery, JobStore, Outcome, Page, State};

use common::{Random, files_ending, ids, pack, request, small_segments};

/// A filter for each set of states, and whether a state is in it.
fn filters() -> Vec<(JobQuery, Vec<State>)> {
    let mut all = vec![(JobQuery::new(), State::ALL.to_vec())];
    for set in 1..8 {
        let states: Vec<State> = (0..3)
            .filter(|n| set & (1 << n) != 0)
            .map(|n| State::ALL[n])
            .collect();
        let list = states
            .iter()
            .fold(JobQuery::new(), |list, &state| list.state(state));
        all.push((list, states));
    }
    all
}

/// The expected content: ids and states in the order of submission.
type Expected = Vec<(String, State)>;

/// Submits jobs of varying sizes, so that blocks end at different counts, and starts and completes
/// some of them.
fn fill(graph: &Graph, jobs: usize, random: &mut Random, expected: &mut Expected) {
    for _ in 0..jobs {
        let bytes = [10, 60, 900, 3_000][random.below(4) as usize];
        let body = format!("\"{}\"", "b".repeat(bytes));
        let id = graph.submit(request("fill", &body)).unwrap();
        let state = match random.below(4) {
            0 => State::Pending,
            1 => State::Running,
            _ => State::Complete,
        };
        if state != State::Pending {
            graph.start(&id).unwrap();
        }
        if state == State::Complete {
            graph.complete(&id, Outcome::succeeded()).unwrap();
        }
        expected.push((id.to_string(), state));
    }
}

/// The ids and states in a page's JSON.
fn in_json(page: &Page) -> Expected {
    let document: serde_json::Value = serde_json::from_slice(&page.to_json().unwrap()).unwrap();
    assert_eq!(document["result"], "success");
    let jobs = document["jobs"].as_array().unwrap().iter();
    jobs.map(|job| {
        let state = State::ALL
            .into_iter()
            .find(|state| job["status"] == state.as_str());
        (job["jobId"].as_str().unwrap().to_owned(), state.unwrap())
    })
    .collect()
}

#[test]
fn a_limit_outside_1_to_100000_is_refused_with_both_numbers() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for given in [0, 100_001, u64::MAX] {
        let refused = graph.list(JobQuery::new().limit(given)).unwrap_err();
        assert!(
            matches!(refused, Error::PageLimit { given: g, max: 100_000 } if g == given),
            "{refused:?}"
        );
        assert_eq!(refused.api_error().status, 400);
        assert_eq!(refused.api_error().code, "GES.8000");
        assert!(refused.to_string().contains(&given.to_string()));
    }
    for allowed in [1, 2, 99_999, 100_000] {
        let page = graph.list(JobQuery::new().limit(allowed)).unwrap();
        assert!(page.is_empty());
        assert!(page.next().is_none());
    }
}

#[test]
fn the_greatest_page_has_100000_jobs_and_a_cursor_to_the_rest() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let one = request("c", "{}");
    let mut all = graph.submit_all(vec![one.clone(); 100_000]).unwrap();
    all.extend(graph.submit_all(vec![one; 7]).unwrap());
    let page = graph.list(JobQuery::new().limit(100_000)).unwrap();
    assert_eq!((page.len(), page.total().unwrap()), (100_000, 100_007));
    let unlimited = graph.list(JobQuery::new()).unwrap();
    assert_eq!(unlimited.len(), 100_000, "the default is the greatest page");
    let rest = graph
        .list(JobQuery::new().cursor(&page.next().unwrap()))
        .unwrap();
    assert_eq!(rest.total().unwrap(), 100_007);
    assert!(rest.next().is_none());
    let expected: Vec<&str> = all[100_000..].iter().map(|id| id.as_str()).collect();
    assert_eq!(ids(&rest), expected);
    let at_the_end = graph.list(JobQuery::new().offset(99_998).limit(4)).unwrap();
    let expected: Vec<&str> = all[99_998..100_002].iter().map(|id| id.as_str()).collect();
    assert_eq!(ids(&at_the_end), expected);
}

#[test]
fn an_offset_past_the_end_gives_an_empty_page() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    for jobs in [0u64, 3] {
        for _ in graph.count(State::Pending).unwrap()..jobs {
            graph.submit(request("c", "{}")).unwrap();
        }
        for offset in [jobs, jobs + 1, 100_000, u64::MAX] {
            let page = graph.list(JobQuery::new().offset(offset)).unwrap();
            assert!(page.is_empty(), "offset {offset}");
            assert_eq!(page.total().unwrap(), jobs);
            assert!(page.next().is_none());
            assert_eq!(page.jobs().count(), 0);
            assert_eq!(
                page.to_json().unwrap(),
                br#"{"jobs":[],"result":"success"}"#
            );
        }
    }
}

#[test]
fn every_window_in_every_filter_shows_its_slice_across_blocks_packs_and_segments() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let (mut random, mut expected) = (Random(1), Vec::new());
    for _ in 0..3 {
        fill(&graph, 150, &mut random, &mut expected);
        pack(&store, dir.path());
    }
    // The rest stays in the segment being written, next to the packs.
    fill(&graph, 40, &mut random, &mut expected);
    assert!(!files_ending(dir.path(), ".pack").is_empty());

    for (list, states) in filters() {
        let matching: Expected = expected
            .iter()
            .filter(|(_, state)| states.contains(state))
            .cloned()
            .collect();
        let last = matching.len();
        let edges = [0, 1, 63, 64, 65, 127, 128, 129, 150, 300, 448, last - 1];
        for offset in edges {
            for limit in [1, 2, 63, 64, 65, 130, 1000] {
                let list = list.clone().offset(offset as u64).limit(limit as u64);
                let page = graph.list(list).unwrap();
                let from = offset.min(last);
                let slice = &matching[from..(from + limit).min(last)];
                let at = format!("{states:?}, offset {offset}, limit {limit}");
                assert_eq!(page.len(), slice.len(), "{at}");
                assert_eq!(page.total().unwrap(), last as u64, "{at}");
                assert_eq!(page.next().is_some(), offset + limit < last, "{at}");
                assert!(in_json(&page) == slice, "{at}");
                if limit == 65 {
                    let typed = page.jobs().map(|job| {
                        let job = job.unwrap();
                        (job.id().to_string(), job.state())
                    });
                    assert!(typed.collect::<Expected>() == slice, "{at}");
                }
            }
        }
        let counted: u64 = states.iter().map(|&s| graph.count(s).unwrap()).sum();
        assert_eq!(counted, last as u64);
    }
}

/// Walks a list by cursors, each converted to text and back.
fn walk(graph: &Graph, list: &JobQuery, limit: u64) -> Vec<String> {
    let mut seen = Vec::new();
    let mut list = list.clone().limit(limit);
    loop {
        let page = graph.list(list.clone()).unwrap();
        assert!(page.len() as u64 <= limit);
        seen.extend(ids(&page));
        assert!(
            seen.len() as u64 <= page.total().unwrap(),
            "a job came twice"
        );
        let Some(next) = page.next() else {
            return seen;
        };
        assert_eq!(page.len() as u64, limit, "a page before the last is full");
        let text = next.to_string();
        let parsed: Cursor = text.parse().unwrap();
        assert_eq!(parsed, next);
        assert_eq!(parsed.to_string(), text);
        list = list.cursor(&parsed);
    }
}

#[test]
fn cursors_walk_every_list_once_also_across_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let (mut random, mut expected) = (Random(2), Vec::new());
    let leave = || small_segments().recovery(jobstore::Recovery::Leave);
    let store = leave().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    fill(&graph, 200, &mut random, &mut expected);
    pack(&store, dir.path());
    fill(&graph, 30, &mut random, &mut expected);

    for (list, states) in filters() {
        let matching: Vec<String> = expected
            .iter()
            .filter(|(_, state)| states.contains(state))
            .map(|(id, _)| id.clone())
            .collect();
        for limit in [1, 7, 64, 100, 1000] {
            assert!(
                walk(&graph, &list, limit) == matching,
                "{states:?} by {limit}"
            );
        }
    }

    // The store is reopened for each page; the cursor is kept as text.
    let (mut store, mut graph) = (store, graph);
    for state in [None, Some(State::Complete)] {
        let list = state.map_or(JobQuery::new(), |state| JobQuery::new().state(state));
        let mut list = list.limit(60);
        let mut seen = Vec::new();
        loop {
            let page = graph.list(list.clone()).unwrap();
            seen.extend(ids(&page));
            assert!(
                seen.len() as u64 <= page.total().unwrap(),
                "a job came twice"
            );
            let Some(next) = page.next() else { break };
            let text = next.to_string();
            drop(page);
            store.close().unwrap();
            store = leave().open(dir.path()).unwrap();
            graph = store.graph("p", "g").unwrap();
            list = list.cursor(&text.parse().unwrap());
        }
        let matching = expected
            .iter()
            .filter(|(_, s)| state.is_none_or(|state| state == *s))
            .map(|(id, _)| id.clone());
        assert!(seen == matching.collect::<Vec<_>>(), "{state:?}");
    }
}

#[test]
fn an_offset_next_to_a_cursor_counts_from_the_cursor() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let all = graph.submit_all(vec![request("c", "{}"); 20]).unwrap();
    let next = graph
        .list(JobQuery::new().limit(5))
        .unwrap()
        .next()
        .unwrap();
    let page = graph
        .list(JobQuery::new().cursor(&next).offset(3).limit(2))
        .unwrap();
    assert_eq!(ids(&page), [all[8].as_str(), all[9].as_str()]);
}

#[test]
fn cursors_neither_skip_nor_repeat_while_others_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    // Every other job stays pending until the end; the others are started and completed.
    let first = graph.submit_all(vec![request("c", "{}"); 600]).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (graph, stop, first) = (&graph, &stop, &first);
            scope.spawn(move || {
                let mut ours = first.iter().skip(1).step_by(2).skip(writer).step_by(3);
                while !stop.load(Ordering::Relaxed) {
                    graph.submit(request("more", "\"xxxxxxxx\"")).unwrap();
                    if let Some(id) = ours.next() {
                        graph.start(id).unwrap();
                        graph.complete(id, Outcome::succeeded()).unwrap();
                    }
                }
            });
        }
        // Stops the writers even if an assertion fails.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        for limit in [1, 17, 64, 200] {
            let mut list = JobQuery::new().limit(limit);
            let mut sequence = 0;
            let before = graph.list(JobQuery::new()).unwrap().total().unwrap();
            while let Some(next) = {
                let page = graph.list(list.clone()).unwrap();
                for job in &page {
                    assert_eq!(job.unwrap().sequence(), sequence, "limit {limit}");
                    sequence += 1;
                }
                page.next().filter(|_| sequence < before + 100)
            } {
                list = list.cursor(&next);
            }
            assert!(sequence >= before);
        }
        for limit in [3, 50] {
            let mut list = JobQuery::new().state(State::Pending).limit(limit);
            let mut seen = Vec::new();
            while let Some(next) = {
                let page = graph.list(list.clone()).unwrap();
                seen.extend(page.jobs().map(|job| job.unwrap().sequence()));
                page.next().filter(|_| seen.last() < Some(&600))
            } {
                list = list.cursor(&next);
            }
            assert!(
                seen.is_sorted_by(|a, b| a < b),
                "a pending job came twice or out of order"
            );
            for even in (0..600).step_by(2) {
                assert!(seen.contains(&even), "job {even} was pending all the time");
            }
        }
    });
}

#[test]
fn foreign_altered_and_otherwise_filtered_cursors_are_errors() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let other = store.create_graph("p", "other").unwrap();
    for graph in [&graph, &other] {
        graph.submit_all(vec![request("c", "{}"); 10]).unwrap();
    }
    let is_invalid = |error: Error| {
        assert!(matches!(error, Error::InvalidCursor { .. }), "{error:?}");
        assert_eq!(error.api_error().status, 400);
        assert!(error.to_string().contains("cursor"), "{error}");
    };
    let next = |list: JobQuery| graph.list(list.limit(4)).unwrap().next().unwrap();
    let of_all = next(JobQuery::new());
    is_invalid(other.list(JobQuery::new().cursor(&of_all)).unwrap_err());

    let pending = JobQuery::new().state(State::Pending);
    is_invalid(graph.list(pending.clone().cursor(&of_all)).unwrap_err());
    let of_pending = next(pending.clone());
    is_invalid(graph.list(JobQuery::new().cursor(&of_pending)).unwrap_err());
    let wider = pending.clone().state(State::Running);
    is_invalid(graph.list(wider.cursor(&of_pending)).unwrap_err());
    assert_eq!(graph.list(pending.cursor(&of_pending)).unwrap().len(), 6);

    let text = of_all.to_string();
    for at in 0..text.len() {
        for with in ["0", "1", "7", "f", "g", "-", "ü"] {
            let mut altered = text.clone();
            altered.replace_range(at..=at, with);
            if altered == text {
                continue;
            }
            match altered.parse::<Cursor>() {
                Err(error) => is_invalid(error),
                Ok(cursor) => is_invalid(graph.list(JobQuery::new().cursor(&cursor)).unwrap_err()),
            }
        }
    }
    for text in [
        "",
        "x",
        "01",
        &text[1..],
        &text[..text.len() - 1],
        &format!("{text}0"),
    ] {
        is_invalid(text.parse::<Cursor>().unwrap_err());
    }
    is_invalid(
        text.to_uppercase()
            .replace('0', "O")
            .parse::<Cursor>()
            .unwrap_err(),
    );

    // A graph recreated under the same name is a different graph.
    store.drop_graph("p", "g").unwrap();
    let anew = store.create_graph("p", "g").unwrap();
    anew.submit_all(vec![request("c", "{}"); 10]).unwrap();
    is_invalid(anew.list(JobQuery::new().cursor(&of_all)).unwrap_err());
}

#[test]
fn a_page_read_slowly_is_right_though_packing_and_merging_replace_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let (mut random, mut expected) = (Random(3), Vec::new());
    fill(&graph, 150, &mut random, &mut expected);
    pack(&store, dir.path());
    fill(&graph, 25, &mut random, &mut expected);
    // A job stored in pieces, so that reading can stop in the middle of it.
    let large = request("large", &format!("\"{}\"", "0123456789".repeat(30_000)));
    let large = graph.submit(large).unwrap().to_string();
    expected.push((large, State::Pending));

    let page = graph.list(JobQuery::new()).unwrap();
    let whole = page.to_json().unwrap();
    let files = |end| files_ending(dir.path(), end);
    let before: Vec<_> = files(".pack")
        .into_iter()
        .chain(files(".segment"))
        .collect();
    let (mut chunks, mut jobs) = (page.chunks(), page.jobs());
    let mut text = chunks.next().unwrap().unwrap();
    let mut typed = vec![jobs.next().unwrap().unwrap()];

    // Every state changes, and all earlier files are replaced.
    for (id, state) in &expected {
        if *state == State::Pending {
            graph.start(id).unwrap();
        }
        graph.complete(id, Outcome::succeeded()).unwrap();
    }
    let mut rounds = 0;
    while before.iter().any(|file| file.exists()) {
        fill(&graph, 40, &mut random, &mut Vec::new());
        pack(&store, dir.path());
        rounds += 1;
        assert!(rounds < 40, "packs are not merged: {before:?}");
    }

    text.extend(chunks.flat_map(|chunk| chunk.unwrap()));
    assert!(text == whole);
    typed.extend(jobs.map(|job| job.unwrap()));
    let typed: Expected = typed
        .iter()
        .map(|job| (job.id().to_string(), job.state()))
        .collect();
    assert!(typed == expected);
    assert!(in_json(&page) == expected);
    // And a page taken now reads only the new files.
    let now = graph
        .list(JobQuery::new().limit(expected.len() as u64))
        .unwrap();
    let all: Vec<&String> = expected.iter().map(|(id, _)| id).collect();
    assert!(ids(&now).iter().eq(all));
}

#[test]
fn pages_of_a_dropped_graph_can_still_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    let (mut random, mut expected) = (Random(4), Vec::new());
    fill(&graph, 150, &mut random, &mut expected);
    pack(&store, dir.path());
    fill(&graph, 20, &mut random, &mut expected);
    // The index receives the changes.
    std::thread::sleep(std::time::Duration::from_millis(1_500));

    let page = graph.list(JobQuery::new()).unwrap();
    let whole = page.to_json().unwrap();
    let life = |job: &Job| format!("{job:?} {:?}", (job.started_at(), job.completed_at()));
    let lives: Vec<String> = page.jobs().map(|job| life(&job.unwrap())).collect();
    let check = || {
        assert!(page.to_json().unwrap() == whole);
        let told = page.jobs().map(|job| life(&job.unwrap()));
        assert!(told.eq(lives.iter().cloned()));
    };
    store.drop_graph("p", "g").unwrap();
    let refused = graph.list(JobQuery::new()).unwrap_err();
    assert!(matches!(refused, Error::GraphDropped { .. }), "{refused:?}");
    check();

    // The same name again, files packed without the old graph, and the index without its rows.
    let anew = store.create_graph("p", "g").unwrap();
    fill(&anew, 100, &mut random, &mut Vec::new());
    pack(&store, dir.path());
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    check();
    let page_of_new = anew.list(JobQuery::new()).unwrap();
    assert_eq!(page_of_new.jobs().filter(|job| job.is_ok()).count(), 100);
    let names = common::names_in(dir.path());
    assert!(!names.contains(&"INDEX-OPENING".to_owned()), "{names:?}");
}

#[test]
fn the_order_is_that_of_submission_for_8_writing_threads_and_has_no_gaps() {
    const THREADS: u64 = 8;
    const JOBS: u64 = 250;
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    // A clock that advances with every call and every return.
    let clock = AtomicU64::new(0);
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let calls: HashMap<String, (u64, u64)> = std::thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| {
            let graph = &graph;
            scope.spawn(move || {
                let submits = (0..JOBS).map(|n| {
                    let request = request("c", &format!("[{thread},{n}]"));
                    let called = tick();
                    let id = match n % 3 {
                        0 => {
                            let own = format!("t{thread}-{n}");
                            graph.submit_as(&own, request).unwrap().id().clone()
                        }
                        1 => graph.submit(request).unwrap(),
                        _ => graph.nonblocking().submit(request).wait().unwrap(),
                    };
                    (id.to_string(), (called, tick()))
                });
                submits.collect::<Vec<_>>()
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(calls.len() as u64, THREADS * JOBS);

    let check = |graph: &Graph| {
        let page = graph.list(JobQuery::new()).unwrap();
        assert_eq!(page.total().unwrap(), THREADS * JOBS);
        let (mut latest_call, mut next) = (0, vec![0; THREADS as usize]);
        for (n, job) in page.jobs().enumerate() {
            let job = job.unwrap();
            assert_eq!(job.sequence(), n as u64);
            // If one call returned before another began, its job comes first.
            let (called, returned) = calls[job.id().as_str()];
            assert!(returned > latest_call, "{} stands too late", job.id());
            latest_call = latest_call.max(called);
            let body: (usize, u64) = serde_json::from_str(job.request().body()).unwrap();
            assert_eq!(body.1, next[body.0], "thread {} out of order", body.0);
            next[body.0] += 1;
            let found = graph.job(job.id()).unwrap().unwrap();
            assert_eq!(found.sequence(), job.sequence());
        }
    };
    check(&graph);
    store.close().unwrap();
    let store = JobStore::open(dir.path()).unwrap();
    check(&store.graph("p", "g").unwrap());
}
