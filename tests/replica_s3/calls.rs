//! What every call does on a server without faults.

use std::io::{Read, repeat};
use std::time::Duration;

use jobstore::replica::{Created, Replica, ReplicaError, S3Replica};

use crate::fake_s3::FakeS3;
use crate::replica_at;

/// A blob larger than two parts.
const LARGE: u64 = (20 << 20) + 7;

/// Makes every call on an empty replica, and leaves it empty.
pub fn every_call(replica: &dyn Replica) {
    log(replica);
    blobs(replica);
    let scratch = replica.scratch().unwrap();
    log(&*scratch);
    blobs(&*scratch);
    assert_eq!(scratch.create(7, b"x").unwrap(), Created::Done);
    assert_eq!(replica.numbers(0).unwrap(), [0; 0]);
    assert_eq!(replica.names("").unwrap(), []);
    scratch.trim(8, &[]).unwrap();
    assert_ne!(replica.scratch().unwrap().place(), scratch.place());
}

fn log(replica: &dyn Replica) {
    let now = Duration::ZERO;
    assert_eq!(replica.numbers(0).unwrap(), [0; 0]);
    assert_eq!(replica.read(1, now).unwrap(), None);
    for number in 1..=12 {
        let chunk = format!("chunk {number}");
        assert_eq!(
            replica.create(number, chunk.as_bytes()).unwrap(),
            Created::Done
        );
        assert_eq!(replica.read(number, now).unwrap(), Some(chunk.into_bytes()));
    }
    let taken = Created::Taken(b"chunk 3".to_vec());
    assert_eq!(replica.create(3, b"another").unwrap(), taken);
    assert_eq!(replica.create(3, b"chunk 3").unwrap(), taken);
    assert_eq!(replica.create(13, b"").unwrap(), Created::Done);
    assert_eq!(replica.read(13, now).unwrap(), Some(Vec::new()));

    assert_eq!(replica.numbers(0).unwrap(), Vec::from_iter(1..=13));
    assert_eq!(replica.numbers(9).unwrap(), Vec::from_iter(9..=13));
    assert_eq!(replica.numbers(14).unwrap(), [0; 0]);
    assert_eq!(replica.numbers(u64::MAX).unwrap(), [0; 0]);
    replica.trim(11, &[2, 5]).unwrap();
    replica.trim(11, &[2, 5]).unwrap();
    assert_eq!(replica.numbers(0).unwrap(), [2, 5, 11, 12, 13]);
    replica.trim(u64::MAX, &[]).unwrap();
    assert_eq!(replica.numbers(0).unwrap(), [0; 0]);
}

fn blobs(replica: &dyn Replica) {
    let get = |name: &str, range| {
        let mut bytes = Vec::new();
        replica.get(name, range, &mut bytes).map(|()| bytes)
    };
    let put = |name: &str, bytes: &[u8]| replica.put(name, bytes.len() as u64, &mut &bytes[..]);
    put("packs/b-1", b"0123456789").unwrap();
    put("packs/b-2", b"").unwrap();
    put("packs/a", b"a").unwrap();
    put("cp/1.2_3", b"c").unwrap();
    put("packs/b-1", b"0123456789").unwrap();
    assert_eq!(get("packs/b-1", 0..10).unwrap(), b"0123456789");
    assert_eq!(get("packs/b-1", 3..5).unwrap(), b"34");
    assert_eq!(get("packs/b-1", 4..4).unwrap(), b"");
    assert_eq!(get("packs/b-2", 0..0).unwrap(), b"");
    for beyond in [0..11, 9..12, 10..11, 20..30, 11..11] {
        let error = get("packs/b-1", beyond.clone()).unwrap_err();
        assert!(
            matches!(error, ReplicaError::Refused { .. }),
            "{beyond:?}: {error}"
        );
    }
    for range in [0..1, 0..0] {
        let missing = ReplicaError::Missing {
            name: "packs/c".to_owned(),
        };
        assert_eq!(get("packs/c", range).unwrap_err(), missing);
    }

    let named = |names: &[(&str, u64)]| {
        Vec::from_iter(names.iter().map(|(name, len)| ((*name).to_owned(), *len)))
    };
    assert_eq!(
        replica.names("").unwrap(),
        named(&[
            ("cp/1.2_3", 1),
            ("packs/a", 1),
            ("packs/b-1", 10),
            ("packs/b-2", 0)
        ])
    );
    assert_eq!(
        replica.names("packs/b").unwrap(),
        named(&[("packs/b-1", 10), ("packs/b-2", 0)])
    );
    assert_eq!(
        replica.names("packs/b-1").unwrap(),
        named(&[("packs/b-1", 10)])
    );
    assert_eq!(replica.names("pa").unwrap().len(), 3);
    assert_eq!(replica.names("none/").unwrap(), []);

    replica.put("large", LARGE, &mut Counting(0)).unwrap();
    let part = (8 << 20) - 5..(8 << 20) + 11;
    let mut expected = vec![0; 16];
    let mut counting = Counting(part.start);
    counting.read_exact(&mut expected).unwrap();
    assert_eq!(get("large", part).unwrap(), expected);
    let whole = get("large", 0..LARGE).unwrap();
    let mut expected = Vec::new();
    Counting(0).take(LARGE).read_to_end(&mut expected).unwrap();
    assert!(whole == expected, "a large blob changed");

    let all = replica.names("").unwrap();
    let mut all: Vec<_> = all.into_iter().map(|(name, _)| name).collect();
    all.push("packs/none".to_owned());
    replica.remove(&all).unwrap();
    assert_eq!(replica.names("").unwrap(), []);
}

/// Blocks of 4096 bytes that differ from their neighbors.
struct Counting(u64);

impl Read for Counting {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = into.len().min(4096 - (self.0 % 4096) as usize);
        into[..len].fill((self.0 / 4096 % 251) as u8);
        self.0 += len as u64;
        Ok(len)
    }
}

#[test]
fn every_call_does_what_the_trait_says() {
    let server = FakeS3::start();
    for prefix in ["", "engine", "a/b-1/c_2.d/"] {
        every_call(&replica_at(&server.url, prefix));
    }
    assert_eq!(server.keys(), [""; 0]);
}

#[test]
fn objects_have_the_documented_keys() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "a/b");
    replica.create(42, b"x").unwrap();
    replica.put("packs/p", 1, &mut repeat(0)).unwrap();
    assert_eq!(
        server.keys(),
        ["jobs/a/b/log/00000000000000000042", "jobs/a/b/packs/p"]
    );
    let scratch = replica.scratch().unwrap().place();
    let random = scratch.strip_prefix("s3://jobs/a/b/probe/").unwrap();
    assert_eq!(random.len(), 32);
}

#[test]
fn only_objects_of_this_replica_are_listed() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "a");
    let sibling = replica_at(&server.url, "a-2");
    sibling.create(1, b"x").unwrap();
    sibling.put("packs/p", 1, &mut repeat(0)).unwrap();
    assert_eq!(replica.numbers(0).unwrap(), [0; 0]);
    assert_eq!(replica.names("").unwrap(), []);
    replica.trim(u64::MAX, &[]).unwrap();
    assert_eq!(sibling.numbers(0).unwrap(), [1]);

    // An object that someone else put there.
    replica_at(&server.url, "")
        .put("a/x/y", 1, &mut repeat(0))
        .unwrap();
    let nested = replica_at(&server.url, "a/log");
    nested.put("note.txt", 1, &mut repeat(0)).unwrap();
    nested
        .put("00000000000000000007/x", 1, &mut repeat(0))
        .unwrap();
    assert_eq!(replica.numbers(0).unwrap(), [0; 0]);
    replica.trim(u64::MAX, &[]).unwrap();
    assert_eq!(nested.names("").unwrap().len(), 2);
}

#[test]
fn lists_are_read_in_pages() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "engine");
    for number in 1..=2345 {
        replica.create(number, b"x").unwrap();
    }
    assert_eq!(replica.numbers(1).unwrap(), Vec::from_iter(1..=2345));
    assert_eq!(server.requests("GET /jobs?").len(), 3);
    let keep = Vec::from_iter((1..=2345).step_by(100));
    replica.trim(2301, &keep).unwrap();
    let left = (1..=2345).filter(|n| *n >= 2301 || keep.contains(n));
    assert_eq!(replica.numbers(0).unwrap(), Vec::from_iter(left));
}

#[test]
fn a_read_waits_for_the_chunk() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "engine");
    assert_eq!(replica.read(1, Duration::from_millis(50)).unwrap(), None);
    let before = server.requests("GET").len();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| replica.read(2, Duration::from_secs(600)).unwrap());
        while server.requests("GET").len() < before + 2 {
            std::thread::yield_now();
        }
        replica.create(2, b"two").unwrap();
        assert_eq!(reader.join().unwrap(), Some(b"two".to_vec()));
    });
}

#[test]
fn a_large_blob_is_read_no_faster_than_it_is_uploaded() {
    let server = FakeS3::start();
    let replica = replica_at(&server.url, "engine");
    // Two parts in flight, and one that is being read.
    let is_bounded = |read: u64| read <= (server.answered_parts() as u64 + 3) * (8 << 20);
    struct Watched<F: Fn(u64) -> bool>(u64, F);
    impl<F: Fn(u64) -> bool> Read for Watched<F> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0 += into.len() as u64;
            assert!((self.1)(self.0), "{} bytes were read ahead", self.0);
            Ok(into.len())
        }
    }
    replica
        .put("large", 100 << 20, &mut Watched(0, is_bounded))
        .unwrap();
    assert_eq!(
        replica.names("").unwrap(),
        [("large".to_owned(), 100 << 20)]
    );
}

#[test]
fn calls_may_come_from_a_runtime_of_the_host() {
    let server = FakeS3::start();
    let url = server.url.clone();
    let host = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    host.block_on(async move {
        let task = tokio::spawn(async move {
            let replica = replica_at(&url, "engine");
            every_call(&replica);
            drop(replica);
        });
        task.await.unwrap();
    });
}

#[test]
fn a_clone_is_the_same_replica() {
    let server = FakeS3::start();
    let replica: S3Replica = replica_at(&server.url, "engine");
    let clone = replica.clone();
    drop(replica);
    assert_eq!(clone.create(1, b"x").unwrap(), Created::Done);
    assert_eq!(format!("{clone:?}"), "S3Replica(s3://jobs/engine)");
}
