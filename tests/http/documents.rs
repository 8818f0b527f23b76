//! Guarantee: the documents of the routes and metrics are complete and correct.

use std::collections::BTreeSet;

use jobstore::http::{Routes, metrics, openapi};
use jobstore::{JobQuery, JobStore, OutcomeKind, State};
use serde_json::Value;

use crate::common::request;
use crate::http::{Server, ask};
use crate::{IDS, app, fill, with_sample};

#[test]
fn the_openapi_document_names_what_there_is_and_nothing_else() {
    let document: Value = serde_json::from_str(openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    // Generated clients accept responses with additional members in the future.
    assert!(!openapi().contains("additionalProperties"));
    for item in document["paths"].as_object().unwrap().values() {
        let operations = item.as_object().unwrap().values();
        for operation in operations.filter(|operation| operation.is_object()) {
            assert!(operation["responses"]["405"].is_object());
        }
    }
    let (store, graph, _) = with_sample();
    graph.submit_as("purged", request("c", "{}")).unwrap();
    graph.cancel("purged").unwrap();
    graph
        .purge(JobQuery::new().outcome(OutcomeKind::Cancelled))
        .unwrap();
    let routes = Routes::new(&store);
    let server = Server::start(app(&routes).merge(routes.operator()));
    for (path, item) in document["paths"].as_object().unwrap() {
        let job = match path.ends_with("/tombstone") {
            true => "purged",
            false => IDS[0],
        };
        let path = path
            .replace("{project_id}", "10001")
            .replace("{graph_name}", "moviejx")
            .replace("{job_id}", job);
        // Each operation responds, and everything else is not allowed.
        for method in ["get", "head", "post", "put", "delete", "patch"] {
            let operation = item.get(method);
            let example = operation
                .and_then(|o| o.pointer("/requestBody/content/application~1json/example"))
                .map(Value::to_string)
                .unwrap_or_default();
            // This parameter is required.
            let needed = if path.ends_with("/tally") {
                "?by=state"
            } else {
                ""
            };
            let target = format!("{path}{needed}");
            let method = method.to_uppercase();
            let answer = ask(server.connect(), &method, &target, &[], example.as_bytes());
            let status = if operation.is_some() { 200 } else { 405 };
            assert_eq!(
                answer.status,
                status,
                "{method} {target}: {}",
                answer.text()
            );
            let Some(operation) = operation else {
                continue;
            };
            // The parameters are those that the routes accept.
            let refused = ask(
                server.connect(),
                &method,
                &format!("{path}?nope=1"),
                &[],
                b"",
            );
            if method == "HEAD" {
                continue;
            }
            let known = match refused.text().split_once("known parameters: ") {
                None => "",
                Some((_, known)) => known.split_once('"').unwrap().0,
            };
            let known: BTreeSet<&str> = known.split(", ").filter(|key| !key.is_empty()).collect();
            let described = [item, operation].into_iter().flat_map(|owner| {
                let parameters = owner.get("parameters").and_then(Value::as_array);
                parameters.into_iter().flatten().map(|parameter| {
                    let pointer = parameter["$ref"].as_str().unwrap();
                    document.pointer(&pointer[1..]).unwrap()
                })
            });
            let described: BTreeSet<&str> = described
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(described, known, "{method} {path}: {}", refused.text());
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("$ref", Value::String(reference)) => references.push(reference.clone()),
                    _ => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn metrics_are_text_that_prometheus_reads() {
    let store = JobStore::in_memory().unwrap();
    let odd = store.create_graph("10001", "a \"quoted\\name\"").unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie, 5, 10);
    movie.start("job-0").unwrap();
    movie.cancel("job-1").unwrap();
    let text = metrics(&store).unwrap();
    let mut kinds = std::collections::BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "{series} twice");
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{line}");
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            name.strip_suffix(end)
                .filter(|base| kinds.contains_key(base))
        });
        let kind = kinds[base.unwrap_or(name)];
        assert_eq!(kind == "histogram", base.is_some(), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
    }
    for line in [
        r#"jobstore_jobs{project="10001",graph="movie",state="pending"} 3"#,
        r#"jobstore_jobs{project="10001",graph="movie",state="running"} 1"#,
        r#"jobstore_jobs{project="10001",graph="movie",state="complete"} 1"#,
        r#"jobstore_jobs{project="10001",graph="a \"quoted\\name\"",state="pending"} 0"#,
        r#"jobstore_health{state="ok"} 1"#,
        r#"jobstore_health{state="degraded"} 0"#,
        "jobstore_stats_up 1",
        "jobstore_queue_bytes 0",
        "jobstore_opens_total 1",
        concat!(
            "jobstore_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\",format=\"2\"} 1"
        ),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in {text}");
    }
    // Buckets are cumulative and end with the count.
    let stats = store.stats().unwrap();
    let buckets: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("jobstore_commit_wait_duration_seconds_bucket"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(buckets.len(), stats.commit_waits.counts().len());
    assert!(buckets.is_sorted());
    assert_eq!(*buckets.last().unwrap(), stats.commit_waits.count());
    assert!(text.contains("jobstore_commit_wait_duration_seconds_bucket{le=\"0.00001\"}"));
    let last_purge_at = "\njobstore_last_purge_timestamp_seconds ";
    assert!(!text.contains(last_purge_at), "nothing was purged");
    movie.purge(JobQuery::new().state(State::Complete)).unwrap();
    assert!(metrics(&store).unwrap().contains(last_purge_at));
    drop(odd);
    store.close().unwrap();
    assert!(metrics(&store).is_err());
}

#[test]
fn the_numbers_as_json_are_those_of_the_stats() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    fill(&movie, 3, 10);
    movie.start("job-1").unwrap();
    let stats = store.stats().unwrap();
    let json: Value = serde_json::from_str(&stats.to_json()).unwrap();
    let graph = &json["graphs"][0];
    assert_eq!(
        (&graph["projectId"], &graph["name"]),
        (&"10001".into(), &"movie".into())
    );
    assert_eq!(
        (&graph["pending"], &graph["running"]),
        (&2.into(), &1.into())
    );
    let since = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
        Value::from(u64::try_from(since.as_millis()).unwrap())
    };
    assert_eq!(
        graph["oldestPendingAt"],
        since(stats.graphs[0].oldest_pending_at.unwrap())
    );
    assert_eq!(
        graph["longestRunningAt"],
        since(stats.graphs[0].longest_running_at.unwrap())
    );
    assert_eq!(json["events"], stats.events);
    assert_eq!(json["lastPurgeAt"], Value::Null);
    assert_eq!(json["commitWaits"]["boundsUs"][0], 10);
    assert_eq!(json["commitWaits"]["counts"].as_array().unwrap().len(), 17);
    assert_eq!(json["health"]["state"], "ok");
}
