//! Guarantee: the example dashboard and the example alerts use only metrics and labels that
//! `/metrics` outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jobstore::JobStore;
use jobstore::http::metrics;
use jobstore::replica::MemoryReplica;
use serde_json::Value;

use crate::fill;

/// The labels that Prometheus adds to each series.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

/// The names of the series, each with the names of its labels.
type Series = BTreeMap<String, BTreeSet<String>>;

/// The series of a store with a replica and of a follower.
fn series() -> Series {
    let dirs = tempfile::tempdir().unwrap();
    let replica = Arc::new(MemoryReplica::default());
    let options = JobStore::options().replica(replica.clone());
    let store = options.open(dirs.path().join("here")).unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie, 2, 10);
    movie.start("job-0").unwrap();
    let follower = JobStore::follow(dirs.path().join("there"), replica).unwrap();
    let text = metrics(&store).unwrap() + &metrics(&follower).unwrap();
    let mut series = Series::new();
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            // A gauge may have no series at the moment.
            Some(metric) => match metric.split_once(' ').unwrap() {
                (_, "histogram") => {}
                (name, _) => drop(series.entry(name.to_owned()).or_default()),
            },
            None if line.starts_with('#') => {}
            None => {
                let (selector, _) = line.rsplit_once(' ').unwrap();
                for (name, labels) in selectors(selector) {
                    series.entry(name).or_default().extend(labels);
                }
            }
        }
    }
    series
}

/// The words of PromQL that are not names of metrics, unless they are followed by a parenthesis.
const WORDS: [&str; 18] = [
    "and",
    "avg",
    "bool",
    "by",
    "count",
    "group_left",
    "group_right",
    "ignoring",
    "inf",
    "max",
    "min",
    "nan",
    "offset",
    "on",
    "or",
    "sum",
    "unless",
    "without",
];
/// The words that are followed by labels in parentheses.
const BEFORE_LABELS: [&str; 6] = [
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "on",
    "without",
];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// The names of the metrics in an expression, each with the names of the labels in its selector.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let (mut found, mut rest) = (Vec::new(), expression);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            rest = after_string(rest);
        } else if c == '[' {
            rest = rest.split_once(']').expect("a range ends").1;
        } else if is_name(c) {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after.trim_start();
            if c.is_ascii_digit() || (rest.starts_with('(') && !BEFORE_LABELS.contains(&word)) {
                continue;
            }
            if BEFORE_LABELS.contains(&word) {
                rest = rest.split_once(')').expect("the labels end").1;
            } else if !WORDS.contains(&word) {
                let mut labels = Vec::new();
                if let Some(matchers) = rest.strip_prefix('{') {
                    (labels, rest) = names_of_labels(matchers);
                }
                found.push((word.to_owned(), labels));
            }
        } else {
            rest = &rest[c.len_utf8()..];
        }
    }
    found
}

/// The names in `name="value",..}`, and what follows the brace.
fn names_of_labels(mut rest: &str) -> (Vec<String>, &str) {
    let mut names = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return (names, after);
        }
        let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).expect("a matcher"));
        names.push(name.to_owned());
        rest = after_string(after.trim_start_matches(['=', '~', '!', ' ']));
    }
}

/// What follows a string in quotes.
fn after_string(text: &str) -> &str {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return &text[at + 1..],
            _ => {}
        }
    }
    panic!("no end of the string {text}");
}

/// What is wrong with an expression.
fn unknown(expression: &str, series: &Series) -> Vec<String> {
    let mut unknown = Vec::new();
    for (name, labels) in selectors(expression) {
        match series.get(&name) {
            None => unknown.push(format!("no metric {name}")),
            Some(known) => unknown.extend(
                labels
                    .iter()
                    .filter(|label| !known.contains(*label))
                    .filter(|label| !OF_PROMETHEUS.contains(&label.as_str()))
                    .map(|label| format!("no label {label} of {name}")),
            ),
        }
    }
    unknown
}

/// All values of a key, at any depth.
fn all<'v>(key: &str, value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(key));
            members.values().for_each(|value| all(key, value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all(key, item, found)),
        _ => {}
    }
}

#[test]
fn the_example_dashboard_shows_metrics_that_exist() {
    let text = include_str!("../../examples/grafana.json");
    let dashboard: Value = serde_json::from_str(text).unwrap();
    let series = series();
    let (mut expressions, mut queries) = (Vec::new(), Vec::new());
    all("expr", &dashboard, &mut expressions);
    assert!(expressions.len() > 40, "{}", expressions.len());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<&str> = variables
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert!(variables.is_superset(&BTreeSet::from(["datasource", "graph"])));
    all("definition", &dashboard, &mut queries);
    // label_values(METRIC, LABEL)
    for query in &queries {
        let query = query.as_str().unwrap();
        let (selector, label) = query.rsplit_once(", ").unwrap();
        let selector = selector.strip_prefix("label_values(").unwrap();
        let label = label.strip_suffix(')').unwrap();
        let (name, _) = &selectors(selector)[0];
        let is_known = series[name].contains(label) || OF_PROMETHEUS.contains(&label);
        assert!(is_known, "{query}");
        assert_eq!(unknown(selector, &series), [""; 0], "{query}");
    }
    for expression in expressions.iter().chain(&queries) {
        let expression = expression.as_str().unwrap();
        for variable in expression.split('$').skip(1) {
            let end = variable.find(|c| !is_name(c)).unwrap_or(variable.len());
            let name = &variable[..end];
            let is_known = variables.contains(name) || name == "__rate_interval";
            assert!(is_known, "no variable {name}: {expression}");
        }
    }
    for expression in expressions {
        let expression = expression.as_str().unwrap();
        assert!(!selectors(expression).is_empty(), "{expression}");
        assert_eq!(unknown(expression, &series), [""; 0], "{expression}");
    }
    // It can be imported for any data source, and no panel covers another.
    let mut sources = Vec::new();
    all("datasource", &dashboard, &mut sources);
    assert!(
        sources
            .iter()
            .all(|source| source["uid"] == "${datasource}")
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for y in place("y")..place("y") + place("h") {
            for x in place("x")..place("x") + place("w") {
                let is_free = x < 24 && taken.insert((x, y));
                assert!(is_free, "{}", panel["title"]);
            }
        }
    }
}

#[test]
fn the_example_alerts_use_metrics_that_exist() {
    let rules = include_str!("../../examples/alerts.yml");
    let series = series();
    let mut lines = rules.lines();
    let mut expressions = 0;
    while let Some(line) = lines.next() {
        let Some(expression) = line.trim().strip_prefix("expr: ") else {
            continue;
        };
        let expression = match expression {
            ">-" => lines.next().unwrap().trim(),
            expression => expression,
        };
        expressions += 1;
        assert!(!selectors(expression).is_empty(), "{expression}");
        assert_eq!(unknown(expression, &series), [""; 0], "{expression}");
    }
    assert_eq!(expressions, rules.matches("- alert: ").count());
}

#[test]
fn an_invented_name_is_found() {
    let series = series();
    let known =
        r#"sum by (graph) (rate(jobstore_jobs_completed_total{graph=~"$g",outcome!="a}\"b"}[5m]))"#;
    for (expression, problems) in [
        (known.to_owned(), vec![]),
        (
            format!("1e6 * {known} / on (graph) group_left sum(jobstore_jobs) > 0.5"),
            vec![],
        ),
        (
            "rate(jobstore_invented_total[5m])".to_owned(),
            vec!["no metric jobstore_invented_total"],
        ),
        (
            "jobstre_health == 1".to_owned(),
            vec!["no metric jobstre_health"],
        ),
        (
            "jobstore_sync_duration_seconds".to_owned(),
            vec!["no metric jobstore_sync_duration_seconds"],
        ),
        (
            r#"jobstore_jobs{status="pending"} or jobstore_health{instance="a"}"#.to_owned(),
            vec!["no label status of jobstore_jobs"],
        ),
        (
            "histogram_quantile(0.5, sum by (le) (rate(jobstore_job_wait_seconds_bucket[1m])))"
                .to_owned(),
            vec!["no metric jobstore_job_wait_seconds_bucket"],
        ),
    ] {
        assert_eq!(unknown(&expression, &series), problems, "{expression}");
    }
}
