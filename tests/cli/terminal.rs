//! Guarantee: on a terminal, a table fits and has colors, a long command shows its progress and
//! removes it at the end; no text of a request controls the terminal.

use unicode_width::UnicodeWidthStr;

use crate::tool::{Place, request};

#[test]
fn a_table_fits_the_terminal_and_shows_states_in_colours() {
    let place = Place::filled();
    for columns in [60, 80, 140] {
        let screen = place.on_terminal(&["list", "--limit", "10"], columns);
        assert_eq!(screen.code, 0);
        let lines = screen.lines();
        // A heading, ten jobs, the range, and the command for the next page: no line was wrapped.
        assert_eq!(lines.len(), 13, "{columns}: {lines:#?}");
        assert!(lines[0].starts_with("job "), "{lines:#?}");
        assert_eq!(lines[11], "1-10 of 205");
        assert_eq!(lines[12], "continue with --offset 10");
        assert!(
            lines
                .iter()
                .all(|line| line.width() <= usize::from(columns)),
            "{lines:#?}"
        );
        assert_eq!(screen.colour_of("succeeded"), vt100::Color::Idx(2));
        assert_eq!(screen.colour_of("running"), vt100::Color::Idx(6));
        assert_eq!(
            screen.colour_of("failed  "),
            vt100::Color::Default,
            "that is an id"
        );
    }
    let mut command = place.command(&["list", "--limit", "10"]);
    command.env("NO_COLOR", "1");
    let screen = place.typed(command, 80, "");
    assert_eq!(screen.colour_of("succeeded"), vt100::Color::Default);
    assert!(!screen.bytes.contains('\u{1b}'), "{:?}", screen.bytes);
}

#[test]
fn the_numbers_of_a_store_fit_the_terminal() {
    let place = Place::filled();
    let whole = place.run(&["stats"]).fine();
    let lines = place.on_terminal(&["stats"], 80).lines();
    assert_eq!(lines.len(), whole.lines().count(), "{lines:#?}");
    let (sum, parts): (&str, Vec<&str>) = {
        let at = lines
            .iter()
            .position(|line| line.starts_with("disk "))
            .unwrap();
        (
            &lines[at],
            lines[at + 1..at + 5].iter().map(String::as_str).collect(),
        )
    };
    let bytes = |line: &str| -> f64 {
        let words: Vec<&str> = line.trim_start_matches("disk").split_whitespace().collect();
        let unit = match words[1] {
            "B" => 1.0,
            "KiB" => 1024.0,
            "MiB" => 1_048_576.0,
            other => panic!("{other} in {line}"),
        };
        words[0].parse::<f64>().unwrap() * unit
    };
    let all: f64 = parts.iter().map(|part| bytes(part)).sum();
    assert!((bytes(sum) - all).abs() < 0.02 * all, "{lines:#?}");
}

#[test]
fn an_id_on_a_terminal_is_one_that_show_takes() {
    let place = Place::filled();
    let id = place.with(|movie| movie.submit(request("import_graph", 1)).unwrap());
    let lines = place
        .on_terminal(&["list", "--newest-first", "--limit", "1"], 80)
        .lines();
    let shown = lines[1].split_whitespace().next().unwrap();
    let line = place.run(&["show", "--format", "json", shown]).fine();
    assert!(line.contains(id.as_str()), "{shown}: {line}");
}

#[test]
fn what_a_request_holds_is_no_command_to_the_terminal() {
    let place = Place::new();
    place.with(|movie| {
        let body = jobstore::Body::from_json("\"\u{9b}31m \\u001b[31m\"").unwrap();
        let evil = "a\u{1b}]0;title\u{7}\u{9b}31m\nb\u{202e}";
        movie
            .submit_as("evil", jobstore::Request::new(evil, evil, body).unwrap())
            .unwrap();
    });
    for arguments in [&["list"][..], &["show", "evil"]] {
        let screen = place.on_terminal(arguments, 200);
        for harmful in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{202e}"] {
            assert!(!screen.bytes.contains(harmful), "{:?}", screen.bytes);
        }
        assert!(
            screen.bytes.contains("\u{fffd}]0;title\u{fffd}"),
            "{:?}",
            screen.bytes
        );
    }
}

#[test]
fn a_long_verb_shows_how_far_it_is_on_a_terminal_and_nowhere_else() {
    let place = Place::filled();
    place.with(|movie| {
        for _ in 0..10 {
            movie
                .submit_all((0..1000).map(|n| request("clear_graph", n)))
                .unwrap();
        }
    });
    let lines = place.run(&["export", "--command", "clear_graph"]);
    assert!(!lines.err.contains("exporting"), "{}", lines.err);
    std::fs::write(place.path("movie.jsonl"), lines.out).unwrap();
    for (arguments, word, left) in [
        (
            &["export", "other.jsonl"][..],
            "exporting",
            "exported 10,205 jobs",
        ),
        (
            &["find", "--body-pointer", "/n", "--body-value", "3"],
            "searching",
            "job ",
        ),
        (&["verify"], "verifying", "no damage found"),
        (&["backup", "copy"], "copying", "copied "),
        (
            &["import", "--data", "new", "--graph", "1/g", "movie.jsonl"],
            "importing",
            "imported 10,200 jobs; 0 already present, 0 skipped",
        ),
        (&["purge", "--all"], "purging", "purged 2 jobs"),
    ] {
        let screen = place.on_terminal(arguments, 100);
        assert_eq!(screen.code, 0, "{arguments:?}: {}", screen.bytes);
        let drawn = screen.bytes.contains(word) && screen.bytes.contains(" left");
        assert!(drawn, "{arguments:?}: {:?}", screen.bytes);
        let lines = screen.lines();
        assert!(
            lines.iter().any(|line| line.starts_with(left)),
            "{lines:#?}"
        );
        assert!(!lines.iter().any(|line| line.contains(word)), "{lines:#?}");
    }
}

#[test]
fn an_export_to_the_terminal_is_not_mixed_with_a_bar() {
    let place = Place::filled();
    let screen = place.on_terminal(&["export", "--state", "running"], 100);
    assert!(!screen.bytes.contains("exporting"), "{:?}", screen.bytes);
}

#[test]
fn a_repair_asks_and_takes_only_yes_for_yes() {
    let place = Place::filled();
    // The end may be missing if the store was not closed.
    let copy = place.path("killed");
    let store = jobstore::JobStore::open(place.store()).unwrap();
    crate::common::copy_directory(&place.store(), &copy);
    store.close().unwrap();
    let repair = || place.command(&["repair", "--data", "killed"]);
    let screen = place.typed(repair(), 200, "n\n");
    let text = screen.lines().join("\n");
    assert!(
        text.contains("[y/N]") && text.contains("nothing was changed"),
        "{text}"
    );
    let screen = place.typed(repair(), 200, "y\n");
    assert_eq!(screen.code, 0);
    let text = screen.lines().join("\n");
    assert!(text.contains("nothing to repair"), "{text}");
}
