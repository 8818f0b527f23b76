//! A follower that missed a part of the log, or whose log was replaced, is restored while it is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use jobstore::replica::{Faults, Replica};
use jobstore::{Body, Error, Graph, Health, JobQuery, JobStore, Outcome, Request};

use crate::line::Line;
use crate::{Pair, assert_same, catch_up, options, request, submit, until, work};

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
        delay_ms: Arc::default(),
    };
    let follower = options(&pair.replica).replica(Arc::new(line));
    let follower = follower.follow(pair.path("b")).unwrap();
    assert_same(&writer, &follower);
    let followed = follower.graph("1", "movie").unwrap();
    let short = follower.graph("1", "short").unwrap();
    let page = followed.list(JobQuery::new()).unwrap();
    let before = page.to_json().unwrap();
    let short_page = short.list(JobQuery::new()).unwrap();
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
    let jobs: Result<Vec<_>, _> = short_page.into_iter().collect();
    assert!(matches!(jobs, Err(Error::GraphDropped { .. })), "{jobs:?}");
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
fn a_follower_that_is_too_slow_is_restored_and_not_said_to_be_current() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    let delay_ms = Arc::new(AtomicU64::new(2_000));
    let line = Line {
        replica: pair.replica.clone(),
        is_cut: Arc::default(),
        delay_ms: delay_ms.clone(),
    };
    let follower = options(&pair.replica).replica(Arc::new(line));
    let follower = follower.follow(pair.path("b")).unwrap();
    catch_up(&writer, &follower);
    let stats = || follower.stats().unwrap().follower.unwrap();
    let begun = stats().last_chunk;
    until("chunks are removed before the follower reads them", || {
        let body = Body::from_value(&"x".repeat(2 << 20)).unwrap();
        let request = Request::new("c", "/", body).unwrap();
        graph.submit_all(vec![request; 4]).unwrap();
        let next = stats().last_chunk + 1;
        assert!(next < begun + 200, "the follower is not too slow");
        pair.replica.read(next, Duration::ZERO).unwrap().is_none()
    });
    delay_ms.store(0, Ordering::Release);
    let end = graph.list(JobQuery::new().limit(1)).unwrap().as_of_lsn();
    until("the follower is current", || {
        let stats = stats();
        let is_current = stats.as_of_lsn >= end;
        assert!(is_current || !stats.is_current, "{stats:?}");
        is_current
    });
    assert!(stats().restores > 0);
    assert_same(&writer, &follower);
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
    pair.replica.lose_last_chunks(3);
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
fn an_unreliable_replica_is_followed() {
    let pair = Pair::new();
    let writer = pair.open("a");
    let graph = writer.create_graph("1", "movie").unwrap();
    work(&graph, 0..50);
    for seed in 0..2 {
        let mut faults = Faults::default();
        faults.seed = seed;
        faults.lost_request = 0.1;
        faults.lost_response = 0.1;
        faults.late_request = 0.05;
        faults.repeated_request = 0.1;
        pair.replica.set_faults(faults);
        let follower = pair.follow("b");
        let from = 50 + 40 * seed as usize;
        work(&graph, from..from + 40);
        assert_same(&writer, &follower);
        follower.close().unwrap();
    }
    pair.replica.set_faults(Faults::default());
    pair.replica.deliver_late();
    let follower = pair.follow("c");
    assert_same(&writer, &follower);
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
            let mut bytes = std::fs::read(file.path()).unwrap();
            let name = file.file_name();
            if name.to_str().unwrap().ends_with(".segment") {
                // Full, so that each open begins another segment, with the same number.
                let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
                bytes.truncate(end + 1);
            }
            std::fs::write(pair.path("c").join(name), bytes).unwrap();
        }
    }
    let write = |store: &JobStore, id: &str| {
        let graph = store.graph("1", "movie").unwrap();
        graph.submit_as(id, request(1).unwrap()).unwrap();
        store.close().unwrap();
    };
    let both = |store: &JobStore, name: &str| {
        let graph = store.create_graph("1", name).unwrap();
        graph.submit_as("job", request(1).unwrap()).unwrap();
        graph.start("job").unwrap();
    };
    let writer = pair.open("a");
    both(&writer, "left");
    write(&writer, "left");
    let follower = pair.follow("b");
    let followed = follower.graph("1", "movie").unwrap();
    let replaced = follower.graph("1", "left").unwrap();
    let replaced_page = replaced.list(JobQuery::new()).unwrap();
    assert!(followed.job("left").unwrap().is_some());
    let alone = JobStore::options().detach_replica(true);
    let other = alone.open(pair.path("c")).unwrap();
    both(&other, "rite");
    write(&other, "rite");
    let writer = options(&pair.replica).reseed(true);
    let writer = writer.open(pair.path("c")).unwrap();
    assert_same(&writer, &follower);
    assert!(followed.job("left").unwrap().is_none());
    assert!(followed.job("rite").unwrap().is_some());
    // Both logs created a graph with the same number.
    assert!(matches!(
        replaced.job("job"),
        Err(Error::GraphDropped { .. })
    ));
    let jobs: Result<Vec<_>, _> = replaced_page.into_iter().collect();
    assert!(matches!(jobs, Err(Error::GraphDropped { .. })), "{jobs:?}");
    assert!(
        follower
            .graph("1", "rite")
            .unwrap()
            .job("job")
            .unwrap()
            .is_some()
    );
    submit(&writer.graph("1", "movie").unwrap(), 2);
    assert_same(&writer, &follower);
}
