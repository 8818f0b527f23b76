//! Tests with the servers that `.ci/replica-servers` and `.ci/replica-ceph` start. They do not run by
//! default.
//!
//! `JOBSTORE_TEST_S3` lists the servers: `localbucket=http://127.0.0.1:9009,moto=...`. Each has a
//! bucket `jobs`. `JOBSTORE_TEST_LOCALBUCKET` is a Python interpreter that can run localbucket.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jobstore::replica::{Created, Replica, ReplicaError, S3Replica, prove};

use crate::calls::every_call;
use crate::replica_at;
use crate::settings::create_in;
use crate::store::lose_the_machine;

const MISSING: &str = "is not set: run the command that .ci/replica-servers prints";

/// The names and the endpoints of all servers.
fn servers() -> Vec<(String, String)> {
    let list = std::env::var("JOBSTORE_TEST_S3");
    let list = list.unwrap_or_else(|_| panic!("JOBSTORE_TEST_S3 {MISSING}"));
    let servers = list.split(',').map(|server| {
        let (name, endpoint) = server.split_once('=').expect("NAME=URL");
        (name.to_owned(), endpoint.to_owned())
    });
    servers.collect()
}

/// A replica that no other test uses.
fn fresh(endpoint: &str) -> S3Replica {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    replica_at(endpoint, &format!("test-{}-{next}", std::process::id()))
}

#[test]
#[ignore = "needs servers: see .ci/replica-servers"]
fn every_call_does_what_the_trait_says() {
    for (name, endpoint) in servers() {
        every_call(&fresh(&endpoint));
        prove(&fresh(&endpoint)).unwrap();
        println!("{name}: every call, and the proof");
    }
}

#[test]
#[ignore = "needs servers: see .ci/replica-servers"]
fn a_store_survives_the_loss_of_its_machine() {
    for (name, endpoint) in servers() {
        lose_the_machine(&fresh(&endpoint));
        println!("{name}: a store survives the loss of its machine");
    }
}

#[test]
#[ignore = "needs servers: see .ci/replica-servers"]
fn of_twelve_creators_exactly_one_succeeds() {
    const CREATORS: usize = 12;
    const RACES: u64 = 60;
    for (name, endpoint) in servers() {
        let replica = fresh(&endpoint);
        let barrier = Barrier::new(CREATORS);
        for number in 1..=RACES {
            let create = |creator: usize| {
                let chunk = format!("creator {creator}").into_bytes();
                barrier.wait();
                loop {
                    match replica.create(number, &chunk) {
                        Ok(created) => return (chunk, created),
                        // A conflict with a request in progress.
                        Err(ReplicaError::Unknown { .. }) => {}
                        Err(error) => panic!("{name}: {error}"),
                    }
                }
            };
            let results = thread::scope(|scope| {
                let creators: Vec<_> = (0..CREATORS)
                    .map(|creator| scope.spawn(move || create(creator)))
                    .collect();
                Vec::from_iter(creators.into_iter().map(|creator| creator.join().unwrap()))
            });
            let stored = replica.read(number, Duration::ZERO).unwrap().unwrap();
            for (chunk, created) in results {
                match created {
                    Created::Done => assert_eq!(chunk, stored, "{name}: two winners"),
                    Created::Taken(other) => assert_eq!(other, stored, "{name}"),
                }
            }
        }
        replica.trim(u64::MAX, &[]).unwrap();
        println!("{name}: {RACES} races of {CREATORS} creators");
    }
}

#[test]
#[ignore = "needs servers: see .ci/replica-servers"]
fn a_missing_bucket_is_refused() {
    for (name, endpoint) in servers() {
        let builder = S3Replica::builder("s3://no-such-bucket/x").endpoint(&endpoint);
        let replica = builder
            .credentials("key-id", "secret-key", None)
            .build()
            .unwrap();
        for result in [
            replica.create(1, b"x").map(drop),
            replica.read(1, Duration::ZERO).map(drop),
            replica.numbers(0).map(drop),
        ] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, ReplicaError::Refused { .. }),
                "{name}: {error:?}"
            );
        }
        println!("{name}: a missing bucket is refused");
    }
}

#[test]
#[ignore = "needs servers: see .ci/replica-servers"]
fn certificates_are_verified() {
    let get = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} {MISSING}"));
    let (endpoint, file) = (get("JOBSTORE_TEST_S3_TLS"), get("JOBSTORE_TEST_CA"));
    let variables = [
        ("AWS_ACCESS_KEY_ID", "key-id"),
        ("AWS_SECRET_ACCESS_KEY", "secret-key"),
        ("AWS_ENDPOINT_URL", &endpoint),
        ("AWS_CA_BUNDLE", &file),
    ];
    // The server has no buckets: the request was signed, encrypted, and answered.
    let trusted = create_in(&variables, "s3://no-such-bucket/x");
    assert!(trusted.contains("NoSuchBucket"), "{trusted}");
    let unknown = create_in(&variables[..3], "s3://no-such-bucket/x");
    assert!(unknown.contains("certificate"), "{unknown}");
    let address = endpoint.replace("localhost", "127.0.0.1");
    let other = [
        variables[0],
        variables[1],
        ("AWS_ENDPOINT_URL", &address),
        variables[3],
    ];
    let other = create_in(&other, "s3://no-such-bucket/x");
    assert!(other.contains("certificate"), "{other}");
    println!("TLS: trusted; unknown authority and wrong name are rejected");
}

/// localbucket, which stores objects in files, started by this test.
struct Localbucket(Child);

impl Localbucket {
    fn start(port: u16, dir: &Path) -> Localbucket {
        let python = std::env::var("JOBSTORE_TEST_LOCALBUCKET");
        let python = python.unwrap_or_else(|_| panic!("JOBSTORE_TEST_LOCALBUCKET {MISSING}"));
        let mut command = Command::new(python);
        command
            .args(["-m", "localbucket", "--port", &port.to_string()])
            .arg(dir);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "localbucket does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Localbucket(child)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Localbucket {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates chunks one after the other, like a store, until told to stop: repeats a create whose
/// result is unknown. Returns the number of chunks.
fn append(replica: &dyn Replica, done: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut unknown = 0;
    for number in 1.. {
        let chunk = format!("{number} {}", "x".repeat(500)).into_bytes();
        loop {
            match replica.create(number, &chunk) {
                Ok(Created::Done) => break,
                Ok(Created::Taken(stored)) => {
                    assert!(stored == chunk, "chunk {number} is another's");
                    break;
                }
                Err(ReplicaError::Unknown { .. }) => {
                    unknown += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("chunk {number}: {error}"),
            }
        }
        done.store(number, Ordering::SeqCst);
        if stop.load(Ordering::SeqCst) {
            println!("{number} chunks, {unknown} unknown results");
            return number;
        }
    }
    unreachable!()
}

#[test]
#[ignore = "needs servers: see .ci/replica-servers"]
fn no_acknowledged_chunk_is_lost_when_the_server_is_killed() {
    const KILLS: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("jobs")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let replica = replica_at(&format!("http://127.0.0.1:{port}"), "killed");
    let mut server = Localbucket::start(port, dir.path());
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let last = thread::scope(|scope| {
        let appender = scope.spawn(|| append(&replica, &done, &stop));
        for kill in 1..=KILLS {
            // At least a few chunks between two kills; where in a request is up to the threads.
            let target = done.load(Ordering::SeqCst) + 3 + kill;
            while done.load(Ordering::SeqCst) < target && !appender.is_finished() {
                thread::yield_now();
            }
            server.kill();
            server = Localbucket::start(port, dir.path());
        }
        stop.store(true, Ordering::SeqCst);
        appender.join().unwrap()
    });
    assert_eq!(replica.numbers(1).unwrap(), Vec::from_iter(1..=last));
    for number in 1..=last {
        let chunk = replica.read(number, Duration::ZERO).unwrap().unwrap();
        assert!(chunk.starts_with(format!("{number} x").as_bytes()) && chunk.ends_with(b"xxx"));
    }
    println!("localbucket: {KILLS} kills, {last} chunks");
}
