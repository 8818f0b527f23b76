//! Guarantee: a job whose id is lost is found by the known parts of its request: the command, parts
//! of the URL, text of the body, a value in it. The result is that of filtering a plain list,
//! wherever the jobs are stored and however the list is read. A search reports its progress, stops
//! on request, and continues from there.

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Random, small_segments};
use jobstore::{
    Body, Cursor, Error, Graph, Job, JobQuery, JobStore, OnBadLine, Outcome, Page, Request,
    ScanProgress, State,
};

const COMMANDS: [&str; 3] = ["import_graph", "say \"it\"\n", "ü"];
const URLS: [&str; 4] = [
    "/ges/v1.0/10001/graphs",
    "/ges/v1.0/10001/graphs/movie/action?action_id=\"x\"",
    "/ges/v2/\\new/ü",
    "",
];
/// Texts that may occur in a body, each as a value of its key `t`.
const TEXTS: [&str; 6] = [
    r#""plain text""#,
    r#""esc\u0061ped \"quotes\" \\ ü""#,
    r#""escaped \u0022quotes\u0022 \u005c \u00fc""#,
    r#"{"in":[1,2.50,{"x":null}],"y":"z"}"#,
    r#"{"y":"\u007a","in":[1,2.50,{"x":null}]}"#,
    "2.50",
];

fn body(random: &mut Random, n: u64) -> String {
    let text = TEXTS[random.below(6) as usize];
    let size = match random.below(80) {
        // Some do not fit into a block, or into a piece of one.
        0 => 300_000,
        1..=6 => 5000,
        _ => 20,
    };
    let filler = "f".repeat(size);
    match random.below(4) {
        0 => format!(r#"{{"n":{n},"t":{text}}}"#),
        1 => format!(r#"{{"filler":"{filler}","t":{text},"t":{n}}}"#),
        2 => format!(r#"[{text},"{filler}",{n}]"#),
        _ => text.to_owned(),
    }
}

fn fill(movie: &Graph, random: &mut Random, jobs: u64) {
    for n in 0..jobs {
        let command = COMMANDS[random.below(3) as usize];
        let url = URLS[random.below(4) as usize];
        let body = Body::from_json(body(random, n)).unwrap();
        let id = movie.submit(Request::new(command, url, body).unwrap());
        if random.below(2) == 0 {
            let run = movie.claim(id.unwrap()).unwrap();
            run.complete(Outcome::succeeded()).unwrap();
        }
    }
}

/// The filters of a search, and the same as a predicate on a job.
#[derive(Clone, Debug, Default)]
struct Asked {
    state: Option<State>,
    command: Option<&'static str>,
    prefixes: Vec<&'static str>,
    in_url: Vec<&'static str>,
    in_body: Vec<&'static str>,
    values: Vec<(&'static str, &'static str)>,
    newest_first: bool,
}

impl Asked {
    fn draw(random: &mut Random) -> Asked {
        let mut pick = |from: &[&'static str], often: u64| -> Vec<&'static str> {
            let some = from.iter().copied();
            some.filter(|_| random.below(often) == 0).collect()
        };
        let prefixes = ["/ges/v1.0/10001/graphs/movie", "/ges/v2/\\n", "/", "/x"];
        let in_url = ["action_id=\"x\"", "\\new", "\new", "ü", "v1.0", "u0022"];
        let in_body = [
            "plain",
            r#"\"quotes\""#,
            r"\u0022",
            "ü",
            "2.50",
            r#""y":"#,
            "fff",
        ];
        let mut asked = Asked {
            prefixes: pick(&prefixes, 6),
            in_url: pick(&in_url, 12),
            in_body: pick(&in_body, 12),
            ..Asked::default()
        };
        if random.below(5) == 0 {
            asked.command = Some(COMMANDS[random.below(3) as usize]);
        }
        if random.below(3) == 0 {
            asked.state = Some(State::ALL[random.below(3) as usize]);
        }
        if random.below(2) == 0 {
            let pointers = ["/t", "/0", "", "/n", "/t/in/1", "/t/y", "/1"];
            let pointer = pointers[random.below(7) as usize];
            let values = [
                r#""plain text""#,
                r#""escaped \"quotes\" \\ ü""#,
                r#" { "y" : "z" , "in" : [ 1 , 2.50 , { "x" : null } ] } "#,
                "2.50",
                "2.5",
                r#""z""#,
                "7",
            ];
            let value = values[random.below(7) as usize];
            asked.values.push((pointer, value));
        }
        asked.newest_first = random.below(2) == 0;
        asked
    }

    fn list(&self) -> JobQuery {
        let mut list = JobQuery::new();
        list = self
            .state
            .iter()
            .fold(list, |list, state| list.state(*state));
        list = self.command.iter().fold(list, |list, c| list.command(*c));
        list = self
            .prefixes
            .iter()
            .fold(list, |list, t| list.url_prefix(*t));
        list = self
            .in_url
            .iter()
            .fold(list, |list, t| list.url_contains(*t));
        list = self
            .in_body
            .iter()
            .fold(list, |list, t| list.body_contains(*t));
        list = self
            .values
            .iter()
            .fold(list, |list, (p, v)| list.body_value(*p, *v));
        match self.newest_first {
            true => list.newest_first(),
            false => list,
        }
    }

    fn wants(&self, job: &Job) -> bool {
        let request = job.request();
        let (url, body) = (request.url(), request.body());
        self.state.is_none_or(|state| state == job.state())
            && self
                .command
                .is_none_or(|command| command == request.command())
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|p| url.starts_with(p)))
            && self.in_url.iter().all(|part| url.contains(part))
            && self.in_body.iter().all(|part| body.contains(part))
            && self
                .values
                .iter()
                .all(|(pointer, value)| has_value(body, pointer, value))
    }
}

/// The values of a body at a pointer, as JSON values. Numbers are compared by their text: they are
/// converted to marked strings.
fn has_value(body: &str, pointer: &str, value: &str) -> bool {
    let wanted = Json::read(value);
    let mut found = vec![Json::read(body)];
    for step in pointer.split('/').skip(1) {
        found = found.into_iter().flat_map(|json| json.step(step)).collect();
    }
    found.contains(&wanted)
}

/// JSON with everything that comparisons of bodies use: an independent parser, slow and simple.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Word(String),
    Text(String),
    Array(Vec<Json>),
    /// Sorted by key, equal keys in their original order.
    Object(Vec<(String, Json)>),
}

impl Json {
    fn read(text: &str) -> Json {
        let mut rest = text.trim();
        let json = Json::value(&mut rest);
        assert!(rest.trim().is_empty(), "{rest}");
        json
    }

    fn skip(rest: &mut &str, what: &str) -> bool {
        *rest = rest.trim_start();
        let found = rest.strip_prefix(what);
        *rest = found.unwrap_or(rest);
        found.is_some()
    }

    fn text(rest: &mut &str) -> String {
        let mut end = 1;
        while !rest[end..].starts_with('"') {
            end += match rest[end..].starts_with('\\') {
                true => 2,
                false => rest[end..].chars().next().unwrap().len_utf8(),
            };
        }
        let (token, after) = rest.split_at(end + 1);
        *rest = after;
        serde_json::from_str(token).unwrap()
    }

    fn value(rest: &mut &str) -> Json {
        *rest = rest.trim_start();
        if rest.starts_with('"') {
            Json::Text(Json::text(rest))
        } else if Json::skip(rest, "[") {
            let mut all = Vec::new();
            while !Json::skip(rest, "]") {
                all.push(Json::value(rest));
                Json::skip(rest, ",");
            }
            Json::Array(all)
        } else if Json::skip(rest, "{") {
            let mut all = Vec::new();
            while !Json::skip(rest, "}") {
                *rest = rest.trim_start();
                let key = Json::text(rest);
                assert!(Json::skip(rest, ":"));
                all.push((key, Json::value(rest)));
                Json::skip(rest, ",");
            }
            all.sort_by(|a: &(String, Json), b| a.0.cmp(&b.0));
            Json::Object(all)
        } else {
            let end = rest.find([',', ']', '}', ' ']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            Json::Word(word.to_owned())
        }
    }

    fn step(self, step: &str) -> Vec<Json> {
        match self {
            Json::Array(all) => {
                let n = step.parse::<usize>().ok();
                n.and_then(|n| all.get(n).cloned()).into_iter().collect()
            }
            Json::Object(all) => {
                let found = all.into_iter().filter(|(key, _)| key == step);
                found.map(|(_, value)| value).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn numbers(page: &Page) -> Vec<u64> {
    page.jobs().map(|job| job.unwrap().sequence()).collect()
}

/// Walks a list by cursors, converted to text and back.
fn walk(movie: &Graph, list: &JobQuery) -> Vec<u64> {
    let (mut walked, mut cursor) = (Vec::new(), None::<Cursor>);
    loop {
        let next = cursor.iter().fold(list.clone(), |list, c| list.cursor(c));
        let page = movie.list(next).unwrap();
        walked.extend(numbers(&page));
        match page.next() {
            Some(next) => cursor = Some(next.to_string().parse().unwrap()),
            None => return walked,
        }
    }
}

fn check(movie: &Graph, random: &mut Random, rounds: u32) -> u64 {
    let all = movie.list(JobQuery::new()).unwrap();
    let all: Vec<Job> = all.jobs().map(|job| job.unwrap()).collect();
    let mut found = 0;
    for _ in 0..rounds {
        let asked = Asked::draw(random);
        let wanted = all.iter().filter(|job| asked.wants(job));
        let mut expected: Vec<u64> = wanted.map(Job::sequence).collect();
        if asked.newest_first {
            expected.reverse();
        }
        found += expected.len() as u64;
        let (offset, limit) = (random.below(9), 1 + random.below(25));
        let page = movie
            .list(asked.list().offset(offset).limit(limit))
            .unwrap();
        let rest = expected.iter().copied().skip(offset as usize);
        let shown: Vec<u64> = rest.take(limit as usize).collect();
        assert_eq!(numbers(&page), shown, "{asked:?}");
        assert!(!page.is_stopped());
        let counted = movie.list(asked.list().limit(limit).count_total()).unwrap();
        let is_scan = format!("{:?}", asked.list()) != format!("{:?}", JobQuery::new());
        assert!(
            !is_scan || counted.total() == Some(expected.len() as u64),
            "{asked:?}"
        );
        assert_eq!(
            walk(movie, &asked.list().limit(limit)),
            expected,
            "{asked:?}"
        );
        // Stopped repeatedly after a number of jobs, even within the offset.
        let stopping = stopped_now_and_then(&asked.list(), random.below(400));
        let (mut walked, mut cursor) = (Vec::new(), None);
        loop {
            let list = match &cursor {
                None => stopping.clone().offset(offset),
                Some(cursor) => stopping.clone().cursor(cursor),
            };
            let page = movie.list(list.limit(limit)).unwrap();
            assert!(!page.is_stopped() || page.next().is_some());
            assert!(page.total().is_none() || !page.is_stopped());
            walked.extend(numbers(&page));
            cursor = page.next();
            if cursor.is_none() {
                break;
            }
        }
        let rest: Vec<u64> = expected.iter().copied().skip(offset as usize).collect();
        assert_eq!(walked, rest, "{asked:?}");
        // By export: whole lines.
        let mut lines = Vec::new();
        movie
            .export(asked.list())
            .unwrap()
            .write_all(&mut lines)
            .unwrap();
        assert_eq!(
            lines.iter().filter(|b| **b == b'\n').count(),
            expected.len()
        );
        let complete = all.iter().filter(|job| job.state() == State::Complete);
        let complete = complete.filter(|job| asked.wants(job)).count() as u64;
        assert_eq!(movie.purge_dry_run(asked.list()).unwrap().jobs, complete);
    }
    found
}

/// Stops whenever this many further jobs were scanned.
fn stopped_now_and_then(list: &JobQuery, jobs: u64) -> JobQuery {
    list.clone().on_progress(move |searched| {
        assert!(searched.matched <= searched.looked_at && searched.looked_at <= searched.of);
        match searched.looked_at > jobs {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })
}

fn open(dir: &Path, threads: usize) -> (JobStore, Graph) {
    let store = small_segments().page_threads(threads).open(dir).unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

#[test]
fn what_is_found_is_what_a_plain_list_has_of_it() {
    for threads in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let mut random = Random(threads as u64);
        let (store, movie) = open(dir.path(), threads);
        let mut found = 0;
        fill(&movie, &mut random, 150);
        found += check(&movie, &mut random, 15);
        fill(&movie, &mut random, 350);
        common::pack(&store, dir.path());
        found += check(&movie, &mut random, 30);
        fill(&movie, &mut random, 60);
        found += check(&movie, &mut random, 15);
        drop((store, movie));
        let (_store, movie) = open(dir.path(), threads);
        found += check(&movie, &mut random, 10);
        assert!(found > 500, "hardly anything was found: {found}");
    }
}

/// Many small jobs, so that several threads work.
fn thousands(dir: &Path, threads: usize) -> (JobStore, Graph) {
    let (store, movie) = open(dir, threads);
    for batch in 0..20u64 {
        let requests = (0..1000u64).map(|n| {
            let n = batch * 1000 + n;
            let body = format!(r#"{{"path":"obs/{n}.csv","part":{}}}"#, n % 100);
            Request::new("import", "/ges", Body::from_json(body).unwrap()).unwrap()
        });
        movie.submit_all(requests.collect::<Vec<_>>()).unwrap();
    }
    common::pack(&store, dir);
    (store, movie)
}

#[test]
fn several_threads_find_the_same_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let expected: Vec<u64> = (0..20_000).filter(|n| n % 100 == 42).collect();
    for threads in [1, 2, 8] {
        let (store, movie) = thousands(&dir.path().join(threads.to_string()), threads);
        let list = || JobQuery::new().body_value("/part", "42");
        assert_eq!(numbers(&movie.list(list()).unwrap()), expected);
        assert_eq!(walk(&movie, &list().limit(7)), expected);
        let mut newest = numbers(&movie.list(list().newest_first()).unwrap());
        newest.reverse();
        assert_eq!(newest, expected);
        let one = JobQuery::new()
            .newest_first()
            .body_value("/path", r#""obs/17777.csv""#);
        assert_eq!(numbers(&movie.list(one.limit(1)).unwrap()), [17_777]);
        store.close().unwrap();
    }
}

#[test]
fn a_page_that_is_full_ends_the_search() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, movie) = thousands(dir.path(), 2);
    let looked_at = Arc::new(AtomicU64::new(0));
    let seen = looked_at.clone();
    let list = JobQuery::new()
        .newest_first()
        .body_contains("csv")
        .on_progress(move |searched| {
            seen.store(searched.looked_at, Ordering::Relaxed);
            ControlFlow::Continue(())
        });
    let page = movie.list(list.clone().limit(10)).unwrap();
    assert_eq!((page.len(), page.is_stopped()), (10, false));
    assert!(page.next().is_some());
    assert!(looked_at.load(Ordering::Relaxed) < 2000);
    // There is nothing after the last one.
    let last = JobQuery::new()
        .body_value("/path", r#""obs/19999.csv""#)
        .limit(1);
    let page = movie.list(last).unwrap();
    assert_eq!((page.len(), page.next()), (1, None));
}

#[test]
fn a_search_says_how_far_it_is_and_stops_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, movie) = thousands(dir.path(), 2);
    let told = Arc::new(Mutex::new(Vec::<ScanProgress>::new()));
    let note = told.clone();
    let list = JobQuery::new()
        .body_value("/part", "42")
        .on_progress(move |searched| {
            let mut told = note.lock().unwrap();
            told.push(*searched);
            match told.len() % 5 {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        });
    let (mut found, mut stops, mut cursor) = (Vec::new(), 0, None);
    loop {
        let next = cursor
            .iter()
            .fold(list.clone(), |list, cursor| list.cursor(cursor));
        told.lock().unwrap().clear();
        let page = movie.list(next).unwrap();
        let told = told.lock().unwrap();
        assert!(told.iter().all(|t| t.of <= 20_000));
        assert!(
            told.windows(2)
                .all(|two| two[0].looked_at <= two[1].looked_at)
        );
        assert!(told.windows(2).all(|two| two[0].matched <= two[1].matched));
        assert_eq!(told.last().unwrap().matched, page.len() as u64);
        stops += u64::from(page.is_stopped());
        found.extend(numbers(&page));
        cursor = page.next();
        assert_eq!(page.is_stopped(), cursor.is_some());
        if cursor.is_none() {
            let last = told.last().unwrap();
            assert_eq!(last.looked_at, last.of);
            break;
        }
    }
    assert!(stops > 2, "{stops}");
    assert_eq!(
        found,
        (0..20_000).filter(|n| n % 100 == 42).collect::<Vec<_>>()
    );
}

#[test]
fn what_is_stopped_early_exports_and_purges_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, movie) = thousands(dir.path(), 1);
    for n in 0..300 {
        let job = movie.list(JobQuery::new().offset(n * 60).limit(1)).unwrap();
        let id = job.jobs().next().unwrap().unwrap().id().clone();
        movie.cancel(&id).unwrap();
    }
    let list = || JobQuery::new().body_contains("csv");
    let stopping = || stopped_now_and_then(&list(), 600);
    // Each export continues where the previous one was stopped.
    let (mut lines, mut cursor, mut exports) = (Vec::new(), None, 0);
    loop {
        let next = cursor
            .iter()
            .fold(stopping(), |list, cursor| list.cursor(cursor));
        let mut export = movie.export(next).unwrap();
        export.write_all(&mut lines).unwrap();
        exports += 1;
        cursor = export.cursor().filter(|_| export.is_stopped());
        if cursor.is_none() {
            break;
        }
    }
    assert!(exports > 5, "{exports}");
    let mut whole = Vec::new();
    movie
        .export(JobQuery::new())
        .unwrap()
        .write_all(&mut whole)
        .unwrap();
    assert!(lines == whole);
    // 300 are complete; the first ones found are purged.
    let complete = || list().state(State::Complete);
    let some = stopped_now_and_then(&complete(), 100);
    let would = movie.purge_dry_run(some.clone()).unwrap();
    assert!(
        would.stopped && would.jobs > 0 && would.jobs < 300,
        "{would:?}"
    );
    assert_eq!(movie.purge(some).unwrap(), would);
    let rest = movie.purge(complete()).unwrap();
    assert_eq!((rest.jobs + would.jobs, rest.stopped), (300, false));
    assert_eq!(movie.count(State::Complete).unwrap(), 0);
}

#[test]
fn a_walk_neither_skips_nor_repeats_while_others_write_and_purge() {
    let dir = tempfile::tempdir().unwrap();
    let (store, movie) = open(dir.path(), 3);
    let request = |n: u64| {
        let body = format!(
            r#"{{"n":{n},"kind":"{}"}}"#,
            ["keep", "go"][(n % 2) as usize]
        );
        Request::new("c", "/ges", Body::from_json(body).unwrap()).unwrap()
    };
    let kept = 4000;
    movie.submit_all((0..2 * kept).map(request)).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 2 * kept;
            while !is_over.load(Ordering::Relaxed) {
                movie.submit_all((n..n + 50).map(request)).unwrap();
                n += 50;
                let some = JobQuery::new().body_value("/kind", r#""go""#).limit(20);
                for job in &movie.list(some.state(State::Pending)).unwrap() {
                    movie.cancel(job.unwrap().id()).unwrap();
                }
                movie
                    .purge(JobQuery::new().body_value("/kind", r#""go""#))
                    .unwrap();
            }
        });
        for newest_first in [false, true] {
            let mut expected: Vec<u64> = (0..kept).map(|n| 2 * n).collect();
            let mut list = JobQuery::new().body_value("/kind", r#""keep""#).limit(150);
            if newest_first {
                expected.reverse();
                list = list.newest_first();
            }
            let (mut walked, mut cursor) = (Vec::new(), None::<Cursor>);
            while walked.len() < expected.len() {
                let next = cursor
                    .iter()
                    .fold(list.clone(), |list, cursor| list.cursor(cursor));
                let page = movie.list(next).unwrap();
                walked.extend(numbers(&page).into_iter().filter(|&s| s < 2 * kept));
                cursor = page.next();
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(walked[..expected.len()], expected);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    store.close().unwrap();
}

#[test]
fn a_cursor_of_another_search_is_refused_and_of_the_same_is_not() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let lines = "{\"command\":\"c\",\"url\":\"/a\",\"body\":{\"a\":1,\"b\":2}}\n".repeat(5);
    movie.import(lines.as_bytes(), OnBadLine::Stop).unwrap();
    let lists = [
        JobQuery::new(),
        JobQuery::new().url_prefix("/a"),
        JobQuery::new().url_contains("/a"),
        JobQuery::new().url_prefix("/a").url_prefix("/b"),
        JobQuery::new().body_contains("1"),
        JobQuery::new().body_contains("1").body_contains("2"),
        JobQuery::new().body_value("/a", "1"),
        JobQuery::new().body_value("", r#"{"a":1,"b":2}"#),
    ];
    for (n, list) in lists.iter().enumerate() {
        let cursor = movie.list(list.clone().limit(2)).unwrap().next().unwrap();
        for (m, other) in lists.iter().enumerate() {
            match movie.list(other.clone().cursor(&cursor)) {
                Ok(page) => assert!(n == m && page.len() == 3, "{n} {m}"),
                Err(Error::InvalidCursor { .. }) => assert_ne!(n, m),
                Err(other) => panic!("{other}"),
            }
        }
    }
    // The same query in another form, and with a progress callback.
    let cursor = movie
        .list(lists[7].clone().limit(2))
        .unwrap()
        .next()
        .unwrap();
    let same = JobQuery::new()
        .body_value("", "{\"b\": 2, \"a\": 1}")
        .cursor(&cursor);
    let same = same.on_progress(|_| ControlFlow::Continue(()));
    assert_eq!(movie.list(same).unwrap().len(), 3);
}

#[test]
fn a_question_that_is_none_is_refused_and_quotes_no_secret() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    for (pointer, value) in [
        ("a", "1"),
        ("/~2", "1"),
        ("/a", "hunter2"),
        ("/a", ""),
        ("/a", "1 2"),
    ] {
        let list = JobQuery::new()
            .body_value(pointer, value)
            .body_contains("hunter2");
        assert!(!format!("{list:?}").contains("hunter2"));
        let asked = [
            movie.list(list.clone()).err(),
            movie.export(list.clone()).err(),
            movie.purge_dry_run(list.clone()).err(),
            movie.purge(list).err(),
        ];
        for error in asked {
            let error = error.unwrap();
            assert_eq!(error.api_error().status, 400);
            assert!(!error.to_string().contains("hunter2"), "{error}");
            match error {
                Error::InvalidPointer { .. } => assert!(value == "1"),
                Error::InvalidJson { what: "value", .. } => assert_eq!(pointer, "/a"),
                other => panic!("{other}"),
            }
        }
    }
    let deep = format!("{}{}", "[".repeat(121), "]".repeat(121));
    let error = movie
        .list(JobQuery::new().body_value("", deep))
        .unwrap_err();
    assert!(matches!(error, Error::TooDeep { what: "value", .. }));
}

#[test]
fn a_search_that_is_stopped_at_any_word_comes_to_its_end_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, movie) = thousands(dir.path(), 2);
    for walk in 0..24 {
        let [newest_first, counts] = [walk & 1 == 1, walk & 2 == 2];
        // Stops at the first report each time, or at a later one.
        let words = [0, 1, 2, 5, 9, 40][walk >> 2];
        let mut list = JobQuery::new().body_value("/part", "42").limit(70);
        if newest_first {
            list = list.newest_first();
        }
        if counts {
            list = list.count_total();
        }
        let (mut found, mut calls, mut cursor) = (Vec::new(), 0, None::<Cursor>);
        loop {
            let told = AtomicU64::new(0);
            let next = list.clone().on_progress(move |_| {
                match told.fetch_add(1, Ordering::Relaxed) < words {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            });
            let page = match &cursor {
                None => movie.list(next).unwrap(),
                Some(cursor) => movie.list(next.cursor(cursor)).unwrap(),
            };
            calls += 1;
            assert!(calls < 1000, "walk {walk} does not come to its end");
            found.extend(numbers(&page));
            assert!(page.total().is_none_or(|total| counts && total == 200));
            cursor = page.next();
            if cursor.is_none() {
                break;
            }
        }
        if newest_first {
            found.reverse();
        }
        let expected = (0..20_000).filter(|n| n % 100 == 42);
        assert!(found.iter().copied().eq(expected), "walk {walk}: {found:?}");
    }
}
