//! What a follower reads is what the writer reads, at one instant; it refuses every write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jobstore::replica::ReplicaError;
use jobstore::{ChangeKind, Durability, Error, Health, JobQuery, JobStore, OnBadLine, Outcome};

use crate::{Pair, assert_same, catch_up, changes, options, read, request, submit, until, work};

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
            // A change is listed a moment before it is in the feed.
            until("the feed has what was listed", || {
                followed.changes(None).unwrap().count() as u64 >= total
            });
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
