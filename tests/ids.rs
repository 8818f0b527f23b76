//! Job ids: the engine's own in every documented form, and generated ones.
//!
//! Guarantee: an id finds its own job or none, at every stage of the store; generated ids are
//! unique, whatever the clock shows; of many calls with the same id, exactly one creates a job.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{lose_index, pack, request, small_segments};
use jobstore::{
    Body, Cancellation, Clock, Completion, Error, Graph, JobId, JobQuery, JobStore, Outcome,
    Request, Submitted,
};

/// The documented forms, and the shortest and longest possible ids.
fn documented_ids() -> Vec<String> {
    let mut ids: Vec<String> = [
        // 19 digits and a UUID, as in the API's sample.
        "62582163123991943683d0f9aa3-f701-48be-a662-360e6a0455da",
        "6258216312399194368daa80df3-e3bd-440d-9764-74f4622a550f",
        // A UUID and 9 digits.
        "b4f2e9a0-8439-4edd-a3ad-199bb523b613104118240",
        // A bare UUID.
        "4448c9fb-0b16-4a78-8d89-2a137c53454a",
        // 32 hexadecimal digits.
        "ff80808163d6c2a30163d6cd3a2a0001",
        "0",
        "a",
        "Z",
        "_",
        "-",
        "--__",
        "null",
        "import-2024_07",
    ]
    .map(str::to_owned)
    .into();
    ids.push("9".repeat(19));
    ids.push("x".repeat(127));
    ids.push("aZ09_-".repeat(22)[..128].to_owned());
    ids
}

/// Runs `look` on the graph as submitted, packed, reopened, and without its index.
fn at_every_stage(fill: impl FnOnce(&Graph), look: impl Fn(&str, &Graph)) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    fill(&graph);
    look("as submitted", &graph);
    store.close().unwrap();
    let reopen = || {
        let store = small_segments().open(dir).unwrap();
        let graph = store.graph("10001", "movie").unwrap();
        (store, graph)
    };
    let (store, graph) = reopen();
    look("reopened", &graph);
    pack(&store, dir);
    look("packed", &graph);
    store.close().unwrap();
    lose_index(dir);
    let (_store, graph) = reopen();
    look("without its index", &graph);
}

fn assert_unknown(graph: &Graph, id: &str) {
    assert!(graph.job(id).unwrap().is_none(), "{id} was found");
    let refused = [
        graph.start(id).unwrap_err(),
        graph.complete(id, Outcome::succeeded()).unwrap_err(),
        graph.cancel(id).unwrap_err(),
        graph.claim(id).unwrap_err(),
    ];
    for error in refused {
        assert!(
            matches!(&error, Error::UnknownJob { id: named } if named == id),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("can not find job, jobId is {id}")
        );
    }
}

#[test]
fn every_documented_form_is_accepted_and_found_again() {
    let ids = documented_ids();
    at_every_stage(
        |graph| {
            for (n, id) in ids.iter().enumerate() {
                let request = request("c", &n.to_string());
                let created = graph.submit_as(id, request).unwrap();
                assert_eq!(created, Submitted::Created(JobId::new(id).unwrap()));
                assert_eq!(created.id().as_str(), id);
            }
        },
        |stage, graph| {
            for (n, id) in ids.iter().enumerate() {
                let job = graph.job(id).unwrap();
                let job = job.unwrap_or_else(|| panic!("{stage}: {id} was not found"));
                assert_eq!(job.id().as_str(), id);
                assert_eq!(job.request().body(), n.to_string(), "{stage}: {id}");
                assert_eq!(job.sequence(), n as u64, "{stage}: {id}");
            }
            // Similar to an existing id, but unknown.
            assert_unknown(graph, "b4f2e9a0-8439-4edd-a3ad-199bb523b613104118241");
            assert_unknown(graph, "B4F2E9A0-8439-4EDD-A3AD-199BB523B613104118240");
            assert_unknown(graph, "Import-2024_07");
            assert_unknown(graph, "import-2024_0");
            assert_unknown(graph, &"x".repeat(128));
        },
    );
}

#[test]
fn an_id_goes_in_as_text_or_as_a_job_id_with_every_call() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for id in documented_ids() {
        graph.submit_as(&id, request("c", "1")).unwrap();
        graph.start(id.as_str()).unwrap();
        let id: JobId = id.parse().unwrap();
        assert_eq!(graph.cancel(&id).unwrap(), Cancellation::Requested);
        let done = graph.complete(&id, Outcome::cancelled()).unwrap();
        assert_eq!(done, Completion::Done);
        assert_eq!(graph.job(&id).unwrap().unwrap().id(), &id);
    }
}

/// Whether `id` is `number` and a version 7 UUID in the usual notation.
fn is_made_by(number: u64, id: &str) -> bool {
    let Some((digits, uuid)) = id.split_at_checked(19) else {
        return false;
    };
    let hyphens = [8, 13, 18, 23];
    id.len() == 55
        && digits == format!("{number:019}")
        && uuid.bytes().enumerate().all(|(at, byte)| {
            if hyphens.contains(&at) {
                byte == b'-'
            } else {
                matches!(byte, b'0'..=b'9' | b'a'..=b'f')
            }
        })
        && uuid.as_bytes()[14] == b'7'
        && matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b')
}

/// A clock that goes back by a second whenever it is read, even before 1970.
struct Backwards(AtomicI64);

impl Clock for Backwards {
    fn now(&self) -> SystemTime {
        let seconds = self.0.fetch_sub(1, Ordering::Relaxed);
        let away = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            UNIX_EPOCH - away
        } else {
            UNIX_EPOCH + away
        }
    }
}

#[test]
fn made_ids_are_unique_across_reopening_and_a_clock_that_runs_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut made: Vec<JobId> = Vec::new();
    let mut numbers = HashSet::new();
    // Each open begins at a later time than the previous one and so repeats its times.
    for start in [1_700_000_000, 1_700_000_100, 1_700_000_200, 5] {
        let store = small_segments()
            .clock(Backwards(AtomicI64::new(start)))
            .open(dir.path())
            .unwrap();
        let graph = store.get_or_create_graph("10001", "movie").unwrap();
        numbers.insert(graph.number());
        for _ in 0..5 {
            made.push(graph.submit(request("c", "1")).unwrap());
        }
        made.extend(graph.submit_all(vec![request("c", "2"); 500]).unwrap());
        let writes: Vec<_> = (0..100)
            .map(|_| graph.nonblocking().submit(request("c", "3")))
            .collect();
        made.extend(writes.into_iter().map(|write| write.wait().unwrap()));
        store.close().unwrap();
    }
    assert_eq!(numbers.len(), 1, "the graph kept its number");
    let number = *numbers.iter().next().unwrap();
    for id in &made {
        assert!(is_made_by(number, id.as_str()), "{id}");
    }
    let distinct: HashSet<&JobId> = made.iter().collect();
    assert_eq!(distinct.len(), 4 * 605);
    // And the list is in the order of submission, not of times or ids.
    lose_index(dir.path());
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    let page = graph.list(JobQuery::new()).unwrap();
    let listed: Vec<JobId> = page.jobs().map(|job| job.unwrap().id().clone()).collect();
    assert_eq!(listed, made);
    for (sequence, id) in made.iter().enumerate().step_by(17) {
        let job = graph.job(id).unwrap().unwrap();
        assert_eq!(job.sequence(), sequence as u64);
    }
}

#[test]
fn graphs_make_ids_of_their_own() {
    let store = JobStore::in_memory().unwrap();
    let graphs = ["a", "b"].map(|name| store.create_graph("10001", name).unwrap());
    assert_ne!(graphs[0].number(), graphs[1].number());
    for graph in &graphs {
        assert_eq!(graph.number().to_string().len(), 19);
        let id = graph.submit(request("c", "1")).unwrap();
        assert!(is_made_by(graph.number(), id.as_str()), "{id}");
        let other = graphs.iter().find(|g| g.number() != graph.number());
        assert_unknown(other.unwrap(), id.as_str());
    }
}

#[test]
fn the_same_id_in_two_graphs_is_two_jobs() {
    let names = ["a", "b"];
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    for (n, name) in names.iter().enumerate() {
        let graph = store.create_graph("10001", name).unwrap();
        let created = graph.submit_as("same", request("c", &n.to_string()));
        assert!(matches!(created, Ok(Submitted::Created(_))), "{created:?}");
    }
    let look = |stage: &str, store: &JobStore| {
        for (n, name) in names.iter().enumerate() {
            let graph = store.graph("10001", name).unwrap();
            let job = graph.job("same").unwrap().unwrap();
            assert_eq!(job.request().body(), n.to_string(), "{stage}");
        }
    };
    look("as submitted", &store);
    pack(&store, dir.path());
    look("packed", &store);
    store.close().unwrap();
    look("reopened", &small_segments().open(dir.path()).unwrap());
}

#[test]
fn an_id_in_a_graphs_own_form_that_was_never_given_is_unknown() {
    let made = std::cell::RefCell::new(Vec::new());
    at_every_stage(
        |graph| {
            let ids = graph.submit_all(vec![request("c", "1"); 40]).unwrap();
            made.borrow_mut().extend(ids);
        },
        |_, graph| {
            let made = made.borrow();
            for id in made.iter() {
                assert!(graph.job(id).unwrap().is_some(), "{id} was not found");
            }
            let id = made[7].as_str();
            // Each digit of the UUID is replaced by every other one: nearly always another number,
            // and never a job.
            for at in 19..55 {
                for digit in "0123456789abcdef".chars() {
                    let mut other = id.to_owned();
                    if other.as_bytes()[at] == b'-' {
                        continue;
                    }
                    other.replace_range(at..=at, &digit.to_string());
                    if !made.iter().any(|made| made.as_str() == other) {
                        assert!(graph.job(&other).unwrap().is_none(), "{other} was found");
                    }
                }
            }
            let number = graph.number();
            for uuid in [
                "00000000-0000-0000-0000-000000000000",
                "00000000-0000-7000-8000-000000000000",
                "ffffffff-ffff-7fff-bfff-ffffffffffff",
                "018cc251-f400-7000-8000-000000000001",
                // Variants that other UUID parsers would accept.
                &id[19..].to_uppercase(),
                &id[19..].replace('-', ""),
            ] {
                assert_unknown(graph, &format!("{number}{uuid}"));
            }
            assert_unknown(graph, &format!("{number}"));
            assert_unknown(graph, &id[19..]);
            assert_unknown(graph, &id[..54]);
            assert_unknown(graph, &format!("{id}0"));
        },
    );
}

#[test]
fn an_id_in_a_graphs_own_form_can_be_brought_by_the_engine() {
    let brought = std::cell::RefCell::new(Vec::new());
    at_every_stage(
        |graph| {
            let made = graph.submit(request("c", "0")).unwrap();
            // The time in the id cannot be recognized from outside.
            for n in 0..10 {
                let id = format!("{}{n:08x}{}", &made.as_str()[..19], &made.as_str()[27..]);
                let created = graph.submit_as(&id, request("c", &n.to_string()));
                assert!(
                    matches!(created, Ok(Submitted::Created(_))),
                    "{id}: {created:?}"
                );
                brought.borrow_mut().push(id);
            }
            let again = graph.submit_as(&made, request("c", "0")).unwrap();
            assert_eq!(again, Submitted::AlreadyExists(made.clone()));
            let taken = graph.submit_as(&made, request("c", "1"));
            assert!(
                matches!(taken, Err(Error::JobIdTaken { ref id }) if *id == made),
                "{taken:?}"
            );
        },
        |stage, graph| {
            for (n, id) in brought.borrow().iter().enumerate() {
                let job = graph.job(id).unwrap();
                let job = job.unwrap_or_else(|| panic!("{stage}: {id} was not found"));
                assert_eq!(job.request().body(), n.to_string(), "{stage}");
                assert_eq!(job.sequence(), n as u64 + 1, "{stage}");
            }
        },
    );
}

#[test]
fn a_known_id_with_the_same_request_already_exists_however_it_is_written() {
    let body = r#"{"a":1,"b":{"x":[1,2],"y":"A"},"c":0.10}"#;
    let same = [
        body,
        r#"{"c":0.10,"b":{"y":"A","x":[1,2]},"a":1}"#,
        " {\n \"b\" : { \"x\" : [ 1, 2 ], \"y\" : \"A\" },\t\"a\" : 1, \"c\" : 0.10 } ",
        r#"{"a":1,"b":{"x":[1,2],"y":"\u0041"},"c":0.10}"#,
    ];
    let others = [
        r#"{"a":1,"b":{"x":[2,1],"y":"A"},"c":0.10}"#,
        r#"{"a":1,"b":{"x":[1,2],"y":"a"},"c":0.10}"#,
        r#"{"a":1,"b":{"x":[1,2],"y":"A"}}"#,
        r#"{"a":1,"b":{"x":[1,2],"y":"A"},"c":0.10,"d":null}"#,
        "{}",
        "null",
    ];
    at_every_stage(
        |graph| {
            graph.submit_as("mine", request("c", body)).unwrap();
            graph.start("mine").unwrap();
            graph.complete("mine", Outcome::succeeded()).unwrap();
        },
        |stage, graph| {
            let before = common::listed(graph);
            let exists = Submitted::AlreadyExists(JobId::new("mine").unwrap());
            for body in same {
                let again = graph.submit_as("mine", request("c", body)).unwrap();
                assert_eq!(again, exists, "{stage}: {body}");
                let queued = graph.nonblocking().submit_as("mine", request("c", body));
                assert_eq!(queued.wait().unwrap(), exists, "{stage}: {body}");
            }
            let mut different: Vec<Request> = others.map(|body| request("c", body)).into();
            let parsed = || Body::from_json(body).unwrap();
            different.push(Request::new("d", "/ges", parsed()).unwrap());
            different.push(Request::new("c", "/ges/", parsed()).unwrap());
            for request in different {
                let refused = [
                    graph.submit_as("mine", request.clone()).unwrap_err(),
                    graph
                        .nonblocking()
                        .submit_as("mine", request)
                        .wait()
                        .unwrap_err(),
                ];
                for error in refused {
                    assert!(
                        matches!(&error, Error::JobIdTaken { id } if id.as_str() == "mine"),
                        "{error:?}"
                    );
                    assert!(error.to_string().contains("mine"), "{error}");
                    assert!(error.to_string().contains("another id"), "{error}");
                }
            }
            assert_eq!(
                common::listed(graph),
                before,
                "{stage}: nothing was changed"
            );
        },
    );
}

#[test]
fn calls_that_wait_together_with_the_same_id_create_one_job() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    for round in 0..50 {
        let id = format!("id-{round}");
        let body = |n: usize| if n % 3 == 2 { "\"other\"" } else { "\"one\"" };
        let writes: Vec<_> = (0..6)
            .map(|n| graph.nonblocking().submit_as(&id, request("c", body(n))))
            .collect();
        let job_id = JobId::new(&id).unwrap();
        for (n, write) in writes.into_iter().enumerate() {
            match (n, write.wait()) {
                (0, answer) => assert_eq!(answer.unwrap(), Submitted::Created(job_id.clone())),
                (2 | 5, answer) => assert!(
                    matches!(&answer, Err(Error::JobIdTaken { id }) if *id == job_id),
                    "{answer:?}"
                ),
                (_, answer) => {
                    assert_eq!(answer.unwrap(), Submitted::AlreadyExists(job_id.clone()));
                }
            }
        }
    }
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 50);
}

#[test]
fn of_16_threads_that_bring_the_same_id_exactly_one_creates_it() {
    const THREADS: usize = 16;
    const IDS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let barrier = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (graph, barrier) = (graph.clone(), barrier.clone());
            std::thread::spawn(move || {
                let bring = |n: usize| {
                    // For even ids, all calls have the same request; for odd ids, each has its own.
                    let body = if n % 2 == 0 { 0 } else { thread };
                    barrier.wait();
                    graph.submit_as(format!("id-{n}"), request("c", &body.to_string()))
                };
                (0..IDS).map(bring).collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: Vec<Vec<_>> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let mut creators = Vec::new();
    for n in 0..IDS {
        let mut created = Vec::new();
        for (thread, answers) in answers.iter().enumerate() {
            match &answers[n] {
                Ok(Submitted::Created(_)) => created.push(thread),
                Ok(Submitted::AlreadyExists(_)) => assert_eq!(n % 2, 0, "another request"),
                Err(Error::JobIdTaken { .. }) => assert_eq!(n % 2, 1, "the same request"),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(created.len(), 1, "id-{n} was created by {created:?}");
        creators.push(created[0]);
    }
    let look = |graph: &Graph| {
        assert_eq!(
            graph.list(JobQuery::new()).unwrap().total().unwrap(),
            IDS as u64
        );
        for (n, creator) in creators.iter().enumerate().filter(|(n, _)| n % 2 == 1) {
            let job = graph.job(format!("id-{n}")).unwrap().unwrap();
            assert_eq!(job.request().body(), creator.to_string());
        }
    };
    look(&graph);
    drop(graph);
    store.close().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    look(&store.graph("10001", "movie").unwrap());
}

#[test]
fn of_16_threads_that_submit_none_gets_the_id_of_another() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let threads: Vec<_> = (0..16)
        .map(|thread| {
            let graph = graph.clone();
            std::thread::spawn(move || {
                let submit = |_| graph.submit(request("c", &thread.to_string())).unwrap();
                (thread, (0..100).map(submit).collect::<Vec<JobId>>())
            })
        })
        .collect();
    let mut made = HashSet::new();
    for thread in threads {
        let (thread, ids) = thread.join().unwrap();
        for id in ids {
            let job = graph.job(&id).unwrap().unwrap();
            assert_eq!(job.request().body(), thread.to_string());
            assert!(made.insert(id), "given twice");
        }
    }
    assert_eq!(made.len(), 1600);
}

#[test]
fn twenty_thousand_foreign_ids_are_found_and_others_are_not() {
    const IDS: usize = 20_000;
    let id = |n: usize| match n % 4 {
        0 => format!("{n:032x}"),
        1 => format!("4448c9fb-0b16-4a78-8d89-{n:012x}"),
        2 => format!("job_{n}"),
        _ => format!("b4f2e9a0-8439-4edd-a3ad-199bb523b613{n:09}"),
    };
    at_every_stage(
        |graph| {
            let nonblocking = graph.nonblocking();
            let writes: Vec<_> = (0..IDS)
                .map(|n| nonblocking.submit_as(id(n), request("c", &n.to_string())))
                .collect();
            for (n, write) in writes.into_iter().enumerate() {
                let created = write.wait().unwrap();
                assert_eq!(created, Submitted::Created(JobId::new(id(n)).unwrap()));
            }
        },
        |stage, graph| {
            for n in (0..IDS).step_by(13) {
                let job = graph.job(id(n)).unwrap();
                let job = job.unwrap_or_else(|| panic!("{stage}: {} was not found", id(n)));
                assert_eq!(job.request().body(), n.to_string(), "{stage}");
                assert_eq!(job.id().as_str(), id(n), "{stage}");
                assert!(graph.job(id(n + IDS)).unwrap().is_none(), "{stage}: {n}");
            }
            let exists = graph.submit_as(id(77), request("c", "77")).unwrap();
            assert_eq!(
                exists,
                Submitted::AlreadyExists(JobId::new(id(77)).unwrap()),
                "{stage}"
            );
            let taken = graph.submit_as(id(78), request("c", "77"));
            assert!(
                matches!(taken, Err(Error::JobIdTaken { .. })),
                "{stage}: {taken:?}"
            );
            let page = graph.list(JobQuery::new()).unwrap();
            assert_eq!(page.total().unwrap(), IDS as u64, "{stage}");
            for (n, job) in page.jobs().enumerate() {
                assert_eq!(job.unwrap().id().as_str(), id(n), "{stage}");
            }
        },
    );
}
