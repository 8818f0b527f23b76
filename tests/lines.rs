//! Guarantee: exporting and importing into an empty graph yields the same list, byte for byte, with
//! the same outcomes and times; importing twice changes nothing; a bad line is identified by its
//! number and never by its text.

mod common;

use common::{Random, listed, request, small_segments};
use jobstore::{
    Body, Error, Graph, Job, JobQuery, JobStore, OnBadLine, Outcome, Recovery, Request, State,
};

fn open(dir: &std::path::Path) -> (JobStore, Graph) {
    let store = small_segments()
        .recovery(Recovery::Leave)
        .open(dir)
        .unwrap();
    let movie = store.get_or_create_graph("1", "movie").unwrap();
    (store, movie)
}

fn exported(graph: &Graph, list: JobQuery) -> String {
    let mut lines = Vec::new();
    let mut export = graph.export(list).unwrap();
    export.write_all(&mut lines).unwrap();
    assert_eq!(export.jobs(), export.of());
    String::from_utf8(lines).unwrap()
}

fn import(graph: &Graph, lines: &str) -> jobstore::ImportReport {
    graph.import(lines.as_bytes(), OnBadLine::Stop).unwrap()
}

/// All fields of a job except its number.
fn facts(job: &Job) -> impl PartialEq + std::fmt::Debug + use<> {
    let outcome = job.outcome().map(|o| {
        let texts = [o.code(), o.message(), o.detail(), o.result_ref()];
        (
            o.kind(),
            o.recovered_at_open(),
            texts.map(|text| text.map(str::to_owned)),
        )
    });
    let times = [
        Some(job.submitted_at()),
        job.started_at(),
        job.completed_at(),
    ];
    let request = job.request().as_json().to_owned();
    (
        job.id().clone(),
        job.state(),
        request,
        outcome,
        times,
        job.cancel_requested(),
    )
}

fn fill(movie: &Graph, random: &mut Random, jobs: u64) {
    for n in 0..jobs {
        let text = "é\"\\".repeat(match random.below(50) {
            0 => 100_000,
            _ => random.below(40) as usize,
        });
        let body = Body::from_value(&(n, text)).unwrap();
        let made = Request::new("import \"all\"", "/ges?ü", body).unwrap();
        let id = match random.below(3) {
            0 => movie
                .submit_as(format!("own-{n}"), made)
                .unwrap()
                .id()
                .clone(),
            _ => movie.submit(made).unwrap(),
        };
        match random.below(8) {
            0 => {}
            1 => drop(movie.cancel(&id).unwrap()),
            2 => movie.start(&id).unwrap(),
            3 => {
                movie.start(&id).unwrap();
                movie.cancel(&id).unwrap();
            }
            4 => drop(movie.claim(&id).unwrap()),
            5 => {
                let outcome = Outcome::failed("GES.1", "no \"such\"\n vertex");
                let outcome = outcome.with_detail_json(r#"{"a":[1.0,"é"]}"#).unwrap();
                movie.claim(&id).unwrap().complete(outcome).unwrap();
            }
            _ => {
                let outcome = Outcome::succeeded().with_result_ref("obs://r/1").unwrap();
                movie.claim(&id).unwrap().complete(outcome).unwrap();
            }
        }
    }
}

#[test]
fn what_went_out_comes_back_byte_for_byte_and_only_once() {
    let root = tempfile::tempdir().unwrap();
    let (store, movie) = open(&root.path().join("from"));
    let mut random = Random(3);
    fill(&movie, &mut random, 300);
    common::pack(&store, &root.path().join("from"));
    fill(&movie, &mut Random(4), 0);
    let lines = exported(&movie, JobQuery::new());
    assert_eq!(lines.lines().count(), 300);
    let (to, copy) = open(&root.path().join("to"));
    let done = import(&copy, &lines);
    assert_eq!(
        (done.imported, done.there, done.bad, done.lines),
        (300, 0, 0, 300)
    );
    let check = |copy: &Graph, what: &str| {
        assert!(listed(copy) == listed(&movie), "{what}");
        let all = |graph: &Graph| -> Vec<_> {
            let page = graph.list(JobQuery::new()).unwrap();
            page.jobs().map(|job| facts(&job.unwrap())).collect()
        };
        assert_eq!(all(copy), all(&movie), "{what}");
        assert_eq!(exported(copy, JobQuery::new()), lines, "{what}");
        for job in &copy.list(JobQuery::new()).unwrap() {
            let job = job.unwrap();
            let found = copy.job(job.id()).unwrap().unwrap();
            assert_eq!(facts(&found), facts(&job));
        }
    };
    check(&copy, "imported");
    let again = import(&copy, &lines);
    assert_eq!((again.imported, again.there), (0, 300));
    check(&copy, "twice");
    drop((to, copy));
    common::lose_index(&root.path().join("to"));
    let (_to, copy) = open(&root.path().join("to"));
    check(&copy, "reopened without its index");
    // An interrupted import is completed by repeating it.
    let (_part, part) = open(&root.path().join("part"));
    let half: String = lines.split_inclusive('\n').take(137).collect();
    import(&part, &half);
    let rest = import(&part, &lines);
    assert_eq!((rest.imported, rest.there), (163, 137));
    check(&part, "in two parts");
}

#[test]
fn a_jobs_own_line_is_the_one_that_an_export_has_for_it() {
    let root = tempfile::tempdir().unwrap();
    let (store, movie) = open(root.path());
    fill(&movie, &mut Random(5), 200);
    let secret = request("c", r#"{"a":{"SecretKey":"canary"}}"#);
    movie.submit_as("secret", secret).unwrap();
    let outcome = Outcome::failed("", "").with_detail_json(r#"{"accessKey":"canary"}"#);
    let run = movie.claim("secret").unwrap();
    run.complete(outcome.unwrap()).unwrap();
    let masked = request("c", r#"{"accessKey":"******"}"#)
        .as_json()
        .to_owned();
    import(&movie, &format!(r#"{{"request":{masked},"masked":true}}"#));
    common::pack(&store, root.path());
    let page = movie.list(JobQuery::new()).unwrap();
    let own: String = page
        .jobs()
        .map(|job| job.unwrap().to_json() + "\n")
        .collect();
    assert!(own == exported(&movie, JobQuery::new()));
    assert!(!own.contains("canary"));
    assert_eq!(own.matches(r#""masked":true"#).count(), 2);
}

#[test]
fn an_export_goes_on_where_another_ended_and_keeps_the_lists_order_and_filter() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    fill(&movie, &mut Random(9), 400);
    for list in [
        JobQuery::new(),
        JobQuery::new().newest_first(),
        JobQuery::new().state(State::Complete).newest_first(),
        JobQuery::new()
            .command("import \"all\"")
            .state(State::Pending),
    ] {
        let whole = exported(&movie, list.clone());
        let mut ids: Vec<String> = Vec::new();
        let mut cursor = None;
        loop {
            let from = cursor.iter().fold(list.clone(), |list, c| list.cursor(c));
            let page = movie.list(from).unwrap();
            ids.extend(common::ids(&page));
            cursor = page.next();
            if cursor.is_none() {
                break;
            }
        }
        let of_lines: Vec<String> = whole
            .lines()
            .map(|line| line.split('"').nth(3).unwrap().to_owned())
            .collect();
        assert_eq!(of_lines, ids);
        // In parts, each by a separate export.
        let (mut lines, mut cursor) = (Vec::new(), None);
        loop {
            let from = cursor.iter().fold(list.clone(), |list, c| list.cursor(c));
            let mut export = movie.export(from).unwrap();
            if !export.write_some(&mut lines).unwrap() {
                break;
            }
            cursor = export.cursor();
        }
        assert!(lines == whole.as_bytes());
    }
}

#[test]
fn bare_requests_and_lines_that_leave_things_out_are_taken() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let lines = concat!(
        r#"{"command":"c","url":"/u","body":{"a": 1.0}}"#,
        "\n",
        "\r\n",
        r#" {"jobId":"a","request":{"command":"c","url":"/"}} "#,
        "\r\n",
        r#"{"jobId":"b","status":"running","startedAt":7,"request":{"command":"c","url":""}}"#,
        "\n",
        r#"{"outcome":{"kind":"failed","code":"x"},"completedAt":9,"request":{"command":"c","url":"/"}}"#,
    );
    let done = import(&movie, lines);
    assert_eq!((done.imported, done.lines), (4, 5));
    let jobs: Vec<Job> = movie
        .list(JobQuery::new())
        .unwrap()
        .jobs()
        .map(|j| j.unwrap())
        .collect();
    let states: Vec<State> = jobs.iter().map(Job::state).collect();
    assert_eq!(
        states,
        [
            State::Pending,
            State::Pending,
            State::Running,
            State::Complete
        ]
    );
    assert_eq!(jobs[0].request().body(), r#"{"a":1.0}"#);
    assert_eq!(jobs[1].request().body(), "{}");
    assert_eq!(jobs[3].outcome().unwrap().code(), Some("x"));
    let at = |ms| std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
    assert_eq!(
        (jobs[2].started_at(), jobs[3].completed_at()),
        (Some(at(7)), Some(at(9)))
    );
    let again = import(&movie, lines);
    assert_eq!(
        (again.imported, again.there),
        (2, 2),
        "those without an id are new"
    );
}

#[test]
fn a_bad_line_is_named_and_the_lines_before_it_are_kept() {
    let good = |id: &str| {
        format!(r#"{{"jobId":"{id}","request":{{"command":"c","url":"/","body":"secret"}}}}"#)
    };
    let bad = [
        "secret".to_owned(),
        r#"{"secret":1}"#.to_owned(),
        r#"{"jobId":"no such id","request":{"command":"c","url":"/","body":"secret"}}"#.to_owned(),
        r#"{"jobId":"x","request":{"command":"","url":"/","body":"secret"}}"#.to_owned(),
        r#"{"jobId":"x","status":"secret","request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"x","status":"pending","outcome":{"kind":"failed"},"request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"x","outcome":{"kind":"secret"},"request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"x","command":"c","request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"first","request":{"command":"c","url":"/","body":"another secret"}}"#.to_owned(),
        r#"{"jobId":"x","request":{"command":"c","url":"/","body":"#.to_owned(),
        format!(r#"{{"command":"c","url":"/","body":"{}"}}"#, "x".repeat(20 << 20)),
        format!(r#"{{"command":"c","url":"/","body":{}1{}}}"#, "[".repeat(200), "]".repeat(200)),
        // A line with two requests, or with one and a half.
        r#"{"jobId":"x","url":"/secret","request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"x","body":"secret","request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"x","body":null,"request":{"command":"c","url":"/"}}"#.to_owned(),
        r#"{"jobId":"x","url":"/secret","body":1}"#.to_owned(),
        // `recoveredAtOpen` belongs to an interruption by recovery, which has no further details.
        r#"{"jobId":"x","outcome":{"kind":"failed","recoveredAtOpen":3},"command":"c"}"#.to_owned(),
        r#"{"jobId":"x","outcome":{"kind":"cancelled","recoveredAtOpen":3,"code":"secret"},"command":"c"}"#.to_owned(),
        r#"{"jobId":"x","outcome":{"kind":"interrupted","recoveredAtOpen":3,"detail":null},"command":"c"}"#.to_owned(),
        r#"{"jobId":"x","outcome":{"kind":"interrupted","recoveredAtOpen":0},"command":"c"}"#.to_owned(),
    ];
    for bad in bad {
        let store = JobStore::in_memory().unwrap();
        let movie = store.create_graph("1", "movie").unwrap();
        let lines = format!("{}\n{bad}\n{}", good("first"), good("last"));
        let stopped = movie.import(lines.as_bytes(), OnBadLine::Stop);
        let Err(Error::BadLine { line: 2, problem }) = stopped else {
            panic!("{:.60}: {stopped:?}", bad);
        };
        assert!(
            !problem.contains("secret") && problem.len() < 300,
            "{problem}"
        );
        assert_eq!(
            common::ids(&movie.list(JobQuery::new()).unwrap()),
            ["first"],
            "{bad:.60}"
        );
        let done = movie.import(lines.as_bytes(), OnBadLine::Skip).unwrap();
        assert_eq!(
            (done.imported, done.there, done.bad),
            (1, 1, 1),
            "{bad:.60}"
        );
        assert_eq!(done.bad_lines, [(2, problem)]);
        assert_eq!(
            common::ids(&movie.list(JobQuery::new()).unwrap()),
            ["first", "last"]
        );
    }
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let twice = format!("{}\n{}\n", good("a"), good("a"));
    let done = import(&movie, &twice);
    assert_eq!((done.imported, done.there), (1, 1));
    movie.cancel("a").unwrap();
    movie.purge(JobQuery::new()).unwrap();
    let purged = movie.import(twice.as_bytes(), OnBadLine::Stop);
    assert!(
        matches!(purged, Err(Error::BadLine { line: 1, .. })),
        "{purged:?}"
    );
}

#[test]
fn numbers_that_no_store_has_are_refused_and_the_greatest_come_back() {
    const TIME_MAX: u64 = 253_402_300_799_999;
    const BOOT_MAX: u64 = (1 << 62) - 1;
    let root = tempfile::tempdir().unwrap();
    let (store, movie) = open(&root.path().join("store"));
    movie.submit_as("before", request("c", "1")).unwrap();
    let line = |at: [u64; 3], boot: u64| {
        format!(
            r#"{{"jobId":"x","status":"complete","request":{{"command":"c","url":"/","body":{{}}}},"outcome":{{"kind":"interrupted","recoveredAtOpen":{boot}}},"submittedAt":{},"startedAt":{},"completedAt":{}}}"#,
            at[0], at[1], at[2]
        )
    };
    for over in [TIME_MAX + 1, 1 << 62, u64::MAX - 1, u64::MAX] {
        for n in 0..3 {
            let mut at = [1, 2, 3];
            at[n] = over;
            let refused = movie.import(line(at, 1).as_bytes(), OnBadLine::Stop);
            let Err(Error::BadLine { line: 1, problem }) = refused else {
                panic!("{at:?}: {refused:?}");
            };
            let name = ["submittedAt", "startedAt", "completedAt"][n];
            for said in [name, &over.to_string(), &TIME_MAX.to_string()] {
                assert!(problem.contains(said), "{problem}");
            }
        }
    }
    for over in [BOOT_MAX + 1, u64::MAX - 1, u64::MAX] {
        let refused = movie.import(line([1, 2, 3], over).as_bytes(), OnBadLine::Stop);
        let Err(Error::BadLine { line: 1, problem }) = refused else {
            panic!("{over}: {refused:?}");
        };
        for said in ["recoveredAtOpen", &over.to_string(), &BOOT_MAX.to_string()] {
            assert!(problem.contains(said), "{problem}");
        }
    }
    let greatest = line([TIME_MAX; 3], BOOT_MAX);
    assert_eq!(import(&movie, &greatest).imported, 1);
    let look = |movie: &Graph, what: &str| {
        assert_eq!(common::ids(&movie.list(JobQuery::new()).unwrap()).len(), 2);
        let lines = exported(movie, JobQuery::new());
        assert_eq!(lines.lines().nth(1), Some(&*greatest), "{what}");
        // The shown time is the one that filters use.
        let shown = movie.job("x").unwrap().unwrap().submitted_at();
        for (list, found) in [
            (JobQuery::new().submitted_from(shown), 1),
            (JobQuery::new().submitted_before(shown), 1),
        ] {
            assert_eq!(movie.list(list).unwrap().len(), found, "{what}");
        }
        let changes = movie.changes(None).unwrap();
        assert!(changes.into_iter().all(|change| change.is_ok()), "{what}");
    };
    look(&movie, "imported");
    common::pack(&store, &root.path().join("store"));
    look(&movie, "packed");
    store.close().unwrap();
    drop((store, movie));
    let (store, movie) = open(&root.path().join("store"));
    look(&movie, "reopened");
    drop((store, movie));
    common::lose_index(&root.path().join("store"));
    let (_store, movie) = open(&root.path().join("store"));
    look(&movie, "reopened without its index");
}

#[test]
fn what_a_line_says_of_an_end_goes_out_as_it_came() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let ends = [
        r#"{"kind":"failed","code":"c","message":"m","detail":null}"#,
        r#"{"kind":"succeeded","detail":null}"#,
        r#"{"kind":"partially_failed","code":"","message":"","resultRef":"","detail":""}"#,
        r#"{"kind":"failed","message":"\"","resultRef":"r","detail":{"a":[1.0,null]}}"#,
        r#"{"kind":"cancelled","recoveredAtOpen":1}"#,
        r#"{"kind":"interrupted","recoveredAtOpen":4294967296}"#,
        r#"{"kind":"cancelled","code":"c"}"#,
        r#"{"kind":"interrupted"}"#,
    ];
    let lines: String = ends
        .iter()
        .enumerate()
        .map(|(n, end)| {
            let request = r#"{"command":"c","url":"/","body":null}"#;
            format!(
                r#"{{"jobId":"j{n}","status":"complete","request":{request},"outcome":{end},"submittedAt":1,"startedAt":2,"completedAt":3}}"#
            ) + "\n"
        })
        .collect();
    assert_eq!(import(&movie, &lines).imported, ends.len() as u64);
    assert_eq!(exported(&movie, JobQuery::new()), lines);
}

#[test]
fn nothing_behind_a_bad_line_is_imported_also_where_the_commit_finds_it() {
    /// A reader of lines that, at its end, submits a job with one of their ids.
    struct Late<'a>(&'a Graph, &'a [u8], &'a str);
    impl std::io::Read for Late<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let read = self.1.read(to)?;
            if read == 0 {
                self.0.submit_as(self.2, request("other", "1")).unwrap();
            }
            Ok(read)
        }
    }
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let lines: String = (0..10)
        .map(|n| format!("{{\"jobId\":\"j{n}\",\"command\":\"c\"}}\n"))
        .collect();
    let (late, mut imported) = (Late(&movie, lines.as_bytes(), "j5"), 0);
    let stopped = movie.import_with_progress(late, OnBadLine::Stop, |so_far| {
        imported = so_far.imported;
    });
    assert!(
        matches!(stopped, Err(Error::BadLine { line: 6, .. })),
        "{stopped:?}"
    );
    assert_eq!(imported, 5, "it reports what it imported before");
    let there = common::ids(&movie.list(JobQuery::new()).unwrap());
    assert_eq!(there, ["j5", "j0", "j1", "j2", "j3", "j4"]);
    let lines = lines.replace(":\"j", ":\"k");
    let done = movie
        .import(Late(&movie, lines.as_bytes(), "k5"), OnBadLine::Skip)
        .unwrap();
    assert_eq!((done.imported, done.there, done.bad), (9, 0, 1));
    assert_eq!(done.bad_lines[0].0, 6);
}

#[test]
fn no_line_is_passed_over_for_what_is_wrong_with_the_store() {
    /// A reader of lines that drops the graph when the first one is read.
    struct Drops<'a>(&'a JobStore, &'a [u8]);
    impl std::io::Read for Drops<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            self.0.drop_graph("1", "movie").ok();
            self.1.read(to)
        }
    }
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let lines = br#"{"jobId":"a","command":"c"}"#;
    for what in [OnBadLine::Skip, OnBadLine::Stop] {
        let failed = movie.import(Drops(&store, lines), what);
        assert!(
            matches!(failed, Err(Error::GraphDropped { .. })),
            "{failed:?}"
        );
    }
}

#[test]
fn an_export_counts_what_it_wrote_and_goes_on_after_a_writer_failed() {
    /// Fails on the first write.
    struct Once(bool, Vec<u8>);
    impl std::io::Write for &mut Once {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if !std::mem::replace(&mut self.0, true) {
                return Err(std::io::Error::other("full"));
            }
            self.1.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    fill(&movie, &mut Random(5), 100);
    let stops = |list: JobQuery| {
        let looks = std::sync::atomic::AtomicU64::new(0);
        list.body_contains("1").on_progress(move |_| {
            match looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => std::ops::ControlFlow::Continue(()),
                _ => std::ops::ControlFlow::Break(()),
            }
        })
    };
    for make in [
        &|list| list as JobQuery,
        &stops as &dyn Fn(JobQuery) -> JobQuery,
    ] {
        for list in [JobQuery::new as fn() -> JobQuery, || {
            JobQuery::new().newest_first()
        }] {
            let whole = {
                let mut lines = Vec::new();
                movie
                    .export(make(list()))
                    .unwrap()
                    .write_all(&mut lines)
                    .unwrap();
                lines
            };
            let mut out = Once(false, Vec::new());
            let mut export = movie.export(make(list())).unwrap();
            let failed = export.write_some(&mut out);
            assert!(matches!(failed, Err(Error::Output { .. })), "{failed:?}");
            assert_eq!(export.jobs(), 0);
            assert!(export.cursor().is_none(), "nothing is written");
            export.write_all(&mut out).unwrap();
            assert_eq!(export.jobs(), export.of());
            assert!(out.1 == whole);
        }
    }
}

#[test]
fn a_reader_that_fails_is_said() {
    struct Fails;
    impl std::io::Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("no more"))
        }
    }
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("1", "movie").unwrap();
    let failed = movie.import(Fails, OnBadLine::Stop);
    assert!(matches!(failed, Err(Error::Input { .. })), "{failed:?}");
    movie.submit(request("c", "1")).unwrap();
    let mut small = [0u8; 8];
    let full = movie
        .export(JobQuery::new())
        .unwrap()
        .write_all(&mut small[..]);
    assert!(matches!(full, Err(Error::Output { .. })), "{full:?}");
}
