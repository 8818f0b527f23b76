//! Graphs: created, found, dropped, and recreated.
//!
//! Guarantee: a graph belongs to one project and does not exist for another; a dropped one is gone
//! for every handle and every call; one recreated under an old name starts empty; all of this also
//! after packing, reopening, and the loss of the index.

mod common;

use common::{listed, lose_index, pack, request, small_segments};
use jobstore::{Cursor, Error, Graph, JobQuery, JobStore, Outcome, Result, State, Submitted};

fn names(store: &JobStore) -> Vec<(String, String, u64)> {
    let graphs = store.graphs().unwrap();
    let name = |graph: &Graph| {
        let (project, name) = (graph.project_id(), graph.name());
        (project.to_owned(), name.to_owned(), graph.number())
    };
    graphs.iter().map(name).collect()
}

fn assert_unknown(result: Result<Graph>, name: &str) {
    let error = result.unwrap_err();
    assert!(
        matches!(&error, Error::UnknownGraph { graph } if graph == name),
        "{error:?}"
    );
    assert_eq!(error.to_string(), format!("graph : {name} not exist"));
}

/// Runs `look` on the store as written, packed, reopened, and without its index.
fn at_every_stage(fill: impl FnOnce(&JobStore), look: impl Fn(&str, &JobStore)) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    fill(&store);
    look("as it was made", &store);
    store.close().unwrap();
    let store = small_segments().open(dir).unwrap();
    look("reopened", &store);
    pack(&store, dir);
    look("packed", &store);
    store.close().unwrap();
    let store = small_segments().open(dir).unwrap();
    look("packed and reopened", &store);
    store.close().unwrap();
    lose_index(dir);
    let store = small_segments().open(dir).unwrap();
    look("without its index", &store);
}

#[test]
fn a_graph_is_found_in_its_project_and_in_no_other() {
    at_every_stage(
        |store| {
            let movie = store.create_graph("10001", "movie").unwrap();
            assert_eq!((movie.project_id(), movie.name()), ("10001", "movie"));
            movie.submit_as("mine", request("c", "1")).unwrap();
        },
        |stage, store| {
            let movie = store.graph("10001", "movie").unwrap();
            assert_eq!((movie.project_id(), movie.name()), ("10001", "movie"));
            assert!(movie.job("mine").unwrap().is_some(), "{stage}");
            assert_unknown(store.graph("10002", "movie"), "movie");
            assert_unknown(store.graph("10001", "movidde"), "movidde");
            assert_unknown(store.graph("10001", "Movie"), "Movie");
            assert_unknown(store.graph("movie", "10001"), "10001");
            assert_unknown(store.graph("", ""), "");
            let dropped = store.drop_graph("10002", "movie");
            assert!(
                matches!(dropped, Err(Error::UnknownGraph { .. })),
                "{dropped:?}"
            );
        },
    );
}

#[test]
fn projects_can_have_graphs_of_one_name_that_share_nothing() {
    at_every_stage(
        |store| {
            for project in ["10001", "10002"] {
                let graph = store.create_graph(project, "movie").unwrap();
                let body = format!("\"{project}\"");
                let brought = graph.submit_as("same-id", request("c", &body)).unwrap();
                assert!(matches!(brought, Submitted::Created(_)), "{brought:?}");
            }
        },
        |stage, store| {
            let graphs = ["10001", "10002"].map(|project| store.graph(project, "movie").unwrap());
            assert_ne!(graphs[0].number(), graphs[1].number());
            for graph in &graphs {
                let job = graph.job("same-id").unwrap().unwrap();
                let body = format!("\"{}\"", graph.project_id());
                assert_eq!(job.request().body(), body, "{stage}");
                assert_eq!(
                    graph.list(JobQuery::new()).unwrap().total().unwrap(),
                    1,
                    "{stage}"
                );
            }
        },
    );
}

#[test]
fn a_name_is_given_once() {
    at_every_stage(
        |store| {
            let movie = store.create_graph("10001", "movie").unwrap();
            movie.submit_as("mine", request("c", "1")).unwrap();
        },
        |stage, store| {
            let before = names(store);
            let error = store.create_graph("10001", "movie").unwrap_err();
            assert!(
                matches!(
                    &error,
                    Error::GraphExists { project, graph }
                        if project == "10001" && graph == "movie"
                ),
                "{error:?}"
            );
            for part in ["movie", "10001", "drop it"] {
                assert!(error.to_string().contains(part), "{error}");
            }
            assert_eq!(names(store), before, "{stage}");
            let movie = store.get_or_create_graph("10001", "movie").unwrap();
            assert!(movie.job("mine").unwrap().is_some(), "{stage}");
            assert_eq!(names(store), before, "{stage}");
        },
    );
}

#[test]
fn all_graphs_are_listed_in_the_order_they_were_made() {
    at_every_stage(
        |store| {
            for (project, name) in [
                ("b", "z"),
                ("a", "dropped"),
                ("a", "z"),
                ("b", "a"),
                ("a", "a"),
                ("c", "anew"),
            ] {
                store.create_graph(project, name).unwrap();
            }
            store.drop_graph("a", "dropped").unwrap();
            store.drop_graph("c", "anew").unwrap();
            store.create_graph("0", "last-but-one").unwrap();
            store.create_graph("c", "anew").unwrap();
        },
        |stage, store| {
            let all = names(store);
            let ours: Vec<(&str, &str)> = all
                .iter()
                .map(|(project, name, _)| (project.as_str(), name.as_str()))
                .filter(|(project, _)| *project != "filler")
                .collect();
            assert_eq!(
                ours,
                [
                    ("b", "z"),
                    ("a", "z"),
                    ("b", "a"),
                    ("a", "a"),
                    ("0", "last-but-one"),
                    ("c", "anew"),
                ],
                "{stage}"
            );
            let mut numbers: Vec<u64> = all.iter().map(|(_, _, number)| *number).collect();
            assert!(numbers.iter().all(|number| number.to_string().len() == 19));
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(
                numbers.len(),
                all.len(),
                "{stage}: a number was given twice"
            );
        },
    );
}

#[test]
fn a_graph_keeps_its_number_and_those_of_the_ids_it_makes() {
    let numbers = std::cell::RefCell::new(Vec::new());
    at_every_stage(
        |store| {
            for name in ["a", "b", "c"] {
                let graph = store.create_graph("10001", name).unwrap();
                numbers.borrow_mut().push(graph.number());
            }
        },
        |stage, store| {
            for (name, number) in ["a", "b", "c"].iter().zip(numbers.borrow().iter()) {
                let graph = store.graph("10001", name).unwrap();
                assert_eq!(graph.number(), *number, "{stage}");
                let id = graph.submit(request("c", "1")).unwrap();
                assert!(
                    id.as_str().starts_with(&number.to_string()),
                    "{stage}: {id}"
                );
                assert!(graph.job(&id).unwrap().is_some(), "{stage}: {id}");
            }
        },
    );
}

#[test]
fn names_that_cannot_be_names_are_refused_and_nothing_is_made() {
    let store = JobStore::in_memory().unwrap();
    let too_long = "x".repeat(256);
    let wide = "é".repeat(128);
    let bad = [
        "", "a/b", "/", "a\n", "\0", "a\u{7f}", "\u{85}", "\t", &too_long, &wide,
    ];
    for given in bad {
        for (what, result) in [
            ("project id", store.create_graph(given, "movie")),
            ("graph name", store.create_graph("10001", given)),
            ("project id", store.get_or_create_graph(given, "movie")),
            ("graph name", store.get_or_create_graph("10001", given)),
        ] {
            let error = result.unwrap_err();
            let Error::InvalidName {
                what: named,
                given: shown,
                max_bytes: 255,
            } = &error
            else {
                panic!("{given:?}: {error:?}");
            };
            assert_eq!(*named, what);
            let start: String = given.chars().take(20).collect();
            assert!(shown.starts_with(&start), "{shown:?}");
            let text = error.to_string();
            assert!(text.contains(what), "{text}");
            assert!(text.contains("255") && text.contains("'/'"), "{text}");
            assert!(text.len() < 500, "{text}");
        }
    }
    assert_eq!(names(&store), []);
}

#[test]
fn names_of_every_other_kind_are_kept_to_the_letter() {
    let longest = "x".repeat(255);
    let good = [
        "movie", "a b", " ", "電影", "🎬", "..", "a\\b", "a\"b", "%2F", "e\u{301}", "\u{e9}",
        &longest,
    ];
    at_every_stage(
        |store| {
            for name in good {
                store.create_graph(name, name).unwrap();
            }
        },
        |stage, store| {
            for name in good {
                let graph = store.graph(name, name).unwrap();
                assert_eq!((graph.project_id(), graph.name()), (name, name), "{stage}");
            }
        },
    );
}

/// The result of every call on the graph.
fn every_call(graph: &Graph, id: &str) -> Vec<(&'static str, Result<()>)> {
    let asked = || request("c", "1");
    let done = Outcome::succeeded;
    let nonblocking = graph.nonblocking();
    let list = |list: JobQuery| graph.list(list).map(|_| ());
    vec![
        ("submit", graph.submit(asked()).map(|_| ())),
        ("submit_all", graph.submit_all([asked()]).map(|_| ())),
        ("submit_as new", graph.submit_as("new", asked()).map(|_| ())),
        ("submit_as", graph.submit_as(id, asked()).map(|_| ())),
        (
            "try_submit",
            graph.try_submit(asked()).and_then(|t| t.wait()).map(|_| ()),
        ),
        ("start", graph.start(id)),
        ("complete", graph.complete(id, done()).map(|_| ())),
        ("cancel", graph.cancel(id).map(|_| ())),
        ("claim", graph.claim(id).map(|_| ())),
        ("claim_next", graph.claim_next().map(|_| ())),
        ("job", graph.job(id).map(|_| ())),
        ("list", list(JobQuery::new())),
        (
            "list of a state",
            list(JobQuery::new().state(State::Pending)),
        ),
        ("count", graph.count(State::Complete).map(|_| ())),
        (
            "queue submit",
            nonblocking.submit(asked()).wait().map(|_| ()),
        ),
        (
            "queue submit_all",
            nonblocking.submit_all([asked()]).wait().map(|_| ()),
        ),
        (
            "queue submit_as",
            nonblocking.submit_as("new", asked()).wait().map(|_| ()),
        ),
        ("queue start", nonblocking.start(id).wait()),
        (
            "queue complete",
            nonblocking.complete(id, done()).wait().map(|_| ()),
        ),
        ("queue cancel", nonblocking.cancel(id).wait().map(|_| ())),
        (
            "queue claim_next",
            nonblocking.claim_next().wait().map(|_| ()),
        ),
    ]
}

fn assert_dropped(graph: &Graph, id: &str) {
    for (call, answer) in every_call(graph, id) {
        let Err(error) = answer else {
            panic!("{call} went through");
        };
        assert!(
            matches!(&error, Error::GraphDropped { graph } if graph == "movie"),
            "{call}: {error:?}"
        );
        assert!(error.to_string().contains("create_graph"), "{error}");
    }
}

#[test]
fn handles_of_a_dropped_graph_say_so_with_every_call() {
    let dir = tempfile::tempdir().unwrap();
    let store = small_segments().open(dir.path()).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let other_handle = store.graph("10001", "movie").unwrap();
    let id = graph.submit(request("c", "1")).unwrap();
    graph.submit_as("brought", request("c", "1")).unwrap();
    store.drop_graph("10001", "movie").unwrap();
    for handle in [&graph, &graph.clone(), &other_handle] {
        assert_dropped(handle, id.as_str());
        assert_dropped(handle, "brought");
        assert_eq!((handle.project_id(), handle.name()), ("10001", "movie"));
    }
    assert_unknown(store.graph("10001", "movie"), "movie");
    let again = store.drop_graph("10001", "movie");
    assert!(
        matches!(&again, Err(Error::UnknownGraph { graph }) if graph == "movie"),
        "{again:?}"
    );
    assert_eq!(names(&store), []);
    // Recreating the graph changes nothing for the old handles.
    store.create_graph("10001", "movie").unwrap();
    assert_dropped(&graph, id.as_str());
    assert_dropped(&other_handle, "brought");
    assert_eq!(
        listed(&store.graph("10001", "movie").unwrap()),
        r#"{"jobs":[],"result":"success"}"#
    );
}

#[test]
fn a_dropped_graph_stays_dropped() {
    at_every_stage(
        |store| {
            for name in ["stays", "movie", "stays-too"] {
                let graph = store.create_graph("10001", name).unwrap();
                graph.submit_all(vec![request("c", "1"); 100]).unwrap();
                graph.submit_as("brought", request("c", "2")).unwrap();
            }
            store.drop_graph("10001", "movie").unwrap();
        },
        |stage, store| {
            assert_unknown(store.graph("10001", "movie"), "movie");
            for name in ["stays", "stays-too"] {
                let graph = store.graph("10001", name).unwrap();
                let page = graph.list(JobQuery::new()).unwrap();
                assert_eq!(page.total().unwrap(), 101, "{stage}");
                assert_eq!(page.jobs().filter(Result::is_ok).count(), 101, "{stage}");
                assert!(graph.job("brought").unwrap().is_some(), "{stage}");
            }
        },
    );
}

#[test]
fn a_graph_dropped_after_it_was_packed_is_gone_and_the_others_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    let body = format!("\"{}\"", "y".repeat(500));
    let graphs = ["stays", "movie"].map(|name| store.create_graph("10001", name).unwrap());
    for _ in 0..50 {
        for graph in &graphs {
            graph.submit_all(vec![request("c", &body); 5]).unwrap();
        }
    }
    pack(&store, dir);
    let expected = listed(&graphs[0]);
    store.drop_graph("10001", "movie").unwrap();
    assert_eq!(listed(&graphs[0]), expected);
    pack(&store, dir);
    assert_eq!(listed(&graphs[0]), expected);
    store.close().unwrap();
    for lost in [false, true] {
        if lost {
            lose_index(dir);
        }
        let store = small_segments().open(dir).unwrap();
        assert_eq!(listed(&store.graph("10001", "stays").unwrap()), expected);
        assert_unknown(store.graph("10001", "movie"), "movie");
        store.close().unwrap();
    }
}

#[test]
fn a_graph_made_anew_starts_empty_and_takes_the_old_ids() {
    let old = std::cell::RefCell::new(None);
    at_every_stage(
        |store| {
            let first = store.create_graph("10001", "movie").unwrap();
            let id = first.submit(request("c", "\"old\"")).unwrap();
            for n in 0..20 {
                let request = request("c", "\"old\"");
                first.submit_as(format!("brought-{n}"), request).unwrap();
            }
            let page = first.list(JobQuery::new().limit(1)).unwrap();
            let cursor: Cursor = page.next().unwrap();
            store.drop_graph("10001", "movie").unwrap();
            let anew = store.create_graph("10001", "movie").unwrap();
            assert_ne!(anew.number(), first.number());
            assert_eq!(listed(&anew), r#"{"jobs":[],"result":"success"}"#);
            for state in State::ALL {
                assert_eq!(anew.count(state).unwrap(), 0);
            }
            assert!(anew.claim_next().unwrap().is_none());
            assert!(anew.job("brought-1").unwrap().is_none());
            let created = anew
                .submit_as("brought-0", request("c", "\"new\""))
                .unwrap();
            assert!(matches!(created, Submitted::Created(_)), "{created:?}");
            *old.borrow_mut() = Some((id, cursor));
        },
        |stage, store| {
            let old = old.borrow();
            let (id, cursor) = old.as_ref().unwrap();
            let graph = store.graph("10001", "movie").unwrap();
            assert_eq!(
                listed(&graph),
                r#"{"jobs":[{"jobId":"brought-0","status":"pending","request":{"command":"c","url":"/ges","body":"new"}}],"result":"success"}"#,
                "{stage}"
            );
            assert_eq!(graph.job("brought-0").unwrap().unwrap().sequence(), 0);
            assert!(graph.job(id).unwrap().is_none(), "{stage}");
            assert!(graph.job("brought-1").unwrap().is_none(), "{stage}");
            let continued = graph.list(JobQuery::new().cursor(cursor)).unwrap_err();
            assert!(
                matches!(continued, Error::InvalidCursor { .. }),
                "{stage}: {continued:?}"
            );
        },
    );
}

#[test]
fn a_graph_can_be_made_and_dropped_many_times() {
    at_every_stage(
        |store| {
            for n in 0..40 {
                let graph = store.create_graph("10001", "movie").unwrap();
                assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 0);
                graph
                    .submit_as("same", request("c", &n.to_string()))
                    .unwrap();
                if n < 39 {
                    store.drop_graph("10001", "movie").unwrap();
                }
            }
        },
        |stage, store| {
            let graph = store.graph("10001", "movie").unwrap();
            assert_eq!(
                graph.list(JobQuery::new()).unwrap().total().unwrap(),
                1,
                "{stage}"
            );
            let job = graph.job("same").unwrap().unwrap();
            assert_eq!(job.request().body(), "39", "{stage}");
            let ours = names(store);
            let ours = ours.iter().filter(|(project, ..)| project == "10001");
            assert_eq!(ours.count(), 1, "{stage}");
        },
    );
}

#[test]
fn of_many_threads_that_make_or_drop_a_graph_one_does() {
    let store = JobStore::in_memory().unwrap();
    for round in 0..20 {
        let name = format!("graph-{round}");
        let together = |call: &(dyn Fn() -> bool + Sync)| {
            let did = |_| call();
            std::thread::scope(|scope| {
                let calls: Vec<_> = (0..8).map(|n| scope.spawn(move || did(n))).collect();
                let did = calls.into_iter().map(|call| call.join().unwrap());
                did.filter(|did| *did).count()
            })
        };
        let made = together(&|| match store.create_graph("10001", &name) {
            Ok(_) => true,
            Err(Error::GraphExists { .. }) => false,
            Err(other) => panic!("{other:?}"),
        });
        assert_eq!(made, 1, "{name} was made {made} times");
        let dropped = together(&|| match store.drop_graph("10001", &name) {
            Ok(()) => true,
            Err(Error::UnknownGraph { .. }) => false,
            Err(other) => panic!("{other:?}"),
        });
        assert_eq!(dropped, 1, "{name} was dropped {dropped} times");
        let numbers = std::sync::Mutex::new(std::collections::HashSet::new());
        together(&|| {
            let graph = store.get_or_create_graph("10001", &name).unwrap();
            numbers.lock().unwrap().insert(graph.number())
        });
        assert_eq!(numbers.lock().unwrap().len(), 1, "{name}");
    }
    assert_eq!(store.graphs().unwrap().len(), 20);
}

#[test]
fn a_submission_to_a_graph_that_is_being_dropped_is_recorded_or_refused() {
    let store = JobStore::in_memory().unwrap();
    for _ in 0..20 {
        let graph = store.create_graph("10001", "movie").unwrap();
        let (accepted, refused) = std::thread::scope(|scope| {
            let submitting = scope.spawn(|| {
                let mut accepted = 0;
                loop {
                    match graph.submit(request("c", "1")) {
                        Ok(_) => accepted += 1,
                        Err(error) => return (accepted, error),
                    }
                }
            });
            while graph.count(State::Pending).unwrap() < 5 {
                std::thread::yield_now();
            }
            store.drop_graph("10001", "movie").unwrap();
            submitting.join().unwrap()
        });
        assert!(accepted >= 5);
        assert!(matches!(refused, Error::GraphDropped { .. }), "{refused:?}");
    }
    assert_eq!(names(&store), []);
}
