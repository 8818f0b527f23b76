//! A follower shows what another store writes, serves every read, and takes over.

use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jobstore::replica::{Created, MemoryReplica, Replica, ReplicaError};
use jobstore::{
    Body, ChangeKind, Durability, Error, Graph, Health, JobQuery, JobStore, OnBadLine, Options,
    Outcome, Request, Result, State,
};

/// A replica that can be cut off from one of its users.
struct Line {
    replica: MemoryReplica,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    fn there(&self) -> std::result::Result<&MemoryReplica, ReplicaError> {
        match self.is_cut.load(Ordering::Acquire) {
            false => Ok(&self.replica),
            true => Err(ReplicaError::Unknown {
                what: "unplugged".to_owned(),
            }),
        }
    }
}

type Called<T> = std::result::Result<T, ReplicaError>;

impl Replica for Line {
    fn create(&self, number: u64, chunk: &[u8]) -> Called<Created> {
        self.there()?.create(number, chunk)
    }

    fn read(&self, number: u64, wait: Duration) -> Called<Option<Vec<u8>>> {
        let read = self.there()?.read(number, wait);
        self.there()?;
        read
    }

    fn numbers(&self, from: u64) -> Called<Vec<u64>> {
        self.there()?.numbers(from)
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Called<()> {
        self.there()?.trim(below, keep)
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Called<()> {
        self.there()?.put(name, len, from)
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Called<()> {
        self.there()?.get(name, range, to)
    }

    fn names(&self, prefix: &str) -> Called<Vec<(String, u64)>> {
        self.there()?.names(prefix)
    }

    fn remove(&self, names: &[String]) -> Called<()> {
        self.there()?.remove(names)
    }

    fn scratch(&self) -> Called<Box<dyn Replica>> {
        self.there()?.scratch()
    }

    fn place(&self) -> String {
        self.replica.place()
    }
}

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
fn work(graph: &Graph, jobs: std::ops::Range<usize>) {
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

#[test]
fn a_follower_reads_what_the_writer_reads() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..200);
    let follower = pair.follow("b");
    assert_same(&writer, &follower);
    let other = writer.create_graph("2", "other").unwrap();
    work(&graph, 200..900);
    work(&other, 0..100);
    assert_same(&writer, &follower);
    assert_eq!(
        changes(&graph),
        changes(&follower.graph("1", "movie").unwrap())
    );
    // Purges, drops, and what packing makes of them.
    graph.purge(JobQuery::new()).unwrap();
    work(&graph, 900..1000);
    assert_same(&writer, &follower);
    let dropped = follower.graph("2", "other").unwrap();
    let page = dropped.list(JobQuery::new()).unwrap();
    writer.drop_graph("2", "other").unwrap();
    let again = writer.create_graph("2", "other").unwrap();
    work(&again, 0..50);
    assert_same(&writer, &follower);
    assert!(matches!(
        dropped.list(JobQuery::new()),
        Err(Error::GraphDropped { .. })
    ));
    assert!(page.to_json().is_ok());
    assert_eq!(follower.stats().unwrap().follower.unwrap().restores, 0);
    assert!(follower.scrub().unwrap().is_sound());
    follower.close().unwrap();
    writer.close().unwrap();
    assert!(JobStore::verify(pair.path("b")).unwrap().is_sound());
}

#[test]
fn a_follower_continues_after_a_restart_and_without_its_index() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..300);
    for round in 0..6 {
        let follower = pair.follow("b");
        assert_same(&writer, &follower);
        let from = 300 + 100 * round;
        work(&graph, from..from + 50);
        if round % 2 == 0 {
            catch_up(&writer, &follower);
        }
        match round % 3 {
            0 => follower.close().unwrap(),
            _ => drop(follower),
        }
        if round == 4 {
            std::fs::remove_dir_all(pair.path("b").join("index")).unwrap();
        }
        work(&graph, from + 50..from + 100);
    }
    let follower = pair.follow("b");
    assert_same(&writer, &follower);
}

#[test]
fn waiters_and_feeds_are_woken_by_what_the_writer_does() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    submit(&graph, 1);
    let follower = pair.follow("b");
    let followed = follower.graph("1", "movie").unwrap();
    let waiting = followed.clone();
    let waiter = thread::spawn(move || waiting.wait("job-1", Duration::from_secs(120)));
    let mut feed = followed
        .changes(Some(&followed.position().unwrap()))
        .unwrap();
    let next = thread::spawn(move || feed.next_timeout(Duration::from_secs(120)));
    graph.start("job-1").unwrap();
    graph.complete("job-1", Outcome::succeeded()).unwrap();
    let job = waiter.join().unwrap().unwrap().unwrap();
    assert_eq!(job.outcome(), Some(&Outcome::succeeded()));
    let change = next.join().unwrap().unwrap().unwrap();
    assert_eq!(change.kind, ChangeKind::Started);
    // Cursors and positions are valid on both sides.
    for n in 2..30 {
        submit(&graph, n);
    }
    catch_up(&writer, &follower);
    let page = graph.list(JobQuery::new().limit(10)).unwrap();
    let cursor = page.next().unwrap();
    let ours = graph
        .list(JobQuery::new().limit(10).cursor(&cursor))
        .unwrap();
    let theirs = followed
        .list(JobQuery::new().limit(10).cursor(&cursor))
        .unwrap();
    assert_eq!(ours.to_json().unwrap(), theirs.to_json().unwrap());
    let position = followed.position().unwrap();
    submit(&graph, 30);
    assert_eq!(graph.changes(Some(&position)).unwrap().count(), 1);
    // A wait ends when the follower is closed.
    let waiting = followed.clone();
    let waiter = thread::spawn(move || waiting.wait("job-2", Duration::from_secs(120)));
    follower.close().unwrap();
    assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
}

#[test]
fn every_write_is_refused_and_changes_nothing() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    submit(&graph, 1);
    submit(&graph, 2);
    graph.start("job-2").unwrap();
    let follower = pair.follow("b");
    catch_up(&writer, &follower);
    let followed = follower.graph("1", "movie").unwrap();
    let before = read(&followed);
    let new = || request(9).unwrap();
    let line = br#"{"jobId":"x","command":"c","url":"/"}"#;
    let refused = [
        follower.create_graph("1", "new").err(),
        follower.get_or_create_graph("1", "new").err(),
        follower.drop_graph("1", "movie").err(),
        follower.confirm_clock().err(),
        followed.submit(new()).err(),
        followed.submit_all(vec![new()]).err(),
        followed.submit_as("new", new()).err(),
        followed.submit_once("key", new()).err(),
        followed.start("job-1").err(),
        followed.complete("job-2", Outcome::succeeded()).err(),
        followed.cancel("job-1").err(),
        followed.claim("job-1").map(drop).err(),
        followed.claim_next().map(drop).err(),
        followed
            .claim_next_timeout(Duration::from_secs(60))
            .map(drop)
            .err(),
        followed.attach("job-2").map(drop).err(),
        followed.purge(JobQuery::new()).err(),
        followed.set_retention(None).err(),
        followed.import(&line[..], OnBadLine::Stop).err(),
        followed.nonblocking().submit(new()).wait().err(),
        followed.nonblocking().cancel("job-1").wait().err(),
        follower.nonblocking().create_graph("1", "new").wait().err(),
    ];
    for (n, error) in refused.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::Follower)), "{n}: {error:?}");
    }
    assert_eq!(read(&followed), before);
    submit(&graph, 3);
    assert_same(&writer, &follower);
    assert!(matches!(
        JobStore::repair(pair.path("b")),
        Err(Error::StoreInUse { .. })
    ));
    follower.close().unwrap();
    assert!(matches!(followed.submit(new()), Err(Error::Closed)));
    assert!(matches!(
        JobStore::open(pair.path("b")),
        Err(Error::ReplicaNeeded { .. })
    ));
}

#[test]
fn another_writer_is_followed_and_a_deposed_one_follows() {
    let pair = Pair::new();
    let first = pair.open("a");
    let graph = first.create_graph("1", "movie").unwrap();
    work(&graph, 0..300);
    let follower = pair.follow("b");
    assert_same(&first, &follower);
    let second = pair.open("c");
    assert!(graph.submit(request(1).unwrap()).is_err());
    let deposed = graph;
    let graph = second.graph("1", "movie").unwrap();
    work(&graph, 300..400);
    assert_same(&second, &follower);
    // The first directory contains a frame that was never acknowledged.
    drop((deposed, first));
    let old = pair.follow("a");
    work(&graph, 400..500);
    assert_same(&second, &old);
    assert_same(&second, &follower);
    // Without a close: the process of the second store is gone.
    let before = read(&graph);
    drop((graph, second));
    follower.close().unwrap();
    let begun = Instant::now();
    let third = pair.open("b");
    eprintln!("takeover in {:?}", begun.elapsed());
    let graph = third.graph("1", "movie").unwrap();
    work(&graph, 500..600);
    assert_same(&third, &old);
    assert!(before.len() < read(&graph).len());
    old.close().unwrap();
    third.close().unwrap();
    for name in ["a", "b", "c"] {
        assert!(
            JobStore::verify(pair.path(name)).unwrap().is_sound(),
            "{name}"
        );
    }
}

#[test]
fn a_follower_that_lags_behind_a_trim_is_restored() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..100);
    work(&writer.create_graph("1", "short").unwrap(), 0..40);
    let is_cut = Arc::new(AtomicBool::new(false));
    let line = Line {
        replica: pair.replica.clone(),
        is_cut: is_cut.clone(),
    };
    let follower = options(&pair.replica).replica(Arc::new(line));
    let follower = follower.follow(pair.path("b")).unwrap();
    assert_same(&writer, &follower);
    let followed = follower.graph("1", "movie").unwrap();
    let short = follower.graph("1", "short").unwrap();
    let page = followed.list(JobQuery::new()).unwrap();
    let before = page.to_json().unwrap();
    let waiting = followed.clone();
    let waiter = thread::spawn(move || waiting.wait("job-4", Duration::from_secs(120)));
    // The follower cannot read the replica for some time, but the writer can.
    is_cut.store(true, Ordering::Release);
    until("the follower notices it", || {
        follower.health() != Health::Ok
    });
    work(&graph, 100..1200);
    writer.drop_graph("1", "short").unwrap();
    work(&writer.create_graph("1", "new").unwrap(), 0..40);
    let next = follower.stats().unwrap().follower.unwrap().last_chunk + 1;
    let large = writer.create_graph("1", "large").unwrap();
    until("chunks are removed", || {
        let body = Body::from_value(&"x".repeat(2 << 20)).unwrap();
        let request = Request::new("c", "/", body).unwrap();
        large.submit_all(vec![request; 4]).unwrap();
        pair.replica.read(next, Duration::ZERO).unwrap().is_none()
    });
    writer.drop_graph("1", "large").unwrap();
    is_cut.store(false, Ordering::Release);
    assert_same(&writer, &follower);
    assert_eq!(follower.stats().unwrap().follower.unwrap().restores, 1);
    // What was read before stays readable, and handles stay valid.
    assert_eq!(page.to_json().unwrap(), before);
    assert_eq!(
        followed.list(JobQuery::new()).unwrap().total(),
        graph.list(JobQuery::new()).unwrap().total()
    );
    assert!(matches!(
        short.list(JobQuery::new()),
        Err(Error::GraphDropped { .. })
    ));
    graph.cancel("job-4").unwrap();
    assert!(waiter.join().unwrap().unwrap().is_some());
    work(&graph, 1300..1500);
    assert_same(&writer, &follower);
    assert!(follower.scrub().unwrap().is_sound());
    follower.close().unwrap();
    assert!(JobStore::verify(pair.path("b")).unwrap().is_sound());
    let follower = pair.follow("b");
    assert_same(&writer, &follower);
}

#[test]
fn lag_and_health_say_how_old_the_state_is() {
    let pair = Pair::new();
    let writer = pair.open("a");
    assert_eq!(writer.lag(), None);
    let graph = writer.create_graph("1", "movie").unwrap();
    submit(&graph, 1);
    let follower = pair.follow("b");
    catch_up(&writer, &follower);
    until("it is current", || {
        follower.stats().unwrap().follower.unwrap().is_current
    });
    assert!(follower.lag().is_some());
    assert_eq!(follower.health(), Health::Ok);
    let lost = ReplicaError::Unknown {
        what: "unplugged".to_owned(),
    };
    pair.replica.set_failure(Some(lost));
    until("the problem is reported", || match follower.health() {
        Health::Degraded { why, .. } => why.contains("unplugged"),
        _ => false,
    });
    let followed = follower.graph("1", "movie").unwrap();
    assert_eq!(followed.list(JobQuery::new()).unwrap().total(), Some(1));
    pair.replica.set_failure(None);
    submit(&graph, 2);
    assert_same(&writer, &follower);
    until("it is healthy", || follower.health() == Health::Ok);
}

#[test]
fn a_page_is_one_instant_in_either_durability() {
    for durability in [
        Durability::Synced,
        Durability::Interval(Duration::from_millis(20)),
    ] {
        let pair = Pair::new();
        let writer = options(&pair.replica).durability(durability);
        let writer = writer.open(pair.path("a")).unwrap();
        let graph = writer.create_graph("1", "movie").unwrap();
        graph.submit_all(vec![request(1).unwrap(); 10]).unwrap();
        // In an interval, nothing is in the replica yet.
        until("the replica has the graph", || {
            let follower = options(&pair.replica).follow(pair.path("b"));
            let found = follower.and_then(|follower| follower.graph("1", "movie"));
            found.is_ok()
        });
        let follower = pair.follow("b");
        let followed = follower.graph("1", "movie").unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let writing = thread::spawn(move || {
            for n in 0..300 {
                graph.submit_all(vec![request(n).unwrap(); 10]).unwrap();
            }
            over.store(true, Ordering::Release);
            graph
        });
        let (mut last, mut last_lsn) = (0, 0);
        while last < 3010 {
            let is_over = is_over.load(Ordering::Acquire);
            let page = followed.list(JobQuery::new().newest_first()).unwrap();
            let total = page.total().unwrap();
            assert_eq!(total % 10, 0);
            assert!(total >= last && page.as_of_lsn() >= last_lsn);
            (last, last_lsn) = (total, page.as_of_lsn());
            let seen = followed.changes(None).unwrap().count() as u64;
            assert!(seen >= total, "{seen} of {total}");
            assert!(!is_over || last <= 3010);
        }
        drop(writing.join().unwrap());
        // A drop is durable before it is visible, and so is everything before it.
        writer.create_graph("1", "sync").unwrap();
        writer.drop_graph("1", "sync").unwrap();
        assert_same(&writer, &follower);
    }
}

#[test]
fn secret_keys_and_a_replaced_log_reach_a_follower_that_is_open() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..60);
    submit(&graph, 62);
    graph.start("job-62").unwrap();
    let failed = Outcome::failed("E", "m").with_detail_json(r#"{"Token": "4711"}"#);
    graph.complete("job-62", failed.unwrap()).unwrap();
    let follower = pair.follow("b");
    let followed = follower.graph("1", "movie").unwrap();
    let detailed = |graph: &Graph| {
        let page = graph.list(JobQuery::new()).unwrap();
        let chunks: Vec<u8> = page.detailed_chunks().flat_map(|c| c.unwrap()).collect();
        String::from_utf8(chunks).unwrap()
    };
    assert!(detailed(&followed).contains("4711"));
    drop(graph);
    writer.close().unwrap();
    let writer = options(&pair.replica).secret_keys(["token"]);
    let writer = writer.open(pair.path("a")).unwrap();
    let graph = writer.graph("1", "movie").unwrap();
    submit(&graph, 63);
    assert_same(&writer, &follower);
    assert_eq!(detailed(&graph), detailed(&followed));
    assert!(!detailed(&followed).contains("4711"));
    assert_eq!(follower.health(), Health::Ok);
    // The replica loses its end, and is replaced by the directory of the writer.
    work(&graph, 64..90);
    catch_up(&writer, &follower);
    drop(graph);
    writer.close().unwrap();
    pair.replica.lose_end(3);
    let writer = options(&pair.replica)
        .reseed(true)
        .open(pair.path("a"))
        .unwrap();
    let graph = writer.graph("1", "movie").unwrap();
    work(&graph, 90..120);
    assert_same(&writer, &follower);
    assert!(follower.stats().unwrap().follower.unwrap().restores > 0);
    assert!(followed.job("job-62").unwrap().is_some());
}

#[test]
fn a_log_that_was_replaced_by_one_of_the_same_length_is_noticed() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    submit(&graph, 1);
    drop(graph);
    writer.close().unwrap();
    std::fs::create_dir(pair.path("c")).unwrap();
    for file in std::fs::read_dir(pair.path("a")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), pair.path("c").join(file.file_name())).unwrap();
        }
    }
    let write = |store: &JobStore, id: &str| {
        let graph = store.graph("1", "movie").unwrap();
        graph.submit_as(id, request(1).unwrap()).unwrap();
        store.close().unwrap();
    };
    write(&pair.open("a"), "left");
    let follower = pair.follow("b");
    let followed = follower.graph("1", "movie").unwrap();
    assert!(followed.job("left").unwrap().is_some());
    pair.follow("d").close().unwrap();
    let alone = JobStore::options().detach_replica(true);
    write(&alone.open(pair.path("c")).unwrap(), "rite");
    let writer = options(&pair.replica).reseed(true);
    let writer = writer.open(pair.path("c")).unwrap();
    assert_same(&writer, &follower);
    assert!(followed.job("left").unwrap().is_none());
    assert!(followed.job("rite").unwrap().is_some());
    // Directories that were not open are refused.
    let refused = options(&pair.replica).follow(pair.path("d"));
    assert!(
        matches!(refused, Err(Error::ReplicaDiverged { .. })),
        "{refused:?}"
    );
    let refused = options(&pair.replica).open(pair.path("a"));
    assert!(
        matches!(refused, Err(Error::ReplicaDiverged { .. })),
        "{refused:?}"
    );
    submit(&writer.graph("1", "movie").unwrap(), 2);
    assert_same(&writer, &follower);
}

#[test]
fn a_killed_follower_loses_nothing() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..700);
    let follower = pair.follow("b");
    work(&graph, 700..800);
    catch_up(&writer, &follower);
    // The packer has nothing left to do, so the copies are what a kill leaves.
    until("everything is packed", || {
        let stats = follower.stats().unwrap();
        stats.segments_to_pack == 0
    });
    let copy = |name: &str, cut: u64, has_hole: bool| {
        let to = pair.path(name);
        std::fs::create_dir(&to).unwrap();
        let mut segments = Vec::new();
        for file in std::fs::read_dir(pair.path("b")).unwrap() {
            let file = file.unwrap();
            let name = file.file_name();
            if file.file_type().unwrap().is_file() && name != "LOCK" {
                std::fs::copy(file.path(), to.join(&name)).unwrap();
                if name.to_str().unwrap().ends_with(".segment") {
                    segments.push(to.join(name));
                }
            }
        }
        segments.sort();
        // A power cut may also take the end of what was being written.
        let last = std::fs::File::options()
            .write(true)
            .open(segments.last().unwrap())
            .unwrap();
        let bytes = std::fs::read(segments.last().unwrap()).unwrap();
        let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
        last.set_len(end - cut).unwrap();
        if has_hole {
            let middle = 64 + (end - 64) / 2;
            last.write_all_at(&[0; 100], middle).unwrap();
        }
    };
    for (n, cut) in [0, 1, 7, 40].into_iter().enumerate() {
        let name = format!("copy-{n}");
        copy(&name, cut, n % 2 == 0);
        let copied = pair.follow(&name);
        assert_same(&writer, &copied);
        copied.close().unwrap();
    }
    copy("promoted", 3, true);
    let before = read(&graph);
    drop((graph, writer));
    let promoted = pair.open("promoted");
    let graph = promoted.graph("1", "movie").unwrap();
    assert_eq!(before.len(), read(&graph).len());
    work(&graph, 800..900);
    assert_same(&promoted, &follower);
    // A backup of a follower is a store.
    follower.backup(pair.path("backup")).unwrap();
    let backup = JobStore::options().detach_replica(true);
    let backup = backup.open(pair.path("backup")).unwrap();
    let restored = backup.graph("1", "movie").unwrap();
    assert_eq!(
        restored.list(JobQuery::new()).unwrap().total(),
        graph.list(JobQuery::new()).unwrap().total()
    );
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let pair = Pair::new();
    let empty = options(&pair.replica).follow(pair.path("b"));
    assert!(
        matches!(empty, Err(Error::StoreMissing { .. })),
        "{empty:?}"
    );
    let unset = JobStore::options().follow(pair.path("b"));
    assert!(matches!(unset, Err(Error::InvalidUse { .. })));
    let unset = options(&pair.replica)
        .read_only(true)
        .follow(pair.path("b"));
    assert!(matches!(unset, Err(Error::InvalidUse { .. })));
    let other = Pair::new();
    other.open("a").close().unwrap();
    pair.open("a").close().unwrap();
    let refused = options(&other.replica).follow(pair.path("a"));
    assert!(matches!(refused, Err(Error::ReplicaOfOtherStore { .. })));
    JobStore::open(pair.path("alone")).unwrap().close().unwrap();
    let refused = options(&pair.replica).follow(pair.path("alone"));
    assert!(matches!(refused, Err(Error::ReplicaOfOtherStore { .. })));
}
