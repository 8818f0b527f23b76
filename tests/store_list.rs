//! Lists over several graphs.
//!
//! Guarantee: pages over several graphs contain every job once; each graph keeps its own order, and
//! the graphs are merged by submission time.

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use common::{Random, pack, request, small_segments};
use jobstore::{Error, Graph, JobQuery, JobStore, OnBadLine, State, StoreCursor};

/// A job as the reference knows it: graph, sequence number, submission time, command.
type Known = (usize, u64, u64, &'static str);

/// Imports jobs with these times, which are not always in order, into one of the graphs at a time.
fn fill(graphs: &[Graph], random: &mut Random, jobs: usize) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    let mut now = 1_700_000_000_000;
    for _ in 0..jobs {
        let n = random.below(graphs.len() as u64) as usize;
        now += random.below(3);
        // Some jobs come from another store.
        let at = now - [0, 0, 0, 5][random.below(4) as usize];
        let command = ["c", "d"][random.below(2) as usize];
        let sequence = known.iter().filter(|job| job.0 == n).count() as u64;
        let line = format!(
            r#"{{"jobId":"{n}-{sequence}","status":"complete","request":{{"command":"{command}",
            "url":"/ges","body":{{}}}},"outcome":{{"kind":"succeeded"}},"submittedAt":{at},
            "startedAt":{at},"completedAt":{at}}}"#
        )
        .replace('\n', " ");
        graphs[n].import(line.as_bytes(), OnBadLine::Stop).unwrap();
        known.push((n, sequence, at, command));
    }
    known
}

/// The ids of the jobs that match, in the order of the list.
fn expected(known: &[Known], command: Option<&str>, newest_first: bool) -> Vec<String> {
    let mut jobs: Vec<Known> = known.to_vec();
    jobs.retain(|job| command.is_none_or(|command| job.3 == command));
    jobs.sort_by_key(|&(graph, sequence, ..)| (graph, sequence));
    if newest_first {
        jobs.reverse();
    }
    let mut keys = Vec::new();
    let mut last: Option<Known> = None;
    for &(graph, sequence, at, command) in &jobs {
        let at = match last.filter(|last| last.0 == graph) {
            None => at,
            Some(last) if newest_first => at.min(last.2),
            Some(last) => at.max(last.2),
        };
        last = Some((graph, sequence, at, command));
        keys.push((at, graph, sequence));
    }
    keys.sort_unstable();
    if newest_first {
        keys.reverse();
    }
    keys.iter()
        .map(|(_, graph, sequence)| format!("{graph}-{sequence}"))
        .collect()
}

/// The ids on all pages of a list.
fn all_pages(store: &JobStore, graphs: &[Graph], query: &JobQuery) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None::<StoreCursor>);
    loop {
        let page = store.list(graphs, query.clone(), after.as_ref()).unwrap();
        let before = ids.len();
        for job in &page {
            let (graph, job) = job.unwrap();
            let alone = graph.job(job.id()).unwrap().unwrap();
            assert_eq!(alone.to_json(), job.to_json());
            ids.push(job.id().to_string());
        }
        assert_eq!(ids.len() - before, page.len());
        assert_eq!(page.is_empty(), ids.len() == before);
        // A cursor can be stored as text.
        after = page
            .next()
            .map(|cursor| cursor.to_string().parse().unwrap());
        if after.is_none() {
            return ids;
        }
        assert!(!page.is_empty());
    }
}

fn check(store: &JobStore, graphs: &[Graph], known: &[Known]) {
    for newest_first in [false, true] {
        for command in [None, Some("d")] {
            for limit in [1, 3, 7, 1000] {
                let mut query = JobQuery::new().limit(limit);
                if newest_first {
                    query = query.newest_first();
                }
                if let Some(command) = command {
                    query = query.command(command);
                }
                let ids = all_pages(store, graphs, &query);
                let expected = expected(known, command, newest_first);
                assert_eq!(ids, expected, "{newest_first} {command:?} {limit}");
            }
        }
    }
}

fn open(dir: &Path) -> (JobStore, Vec<Graph>) {
    let store = small_segments().open(dir).unwrap();
    let names = ["a", "b", "c", "empty"];
    let graphs = names.map(|name| store.get_or_create_graph("10001", name).unwrap());
    (store, graphs.into())
}

#[test]
fn pages_over_several_graphs_contain_every_job_once_in_order() {
    for seed in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let (store, graphs) = open(dir.path());
        let mut random = Random(seed);
        let known = fill(&graphs[..3], &mut random, 60);
        check(&store, &graphs, &known);
        pack(&store, dir.path());
        check(&store, &graphs, &known);
        store.close().unwrap();
        let (store, graphs) = open(dir.path());
        check(&store, &graphs, &known);
        // Only the graphs that were passed are listed, and each only once.
        let of_first: Vec<Known> = known.iter().copied().filter(|job| job.0 == 0).collect();
        let twice = [graphs[0].clone(), graphs[0].clone()];
        check(&store, &twice, &of_first);
    }
}

#[test]
fn a_page_shows_what_was_there_when_it_was_listed() {
    let store = JobStore::in_memory().unwrap();
    let graphs = ["a", "b"].map(|name| store.create_graph("10001", name).unwrap());
    for graph in &graphs {
        graph.submit_as(graph.name(), request("c", "{}")).unwrap();
    }
    let newest = JobQuery::new().newest_first().limit(1);
    let first = store.list(&graphs, newest.clone(), None).unwrap();
    let (_, job) = first.jobs().next().unwrap().unwrap();
    // The lists of several graphs are merged by time, in milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(2));
    let late = graphs[0].submit(request("c", "{}")).unwrap();
    let rest = store.list(&graphs, newest, first.next().as_ref()).unwrap();
    let rest: Vec<_> = rest.jobs().map(|job| job.unwrap().1).collect();
    assert_eq!(rest.len(), 1);
    assert!(rest[0].id() != job.id() && *rest[0].id() != late);
    // Jobs of a graph that is dropped are skipped.
    let page = store.list(&graphs, JobQuery::new(), None).unwrap();
    assert_eq!(page.len(), 3);
    graphs[1].cancel("b").unwrap();
    let page = store
        .list(&graphs, JobQuery::new().state(State::Complete), None)
        .unwrap();
    store.drop_graph("10001", "b").unwrap();
    // The outcome of the job may still be in memory.
    assert_eq!(page.len(), 1);
    assert!(page.jobs().all(|job| job.is_ok()));
    let page = store.list(&graphs, JobQuery::new(), None).unwrap();
    assert_eq!(page.len(), 2);
}

#[test]
fn what_a_list_over_several_graphs_does_not_support_is_refused() {
    let store = JobStore::in_memory().unwrap();
    let graphs = ["a", "b"].map(|name| store.create_graph("10001", name).unwrap());
    for graph in &graphs {
        graph
            .submit_all([request("c", "{}"), request("c", "{}")])
            .unwrap();
    }
    let cursor = graphs[0]
        .list(JobQuery::new().limit(1))
        .unwrap()
        .next()
        .unwrap();
    for query in [
        JobQuery::new().offset(1),
        JobQuery::new().cursor(&cursor),
        JobQuery::new().count_total(),
        JobQuery::new().limit_bytes(100),
    ] {
        let error = store.list(&graphs, query, None).unwrap_err();
        assert!(matches!(error, Error::InvalidUse { .. }), "{error}");
    }
    for limit in [0, 1001] {
        let error = store
            .list(&graphs, JobQuery::new().limit(limit), None)
            .unwrap_err();
        assert!(
            matches!(error, Error::PageLimit { max: 1000, .. }),
            "{error}"
        );
    }
    let page = store.list(&graphs, JobQuery::new().limit(1), None).unwrap();
    let next = page.next().unwrap();
    for other in [JobQuery::new().newest_first(), JobQuery::new().command("c")] {
        let error = store.list(&graphs, other, Some(&next)).unwrap_err();
        assert!(matches!(error, Error::InvalidCursor { .. }), "{error}");
    }
    let text = next.to_string();
    let altered = match text.ends_with('0') {
        true => text[..57].to_owned() + "1",
        false => text[..57].to_owned() + "0",
    };
    for wrong in ["", &text[2..], &altered, &cursor.to_string()] {
        assert!(wrong.parse::<StoreCursor>().is_err(), "{wrong}");
    }
    graphs[1]
        .submit_all(vec![request("c", "{}"); 3000])
        .unwrap();
    let stopped = JobQuery::new()
        .command("d")
        .on_progress(|_| ControlFlow::Break(()));
    let page = store.list(&graphs, stopped, None).unwrap();
    assert!(page.is_stopped() && page.is_empty());
    // The only report of a small graph is the last one. The next graph is not searched after it.
    let small = ["x", "y"].map(|name| store.create_graph("p", name).unwrap());
    for graph in &small {
        graph.submit(request("c", "{}")).unwrap();
    }
    let stopped = JobQuery::new()
        .submitted_from(SystemTime::UNIX_EPOCH)
        .on_progress(|_| ControlFlow::Break(()));
    let page = store.list(&small, stopped, None).unwrap();
    assert!(page.is_stopped() && page.is_empty());
    store.close().unwrap();
    let error = store.list(&graphs, JobQuery::new(), None).unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
}
