//! Guarantee: a mistake on the command line (an unset variable, a wrong file, too short an id)
//! changes nothing and is reported; no command except `serve` changes the secret keys that a store
//! records.

use std::fs;

use jobstore::{JobStore, State};

use crate::common::names_in;
use crate::tool::{Place, open};

/// A complete job, `done`, and a pending one, both with generated ids.
fn generated() -> (Place, String, String) {
    let place = Place::new();
    let (purged, waits) = place.with(|movie| {
        let purged = movie.submit(crate::tool::request("a", 1)).unwrap();
        movie.cancel(&purged).unwrap();
        assert_eq!(movie.purge(jobstore::JobQuery::new()).unwrap().jobs, 1);
        let waits = movie.submit(crate::tool::request("b", 2)).unwrap();
        (purged.to_string(), waits.to_string())
    });
    (place, purged, waits)
}

#[test]
fn nothing_is_written_into_the_directory_of_a_store() {
    let place = Place::filled();
    fs::create_dir_all(place.store().join("index/sub")).unwrap();
    let before = names_in(&place.store());
    for into in ["store/copy", "store/index/sub/copy", "store/../store/copy"] {
        let said = place.run(&["backup", into]).said(2);
        assert!(said.contains("inside the store's own"), "{into}: {said}");
    }
    std::os::unix::fs::symlink(place.store(), place.path("link")).unwrap();
    for into in ["store/foo", "store/index/sub/foo", "link/foo"] {
        let said = place.run(&["export", into]).said(2);
        assert!(said.contains("inside the directory of a store"), "{said}");
    }
    assert_eq!(names_in(&place.store()), before);
    assert!(names_in(&place.store().join("index/sub")).is_empty());
    // Next to it is fine.
    place.run(&["backup", "copy"]).fine();
    place.run(&["export", "foo"]).fine();
}

#[test]
fn an_empty_text_is_no_filter() {
    let place = Place::filled();
    for option in [
        "--url-prefix",
        "--url-contains",
        "--body-contains",
        "--command",
        "--body-value",
        "--state",
        "--outcome",
        "--submitted-from",
        "--completed-before",
        "--graph",
    ] {
        for verb in ["purge", "list", "export"] {
            let ran = place.run(&[verb, option, ""]);
            assert_eq!(ran.code, 2, "{verb} {option}: {ran:?}");
            assert!(ran.err.contains(option), "{verb} {option}: {ran:?}");
        }
    }
    for wrong in [
        &["complete", "--failed", "--reason", "", "hangs"][..],
        &[
            "complete", "--failed", "--reason", "r", "--code", "", "hangs",
        ],
        &["list", "--cursor", ""],
        &["find", "--url-prefix", ""],
        &["show", ""],
        &["cancel", ""],
        &["export", ""],
        &["backup", ""],
        &["list", "--data", ""],
        &["list", "--secret-keys", ""],
        &["serve", "--listen", "127.0.0.1:0", "--tokens", ""],
    ] {
        place.run(wrong).said(2);
    }
    let states = place.with(|movie| State::ALL.map(|state| movie.count(state).unwrap()));
    assert_eq!(states, [201, 2, 2]);
}

#[test]
fn a_purge_through_the_control_socket_takes_no_empty_text_for_a_filter() {
    let place = Place::filled();
    let store = open(&place.store());
    let control = store.control().unwrap();
    for key in ["url_prefix", "url_contains", "body_contains"] {
        let stream = std::os::unix::net::UnixStream::connect(control.path()).unwrap();
        let path = format!("/control/graphs/10001/movie/purge?{key}=");
        let answer = crate::net::ask(stream, "POST", &path, &[], b"");
        assert_eq!(answer.status, 400, "{key}: {}", answer.text());
        assert!(answer.text().contains("empty"), "{}", answer.text());
    }
    let movie = store.graph("10001", "movie").unwrap();
    assert_eq!(movie.count(State::Complete).unwrap(), 2);
    control.close();
    store.close().unwrap();
}

#[test]
fn an_import_through_the_control_socket_creates_a_graph_only_for_a_job() {
    let place = Place::new();
    let options = JobStore::options().max_request_bytes(1024);
    let store = options.open(place.store()).unwrap();
    let control = store.control().unwrap();
    let import = |graph: &str, more: &str, lines: &str| {
        let stream = std::os::unix::net::UnixStream::connect(control.path()).unwrap();
        let path = format!("/control/graphs/1/{graph}/import?create=true{more}");
        crate::net::ask(stream, "POST", &path, &[], lines.as_bytes())
    };
    let pending = |graph: &str| store.graph("1", graph)?.count(State::Pending);
    let job = |n: usize| format!("{{\"command\":\"c\",\"url\":\"/{}\"}}\n", "x".repeat(n));
    // A line that is too long, and a request that is too large in a line that is not.
    for bad in ["no job\n", &job(2 << 20), &job(2000), "\u{0}\n"] {
        let answer = import("g", "", &format!("\n\n{bad}{}", job(1)));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("line 3"), "{}", answer.text());
        let answer = import("g", "&skip_bad=true", bad);
        assert!(answer.ok().contains(r#""created":false"#));
        assert!(answer.text().contains(r#""line":1"#), "{}", answer.text());
        assert!(pending("g").is_err(), "{}", bad.len());
    }
    for (graph, more, lines, jobs) in [
        ("a", "", format!("\n{}", job(1)), 1),
        (
            "b",
            "&skip_bad=true",
            format!("no job\n{}{}", job(1), job(2)),
            2,
        ),
        ("c", "", format!("{}no job\n", job(1)), 1),
        ("empty", "", "\n".to_owned(), 0),
    ] {
        let answer = import(graph, more, &lines);
        let is_created = answer.text().contains(r#""created":true"#);
        assert_eq!(is_created, answer.status == 200, "{}", answer.text());
        assert_eq!(pending(graph).unwrap(), jobs, "{graph}");
    }
    control.close();
    store.close().unwrap();
}

#[test]
fn only_serve_changes_which_keys_a_store_records_as_secret() {
    let place = Place::new();
    let recorded = |place: &Place| {
        let name = names_in(&place.store())
            .into_iter()
            .find(|name| name.to_lowercase().contains("secret"))
            .unwrap();
        fs::read(place.store().join(name)).unwrap()
    };
    let options = JobStore::options()
        .recovery(jobstore::Recovery::Leave)
        .secret_keys(["password"]);
    let store = options.open(place.store()).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    movie
        .submit_as("waits", crate::tool::request("c", 1))
        .unwrap();
    store.close().unwrap();
    let before = recorded(&place);
    let line = br#"{"command":"c","url":"/","body":1}"#;
    for arguments in [
        &["cancel", "nope"][..],
        &["complete", "nope"],
        &["purge", "--all"],
        &["import", "--graph", "10001/movie", "-"],
        &["import", "--graph", "10001/new", "-"],
    ] {
        let named = [arguments, &["--secret-keys", "foo"]].concat();
        let said = place.fed(&named, line).said(2);
        assert!(said.contains("--secret-keys"), "{arguments:?}: {said}");
        assert_eq!(recorded(&place), before, "{arguments:?}");
        let mut command = place.command(arguments);
        command.env("JOBSTORE_SECRET_KEYS", "foo");
        let ran = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert_eq!(recorded(&place), before, "{arguments:?}: {ran:?}");
    }
    // A server that cannot listen has not become the store's engine.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = place
        .run(&["serve", "--listen", &address, "--secret-keys", "foo"])
        .said(2);
    assert!(said.contains("cannot listen"), "{said}");
    assert_eq!(recorded(&place), before);
    for wrong in [", ,", ",", " ", "a,,b", "a,"] {
        let said = place.run(&["stats", "--secret-keys", wrong]).said(2);
        assert!(
            said.contains("--secret-keys contains an empty key"),
            "{said}"
        );
    }
    // Spaces after the commas are not part of a key.
    place.run(&["stats", "--secret-keys", "a, b"]).fine();
}

#[test]
fn a_new_store_records_the_keys_that_its_import_names() {
    let place = Place::new();
    let line = br#"{"jobId":"a","request":{"command":"c","url":"/","body":{"n":"hunter2"}}}"#;
    let import = [
        "import",
        "--graph",
        "10001/movie",
        "-",
        "--secret-keys",
        "n",
    ];
    place.fed(&import, line).fine();
    let shown = place.run(&["export"]).fine();
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let place = Place::filled();
    let ran = |arguments: &[&str], set: &[(&str, &str)]| {
        let mut command = place.command(arguments);
        command.envs(set.iter().copied());
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), err)
    };
    let empty = [("JOBSTORE_DATA", ""), ("JOBSTORE_SECRET_KEYS", "")];
    for fine in [
        &["list", "--data", "store"][..],
        &["stats", "--data", "store"],
        &["completions", "bash"],
        &["man"],
        &["cancel", "--data", "store", "waits"],
    ] {
        let (code, err) = ran(fine, &empty);
        assert_eq!(code, 0, "{fine:?}: {err}");
    }
    let (code, err) = ran(&["list"], &empty);
    assert!(code == 2 && err.contains("no store was given"), "{err}");
    let (code, err) = ran(&["list"], &[("JOBSTORE_SECRET_KEYS", " , ")]);
    assert!(
        code == 2 && err.contains("JOBSTORE_SECRET_KEYS contains an empty key"),
        "{err}"
    );
}

#[test]
fn a_store_without_its_identity_is_damaged_to_every_command() {
    let place = Place::filled();
    fs::remove_file(place.store().join("STORE")).unwrap();
    for arguments in [
        &["list"][..],
        &["stats"],
        &["show", "done"],
        &["export"],
        &["backup", "copy"],
        &["purge", "--all", "--dry-run"],
        &["cancel", "waits"],
    ] {
        let said = place.run(arguments).said(1);
        assert!(said.contains("is corrupt"), "{arguments:?}: {said}");
        assert!(
            said.contains("the file is missing"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("jobstore repair"), "{arguments:?}: {said}");
    }
    let missing = place.run(&["list", "--data", "lost"]).said(2);
    assert!(missing.contains("no store found at"), "{missing}");
}

#[test]
fn an_import_of_nothing_usable_leaves_nothing_behind() {
    let place = Place::new();
    fs::create_dir(place.path("directory")).unwrap();
    fs::write(place.path("bad"), "\nno job\n").unwrap();
    let long = format!("1/{}", "x".repeat(5000));
    let cases = |place: &Place| {
        for (graph, from, more, code) in [
            ("1/g", "directory", &[][..], 2),
            ("1/a\tb", "-", &[], 2),
            (&*long, "-", &[], 2),
            ("1/g", "bad", &[], 1),
            ("1/g", "bad", &["--skip-bad"], 1),
        ] {
            let import = [&["import", "--graph", graph, from], more].concat();
            let line = br#"{"command":"c","url":"/","body":1}"#;
            let said = place.fed(&import, line).said(code);
            assert!(
                !said.contains("created store") && !said.contains("created graph"),
                "{graph:?} {from}: {said}"
            );
        }
    };
    cases(&place);
    assert_eq!(
        names_in(place.store().parent().unwrap()),
        ["bad", "directory"]
    );
    // The same in an existing store, with and without an engine.
    place.with(|movie| assert_eq!(movie.name(), "movie"));
    let graphs = |store: &JobStore| store.graphs().unwrap().len();
    cases(&place);
    let store = open(&place.store());
    assert_eq!(graphs(&store), 1);
    let control = store.control().unwrap();
    cases(&place);
    assert_eq!(graphs(&store), 1);
    control.close();
    store.close().unwrap();
    // Nothing is created for bad lines; only an existing graph can skip them.
    for graph in ["10001/movie", "1/g"] {
        let import = ["import", "--graph", graph, "--skip-bad", "bad"];
        let said = place.run(&import).said(1);
        let is_skipped = said.contains("imported 0 jobs; 0 already present, 1 skipped");
        assert_eq!(is_skipped, graph == "10001/movie", "{said}");
        assert!(said.contains("line 2"), "{said}");
        assert!(!said.contains("--skip-bad"), "{said}");
    }
    // A bad line after a good one preserves what comes before it.
    let lines = b"{\"command\":\"c\",\"url\":\"/\",\"body\":1}\nno job\n";
    let said = place.fed(&["import", "--graph", "1/g", "-"], lines).said(1);
    assert!(said.contains("line 2"), "{said}");
    let listed = place.run(&["list", "--graph", "1/g", "--format", "jsonl"]);
    assert_eq!(listed.fine().lines().count(), 1);
    // The bad lines come before the good ones.
    let lines = b"no job\n\n{\"command\":\"c\",\"url\":\"/\",\"body\":1}\n";
    let import = ["import", "--graph", "1/h", "--skip-bad", "-"];
    let said = place.fed(&import, lines).said(1);
    assert!(said.contains("created graph 1/h"), "{said}");
    assert!(said.contains("skipped line 1: "), "{said}");
    assert!(said.contains("imported 1 job"), "{said}");
}

#[test]
fn a_local_time_in_an_unknown_time_zone_is_refused() {
    let place = Place::filled();
    let ran = |arguments: &[&str], zone: &str| {
        let output = place.command(arguments).env("TZ", zone).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), err)
    };
    for local in ["22:00", "2026-11-24", "2026-11-24T22:00"] {
        for arguments in [
            ["list", "--submitted-from"],
            ["purge", "--completed-before"],
        ] {
            let arguments = [&arguments[..], &[local]].concat();
            let (code, err) = ran(&arguments, "Europe/Berln");
            assert_eq!(code, 2, "{arguments:?}: {err}");
            assert!(err.contains("Europe/Berln"), "{arguments:?}: {err}");
            for zone in ["UTC", "", "CET-1CEST,M3.5.0,M10.5.0/3"] {
                assert_eq!(ran(&arguments, zone).0, 0, "{zone}");
            }
        }
    }
    // These are the same in every time zone.
    for anywhere in ["2h", "2026-11-24T22:00Z", "2026-11-24T22:00+01:00"] {
        assert_eq!(
            ran(&["list", "--submitted-from", anywhere], "Europe/Berln").0,
            0
        );
    }
    let (code, err) = ran(&["show", "done"], "Europe/Berln");
    assert_eq!(code, 0, "{err}");
    assert_eq!(err.matches("Europe/Berln").count(), 1, "{err}");
    assert!(err.contains("times are shown in UTC"), "{err}");
}

#[test]
fn the_short_id_of_a_purged_job_says_that_it_was_purged() {
    let (place, purged, _) = generated();
    let short = &purged[19..];
    let said = |place: &Place| {
        for given in [short.to_owned(), format!("\u{2026}{short}"), purged.clone()] {
            for verb in ["show", "cancel", "complete"] {
                let said = place.run(&[verb, &given]).said(1);
                assert!(said.contains("was purged at"), "{verb} {given}: {said}");
            }
        }
    };
    said(&place);
    let store = open(&place.store());
    let control = store.control().unwrap();
    said(&place);
    control.close();
    store.close().unwrap();
    // A UUID that does not exist is still unknown.
    let unknown = place.run(&["show", "018f2c1a-7b1e-7c3d-9a4f-0123456789ab"]);
    assert!(unknown.said(1).contains("can not find job"));
}

#[test]
fn a_job_is_not_changed_by_a_few_characters_of_its_id() {
    let (place, _, id) = generated();
    let end = |n: usize| &id[id.len() - n..];
    for given in [
        format!("..{}", end(1)),
        format!("\u{2026}{}", end(3)),
        format!("{}..{}", &id[..19], end(3)),
        format!("{}..", &id[19..22]),
        "..".to_owned(),
    ] {
        for verb in ["cancel", "complete"] {
            let said = place.run(&[verb, &given]).said(2);
            assert!(said.contains("4 characters"), "{verb} {given}: {said}");
        }
    }
    place.with(|movie| assert_eq!(movie.count(State::Pending).unwrap(), 1));
    // A read-only command is harmless.
    place.run(&["show", &format!("..{}", end(1))]).fine();
    // A prefix is enough, as shown in a table or of the whole id.
    for given in [&id[19..32], &id[..40]] {
        let shown = place.run(&["show", &format!("{given}\u{2026}")]).fine();
        assert!(shown.contains(&id), "{shown}");
    }
    place.run(&["cancel", &format!("..{}", end(4))]).fine();
}

#[test]
fn only_a_regular_file_holds_tokens() {
    let place = Place::filled();
    for tokens in ["/tmp", "/dev/null", "/dev/zero"] {
        let said = place
            .run(&["serve", "--listen", "127.0.0.1:0", "--tokens", tokens])
            .said(2);
        assert!(said.contains("is not a regular file"), "{tokens}: {said}");
        assert!(!said.contains("chmod"), "{tokens}: {said}");
    }
}

#[test]
fn what_a_file_or_a_text_is_not_is_named() {
    let place = Place::filled();
    fs::write(place.path("file"), "x").unwrap();
    let line = br#"{"command":"c","url":"/","body":1}"#;
    for data in ["file", "store/STORE"] {
        for verb in [
            &["list"][..],
            &["verify"],
            &["cancel", "waits"],
            &["import", "--graph", "1/g", "-"],
        ] {
            let ran = place.fed(&[verb, &["--data", data]].concat(), line);
            let said = ran.said(2);
            assert!(
                said.contains("is not a directory"),
                "{verb:?} {data}: {said}"
            );
        }
    }
    for (text, words) in [
        (
            r#"{"command":"c"}"#,
            "invalid request: missing field \"url\"",
        ),
        (
            r#"{"url":"/"}"#,
            "invalid request: missing field \"command\"",
        ),
        ("[1]", "invalid request: expected an object"),
        (
            r#"{"command":"c""#,
            "invalid JSON in the request: unexpected end of input",
        ),
    ] {
        let said = place.fed(&["find", "-"], text.as_bytes()).said(2);
        assert!(said.contains(words), "{text}: {said}");
    }
    let said = place
        .run(&["find", "--command", "c", "--cursor", "zz"])
        .said(2);
    assert!(said.contains("start again without a cursor"), "{said}");
    let (code, reason) = ("c".repeat(257), "r".repeat(8193));
    for (option, value, max) in [("--code", &code, "256"), ("--reason", &reason, "8192")] {
        let failed = ["complete", "--failed", option, value, "hangs"];
        let more: &[&str] = match option {
            "--code" => &["--reason", "r"],
            _ => &[],
        };
        let said = place.run(&[&failed[..], more].concat()).said(2);
        assert!(said.contains(&format!("at most {max} bytes")), "{said}");
    }
    let fits = [
        "complete",
        "--failed",
        "--code",
        &code[1..],
        "--reason",
        &reason[1..],
        "hangs",
    ];
    place.run(&fits).fine();
    let shown = place.run(&["show", "hangs", "--format", "json"]).fine();
    let is_whole = |text: &str| shown.contains(&format!("\"{}\"", &text[1..]));
    assert!(is_whole(&code) && is_whole(&reason), "{shown}");
}

#[test]
fn a_directory_that_others_can_read_degrades_a_store_at_rest_too() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::filled();
    place.run(&["stats"]).fine();
    fs::set_permissions(place.store(), fs::Permissions::from_mode(0o755)).unwrap();
    let stats = place.run(&["stats"]);
    assert_eq!(stats.code, 1, "{stats:?}");
    assert!(stats.out.contains("has mode 0755"), "{stats:?}");
}

#[test]
fn one_is_one_and_what_still_runs_has_not_taken_its_time() {
    let place = Place::new();
    place.with(|movie| {
        movie
            .submit_as("one", crate::tool::request("c", 1))
            .unwrap();
        movie.start("one").unwrap();
    });
    let verified = place.run(&["verify"]).fine();
    assert!(verified.contains(" 1 job intact"), "{verified}");
    let is_counted = |line: &str| !line.contains(" 1 files") && !line.contains(" 1 jobs");
    assert!(verified.lines().all(is_counted), "{verified}");
    let shown = place.run(&["show", "one"]).fine();
    assert!(shown.contains("so far"), "{shown}");
    assert!(!shown.contains("took"), "{shown}");
}
