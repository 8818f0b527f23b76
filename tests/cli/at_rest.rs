//! Guarantee: a store in use is not touched, and the error says so; incorrect usage is refused
//! before anything is opened; the manual is generated from the command line definition.

use std::io::Read;
use std::process::Stdio;

use jobstore::{Body, JobStore, Outcome, Request};

use crate::tool::{Place, request};

#[test]
fn a_store_in_use_is_refused_with_who_holds_it_and_what_to_do() {
    let place = Place::filled();
    let store = JobStore::open(place.store()).unwrap();
    for arguments in [
        &["list"][..],
        &["show", "done"],
        &["cancel", "waits"],
        &["export"],
        &["history"],
        &["tally"],
        &["verify"],
        &["repair", "--yes"],
        &["backup", "copy"],
        &["purge", "--all"],
        &["import", "--graph", "10001/movie", "-"],
    ] {
        let said = place.run(arguments).said(1);
        let pid = std::process::id();
        assert!(
            said.contains(&format!("is in use by process {pid} (")),
            "{said}"
        );
        assert!(said.contains("stop that process first"), "{said}");
    }
    store.close().unwrap();
    place.run(&["list"]).fine();
}

#[test]
fn what_makes_no_sense_is_exit_code_2() {
    let place = Place::filled();
    for wrong in [
        &[][..],
        &["lost"],
        &["list", "--limit", "0"],
        &["list", "--limit", "100001"],
        &["list", "--offset", "-1"],
        &["list", "--state", "done"],
        &["list", "--outcome", "complete"],
        &["list", "--submitted-from", "yesterday"],
        &["list", "--graph", "movie"],
        &["list", "--cursor", "ab"],
        &["list", "--cursor", "ab", "--offset", "1"],
        &["show"],
        &["complete"],
        &["history", "--step", "90s"],
        &["history", "--step", "0h"],
        &["history", "--step", "hour"],
        &["history", "--by", "state"],
        &["history", "--since", "yesterday"],
        &["history", "--since", "1h", "--until", "2h"],
        &["history", "--graph", "10001/lost"],
        &["tally", "--by", "graph"],
        &["tally", "--by", "submitted", "--period", "0s"],
        &["tally", "--by", "state", "--period", "1h"],
        &["tally", "--graph", "10001/lost"],
        &["find", "no/such/file"],
        &["find", "."],
        &["export", "no/such/directory/movie.jsonl"],
        &["stats", "--graph", "10001/movie"],
        &["--graph", "10001/movie", "list"],
        &["verify", "--graph", "10001/movie"],
        &["backup", "--graph", "10001/movie", "copy"],
        &["serve", "--graph", "10001/movie"],
        &["import", "--graph", "1/g", "no/such/file"],
        &["import", "--graph", "1/g"],
        &["completions", "csh"],
        &["man", "lost"],
    ] {
        let ran = place.run(wrong);
        assert_eq!(ran.code, 2, "{wrong:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{wrong:?}");
        assert_eq!(ran.out, "", "{wrong:?}");
    }
    let mut command = place.command(&["list"]);
    let none = command.env_remove("JOBSTORE_DATA").output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&none.stderr).contains("--data DIR"));
}

#[test]
fn a_directory_that_is_no_store_is_said_to_be_none_and_where_one_is() {
    let place = Place::filled();
    let said = place.run(&["list", "--data", "."]).said(2);
    assert!(said.contains("is not a jobstore directory"), "{said}");
    assert!(said.contains("did you mean ./store"), "{said}");
}

#[test]
fn a_store_says_itself_which_keys_are_secret() {
    let place = Place::new();
    let body = r#"{"password":"hunter2"}"#;
    let secret = crate::common::request("import", body);
    let options = JobStore::options().secret_keys(["password"]);
    let store = options.open(place.store()).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    movie.submit_as("job", secret.clone()).unwrap();
    let outcome = Outcome::succeeded().with_detail_json(body).unwrap();
    movie.claim("job").unwrap().complete(outcome).unwrap();
    store.close().unwrap();
    let shows = ["show", "job", "--format", "json"];
    let shown = place.run(&shows).fine();
    assert!(
        shown.contains(r#""detail":{"password":"******"}"#),
        "{shown}"
    );
    let wire = secret.as_json();
    let found = place.fed(&["find", "-", "--format", "jsonl"], wire.as_bytes());
    assert!(found.fine().contains(r#""jobId":"job""#));
    let line = format!(r#"{{"jobId":"imported","request":{wire}}}"#);
    let import = ["import", "--graph", "10001/movie", "-"];
    place.fed(&import, line.as_bytes()).fine();
    for arguments in [&["list", "--format", "json"][..], &["export"], &shows] {
        let shown = place.run(arguments).fine();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let revealed = place.run(&["export", "--reveal-secrets"]).fine();
    assert_eq!(revealed.matches("hunter2").count(), 3, "{revealed}");
    // A command that only reads records no other keys.
    for arguments in [&["list"][..], &["stats"], &["purge", "--all", "--dry-run"]] {
        let named = [arguments, &["--secret-keys", "Token,n"]].concat();
        place.run(&named).fine();
        let shown = place.run(&shows).fine();
        assert!(
            shown.contains(r#""detail":{"password":"******"}"#),
            "{shown}"
        );
    }
    // An engine does: its keys replace the recorded ones permanently.
    let options = JobStore::options().recovery(jobstore::Recovery::Leave);
    let store = options.secret_keys(["Token", "n"]).open(place.store());
    store.unwrap().close().unwrap();
    let shown = place.run(&shows).fine();
    assert!(
        shown.contains(r#""detail":{"password":"hunter2"}"#),
        "{shown}"
    );
}

/// Everything below a store's directory, with its change times.
fn everything(path: &std::path::Path) -> Vec<(std::path::PathBuf, i64, i64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let mut left = vec![path.to_path_buf()];
    while let Some(path) = left.pop() {
        let known = std::fs::metadata(&path).unwrap();
        if known.is_dir() {
            let below = std::fs::read_dir(&path).unwrap();
            left.extend(below.map(|entry| entry.unwrap().path()));
        }
        found.push((path, known.ctime(), known.ctime_nsec(), known.len()));
    }
    found.sort();
    found
}

#[test]
fn commands_that_read_change_nothing() {
    let place = Place::filled();
    let request = request("import_graph", 0);
    let before = everything(&place.store());
    for _ in 0..3 {
        for arguments in [
            &["list"][..],
            &["list", "--format", "json"],
            &["list", "--command", "import_graph", "--newest-first"],
            &["show", "hangs"],
            &["export"],
            &["stats"],
            &["history"],
            &["tally", "--by", "command", "--state", "complete"],
            &["verify"],
            &["purge", "--all", "--dry-run"],
        ] {
            place.run(arguments).fine();
        }
        place
            .fed(&["find", "-"], request.as_json().as_bytes())
            .fine();
    }
    place.run(&["backup", "copy"]).fine();
    assert!(
        everything(&place.store()) == before,
        "something was changed"
    );
    let stats = place.run(&["stats", "--format", "json"]).fine();
    assert!(stats.contains(r#""opens":1,"#), "{stats}");
    place.run(&["list", "--data", "copy"]).fine();
}

#[test]
fn an_import_at_rest_keeps_no_secret_where_the_store_keeps_none() {
    let place = Place::new();
    let options = JobStore::options().secrets(jobstore::Secrets::MaskAtSubmit);
    options.open(place.store()).unwrap().close().unwrap();
    let line = concat!(
        r#"{"jobId":"a","request":{"command":"c","url":"","body":{"secretKey":"hunter2"}},"#,
        r#""outcome":{"kind":"failed","detail":{"accessKey":"hunter2"}}}"#
    );
    let arguments = ["import", "--graph", "10001/movie", "-"];
    place.fed(&arguments, line.as_bytes()).fine();
    let revealed = place.run(&["export", "--reveal-secrets"]).fine();
    assert!(!revealed.contains("hunter2"), "{revealed}");
    assert!(revealed.contains(r#""masked":true"#), "{revealed}");
    for name in crate::common::files_ending(&place.store(), ".segment") {
        let bytes = std::fs::read(name).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::filled();
    place.with(|movie| {
        let body = "x".repeat(1 << 20);
        for _ in 0..4 {
            movie
                .submit(crate::common::request("big", &format!("\"{body}\"")))
                .unwrap();
        }
    });
    for arguments in [
        &["export"][..],
        &["list", "--format", "json"],
        &["list", "--format", "jsonl"],
        &["show", "done"],
    ] {
        let mut child = place
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn who_waits_for_the_output_does_not_keep_the_store() {
    let place = Place::filled();
    place.with(|movie| {
        movie
            .submit_all((0..4000).map(|n| request("clear_graph", n)))
            .unwrap();
        // More than is spooled in memory.
        let body = "x".repeat(5 << 20);
        let body = Body::from_json(format!("\"{body}\"")).unwrap();
        let big = Request::new("clear_graph", "/", body).unwrap();
        movie.submit(big).unwrap();
    });
    let aside = place.path("aside");
    std::fs::create_dir(&aside).unwrap();
    for arguments in [
        &["list", "--limit", "5000"][..],
        &["list", "--format", "json"],
        &["list", "--format", "jsonl"],
        &[
            "find",
            "--command",
            "clear_graph",
            "--limit",
            "5000",
            "--format",
            "jsonl",
        ],
    ] {
        let whole = place.run(arguments).fine();
        let mut child = place
            .command(arguments)
            .env("TMPDIR", &aside)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        // It has begun to write: as much as the pipe holds, and then it blocks.
        let mut text = vec![0];
        out.read_exact(&mut text).unwrap();
        let store = JobStore::options()
            .recovery(jobstore::Recovery::Leave)
            .open(place.store());
        let waits = child.try_wait().unwrap().is_none();
        assert!(waits, "{arguments:?}: the pipe held all of it");
        store.unwrap().close().unwrap();
        // The spool file has no name.
        assert_eq!(crate::common::names_in(&aside), [""; 0]);
        out.read_to_end(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let text = String::from_utf8(text).unwrap();
        let is_same = match arguments.contains(&"--format") {
            true => text == whole,
            // Ages change.
            false => text.lines().count() == whole.lines().count(),
        };
        assert!(is_same, "{arguments:?}");
    }
}

#[test]
fn help_fits_a_terminal() {
    let place = Place::new();
    let help = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let output = command.env("COLUMNS", "80").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&["--help"]);
    let verbs = all.split("Commands:").nth(1).unwrap().lines().skip(1);
    let verbs = verbs.map_while(|line| line.split_whitespace().next());
    let helps: Vec<String> = verbs.map(|verb| help(&[verb, "--help"])).collect();
    assert!(helps.len() > 10, "{all}");
    for help in helps.iter().chain([&all]) {
        // Lines that were laid out narrower are not broken again.
        let is_broken = |line: &str, next: &str| {
            let first = next.split_whitespace().next().unwrap_or_default();
            let is_prose = line.starts_with(char::is_alphabetic) && !first.is_empty();
            is_prose && line.chars().count() + 25 < 78 && next.starts_with(char::is_lowercase)
        };
        let lines: Vec<&str> = help.lines().collect();
        for pair in lines.windows(2) {
            assert!(pair[0].chars().count() <= 80, "{help}");
            assert!(!is_broken(pair[0], pair[1]), "{pair:#?}");
        }
    }
}

#[test]
fn help_manual_and_completions_know_every_verb() {
    let place = Place::new();
    let help = place.run(&["--help"]).fine();
    let verbs = [
        "list", "show", "find", "history", "tally", "cancel", "complete", "verify", "repair",
        "export", "import", "backup", "purge",
    ];
    let manual = place.run(&["man"]).fine();
    assert!(manual.contains(".TH"), "{manual}");
    for verb in verbs {
        assert!(
            help.contains(&format!("\n  {verb} ")),
            "{verb} is not in {help}"
        );
        let own = place.run(&[verb, "--help"]).fine();
        assert!(own.contains("jobstore "), "{verb} has no example");
        assert!(
            manual.contains(&format!("jobstore\\-{verb}")),
            "{verb} is not in the manual"
        );
        assert!(place.run(&["man", verb]).fine().contains(".TH"));
        for shell in ["bash", "zsh", "fish"] {
            let text = place.run(&["completions", shell]).fine();
            assert!(text.contains(verb), "{shell} does not know {verb}");
        }
    }
}
