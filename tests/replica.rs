//! A store with a replica: acknowledged writes survive the loss of the directory, and a second
//! engine takes over.

use std::path::Path;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use jobstore::replica::{Call, MemoryReplica, Pair, Replica as _};
use jobstore::{Body, Error, Graph, JobQuery, JobStore, Options, Outcome, Request, Result};

fn options(replica: &MemoryReplica) -> Options {
    JobStore::options()
        .segment_bytes(64 << 10)
        .replica(Arc::new(replica.clone()))
}

fn open(replica: &MemoryReplica, dir: &Path) -> Result<JobStore> {
    options(replica).open(dir)
}

fn submit(graph: &Graph, n: usize) -> Result<()> {
    let body = Body::from_value(&"x".repeat(n % 700))?;
    graph.submit_as(format!("job-{n}"), Request::new("c", "/ges", body)?)?;
    Ok(())
}

fn listed(graph: &Graph) -> Vec<u8> {
    graph.list(JobQuery::new()).unwrap().to_json().unwrap()
}

#[test]
fn an_empty_directory_becomes_the_full_store() {
    let dir = tempfile::tempdir().unwrap();
    let replica = MemoryReplica::default();
    let store = open(&replica, &dir.path().join("a")).unwrap();
    assert_eq!(store.reign(), Some(1));
    let graph = store.create_graph("1", "movie").unwrap();
    for n in 0..300 {
        submit(&graph, n).unwrap();
    }
    graph.start("job-7").unwrap();
    graph.complete("job-7", Outcome::succeeded()).unwrap();
    let before = listed(&graph);
    store.close().unwrap();
    for place in ["b", "c"] {
        let store = open(&replica, &dir.path().join(place)).unwrap();
        let graph = store.graph("1", "movie").unwrap();
        assert!(listed(&graph) == before, "{place}");
        store.close().unwrap();
    }
    // The first directory lacks the openings of the others.
    let store = open(&replica, &dir.path().join("a")).unwrap();
    assert_eq!((store.reign() > Some(3), store.opens()), (true, 4));
    let graph = store.graph("1", "movie").unwrap();
    assert!(listed(&graph) == before);
    for n in 300..600 {
        submit(&graph, n).unwrap();
    }
    let after = listed(&graph);
    drop((graph, store));
    let store = open(&replica, &dir.path().join("d")).unwrap();
    assert!(listed(&store.graph("1", "movie").unwrap()) == after);
    store.close().unwrap();
    assert!(JobStore::verify(dir.path().join("d")).unwrap().is_sound());
}

#[test]
fn a_deposed_store_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let replica = MemoryReplica::default();
    let first = open(&replica, &dir.path().join("a")).unwrap();
    let graph = first.create_graph("1", "movie").unwrap();
    submit(&graph, 1).unwrap();
    let second = open(&replica, &dir.path().join("b")).unwrap();
    assert!(second.reign() > first.reign());
    let refused = submit(&graph, 2);
    assert!(matches!(refused, Err(Error::Deposed { .. })), "{refused:?}");
    let refused = submit(&graph, 3);
    assert!(matches!(refused, Err(Error::Deposed { .. })), "{refused:?}");
    assert_eq!(graph.list(JobQuery::new()).unwrap().total(), Some(1));
    let graph = second.graph("1", "movie").unwrap();
    submit(&graph, 2).unwrap();
    first.close().ok();
    // The frame that was never acknowledged is removed from the first directory.
    second.close().unwrap();
    let first = open(&replica, &dir.path().join("a")).unwrap();
    let graph = first.graph("1", "movie").unwrap();
    assert_eq!(graph.list(JobQuery::new()).unwrap().total(), Some(2));
    assert!(graph.job("job-2").is_ok());
    first.close().unwrap();
    assert!(JobStore::verify(dir.path().join("a")).unwrap().is_sound());
}

#[test]
fn a_store_is_not_opened_without_its_replica_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let store = JobStore::open(&path).unwrap();
    let graph = store.create_graph("1", "movie").unwrap();
    for n in 0..500 {
        submit(&graph, n).unwrap();
    }
    let before = listed(&graph);
    store.close().unwrap();
    let replica = MemoryReplica::default();
    open(&replica, &path).unwrap().close().unwrap();
    let refused = JobStore::open(&path);
    assert!(matches!(refused, Err(Error::ReplicaNeeded { .. })));
    let other = MemoryReplica::default();
    open(&other, &dir.path().join("o"))
        .unwrap()
        .close()
        .unwrap();
    let refused = open(&other, &path);
    assert!(matches!(refused, Err(Error::ReplicaOfOtherStore { .. })));
    let empty = MemoryReplica::default();
    let refused = open(&empty, &path);
    assert!(matches!(refused, Err(Error::ReplicaBehind { .. })));
    let store = open(&replica, &dir.path().join("b")).unwrap();
    assert!(listed(&store.graph("1", "movie").unwrap()) == before);
    store.close().unwrap();
    // What was lost is replaced on request.
    let store = options(&empty).reseed(true).open(&path).unwrap();
    assert!(listed(&store.graph("1", "movie").unwrap()) == before);
    store.close().unwrap();
    let store = open(&empty, &dir.path().join("c")).unwrap();
    assert!(listed(&store.graph("1", "movie").unwrap()) == before);
    store.close().unwrap();
    let alone = JobStore::options()
        .detach_replica(true)
        .open(&path)
        .unwrap();
    submit(&alone.graph("1", "movie").unwrap(), 1000).unwrap();
    alone.close().unwrap();
    let refused = open(&empty, &path);
    assert!(
        matches!(refused, Err(Error::ReplicaDiverged { .. })),
        "{refused:?}"
    );
}

#[test]
fn chunks_do_not_accumulate_over_short_reigns() {
    let dir = tempfile::tempdir().unwrap();
    let replica = MemoryReplica::default();
    let mut most = 0;
    for round in 0..8 {
        let store = open(&replica, &dir.path().join("a")).unwrap();
        let graph = store.get_or_create_graph("1", "movie").unwrap();
        // Enough to seal a segment, so that a checkpoint is made.
        for n in 0..500 {
            submit(&graph, round * 500 + n).unwrap();
        }
        let begun = std::time::Instant::now();
        let is_made = || {
            let stats = store.stats().unwrap().replica.unwrap();
            stats.last_checkpoint_at.is_some()
        };
        while !is_made() {
            assert!(begun.elapsed().as_secs() < 60, "no checkpoint is made");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        store.close().unwrap();
        let chunks = replica.numbers(1).unwrap().len();
        match round {
            0..3 => most = most.max(chunks),
            _ => assert!(
                chunks < most + 700,
                "{chunks} chunks in round {round}, not {most}"
            ),
        }
    }
}

fn request_of(bytes: usize) -> Request {
    let body = Body::from_value(&"x".repeat(bytes)).unwrap();
    Request::new("c", "/ges", body).unwrap()
}

/// Writes to the store when it is woken.
struct Writes {
    graph: Graph,
    written: Mutex<Sender<Result<()>>>,
}

impl Wake for Writes {
    fn wake(self: Arc<Self>) {
        // Larger than what the queue has room for by now.
        let written = self.graph.submit(request_of(600 << 10));
        let written = written.map(drop);
        self.written.lock().unwrap().send(written).unwrap();
    }
}

#[test]
fn a_waker_may_write_although_the_queue_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let replica = MemoryReplica::default();
    let options = options(&replica).max_queue_bytes(1 << 20);
    let store = options.open(dir.path()).unwrap();
    let graph = store.create_graph("1", "movie").unwrap();
    replica.set_delay(|call| {
        if call == Call::Create {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let (send, written) = channel();
    let waker = Waker::from(Arc::new(Writes {
        graph: graph.clone(),
        written: Mutex::new(send),
    }));
    let mut write = graph.nonblocking().submit(request_of(200 << 10));
    let poll = Pin::new(&mut write).poll(&mut Context::from_waker(&waker));
    assert!(poll.is_pending());
    let mut queued = Vec::new();
    while let Ok(write) = graph.try_submit(request_of(200 << 10)) {
        queued.push(write);
    }
    assert!(queued.len() > 2);
    let written = written.recv_timeout(Duration::from_secs(60));
    written.expect("the waker's write returns").unwrap();
    for write in queued {
        write.wait().unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_replica_that_panics_does_not_hang_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let replica = MemoryReplica::default();
    let options = options(&replica).replica_timeout(Duration::from_millis(100));
    let store = options.open(dir.path()).unwrap();
    let graph = store.create_graph("1", "movie").unwrap();
    submit(&graph, 1).unwrap();
    replica.set_delay(|call| assert!(call != Call::Create, "a bug of the host"));
    let unknown = submit(&graph, 2).unwrap_err();
    assert!(matches!(unknown, Error::CommitUnknown { .. }), "{unknown}");
    replica.set_delay(|_| ());
    store.close().ok();
    let store = open(&replica, dir.path()).unwrap();
    submit(&store.graph("1", "movie").unwrap(), 3).unwrap();
}

/// A mistake in a URL may combine the log of a store with a place that has no blobs yet.
#[test]
fn a_log_in_use_is_not_combined_with_other_blobs() {
    let [log, blobs, other] = [(); 3].map(|()| Arc::new(MemoryReplica::default()));
    let dir = tempfile::tempdir().unwrap();
    let open = |blobs: &Arc<MemoryReplica>, name: &str| {
        let pair = Arc::new(Pair::new(log.clone(), blobs.clone()));
        let options = JobStore::options().segment_bytes(64 << 10).replica(pair);
        options.open(dir.path().join(name))
    };
    let store = open(&blobs, "first").unwrap();
    let graph = store.create_graph("p", "g").unwrap();
    submit(&graph, 1).unwrap();
    let before = listed(&graph);
    store.close().unwrap();
    let chunks = log.numbers(1).unwrap();
    for name in ["first", "another"] {
        let refused = open(&other, name);
        assert!(
            matches!(refused, Err(Error::ReplicaDamaged { .. })),
            "{name}"
        );
    }
    assert_eq!(log.numbers(1).unwrap(), chunks, "nothing was claimed");
    assert!(other.names("").unwrap().is_empty());
    let store = open(&blobs, "another").unwrap();
    assert_eq!(listed(&store.graph("p", "g").unwrap()), before);
    store.close().unwrap();
}
