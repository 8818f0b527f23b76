//! Guarantee: every error is one of the GES API's table, in its form, and says what is wrong with
//! the request.

use jobstore::JobQuery;
use jobstore::http::{Access, Routes};
use serde_json::Value;

use crate::http::{Answer, Server};
use crate::{IDS, LIST, app, with_sample};

#[test]
fn every_error_of_the_contracts_table_comes_in_its_form() {
    let (store, graph, server) = with_sample();
    let at = |path: &str| server.get(&format!("/ges/v1.0/10001/graphs/{path}"));
    at("movidde/jobs/status").is_failure(400, "GES.8000", "graph : movidde not exist");
    let other = server.get(&LIST.replace("10001", "10002"));
    other.is_failure(400, "GES.8000", "graph : moviejx not exist");
    for (given, shown) in [
        ("0", "0"),
        ("100001", "100001"),
        ("-1", "-1"),
        ("%2B1", "+1"),
        ("1.0", "1.0"),
        ("abc", "abc"),
        ("", ""),
        ("18446744073709551616", "18446744073709551616"),
    ] {
        let message = format!(
            "invalid value {shown:?} for parameter limit: it must be an integer from 1 to 100000; \
             correct or omit it"
        );
        at(&format!("moviejx/jobs/status?limit={given}")).is_failure(400, "GES.8000", &message);
    }
    at("moviejx/jobs/status?offset=-1").is_failure(
        400,
        "GES.8000",
        "invalid value \"-1\" for parameter offset: it must be an integer of at least 0; correct or \
         omit it",
    );
    at("moviejx/jobs/status?job_id=nope").is_failure(
        400,
        "GES.8301",
        "can not find job, jobId is nope",
    );
    at("moviejx/jobs/nope/status").is_failure(400, "GES.8301", "can not find job, jobId is nope");
    let unusable = "can not find job, jobId is a job";
    at("moviejx/jobs/status?job_id=a+job").is_failure(400, "GES.8301", unusable);
    at("moviejx/jobs/a%20job/status").is_failure(400, "GES.8301", unusable);
    let cancel = |id: &str| server.ask("DELETE", &LIST.replace("status", id), &[]);
    cancel("nope").is_failure(400, "GES.8303", "can not find job to cancel, id is nope");
    cancel("a%20job").is_failure(400, "GES.8303", "can not find job to cancel, id is a job");
    for path in [
        "/",
        "/ges",
        "/ges/v1.0/10001/graphs/moviejx/jobs",
        "/ges/v1.0/10001/graphs/moviejx/jobs/x/y",
    ] {
        server
            .get(path)
            .is_failure(404, "GES.8000", "no such resource");
    }
    // A path that is not UTF-8 names nothing.
    at("%FF/jobs/status").is_failure(404, "GES.8000", "no such resource");
    let message = "method not allowed; the Allow header lists the allowed methods";
    for (method, path, allow) in [
        ("POST", LIST.to_owned(), "GET,HEAD"),
        ("DELETE", LIST.to_owned(), "GET,HEAD"),
        ("PUT", LIST.replace("status", "x/status"), "GET,HEAD"),
        ("GET", LIST.replace("status", "x"), "DELETE"),
    ] {
        let answer = server.ask(method, &path, &[]);
        answer.is_failure(405, "GES.8000", message);
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    graph.purge(JobQuery::new().command("none")).unwrap();
    store.close().unwrap();
    for path in [LIST.to_owned(), LIST.replace("status", "x/status")] {
        let closed = server.get(&path);
        closed.is_failure(503, "GES.8602", "engine service unavailable");
        // Waiting does not reopen it.
        assert_eq!(closed.header("retry-after"), None);
    }
    cancel(IDS[0]).is_failure(503, "GES.8602", "engine service unavailable");
}

#[test]
fn a_purged_job_is_told_from_one_that_never_was() {
    let (_store, graph, server) = with_sample();
    graph.purge(JobQuery::new()).unwrap();
    assert_eq!(server.get(LIST).ok(), r#"{"jobs":[],"result":"success"}"#);
    let id = IDS[1];
    let purged = graph.tombstone(id).unwrap().unwrap().purged_at;
    for path in [
        format!("{LIST}?job_id={id}"),
        LIST.replace("status", &format!("{id}/status")),
    ] {
        let answer = server.get(&path);
        let document: Value = serde_json::from_str(answer.text()).unwrap();
        let message = document["errorMessage"].as_str().unwrap();
        let (before, at) = message.rsplit_once(' ').unwrap();
        assert_eq!(before, format!("job {id} was purged at"));
        let at: jiff::Timestamp = at.parse().unwrap();
        let since = purged.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(at.as_millisecond(), since.as_millis() as i64);
        answer.is_failure(400, "GES.8301", message);
    }
    let cancelled = server.ask("DELETE", &LIST.replace("status", id), &[]);
    let message = format!("can not find job to cancel, id is {id}");
    cancelled.is_failure(400, "GES.8303", &message);
}

#[test]
fn what_is_not_known_or_said_twice_is_refused_by_name() {
    let (_store, _graph, server) = with_sample();
    for (query, name) in [
        ("limt=5", "limt"),
        ("Limit=5", "Limit"),
        ("limit=5&limit=5", "limit"),
        ("offset=0&offset=1", "offset"),
        ("state=done", "state"),
        ("state=pending,done", "state"),
        ("state=", "state"),
        ("command=", "command"),
        ("url_prefix=", "url_prefix"),
        ("url_contains=x&url_contains=", "url_contains"),
        ("body_contains=", "body_contains"),
        ("outcome=success", "outcome"),
        ("order=up", "order"),
        ("detail=yes", "detail"),
        ("detail", "detail"),
        ("count_total=1", "count_total"),
        ("limit_bytes=0", "limit_bytes"),
        ("cursor=abc", "cursor"),
        ("submitted_from=yesterday", "submitted_from"),
        ("completed_before=-5", "completed_before"),
        ("started_from=253402300800000", "started_from"),
        ("body_pointer=%2Fa", "body_pointer"),
        ("%6Cimit=0", "limit"),
        ("=x", "\\\"\\\""),
        ("limit=%zz", "query"),
        ("limit=%", "query"),
        ("command=%FF", "query"),
    ] {
        let answer = server.get(&format!("{LIST}?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        let begin = r#"{"errorMessage":"invalid value "#;
        let invalid = format!(" for parameter {name}: ");
        let combined = format!(r#"{{"errorMessage":"parameter {name} is "#);
        let unknown = format!(r#"{{"errorMessage":"unknown parameter \"{name}\"; "#);
        let nameless = r#"{"errorMessage":"unknown parameter \"\"; "#;
        let text = answer.text();
        assert!(
            (text.starts_with(begin) && text.contains(&invalid))
                || text.starts_with(&combined)
                || text.starts_with(&unknown)
                || text.starts_with(nameless),
            "{query}: {text}"
        );
        assert!(text.contains(r#""errorCode":"GES.8000""#), "{query}");
    }
    for (query, words) in [
        (
            "body_pointer=%2Fa",
            "body_pointer is given once, but body_value 0 times; give them in pairs",
        ),
        (
            "body_value=1&body_value=2",
            "body_pointer is given 0 times, but body_value 2 times; give them in pairs",
        ),
        (
            "body_pointer=a&body_value=1",
            "body_pointer: invalid JSON pointer",
        ),
        (
            "body_pointer=%2Fa&body_value=s3cret",
            "body_value: invalid JSON in the value",
        ),
    ] {
        let answer = server.get(&format!("{LIST}?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        let text = answer.text();
        assert!(text.contains(&format!("parameter {words}")), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    // A long value is shown in shortened form.
    let long = server.get(&format!("{LIST}?limit={}", "9".repeat(5000)));
    assert!(long.status == 400 && long.body.len() < 300, "{long:?}");
    for path in [
        LIST.replace("status", "x/status?limit=5&limits=6"),
        LIST.replace("status", "x?a"),
    ] {
        let method = if path.contains("/status") {
            "GET"
        } else {
            "DELETE"
        };
        let answer = server.ask(method, &path, &[]);
        assert!(
            answer.status == 400 && answer.text().contains("unknown parameter"),
            "{answer:?}"
        );
    }
}

/// The GES API documents them for this path, too.
#[test]
fn one_jobs_state_takes_the_offset_and_limit_of_the_list() {
    let (_store, _graph, server) = with_sample();
    let path = LIST.replace("status", &format!("{}/status", crate::IDS[0]));
    let plain = server.get(&path);
    for query in ["offset=0&limit=100", "limit=1", "offset=5"] {
        assert_eq!(
            server.get(&format!("{path}?{query}")).ok(),
            plain.ok(),
            "{query}"
        );
    }
    for query in ["limit=0", "limit=100001", "offset=-1", "offset=0&offset=1"] {
        assert_eq!(
            server.get(&format!("{path}?{query}")).status,
            400,
            "{query}"
        );
    }
}

#[test]
fn an_offset_past_the_end_gives_an_empty_list_however_many_digits_it_has() {
    let (_store, _graph, server) = with_sample();
    for offset in [
        "4",
        "18446744073709551615",
        "18446744073709551616",
        &"9".repeat(500),
    ] {
        for more in [
            "",
            "&order=newest_first",
            "&state=complete",
            "&command=import_graph",
        ] {
            let answer = server.get(&format!("{LIST}?offset={offset}{more}"));
            assert_eq!(answer.ok(), r#"{"jobs":[],"result":"success"}"#);
        }
        let one = server.get(&format!("{LIST}?offset={offset}&job_id={}", IDS[0]));
        assert_eq!(one.ok(), r#"{"jobs":[],"result":"success"}"#);
    }
    let bytes = format!("{LIST}?limit_bytes=18446744073709551616");
    assert_eq!(server.get(&bytes).ok(), server.get(LIST).ok());
}

#[test]
fn a_failing_head_says_what_a_failing_get_says_without_the_body() {
    let (store, graph, server) = with_sample();
    graph.purge(JobQuery::new()).unwrap();
    let by_path = [
        (404, "/nope".to_owned()),
        (404, LIST.replace("moviejx", "%FF")),
        (400, LIST.replace("moviejx", "movidde")),
        (400, format!("{LIST}?limit=0")),
        (400, format!("{LIST}?limt=5")),
        (400, format!("{LIST}?job_id=nope")),
        (400, format!("{LIST}?job_id={}", IDS[0])),
        (400, LIST.replace("status", "nope/status")),
        (400, LIST.replace("status", &format!("{}/status", IDS[0]))),
        (405, LIST.replace("status", "nope")),
    ];
    for (status, path) in &by_path {
        head_is_like_get(&server, path, *status);
    }
    for (status, access) in [(401, Access::Unauthenticated), (403, Access::Forbidden)] {
        let routes = Routes::new(&store).authorize(move |_| async move { access });
        head_is_like_get(&Server::start(app(&routes)), LIST, status);
    }
    store.close().unwrap();
    head_is_like_get(&server, LIST, 503);
    head_is_like_get(&server, &LIST.replace("status", "x/status"), 503);
}

#[track_caller]
fn head_is_like_get(server: &Server, path: &str, status: u16) {
    // Each gets a new id, or keeps its own.
    for (given, is_kept) in [("r-1", true), ("no id", false)] {
        let ask = |method| server.ask(method, path, &[("X-Request-Id", given)]);
        let (get, head) = (ask("GET"), ask("HEAD"));
        assert_eq!((get.status, head.status), (status, status), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{head:?}");
        let length = get.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(&*length), "{path}");
        let ids = [&get, &head].map(|answer| answer.header("x-request-id").unwrap());
        match is_kept {
            true => assert_eq!(ids, [given; 2], "{path}"),
            false => assert!(ids[0] != ids[1] && ids[1].len() == 36, "{path}: {ids:?}"),
        }
        let others = |answer: &Answer| -> Vec<(String, String)> {
            let mut headers = answer.headers.clone();
            headers.retain(|(name, _)| name != "date" && name != "x-request-id");
            headers.sort();
            headers
        };
        assert_eq!(others(&head), others(&get), "{path}");
    }
}
