//! Entries that open whole stores of arbitrary files.
//!
//! Contains the mapping from an input to files, and the checks of a store of such files.
//! Verification changes nothing. A store reported as intact opens. A store that opens reads
//! correctly or reports the damaged file. A repaired store is intact, opens, and is still intact
//! after writes.

use std::sync::Arc;

use super::Input;
use super::parts::{STORE, check_error};
use crate::api::graph::Graph;
use crate::engine::maintenance::check;
use crate::engine::open::open_disk;
use crate::engine::store_handle::StoreHandle;
use crate::log::block::{Block, Scratch, Seed, seal_large, seal_piece};
use crate::log::disk::Disk;
use crate::log::disk::memory::MemoryDisk;
use crate::log::erased_history::{self, ErasedRows};
use crate::log::event::{Event, RecoveredAs, SubmissionTexts, pack_sequences};
use crate::log::file_names;
use crate::log::fingerprint::Fingerprint;
use crate::log::forge::{self, AnyPack};
use crate::log::frame::Binding;
use crate::log::identity;
use crate::log::pack::BlockPlace;
use crate::log::purged_jobs::{self, IdHash, PurgedJob};
use crate::log::segment::SegmentHeader;
use crate::log::submit_runs::{self, SubmitRun};
use crate::model::error::{Error, Result};
use crate::model::history::{Slot, minute_of};
use crate::model::job::Job;
use crate::model::job_query::JobQuery;
use crate::model::options::Options;
use crate::model::outcome::Extra;
use crate::model::request::{Body, Request};

/// Files by their names.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Returns options with the smallest limits.
pub(super) fn options() -> Options {
    Options {
        segment_bytes: 4 << 10,
        ..Options::default()
    }
}

pub(super) fn directory_of(files: &Files) -> Arc<MemoryDisk> {
    let disk = MemoryDisk::default();
    for (name, content) in files {
        let file = disk.create(name).expect("a new file");
        file.write_all_at(content, 0).expect("a write");
    }
    Arc::new(disk)
}

/// Returns all files of a directory, except for files that an open store removes while they are
/// read.
pub(super) fn files_of(disk: &MemoryDisk) -> Files {
    let names = disk.names().expect("names").into_iter();
    names
        .filter_map(|name| {
            let file = disk.open(&name).ok()?;
            let mut content = vec![0; file.len().expect("a length") as usize];
            file.read_exact_at(&mut content, 0).expect("its content");
            Some((name, content))
        })
        .collect()
}

/// Encodes files as one input: for each file, the length of the name, the name, the length of the
/// content without its trailing zeros, the number of those zeros, and the content without them.
#[cfg(all(test, not(jobstore_shuttle)))]
pub(super) fn to_input(files: &Files) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        let zeros = content.iter().rev().take_while(|&&byte| byte == 0).count();
        let kept = &content[..content.len() - zeros];
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        for len in [kept.len(), zeros] {
            out.extend_from_slice(&u16::try_from(len).expect("small").to_le_bytes());
        }
        out.extend_from_slice(kept);
    }
    out
}

fn from_input(mut input: Input<'_>) -> Files {
    let mut files = Files::new();
    while !input.is_empty() {
        let len = usize::from(input.byte());
        let name = String::from_utf8_lossy(input.take(len)).into_owned();
        let len = u16::from_le_bytes([input.byte(), input.byte()]);
        let zeros = u16::from_le_bytes([input.byte(), input.byte()]);
        let mut content = input.take(usize::from(len)).to_vec();
        content.resize(content.len() + usize::from(zeros), 0);
        if !files.iter().any(|(there, _)| *there == name) {
            files.push((name, content));
        }
    }
    files.sort();
    files
}

/// Opens a store. Dropping the last handle closes it.
fn open(disk: Arc<MemoryDisk>) -> Result<Arc<StoreHandle>> {
    let engine = open_disk(options(), disk)?;
    Ok(Arc::new(StoreHandle { engine }))
}

/// Reads everything that is served. Returns the first error, if any.
fn read_all(handle: &Arc<StoreHandle>, checksums: Checksums) -> Option<Error> {
    let engine = &handle.engine;
    let mut failed = None;
    let cores: Vec<_> = engine.graphs.read().by_number.values().cloned().collect();
    for core in cores {
        let graph = Graph::new(handle, &core);
        let page = graph.list(JobQuery::new()).expect("a page");
        let mut shown = 0;
        for job in &page {
            let job = match job {
                Ok(job) => job,
                Err(error) => {
                    checksums.check(&error);
                    failed = Some(error);
                    break;
                }
            };
            shown += 1;
            if shown % 8 == 1 {
                match graph.job(job.id()) {
                    Ok(Some(_)) => {}
                    // Two jobs with the same id are an error, but the cause is unknown. Any error
                    // serves as a substitute.
                    Ok(None) => failed = failed.or(Some(Error::EmptyCommand)),
                    Err(error) => failed = failed.or(Some(error)),
                }
                failed = failed.or(find(&graph, &job, checksums));
            }
        }
        assert!(failed.is_some() || shown == page.len(), "a shorter page");
        if let Err(error) = page.to_json() {
            checksums.check(&error);
            failed = failed.or(Some(error));
        }
    }
    failed
}

/// Searches for a job by its request. Returns the reason if it is not found.
fn find(graph: &Graph, job: &Job, checksums: Checksums) -> Option<Error> {
    for found in graph.find(job.request()).expect("matches") {
        match found {
            Ok(found) if found.sequence() == job.sequence() => return None,
            Ok(found) => assert!(found.request() == job.request(), "another request"),
            Err(error) => {
                checksums.check(&error);
                return Some(error);
            }
        }
    }
    Some(Error::EmptyCommand)
}

/// Writes a little, so that the existing data is packed and merged with new data.
fn go_on(handle: &Arc<StoreHandle>) -> Result<()> {
    let engine = &handle.engine;
    let core = engine.graphs.read().by_number.values().next().cloned();
    if let Some(core) = core {
        let graph = Graph::new(handle, &core);
        let body = Body::from_json(format!("\"{}\"", "x".repeat(1500)))?;
        for _ in 0..3 {
            let request = Request::new("later", "/", body.clone())?;
            let id = graph.submit(request)?;
            graph.start(&id)?;
        }
    }
    Ok(())
}

/// Who may have computed the checksums in the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checksums {
    /// Only a store.
    Ours,
    /// Anyone. The checksums may cover any content.
    Anyones,
}

impl Checksums {
    fn check(self, error: &Error) {
        // Events that contradict each other, and that no store would write, are reported as a fault
        // of the index.
        let of_index = matches!(error, Error::IndexUnavailable { .. });
        if self == Checksums::Ours || !of_index {
            check_error(error);
        }
    }
}

fn check_store(files: &Files, checksums: Checksums) {
    let is_ours = checksums == Checksums::Ours;
    let disk = directory_of(files);
    let report = check::verify(&*disk);
    assert!(files_of(&disk) == *files, "a look has changed something");
    let opened = open(directory_of(files));
    let failed = match opened {
        Ok(handle) => {
            let failed = read_all(&handle, checksums);
            if failed.is_none() && is_ours {
                go_on(&handle).expect("a sound store takes more");
            }
            let closed = handle.engine.close();
            closed.expect("a directory in memory takes all");
            failed
        }
        Err(error) => {
            checksums.check(&error);
            if let Ok(report) = &report {
                assert!(!report.is_sound(), "said to be sound, but {error}");
            }
            Some(error)
        }
    };
    match &report {
        Ok(report) => {
            assert!(report.to_json().starts_with('{') && !report.to_string().is_empty());
            if report.is_sound() {
                if let (true, Some(error)) = (is_ours, failed) {
                    panic!("said to be sound, but {error}");
                }
                return;
            }
        }
        Err(error) => return check_error(error),
    }
    let repaired = match check::repair(&*disk, &|_| Ok(None)) {
        Ok(repaired) => repaired,
        Err(error) => {
            check_error(&error);
            assert!(!is_ours, "not repaired: {error}\n{}", report.unwrap());
            return;
        }
    };
    assert!(repaired.to_json().starts_with('{'));
    let left = check::verify(&*disk).expect("a report");
    assert!(left.is_sound(), "repaired, but {left}");
    let handle = match open(disk.clone()) {
        Ok(handle) => handle,
        Err(error) => panic!("repaired, but {error}\n{repaired}"),
    };
    if let Some(error) = read_all(&handle, checksums) {
        assert!(!is_ours, "repaired, but {error}\n{repaired}");
    }
    let went_on = go_on(&handle);
    assert!(!is_ours || went_on.is_ok(), "repaired, but {went_on:?}");
    let closed = handle.engine.close();
    if is_ours {
        closed.expect("it closes");
        let left = check::verify(&*disk).expect("a report");
        assert!(left.is_sound(), "repaired and written to, but {left}");
    }
}

/// Uses bytes as the files of a store, unchanged.
pub fn store_files(input: &[u8]) {
    check_store(&from_input(Input(input)), Checksums::Ours);
}

/// Reads a number that is small or, sometimes, at the end of the valid range.
fn any_lsn(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        0xff => u64::MAX - u64::from(input.byte()),
        0xfe => (1 << 63) - 2 + u64::from(input.byte() % 4),
        small => u64::from(small),
    }
}

/// Reads a job's sequence number. Sequence numbers in files are protected by a checksum and
/// therefore trusted, so a large number could make the store use much memory. Here, the numbers are
/// kept small.
fn any_sequence(input: &mut Input<'_>) -> u64 {
    u64::from(input.byte() % 32)
}

fn any_time(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        0xff => input.number(),
        small => 1_700_000_000_000 + u64::from(small),
    }
}

fn with_event(input: &mut Input<'_>, in_pack: bool, each: &mut dyn FnMut(&Event<'_>)) {
    let kind = input.byte();
    let graph = match input.byte() {
        0xff => u32::MAX,
        small => u32::from(small % 4),
    };
    let time_ms = any_time(input);
    let (id, request) = (input.text(), input.text());
    match kind % if in_pack { 15 } else { 11 } {
        0 => each(&Event::Submitted {
            graph,
            sequence: any_sequence(input),
            time_ms,
            fingerprint: Fingerprint::of_json(STORE, &request),
            command: input.byte(),
            texts: SubmissionTexts {
                unlisted: if kind == 0 { b"" } else { id.as_bytes() },
                id: &id,
                request: &request,
            },
        }),
        1 => each(&Event::GraphCreated {
            graph,
            number: input.number(),
            key: [input.number(), input.number()],
            time_ms,
            project: &id,
            name: &request,
        }),
        2 => each(&Event::Started {
            graph,
            sequence: any_sequence(input),
            time_ms,
            command: input.byte(),
            wait_ms: (kind & 16 == 0).then(|| input.number()),
        }),
        3 => {
            let text = |text: &String| (!text.is_empty()).then(|| text.clone());
            let extra = Extra {
                code: text(&id),
                detail: text(&request),
                ..Extra::default()
            };
            each(&Event::Completed {
                graph,
                sequence: any_sequence(input),
                time_ms,
                age_shift_ms: 0,
                kind: input.byte(),
                command: input.byte(),
                run_ms: (kind & 32 == 0).then(|| input.number()),
                extra: (kind & 16 == 0).then(|| Box::new(extra)),
            });
        }
        4 => each(&Event::CancelRequested {
            graph,
            sequence: any_sequence(input),
            time_ms,
        }),
        5 => {
            let first = any_sequence(input);
            let sequences = pack_sequences(&[first, first + any_sequence(input)]);
            let actions = [
                RecoveredAs::Interrupted,
                RecoveredAs::Cancelled,
                RecoveredAs::Requeued,
            ];
            each(&Event::Recovered {
                graph,
                open_number: input.number(),
                time_ms,
                age_shift_ms: 0,
                action: actions[usize::from(kind >> 4) % 3],
                command: input.byte(),
                sequences: &sequences,
            });
        }
        6 => each(&Event::GraphDropped { graph, time_ms }),
        7 => each(&Event::StoreOpened {
            open_number: input.number(),
            time_ms,
        }),
        8 => {
            let first = any_sequence(input);
            let id = IdHash {
                lookup: input.number(),
                further: input.number(),
                is_external: kind & 16 == 0,
            };
            let job = |sequence, id| PurgedJob {
                sequence,
                id,
                result_ref: (kind & 32 == 0).then(|| request.clone()),
            };
            let second = first + 1 + any_sequence(input);
            let jobs = purged_jobs::pack(&[job(first, Some(id)), job(second, None)]);
            each(&Event::Purged {
                graph,
                time_ms,
                age_shift_ms: 0,
                why: input.byte(),
                jobs: &jobs,
            });
        }
        9 => each(&Event::Forgotten {
            graph,
            through_lsn: any_lsn(input),
            sequences: &pack_sequences(&[any_sequence(input)]),
        }),
        10 => each(&Event::Keyed {
            graph,
            sequence: any_sequence(input),
            key: &id,
        }),
        11 => {
            let mut rows = ErasedRows::new();
            let slot = Slot::of_minute(minute_of(time_ms), input.byte());
            let counts = rows.entry((graph, slot)).or_default();
            counts.count_submitted(any_sequence(input));
            let packed = erased_history::pack(&rows);
            each(&Event::Erased {
                count: any_lsn(input),
                history: packed.first().map_or(&[], |(_, history)| history),
            });
        }
        12 => {
            let count = any_sequence(input);
            let run = SubmitRun {
                minute: minute_of(time_ms),
                command: input.byte(),
                count,
            };
            each(&Event::Submits {
                graph,
                first_sequence: any_sequence(input),
                count,
                runs: &submit_runs::pack(&[run]),
            });
        }
        13 => each(&Event::Command {
            graph,
            number: input.byte(),
            name: &id,
        }),
        _ => each(&Event::Lost {
            count: any_lsn(input),
        }),
    }
}

fn any_segment(input: &mut Input<'_>) -> (String, Vec<u8>) {
    let epoch = match input.byte() {
        0xff => u64::MAX,
        small => u64::from(small % 8),
    };
    let header = SegmentHeader {
        epoch,
        first_lsn: any_lsn(input),
        previous_epoch: any_lsn(input),
        previous_end: 64 + any_lsn(input) % (1 << 16),
    };
    let binding = Binding {
        store: STORE,
        epoch,
    };
    let mut content = forge::segment_header(STORE, header);
    let mut lsn = header.first_lsn;
    for _ in 0..input.byte() % 16 {
        let control = input.byte();
        if control & 1 == 1 {
            lsn = any_lsn(input);
        }
        let synced_lsn = if control & 2 == 2 {
            any_lsn(input)
        } else {
            lsn
        };
        let (mut payload, mut count) = (Vec::new(), 0u32);
        for _ in 0..=control >> 5 {
            with_event(input, control & 4 == 4, &mut |event| {
                event.encode_into(&mut payload);
                count += 1;
            });
        }
        content.extend(forge::frame(binding, &payload, count, lsn, synced_lsn));
        lsn = lsn.wrapping_add(u64::from(count));
    }
    damage(input, &mut content);
    (file_names::segment(epoch), content)
}

fn any_pack(input: &mut Input<'_>) -> (String, Vec<u8>) {
    let (first_lsn, last_lsn) = (any_lsn(input), any_lsn(input));
    let mut pack = AnyPack::new(STORE, first_lsn, last_lsn);
    let mut lsn = first_lsn;
    let scratch = &mut Scratch::default();
    for _ in 0..input.byte() % 8 {
        let (chunk_lsn, mut raw, mut sealed) = (lsn, Vec::new(), Vec::new());
        for _ in 0..=input.byte() % 8 {
            with_event(input, true, &mut |event| {
                event.encode_into(&mut raw);
                lsn = lsn.wrapping_add(event.lsns());
            });
        }
        seal_piece(Seed::events(chunk_lsn), &raw, scratch, &mut sealed);
        pack.chunk(chunk_lsn, &sealed);
    }
    for _ in 0..input.byte() % 4 {
        let control = input.byte();
        let graph = u32::from(control % 4);
        pack.graph(graph);
        let mut fingerprints = Vec::new();
        let mut sequence = any_sequence(input);
        for _ in 0..input.byte() % 8 {
            let control = input.byte();
            let (mut block, mut sealed) = (Block::default(), Vec::new());
            block.clear(sequence);
            let (id, request, time_ms) = (input.text(), input.text(), any_time(input));
            let texts = SubmissionTexts {
                id: &id,
                request: &request,
                unlisted: if control & 8 == 0 { b"" } else { id.as_bytes() },
            };
            let mut jobs = 1 + u32::from(control >> 6);
            if control & 3 == 1 {
                jobs = 1;
                seal_large(graph, sequence, (&texts, time_ms), scratch, |piece| {
                    sealed.extend_from_slice(piece);
                    Ok(())
                })
                .expect("it is sealed");
            } else if control & 3 != 2 {
                for _ in 0..jobs {
                    block.push(&texts, time_ms);
                }
                block.seal(graph, scratch, &mut sealed);
            }
            if control & 0x20 != 0 {
                jobs = 1 + input.number() as u32 % 64;
            }
            let place = BlockPlace {
                first_sequence: sequence,
                offset: 0,
                len: 0,
                jobs,
                large: control & 3 == 1,
                external_ids: control & 4 == 0,
                purged: sealed.is_empty() && control & 16 == 0,
                first_ms: input.number(),
                span_ms: input.number(),
            };
            pack.block(place, &sealed);
            if !sealed.is_empty() {
                let fingerprint = Fingerprint::of_json(STORE, &request);
                let of_block = sequence..sequence + u64::from(jobs);
                fingerprints.extend(of_block.map(|sequence| (fingerprint, sequence)));
            }
            sequence += u64::from(jobs);
        }
        // Sometimes, one fingerprint is missing.
        fingerprints
            .truncate(fingerprints.len() - usize::from(control >> 7).min(fingerprints.len()));
        pack.fingerprints(fingerprints);
    }
    let mut content = pack.finish();
    damage(input, &mut content);
    (file_names::pack(first_lsn, last_lsn), content)
}

/// Sometimes changes a byte without updating the checksum.
fn damage(input: &mut Input<'_>, content: &mut Vec<u8>) {
    match input.byte() {
        control @ 0xe0.. => {
            let at = input.number() as usize % content.len();
            match control & 3 {
                0 => content.truncate(at),
                1 => content[at..].fill(0),
                _ => content[at] ^= control,
            }
        }
        zeros => content.resize(content.len() + usize::from(zeros & 0x40), 0),
    }
}

/// Uses bytes as a plan from which files with valid checksums are generated.
pub fn any_store(input: &[u8]) {
    let mut input = Input(input);
    let mut files = Files::new();
    let mut add = |name: String, content: Vec<u8>| {
        if !files.iter().any(|(there, _)| *there == name) {
            files.push((name, content));
        }
    };
    let control = input.byte();
    if control & 1 == 0 {
        let text = identity::text(crate::log::format::FORMAT, (0, 0), STORE);
        add(
            file_names::STORE.to_owned(),
            forge::checked_text(text.as_bytes()),
        );
    }
    if control & 2 == 2 {
        let (epoch, offset, lsn) = (
            any_lsn(&mut input),
            any_lsn(&mut input),
            any_lsn(&mut input),
        );
        let id = STORE.0;
        let text = format!("closed\nid {id:032x}\nepoch {epoch}\noffset {offset}\nlsn {lsn}\n");
        add(
            file_names::CLOSED.to_owned(),
            forge::checked_text(text.as_bytes()),
        );
    }
    while !input.is_empty() {
        let (name, content) = match input.byte() % 8 {
            0..=3 => any_segment(&mut input),
            4..=6 => any_pack(&mut input),
            _ => (input.text(), input.part().to_vec()),
        };
        add(name, content);
    }
    files.sort();
    check_store(&files, Checksums::Anyones);
}
