//! Guarantee: if an engine has the store open, every command that can uses its control socket, with
//! the same output as without an engine.

use std::sync::Arc;

use jobstore::replica::MemoryReplica;
use jobstore::{JobQuery, JobStore, OutcomeKind, State};

use crate::tool::Place;

#[test]
fn a_live_engine_is_asked_through_its_control_socket() {
    let place = Place::filled();
    let looks = [
        &["list", "--format", "json"][..],
        &[
            "list",
            "--state",
            "pending",
            "--newest-first",
            "--format",
            "json",
        ],
        &[
            "list",
            "--url-prefix",
            "/ges",
            "--body-pointer",
            "/n",
            "--body-value",
            "3",
        ],
        &["list", "--format", "jsonl", "--limit", "5"],
        &["find", "--body-pointer", "/n", "--body-value", "3"],
        &["find", "--command", "clear_graph", "--limit", "150"],
        &["find", "--state", "running", "--format", "jsonl"],
        &["show", "failed"],
        &["export", "--outcome", "failed"],
    ];
    let at_rest: Vec<String> = looks
        .iter()
        .map(|arguments| without_moments(&place.run(arguments).fine()))
        .collect();
    let store = JobStore::options()
        .recovery(jobstore::Recovery::Leave)
        .open(place.store())
        .unwrap();
    let control = store.control().unwrap();
    let movie = store.graph("10001", "movie").unwrap();
    for (arguments, at_rest) in looks.iter().zip(&at_rest) {
        let found = without_moments(&place.run(arguments).fine());
        assert_eq!(found, *at_rest, "{arguments:?}");
    }
    let stats = place.run(&["stats"]).fine();
    assert!(stats.contains("10001/movie"), "{stats}");

    place
        .run(&["complete", "--failed", "--reason", "it hung", "hangs"])
        .fine();
    let outcome = movie.job("hangs").unwrap().unwrap().outcome().cloned();
    assert_eq!(outcome.unwrap().kind(), OutcomeKind::Failed);
    place.run(&["cancel", "waits"]).fine();
    assert_eq!(
        movie.job("waits").unwrap().unwrap().state(),
        State::Complete
    );
    let request = r#"{"command":"new","url":"/u","body":{"a":1}}"#;
    let imported = place.fed(
        &["import", "--graph", "10001/movie", "-"],
        request.as_bytes(),
    );
    imported.fine();
    let found = place.fed(&["find", "-"], request.as_bytes()).fine();
    assert!(found.contains("new"), "{found}");
    assert!(place.run(&["verify"]).fine().contains("no damage found"));
    let before = movie.count(State::Complete).unwrap();
    place
        .run(&["purge", "--state", "complete", "--dry-run"])
        .fine();
    assert_eq!(movie.count(State::Complete).unwrap(), before);
    place.run(&["purge", "--outcome", "failed"]).fine();
    assert!(movie.job("failed").unwrap().is_none());
    let to = place.path("copy");
    place.run(&["backup", to.to_str().unwrap()]).fine();
    let copy = JobStore::open(&to).unwrap();
    let copied = copy.graph("10001", "movie").unwrap();
    let total = |graph: &jobstore::Graph| graph.list(JobQuery::new()).unwrap().total();
    assert_eq!(total(&copied), total(&movie));
    // With and without an engine: incorrect usage is exit code 2.
    drop((copied, copy));
    for verb in ["list", "find"] {
        let wrong = [verb, "--body-pointer", "n", "--body-value", "1"];
        let here = place.run(&wrong).said(2);
        assert!(here.contains("invalid JSON pointer"), "{here}");
        let at_rest = [&wrong[..], &["--data", to.to_str().unwrap()]].concat();
        let at_rest = place.run(&at_rest).said(2);
        // The engine's error also names the parameter.
        let what = at_rest.trim_start_matches("jobstore: ");
        assert!(here.ends_with(what), "{here} / {at_rest}");
    }
    let unknown = place.run(&["show", "none-such"]).said(1);
    assert!(unknown.contains("none-such"), "{unknown}");
    drop(control);
    let said = place.run(&["list"]).said(1);
    assert!(said.contains("is in use by process"), "{said}");
}

#[test]
fn what_goes_wrong_is_said_as_over_a_store_at_rest() {
    let place = Place::filled();
    place.run(&["purge", "--outcome", "failed"]).fine();
    std::fs::create_dir(place.path("full")).unwrap();
    std::fs::write(place.path("full/mine"), "mine").unwrap();
    let bad = "{\"command\":\"c\",\"url\":\"/\",\"canary\"}\n";
    std::fs::write(place.path("bad.jsonl"), bad).unwrap();
    std::fs::write(place.path("bad.json"), "{\"command\":\"canary").unwrap();
    std::fs::write(place.path("other.json"), "[\"canary\"]").unwrap();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["show", "a b"], 2, "invalid job id"),
        (&["complete", "a b"], 2, "invalid job id"),
        (&["cancel", "a b"], 2, "invalid job id"),
        (&["show", "none-such"], 1, "list --newest-first"),
        (&["show", "failed"], 1, "was purged"),
        (&["complete", "waits"], 1, "jobstore cancel"),
        (&["backup", "full"], 2, "is not empty: it contains \"mine\""),
        (
            &["import", "--graph", "10001/movie", "bad.jsonl"],
            1,
            "--skip-bad",
        ),
        (
            &["find", "bad.json"],
            2,
            "invalid JSON in the request: unexpected end of input",
        ),
        (
            &["find", "other.json"],
            2,
            "expected an object with command, url",
        ),
        (&["list", "--cursor", "ab"], 2, "cursor"),
        (&["list", "--graph", "10001/lost"], 2, "not exist"),
    ];
    let all = || {
        cases.map(|(arguments, code, words)| {
            let said = place.run(arguments).said(code);
            assert!(said.contains(words), "{arguments:?}: {said}");
            assert!(!said.contains("canary"), "{arguments:?}: {said}");
            said
        })
    };
    let made = |place: &Place, graph: &str| {
        let import = ["import", "--graph", graph, "-"];
        place.fed(&import, b"").said(0).replace(graph, "GRAPH")
    };
    let at_rest = all();
    let made_at_rest = made(&Place::filled(), "10001/first");
    let store = crate::tool::open(&place.store());
    let control = store.control().unwrap();
    assert_eq!(all(), at_rest);
    assert!(made_at_rest.starts_with("created graph GRAPH\n"));
    assert_eq!(made(&place, "10001/second"), made_at_rest);
    assert!(!made(&place, "10001/second").contains("created graph"));
    control.close();
    store.close().unwrap();
}

#[test]
fn which_keys_are_secret_is_up_to_an_engine_that_has_the_store_open() {
    let place = Place::filled();
    let store = crate::tool::open(&place.store());
    let _control = store.control().unwrap();
    let said = place.run(&["list", "--secret-keys", "n"]).said(2);
    assert!(said.contains("secret keys cannot be set"), "{said}");
    assert!(said.contains("omit --secret-keys"), "{said}");
    let mut command = place.command(&["show", "done"]);
    let told = command.env("JOBSTORE_SECRET_KEYS", "n").output().unwrap();
    assert_eq!(told.status.code(), Some(2));
    place.run(&["list"]).fine();
}

/// Relative times change from run to run.
fn without_moments(text: &str) -> String {
    const UNITS: [&str; 6] = ["ms", "s", "min", "h", "d", "ago"];
    let words = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_time = |n: usize| {
            let is_number = |word: &&str| word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let is_unit = |word: &&str| UNITS.contains(&word.trim_matches(['(', ')']));
            is_unit(&words[n])
                || words
                    .get(n + 1)
                    .is_some_and(|w| is_unit(w) && is_number(&words[n].trim_matches('(')))
        };
        let is_cursor = |n: usize| n > 0 && words[n - 1] == "--cursor";
        let kept = (0..words.len()).filter(|&n| !is_time(n) && !is_cursor(n));
        let kept = kept.map(|n| words[n]);
        kept.collect::<Vec<_>>().join(" ") + "\n"
    };
    text.replace("just now", "0 s ago")
        .lines()
        .map(words)
        .collect()
}

#[test]
fn progress_is_shown_and_what_operators_do_reaches_the_worker() {
    let place = Place::filled();
    let store = JobStore::options()
        .recovery(jobstore::Recovery::Leave)
        .open(place.store())
        .unwrap();
    let _control = store.control().unwrap();
    let movie = store.graph("10001", "movie").unwrap();
    let run = movie.attach("hangs").unwrap();
    run.progress(40, "iterating");
    let list = || place.run(&["list", "--state", "running"]).fine();
    let show = || place.run(&["show", "hangs"]).fine();
    assert!(show().contains("40 % iterating"), "{}", show());
    let json = place.run(&["show", "hangs", "--format", "json"]).fine();
    let progress = r#""progress":{"percent":40,"text":"iterating"}"#;
    assert!(json.contains(progress), "{json}");
    assert!(list().contains("running 40%"), "{}", list());
    place.run(&["cancel", "hangs"]).fine();
    assert!(run.cancel_requested() && !run.is_over());
    assert!(list().contains("stopping 40%"), "{}", list());
    assert!(show().contains("40 % iterating"), "{}", show());
    place.run(&["complete", "--cancelled", "hangs"]).fine();
    assert!(run.is_over());
    assert!(!show().contains("iterating"), "{}", show());
}

#[test]
fn stats_show_the_replica_of_a_writer_and_the_lag_of_a_follower() {
    let place = Place::new();
    let replica = Arc::new(MemoryReplica::default());
    let options = JobStore::options().replica(replica.clone());
    let store = options.open(place.store()).unwrap();
    let control = store.control().unwrap();
    store.create_graph("10001", "movie").unwrap();
    let stats = place.run(&["stats"]).fine();
    for line in [
        "replica  memory",
        "fencing token 1",
        "since the last checkpoint, before this open",
    ] {
        assert!(stats.contains(line), "{line}: {stats}");
    }
    let json = place.run(&["stats", "--format", "json"]).fine();
    assert!(json.contains(r#""chunksSinceCheckpoint":"#), "{json}");
    drop(control);
    store.close().unwrap();

    let follower = JobStore::follow(place.store(), replica).unwrap();
    let control = follower.control().unwrap();
    let stats = place.run(&["stats"]).fine();
    assert!(stats.contains("follows  memory"), "{stats}");
    assert!(stats.contains(" behind"), "{stats}");
    drop(control);
    follower.close().unwrap();
}
