//! Guarantee: a client that walks a list sees each job once, by offset and by cursor, whatever is
//! written meanwhile.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jobstore::{Graph, JobQuery, JobStore, Outcome, State};

use crate::common::request;
use crate::http::Server;
use crate::{LIST, fill, serve};

/// Jobs per page.
const PAGE: usize = 1_700;

/// A store with this many jobs, all pending, and a server for it; their ids in order.
fn with_many(jobs: usize) -> (JobStore, Graph, Server, Vec<String>) {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let mut known = Vec::new();
    while known.len() < jobs {
        let jobs = vec![request("c", r#"{"x":1}"#); 50_000];
        let ids = graph.submit_all(jobs).unwrap();
        known.extend(ids.iter().map(|id| id.as_str().to_owned()));
    }
    let server = serve(&store);
    (store, graph, server, known)
}

/// A client that walks a list.
struct Walk<'s> {
    server: &'s Server,
    query: &'static str,
    by_cursor: bool,
    /// Where the next page begins; `None` at the end.
    next: Option<String>,
    seen: Vec<String>,
}

impl<'s> Walk<'s> {
    fn new(server: &'s Server, by_cursor: bool, query: &'static str) -> Walk<'s> {
        Walk {
            server,
            query,
            by_cursor,
            next: Some("offset=0".to_owned()),
            seen: Vec::new(),
        }
    }

    /// Walks to the end, or until this many jobs were seen.
    fn on(&mut self, until: usize) {
        while self.seen.len() < until {
            let Some(next) = &self.next else {
                return;
            };
            let page = format!("{LIST}?limit={PAGE}&{next}{}", self.query);
            let answer = self.server.get(&page);
            // Parsing them all would be too slow.
            let jobs = answer.ok().split(r#"{"jobId":""#).skip(1);
            let before = self.seen.len();
            self.seen
                .extend(jobs.map(|job| job.split('"').next().unwrap().to_owned()));
            assert!(self.seen.len() - before <= PAGE);
            let cursor = answer.header("x-next-cursor");
            self.next = cursor.map(|cursor| match self.by_cursor {
                true => format!("cursor={cursor}"),
                false => format!("offset={}", self.seen.len()),
            });
        }
    }
}

fn ids(graph: &Graph, list: JobQuery) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let list = list.clone();
        let page = graph.list(match &cursor {
            None => list,
            Some(cursor) => list.cursor(cursor),
        });
        let page = page.unwrap();
        ids.extend(page.jobs().map(|job| job.unwrap().id().to_string()));
        cursor = page.next();
        if cursor.is_none() {
            return ids;
        }
    }
}

/// Stops the writers even if a test fails, which would otherwise wait forever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The normal work of engines: jobs are submitted, and the oldest ones complete.
fn work(graph: &Graph) {
    graph.submit_all(vec![request("more", "{}"); 20]).unwrap();
    if let Some(run) = graph.claim_next().unwrap() {
        run.complete(Outcome::succeeded()).unwrap();
    }
}

#[test]
fn who_pages_sees_each_job_once_while_others_write() {
    const BEFORE: usize = 200_000;
    let (_store, graph, server, known) = with_many(BEFORE);
    let is_over = AtomicBool::new(false);
    let mut walks = [false, true].map(|by_cursor| Walk::new(&server, by_cursor, ""));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    work(&graph);
                }
            });
        }
        let _over = Over(&is_over);
        for walk in &mut walks {
            walk.on(BEFORE);
            assert!(walk.seen[..BEFORE] == known);
        }
    });
    // Later jobs are present, too, once and in order.
    let all = ids(&graph, JobQuery::new());
    assert!(all.len() > BEFORE);
    for mut walk in walks {
        walk.on(usize::MAX);
        assert!(walk.seen == all, "by cursor: {}", walk.by_cursor);
    }
}

#[test]
fn who_pages_by_cursor_sees_what_stays_once_while_jobs_change_and_go() {
    const BEFORE: usize = 100_000;
    let (_store, graph, server, known) = with_many(BEFORE);
    for (query, list) in [
        ("", JobQuery::new()),
        ("&order=newest_first", JobQuery::new().newest_first()),
        ("&state=pending", JobQuery::new().state(State::Pending)),
    ] {
        let is_over = AtomicBool::new(false);
        let mut walk = Walk::new(&server, true, query);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    work(&graph);
                    let complete = JobQuery::new().state(State::Complete);
                    graph.purge(complete).unwrap();
                }
            });
            let _over = Over(&is_over);
            walk.on(BEFORE / 2);
        });
        walk.on(usize::MAX);
        let seen: HashSet<&String> = walk.seen.iter().collect();
        assert_eq!(seen.len(), walk.seen.len(), "{query}: some were seen twice");
        // Every job that existed throughout was seen, in order.
        let known: HashSet<&String> = known.iter().collect();
        let left = ids(&graph, list);
        let stayed: HashSet<&String> = left.iter().filter(|id| known.contains(id)).collect();
        assert!(stayed.len() < known.len() && stayed.len() > BEFORE / 2);
        let of_stayed = |ids: &[String]| -> Vec<String> {
            let of = ids.iter().filter(|id| stayed.contains(id));
            of.cloned().collect()
        };
        assert!(of_stayed(&walk.seen) == of_stayed(&left), "{query}");
    }
}

#[test]
fn a_cursor_is_good_for_its_own_graph() {
    let store = JobStore::in_memory().unwrap();
    for name in ["moviejx", "other"] {
        fill(&store.create_graph("10001", name).unwrap(), 2, 1);
    }
    let server = serve(&store);
    let first = server.get(&format!("{}?limit=1", LIST.replace("moviejx", "other")));
    let cursor = first.header("x-next-cursor").unwrap();
    let foreign = server.get(&format!("{LIST}?cursor={cursor}"));
    foreign.is_failure(
        400,
        "GES.8000",
        "invalid value for parameter cursor: it belongs to another graph; start again without a cursor",
    );
}
