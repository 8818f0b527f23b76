//! A follower shows what another store writes, serves every read, and takes over.

mod line;
mod reading;
mod restoring;
mod takeover;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jobstore::replica::MemoryReplica;
use jobstore::{
    Body, ChangeKind, Graph, JobQuery, JobStore, Options, Outcome, Request, Result, State,
};

fn options(replica: &MemoryReplica) -> Options {
    JobStore::options()
        .segment_bytes(64 << 10)
        .replica(Arc::new(replica.clone()))
}

fn request(n: usize) -> Result<Request> {
    let body = Body::from_value(&"x".repeat(n % 700))?;
    Request::new("c", format!("/ges/{n}"), body)
}

fn submit(graph: &Graph, n: usize) {
    graph
        .submit_as(format!("job-{n}"), request(n).unwrap())
        .unwrap();
}

fn as_of_lsn(store: &JobStore) -> u64 {
    let stats = store.stats().unwrap();
    match stats.follower {
        Some(follower) => follower.as_of_lsn,
        None => panic!("not a follower"),
    }
}

/// Waits until a condition is true. Whether it becomes true does not depend on time.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        let is_late = begun.elapsed() > Duration::from_secs(120);
        assert!(!is_late, "{what} does not become true");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the follower shows everything that the writer shows now.
fn catch_up(writer: &JobStore, follower: &JobStore) {
    let graphs = writer.graphs().unwrap();
    let lsns = graphs.iter().map(|graph| {
        let page = graph.list(JobQuery::new().limit(1));
        page.unwrap().as_of_lsn()
    });
    let lsn = lsns.max().unwrap_or(0);
    until("the follower has caught up", || as_of_lsn(follower) >= lsn);
}

/// Everything that can be read of a graph.
fn read(graph: &Graph) -> Vec<String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut all = Vec::new();
    for newest_first in [false, true] {
        let mut list = JobQuery::new().limit(37);
        if newest_first {
            list = list.newest_first();
        }
        loop {
            let page = graph.list(list.clone()).unwrap();
            all.push(format!("{:?}", page.total()));
            all.push(text(page.to_json().unwrap()));
            for job in &page {
                let job = job.unwrap();
                let times = (job.submitted_at(), job.started_at(), job.completed_at());
                all.push(format!("{} {times:?} {:?}", job.id(), job.outcome()));
            }
            match page.next() {
                Some(next) => list = list.cursor(&next),
                None => break,
            }
        }
    }
    for state in State::ALL {
        all.push(format!("{}", graph.count(state).unwrap()));
    }
    let mut lines = Vec::new();
    let mut export = graph.export(JobQuery::new()).unwrap();
    export.write_all(&mut lines).unwrap();
    all.push(text(lines));
    for n in [0, 1, 7, 50, 333] {
        let found: Vec<_> = graph.find(&request(n).unwrap()).unwrap().collect();
        all.push(format!(
            "{:?}",
            found
                .into_iter()
                .map(|job| job.unwrap().id().to_string())
                .collect::<Vec<_>>()
        ));
        let id = format!("job-{n}");
        all.push(format!(
            "{:?}",
            graph.job(&id).map(|job| job.map(|job| job.state()))
        ));
        all.push(format!("{:?}", graph.tombstone(&id)));
    }
    all
}

/// The changes of a graph; gaps depend on how the log is packed.
fn changes(graph: &Graph) -> Vec<String> {
    let changes = graph.changes(None).unwrap().map(|change| change.unwrap());
    let told = changes.filter(|change| !matches!(change.kind, ChangeKind::Gone { .. }));
    told.map(|change| format!("{:?} {:?} {:?}", change.sequence, change.id, change.kind))
        .collect()
}

fn assert_same(writer: &JobStore, follower: &JobStore) {
    catch_up(writer, follower);
    let of = |store: &JobStore| {
        let graphs = store.graphs().unwrap().into_iter();
        graphs
            .map(|graph| (graph.number(), graph.name().to_owned(), read(&graph)))
            .collect::<Vec<_>>()
    };
    let (ours, theirs) = (of(writer), of(follower));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1));
        for (ours, theirs) in ours.2.iter().zip(&theirs.2) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.2.len(), theirs.2.len());
    }
    assert_eq!(writer.opens(), follower.opens());
}

struct Pair {
    dir: tempfile::TempDir,
    replica: MemoryReplica,
}

impl Pair {
    fn new() -> Pair {
        Pair {
            dir: tempfile::tempdir().unwrap(),
            replica: MemoryReplica::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, name: &str) -> JobStore {
        options(&self.replica).open(self.path(name)).unwrap()
    }

    fn follow(&self, name: &str) -> JobStore {
        options(&self.replica).follow(self.path(name)).unwrap()
    }
}

/// A varied mixture of writes.
fn work(graph: &Graph, jobs: Range<usize>) {
    for n in jobs {
        match n % 5 {
            0 => drop(graph.submit(request(n).unwrap()).unwrap()),
            1 => drop(
                graph
                    .submit_once(format!("key-{n}"), request(n).unwrap())
                    .unwrap(),
            ),
            _ => submit(graph, n),
        }
        if n % 3 == 0 {
            if let Some(run) = graph.claim_next().unwrap() {
                match n % 4 {
                    0 => run.complete(Outcome::succeeded()).map(drop).unwrap(),
                    1 => run
                        .complete(Outcome::failed("E", "it failed"))
                        .map(drop)
                        .unwrap(),
                    2 => drop(run.requeue().unwrap()),
                    _ => run.detach(),
                }
            }
        }
        if n % 11 == 2 && n % 5 > 1 {
            graph.cancel(format!("job-{n}")).unwrap();
        }
    }
}
