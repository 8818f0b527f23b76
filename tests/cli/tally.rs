//! Guarantee: `tally` counts as the library does, with and without an engine.

use std::time::Duration;

use jobstore::{JobQuery, State, TallyBy};

use crate::tool::{Place, open, request};

#[test]
fn jobs_are_counted_by_each_property() {
    let place = Place::filled();
    for (arguments, expected) in [
        (&[][..], "state jobs|pending 201|running 2|complete 2"),
        (
            &["--by", "outcome"],
            "outcome jobs|pending 201|running 2|succeeded 1|failed 1",
        ),
        (
            &["--by", "command"],
            "command jobs|clear_graph 200|import_graph 5",
        ),
        (
            &["--by", "command", "--state", "running"],
            "command jobs|import_graph 2",
        ),
    ] {
        let ran = place.run(&[&["tally"], arguments].concat());
        let lines = ran.out.lines();
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let lines: Vec<String> = lines.collect();
        let mut expected: Vec<&str> = expected.split('|').collect();
        let mut found: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(found.remove(0), expected.remove(0), "{ran:?}");
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{ran:?}");
        let all = if arguments.len() > 2 { 2 } else { 205 };
        assert_eq!(ran.err, format!("{all} jobs in all\n"));
    }
    place.with(|movie| {
        let traced = request("clear_graph", 1).with_origin("alice").unwrap();
        movie.submit(traced).unwrap();
    });
    let by_origin = place.run(&["tally", "--by", "origin"]).fine();
    assert_eq!(
        by_origin,
        "origin       jobs\n(no origin)   205\nalice           1\n"
    );
    let by_time = ["tally", "--by", "completed", "--period", "365d"];
    let table = place.run(&by_time).fine();
    assert!(table.contains("pending"), "{table}");
    assert!(table.contains(" 00:00 UTC"), "{table}");
    let none = place.run(&["tally", "--command", "export_graph"]);
    assert_eq!((none.out.as_str(), none.err.as_str()), ("", "no jobs\n"));
}

#[test]
fn json_is_what_the_library_returns_with_and_without_an_engine() {
    let place = Place::filled();
    let hour = Duration::from_secs(3600);
    let cases = [
        (&["--by", "outcome"][..], JobQuery::new(), TallyBy::Outcome),
        (
            &["--by", "command", "--state", "pending"],
            JobQuery::new().state(State::Pending),
            TallyBy::Command,
        ),
        (&["--by", "origin"], JobQuery::new(), TallyBy::Origin),
        (
            &["--by", "submitted"],
            JobQuery::new(),
            TallyBy::SubmittedPer(hour),
        ),
        (
            &[
                "--by",
                "completed",
                "--period",
                "1d",
                "--command",
                "import_graph",
            ],
            JobQuery::new().command("import_graph"),
            TallyBy::CompletedPer(24 * hour),
        ),
    ];
    let expected: Vec<String> = place.with(|movie| {
        let tallies = cases.iter().cloned();
        let tallies = tallies.map(|(_, query, by)| movie.tally(query, by).unwrap().to_json());
        tallies.collect()
    });
    let check = || {
        for ((arguments, ..), expected) in cases.iter().zip(&expected) {
            let given = [&["tally", "--format", "json"], *arguments].concat();
            let found = place.run(&given).fine();
            assert_eq!(found, format!("{expected}\n"), "{arguments:?}");
        }
    };
    check();
    let store = open(&place.store());
    let control = store.control().unwrap();
    check();
    drop(control);
    store.close().unwrap();
}

#[test]
fn a_period_without_a_time_is_refused() {
    let place = Place::filled();
    let said = place.run(&["tally", "--period", "1h"]).said(2);
    assert!(
        said.contains("--period cannot be used with --by state"),
        "{said}"
    );
    assert!(
        said.contains("use --by submitted or --by completed"),
        "{said}"
    );
}

#[test]
fn without_a_graph_the_jobs_of_all_graphs_are_counted() {
    let place = Place::filled();
    let store = open(&place.store());
    let roads = store.create_graph("10001", "roads").unwrap();
    roads.submit(request("export_graph", 1)).unwrap();
    let all = store.graphs().unwrap();
    let all = store.tally(&all, JobQuery::new(), TallyBy::Command);
    let all = all.unwrap();
    assert_eq!(all.jobs, 206);
    let check = || {
        let found = place.run(&["tally", "--by", "command", "--format", "json"]);
        assert_eq!(found.fine(), all.to_json() + "\n");
    };
    let control = store.control().unwrap();
    check();
    drop(control);
    drop(roads);
    store.close().unwrap();
    check();
}
