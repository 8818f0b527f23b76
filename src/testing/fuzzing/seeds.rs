//! The seed inputs of the fuzz targets: real, small encodings.
//!
//! Contains the generation of the seeds in `tests/fuzz/seeds`. Each seed is data that a store
//! writes or a caller passes, in the form that its entry expects. Except for random ids, no seed
//! contains anything from outside this file.
//!
//! To regenerate the seeds, run `JOBSTORE_WRITE_SEEDS=1 cargo test --lib seeds`. Inputs that a
//! fuzzer found are in the same directory. Their names begin with `found`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::parts::STORE;
use super::stores::{directory_of, files_of, options, to_input};
use super::{ENTRIES, Entry};
use crate::api::graph::Graph;
use crate::base::codec::{self, put_var};
use crate::engine::core::Engine;
use crate::engine::maintenance::check;
use crate::engine::open::open_disk;
use crate::engine::state::operation::{Action, Operation};
use crate::engine::store_handle::StoreHandle;
use crate::index::rows::{self, Detail, DetailRow, Finished, GraphRow, TombstoneRow};
use crate::log::block::{Block, Scratch, Seed, seal_piece};
use crate::log::clock_gaps::Gap;
use crate::log::clock_mark::ClockMark;
use crate::log::disk::memory::MemoryDisk;
use crate::log::erased_history::{self, ErasedRows};
use crate::log::event::{Event, RecoveredAs, SubmissionTexts, pack_sequences};
use crate::log::file_names;
use crate::log::fingerprint::Fingerprint;
use crate::log::forge::AnyPack;
use crate::log::frame::{Binding, Builder};
use crate::log::identity::{self, Closed, LogEnd};
use crate::log::pack::BlockPlace;
use crate::log::purged_jobs::{self, IdHash, PurgedJob};
use crate::log::secret_keys;
use crate::log::submit_runs;
use crate::model::history::Slot;
use crate::model::id::OwnIds;
use crate::model::job_counts::Happened;
use crate::model::outcome::{Extra, Outcome};
use crate::model::request::{Body, Request};
use crate::model::secrets::SecretKeys;

struct Seeds(Vec<(&'static str, String, Vec<u8>)>);

impl Seeds {
    fn add(&mut self, entry: &'static str, name: &str, content: Vec<u8>) {
        assert!(content.len() <= 32 << 10, "{entry}/{name} is large");
        self.0.push((entry, name.to_owned(), content));
    }
}

/// Encodes a part as [`super::Input::part`] reads it.
fn part(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).expect("a small part");
    [&len.to_le_bytes()[..], content].concat()
}

/// Encodes a number as [`super::Input::number`] reads it.
fn number(number: u64) -> Vec<u8> {
    match u8::try_from(number) {
        Ok(small) if small < 0xff => vec![small],
        _ => [&[0xff][..], &number.to_le_bytes()].concat(),
    }
}

const JOB: &str = r#"{"command":"import_graph","url":"/ges/v1.0/1/graphs/movie/action","body":{"edgesetPath":"bucket/edges","limit":1e-5}}"#;

/// Calls `each` with one event of each kind. Those that exist only in packs come last.
fn events(each: &mut dyn FnMut(&str, &Event<'_>)) {
    let (graph, sequence, time_ms) = (0, 1, 1_700_000_000_000);
    each(
        "booted",
        &Event::StoreOpened {
            open_number: 3,
            time_ms,
        },
    );
    each(
        "created",
        &Event::GraphCreated {
            graph,
            number: 6_258_216_312_399_194_368,
            key: [5, u64::MAX],
            time_ms,
            project: "10001",
            name: "movie",
        },
    );
    each(
        "submitted",
        &Event::Submitted {
            graph,
            sequence,
            time_ms,
            fingerprint: Fingerprint(0xff_1234_5678),
            command: 1,
            texts: SubmissionTexts {
                unlisted: b"\0\x01\x02AK",
                id: "job-1",
                request: JOB,
            },
        },
    );
    each(
        "started",
        &Event::Started {
            graph,
            sequence,
            time_ms,
            command: 1,
            wait_ms: Some(250),
        },
    );
    each(
        "cancel",
        &Event::CancelRequested {
            graph,
            sequence,
            time_ms,
        },
    );
    let extra = Extra {
        code: Some("GES.8012".to_owned()),
        message: Some("no such vertex".to_owned()),
        detail: Some(r#"{"vertex":7}"#.to_owned()),
        result_ref: None,
    };
    for (name, extra) in [("completed", None), ("failed", Some(Box::new(extra)))] {
        let completed = Event::Completed {
            graph,
            sequence,
            time_ms,
            age_shift_ms: 0,
            kind: 2,
            command: 1,
            run_ms: Some(70_000),
            extra,
        };
        each(name, &completed);
    }
    let sequences = pack_sequences(&[1, 2, 900]);
    each(
        "recovered",
        &Event::Recovered {
            graph,
            open_number: 4,
            time_ms,
            age_shift_ms: 0,
            action: RecoveredAs::Interrupted,
            command: 1,
            sequences: &sequences,
        },
    );
    let mut runs = Vec::new();
    (0..64).for_each(|n| submit_runs::push(&mut runs, time_ms + 2_000 * n, (n / 50) as u8));
    let runs = submit_runs::pack(&runs);
    each("dropped", &Event::GraphDropped { graph, time_ms });
    each(
        "submits",
        &Event::Submits {
            graph,
            first_sequence: 0,
            count: 64,
            runs: &runs,
        },
    );
    each("lost", &Event::Lost { count: 3 });
    let id = IdHash {
        lookup: 5,
        further: 6,
        is_external: true,
    };
    let jobs = [(3, Some(id), None), (7, None, Some("obs://bucket/result"))];
    let jobs = jobs.map(|(sequence, id, result)| PurgedJob {
        sequence,
        id,
        result_ref: result.map(str::to_owned),
    });
    each(
        "purged",
        &Event::Purged {
            graph,
            time_ms,
            age_shift_ms: 0,
            why: 1,
            jobs: &purged_jobs::pack(&jobs),
        },
    );
    each(
        "forgotten",
        &Event::Forgotten {
            graph,
            through_lsn: 9,
            sequences: &sequences,
        },
    );
    each(
        "keyed",
        &Event::Keyed {
            graph,
            sequence,
            key: "upload 17",
        },
    );
    let mut rows = ErasedRows::new();
    let counts = rows
        .entry((graph, Slot::of_minute(28_333_333, 1)))
        .or_default();
    counts.count(Happened::Started { wait_ms: Some(250) });
    counts.count_submitted(2);
    let history = erased_history::pack(&rows).remove(0).1;
    let erased = Event::Erased {
        count: 5,
        history: &history,
    };
    each("erased", &erased);
    let command = Event::Command {
        graph,
        number: 1,
        name: "clear_graph",
    };
    each("command", &command);
    each("clock", &Event::Clock);
    let gap = Gap {
        before_ms: 1_700_000_000_000,
        gap_ms: 3 * 86_400_000,
    };
    each("confirmed", &Event::Confirmed(gap));
}

fn logs(seeds: &mut Seeds) {
    let mut all = Vec::new();
    let mut builder = Builder::default();
    let binding = Binding {
        store: STORE,
        epoch: 5,
    };
    builder.clear();
    events(&mut |name, event| {
        let mut bytes = Vec::new();
        event.encode_into(&mut bytes);
        all.extend_from_slice(&bytes);
        seeds.add("event", name, bytes);
        builder.push(event);
    });
    seeds.add("event", "all", all.clone());
    let framed = builder.finish(binding, 1, 0).to_vec();
    let plain = [&[0][..], &part(&framed)].concat();
    seeds.add("frame", "one", [&[1][..], &framed].concat());
    seeds.add("frame", "two", [&plain[..], &plain].concat());
    let count = 11;
    let made = [&[2, count, 7, 6][..], &part(&all)].concat();
    seeds.add("frame", "made", [&made[..], &plain, &made].concat());
    // At many positions, a frame that takes up all remaining bytes seems to begin.
    let mut magics = Vec::new();
    for n in 0..200u32 {
        magics.extend_from_slice(b"JFRM1234");
        magics.extend_from_slice(&(3000 - 16 * n.min(180)).to_le_bytes());
        magics.extend_from_slice(&[1, 0, 0, 0]);
    }
    seeds.add("frame", "magics", [&[1][..], &magics].concat());
    let frame =
        |control: u8, first: &[u8]| [&[control][..], first, &[count, 0], &part(&all)].concat();
    let header = [0, 1, 0, 0];
    let one = [&header[..], &frame(0, &[])].concat();
    seeds.add("segment", "one", one.clone());
    seeds.add("segment", "two", [&one[..], &frame(0, &[])].concat());
    seeds.add("segment", "gap", [&one[..], &frame(1, &[40])].concat());
    let torn = [&[3][..], &part(&framed[..framed.len() / 2])].concat();
    seeds.add("segment", "torn", [&one[..], &torn].concat());
    seeds.add("segment", "zeros", [1, 0].repeat(64));
}

fn blocks(seeds: &mut Seeds) {
    let mut block = Block::default();
    block.clear(100);
    let texts = |id, request, unlisted| SubmissionTexts {
        id,
        request,
        unlisted,
    };
    block.push(&texts("a-1", JOB, b"\0\x01\x02AK"), 1_700_000_000_000);
    block.push(&texts("b", "{}", b""), 1_699_999_999_999);
    let mut sealed = Vec::new();
    block.seal(1, &mut Scratch::default(), &mut sealed);
    seeds.add("block", "sealed", [&[0, 1, 100][..], &sealed].concat());
    let (texts, unlisted) = ([b",", block.text()].concat(), block.unlisted(0));
    let size = |n, content: &[u8]| {
        let mut sealed = Vec::new();
        let seed = Seed::block(1, 100, n);
        seal_piece(seed, content, &mut Scratch::default(), &mut sealed);
        sealed.len() as u64
    };
    let len = |n: usize| block.row_text(&block.rows[n]).len() as u64;
    let mut content = Vec::new();
    let time = 1_700_000_000_000;
    let jobs = [2, len(0), 2 * 3 + 1, 5, 2 * time, len(1), 2, 1];
    for column in [&jobs[..], &[2, size(1, &texts), size(2, unlisted)]].concat() {
        put_var(column, &mut content);
    }
    let pieces = [(0, &content[..]), (1, &texts), (2, unlisted)];
    let pieces = pieces.map(|(n, content)| [&[n][..], &part(content)].concat());
    seeds.add(
        "block",
        "content",
        [&[1, 1, 100][..], &pieces.concat()].concat(),
    );
    let packed = lz4::block::compress(&content, None, false).expect("it fits");
    let raw_len = number(content.len() as u64);
    let piece = [&[2, 1, 100][..], &raw_len, &packed].concat();
    seeds.add("block", "packed", piece);
    let bomb = [&[2, 1, 100][..], &number(u64::from(u32::MAX)), &packed].concat();
    seeds.add("block", "bomb", bomb);
    let job = [&part(b"job-1")[..], &part(JOB.as_bytes()), &number(1 << 40)].concat();
    seeds.add("block", "jobs", [&[3, 1, 100][..], &job].concat());

    let mut raw = Vec::new();
    events(&mut |_, event| event.encode_into(&mut raw));
    let chunk = |lsn: u8| [&[0, lsn][..], &part(&raw)].concat();
    // The first chunk takes up 76 LSNs: 9 events of one LSN each, one of 64, and one of 3.
    let second = chunk(77);
    let place = [&[1, 100, 2][..], &part(&content)].concat();
    let made = [&[2, 1, 152][..], &chunk(1), &second, &place].concat();
    seeds.add("pack", "made", made);
    let large = [&[5, 7, 1][..], &part(&content)].concat();
    let aside = [&[1, 0, 6][..], &part(&content)].concat();
    let made = [&[2, 1, 76][..], &chunk(1), &large, &aside].concat();
    seeds.add("pack", "large-and-aside", made);
    let mut pack = AnyPack::new(STORE, 1, 76);
    pack.chunk(1, b"");
    pack.graph(0);
    let place = BlockPlace {
        first_sequence: 0,
        offset: 0,
        len: 0,
        jobs: 2,
        large: false,
        external_ids: true,
        purged: false,
        first_ms: 7,
        span_ms: 1,
    };
    pack.block(place, &sealed);
    let footer = [&[1, 0, 0][..], &part(&sealed), &pack.footer()].concat();
    seeds.add("pack", "footer", footer);
    seeds.add("pack", "file", [&[0, 1, 76][..], &pack.finish()].concat());
    // The same pack, with a chunk as a store writes it.
    let seed = Seed::events(1);
    let mut sealed = Vec::new();
    seal_piece(seed, &raw, &mut Scratch::default(), &mut sealed);
    let mut pack = AnyPack::new(STORE, 1, 76);
    pack.chunk(1, &sealed);
    seeds.add("pack", "events", [&[0, 1, 76][..], &pack.finish()].concat());
}

fn index(seeds: &mut Seeds) {
    let mut details = DetailRow::default();
    for (n, detail) in details.0.iter_mut().enumerate() {
        *detail = Detail {
            started_ms: (n % 3 > 0).then_some(1_700_000_000_000 + n as u64),
            finished: (n % 3 > 1).then_some(Finished {
                at_ms: 1_700_000_000_007,
                age_ms: 1_700_000_000_005,
                kind: 1,
                open_number: n as u64 % 2,
                extra_lsn: n as u64 % 5,
            }),
            cancel_requested: n % 7 == 0,
            command: 1,
            tombstone: (n % 11 == 0).then_some(TombstoneRow {
                lsn: 900 + n as u64,
                lookup: 5,
                further: 6,
            }),
            reset: false,
        };
    }
    seeds.add("rows", "details", details.encode());
    let states = [
        &33u16.to_le_bytes()[..],
        &[0x99; 8],
        &[2, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    seeds.add("rows", "states", states.clone());
    let graph = GraphRow {
        number: 6_258_216_312_399_194_368,
        key: [1, 2],
        project: "10001".to_owned(),
        name: "movie".to_owned(),
        created_ms: 1,
        forgotten_lsn: 8,
    };
    let mut page = Vec::new();
    for number in [5, 1, 9, 2] {
        put_var(number, &mut page);
    }
    let all = [
        &[0, 40, 2, 1][..],
        &[1],
        &part(&codec::encode(&graph)),
        &[3, 0],
        &part(&states),
        &[4, 0],
        &part(&details.encode()),
        &[5, 7, 2],
        &[6, 7, 0],
        &part(&page),
    ]
    .concat();
    seeds.add("rows", "index", all);
    let key = rows::graph_key(0);
    let row = [&[7][..], &part(&key), &part(b"no row")].concat();
    seeds.add("rows", "no-row", row);
}

fn texts(seeds: &mut Seeds) {
    let id = 6_258_216_312_399_194_368_u64;
    for (name, text) in [
        ("empty", "{}"),
        (
            "spaces",
            " { \"b\" : 0.00001 ,\n\t\"a\":[ 1e5, 123456789012345678901234567890 ]}\r\n",
        ),
        (
            "escapes",
            r#"{"a":"x \" \\ é \ud834\udd1e","b":"\u0041/\/"}"#,
        ),
        ("lone", r#"["\ud800","\udc00\ud800"]"#),
        ("keys", r#"{"a":1,"a":2,"b":{"\u0061":null}}"#),
        ("numbers", "[0,-0,1.0,1E+9,1e-400,0.1,-12.50e3]"),
        ("same", "{\"a\":1,\"b\":\"\\u0041\"}\n{\"b\":\"A\",\"a\":1}"),
        ("words", "[true,false,null,\"\"]"),
        (
            "secrets",
            r#"{"accessKey":"A","b":[{"SECRET\u004bEY":{"a":"}"}}],"secretKey":"******"}"#,
        ),
    ] {
        seeds.add("json", name, text.as_bytes().to_vec());
        let detail = [&[0][..], text.as_bytes()].concat();
        seeds.add("outcome", name, detail);
    }
    seeds.add(
        "json",
        "deep",
        ["[".repeat(121), "]".repeat(121)].concat().into_bytes(),
    );
    seeds.add(
        "json",
        "nested",
        [r#"{"a":["#.repeat(60), "]}".repeat(60)]
            .concat()
            .into_bytes(),
    );
    let failed = [
        &[5][..],
        &part(b"GES.8012"),
        &part(b"no such vertex"),
        &part(b"results/42.csv"),
        br#"{"vertex": 7}"#,
    ]
    .concat();
    seeds.add("outcome", "failed", failed);
    for (name, text) in [
        ("job", JOB),
        ("no-body", r#"{"command": "clear_graph", "url": "/a"}"#),
        (
            "null-body",
            r#" {"body":null , "url":"\u002f", "command":"c\n"} "#,
        ),
        ("twice", r#"{"command":"c","url":"","body":1,"body":2}"#),
        ("unknown", r#"{"command":"c","url":"","extra":1}"#),
    ] {
        seeds.add("request", name, text.as_bytes().to_vec());
    }
    let own = OwnIds::new(1_000_000_000_000_000_009, [3, 4]).make(70, 1_700_000_000_000);
    let cursor = format!("01{:02x}{id:016x}{:016x}{:08x}", 7, 100_000, 0x1234_5678);
    for (name, text) in [
        ("own-id", own.as_str()),
        ("id", "import-2024_07"),
        ("cursor", &cursor),
        ("segment", &file_names::segment(10)),
        ("pack", &file_names::pack(1, 255)),
        ("capitals", "000000000000000A.segment"),
        ("aside", "STORE.aside"),
    ] {
        seeds.add("names", name, text.as_bytes().to_vec());
    }
    let disk = MemoryDisk::default();
    identity::create(&disk, STORE).expect("it is written");
    let end = LogEnd {
        epoch: 3,
        offset: 4096,
        lsn: 70,
    };
    identity::write_closed(
        &disk,
        STORE,
        &Closed {
            end,
            clock: ClockMark::default(),
            index: None,
        },
    )
    .expect("it is written");
    secret_keys::write(&disk, STORE, &SecretKeys::default()).expect("it is written");
    for (name, content) in files_of(&disk) {
        let bare = content.len() - "crc 01234567\n".len();
        seeds.add(
            "identity",
            &format!("{name}-bare"),
            content[..bare].to_vec(),
        );
        seeds.add("identity", &name, content);
    }
    seeds.add("identity", "newer", b"jobstore\nformat 9\nid 0\n".to_vec());
}

fn graph(engine: &Arc<Engine>, name: &str) -> Graph {
    let action = Action::CreateGraph {
        project: "10001".to_owned(),
        name: name.to_owned(),
        id_number: 1_000_000_000_000_000_009,
        key: [name.len() as u64, 7],
    };
    engine.commit(Operation::small(action)).expect("a graph");
    let graphs = engine.graphs.read();
    let core = graphs.by_number.values().last().cloned();
    let handle = StoreHandle {
        engine: engine.clone(),
    };
    Graph::new(&Arc::new(handle), &core.expect("the graph"))
}

/// Adds stores as they are between two calls to the disk: in use, killed, closed, packed, and
/// repaired.
fn stores(seeds: &mut Seeds) {
    let disk = Arc::new(MemoryDisk::default());
    identity::create(&*disk, STORE).expect("it is written");
    let mut add = |name: &str, disk: &MemoryDisk| {
        seeds.add("store_files", name, to_input(&files_of(disk)));
    };
    add("new", &disk);
    let request = |n: usize| {
        let body = Body::from_json(format!(r#"{{"n":{n},"s":"{}"}}"#, "x".repeat(40 * n)));
        Request::new("pagerank", "/ges", body.expect("JSON")).expect("a request")
    };
    let engine = open_disk(options(), disk.clone()).expect("it opens");
    add("opened", &disk);
    let movie = graph(&engine, "movie");
    let empty = graph(&engine, "empty");
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(movie.submit(request(n)).expect("a job"));
    }
    movie.submit_as("foreign", request(1)).expect("a job");
    for id in &ids[..4] {
        movie.start(id).expect("it starts");
    }
    let failed = Outcome::failed("GES.8012", "no such vertex");
    movie.complete(&ids[0], failed).expect("it ends");
    movie
        .complete(&ids[1], Outcome::succeeded())
        .expect("it ends");
    movie.cancel(&ids[2]).expect("it is asked to stop");
    empty.submit(request(0)).expect("a job");
    add("killed", &disk);
    engine.close().expect("it closes");
    add("closed", &disk);
    drop((movie, empty));
    let engine = open_disk(options(), disk.clone()).expect("it opens");
    let more = graph(&engine, "more");
    let requests = (0..20).map(|n| request(n % 7));
    more.submit_all(requests).expect("jobs");
    for n in 0..40 {
        more.submit(request(n % 5)).expect("a job");
    }
    while engine.log_files.read().segments.len() > 1 {
        std::thread::yield_now();
    }
    add("packed", &disk);
    more.submit(request(3)).expect("a job");
    engine.close().expect("it closes");
    add("packed-closed", &disk);
    let sound = files_of(&disk);
    for (n, (name, _)) in sound.iter().enumerate() {
        let mut files = sound.clone();
        let content = &mut files[n].1;
        let at = content.len() / 2;
        content[at] ^= 0x40;
        seeds.add("store_files", &format!("damaged-{name}"), to_input(&files));
        let disk = directory_of(&files);
        check::repair(&*disk, &|_| Ok(None)).expect("it is repaired");
        if file_names::pack_range(name).is_some() {
            let input = to_input(&files_of(&disk));
            seeds.add("store_files", &format!("repaired-{name}"), input);
        }
    }
}

/// Encodes a submission or another event in the form of the entry's plan.
fn planned(kind: u8, graph: u8, text: &[u8], rest: &[u8]) -> Vec<u8> {
    [&[kind, graph, 1][..], &part(b"job-1"), &part(text), rest].concat()
}

/// Adds plans from which stores are generated.
fn plans(seeds: &mut Seeds) {
    let created = planned(1, 0, b"movie", &[9, 3, 4]);
    let submitted = |n: u8| planned(0, 0, JOB.as_bytes(), &[n]);
    let started = planned(2, 0, b"", &[0]);
    let ended = planned(3, 0, b"", &[0, 1]);
    // The control byte 0x60 means four events in the frame.
    let four = [&created[..], &submitted(0), &started, &ended].concat();
    let frame = [&[0x60][..], &four].concat();
    let segment = |epoch: u8, header: &[u8], frames: &[Vec<u8>]| {
        let head = [&[0, epoch][..], header, &[frames.len() as u8]].concat();
        [&head[..], &frames.concat(), &[0]].concat()
    };
    let one = segment(1, &[1, 0, 0], std::slice::from_ref(&frame));
    seeds.add("any_store", "segment", [&[0][..], &one].concat());
    let later = [&[0x20][..], &submitted(1), &submitted(2)].concat();
    let two = segment(1, &[1, 0, 0], &[frame.clone(), later.clone()]);
    seeds.add("any_store", "frames", [&[0][..], &two].concat());
    let gone = [&[0x21, 9][..], &submitted(4), &submitted(5)].concat();
    let gap = segment(1, &[1, 0, 0], &[frame.clone(), gone]);
    seeds.add("any_store", "gap", [&[2, 1, 0, 10][..], &gap].concat());
    let second = segment(2, &[5, 1, 0], &[later]);
    seeds.add("any_store", "segments", [&[0][..], &one, &second].concat());
    // A pack with one chunk of three events and one block of one job.
    let submits = planned(8, 0, b"", &[0, 1]);
    let chunk = [&[1, 2][..], &created, &submits, &started].concat();
    let job = [&[0][..], &part(b"job-1"), &part(JOB.as_bytes()), &[1]].concat();
    let blocks = [&[1, 0, 0, 1][..], &job].concat();
    let pack = [&[4, 1, 3][..], &chunk, &blocks, &[0]].concat();
    seeds.add("any_store", "pack", [&[0][..], &pack].concat());
    let behind = segment(2, &[4, 0, 0], &[[&[0x00][..], &submitted(1)].concat()]);
    seeds.add(
        "any_store",
        "pack-segment",
        [&[0][..], &pack, &behind].concat(),
    );
    let lost = planned(9, 0, b"", &[2]);
    let chunk = [&[1, 2][..], &created, &lost, &started].concat();
    let pack = [&[4, 1, 4][..], &chunk, &blocks, &[0]].concat();
    seeds.add("any_store", "lost", [&[0][..], &pack].concat());
    let name = part(b"ffffffffffffffff.segment");
    let stray = [&[7][..], &name, &part(b"no segment")].concat();
    seeds.add("any_store", "stray", [&[0][..], &stray].concat());
    let closed = [2, 0xff, 0, 5, 0xff, 0];
    seeds.add(
        "any_store",
        "closed-at-the-end",
        [&closed[..], &one].concat(),
    );
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("a name in UTF-8")
    };
    entries.map(name).collect()
}

#[test]
fn seeds_are_what_stores_write_and_callers_bring() {
    let mut seeds = Seeds(Vec::new());
    logs(&mut seeds);
    blocks(&mut seeds);
    index(&mut seeds);
    texts(&mut seeds);
    stores(&mut seeds);
    plans(&mut seeds);
    let writes = std::env::var_os("JOBSTORE_WRITE_SEEDS").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (entry, _) in ENTRIES {
        let directory = directory.join(entry);
        let of_entry = seeds.0.iter().filter(|(of, ..)| of == entry);
        let generated: BTreeSet<&str> = of_entry.clone().map(|(_, name, _)| &**name).collect();
        let is_found = |name: &str| name.starts_with("found");
        if writes {
            std::fs::create_dir_all(&directory).expect("a directory");
            for name in names_in(&directory) {
                if !is_found(&name) {
                    std::fs::remove_file(directory.join(name)).expect("a seed");
                }
            }
            for (_, name, content) in of_entry {
                std::fs::write(directory.join(name), content).expect("a seed");
            }
        }
        // A seed that is no longer generated has an earlier format. The files of a store are packed in
        // the background, so their names differ from time to time.
        if *entry != "store_files" {
            let mut names = names_in(&directory);
            names.retain(|name| !is_found(name));
            let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            assert_eq!(names, generated, "{entry}");
        }
    }
    for (entry, _, content) in &seeds.0 {
        let (_, run): &(&str, Entry) = ENTRIES
            .iter()
            .find(|(known, _)| known == entry)
            .expect("an entry");
        run(content);
    }
}
