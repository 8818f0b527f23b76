//! Entries that read one part of a store's files at a time.
//!
//! Contains entries for frames, segments, blocks, packs, events, rows, and the small text files.
//! What is read matches the bytes. Invalid input is refused without harm, even if its checksum is
//! valid.

use std::sync::Arc;

use super::Input;
use crate::base::codec::{self, NUMBER_MAX, VarReader, put_var};
use crate::engine::open::load_index;
use crate::engine::state::status::{CHUNK_JOBS, StatusColumn};
use crate::engine::survey::check_pack;
use crate::index::memory::MemoryIndex;
use crate::index::rows::{self, DetailRow};
use crate::index::{Batch, Index};
use crate::log::block::{
    Block, Extent, Scratch, Seed, open_large, open_piece, seal_large, seal_piece,
};
use crate::log::clock_gaps::Gaps;
use crate::log::disk::memory::MemoryDisk;
use crate::log::disk::{self, Disk};
use crate::log::event::{Event, SubmissionTexts, pack_sequences, unpack_sequences};
use crate::log::file_names;
use crate::log::fingerprint::Fingerprint;
use crate::log::forge::{self, AnyPack};
use crate::log::frame::{self, Binding, Builder, Frame, frames_anywhere};
use crate::log::identity::{self, Closed};
use crate::log::pack::{BlockPlace, Pack};
use crate::log::secret_keys;
use crate::log::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentFile, SegmentHeader};
use crate::model::error::Error;
use crate::model::id::ID_CHARACTERS_MAX;
use crate::model::states::States;
use crate::model::store_id::StoreId;

/// The store id used by all inputs.
pub(super) const STORE: StoreId = StoreId(9);
const BINDING: Binding = Binding {
    store: STORE,
    epoch: 5,
};

/// A directory in memory with one file.
fn file(name: &str, content: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let file = disk.create(name).expect("a new file");
    file.write_all_at(content, 0).expect("a write");
    disk
}

/// Checks that an event round-trips, and that its texts are at the offsets that it gives.
fn check_event(event: &Event<'_>) {
    let mut bytes = Vec::new();
    event.encode_into(&mut bytes);
    assert_eq!(
        Event::decode_prefix(&bytes),
        Some((event.clone(), bytes.len()))
    );
    if let Event::Submitted { texts, .. } = *event {
        let SubmissionTexts {
            unlisted,
            id,
            request,
        } = texts;
        let from_end = texts.places_from_end();
        let at = |from_end: usize| &bytes[bytes.len() - from_end..];
        assert_eq!(&at(from_end.unlisted)[..unlisted.len()], unlisted);
        assert_eq!(&at(from_end.id)[..id.len()], id.as_bytes());
        assert_eq!(at(from_end.request), request.as_bytes());
    }
    if let Event::Recovered { sequences, .. } = *event {
        if let Some(all) = unpack_sequences(sequences) {
            let packed = pack_sequences(&all);
            assert_eq!(unpack_sequences(&packed), Some(all));
        }
    }
}

/// Reads bytes as a sequence of events, and as packed integers.
pub fn event(input: &[u8]) {
    let mut rest = input;
    while let Some((event, taken)) = Event::decode_prefix(rest) {
        assert!(0 < taken && taken <= rest.len());
        check_event(&event);
        rest = &rest[taken..];
    }
    let mut reader = VarReader(input);
    while let Some(number) = reader.next() {
        let mut bytes = Vec::new();
        put_var(number, &mut bytes);
        assert_eq!(VarReader(&bytes).next(), Some(number));
    }
    codec::decode::<Vec<u64>>(input);
    codec::decode::<Vec<(String, Vec<u8>)>>(input);
}

fn check_frame(parsed: &Frame<'_>) {
    let mut events = Vec::new();
    let whole = parsed.events(|lsn, event, end| {
        assert!(end <= parsed.payload.len());
        assert_eq!(lsn, parsed.first_lsn + events.len() as u64);
        events.push(event);
        Ok::<(), ()>(())
    });
    if whole != Ok(true) {
        return;
    }
    assert_eq!(events.len() as u64, parsed.count);
    let mut builder = Builder::default();
    builder.clear();
    for event in &events {
        builder.push(event);
    }
    let bytes = builder.finish(BINDING, parsed.first_lsn, parsed.synced_lsn);
    // Numbers can have non-minimal encodings, but the writer never produces them.
    assert!(bytes.len() <= parsed.len());
    let again = Frame::parse(bytes, BINDING).expect("a frame");
    let mut at = 0;
    let whole = again.events(|_, event, _| {
        assert_eq!(event, events[at]);
        at += 1;
        Ok::<(), ()>(())
    });
    assert_eq!(whole, Ok(true));
}

/// Reads bytes as they are, and encoded as frames.
pub fn frame(input: &[u8]) {
    let mut input = Input(input);
    let mut bytes = Vec::new();
    while !input.is_empty() {
        match input.byte() % 4 {
            0 => bytes.extend_from_slice(input.part()),
            1 => bytes.extend_from_slice(input.rest()),
            _ => {
                let (count, first_lsn) = (input.number() as u32, input.number());
                let synced_lsn = input.number();
                let payload = input.part();
                let framed = forge::frame(BINDING, payload, count, first_lsn, synced_lsn);
                let valid = count > 0 && (1..NUMBER_MAX).contains(&first_lsn);
                assert_eq!(Frame::parse(&framed, BINDING).is_some(), valid);
                bytes.extend_from_slice(&framed);
            }
        }
    }
    let mut found = Vec::new();
    for (at, frame) in frames_anywhere(&bytes, BINDING) {
        check_frame(&frame);
        found.push((at, frame.len(), frame.first_lsn, frame.synced_lsn));
    }
    // The same search, one position at a time, which is the slowest way.
    if bytes.len() <= 4 << 10 {
        let parsed = (0..bytes.len()).filter_map(|at| {
            let frame = Frame::parse(&bytes[at..], BINDING)?;
            Some((at, frame.len(), frame.first_lsn, frame.synced_lsn))
        });
        assert_eq!(parsed.collect::<Vec<_>>(), found);
    }
    assert_eq!(frame::holds_a_frame(&bytes, BINDING), !found.is_empty());
    for &(.., lsn) in found.iter().take(4) {
        let vouched = found
            .iter()
            .any(|&(_, _, first, synced)| first > lsn && synced >= lsn);
        assert_eq!(
            frame::later_frame_vouches_for(&bytes, BINDING, lsn),
            vouched
        );
    }
}

/// Reads bytes as a segment's file, as they are and with a valid header and valid frames.
pub fn segment(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.byte();
    let mut content = Vec::new();
    if kind & 1 == 0 {
        let header = SegmentHeader {
            epoch: if kind & 2 == 0 { 5 } else { input.number() },
            first_lsn: input.number(),
            previous_epoch: input.number(),
            previous_end: input.number(),
        };
        content = forge::segment_header(STORE, header);
        let mut lsn = header.first_lsn;
        while !input.is_empty() {
            let control = input.byte();
            if control & 3 == 3 {
                content.extend_from_slice(input.part());
                continue;
            }
            let first_lsn = if control & 1 == 0 {
                lsn
            } else {
                input.number()
            };
            let (count, synced_lsn) = (u32::from(input.byte()), input.number());
            let payload = input.part();
            let framed = forge::frame(BINDING, payload, count, first_lsn, synced_lsn);
            content.extend_from_slice(&framed);
            lsn = first_lsn.wrapping_add(u64::from(count));
        }
    } else {
        content.extend_from_slice(input.rest());
    }
    let disk = file(&file_names::segment(5), &content);
    let segment = match Segment::open(&disk, 5, STORE) {
        Ok(SegmentFile::Segment(segment)) => segment,
        Ok(SegmentFile::Unused) => {
            let frames = content.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
            assert!(
                !frame::holds_a_frame(frames, BINDING),
                "frames are taken for none"
            );
            return;
        }
        Err(error) => return check_error(&error),
    };
    let bytes = segment.read_all().expect("the file's bytes");
    assert_eq!(bytes, content);
    let mut events = Vec::new();
    let scanned = segment.scan_events(&bytes, None, |lsn, event, end| {
        assert!(end <= bytes.len() as u64);
        events.push((lsn, event));
        Ok::<(), Error>(())
    });
    let scanned = match scanned {
        Ok(scanned) => scanned,
        Err(error) => return check_error(&error),
    };
    assert!(scanned.end <= bytes.len() as u64);
    let first_lsn = segment.header.first_lsn;
    assert_eq!(scanned.next_lsn - first_lsn, events.len() as u64);
    segment.make_durable(&disk, &bytes).expect("a write");
    assert_eq!(segment.read_all().expect("the file's bytes"), bytes);
    // With the correct end, the scan ends there. With another end, it reports damage.
    for (end, fits) in [(scanned.end, true), (scanned.end + 1, false)] {
        let again = segment.scan_events(&bytes, Some(end), |_, _, _| Ok::<(), Error>(()));
        assert_eq!(again.is_ok(), fits);
    }
    segment.note_frames(scanned.frames);
    for (lsn, event) in &events {
        let mut found = false;
        let near = segment.events_near(*lsn, |n, e| found |= n == *lsn && e == event);
        near.expect("a frame that was valid");
        assert!(found, "the event of {lsn} is not found again");
    }
}

/// Checks the error for files with invalid bytes.
pub(super) fn check_error(error: &Error) {
    let named = matches!(
        error,
        Error::Damaged { .. }
            | Error::NewerFormat { .. }
            | Error::OlderFormat { .. }
            | Error::UnknownFeatures { .. }
    );
    assert!(named, "{error:?}");
}

fn check_block(graph: u32, first_sequence: u64, piece: &[u8]) {
    let mut block = Block::default();
    if block
        .open(graph, first_sequence, piece, &Extent::ALL)
        .is_none()
    {
        return;
    }
    check_extents(graph, &block, piece);
    let mut texts = Vec::new();
    for (n, row) in block.rows.iter().enumerate() {
        assert!(
            block.row_text(row).ends_with(block.request(row)) || !block.request(row).is_empty()
        );
        assert_eq!(block.id(row).len(), usize::from(row.id_len));
        assert!(row.status_at() < row.end as usize);
        texts.extend_from_slice(if n == 0 { b"" } else { b"," });
        texts.extend_from_slice(block.row_text(row));
    }
    assert_eq!(texts.len(), block.text().len());
    let mut sealed = Vec::new();
    block.seal(graph, &mut Scratch::default(), &mut sealed);
    let mut again = Block::default();
    again
        .open(graph, first_sequence, &sealed, &Extent::ALL)
        .expect("what was sealed opens");
    assert_eq!((again.text(), &again.rows), (block.text(), &block.rows));
    for n in 0..block.rows.len() {
        assert_eq!(again.unlisted(n), block.unlisted(n));
    }
}

/// Opens each job of a block alone, and some jobs without their unlisted parts.
fn check_extents(graph: u32, block: &Block, sealed: &[u8]) {
    let mut part = Block::default();
    for n in 0..block.rows.len() {
        let sequence = block.first_sequence + n as u64;
        for (last, unlisted) in [(sequence, true), (sequence.saturating_add(20), false)] {
            let extent = Extent {
                jobs: sequence..=last,
                unlisted,
            };
            let jobs = part.open(graph, block.first_sequence, sealed, &extent);
            assert_eq!(jobs, Some(block.rows.len()));
            let after = block.rows.len().min(n + (last - sequence) as usize + 1);
            for (at, whole) in block.rows.iter().enumerate().take(after).skip(n) {
                let m = at - (part.first_sequence - block.first_sequence) as usize;
                let row = &part.rows[m];
                assert_eq!(part.row_text(row), block.row_text(whole));
                assert_eq!(row.submitted_ms, whole.submitted_ms);
                assert_eq!(
                    part.unlisted(m),
                    if unlisted { block.unlisted(at) } else { b"" }
                );
            }
        }
    }
}

/// Reads bytes as a sealed block, and as the contents of its pieces with valid checksums.
pub fn block(input: &[u8]) {
    let mut input = Input(input);
    let (kind, graph, sequence) = (input.byte(), u32::from(input.byte()), input.number());
    let seed = Seed::block(graph, sequence, 0);
    let mut sealed = Vec::new();
    match kind % 4 {
        0 => sealed.extend_from_slice(input.rest()),
        1 => {
            while !input.is_empty() {
                let seed = Seed::block(graph, sequence, u32::from(input.byte()));
                seal_piece(seed, input.part(), &mut Scratch::default(), &mut sealed);
            }
        }
        2 => {
            let raw_len = input.number() as u32;
            sealed = forge::piece(seed, input.rest(), raw_len);
        }
        _ => {
            // Seal a large job, and a block of one job. A block ends before the last number.
            let sequence = sequence.min(u64::MAX - 1);
            let (id, request, time_ms) = (input.text(), input.text(), input.number() >> 1);
            let id: String = id
                .chars()
                .filter(char::is_ascii)
                .take(ID_CHARACTERS_MAX)
                .collect();
            let texts = SubmissionTexts {
                id: &id,
                request: &request,
                unlisted: input.rest(),
            };
            let mut pieces = Vec::new();
            let scratch = &mut Scratch::default();
            seal_large(graph, sequence, (&texts, time_ms), scratch, |piece| {
                pieces.extend_from_slice(piece);
                Ok(())
            })
            .expect("it is sealed");
            let opened = open_large(graph, sequence, &pieces, &mut Vec::new());
            let (row, _) = opened.expect("what was sealed opens");
            assert_eq!(
                (row.submitted_ms, usize::from(row.id_len)),
                (time_ms, id.len())
            );
            let mut block = Block::default();
            block.clear(sequence);
            block.push(&texts, time_ms);
            block.seal(graph, scratch, &mut sealed);
            block
                .open(graph, sequence, &sealed, &Extent::ALL)
                .expect("what was sealed opens");
            assert_eq!(block.texts(0), Some(texts));
        }
    }
    let mut buffer = Vec::new();
    if let Some((len, taken)) = open_piece(seed, &sealed, &mut buffer) {
        assert!(len <= buffer.len() && taken <= sealed.len());
    }
    // LZ4 expands a byte to at most 255.
    assert!(buffer.len() <= 256 * sealed.len(), "{} bytes", buffer.len());
    open_large(graph, sequence, &sealed, &mut buffer);
    check_block(graph, sequence, &sealed);
}

/// Reads bytes as a pack's file, as its footer, and as the content of its parts.
pub fn pack(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.byte();
    let range = (input.number(), input.number());
    let (name, content) = match kind % 3 {
        0 => (file_names::pack(range.0, range.1), input.rest().to_vec()),
        1 => {
            let body = input.part();
            let footer = input.rest();
            let (first, last) = forge::footer_range(footer).unwrap_or(range);
            (
                file_names::pack(first, last),
                forge::pack_around(STORE, body, footer),
            )
        }
        _ => {
            let mut pack = AnyPack::new(STORE, range.0, range.1);
            while !input.is_empty() {
                let control = input.byte();
                let mut sealed = Vec::new();
                if control & 3 == 2 {
                    let (first, n) = (Fingerprint(input.number()), input.number() as u32);
                    let seed = Seed::fingerprints(u32::from(control >> 4), input.number(), n);
                    seal_piece(seed, input.part(), &mut Scratch::default(), &mut sealed);
                    pack.page(first, &sealed);
                    continue;
                }
                if control & 1 == 0 {
                    let lsn = input.number();
                    let seed = Seed::events(lsn);
                    seal_piece(seed, input.part(), &mut Scratch::default(), &mut sealed);
                    pack.chunk(lsn, &sealed);
                    continue;
                }
                let graph = u32::from(control >> 4);
                if control & 2 == 0 {
                    pack.graph(graph);
                }
                let place = BlockPlace {
                    first_sequence: input.number(),
                    offset: 0,
                    len: 0,
                    jobs: input.number() as u32,
                    large: control & 4 != 0,
                    external_ids: control & 8 != 0,
                    purged: false,
                    first_ms: input.number(),
                    span_ms: input.number(),
                };
                let seed = Seed::block(graph, place.first_sequence, 0);
                seal_piece(seed, input.part(), &mut Scratch::default(), &mut sealed);
                pack.block(place, if place.jobs % 7 == 6 { &[] } else { &sealed });
            }
            (file_names::pack(range.0, range.1), pack.finish())
        }
    };
    let disk = file(&name, &content);
    let pack = match Pack::open(&disk, &name, STORE) {
        Ok(pack) => pack,
        Err(error) => return check_error(&error),
    };
    let checked = check_pack(&pack, &mut |_| Ok(())).expect("damage is no error");
    let mut events = Vec::new();
    let read = pack.events(pack.first_lsn, |lsn, event| {
        check_event(event);
        events.push(lsn);
        Ok::<(), Error>(())
    });
    assert_eq!(read.is_ok(), checked.bad_chunks.is_empty());
    for lsn in [pack.first_lsn, pack.last_lsn, range.0] {
        if let Err(error) = pack.events_near(lsn, |_, _| {}) {
            check_error(&error);
        }
    }
    let from = pack.first_lsn + (pack.last_lsn - pack.first_lsn) / 2;
    pack.events(from, |_, _| Ok::<(), Error>(())).ok();
    for part in &pack.parts {
        for place in part.blocks.iter().take(16) {
            let n = part
                .block_of(place.first_sequence)
                .expect("it holds the job");
            assert_eq!(part.blocks[n].first_sequence, place.first_sequence);
        }
        assert_eq!(part.block_of(part.end_sequence), None);
        for place in part.fingerprints.iter().take(16) {
            let mut found = Vec::new();
            match part.with_fingerprint(place.first, &mut found) {
                Ok(()) => assert!(found.is_sorted() && !found.is_empty()),
                Err(error) => check_error(&error),
            }
        }
    }
    for (error, ..) in checked.into_damage() {
        check_error(&error);
    }
}

/// Reads bytes as rows of an index, with valid checksums, one by one and all together.
pub fn rows(input: &[u8]) {
    if let Some(row) = DetailRow::decode(input) {
        assert_eq!(DetailRow::decode(&row.encode()), Some(row));
    }
    let mut column = StatusColumn::default();
    if column.restore(0, input).is_some() {
        let len = column.len();
        assert!((1..=CHUNK_JOBS).contains(&len));
        let listed = column.select(States::ALL, 0, 0, u64::MAX);
        assert_eq!(listed.len, column.total(States::ALL));
        let kept = column.take_dirty();
        assert!(kept.is_empty(), "what was restored is saved already");
        // Jobs can be added after those that were restored. Each is pending at first.
        for sequence in len..len + 40 {
            assert_eq!(column.push(), sequence);
            assert_eq!(
                column.get(sequence),
                Some(crate::model::states::State::Pending)
            );
            column.set(sequence, crate::model::states::State::Complete);
        }
    }
    let index = MemoryIndex::default();
    let mut input = Input(input);
    let mut batch = Batch::default();
    while !input.is_empty() {
        let (key, content) = any_row(&mut input);
        let mut value = rows::seal(&key, content);
        value.truncate(crate::index::VALUE_BYTES_MAX);
        batch.put(key, value);
    }
    index
        .write(&batch)
        .unwrap_or_else(|fault| panic!("{}", fault.0));
    if let Ok(replay) = load_index(Arc::new(index), STORE) {
        for graph in replay.graphs.by_number.values() {
            let state = graph.state.read();
            let listed = state.status.select(States::ALL, 0, 0, u64::MAX);
            assert_eq!(listed.len, state.status.total(States::ALL));
        }
    }
}

fn any_row(input: &mut Input<'_>) -> (Vec<u8>, Vec<u8>) {
    let control = input.byte();
    let graph = u32::from(control >> 4);
    match control % 8 {
        0 => {
            let head = rows::IndexHead {
                rows_format: rows::ROWS_FORMAT,
                store: STORE.0,
                applied_lsn: input.number(),
                partial: true,
                open_number: input.number(),
                graphs: input.number() as u32 & 0xffff,
                lost_ids: input.number(),
                gaps: Gaps::default(),
                digest: 0,
            };
            (rows::HEAD.to_vec(), codec::encode(&head))
        }
        1 => (rows::graph_key(graph), input.part().to_vec()),
        2 => {
            let row = rows::GraphRow {
                number: input.number(),
                key: [input.number(), input.number()],
                project: input.text(),
                name: input.text(),
                created_ms: input.number(),
                forgotten_lsn: input.number(),
            };
            (rows::graph_key(graph), codec::encode(&row))
        }
        3 => {
            let chunk = input.number();
            (rows::status_key(graph, chunk), input.part().to_vec())
        }
        4 => {
            let group = input.number();
            (rows::detail_key(graph, group), input.part().to_vec())
        }
        5 => {
            let run = input.number();
            (
                rows::run_key(run),
                codec::encode(&(input.number() % (1 << 20))),
            )
        }
        6 => {
            let (run, page) = (input.number(), input.number() as u32);
            (rows::run_page_key(run, page), input.part().to_vec())
        }
        _ => (input.part().to_vec(), input.part().to_vec()),
    }
}

/// Reads bytes as the three small text files, as they are and with a valid checksum.
pub fn identity(input: &[u8]) {
    for content in [input.to_vec(), forge::checked_text(input)] {
        match identity::read(&file(file_names::STORE, &content)) {
            Ok(Some(id)) => {
                let disk = MemoryDisk::default();
                identity::create(&disk, id).expect("it is written");
                assert_eq!(identity::read(&disk).expect("it is read"), Some(id));
            }
            Ok(None) => panic!("a file that is there is taken for none"),
            Err(error) => check_error(&error),
        }
        match identity::read_closed(&file(file_names::CLOSED, &content), STORE) {
            Ok(Some(end)) => {
                let disk = MemoryDisk::default();
                identity::write_closed(&disk, STORE, &end).expect("it is written");
                let again: Option<Closed> =
                    identity::read_closed(&disk, STORE).expect("it is read");
                assert_eq!(again, Some(end));
            }
            Ok(None) => panic!("a file that is there is taken for none"),
            Err(error) => check_error(&error),
        }
        match secret_keys::read(&file(file_names::SECRET_KEYS, &content), STORE) {
            Ok(Some(keys)) => {
                let disk = MemoryDisk::default();
                secret_keys::write(&disk, STORE, &keys).expect("it is written");
                let again = secret_keys::read(&disk, STORE).expect("it is read");
                assert!(again == Some(keys));
            }
            Ok(None) => panic!("a file that is there is taken for none"),
            Err(error) => check_error(&error),
        }
        assert!(disk::read_whole(&file("x", &content), "x", u64::MAX).is_ok());
    }
}
