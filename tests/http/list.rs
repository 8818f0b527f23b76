//! Guarantee: the list is exactly the bytes of the page; additions change nothing unless requested,
//! and match the library's list.

use std::time::Duration;

use jobstore::{Body, JobQuery, JobStore, Outcome, Request};
use serde_json::Value;

use crate::common::{closed_directory, pack, request, small_segments};
use crate::{IDS, LIST, REQUEST, fill, page, sample, serve, with_sample};

#[test]
fn the_documented_sample_comes_to_the_letter() {
    let (_store, _graph, server) = with_sample();
    let answer = server.get(&format!("{LIST}?limit=100000&offset=0"));
    assert_eq!(answer.ok(), sample());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let length = sample().len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert_eq!(answer.header("x-total-count"), Some("4"));
    assert_eq!(answer.header("x-next-cursor"), None);
    assert_eq!(server.get(LIST).ok(), sample());
    assert_eq!(server.get(&format!("{LIST}?")).ok(), sample());
}

#[test]
fn without_additions_the_bytes_are_the_pages_own_however_long() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    // Lengths around that of a piece, and a body that is stored in pieces.
    for (n, bytes) in [10, 65_400, 65_536, 1_000_000, 0, 70_000]
        .into_iter()
        .enumerate()
    {
        let body = format!(r#"{{"n":0.00001,"x":"{}"}}"#, "é".repeat(bytes / 2));
        graph
            .submit_as(format!("job-{n}"), request("c", &body))
            .unwrap();
    }
    let server = serve(&store);
    for offset in 0..7 {
        for limit in 1..7 {
            let answer = server.get(&format!("{LIST}?offset={offset}&limit={limit}"));
            let expected = page(&graph, JobQuery::new().offset(offset).limit(limit));
            assert!(answer.ok() == expected, "{offset} {limit}");
            let is_long = answer.header("content-length").is_none();
            assert_eq!(is_long, expected.len() >= 65_536, "{offset} {limit}");
        }
    }
}

#[test]
fn head_says_the_same_without_the_body() {
    let (_store, _graph, server) = with_sample();
    for path in [
        LIST.to_owned(),
        format!("{}/status", LIST.replace("status", IDS[0])),
    ] {
        let (get, head) = (server.get(&path), server.ask("HEAD", &path, &[]));
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        for name in [
            "content-type",
            "content-length",
            "x-total-count",
            "cache-control",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
    assert_eq!(
        server.ask("HEAD", &format!("{LIST}?limit=0"), &[]).status,
        400
    );
}

#[test]
fn one_job_is_listed_by_its_id() {
    let (_store, _graph, server) = with_sample();
    let one = format!(
        r#"{{"jobs":[{{"jobId":"{}","status":"complete","request":{REQUEST}}}],"result":"success"}}"#,
        IDS[2]
    );
    let at = |rest: &str| server.get(&format!("{LIST}?job_id={}{rest}", IDS[2]));
    assert_eq!(at("").ok(), one);
    assert_eq!(at("&limit=1&offset=0").ok(), one);
    assert_eq!(at("&offset=1").ok(), r#"{"jobs":[],"result":"success"}"#);
    for other in ["&state=complete", "&command=x", "&cursor=00"] {
        assert_eq!(at(other).status, 400, "{other}");
    }
}

#[test]
fn each_addition_shows_what_the_librarys_list_shows() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let outcomes = [
        Outcome::succeeded(),
        Outcome::failed("E", "why"),
        Outcome::partially_failed("E", "some"),
    ];
    for n in 0..60 {
        let body = format!(r#"{{"n":{n},"name":"a b&c=d+e%"}}"#);
        let url = format!("/ges/{}/x", n % 5);
        let command = ["import graph", "clear&all"][n % 2];
        let request = Request::new(command, url, Body::from_json(body).unwrap()).unwrap();
        let id = graph.submit(request).unwrap();
        match n % 4 {
            0 => {}
            1 => graph.start(&id).unwrap(),
            _ => {
                let run = graph.claim(&id).unwrap();
                run.complete(outcomes[n % 3].clone()).unwrap();
            }
        }
    }
    let server = serve(&store);
    use jobstore::OutcomeKind::{Failed, PartiallyFailed};
    use jobstore::State::{Complete, Pending, Running};
    let list = || JobQuery::new();
    let day = |days: u64| std::time::UNIX_EPOCH + Duration::from_secs(days * 86_400);
    let cases: Vec<(&str, JobQuery)> = vec![
        ("state=pending", list().state(Pending)),
        (
            "state=pending&state=running",
            list().state(Pending).state(Running),
        ),
        (
            "state=running,complete",
            list().state(Running).state(Complete),
        ),
        (
            "outcome=failed,partially_failed",
            list().outcome(Failed).outcome(PartiallyFailed),
        ),
        (
            "outcome=failed&limit=3&offset=2",
            list().outcome(Failed).limit(3).offset(2),
        ),
        ("command=import+graph", list().command("import graph")),
        (
            "command=import%20graph&command=clear%26all",
            list().command("clear&all").command("import graph"),
        ),
        ("order=newest_first&limit=7", list().newest_first().limit(7)),
        ("order=oldest_first", list()),
        ("submitted_from=0", list().submitted_from(day(0))),
        (
            "submitted_before=1970-01-02T00:00:00Z",
            list().submitted_before(day(1)),
        ),
        (
            "completed_from=1970-01-02T02:00:00%2B02:00",
            list().completed_from(day(1)),
        ),
        (
            "started_before=253402300799999",
            list().started_from(day(1)),
        ),
        ("limit_bytes=2000", list().limit_bytes(2000)),
        ("url_prefix=/ges/3", list().url_prefix("/ges/3")),
        ("url_contains=%2F4%2F", list().url_contains("/4/")),
        (
            "body_contains=%22n%22%3A7",
            list().body_contains(r#""n":7"#),
        ),
        ("body_pointer=/n&body_value=7", list().body_value("/n", "7")),
        (
            "body_pointer=/n&body_value=7&body_pointer=/name&body_value=%22a%20b%26c%3Dd%2Be%25%22",
            list()
                .body_value("/n", "7")
                .body_value("/name", r#""a b&c=d+e%""#),
        ),
    ];
    for (query, list) in cases {
        let answer = server.get(&format!("{LIST}?{query}"));
        let expected = graph.list(list).unwrap();
        let text = String::from_utf8(expected.to_json().unwrap()).unwrap();
        assert_eq!(answer.ok(), text, "{query}");
        let total = expected.total().map(|total| total.to_string());
        assert_eq!(answer.header("x-total-count"), total.as_deref(), "{query}");
        let next = expected.next().map(|next| next.to_string());
        assert_eq!(answer.header("x-next-cursor"), next.as_deref(), "{query}");
    }
    let counted = server.get(&format!("{LIST}?outcome=failed&limit=1&count_total=true"));
    let total = graph
        .list(list().outcome(Failed))
        .unwrap()
        .len()
        .to_string();
    assert_eq!(counted.header("x-total-count"), Some(total.as_str()));
    for bad in [
        "body_pointer=n&body_value=7",
        "body_pointer=/n&body_value=%7B",
    ] {
        assert_eq!(server.get(&format!("{LIST}?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn a_detailed_list_tells_of_lives_behind_the_contracts_keys() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let submit = |id: &str| graph.submit_as(id, request("c", "{}")).unwrap();
    for id in ["good", "bad", "cut", "runs", "waits"] {
        submit(id);
    }
    let good = Outcome::succeeded().with_result_ref("r/1").unwrap();
    graph.claim("good").unwrap().complete(good).unwrap();
    let bad = Outcome::failed("E1", "no file").with_detail_json(r#"{"row": 1e1}"#);
    graph.claim("bad").unwrap().complete(bad.unwrap()).unwrap();
    drop(graph.claim("cut").unwrap());
    let run = graph.claim("runs").unwrap();
    run.progress(40, "iterating");
    graph.cancel("runs").unwrap();
    let server = serve(&store);
    let text = server.get(&format!("{LIST}?detail=true")).ok().to_owned();

    let ms = |time: Option<std::time::SystemTime>| {
        let since = time.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_millis()
    };
    let mut expected = Vec::new();
    for job in &graph.list(JobQuery::new()).unwrap() {
        let job = job.unwrap();
        let mut life = format!(r#""submittedAt":{}"#, ms(Some(job.submitted_at())));
        if job.started_at().is_some() {
            life += &format!(r#","startedAt":{}"#, ms(job.started_at()));
        }
        if job.completed_at().is_some() {
            life += &format!(r#","completedAt":{}"#, ms(job.completed_at()));
        }
        life += match job.id().as_str() {
            "good" => r#","outcome":{"kind":"succeeded","resultRef":"r/1"}"#,
            "bad" => concat!(
                r#","failReason":"no file","outcome":{"kind":"failed","code":"E1","#,
                r#""message":"no file","detail":{"row":1e1}}"#
            ),
            "cut" => r#","failReason":"interrupted","outcome":{"kind":"interrupted"}"#,
            "runs" => r#","progress":40,"progressText":"iterating","cancelRequested":true"#,
            _ => "",
        };
        expected.push(format!(
            r#"{{"jobId":"{}","status":"{}","request":{{"command":"c","url":"/ges","body":{{}}}},{life}}}"#,
            job.id(),
            job.state()
        ));
    }
    let jobs = expected.join(",");
    assert_eq!(
        text,
        format!(r#"{{"jobs":[{jobs}],"result":"success","totalCount":5}}"#)
    );

    let first = server.get(&format!("{LIST}?detail=true&limit=2&order=newest_first"));
    let next = first.header("x-next-cursor").unwrap();
    let (last, before) = (&expected[4], &expected[3]);
    assert_eq!(
        first.ok(),
        format!(
            r#"{{"jobs":[{last},{before}],"result":"success","totalCount":5,"nextCursor":"{next}"}}"#
        )
    );
    let none = server.get(&format!("{LIST}?detail=true&offset=9"));
    assert_eq!(
        none.ok(),
        r#"{"jobs":[],"result":"success","totalCount":5}"#
    );
    let scanned = server.get(&format!("{LIST}?detail=true&outcome=cancelled"));
    assert_eq!(scanned.ok(), r#"{"jobs":[],"result":"success"}"#);

    // The state of one job agrees.
    for (n, (id, status)) in [
        ("good", "success"),
        ("bad", "failed"),
        ("cut", "failed"),
        ("runs", "running"),
        ("waits", "pending"),
    ]
    .into_iter()
    .enumerate()
    {
        let life = expected[n].split_once(r#""body":{}},"#).unwrap().1;
        let state = server.get(&LIST.replace("status", &format!("{id}/status")));
        assert_eq!(
            state.ok(),
            format!(r#"{{"jobId":"{id}","status":"{status}",{life}"#)
        );
    }
}

#[test]
fn a_long_detailed_list_is_the_plain_one_with_members_behind() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    fill(&graph, 700, 400);
    let server = serve(&store);
    for order in ["oldest_first", "newest_first"] {
        let plain = server.get(&format!("{LIST}?order={order}"));
        let detailed = server.get(&format!("{LIST}?order={order}&detail=true"));
        let (plain, mut more): (Value, Value) = (
            serde_json::from_str(plain.ok()).unwrap(),
            serde_json::from_str(detailed.ok()).unwrap(),
        );
        for job in more["jobs"].as_array_mut().unwrap() {
            assert!(job.as_object_mut().unwrap().remove("submittedAt").is_some());
        }
        assert_eq!(
            more.as_object_mut().unwrap().remove("totalCount"),
            Some(700.into())
        );
        assert!(plain == more, "{order}");
    }
}

#[test]
fn a_detailed_list_comes_in_small_pieces_however_large_jobs_and_outcomes_are() {
    let dir = closed_directory();
    let dir = dir.path().join("store");
    let store = small_segments().open(&dir).unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    let detail = format!(r#""{}""#, "d".repeat(60_000));
    for (n, bytes) in [10, 3_000_000, 262_144, 10].into_iter().enumerate() {
        let body = format!(r#"{{"x":"{}","n":1e1}}"#, "é".repeat(bytes / 2));
        graph
            .submit_as(format!("job-{n}"), request("c", &body))
            .unwrap();
    }
    let secret = format!(r#"{{"accessKey":"c4n4ry","x":"{}"}}"#, "x".repeat(800_000));
    graph.submit_as("secret", request("c", &secret)).unwrap();
    // Adjacent, so that they are read together.
    let told = graph.submit_all(vec![request("c", "{}"); 50]).unwrap();
    for id in told {
        let outcome = Outcome::failed("E", "w").with_detail_json(&*detail);
        graph
            .claim(&id)
            .unwrap()
            .complete(outcome.unwrap())
            .unwrap();
    }
    for is_packed in [false, true] {
        if is_packed {
            pack(&store, &dir);
        }
        for list in [JobQuery::new(), JobQuery::new().newest_first()] {
            let page = graph.list(list.clone()).unwrap();
            let plain: Value = serde_json::from_slice(&page.to_json().unwrap()).unwrap();
            let mut detailed = Vec::new();
            for piece in page.detailed_chunks() {
                let piece = piece.unwrap();
                assert!(piece.len() < 512 << 10, "{} bytes at once", piece.len());
                detailed.extend_from_slice(&piece);
            }
            let mut detailed: Value = serde_json::from_slice(&detailed).unwrap();
            for (job, plain) in detailed["jobs"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .zip(plain["jobs"].as_array().unwrap())
            {
                let job = job.as_object_mut().unwrap();
                assert!(job.remove("submittedAt").is_some());
                let masked = job.remove("masked");
                assert_eq!(masked.is_some(), job["jobId"] == "secret");
                job.retain(|name, _| ["jobId", "status", "request"].contains(&&**name));
                assert!(job == plain.as_object().unwrap());
            }
            assert_eq!(detailed["jobs"].as_array().unwrap().len(), 55);
            // Lines consist of the same pieces.
            let mut lines = Vec::new();
            graph.export(list).unwrap().write_all(&mut lines).unwrap();
            let jobs = page.jobs().map(|job| job.unwrap().to_json() + "\n");
            assert!(lines == jobs.collect::<String>().into_bytes());
        }
    }
}

#[test]
fn a_client_gets_the_encoding_it_takes_and_the_same_text_in_it() {
    use std::io::Read;
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "moviejx").unwrap();
    fill(&graph, 600, 1000);
    let server = serve(&store);
    let plain = server.get(LIST).ok().to_owned();
    assert!(plain.len() > 600_000);
    let ask = |limit: usize, accepted: &str| {
        let headers = [("Accept-Encoding", accepted)];
        server.ask("GET", &format!("{LIST}?limit={limit}"), &headers)
    };
    for limit in [600, 40, 3] {
        let plain = page(&graph, JobQuery::new().limit(limit as u64));
        let gzip = ask(limit, "gzip, deflate, br");
        assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{limit}");
        let mut text = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&gzip.body[..]);
        decoder.read_to_string(&mut text).unwrap();
        assert!(text == plain && gzip.is_whole, "{limit}");

        let zstd = ask(limit, "gzip;q=0.5, zstd");
        assert_eq!(zstd.header("content-encoding"), Some("zstd"), "{limit}");
        let text = zstd::decode_all(&zstd.body[..]).unwrap();
        assert!(text == plain.as_bytes() && zstd.is_whole, "{limit}");
        assert!(gzip.body.len() * 3 < plain.len() && zstd.body.len() * 3 < plain.len());

        let other = ask(limit, "br, gzip;q=0");
        assert_eq!(other.header("content-encoding"), None, "{limit}");
        assert!(other.ok() == plain, "{limit}");
        for answer in [gzip, zstd, other] {
            assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
        }
    }
    // Short responses are not compressed.
    let short = server.ask(
        "GET",
        &format!("{LIST}?offset=600"),
        &[("Accept-Encoding", "gzip")],
    );
    assert_eq!(short.ok(), r#"{"jobs":[],"result":"success"}"#);
    assert_eq!(short.header("content-encoding"), None);
}
