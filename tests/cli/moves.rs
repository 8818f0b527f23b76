//! Guarantee: commands that change a store, import, or export do what they report and no more, and
//! can be undone or repeated if they say so.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use jobstore::{JobStore, OutcomeKind, State};

use crate::common::{copy_directory, files_ending};
use crate::tool::{Place, open, request};

fn outcome_of(place: &Place, id: &str) -> Option<(OutcomeKind, Option<String>)> {
    place.with(|movie| {
        let job = movie.job(id).unwrap().unwrap();
        let outcome = job.outcome()?;
        Some((outcome.kind(), outcome.message().map(str::to_owned)))
    })
}

#[test]
fn a_job_is_called_off() {
    let place = Place::filled();
    assert!(
        place
            .run(&["cancel", "waits"])
            .said(0)
            .contains("was canceled")
    );
    assert_eq!(
        outcome_of(&place, "waits"),
        Some((OutcomeKind::Cancelled, None))
    );
    assert!(
        place
            .run(&["cancel", "hangs"])
            .said(0)
            .contains("asked to stop")
    );
    place.with(|movie| assert!(movie.job("hangs").unwrap().unwrap().cancel_requested()));
    let said = place.run(&["cancel", "done"]).said(1);
    assert!(said.contains("is already complete"), "{said}");
    assert!(
        place
            .run(&["cancel", "nobody"])
            .said(1)
            .contains("can not find job")
    );
}

#[test]
fn a_job_that_hangs_is_ended_with_the_reason_given() {
    let place = Place::filled();
    let lost = ["complete", "--failed", "--reason", "host lost", "hangs"];
    place.run(&lost).fine();
    let ended = (OutcomeKind::Failed, Some("host lost".to_owned()));
    assert_eq!(outcome_of(&place, "hangs"), Some(ended.clone()));
    let said = place.run(&["complete", "hangs"]).said(1);
    assert!(said.contains("is already complete: failed"), "{said}");
    assert_eq!(outcome_of(&place, "hangs"), Some(ended));
    place.run(&["complete", "--cancelled", "stopping"]).fine();
    assert_eq!(
        outcome_of(&place, "stopping"),
        Some((OutcomeKind::Cancelled, None))
    );
    let said = place.run(&["complete", "waits"]).said(1);
    assert!(said.contains("jobstore cancel"), "{said}");
    assert_eq!(outcome_of(&place, "waits"), None);
    for wrong in [
        &["complete", "--reason", "x", "hangs"][..],
        &["complete", "--failed", "--cancelled", "hangs"],
        &["complete", "--cancelled", "--reason", "x", "hangs"],
    ] {
        place.run(wrong).said(2);
    }
}

#[test]
fn what_is_exported_and_imported_is_the_same_list() {
    let place = Place::filled();
    place.run(&["export", "movie.jsonl"]).fine();
    let lines = fs::read(place.path("movie.jsonl")).unwrap();
    assert_eq!(lines, place.run(&["export", "-"]).fine().into_bytes());
    let mode = fs::metadata(place.path("movie.jsonl"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let import = ["import", "--data", "copy", "--graph", "10001/movie", "-"];
    let said = place.fed(&import, &lines).said(0);
    assert!(said.contains("created store"), "{said}");
    assert!(said.contains("created graph 10001/movie"), "{said}");
    assert!(
        said.contains("imported 205 jobs; 0 already present, 0 skipped"),
        "{said}"
    );
    let list = ["list", "--format", "json"];
    let copied = [&list[..], &["--data", "copy"]].concat();
    assert_eq!(place.run(&copied).fine(), place.run(&list).fine());
    let said = place.fed(&import, &lines).said(0);
    assert!(
        said.contains("imported 0 jobs; 205 already present"),
        "{said}"
    );

    let failed = place.run(&["export", "--outcome", "failed"]).fine();
    assert_eq!(failed.lines().count(), 1);
    assert!(failed.contains(r#""jobId":"failed""#));
}

#[test]
fn a_file_that_is_there_is_not_written_over_and_one_that_is_not_whole_not_kept() {
    let place = Place::filled();
    fs::write(place.path("mine"), "mine").unwrap();
    assert!(
        place
            .run(&["export", "mine"])
            .said(2)
            .contains("already exists")
    );
    assert_eq!(fs::read(place.path("mine")).unwrap(), b"mine");
    let store = place.store();
    // An unreadable block ends an export.
    damage_a_block(&place);
    let said = place
        .run(&["export", "--graph", "10001/movie", "movie.jsonl"])
        .said(1);
    assert!(said.contains("is corrupt at byte"), "{said}");
    assert!(said.contains("jobstore verify"), "{said}");
    let left = crate::common::names_in(store.parent().unwrap());
    assert_eq!(left, ["mine", "store"]);
}

#[test]
fn what_others_lay_ready_gets_nothing_of_an_export() {
    let place = Place::filled();
    let theirs = place.path("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::set_permissions(&theirs, PermissionsExt::from_mode(0o644)).unwrap();
    fs::copy(&theirs, place.path("plain.unfinished")).unwrap();
    symlink(&theirs, place.path("linked.unfinished")).unwrap();
    symlink(place.path("nowhere"), place.path("dangling")).unwrap();
    for name in ["plain", "linked"] {
        place.run(&["export", "--reveal-secrets", name]).fine();
        let there = fs::symlink_metadata(place.path(name)).unwrap();
        assert!(there.is_file(), "{name}: {there:?}");
        assert_eq!(there.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let said = place.run(&["export", "dangling"]).said(2);
    assert!(said.contains("already exists"), "{said}");
    assert!(!place.path("nowhere").exists());
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    let left = crate::common::names_in(theirs.parent().unwrap());
    let expected = [
        "dangling",
        "linked",
        "linked.unfinished",
        "plain",
        "plain.unfinished",
        "store",
        "theirs",
    ];
    assert_eq!(left, expected);
}

#[test]
fn bare_requests_become_jobs_and_bad_lines_are_named_by_number() {
    let place = Place::new();
    let bad = r#"{"command":"c","secret canary"}"#;
    let lines = format!(
        "{}\n\n{bad}\n{}\n",
        r#"{"command":"a","url":"/","body":{}}"#,
        r#"{"request":{"command":"b"},"outcome":{"kind":"failed"}}"#
    );
    let said = place.run(&["import", "nothing.jsonl"]).said(2);
    assert!(said.contains("no graph was given"), "{said}");
    let import = ["import", "--graph", "1/g", "-"];
    let said = place.fed(&import, lines.as_bytes()).said(1);
    assert!(said.contains("line 3 is not a valid job"), "{said}");
    assert!(said.contains("--skip-bad"), "{said}");
    assert!(said.contains("continue from this line"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let skip = [&import[..], &["--skip-bad"]].concat();
    let said = place.fed(&skip, lines.as_bytes()).said(1);
    assert!(said.contains("skipped line 3: "), "{said}");
    assert!(
        said.contains("imported 2 jobs; 0 already present, 1 skipped"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
    let commands = place
        .run(&["list", "--state", "complete", "--format", "jsonl"])
        .fine();
    assert!(commands.contains(r#""command":"b""#), "{commands}");
}

#[test]
fn a_backup_holds_the_same_jobs() {
    let place = Place::filled();
    let said = place.run(&["backup", "copy"]).said(0);
    assert!(said.contains("copied "), "{said}");
    place.run(&["verify", "--data", "copy"]).fine();
    let list = ["list", "--format", "json"];
    let copied = [&list[..], &["--data", "copy"]].concat();
    assert_eq!(place.run(&copied).fine(), place.run(&list).fine());
    let said = place.run(&["backup", "copy"]).said(2);
    assert!(said.contains("copy is not empty: it contains "), "{said}");
    assert!(said.contains("does not exist"), "{said}");
}

#[test]
fn an_export_that_finds_no_room_names_the_file_and_what_to_do() {
    let place = Place::filled();
    place.with(|movie| {
        movie
            .submit_all((0..4000).map(|n| request("clear_graph", n)))
            .unwrap();
    });
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let export = |arguments: &str| {
        let mut command = place.command(&[]);
        let shell = std::process::Command::new("sh");
        let program = std::mem::replace(&mut command, shell);
        command
            .current_dir(program.get_current_dir().unwrap())
            .env("JOBSTORE_DATA", place.store())
            // A file size limit simulates a full disk.
            .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" export $1"])
            .arg(program.get_program())
            .arg(arguments);
        command
    };
    let text_of = |output: std::process::Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let mut to_full = place.command(&["export"]);
    let said = text_of(to_full.stdout(full.try_clone().unwrap()).output().unwrap());
    assert!(said.contains("cannot write the output"), "{said}");
    assert!(said.contains("the output is incomplete"), "{said}");
    let store = open(&place.store());
    let control = store.control().unwrap();
    let mut to_full = place.command(&["export"]);
    let said_here = text_of(to_full.stdout(full).output().unwrap());
    assert_eq!(said_here, said);
    let said = text_of(export("big.jsonl").output().unwrap());
    assert!(said.contains("cannot write big.jsonl: "), "{said}");
    assert!(said.contains("free disk space"), "{said}");
    control.close();
    store.close().unwrap();
    let left = crate::common::names_in(place.store().parent().unwrap());
    assert_eq!(left, ["store"]);
}

#[test]
fn only_complete_jobs_that_were_named_are_purged() {
    let place = Place::filled();
    let said = place.run(&["purge"]).said(2);
    assert!(said.contains("--all"), "{said}");
    place
        .run(&["purge", "--all", "--outcome", "failed"])
        .said(2);
    let dry = ["purge", "--dry-run", "--outcome", "failed"];
    assert_eq!(place.run(&dry).fine(), "1 job would be purged\n");
    assert_eq!(
        place.run(&["purge", "--completed-before", "2d"]).fine(),
        "purged 0 jobs\n"
    );
    place.with(|movie| assert!(movie.job("failed").unwrap().is_some()));
    assert_eq!(
        place.run(&["purge", "--outcome", "failed"]).fine(),
        "purged 1 job\n"
    );
    assert!(
        place
            .run(&["show", "failed"])
            .said(1)
            .contains("was purged")
    );
    assert_eq!(place.run(&["purge", "--all"]).fine(), "purged 1 job\n");
    let states = place.with(|movie| State::ALL.map(|state| movie.count(state).unwrap()));
    assert_eq!(states, [201, 2, 0]);
}

/// Packs a store's jobs and damages a block of them.
fn damage_a_block(place: &Place) {
    let dir = place.store();
    let store = crate::common::small_segments()
        .recovery(jobstore::Recovery::Leave)
        .open(&dir)
        .unwrap();
    crate::common::pack(&store, &dir);
    store.close().unwrap();
    let packs = files_ending(&dir, ".pack");
    let mut bytes = fs::read(&packs[0]).unwrap();
    let at = bytes
        .windows(12)
        .position(|w| w == b"import_graph")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&packs[0], bytes).unwrap();
}

#[test]
fn damage_is_named_and_is_quarantined_only_when_that_is_wanted() {
    let place = Place::filled();
    let sound = place.run(&["verify"]).fine();
    assert!(sound.ends_with("no damage found\n"), "{sound}");
    assert!(
        place
            .run(&["repair"])
            .fine()
            .ends_with("nothing to repair\n")
    );
    damage_a_block(&place);
    let found = place.run(&["verify"]);
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.out.contains(".pack at byte"), "{found:?}");
    assert!(found.err.contains("jobstore repair"), "{found:?}");
    let json = place.run(&["verify", "--format", "json"]);
    assert_eq!(json.code, 1);
    assert!(json.out.starts_with(r#"{"path":"#) && json.out.contains(r#""damage":[{"file""#));

    let before = place.path("before");
    copy_directory(&place.store(), &before);
    let said = place.run(&["repair"]).said(2);
    assert!(said.contains("--yes"), "{said}");
    for name in crate::common::names_in(&before)
        .iter()
        .filter(|name| name.ends_with("pack"))
    {
        let is_same =
            fs::read(before.join(name)).unwrap() == fs::read(place.store().join(name)).unwrap();
        assert!(is_same, "{name} was changed");
    }

    let repaired = place.run(&["repair", "--yes"]).fine();
    assert!(repaired.contains("quarantined: "), "{repaired}");
    assert!(repaired.contains("jobs quarantined"), "{repaired}");
    place.run(&["verify"]).fine();
    let aside = || {
        let ran = place.run(&["list", "--graph", "10001/movie"]);
        let mut lines = ran.err.lines();
        let aside = lines.find(|line| line.contains("not shown because a repair quarantined them"));
        aside.map(str::to_owned).ok_or(ran)
    };
    let at_rest = aside().unwrap();
    let store = open(&place.store());
    let control = store.control().unwrap();
    assert_eq!(aside().unwrap(), at_rest);
    control.close();
    assert!(
        store
            .graph("10001", "movie")
            .unwrap()
            .quarantined()
            .unwrap()
            > 0
    );
    store.close().unwrap();
}

#[test]
fn a_store_that_was_not_closed_is_opened_and_loses_nothing() {
    let place = Place::filled();
    let store = JobStore::open(place.store()).unwrap();
    let id = store.graph("10001", "movie").unwrap();
    let id = id.submit(crate::tool::request("late", 1)).unwrap();
    copy_directory(&place.store(), &place.path("killed"));
    store.close().unwrap();
    let line = place
        .run(&["show", "--data", "killed", "--format", "json", id.as_str()])
        .fine();
    assert!(line.contains(r#""command":"late""#), "{line}");
}
