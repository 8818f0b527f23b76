use std::collections::BTreeMap;

use super::*;

/// An in-memory backend. The response to the next create may be lost.
#[derive(Default)]
struct Memory {
    chunks: Mutex<BTreeMap<u64, Vec<u8>>>,
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    /// If the response to the next create is lost: whether it takes effect.
    lost: Mutex<Option<bool>>,
}

impl Replica for Memory {
    fn create(&self, number: u64, chunk: &[u8]) -> Result<Created, ReplicaError> {
        let lost = self.lost.lock().take();
        let what = "lost".to_owned();
        if lost == Some(false) {
            return Err(ReplicaError::Unknown { what });
        }
        if let Some(found) = self.chunks.lock().get(&number) {
            return Ok(Created::Taken(found.clone()));
        }
        self.chunks.lock().insert(number, chunk.to_vec());
        match lost {
            Some(_) => Err(ReplicaError::Unknown { what }),
            None => Ok(Created::Done),
        }
    }

    fn read(&self, number: u64, _: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
        Ok(self.chunks.lock().get(&number).cloned())
    }

    fn numbers(&self, from: u64) -> Result<Vec<u64>, ReplicaError> {
        Ok(self.chunks.lock().range(from..).map(|(n, _)| *n).collect())
    }

    fn trim(&self, below: u64, keep: &[u64]) -> Result<(), ReplicaError> {
        let mut chunks = self.chunks.lock();
        chunks.retain(|n, _| *n >= below || keep.contains(n));
        Ok(())
    }

    fn put(&self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), ReplicaError> {
        let mut blob = Vec::new();
        from.read_to_end(&mut blob).unwrap();
        assert_eq!(blob.len() as u64, len);
        assert!(self.blobs.lock().insert(name.to_owned(), blob).is_none());
        Ok(())
    }

    fn get(&self, name: &str, range: Range<u64>, to: &mut dyn Write) -> Result<(), ReplicaError> {
        let blobs = self.blobs.lock();
        let blob = blobs.get(name).ok_or_else(|| ReplicaError::Missing {
            name: name.to_owned(),
        })?;
        let bytes = blob.get(range.start as usize..range.end as usize);
        let what = "range".to_owned();
        let bytes = bytes.ok_or(ReplicaError::Unknown { what })?;
        to.write_all(bytes).unwrap();
        Ok(())
    }

    fn names(&self, prefix: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
        let blobs = self.blobs.lock();
        let names = blobs.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(names
            .map(|(n, blob)| (n.clone(), blob.len() as u64))
            .collect())
    }

    fn remove(&self, names: &[String]) -> Result<(), ReplicaError> {
        self.blobs.lock().retain(|name, _| !names.contains(name));
        Ok(())
    }

    fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
        Ok(Box::<Memory>::default())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

fn pair() -> (Pair, Arc<Memory>, Arc<Memory>) {
    let (log, blobs) = (Arc::<Memory>::default(), Arc::<Memory>::default());
    (Pair::new(log.clone(), blobs.clone()), log, blobs)
}

fn large(byte: u8) -> Vec<u8> {
    vec![byte; MAX_LOG_BYTES + 1]
}

fn blob_count(blobs: &Memory) -> usize {
    blobs.blobs.lock().len()
}

fn unknown<T: fmt::Debug>(result: Result<T, ReplicaError>, text: &str) {
    match result {
        Err(ReplicaError::Unknown { what }) => assert!(what.contains(text), "{what}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn chunks_of_every_size_come_back() {
    let (pair, log, blobs) = pair();
    let imitation = Reference {
        len: 3,
        hash: 1,
        random: 2,
    };
    let chunks = [
        vec![],
        vec![1; MAX_LOG_BYTES],
        large(2),
        imitation.encode(),
        b"JOBSLRGE".to_vec(),
    ];
    for (chunk, number) in chunks.iter().zip(1..) {
        assert_eq!(pair.read(number, Duration::ZERO), Ok(None));
        assert_eq!(pair.create(number, chunk), Ok(Created::Done));
        assert_eq!(pair.read(number, Duration::ZERO), Ok(Some(chunk.clone())));
        let other = pair.create(number, b"other");
        assert_eq!(other, Ok(Created::Taken(chunk.clone())));
        let other = pair.create(number, &large(9));
        assert_eq!(other, Ok(Created::Taken(chunk.clone())));
    }
    assert_eq!(pair.numbers(2), Ok(vec![2, 3, 4, 5]));
    // Those of the losers are gone.
    assert_eq!(blob_count(&blobs), 3);
    assert!(log.chunks.lock().values().all(|c| c.len() <= MAX_LOG_BYTES));
    assert!(log.blobs.lock().is_empty() && blobs.chunks.lock().is_empty());
}

#[test]
fn a_lost_answer_is_settled_without_a_second_blob() {
    for took_effect in [true, false] {
        let (pair, log, blobs) = pair();
        *log.lost.lock() = Some(took_effect);
        unknown(pair.create(1, &large(1)), "lost");
        let settled = match took_effect {
            true => Created::Taken(large(1)),
            false => Created::Done,
        };
        assert_eq!(pair.create(1, &large(1)), Ok(settled));
        assert_eq!(blob_count(&blobs), 1);
        assert_eq!(pair.read(1, Duration::ZERO), Ok(Some(large(1))));
        // The same bytes with another number are another chunk.
        assert_eq!(pair.create(2, &large(1)), Ok(Created::Done));
        assert_eq!(blob_count(&blobs), 2);
    }
}

#[test]
fn blobs_that_no_chunk_will_name_are_trimmed() {
    let (pair, log, blobs) = pair();
    for number in 1..=4 {
        pair.create(number, &large(number as u8)).unwrap();
    }
    pair.create(5, b"claim").unwrap();
    // Writers that stored a blob and died, or came late.
    for number in [1, 2, 3, 5, 6, 7] {
        let reference = Reference {
            len: 1,
            hash: 0,
            random: 77,
        };
        blobs
            .put(&reference.name(number), 1, &mut &b"x"[..])
            .unwrap();
    }
    blobs.put("large/other", 0, &mut std::io::empty()).unwrap();
    pair.trim(6, &[2, 4, 5]).unwrap();
    assert_eq!(log.numbers(0), Ok(vec![2, 4, 5]));
    assert_eq!(pair.read(2, Duration::ZERO), Ok(Some(large(2))));
    assert_eq!(pair.read(4, Duration::ZERO), Ok(Some(large(4))));
    let left: Vec<_> = blobs.blobs.lock().keys().cloned().collect();
    let numbers: Vec<_> = left
        .iter()
        .filter_map(|n| large_chunk::parse_name(n))
        .collect();
    // Numbers 6 and 7 may still be created.
    assert_eq!(
        numbers.iter().map(|n| n.0).collect::<Vec<_>>(),
        [2, 4, 6, 7]
    );
    assert!(left.contains(&"large/other".to_owned()));
}

#[test]
fn a_missing_or_damaged_blob_is_noticed() {
    let (pair, log, blobs) = pair();
    pair.create(1, &large(1)).unwrap();
    let name = blobs.names("").unwrap()[0].0.clone();
    blobs.blobs.lock().get_mut(&name).unwrap()[500] ^= 1;
    unknown(pair.read(1, Duration::ZERO), "is damaged");
    unknown(pair.create(1, b"other"), "is damaged");
    blobs.blobs.lock().get_mut(&name).unwrap().truncate(500);
    unknown(pair.read(1, Duration::ZERO), "range");
    blobs.remove(&[name]).unwrap();
    unknown(pair.read(1, Duration::ZERO), "is missing");
    unknown(pair.create(1, b"other"), "is missing");
    log.chunks.lock().get_mut(&1).unwrap()[20] ^= 1;
    unknown(pair.read(1, Duration::ZERO), "reference");
}

#[test]
fn a_chunk_that_is_trimmed_while_it_is_read_does_not_exist() {
    /// Trims the chunk whose blob is about to be read.
    struct Trimming(Arc<Memory>);
    impl Replica for Trimming {
        fn create(&self, _: u64, _: &[u8]) -> Result<Created, ReplicaError> {
            unreachable!()
        }
        fn read(&self, _: u64, _: Duration) -> Result<Option<Vec<u8>>, ReplicaError> {
            unreachable!()
        }
        fn numbers(&self, _: u64) -> Result<Vec<u64>, ReplicaError> {
            unreachable!()
        }
        fn trim(&self, _: u64, _: &[u64]) -> Result<(), ReplicaError> {
            unreachable!()
        }
        fn put(&self, _: &str, _: u64, _: &mut dyn Read) -> Result<(), ReplicaError> {
            Ok(())
        }
        fn get(&self, name: &str, _: Range<u64>, _: &mut dyn Write) -> Result<(), ReplicaError> {
            self.0.chunks.lock().clear();
            let name = name.to_owned();
            Err(ReplicaError::Missing { name })
        }
        fn names(&self, _: &str) -> Result<Vec<(String, u64)>, ReplicaError> {
            unreachable!()
        }
        fn remove(&self, _: &[String]) -> Result<(), ReplicaError> {
            unreachable!()
        }
        fn scratch(&self) -> Result<Box<dyn Replica>, ReplicaError> {
            unreachable!()
        }
        fn place(&self) -> String {
            String::new()
        }
    }
    let log = Arc::<Memory>::default();
    let pair = Pair::new(log.clone(), Arc::new(Trimming(log)));
    pair.create(1, &large(1)).unwrap();
    assert_eq!(pair.read(1, Duration::ZERO), Ok(None));
}

#[test]
fn the_callers_blobs_and_the_chunks_blobs_are_apart() {
    let (pair, _, blobs) = pair();
    pair.create(1, &large(1)).unwrap();
    pair.put("cp/1", 2, &mut &b"ab"[..]).unwrap();
    let error = pair.put("large/x", 0, &mut std::io::empty()).unwrap_err();
    assert!(matches!(error, ReplicaError::Refused { .. }));
    assert_eq!(pair.names(""), Ok(vec![("cp/1".to_owned(), 2)]));
    let mut bytes = Vec::new();
    pair.get("cp/1", 1..2, &mut bytes).unwrap();
    assert_eq!(bytes, b"b");
    pair.remove(&["cp/1".to_owned()]).unwrap();
    assert_eq!(blob_count(&blobs), 1);
    assert!(pair.scratch().unwrap().numbers(0).unwrap().is_empty());
}

#[test]
fn the_place_of_a_pair_names_both_parts() {
    let [log, blobs] = [(); 2].map(|()| Arc::<Memory>::default());
    assert_eq!(Pair::new(log, blobs).place(), "log=memory,packs=memory");
}
