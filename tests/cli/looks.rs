//! Guarantee: list, show, and find report the content of the store, in the requested format.

use std::time::Duration;

use jobstore::{JobQuery, JobStore, State};

use crate::tool::{Place, request};

/// The library's document for a list.
fn document(place: &Place, list: JobQuery) -> String {
    place.with(|movie| String::from_utf8(movie.list(list).unwrap().to_json().unwrap()).unwrap())
}

#[test]
fn json_is_the_contracts_document_to_the_byte() {
    let place = Place::filled();
    let all = place.run(&["list", "--format", "json"]).fine();
    assert_eq!(all, document(&place, JobQuery::new()));
    assert!(
        all.contains(r#""alpha":0.00001"#),
        "numbers keep their text"
    );
    let some = [
        "list",
        "--format",
        "json",
        "--offset",
        "3",
        "--limit",
        "7",
        "--newest-first",
    ];
    let expected = JobQuery::new().offset(3).limit(7).newest_first();
    assert_eq!(place.run(&some).fine(), document(&place, expected));
}

#[test]
fn every_filter_chooses_the_jobs_that_the_library_chooses() {
    let place = Place::filled();
    std::thread::sleep(Duration::from_millis(3));
    let now = std::time::SystemTime::now();
    let ms = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis();
    let later = jiff_text(ms as u64);
    place.with(|movie| {
        movie
            .submit_as("late", request("export_graph", 1))
            .map(drop)
            .unwrap();
        movie
            .submit_as("comma", request("a,clear_graph", 1))
            .map(drop)
            .unwrap()
    });
    use jobstore::OutcomeKind::{Failed, Interrupted};
    let open = JobQuery::new().state(State::Pending).state(State::Running);
    let ended = JobQuery::new().outcome(Failed).outcome(Interrupted);
    let cases: [(&[&str], JobQuery); 10] = [
        (&["--state", "pending,running"], open.clone()),
        (&["--state", "pending", "--state", "running"], open),
        (&["--outcome", "failed,interrupted"], ended),
        (
            &["--command", "export_graph"],
            JobQuery::new().command("export_graph"),
        ),
        (
            &["--command", "a,clear_graph"],
            JobQuery::new().command("a,clear_graph"),
        ),
        (
            &["--command", "a,clear_graph", "--command", "export_graph"],
            JobQuery::new()
                .command("a,clear_graph")
                .command("export_graph"),
        ),
        (
            &["--submitted-from", &later],
            JobQuery::new().submitted_from(now),
        ),
        (
            &["--submitted-before", &later],
            JobQuery::new().submitted_before(now),
        ),
        (
            &["--started-before", &later],
            JobQuery::new().started_before(now),
        ),
        (
            &["--completed-from", &later],
            JobQuery::new().completed_from(now),
        ),
    ];
    for (arguments, list) in cases {
        let given = [&["list", "--format", "json"], arguments].concat();
        let got = place.run(&given).fine();
        assert_eq!(got, document(&place, list), "{arguments:?}");
    }
}

/// A time in milliseconds, as RFC 3339.
fn jiff_text(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let (mut year, mut day) = (1970, days);
    let days_of = |year: u64| match year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) {
        true => 366,
        false => 365,
    };
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let months = [
        31,
        days_of(year) - 337,
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let (month, day, ms) = (month + 1, day + 1, ms % 1000);
    format!("{year}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

#[test]
fn lines_of_a_list_are_whole_jobs_as_an_export_has_them() {
    let place = Place::filled();
    let exported = place.run(&["export"]).fine();
    let listed = place.run(&["list", "--format", "jsonl"]).fine();
    assert_eq!(listed.lines().count(), 205);
    assert!(listed == exported);
}

#[test]
fn a_table_in_a_pipe_has_whole_ids_and_no_colours() {
    let place = Place::filled();
    let id = place.with(|movie| movie.submit(request(&"x".repeat(200), 1)).unwrap());
    let ran = place.run(&["list", "--newest-first", "--limit", "1"]);
    let table = &ran.out;
    assert!(table.contains(id.as_str()), "{table}");
    assert!(table.contains(&"x".repeat(200)), "{table}");
    assert!(!table.contains('\u{1b}'), "{table:?}");
    // The reader of the pipe gets only the heading and rows.
    assert_eq!(table.lines().count(), 2, "{table}");
    assert_eq!(ran.err, "1-1 of 206\ncontinue with --offset 1\n");
}

#[test]
fn a_table_says_how_each_job_is() {
    let place = Place::filled();
    let table = place.run(&["list", "--limit", "5"]).fine();
    let words: Vec<Vec<&str>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    let states: Vec<_> = words[1..6].iter().map(|line| (line[0], line[1])).collect();
    let expected = [
        ("done", "succeeded"),
        ("failed", "failed"),
        ("hangs", "running"),
        ("stopping", "stopping"),
        ("waits", "pending"),
    ];
    assert_eq!(states, expected, "{table}");
    assert!(table.contains("GES.8012: no such vertex"), "{table}");
}

#[test]
fn a_list_goes_on_as_its_table_says_until_all_jobs_were_shown_once() {
    let place = Place::filled();
    let all = place.run(&["list", "--limit", "1000"]).fine();
    let rows = |table: &str| -> Vec<String> {
        let id = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        let jobs = table
            .lines()
            .filter(|line| line.contains(" ago") || line.contains(" now"));
        jobs.map(id).collect()
    };
    for filter in [
        &[][..],
        &["--command", "clear_graph"],
        &["--newest-first", "--count"],
    ] {
        let (mut seen, mut on) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let begin: [&str; 3] = ["list", "--limit", "60"];
            let on_now: Vec<&str> = on.iter().map(String::as_str).collect();
            let table = place.run(&[&begin, filter, &on_now].concat());
            seen.extend(rows(&table.out));
            let Some(hint) = table
                .err
                .lines()
                .find_map(|line| line.strip_prefix("continue with "))
            else {
                break;
            };
            on = hint.split_whitespace().map(str::to_owned).collect();
        }
        let mut expected = rows(&all);
        if filter.contains(&"--command") {
            expected.drain(..5);
        }
        if filter.contains(&"--newest-first") {
            expected.reverse();
        }
        assert_eq!(seen, expected, "{filter:?}");
    }
}

#[test]
fn what_is_known_of_a_job_is_shown() {
    let place = Place::filled();
    let text = place.run(&["show", "failed"]).fine();
    for part in [
        "job       failed\n",
        "graph     10001/movie\n",
        "state     failed\n",
        "code      GES.8012\n",
        "message   no such vertex\n",
        "command   import_graph\n",
        "\"vertex\": 7",
        "\"alpha\": 0.00001",
        " UTC (",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let line = place.run(&["show", "failed", "--format", "json"]).fine();
    let own = place.with(|movie| movie.job("failed").unwrap().unwrap().to_json());
    assert_eq!(line, own + "\n");
}

#[test]
fn the_part_of_an_id_that_a_table_shows_is_enough() {
    let place = Place::filled();
    let id = place.with(|movie| movie.submit(request("c", 9)).unwrap());
    let short = &id.as_str()[19..];
    let with_dots = format!("\u{2026}{short}");
    for given in [id.as_str(), short, &with_dots, &format!("..{short}")] {
        let line = place.run(&["show", "--format", "json", given]).fine();
        assert!(
            line.starts_with(&format!(r#"{{"jobId":"{id}""#)),
            "{given}: {line}"
        );
    }
    let other = "018f2c1a-7b1e-7c3d-9a4f-0123456789ab";
    let said = place.run(&["show", other]).said(1);
    assert!(said.contains("can not find job"), "{said}");
    let said = place.run(&["show", "no such id"]).said(2);
    assert!(said.contains("invalid job id"), "{said}");
}

/// Imported jobs keep their ids, and an engine can supply ids in the form of the GES API: their
/// digits are not those of the graph.
#[test]
fn a_shown_id_is_enough_whoever_made_the_id() {
    let place = Place::filled();
    let foreign = "1234567890123456789018f2c1a-7b1e-7c3d-9a4f-0123456789ab";
    let uuid = "118f2c1a-7b1e-7c3d-9a4f-0123456789ab";
    place.with(|movie| {
        movie.submit_as(foreign, request("c", 1)).unwrap();
        movie.submit_as(uuid, request("c", 2)).unwrap();
        movie.start(foreign).unwrap();
    });
    let line = |given: &str| place.run(&["show", "--format", "json", given]).fine();
    let short = &foreign[19..];
    for given in [
        foreign,
        short,
        &format!("\u{2026}{short}"),
        &format!("..{short}"),
        "\u{2026}018f\u{2026}6789ab",
        "12345\u{2026}6789ab",
    ] {
        let line = line(given);
        assert!(line.contains(foreign), "{given}: {line}");
    }
    assert!(line(uuid).contains(uuid));
    place.run(&["cancel", short]).fine();
    place.run(&["complete", "--cancelled", short]).fine();
    assert!(line(short).contains(r#""kind":"cancelled""#));
    // Two ids that look alike in a table are distinguished by the whole id.
    let twin = foreign.replacen('1', "2", 1);
    place.with(|movie| movie.submit_as(&twin, request("c", 3)).unwrap());
    let said = place.run(&["show", short]).said(2);
    assert!(said.contains(foreign) && said.contains(&twin), "{said}");
}

#[test]
fn a_job_is_found_by_its_request_whatever_the_order_of_keys() {
    let place = Place::filled();
    let url = "/ges/v1.0/10001/graphs/movie/action?action_id=clear_graph";
    let wanted = format!(
        r#"{{"body": {{"alpha":0.00001, "n":7}}, "url":"{url}", "command":"clear_graph"}}"#
    );
    let ids = place.with(|movie| {
        let again = movie.submit(request("clear_graph", 7)).unwrap();
        let first = movie.find(&request("clear_graph", 7)).unwrap().nth(1);
        [again, first.unwrap().unwrap().id().clone()]
    });
    let lines = place
        .fed(&["find", "-", "--format", "jsonl"], wanted.as_bytes())
        .fine();
    let found: Vec<&str> = lines.lines().map(|line| &line[10..65]).collect();
    assert_eq!(found, ids.each_ref().map(|id| id.as_str()));
    std::fs::write(place.path("request.json"), &wanted).unwrap();
    let table = place.run(&["find", "request.json", "--limit", "1"]).fine();
    assert!(
        table.contains(ids[0].as_str()) && !table.contains(ids[1].as_str()),
        "{table}"
    );
    let none = wanted.replace("0.00001", "0.000010");
    let said = place.fed(&["find", "-"], none.as_bytes()).said(1);
    assert_eq!(said, "no job has this request\n");
    for wrong in ["", "{}", "nothing"] {
        assert!(
            !place
                .fed(&["find", "-"], wrong.as_bytes())
                .said(2)
                .is_empty()
        );
    }
}

#[test]
fn a_job_is_found_by_parts_of_its_request() {
    let place = Place::filled();
    let part = ["--body-pointer", "/n", "--body-value", "7"];
    let find = |more: &[&str]| place.run(&[&["find"], &part[..], more].concat());
    let ids = place.with(|movie| {
        let again = movie.submit(request("clear_graph", 7)).unwrap();
        let first = movie.find(&request("clear_graph", 7)).unwrap().nth(1);
        [again, first.unwrap().unwrap().id().clone()]
    });
    let lines = find(&["--format", "jsonl"]);
    let found: Vec<&str> = lines.out.lines().map(|line| &line[10..65]).collect();
    assert_eq!(found, ids.each_ref().map(|id| id.as_str()));
    assert_eq!((lines.code, lines.err.as_str()), (0, ""));
    // Page by page, each with the command for the next one.
    let table = find(&["--limit", "1"]);
    assert!(table.out.contains(ids[0].as_str()), "{table:?}");
    let hint = table.err.lines().last().unwrap();
    let cursor = hint.strip_prefix("continue with --cursor ").unwrap();
    let on = |more: &[&str]| find(&[&["--cursor", cursor], more].concat());
    assert!(on(&[]).fine().contains(ids[1].as_str()));
    let line = find(&["--limit", "1", "--format", "jsonl"]);
    // Which cursor is shown depends on how far a step of the search came.
    let says_how = line.err.starts_with("continue with --cursor ");
    assert!(line.out.lines().count() == 1 && says_how, "{line:?}");
    let said = on(&["--state", "complete"]).said(2);
    assert!(said.contains("a different filter"), "{said}");
    // Facts about a job other than its request are also filters.
    let outcome = ["find", "--outcome", "failed", "--url-contains", "import"];
    assert!(place.run(&outcome).fine().contains("failed"));
    assert_eq!(
        find(&["--state", "running"]).said(1),
        "no job matches the filters\n"
    );
    for (arguments, word) in [
        (&["find"][..], "nothing to search for"),
        (&["find", "-", "--command", "c"], "cannot be combined"),
        (&["find", "-", "--cursor", cursor], "cannot be used with"),
        (&["find", "--command", "c", "--limit", "0"], "--limit"),
        (
            &["find", "--body-pointer", "n", "--body-value", "1"],
            "pointer",
        ),
    ] {
        let said = place.run(arguments).said(2);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

#[test]
fn looking_makes_no_store_and_leaves_what_runs_running() {
    let place = Place::filled();
    for arguments in [
        &["list"][..],
        &["show", "hangs"],
        &["export"],
        &["verify"],
        &["purge", "--all", "--dry-run"],
    ] {
        place.run(arguments).fine();
    }
    let states = place.with(|movie| State::ALL.map(|state| movie.count(state).unwrap()));
    assert_eq!(states, [201, 2, 2]);
    let nowhere = Place::new();
    for arguments in [&["list"][..], &["verify"], &["export"], &["backup", "copy"]] {
        let said = nowhere.run(arguments).said(2);
        assert!(said.contains("no store found at"), "{said}");
    }
    assert!(!nowhere.store().exists());
}

#[test]
fn the_graph_is_named_where_there_are_several() {
    let place = Place::filled();
    let store = JobStore::open(place.store()).unwrap();
    store.create_graph("10002", "other").unwrap();
    store.close().unwrap();
    let said = place.run(&["show", "done"]).said(2);
    assert!(said.contains("10001/movie, 10002/other"), "{said}");
    let all = place.run(&["list", "--format", "jsonl"]).fine();
    assert_eq!(all.lines().count(), 205);
    let empty = place.run(&["list", "--graph", "10002/other"]);
    assert_eq!((empty.out.as_str(), empty.err.as_str()), ("", "no jobs\n"));
    let said = place.run(&["list", "--graph", "10002/movie"]).said(2);
    assert!(said.contains("graph movie does not exist"), "{said}");
}

/// A mistyped command must not run one that changes other things.
#[test]
fn a_delete_is_told_what_there_is_instead() {
    let place = Place::filled();
    for word in ["delete", "remove", "rm"] {
        let said = place.run(&[word, "hangs"]).said(2);
        assert!(
            said.contains("jobstore cancel") && said.contains("jobstore purge"),
            "{said}"
        );
        assert!(!said.contains("complete ID"), "{said}");
    }
}
