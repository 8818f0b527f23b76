use std::sync::Mutex;

use super::*;

const NOW: Duration = Duration::ZERO;

fn done(replica: &MemoryReplica, number: u64) {
    assert_eq!(replica.create(number, &[number as u8]), Ok(Created::Done));
}

fn put(replica: &MemoryReplica, name: &str) -> Result<(), ReplicaError> {
    replica.put(name, 5, &mut &b"bytes"[..])
}

fn is_unknown<T>(result: Result<T, ReplicaError>) -> bool {
    matches!(result, Err(ReplicaError::Unknown { .. }))
}

// These are no calls, which could let late requests take effect.
fn numbers(replica: &MemoryReplica) -> Vec<u64> {
    let numbers = |objects: &mut Objects| objects.chunks.keys().copied().collect();
    replica.place.modify(numbers)
}

fn names(replica: &MemoryReplica) -> Vec<String> {
    let names = |objects: &mut Objects| objects.blobs.keys().cloned().collect();
    replica.place.modify(names)
}

fn lost_request() -> Faults {
    Faults {
        lost_request: 1.0,
        ..Faults::default()
    }
}

fn lost_response() -> Faults {
    Faults {
        lost_response: 1.0,
        ..Faults::default()
    }
}

fn late() -> Faults {
    Faults {
        late_request: 1.0,
        ..Faults::default()
    }
}

fn repeated() -> Faults {
    Faults {
        repeated_request: 1.0,
        ..Faults::default()
    }
}

#[test]
fn clones_share_contents_and_scratch_has_its_own() {
    let replica = MemoryReplica::default();
    let clone = replica.clone();
    done(&replica, 1);
    assert_eq!(clone.create(1, b"other"), Ok(Created::Taken(vec![1])));
    assert_eq!(clone.read(1, NOW), Ok(Some(vec![1])));
    let scratch = replica.scratch().unwrap();
    assert_eq!(scratch.numbers(0), Ok(Vec::new()));
    assert_eq!(scratch.create(1, b"own"), Ok(Created::Done));
    assert_eq!(clone.read(1, NOW), Ok(Some(vec![1])));
    replica.set_faults(lost_request());
    assert!(is_unknown(scratch.numbers(0)));
    assert_eq!(format!("{clone:?}"), "MemoryReplica(1 chunks, 0 blobs)");
}

#[test]
fn a_read_waits_for_a_chunk() {
    let replica = MemoryReplica::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| replica.read(1, Duration::MAX));
        done(&replica, 1);
        assert_eq!(reader.join().unwrap(), Ok(Some(vec![1])));
    });
    assert_eq!(replica.read(2, Duration::from_millis(1)), Ok(None));
    replica.set_delay(|_| {});
    assert_eq!(replica.read(2, Duration::MAX), Ok(None));
}

#[test]
fn a_put_reads_as_many_bytes_as_announced() {
    let replica = MemoryReplica::default();
    assert!(is_unknown(replica.put("short", 6, &mut &b"bytes"[..])));
    assert_eq!(replica.put("long", 4, &mut &b"bytes"[..]), Ok(()));
    assert_eq!(replica.names(""), Ok(vec![("long".to_owned(), 4)]));
    let beyond = replica.get("long", 2..5, &mut Vec::new());
    assert!(matches!(beyond, Err(ReplicaError::Refused { .. })));
    #[allow(clippy::reversed_empty_ranges)]
    let reversed = replica.get("long", 3..2, &mut Vec::new());
    assert!(matches!(reversed, Err(ReplicaError::Refused { .. })));
    let absent = replica.get("absent", 0..0, &mut Vec::new());
    assert!(matches!(absent, Err(ReplicaError::Missing { .. })));
}

#[test]
fn a_lost_request_has_no_effect_and_a_lost_response_has_one() {
    for (faults, has_effect) in [(lost_request(), false), (lost_response(), true)] {
        let replica = MemoryReplica::default();
        replica.set_faults(faults);
        assert!(is_unknown(replica.create(1, b"chunk")));
        assert!(is_unknown(put(&replica, "blob")));
        assert_eq!(numbers(&replica), [1][..usize::from(has_effect)]);
        assert_eq!(names(&replica).len(), usize::from(has_effect));
        assert_eq!(replica.deliver_late(), 0);

        let mut received = Vec::new();
        replica.set_faults(Faults::default());
        put(&replica, "blob").unwrap();
        replica.set_faults(faults);
        assert!(is_unknown(replica.read(1, NOW)));
        assert!(is_unknown(replica.names("")));
        assert!(is_unknown(replica.get("blob", 0..5, &mut received)));
        assert!(is_unknown(replica.get("absent", 0..5, &mut received)));
        assert!(b"bytes".starts_with(&received) && received.len() < 5);
    }
}

#[test]
fn late_requests_take_effect_late() {
    let replica = MemoryReplica::default();
    (1..=4).for_each(|number| done(&replica, number));
    put(&replica, "old").unwrap();
    replica.set_faults(late());

    assert!(is_unknown(replica.create(5, b"late")));
    assert_eq!(numbers(&replica), [1, 2, 3, 4]);
    assert_eq!(replica.deliver_late(), 1);
    assert_eq!(numbers(&replica), [1, 2, 3, 4, 5]);

    assert!(is_unknown(put(&replica, "new")));
    assert_eq!(names(&replica), ["old"]);
    assert_eq!(replica.deliver_late(), 1);
    assert_eq!(names(&replica), ["new", "old"]);

    assert!(is_unknown(replica.trim(5, &[2])));
    assert!(numbers(&replica).len() > 2);
    assert_eq!(replica.deliver_late(), 1);
    assert_eq!(numbers(&replica), [2, 5]);

    assert!(is_unknown(replica.remove(&["old".to_owned()])));
    assert_eq!(replica.deliver_late(), 1);
    assert_eq!(names(&replica), ["new"]);
}

#[test]
fn a_late_create_never_overwrites() {
    let mut results = Vec::new();
    for seed in 0..20 {
        let replica = MemoryReplica::default();
        replica.set_faults(Faults { seed, ..late() });
        assert!(is_unknown(replica.create(1, b"late")));
        replica.set_faults(Faults::default());
        let result = replica.create(1, b"timely").unwrap();
        replica.deliver_late();
        let expected = match &result {
            Created::Done => b"timely".to_vec(),
            Created::Taken(found) => found.clone(),
        };
        assert_eq!(replica.read(1, NOW), Ok(Some(expected)));
        results.push(result);
    }
    assert!(results.contains(&Created::Done));
    assert!(results.contains(&Created::Taken(b"late".to_vec())));
}

#[test]
fn a_chunk_can_arrive_after_its_number_was_trimmed() {
    let replica = MemoryReplica::default();
    done(&replica, 1);
    let chunk = Arc::from(&b"late"[..]);
    let change = Change::Create { number: 1, chunk };
    replica.network.postpone(replica.place.clone(), change);
    replica.place.change(Change::Trim {
        below: 2,
        keep: Vec::new(),
    });
    assert_eq!(replica.deliver_late(), 1);
    assert_eq!(replica.read(1, NOW), Ok(Some(b"late".to_vec())));
}

#[test]
fn late_requests_arrive_by_themselves() {
    let replica = MemoryReplica::default();
    replica.set_faults(late());
    for number in 0..100 {
        assert!(is_unknown(replica.create(number, b"late")));
    }
    let mut counts = Vec::new();
    replica.set_faults(Faults::default());
    for _ in 0..1100 {
        counts.push(replica.numbers(0).unwrap().len());
    }
    assert!((1..100).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts.last(), Some(&100));
    assert_eq!(replica.deliver_late(), 0);
}

#[test]
fn a_trim_or_removal_without_a_response_can_be_partial() {
    let (mut lens, mut name_lens) = (Vec::new(), Vec::new());
    for seed in 0..50 {
        let replica = MemoryReplica::default();
        (0..4).for_each(|number| done(&replica, number));
        let blobs = ["a", "b", "c"].map(str::to_owned);
        blobs.iter().for_each(|name| put(&replica, name).unwrap());
        replica.set_faults(Faults {
            seed,
            ..lost_request()
        });
        assert!(is_unknown(replica.trim(3, &[0])));
        assert!(is_unknown(replica.remove(&blobs)));
        lens.push(numbers(&replica).len());
        name_lens.push(names(&replica).len());
    }
    for len in [2, 3, 4] {
        assert!(lens.contains(&len), "{lens:?}");
    }
    for len in [0, 1, 2, 3] {
        assert!(name_lens.contains(&len), "{name_lens:?}");
    }
}

#[test]
fn a_repeated_create_finds_its_own_chunk() {
    let replica = MemoryReplica::default();
    replica.set_faults(repeated());
    let taken = Created::Taken(b"chunk".to_vec());
    assert_eq!(replica.create(1, b"chunk"), Ok(taken));
    assert_eq!(put(&replica, "blob"), Ok(()));
    assert_eq!(replica.read(1, NOW), Ok(Some(b"chunk".to_vec())));
    assert_eq!(names(&replica), ["blob"]);
}

#[test]
fn a_failure_affects_all_calls_until_it_ends() {
    let replica = MemoryReplica::default();
    let what = "access denied".to_owned();
    let failure = ReplicaError::Refused { what };
    replica.set_failure(Some(failure.clone()));
    let mut bytes = Vec::new();
    assert_eq!(replica.create(1, b"chunk"), Err(failure.clone()));
    assert_eq!(replica.read(1, NOW), Err(failure.clone()));
    assert_eq!(replica.numbers(0), Err(failure.clone()));
    assert_eq!(replica.trim(1, &[]), Err(failure.clone()));
    assert_eq!(put(&replica, "blob"), Err(failure.clone()));
    assert_eq!(replica.get("blob", 0..1, &mut bytes), Err(failure.clone()));
    assert_eq!(replica.names(""), Err(failure.clone()));
    assert_eq!(replica.remove(&[]), Err(failure));
    replica.set_failure(None);
    assert_eq!((numbers(&replica), names(&replica)), (vec![], vec![]));
}

#[test]
fn chunks_and_blobs_can_be_lost() {
    let replica = MemoryReplica::default();
    (1..=5).for_each(|number| done(&replica, number));
    put(&replica, "blob").unwrap();
    replica.lose_last_chunks(2);
    assert_eq!(numbers(&replica), [1, 2, 3]);
    replica.set_faults(late());
    assert!(is_unknown(put(&replica, "late")));
    replica.wipe();
    assert_eq!(replica.deliver_late(), 0);
    assert_eq!((numbers(&replica), names(&replica)), (vec![], vec![]));
}

#[test]
fn calls_are_counted_and_delayed() {
    let replica = MemoryReplica::default();
    let delays = Arc::new(Mutex::new(Vec::new()));
    let sink = delays.clone();
    let clone = replica.clone();
    replica.set_delay(move |call| {
        // A delay may call the replica's methods.
        assert!(clone.traffic(call).calls < 100);
        sink.lock().unwrap().push(call);
    });
    done(&replica, 1);
    assert_eq!(replica.create(1, b"more"), Ok(Created::Taken(vec![1])));
    replica.read(1, NOW).unwrap();
    put(&replica, "blob").unwrap();
    replica.get("blob", 1..4, &mut Vec::new()).unwrap();
    replica.set_faults(lost_request());
    assert!(is_unknown(replica.numbers(0)));
    let traffic = |call| {
        let found = replica.traffic(call);
        (found.calls, found.bytes_sent, found.bytes_received)
    };
    assert_eq!(traffic(Call::Create), (2, 5, 1));
    assert_eq!(traffic(Call::Read), (1, 0, 1));
    assert_eq!(traffic(Call::Put), (1, 5, 0));
    assert_eq!(traffic(Call::Get), (1, 0, 3));
    assert_eq!(traffic(Call::Numbers), (1, 0, 0));
    assert_eq!(traffic(Call::Trim), (0, 0, 0));
    let delays = delays.lock().unwrap();
    assert_eq!(delays[..4], [Call::Create; 4]);
    assert_eq!(delays.len(), 12);
}

#[test]
fn the_seed_determines_the_faults() {
    let run = |seed| {
        let replica = MemoryReplica::default();
        replica.set_faults(Faults {
            seed,
            lost_request: 0.2,
            lost_response: 0.2,
            late_request: 0.2,
            repeated_request: 0.2,
        });
        let results: Vec<_> = (0..100)
            .map(|n| replica.create(n % 40, &[n as u8]))
            .collect();
        (results, numbers(&replica))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let (results, _) = run(3);
    let unknown = results.into_iter().filter(Result::is_err).count();
    assert!((40..80).contains(&unknown), "{unknown}");
}
