//! Nodes that die and stop, and answers that are lost.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jobstore::replica::{Created, EtcdReplica, Replica, ReplicaError};
use rustix::process::Signal;

use crate::cluster::{Cluster, bytes, chunk, retry};

const FAULTS: u64 = 3;
/// Far longer than an election takes.
const MAX_GAP: Duration = Duration::from_secs(30);

/// Appends one chunk after the other while `fault` strikes the leader and `repair` undoes it.
fn append_while(fault: impl Fn(&Cluster, usize) + Sync, repair: impl Fn(&Cluster, usize) + Sync) {
    let cluster = Cluster::three();
    let log = cluster.replica("jobs");
    let appended = AtomicU64::new(0);
    let wait_for = |count: u64| {
        while appended.load(Ordering::Relaxed) < count {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let (mut max_gap, mut unknown, mut settled) = (Duration::ZERO, 0, 0);
    std::thread::scope(|scope| {
        let faults = scope.spawn(|| {
            for _ in 0..FAULTS {
                // Appends succeed before, during, and after a fault.
                wait_for(appended.load(Ordering::Relaxed) + 100);
                let leader = cluster.leader();
                fault(&cluster, leader);
                wait_for(appended.load(Ordering::Relaxed) + 100);
                repair(&cluster, leader);
            }
            wait_for(appended.load(Ordering::Relaxed) + 100);
        });
        let mut number = 1;
        while !faults.is_finished() {
            let (start, mut was_lost) = (Instant::now(), false);
            let created = retry(|| {
                let created = log.create(number, &bytes(number, 700));
                let lost = matches!(created, Err(ReplicaError::Unknown { .. }));
                unknown += u32::from(lost);
                was_lost |= lost;
                created
            });
            // An answer that was lost is settled by creating the same bytes again.
            if let Created::Taken(found) = created {
                assert!(was_lost, "chunk {number} existed before it was created");
                assert_eq!(found, bytes(number, 700));
                settled += 1;
            }
            max_gap = max_gap.max(start.elapsed());
            appended.store(number, Ordering::Relaxed);
            number += 1;
        }
    });
    let last = appended.into_inner();
    println!(
        "{last} appends, {FAULTS} faults: longest gap {max_gap:?}, {unknown} unknown, {settled} of them had taken effect"
    );
    assert!(max_gap < MAX_GAP, "{max_gap:?}");
    assert_eq!(retry(|| log.numbers(0)), (1..=last).collect::<Vec<_>>());
    for number in 1..=last {
        assert_eq!(chunk(&log, number), bytes(number, 700), "chunk {number}");
    }
}

#[test]
#[ignore = "needs etcd"]
fn nothing_is_lost_when_the_leader_is_killed() {
    append_while(
        |cluster, leader| cluster.signal(leader, Signal::KILL),
        |cluster, leader| cluster.restart(leader),
    );
}

#[test]
#[ignore = "needs etcd"]
fn nothing_is_lost_when_the_leader_is_stopped() {
    append_while(
        |cluster, leader| cluster.signal(leader, Signal::STOP),
        |cluster, leader| cluster.signal(leader, Signal::CONT),
    );
}

/// Passes bytes on between clients and a node. While `mute` is set, it passes on requests, but no
/// answers.
struct Proxy {
    endpoint: String,
    mute: &'static AtomicBool,
}

impl Proxy {
    fn start(node: &str) -> Proxy {
        let mute: &AtomicBool = Box::leak(Box::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let node = node.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&node).unwrap());
                let reverse = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass_on(client, server, None));
                std::thread::spawn(move || pass_on(reverse.0, reverse.1, Some(mute)));
            }
        });
        Proxy { endpoint, mute }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, mute: Option<&AtomicBool>) {
    let mut bytes = [0; 4096];
    let mut was_mute = false;
    from.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    loop {
        let is_mute = mute.is_some_and(|mute| mute.load(Ordering::SeqCst));
        // What was left out makes the connection useless.
        if was_mute && !is_mute {
            break;
        }
        was_mute = is_mute;
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) if !is_mute && to.write_all(&bytes[..len]).is_err() => break,
            Err(error) if error.kind() != ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
#[ignore = "needs etcd"]
fn a_lost_answer_is_settled_by_creating_again() {
    let cluster = Cluster::start(1, &[], "http");
    let direct = cluster.replica("jobs");
    let proxy = Proxy::start(&cluster.endpoints[0]);
    // There are other nodes to which the request could be repeated.
    let url = format!("etcd://{},{}/jobs", proxy.endpoint, cluster.endpoints[0]);
    for number in 1..=5 {
        let log = EtcdReplica::from_url(&url).unwrap();
        log.numbers(0).unwrap();
        proxy.mute.store(true, Ordering::SeqCst);
        let created = std::thread::scope(|scope| {
            let creating = scope.spawn(|| log.create(number, &bytes(number, 500)));
            let stored = direct.read(number, Duration::from_secs(30));
            assert_eq!(stored, Ok(Some(bytes(number, 500))));
            proxy.mute.store(false, Ordering::SeqCst);
            creating.join().unwrap()
        });
        // Not `Taken`: the request was not repeated behind the back of the caller.
        assert!(
            matches!(created, Err(ReplicaError::Unknown { .. })),
            "{created:?}"
        );
        let settled = log.create(number, &bytes(number, 500));
        assert_eq!(settled, Ok(Created::Taken(bytes(number, 500))));
    }
}

#[test]
#[ignore = "needs etcd"]
fn without_a_majority_a_create_is_unknown_and_settled_later() {
    let cluster = Cluster::three();
    let log = cluster.replica("jobs");
    log.create(1, b"one").unwrap();
    cluster.signal(1, Signal::STOP);
    cluster.signal(2, Signal::STOP);
    let created = log.create(2, b"two");
    assert!(
        matches!(created, Err(ReplicaError::Unknown { .. })),
        "{created:?}"
    );
    cluster.signal(1, Signal::CONT);
    cluster.signal(2, Signal::CONT);
    match retry(|| log.create(2, b"two")) {
        Created::Done => {}
        Created::Taken(found) => assert_eq!(found, b"two"),
    }
    assert_eq!(chunk(&log, 2), b"two");
}

#[test]
#[ignore = "needs etcd"]
fn nodes_that_cannot_be_reached_are_passed_over() {
    let cluster = Cluster::start(1, &[], "http");
    // Nobody listens on this port.
    let url = format!(
        "etcd://127.0.0.1:1,127.0.0.1:2,{}/jobs",
        cluster.endpoints[0]
    );
    let log = EtcdReplica::from_url(&url).unwrap();
    assert_eq!(log.create(1, b"one"), Ok(Created::Done));
    assert_eq!(log.numbers(0), Ok(vec![1]));
}

#[test]
#[ignore = "needs etcd"]
fn another_cluster_does_not_answer_for_the_first_one() {
    let (first, second) = (
        Cluster::start(1, &[], "http"),
        Cluster::start(1, &[], "http"),
    );
    let url = format!("etcd://{},{}/jobs", first.endpoints[0], second.endpoints[0]);
    let log = EtcdReplica::from_url(&url).unwrap();
    log.create(1, b"one").unwrap();
    first.signal(0, Signal::KILL);
    let mut problems = String::new();
    for _ in 0..10 {
        for error in [
            log.create(2, b"two").unwrap_err(),
            log.read(1, Duration::ZERO).unwrap_err(),
        ] {
            assert!(matches!(error, ReplicaError::Unknown { .. }), "{error:?}");
            problems += &error.to_string();
        }
    }
    assert!(problems.contains(" is in cluster "), "{problems}");
    first.restart(0);
    assert_eq!(retry(|| log.create(2, b"two")), Created::Done);
}

#[test]
#[ignore = "needs etcd"]
fn a_cluster_that_cannot_be_reached_is_reported() {
    for url in [
        "etcd://127.0.0.1:1,127.0.0.1:2/jobs",
        "etcd://unknown.invalid/jobs",
    ] {
        let log = EtcdReplica::from_url(url).unwrap();
        for error in [
            log.create(1, b"one").unwrap_err(),
            log.numbers(0).unwrap_err(),
        ] {
            match error {
                ReplicaError::Unknown { what } => {
                    assert!(what.contains("cannot connect to etcd"), "{what}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
