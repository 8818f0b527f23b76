//! Claims the log of a replica, and determines what it contains.
//!
//! The claim comes first and stops other writers from appending; only then is the log read, up to
//! the claim. In the reverse order, a write that is acknowledged in between would be lost.

use std::time::Duration;

use crate::base::sync::time::Instant;
use crate::model::error::{Error, Result};
use crate::model::replica::TakeOver;
use crate::model::store_id::StoreId;
use crate::replica::at_once::at_once;
use crate::replica::calls::{Calls, payload, sleep};
use crate::replica::checkpoint::{Checkpoint, CheckpointName, PACKS, PARTS};
use crate::replica::chunk::{ChunkHeader, Content, Writer};
use crate::replica::holder::Holder;
use crate::replica::owner;

/// How many times the log is claimed again because another writer trimmed it meanwhile.
const TRIES: usize = 16;
/// How many numbers are claimed at once if the number of a claim is taken again and again.
const CLAIMS_MAX: u64 = 16;
/// How often a claimant checks whether the log is growing.
const QUIET_CHECK: Duration = Duration::from_millis(250);

/// Who claims a log, and under which conditions.
pub(crate) struct Claimant {
    /// The store in the claimant's directory, if there is one.
    pub(crate) store: Option<StoreId>,
    /// The id of the store if the log is empty.
    pub(crate) new_store: StoreId,
    pub(crate) reign: u128,
    pub(crate) holder: Holder,
    pub(crate) take_over: TakeOver,
}

/// What a log contains before a certain chunk.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    /// Replaces the chunks up to its number.
    pub(crate) base: Option<Checkpoint>,
    /// The number of the chunk after the last one.
    pub(crate) end: u64,
    /// The LSN after the last event; 1 if there is none.
    pub(crate) end_lsn: u64,
    /// All claims before the end, in order.
    pub(crate) claims: Vec<u64>,
    /// The epoch of the last segment in the log, and where it ends; 0 if there is none.
    pub(crate) last: (u64, u64),
    /// The reign that wrote the last event; `None` if unknown.
    pub(crate) last_reign: Option<u128>,
    /// The text of `SECRET-KEYS`, if the store has that file.
    pub(crate) secret_keys: Option<String>,
}

impl Contents {
    /// The numbers of the chunks that the checkpoint does not replace.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.base.as_ref().map_or(1, |base| base.through + 1)..self.end
    }

    /// Whether no writer has stored anything but claims, so that nothing was acknowledged.
    pub(crate) fn is_unused(&self) -> bool {
        self.base.is_none() && self.end_lsn == 1
    }
}

/// A claimed log.
pub(crate) struct Claimed {
    pub(crate) writer: Writer,
    pub(crate) contents: Contents,
}

/// The number of the last chunk that a checkpoint replaces; 0 if there is none.
fn replaced(calls: &Calls<'_>) -> Result<u64> {
    let checkpoints = Checkpoint::list(calls)?;
    Ok(checkpoints.first().map_or(0, |(name, _)| name.through))
}

/// The number of the last chunk, or of the last one that a checkpoint replaces; 0 if there is none.
fn last(calls: &Calls<'_>) -> Result<u64> {
    let through = replaced(calls)?;
    let numbers = calls.repeat(|replica| replica.numbers(through.max(1)))?;
    Ok(numbers.last().copied().unwrap_or(0).max(through))
}

/// Returns the store that a replica belongs to; `None` if the replica is empty.
///
/// The first chunk of a log is a claim, and claims are never removed. If it is corrupt, any other
/// chunk will do. It may be missing, too, if the log is going to be replaced.
pub(crate) fn store_of(calls: &Calls<'_>, is_reseeding: bool) -> Result<Option<StoreId>> {
    let problem = match store_in(calls, 1) {
        Ok(Some(found)) => return Ok(Some(found)),
        Ok(None) => None,
        Err(error @ Error::ReplicaDamaged { .. }) => Some(error),
        Err(error) => return Err(error),
    };
    let numbers = calls.repeat(|replica| replica.numbers(1))?;
    if numbers.first() == Some(&1) || is_reseeding {
        for &number in &numbers {
            match store_in(calls, number) {
                Ok(None) | Err(Error::ReplicaDamaged { .. }) => {}
                found => return found,
            }
        }
    }
    if let Some(problem) = problem {
        return Err(problem);
    }
    let owner = owner::read(calls)?;
    if is_reseeding {
        return Ok(owner);
    }
    if numbers.is_empty() && owner.is_none() && replaced(calls)? == 0 {
        return Ok(None);
    }
    // Another store may have begun the log meanwhile.
    if let Some(found) = store_in(calls, 1)? {
        return Ok(Some(found));
    }
    Err(match owner.filter(|_| numbers.is_empty()) {
        None => calls.damaged("chunk 1 is missing, although later chunks exist"),
        Some(owner) => calls.damaged(&format!(
            "it has blobs of store {:032x}, but no log; if the log is elsewhere, the URL is \
             log=LOG-URL,packs=URL",
            owner.0
        )),
    })
}

fn store_in(calls: &Calls<'_>, number: u64) -> Result<Option<StoreId>> {
    let chunk = calls.chunk(number)?;
    Ok(chunk.map(|(header, _)| header.writer.store))
}

/// Checks, before anything is written, that the log may be claimed. It may be corrupt if it is going
/// to be replaced.
fn check_before(calls: &Calls<'_>, claimant: &Claimant, is_reseeding: bool) -> Result<()> {
    let Some(found) = store_of(calls, is_reseeding)? else {
        return Ok(());
    };
    check_store(calls, claimant, found)?;
    owner::check(calls, found, true)?;
    let last = last(calls)?;
    // Refuses a newer format, too.
    let header = match calls.chunk(last) {
        Err(Error::ReplicaDamaged { .. }) if is_reseeding => None,
        chunk => chunk?.map(|(header, _)| header),
    };
    if let TakeOver::IfQuiet(time) = claimant.take_over {
        wait_for_quiet(calls, last, time)?;
    }
    tracing::debug!(last, ?header, "claiming a replica's log");
    Ok(())
}

fn check_store(calls: &Calls<'_>, claimant: &Claimant, found: StoreId) -> Result<()> {
    match claimant.store.filter(|&expected| expected != found) {
        None => Ok(()),
        Some(expected) => Err(Error::ReplicaOfOtherStore {
            place: calls.replica.place(),
            found: found.0,
            expected: expected.0,
        }),
    }
}

/// Returns once the log has not grown for this time.
fn wait_for_quiet(calls: &Calls<'_>, last: u64, time: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        if let Some((header, _)) = calls.chunk(last + 1)? {
            let holder = holder(calls, &header)?;
            return Err(Error::ReplicaInUse {
                place: calls.replica.place(),
                by: holder.to_string().into(),
                since: holder.since(),
            });
        }
        let left = time.saturating_sub(Instant::now().saturating_duration_since(begun));
        if left.is_zero() {
            return Ok(());
        }
        sleep(QUIET_CHECK.min(left));
    }
}

/// Who wrote a chunk.
pub(crate) fn holder(calls: &Calls<'_>, header: &ChunkHeader) -> Result<Holder> {
    let claim = calls.chunk(header.writer.claim)?;
    let text = claim.as_ref().map_or(&[][..], |(_, chunk)| payload(chunk));
    Ok(Holder::parse(text))
}

/// The number of the chunk after the last one.
pub(crate) fn end(calls: &Calls<'_>) -> Result<u64> {
    Ok(last(calls)? + 1)
}

/// Claims a log, then reads what is in it. If the contents are going to be replaced
/// (`is_reseeding`), only the claims are read.
pub(crate) fn claim(calls: &Calls<'_>, claimant: &Claimant, is_reseeding: bool) -> Result<Claimed> {
    check_before(calls, claimant, is_reseeding)?;
    let mut problem = None;
    for _ in 0..TRIES {
        let writer = make_claim(calls, claimant, is_reseeding)?;
        let contents = match is_reseeding {
            // The number is that of a chunk that was removed since, so no writer would meet it.
            true if replaced(calls)? >= writer.claim => Ok(None),
            true => replaced_contents(calls, writer.claim).map(Some),
            false => contents(calls, writer.store, writer.claim),
        };
        match contents {
            Ok(Some(contents)) => {
                if is_reseeding || contents.is_unused() {
                    owner::record(calls, writer.store)?;
                }
                return Ok(Claimed { writer, contents });
            }
            // Another writer has claimed and trimmed the log since.
            Ok(None) => {}
            // What is missing may have been replaced since.
            Err(error @ Error::ReplicaDamaged { .. }) => problem = Some(error),
            Err(error) => return Err(error),
        }
        sleep(QUIET_CHECK);
    }
    let contended = "other processes keep taking it over; stop all engines but one, and retry";
    Err(problem.unwrap_or_else(|| calls.unavailable(contended)))
}

/// Creates a claim after the last chunk.
fn make_claim(calls: &Calls<'_>, claimant: &Claimant, is_reseeding: bool) -> Result<Writer> {
    let mut number = end(calls)?;
    // A log that was empty before may belong to another store by now.
    let found = match number {
        1 => None,
        _ => store_of(calls, is_reseeding)?,
    };
    let mut store = match found {
        Some(found) => found,
        None => claimant.store.unwrap_or(claimant.new_store),
    };
    check_store(calls, claimant, store)?;
    if number > 1 && is_reseeding {
        // It may be missing.
        create_claim(calls, claimant, store, 1)?;
    }
    if number == 1 {
        if let Some(there) = create_claim(calls, claimant, store, 1)? {
            // Another store was the first, so the log belongs to that store.
            store = calls.parse(1, &there)?.writer.store;
            check_store(calls, claimant, store)?;
            number = end(calls)?;
        }
    }
    let mut count = 1;
    let claim = loop {
        // A writer that is faster than this claimant takes one number after the other, so several
        // are claimed at once.
        let numbers: Vec<u64> = (number..number + count).collect();
        let taken = at_once(&numbers, |&n| create_claim(calls, claimant, store, n));
        let taken: Vec<Option<Vec<u8>>> = taken.into_iter().collect::<Result<_>>()?;
        if let Some(last) = taken.iter().rposition(Option::is_none) {
            break numbers[last];
        }
        number = end(calls)?;
        count = (4 * count).min(CLAIMS_MAX);
    };
    fill_gaps(calls, claimant, store, claim)?;
    Ok(Writer {
        store,
        reign: claimant.reign,
        claim,
    })
}

/// Creates the claim with this number. Returns the chunk that has the number instead, if it is
/// another one.
fn create_claim(
    calls: &Calls<'_>,
    claimant: &Claimant,
    store: StoreId,
    number: u64,
) -> Result<Option<Vec<u8>>> {
    let header = ChunkHeader {
        number,
        writer: Writer {
            store,
            reign: claimant.reign,
            claim: number,
        },
        content: Content::Claim,
    };
    let chunk = header.chunk(claimant.holder.text().as_bytes());
    calls.create(number, &chunk)
}

/// Creates a claim for each number before this one that does not exist, because a claimant that
/// claimed several numbers at once was killed. If a writer is faster, the number is an ordinary
/// chunk.
///
/// The next chunk after such a number is a claim. What is missing before any other chunk was lost by
/// the backend: a claim there would hide the loss.
fn fill_gaps(calls: &Calls<'_>, claimant: &Claimant, store: StoreId, end: u64) -> Result<()> {
    loop {
        let through = replaced(calls)?;
        let numbers = calls.repeat(|replica| replica.numbers(through + 1))?;
        // Chunks that were removed before they were listed are replaced by a checkpoint that exists
        // now.
        let through = replaced(calls)?;
        let first = through + 1;
        let (mut missing, mut expected) = (Vec::new(), first);
        for &number in numbers.iter().filter(|n| (first..=end).contains(n)) {
            let gap = expected..number;
            if !gap.is_empty() && is_claim(calls, number)? {
                missing.extend(gap);
            }
            expected = number + 1;
        }
        if missing.is_empty() {
            return Ok(());
        }
        let filled = at_once(&missing, |&number| {
            create_claim(calls, claimant, store, number)
        });
        for filled in filled {
            filled?;
        }
    }
}

/// Whether this chunk is a claim. A corrupt one is not, because it is not known what it was.
fn is_claim(calls: &Calls<'_>, number: u64) -> Result<bool> {
    let chunk = calls.repeat(|replica| replica.read(number, Duration::ZERO))?;
    let header = chunk.and_then(|chunk| ChunkHeader::parse(number, &chunk).ok());
    Ok(header.is_some_and(|header| header.content == Content::Claim))
}

/// Returns an error if another writer has claimed the log since, before this one appended anything.
pub(crate) fn check_deposed(calls: &Calls<'_>, writer: &Writer) -> Result<()> {
    // If this number belongs to another writer, it is the number of a claim, which is never removed.
    let next = calls.chunk(writer.claim + 1)?;
    match next.filter(|(header, _)| header.writer.reign != writer.reign) {
        None => Ok(()),
        Some((header, _)) => {
            let holder = holder(calls, &header)?;
            Err(Error::Deposed {
                by: holder.to_string().into(),
                since: holder.since(),
            })
        }
    }
}

/// Reads what the log of this store contains before chunk `end`. Returns `None` if it was trimmed
/// beyond that, or if another checkpoint was stored meanwhile.
pub(crate) fn contents(calls: &Calls<'_>, store: StoreId, end: u64) -> Result<Option<Contents>> {
    let checkpoints = Checkpoint::list(calls)?;
    if checkpoints
        .first()
        .is_some_and(|(newest, _)| newest.through >= end)
    {
        return Ok(None);
    }
    let base = newest_whole(calls, &checkpoints)?;
    let first = base.as_ref().map_or(1, |base| base.through + 1);
    let numbers = calls.repeat(|replica| replica.numbers(first))?;
    let there = numbers.partition_point(|&number| number < end) as u64;
    if first + there != end {
        let mut expected = first..;
        let missing = numbers.iter().find(|&&n| expected.next() != Some(n));
        let before = missing.map_or(end, |&n| n);
        return Err(calls.damaged(&format!("a chunk before chunk {before} is missing")));
    }
    let mut found = Contents {
        end_lsn: base.as_ref().map_or(1, |base| base.end_lsn),
        claims: base
            .as_ref()
            .map_or_else(Vec::new, |base| base.claims.clone()),
        last: base
            .as_ref()
            .and_then(|base| base.parts.last())
            .map_or((0, 0), |part| (part.epoch, part.to)),
        // A reign makes checkpoints only after it has written an event.
        last_reign: base.as_ref().map(|base| base.reign),
        secret_keys: base.as_ref().and_then(|base| base.secret_keys.clone()),
        base,
        end,
    };
    scan_back(calls, &mut found, first)?;
    owner::check(calls, store, found.is_unused())?;
    // If chunks were removed meanwhile, a delayed claim request may have created a chunk under the
    // number of a removed one.
    let is_unchanged = Checkpoint::list(calls)?.first() == checkpoints.first();
    Ok(is_unchanged.then_some(found))
}

/// The contents of a log that may be damaged, and is going to be replaced: only its claims.
fn replaced_contents(calls: &Calls<'_>, end: u64) -> Result<Contents> {
    let mut claims = Vec::new();
    for number in calls.repeat(|replica| replica.numbers(1))? {
        let chunk = calls.repeat(|replica| replica.read(number, Duration::ZERO))?;
        let header = chunk.map(|chunk| ChunkHeader::parse(number, &chunk));
        // What cannot be read may be a claim, which is never removed.
        let is_other = matches!(header, Some(Ok(header)) if header.content != Content::Claim);
        if number < end && !is_other {
            claims.push(number);
        }
    }
    Ok(Contents {
        base: None,
        end,
        end_lsn: 1,
        claims,
        last: (0, 0),
        last_reign: None,
        secret_keys: None,
    })
}

/// Scans the chunks backward: finds the last event, all claims, and the last record of the secret
/// keys. Of each reign, only a few chunks are read.
fn scan_back(calls: &Calls<'_>, found: &mut Contents, first: u64) -> Result<()> {
    let (mut number, mut claims) = (found.end - 1, Vec::new());
    let (mut has_frames, mut has_keys) = (false, false);
    while number >= first {
        let (header, chunk) = existing_chunk(calls, number)?;
        if let (
            Content::Frames {
                end_lsn,
                epoch,
                offset,
                ..
            },
            false,
        ) = (header.content, has_frames)
        {
            let end = offset + payload(&chunk).len() as u64;
            (found.end_lsn, found.last, has_frames) = (end_lsn, (epoch, end), true);
            found.last_reign = Some(header.writer.reign);
        }
        let claim = header.writer.claim;
        if !has_frames && number > claim + 1 {
            number -= 1;
            continue;
        }
        // A reign records the secret keys right after its claim, if they have changed.
        let keys_at = claim + 1;
        if !has_keys && (first..found.end).contains(&keys_at) {
            let (header, chunk) = existing_chunk(calls, keys_at)?;
            if header.content == Content::SecretKeys {
                let keys = String::from_utf8_lossy(payload(&chunk)).into_owned();
                (found.secret_keys, has_keys) = (Some(keys), true);
            }
        }
        if claim >= first {
            claims.push(claim);
        }
        number = claim.saturating_sub(1);
    }
    claims.reverse();
    found.claims.extend(claims);
    Ok(())
}

/// Returns a chunk that must exist.
pub(crate) fn existing_chunk(calls: &Calls<'_>, number: u64) -> Result<(ChunkHeader, Vec<u8>)> {
    let chunk = calls.chunk(number)?;
    chunk.ok_or_else(|| missing_chunk(calls, number))
}

/// The error for a chunk that must exist, but does not.
pub(crate) fn missing_chunk(calls: &Calls<'_>, number: u64) -> Error {
    calls.damaged(&format!("chunk {number} is missing"))
}

/// Whether a checkpoint belongs to the log. If the writer of one that replaces the log was deposed
/// before it created another chunk, its successor has continued the log as it was.
fn is_in_effect(calls: &Calls<'_>, checkpoint: &Checkpoint) -> Result<bool> {
    if !checkpoint.reseeds {
        return Ok(true);
    }
    let next = calls.chunk(checkpoint.through + 1)?;
    Ok(next.is_some_and(|(header, _)| header.writer.reign == checkpoint.reign))
}

/// The newest checkpoint whose blobs all exist. A newer one may lack some if its writer was deposed
/// before it could announce the checkpoint.
fn newest_whole(
    calls: &Calls<'_>,
    checkpoints: &[(CheckpointName, u64)],
) -> Result<Option<Checkpoint>> {
    if checkpoints.is_empty() {
        return Ok(None);
    }
    let mut incomplete = None;
    let mut blobs = calls.repeat(|replica| replica.names(PACKS))?;
    blobs.extend(calls.repeat(|replica| replica.names(PARTS))?);
    blobs.sort_unstable();
    let is_there = |(name, len): (&str, u64)| {
        let at = blobs.binary_search_by(|(there, _)| there.as_str().cmp(name));
        at.is_ok_and(|at| blobs[at].1 == len)
    };
    for (name, len) in checkpoints {
        let checkpoint = Checkpoint::read(calls, name, *len)?;
        match checkpoint.filter(|c| c.blobs().all(is_there)) {
            None => drop(incomplete.get_or_insert(name)),
            Some(checkpoint) if is_in_effect(calls, &checkpoint)? => return Ok(Some(checkpoint)),
            Some(_) => {}
        }
    }
    match incomplete {
        None => Ok(None),
        Some(name) => {
            let name = name.name();
            let what = format!("checkpoint {name}: a blob that it needs is missing");
            Err(calls.damaged(&what))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::model::replica::{Created, Replica};
    use crate::replica::memory::Call;
    use crate::replica::{MemoryReplica, Pair};

    fn claimant(reign: u128) -> Claimant {
        Claimant {
            store: None,
            new_store: StoreId(7),
            reign,
            holder: Holder::here(0),
            take_over: TakeOver::Now,
        }
    }

    fn calls(replica: &MemoryReplica) -> Calls<'_> {
        Calls {
            replica,
            timeout: Duration::ZERO,
            stop: None,
        }
    }

    /// Stores a checkpoint without packs or parts.
    fn store(replica: &MemoryReplica, writer: &Writer, through: u64, reseeds: bool) -> Checkpoint {
        let checkpoint = Checkpoint {
            store: writer.store,
            reign: writer.reign,
            through,
            serial: 1,
            end_lsn: 9,
            packs: Vec::new(),
            parts: Vec::new(),
            claims: vec![1],
            secret_keys: None,
            reseeds,
        };
        let text = checkpoint.text();
        let name = checkpoint.name().name();
        let stored = replica.put(&name, text.len() as u64, &mut text.as_bytes());
        stored.unwrap();
        checkpoint
    }

    #[test]
    fn a_reseed_claims_a_number_that_every_other_writer_meets() {
        let replica = MemoryReplica::default();
        let calls = calls(&replica);
        let first = claim(&calls, &claimant(1), false).unwrap().writer;
        // Before the claim is created, the other writer appends and removes 99 chunks.
        let (other, is_stored) = (replica.clone(), AtomicBool::new(false));
        replica.set_delay(move |call| {
            if call == Call::Create && !is_stored.swap(true, Ordering::Relaxed) {
                store(&other, &first, 100, false);
            }
        });
        let second = claim(&calls, &claimant(2), true).unwrap().writer;
        assert_eq!(second.claim, 101);
    }

    #[test]
    fn a_chunk_that_the_backend_lost_is_not_replaced_by_a_claim() {
        let replica = MemoryReplica::default();
        let writer = claim(&calls(&replica), &claimant(1), false).unwrap().writer;
        // Chunk 2 was lost. Numbers 4 to 6 were claimed by a claimant that was killed before it
        // created the first two.
        let other = ChunkHeader {
            number: 3,
            writer,
            content: Content::SecretKeys,
        };
        replica.create(3, &other.chunk(b"")).unwrap();
        create_claim(&calls(&replica), &claimant(2), writer.store, 6).unwrap();
        let claimed = claim(&calls(&replica), &claimant(3), false);
        assert!(matches!(claimed, Err(Error::ReplicaDamaged { .. })));
        let numbers = replica.numbers(1).unwrap();
        let expected = [&[1][..], &(3..6 + TRIES as u64 + 1).collect::<Vec<_>>()].concat();
        assert_eq!(numbers, expected);
    }

    #[test]
    fn a_log_whose_first_and_last_chunks_are_corrupt_can_be_replaced() {
        let replica = MemoryReplica::default();
        let store = StoreId(7);
        replica.create(1, b"corrupt").unwrap();
        create_claim(&calls(&replica), &claimant(1), store, 2).unwrap();
        replica.create(3, b"corrupt").unwrap();
        let claimed = claim(&calls(&replica), &claimant(2), false);
        assert!(matches!(claimed, Err(Error::ReplicaDamaged { .. })));
        assert_eq!(replica.numbers(1).unwrap(), [1, 2, 3]);
        let other = Claimant {
            store: Some(StoreId(8)),
            ..claimant(2)
        };
        let claimed = claim(&calls(&replica), &other, true);
        assert!(matches!(claimed, Err(Error::ReplicaOfOtherStore { .. })));
        assert_eq!(replica.numbers(1).unwrap(), [1, 2, 3]);
        let claimed = claim(&calls(&replica), &claimant(2), true).unwrap();
        assert_eq!(claimed.writer.store, store);
        assert_eq!(claimed.contents.claims, [1, 2, 3]);
    }

    #[test]
    fn a_log_without_its_first_chunk_can_be_replaced() {
        let replica = MemoryReplica::default();
        let store = StoreId(7);
        create_claim(&calls(&replica), &claimant(1), store, 2).unwrap();
        let claimed = claim(&calls(&replica), &claimant(2), false);
        assert!(matches!(claimed, Err(Error::ReplicaDamaged { .. })));
        assert_eq!(replica.numbers(1).unwrap(), [2]);
        let claimed = claim(&calls(&replica), &claimant(2), true).unwrap();
        assert_eq!(claimed.contents.claims, [1, 2]);
        assert_eq!(store_of(&calls(&replica), false).unwrap(), Some(store));
    }

    #[test]
    fn a_log_is_not_combined_with_the_blobs_of_another() {
        let [first, second] = [1, 2].map(|store| Claimant {
            new_store: StoreId(store),
            ..claimant(store)
        });
        let replicas = [(); 3].map(|()| MemoryReplica::default());
        let [log, blobs, other] = replicas.each_ref().map(|replica| Arc::new(replica.clone()));
        let pair = |log: &Arc<MemoryReplica>, blobs: &Arc<MemoryReplica>| {
            Pair::new(log.clone(), blobs.clone())
        };
        let try_claim = |replica: &dyn Replica, claimant: &Claimant, is_reseeding| {
            let calls = Calls {
                replica,
                timeout: Duration::ZERO,
                stop: None,
            };
            claim(&calls, claimant, is_reseeding).map(|claimed| claimed.writer)
        };
        try_claim(&pair(&log, &blobs), &first, false).unwrap();
        try_claim(&*other, &second, false).unwrap();
        let before = [&log, &blobs, &other].map(|replica| replica.numbers(1).unwrap());
        for is_reseeding in [false, true] {
            for (log, blobs) in [(&log, &other), (&other, &blobs)] {
                let claimed = try_claim(&pair(log, blobs), &first, is_reseeding);
                assert!(matches!(claimed, Err(Error::ReplicaOfOtherStore { .. })));
            }
        }
        // A log that has no chunk yet.
        let empty = Arc::new(MemoryReplica::default());
        let claimed = try_claim(&pair(&empty, &blobs), &second, false);
        assert!(matches!(claimed, Err(Error::ReplicaDamaged { .. })));
        assert!(empty.numbers(1).unwrap().is_empty());
        let after = [&log, &blobs, &other].map(|replica| replica.numbers(1).unwrap());
        assert_eq!(after, before);
    }

    #[test]
    fn the_checkpoint_of_a_reseed_counts_once_its_writer_has_continued_the_log() {
        let replica = MemoryReplica::default();
        claim(&calls(&replica), &claimant(1), false).unwrap();
        let reseeder = claim(&calls(&replica), &claimant(2), true).unwrap().writer;
        let checkpoint = store(&replica, &reseeder, reseeder.claim, true);
        let continued = replica.copy();

        // Another writer claims the log before the reseeder continues it.
        let successor = claim(&calls(&replica), &claimant(3), false).unwrap();
        assert!(successor.contents.base.is_none());
        assert_eq!(successor.contents.claims, [1, 2]);

        let next = ChunkHeader {
            number: 3,
            writer: reseeder,
            content: Content::SecretKeys,
        };
        let created = continued.create(3, &next.chunk(b""));
        assert_eq!(created, Ok(Created::Done));
        let successor = claim(&calls(&continued), &claimant(3), false).unwrap();
        assert_eq!(successor.contents.base, Some(checkpoint));
    }
}
