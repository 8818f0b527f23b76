//! A page is one instant: it shows whole commits, its total counts what it shows, it contains no
//! effect without its cause, and it does not change when its jobs do.
//!
//! Tests guarantee 4. Readers never wait for writers here: they read pages as fast as they can
//! while batches arrive, jobs change state, and files are packed.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use jobstore::{Graph, JobId, JobQuery, JobStore, Outcome, Page, State};

use common::{Random, files_ending, pack, request, small_segments};

/// Runs writers, and readers until the writers are done. Each reader reads at least once afterward.
fn with_readers(
    writers: Vec<Box<dyn FnOnce() + Send + '_>>,
    readers: usize,
    read: impl Fn() -> Box<dyn FnMut()> + Sync,
) {
    let left = AtomicU64::new(writers.len() as u64);
    // Counts a writer as done even if it panics.
    struct Done<'a>(&'a AtomicU64);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    std::thread::scope(|scope| {
        let (left, read) = (&left, &read);
        for writer in writers {
            scope.spawn(move || {
                let _done = Done(left);
                writer();
            });
        }
        for _ in 0..readers {
            scope.spawn(move || {
                let mut read = read();
                while left.load(Ordering::SeqCst) > 0 {
                    read();
                }
                read();
            });
        }
    });
}

fn store_on_disk() -> (tempfile::TempDir, JobStore, Graph) {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    (dir, store, graph)
}

/// Ids and states of a page in both its forms, which must agree completely.
fn shown(page: &Page) -> Vec<(JobId, State)> {
    let document: serde_json::Value = serde_json::from_slice(&page.to_json().unwrap()).unwrap();
    let written = document["jobs"].as_array().unwrap();
    let jobs: Vec<_> = page.jobs().map(|job| job.unwrap()).collect();
    assert_eq!(written.len(), jobs.len());
    assert_eq!(page.len(), jobs.len());
    for (written, job) in written.iter().zip(&jobs) {
        assert_eq!(written["jobId"], job.id().as_str());
        assert_eq!(written["status"], job.state().as_str());
        let request: serde_json::Value = serde_json::from_str(job.request().as_json()).unwrap();
        assert_eq!(written["request"], request);
        // The outcome must match the state.
        assert_eq!(job.outcome().is_some(), job.state() == State::Complete);
        assert_eq!(job.completed_at().is_some(), job.state() == State::Complete);
        assert!(job.started_at().is_none() || job.state() != State::Pending);
        assert!(job.started_at().is_some() || job.state() != State::Running);
    }
    jobs.iter()
        .map(|job| (job.id().clone(), job.state()))
        .collect()
}

#[test]
fn a_page_shows_whole_batches_next_to_each_other() {
    let (_dir, _store, graph) = store_on_disk();
    let writers = (0..3u64).map(|writer| -> Box<dyn FnOnce() + Send> {
        let graph = graph.clone();
        Box::new(move || {
            let mut random = Random(writer);
            for batch in 0..60 {
                let count = 1 + random.below(40);
                let padding = "x".repeat(random.below(300) as usize);
                let requests: Vec<_> = (0..count)
                    .map(|n| {
                        request(
                            "c",
                            &format!("[{writer},{batch},{n},{count},\"{padding}\"]"),
                        )
                    })
                    .collect();
                if batch % 2 == 0 {
                    graph.submit_all(requests).unwrap();
                } else {
                    graph.nonblocking().submit_all(requests).wait().unwrap();
                }
            }
        })
    });
    with_readers(writers.collect(), 2, || {
        let graph = graph.clone();
        let mut from = 0;
        Box::new(move || {
            // Parsing the whole list would be slow; this page ends where the list ends at its
            // instant, and begins within the batches seen before.
            let page = graph.list(JobQuery::new().offset(from)).unwrap();
            assert_eq!(page.total().unwrap(), from + page.len() as u64);
            let mut expected: Option<(u64, u64, u64, u64)> = None;
            for job in &page {
                let job = job.unwrap();
                let body: (u64, u64, u64, u64, String) =
                    serde_json::from_str(job.request().body()).unwrap();
                let body = (body.0, body.1, body.2, body.3);
                match expected {
                    Some(expected) => assert_eq!(body, expected, "a batch is broken"),
                    None => assert!(body.2 == 0 || from > 0, "the first batch is cut"),
                }
                let next = body.2 + 1;
                expected = (next < body.3).then_some((body.0, body.1, next, body.3));
                if from > 0 && job.sequence() == from {
                    continue;
                }
                if expected.is_none() && page.total().unwrap() > 3000 {
                    from = from.max(job.sequence() + 1 - body.3);
                }
            }
            assert_eq!(expected, None, "the list ends within a batch");
        })
    });
}

#[test]
fn a_total_counts_what_all_pages_of_its_instant_would_show() {
    let (_dir, _store, graph) = store_on_disk();
    let writers = (0..3u64).map(|writer| -> Box<dyn FnOnce() + Send> {
        let graph = graph.clone();
        Box::new(move || {
            let mut random = Random(writer);
            for _ in 0..150 {
                let ids = graph.submit_all(vec![request("c", "{}"); 3]).unwrap();
                for id in &ids[random.below(3) as usize..] {
                    graph.start(id).unwrap();
                    if random.below(2) == 0 {
                        graph.complete(id, Outcome::succeeded()).unwrap();
                    }
                }
            }
        })
    });
    with_readers(writers.collect(), 2, || {
        let graph = graph.clone();
        let mut before = 0;
        Box::new(move || {
            let page = graph.list(JobQuery::new()).unwrap();
            assert_eq!(page.total().unwrap(), page.len() as u64);
            assert_eq!(page.total().unwrap() % 3, 0);
            assert!(page.total().unwrap() >= before);
            before = page.total().unwrap();
            let running_or_complete = JobQuery::new().state(State::Running).state(State::Complete);
            for (list, states) in [
                (JobQuery::new().state(State::Pending), &[State::Pending][..]),
                (running_or_complete, &[State::Running, State::Complete]),
            ] {
                let page = graph.list(list).unwrap();
                assert_eq!(page.total().unwrap(), page.len() as u64);
                assert!(page.next().is_none());
                let jobs = shown(&page);
                assert_eq!(jobs.len() as u64, page.total().unwrap());
                assert!(jobs.iter().all(|(_, state)| states.contains(state)));
            }
        })
    });
    let sum: u64 = State::ALL.map(|s| graph.count(s).unwrap()).iter().sum();
    assert_eq!(sum, 3 * 150 * 3);
}

#[test]
fn states_never_go_backward_and_no_page_shows_an_effect_without_its_cause() {
    const PAIRS: usize = 150;
    let (_dir, _store, graph) = store_on_disk();
    let all = graph
        .submit_all(vec![request("c", "{}"); 6 * PAIRS])
        .unwrap();
    let writers = all
        .chunks(2 * PAIRS)
        .map(|ours| -> Box<dyn FnOnce() + Send> {
            let (graph, ours) = (graph.clone(), ours.to_vec());
            Box::new(move || {
                // In each pair, the first job is one step ahead; the second may follow only after
                // the first was acknowledged.
                for pair in ours.chunks(2) {
                    for id in pair {
                        graph.start(id).unwrap();
                    }
                    for id in pair {
                        graph.complete(id, Outcome::succeeded()).unwrap();
                    }
                }
            })
        });
    with_readers(writers.collect(), 2, || {
        let graph = graph.clone();
        let mut before: HashMap<JobId, State> = HashMap::new();
        Box::new(move || {
            let page = graph.list(JobQuery::new()).unwrap();
            let jobs = shown(&page);
            for (id, state) in &jobs {
                let before = before.insert(id.clone(), *state);
                assert!(
                    before.is_none_or(|before| before <= *state),
                    "{id} went from {before:?} to {state}"
                );
            }
            let mut pending_before = false;
            for (n, pair) in jobs.chunks(2).enumerate() {
                let (first, second) = (pair[0].1, pair[1].1);
                assert!(first >= second, "pair {n}: {first} and then {second}");
                let all_started = second != State::Pending || first != State::Complete;
                assert!(all_started, "pair {n}: one ended before the other began");
                // Pairs of one writer are consecutive.
                if n % PAIRS == 0 {
                    pending_before = false;
                }
                assert!(!pending_before || first == State::Pending, "pair {n}");
                pending_before |= second != State::Complete;
            }
        })
    });
    assert_eq!(graph.count(State::Complete).unwrap(), 6 * PAIRS as u64);
}

#[test]
fn a_page_gives_the_same_bytes_again_after_all_its_jobs_have_changed() {
    let (dir, store, graph) = store_on_disk();
    let mut random = Random(9);
    let mut ids = Vec::new();
    for n in 0..200 {
        let body = format!("\"{}\"", "b".repeat(random.below(2_000) as usize));
        let id = graph.submit(request("c", &body)).unwrap();
        if n % 3 > 0 {
            graph.start(&id).unwrap();
        }
        if n % 9 == 1 {
            graph.cancel(&id).unwrap();
        }
        ids.push(id);
        if n == 120 {
            pack(&store, dir.path());
        }
    }
    let lists = [
        JobQuery::new(),
        JobQuery::new().offset(50).limit(100),
        JobQuery::new().state(State::Running),
        JobQuery::new().state(State::Pending).offset(7).limit(20),
    ];
    let pages = lists.map(|list| graph.list(list).unwrap());
    let read = |page: &Page| {
        let jobs: Vec<_> = page.jobs().map(|job| job.unwrap()).collect();
        let asked: Vec<bool> = jobs.iter().map(|job| job.cancel_requested()).collect();
        let states = shown(page);
        let next = page.next().map(|cursor| cursor.to_string());
        (
            page.to_json().unwrap(),
            states,
            asked,
            page.total().unwrap(),
            next,
        )
    };
    let before = pages.each_ref().map(read);
    assert!(before[0].2.contains(&true), "cancel requests are shown");

    for (n, id) in ids.iter().enumerate() {
        if n % 3 == 0 {
            graph.start(id).unwrap();
        }
        let outcome = Outcome::failed("c", "m").with_detail(&n).unwrap();
        graph.complete(id, outcome).unwrap();
    }
    assert!(
        pages.each_ref().map(read) == before,
        "changed with its jobs"
    );
    let packs = files_ending(dir.path(), ".pack");
    while packs.iter().any(|pack_file| pack_file.exists()) {
        pack(&store, dir.path());
    }
    assert!(pages.each_ref().map(read) == before, "changed by packing");
    for (page, before) in pages.iter().zip(&before) {
        let mut written = Vec::new();
        page.write_json(&mut written).unwrap();
        assert!(written == before.0);
        let chunks: Vec<u8> = page.chunks().flat_map(|chunk| chunk.unwrap()).collect();
        assert!(chunks == before.0);
    }
    // Concurrently from several threads.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(pages.each_ref().map(read) == before));
        }
    });
    // After the close, the JSON is still readable.
    store.close().unwrap();
    for (page, before) in pages.iter().zip(&before) {
        assert!(page.to_json().unwrap() == before.0);
    }
}
