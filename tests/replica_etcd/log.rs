//! The contract of the log.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use jobstore::replica::{Created, EtcdReplica, Replica, ReplicaError};

use crate::cluster::{Cluster, bytes, retry};

#[test]
#[ignore = "needs etcd"]
fn the_contract_holds() {
    let cluster = Cluster::three();
    let log = cluster.replica("a/b");
    assert_eq!(log.numbers(0), Ok(vec![]));
    assert_eq!(log.read(1, Duration::ZERO), Ok(None));

    assert_eq!(log.create(1, b"one"), Ok(Created::Done));
    let taken = Ok(Created::Taken(b"one".to_vec()));
    assert_eq!(log.create(1, b"another"), taken);
    assert_eq!(log.create(1, b"one"), taken);
    assert_eq!(log.read(1, Duration::ZERO), Ok(Some(b"one".to_vec())));
    for (number, len) in [(2, 0), (3, 500), (4, 40 << 10), (u64::MAX, 1 << 20)] {
        let chunk = bytes(number, len);
        assert_eq!(log.create(number, &chunk), Ok(Created::Done));
        assert_eq!(log.create(number, b""), Ok(Created::Taken(chunk.clone())));
        assert_eq!(log.read(number, Duration::ZERO), Ok(Some(chunk)));
    }
    assert_eq!(log.numbers(3), Ok(vec![3, 4, u64::MAX]));

    // Other prefixes, of which one is the beginning of another, are other logs.
    for prefix in ["a", "a/b/log", "a/b/c", "a/bc"] {
        let other = cluster.replica(prefix);
        assert_eq!(other.numbers(0), Ok(vec![]), "{prefix}");
        assert_eq!(other.read(1, Duration::ZERO), Ok(None));
    }
    let scratch = log.scratch().unwrap();
    assert_eq!(scratch.create(1, b"scratch"), Ok(Created::Done));
    assert_eq!(scratch.numbers(0), Ok(vec![1]));
    assert!(
        scratch
            .place()
            .starts_with(&format!("{}/scratch/", log.place()))
    );
    assert_eq!(log.read(1, Duration::ZERO), Ok(Some(b"one".to_vec())));

    let start = Instant::now();
    let wait = Duration::from_millis(300);
    assert_eq!(log.read(9, wait), Ok(None));
    assert!(start.elapsed() >= wait);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| log.read(9, Duration::from_secs(30)));
        std::thread::sleep(Duration::from_millis(100));
        log.create(9, b"nine").unwrap();
        assert_eq!(reader.join().unwrap(), Ok(Some(b"nine".to_vec())));
    });

    // A key that is not one of a chunk is not ignored.
    let nested = cluster.replica("a/b/log/x");
    nested.create(1, b"").unwrap();
    let error = log.numbers(0).unwrap_err();
    assert!(matches!(&error, ReplicaError::Refused { what } if what.contains("a/b/log/x")));
}

#[test]
#[ignore = "needs etcd"]
fn trims_spare_kept_chunks_and_lists_have_many_pages() {
    let cluster = Cluster::three();
    let log = cluster.replica("jobs");
    let count = 2_500;
    std::thread::scope(|scope| {
        for first in 1..=8 {
            let log = &log;
            scope.spawn(move || {
                for number in (first..=count).step_by(8) {
                    assert_eq!(retry(|| log.create(number, b"x")), Created::Done);
                }
            });
        }
    });
    assert_eq!(log.numbers(0), Ok((1..=count).collect()));
    assert_eq!(log.numbers(2_000), Ok((2_000..=count).collect()));

    let below = 2_400;
    // More ranges than fit into one transaction, and single numbers between them.
    let keep: Vec<u64> = (1..=300).map(|n| n * 5).chain([2_398, 2_450]).collect();
    log.trim(below, &keep).unwrap();
    let is_left = |n: &u64| *n >= below || keep.contains(n);
    let left: Vec<u64> = (1..=count).filter(is_left).collect();
    assert_eq!(log.numbers(0), Ok(left.clone()));
    log.trim(below, &keep).unwrap();
    assert_eq!(log.numbers(0), Ok(left));
    // A kept claim still refuses a writer that comes late.
    assert_eq!(log.create(5, b"late"), Ok(Created::Taken(b"x".to_vec())));
    log.trim(u64::MAX, &[]).unwrap();
    assert_eq!(log.numbers(0), Ok(vec![]));
}

#[test]
#[ignore = "needs etcd"]
fn of_many_creators_one_wins() {
    const CREATORS: usize = 12;
    let cluster = Cluster::three();
    // Each connects to the nodes in another order.
    let logs: Vec<EtcdReplica> = (0..CREATORS)
        .map(|n| {
            let mut endpoints = cluster.endpoints.clone();
            endpoints.rotate_left(n % 3);
            EtcdReplica::from_url(&format!("etcd://{}/jobs", endpoints.join(","))).unwrap()
        })
        .collect();
    for number in 1..=60 {
        let barrier = Barrier::new(CREATORS);
        let results: Vec<(Vec<u8>, Created)> = std::thread::scope(|scope| {
            let (barrier, creators) = (&barrier, logs.iter().enumerate());
            let threads: Vec<_> = creators
                .map(|(n, log)| {
                    scope.spawn(move || {
                        let chunk = bytes(n as u64, 100);
                        barrier.wait();
                        let created = log.create(number, &chunk).unwrap();
                        (chunk, created)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let winners = results
            .iter()
            .filter(|(_, created)| *created == Created::Done);
        let winners: Vec<&Vec<u8>> = winners.map(|(chunk, _)| chunk).collect();
        assert_eq!(winners.len(), 1, "number {number}");
        for (_, created) in &results {
            assert!(match created {
                Created::Done => true,
                Created::Taken(found) => found == winners[0],
            });
        }
    }
}

#[test]
#[ignore = "needs etcd"]
fn calls_work_in_a_runtime_of_the_host() {
    let cluster = Cluster::start(1, &[], "http");
    for mut runtime in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let log = cluster.replica("jobs");
            let _ = log.create(1, b"x").unwrap();
            assert_eq!(log.read(1, Duration::ZERO), Ok(Some(b"x".to_vec())));
            drop(log);
        });
    }
}

#[test]
#[ignore = "needs etcd"]
fn a_chunk_that_is_too_large_and_a_full_database_are_reported() {
    let cluster = Cluster::start(1, &["--quota-backend-bytes=16000000"], "http");
    let log = cluster.replica("jobs");
    // Beyond the limit of etcd, and beyond that of gRPC.
    for len in [1_700_000, 3_000_000] {
        match log.create(1, &bytes(1, len)) {
            Err(ReplicaError::Refused { what }) => assert!(what.contains("packs="), "{what}"),
            other => panic!("{len}: {other:?}"),
        }
    }
    assert_eq!(log.read(1, Duration::ZERO), Ok(None));

    let full = (1..=100).find_map(|number| log.create(number, &bytes(number, 1 << 20)).err());
    match full {
        Some(ReplicaError::Unknown { what }) => assert!(what.contains("defragment"), "{what}"),
        other => panic!("{other:?}"),
    }
    // Reading still works.
    assert_eq!(log.read(1, Duration::ZERO), Ok(Some(bytes(1, 1 << 20))));
}
