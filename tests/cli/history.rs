//! Guarantee: `history` shows what the library's history contains, with and without an engine.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::tool::{Place, open};

const HOUR: Duration = Duration::from_secs(3600);

/// A store with jobs of known times: each waited for 2 minutes and ran for 3.
fn imported() -> Place {
    let place = Place::new();
    place.with(|_| {});
    let mut lines = String::new();
    for (n, (at, command, outcome)) in [
        ("2026-01-31T08:00", "import_graph", "succeeded"),
        ("2026-01-31T08:30", "import_graph", "failed"),
        ("2026-01-31T09:10", "clear_graph", "interrupted"),
        ("2026-01-31T09:20", "clear_graph", "partially_failed"),
        ("2026-01-31T09:30", "clear_graph", "cancelled"),
        ("2026-02-01T10:00", "clear_graph", "succeeded"),
    ]
    .into_iter()
    .enumerate()
    {
        let time = |minutes: u64| {
            let (hour, minute) = at.split_once(':').unwrap();
            format!("{hour}:{:02}:00Z", minute.parse::<u64>().unwrap() + minutes)
        };
        lines +=
            &format!(r#"{{"jobId":"job-{n}","request":{{"command":"{command}","url":"/ges"}},"#);
        lines += &format!(
            r#""outcome":{{"kind":"{outcome}"}},"submittedAt":{},"startedAt":{},"completedAt":{}}}"#,
            ms(&time(0)),
            ms(&time(2)),
            ms(&time(5)),
        );
        lines.push('\n');
    }
    let import = ["import", "--graph", "10001/movie", "-"];
    place.fed(&import, lines.as_bytes()).fine();
    place
}

/// Milliseconds since 1970.
fn ms(text: &str) -> i64 {
    let time: jiff::Timestamp = text.parse().unwrap();
    time.as_millisecond()
}

/// The words of each line.
fn words(table: &str) -> Vec<Vec<&str>> {
    let cells = |line| str::split(line, "  ").map(str::trim);
    let cells = |line| cells(line).filter(|cell| !cell.is_empty()).collect();
    table.lines().map(cells).collect()
}

const PERIOD: [&str; 4] = [
    "--since",
    "2026-01-31T00:00Z",
    "--until",
    "2026-02-02T00:00Z",
];

#[test]
fn the_table_has_a_row_for_each_period_and_a_total() {
    let place = imported();
    let by_day = place.run(&[&["history", "--step", "1d"], &PERIOD[..]].concat());
    let by_day = by_day.fine();
    let expected = [
        "start submitted started succeeded failed cancelled wait p50 wait p95 run p50 run p95",
        "2026-01-31 00:00 UTC 5 5 1 3 1 <= 5 min <= 5 min <= 5 min <= 5 min",
        "2026-02-01 00:00 UTC 1 1 1 0 0 <= 5 min <= 5 min <= 5 min <= 5 min",
        "total 6 6 2 3 1 <= 5 min <= 5 min <= 5 min <= 5 min",
    ];
    let lines: Vec<String> = words(&by_day).iter().map(|line| line.join(" ")).collect();
    assert_eq!(lines, expected, "{by_day}");

    let by_hour = place.run(&[&["history"], &PERIOD[..]].concat()).fine();
    let starts: Vec<&str> = words(&by_hour).iter().map(|line| line[0]).collect();
    let expected = [
        "start",
        "2026-01-31 08:00 UTC",
        "2026-01-31 09:00 UTC",
        "2026-02-01 10:00 UTC",
        "total",
    ];
    assert_eq!(starts, expected, "{by_hour}");

    let by_command = [&["history", "--step", "1d", "--by", "command"], &PERIOD[..]].concat();
    let by_command = place.run(&by_command).fine();
    let commands: Vec<[&str; 3]> = words(&by_command)[1..4]
        .iter()
        .map(|line| [line[0], line[1], line[2]])
        .collect();
    let expected = [
        ["2026-01-31 00:00 UTC", "clear_graph", "3"],
        ["2026-01-31 00:00 UTC", "import_graph", "2"],
        ["2026-02-01 00:00 UTC", "clear_graph", "1"],
    ];
    assert_eq!(commands, expected, "{by_command}");
}

#[test]
fn a_terminal_shows_the_columns_that_fit() {
    let place = imported();
    let history = [&["history"], &PERIOD[..]].concat();
    for columns in [40, 80, 100, 140] {
        let screen = place.on_terminal(&history, columns);
        assert_eq!(screen.code, 0);
        let lines = screen.lines();
        let is_whole = columns > 60;
        assert_eq!(is_whole, lines.len() == 5, "{columns}: {lines:#?}");
        let has_waits = lines[0].contains("wait p95");
        assert_eq!(has_waits, columns >= 100, "{columns}: {lines:#?}");
    }
}

#[test]
fn json_is_what_the_library_returns() {
    let place = imported();
    let document = place.run(&[&["history", "--format", "json"], &PERIOD[..]].concat());
    let document: Value = serde_json::from_str(&document.fine()).unwrap();
    let bounds = jobstore::JobHistogram::bounds().iter();
    let bounds: Vec<u64> = bounds.map(|bound| bound.as_millis() as u64).collect();
    assert_eq!(document["boundsMs"], Value::from(bounds));
    let points: Vec<Value> = place.with(|movie| {
        let at = |text: &str| SystemTime::UNIX_EPOCH + Duration::from_millis(ms(text) as u64);
        let (from, to) = (at("2026-01-31T00:00:00Z"), at("2026-02-02T00:00:00Z"));
        let points = movie.history(from, to, HOUR).unwrap();
        let json = points.iter().map(|point| point.to_json());
        json.map(|json| serde_json::from_str(&json).unwrap())
            .collect()
    });
    assert_eq!(points.len(), 3);
    assert_eq!(document["points"], Value::from(points));
}

#[test]
fn the_last_day_is_shown_by_default() {
    let place = imported();
    let ran = place.run(&["history"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "", "nothing happened in this period\n")
    );
    let filled = Place::filled();
    let table = filled.run(&["history", "--step", "1d"]).fine();
    let total = words(&table).pop().unwrap();
    assert_eq!(total[..5], ["total", "205", "4", "1", "1"], "{table}");
    // The end of a history without a beginning is the end of a day.
    let before = filled.run(&["history", "--until", "2d"]);
    assert_eq!(before.err, "nothing happened in this period\n");
}

#[test]
fn an_engine_shows_the_same_history() {
    let place = imported();
    let looks = [
        [&["history"], &PERIOD[..]].concat(),
        [
            &["history", "--step", "1min", "--by", "command"],
            &PERIOD[..],
        ]
        .concat(),
        [&["history", "--format", "json"], &PERIOD[..]].concat(),
        vec!["history"],
    ];
    let run = || {
        looks.each_ref().map(|look| place.run(look)).map(|ran| {
            assert_eq!(ran.code, 0, "{ran:?}");
            (ran.out, ran.err)
        })
    };
    let at_rest = run();
    let store = open(&place.store());
    let control = store.control().unwrap();
    assert_eq!(run(), at_rest);
    drop(control);
    store.close().unwrap();
}

#[test]
fn what_cannot_be_shown_is_refused_with_what_is_allowed() {
    let place = imported();
    for (arguments, words) in [
        (["--step", "90s"], "use a step such as 5min, 1h, 6h, or 1d"),
        (["--step", "hour"], "use a number with a unit"),
        (["--since", "2100-01-01"], "which is not before its end"),
    ] {
        let said = place.run(&[&["history"], &arguments[..]].concat()).said(2);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}
