//! Bodies are preserved exactly: number text, key order, duplicate keys, escapes, Unicode, nesting,
//! and length, in the list as JSON and as typed jobs.
//!
//! Guarantee: a body is returned as it was recorded, except for white space outside of strings,
//! from the segment, from packs, after reopening, and after the loss of the index; and nothing
//! shows it except the list and the job.

mod common;

use common::{listed, lose_index, pack, request, small_segments};
use jobstore::{Body, Error, Graph, JobQuery, JobStore, Options, Outcome, Request, State};
use proptest::prelude::*;

/// Jobs share a block up to this many bytes of text.
const BLOCK_BYTES: usize = 32 << 10;
/// A job larger than this is stored in pieces; also the size of a read.
const PIECE_BYTES: usize = 256 << 10;

/// A job as the list must show it.
struct Expected {
    id: String,
    status: &'static str,
    body: String,
}

/// Submits the body, and completes the job or not, depending on its number.
fn record(graph: &Graph, n: usize, given: &str, kept: &str) -> Expected {
    let id = format!("job-{n}");
    graph.submit_as(&id, request("c", given)).unwrap();
    let status = match n % 3 {
        0 => "pending",
        1 => {
            graph.start(&id).unwrap();
            "running"
        }
        _ => {
            graph.start(&id).unwrap();
            graph.complete(&id, Outcome::succeeded()).unwrap();
            "complete"
        }
    };
    Expected {
        id,
        status,
        body: kept.to_owned(),
    }
}

/// Reads all jobs as JSON and as typed jobs, in a page and one by one.
fn look(stage: &str, graph: &Graph, expected: &[Expected]) {
    let jobs: Vec<String> = expected
        .iter()
        .map(|job| {
            format!(
                r#"{{"jobId":"{}","status":"{}","request":{{"command":"c","url":"/ges","body":{}}}}}"#,
                job.id, job.status, job.body
            )
        })
        .collect();
    let document = format!(r#"{{"jobs":[{}],"result":"success"}}"#, jobs.join(","));
    let json = listed(graph);
    if json != document {
        let at = json.bytes().zip(document.bytes()).position(|(a, b)| a != b);
        panic!(
            "{stage}: the list has {} bytes, not {}, and differs at {at:?}",
            json.len(),
            document.len()
        );
    }
    let page = graph.list(JobQuery::new()).unwrap();
    assert_eq!(page.len(), expected.len());
    for (job, expected) in page.jobs().zip(expected) {
        let job = job.unwrap();
        assert_eq!(job.id().as_str(), expected.id);
        assert_eq!(
            job.state().as_str(),
            expected.status,
            "{stage}: {}",
            job.id()
        );
        assert!(
            job.request().body() == expected.body,
            "{stage}: {}",
            job.id()
        );
    }
    for expected in expected {
        let job = graph.job(&expected.id).unwrap().unwrap();
        assert!(
            job.request().body() == expected.body,
            "{stage}: {}",
            job.id()
        );
        assert_eq!(job.request().command(), "c");
        assert_eq!(job.request().url(), "/ges");
    }
    // A page from the middle of the list.
    let middle = expected.len() / 3;
    let page = graph
        .list(JobQuery::new().offset(middle as u64).limit(2))
        .unwrap();
    let part = format!(
        r#"{{"jobs":[{}],"result":"success"}}"#,
        jobs[middle..jobs.len().min(middle + 2)].join(",")
    );
    assert!(
        page.to_json().unwrap() == part.as_bytes(),
        "{stage}: middle"
    );
}

/// Records the bodies and reads them as submitted, packed, reopened, and reopened without the
/// index.
fn come_back(options: impl Fn() -> Options, bodies: &[(String, String)]) {
    let options = || options().recovery(jobstore::Recovery::Leave);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = options().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let recorded: Vec<Expected> = bodies
        .iter()
        .enumerate()
        .map(|(n, (given, kept))| record(&graph, n, given, kept))
        .collect();
    look("as submitted", &graph, &recorded);
    pack(&store, dir);
    look("packed", &graph, &recorded);
    store.close().unwrap();
    let store = options().open(dir).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    look("reopened", &graph, &recorded);
    store.close().unwrap();
    lose_index(dir);
    let store = options().open(dir).unwrap();
    let graph = store.graph("10001", "movie").unwrap();
    look("without its index", &graph, &recorded);
}

fn as_they_are(bodies: &[&str]) -> Vec<(String, String)> {
    bodies
        .iter()
        .map(|body| ((*body).to_owned(), (*body).to_owned()))
        .collect()
}

#[test]
fn numbers_keep_their_text() {
    let long = "9".repeat(400);
    let fraction = format!("0.{}1", "0".repeat(300));
    come_back(
        small_segments,
        &as_they_are(&[
            "0.00001",
            "1e400",
            "-1E-400",
            "-0",
            "-0.0",
            "0e0",
            "1E+2",
            "1.10",
            "100000000000000000000",
            "123456789012345678901234567890",
            "18446744073709551616",
            "9007199254740993",
            &long,
            &fraction,
            r#"{"convergence":0.00001,"big":123456789012345678901234567890,"n":[-0,1e400,1.0,1]}"#,
        ]),
    );
}

#[test]
fn keys_keep_their_order_and_duplicates_stay() {
    come_back(
        small_segments,
        &as_they_are(&[
            r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#,
            r#"{"a":1,"a":2,"a":1}"#,
            r#"{"":0,"":{"":[]}}"#,
            r#"{"10":1,"9":2,"1":3}"#,
            r#"{"__proto__":{},"constructor":null}"#,
            r#"{"command":"x","url":"y","body":{"jobId":"z","status":"running"}}"#,
            r#"{"\u0061":1,"a":2}"#,
        ]),
    );
}

#[test]
fn strings_keep_their_characters_and_their_escapes() {
    come_back(
        small_segments,
        &as_they_are(&[
            r#""plain""#,
            r#""電影 фильм 🎬 é e\u0301""#,
            r#""\u96fb\u5f71 \ud83c\udfac \u00e9 \u00E9""#,
            r#""\" \\ \/ / \b \f \n \r \t \u0000 \u001f \u007f""#,
            "\"\u{2028}\u{2029}\u{feff}\u{7f}\u{fffd}\u{10ffff}\"",
            "\"\u{202e}\u{200d}\"",
            r#""\u2028""#,
            r#""\",\"status\":\"pending\",\"request\":\"""#,
            r#""{\"a\":1}""#,
            r#""</script>""#,
        ]),
    );
}

/// One such string would make the whole page unreadable for strict parsers.
#[test]
fn half_a_surrogate_pair_is_refused_wherever_json_comes_in() {
    let store = JobStore::in_memory().unwrap();
    let movie = store.create_graph("10001", "movie").unwrap();
    let texts = [
        r#""\ud800""#,
        r#""\udfff\ud800 x \uDBFF""#,
        r#"{"\ud800":"\udc00"}"#,
    ];
    for text in texts {
        let error = Body::from_json(text).unwrap_err();
        assert!(
            matches!(error, Error::InvalidJson { line: 1, .. }),
            "{error}"
        );
        let wire = format!(r#"{{"command":"c","url":"/","body":{text}}}"#);
        assert!(Request::from_json(&wire).is_err(), "{text}");
        let outcome = Outcome::failed("c", "m").with_detail_json(text);
        assert!(outcome.is_err(), "{text}");
        let line = format!(
            r#"{{"jobId":"a","status":"complete","request":{wire},"outcome":{{"kind":"succeeded"}}}}"#
        );
        let refused = movie
            .import(line.as_bytes(), jobstore::OnBadLine::Stop)
            .unwrap_err();
        assert!(refused.to_string().contains("surrogate"), "{refused}");
    }
    assert_eq!(movie.list(JobQuery::new()).unwrap().len(), 0);
}

#[test]
fn any_json_value_can_be_a_body() {
    come_back(
        small_segments,
        &as_they_are(&[
            "null", "true", "false", "0", "\"\"", "[]", "{}", "[null]", "[[],{}]",
        ]),
    );
}

#[test]
fn white_space_goes_outside_of_strings_and_stays_within() {
    let given = [
        ("  null\n", "null"),
        ("\t\r\n [ 1 , 2 ] \r\n", "[1,2]"),
        ("{ }", "{}"),
        ("[\n]", "[]"),
        ("\" a  b \"", "\" a  b \""),
        (
            "{ \" a \" : \"  x\u{a0}\u{3000} \\t \\\" : , { } \" ,\n\"b\"\t:\r[ \"\\\\\" , \" \" ] }",
            "{\" a \":\"  x\u{a0}\u{3000} \\t \\\" : , { } \",\"b\":[\"\\\\\",\" \"]}",
        ),
        ("-1.5e+3 ", "-1.5e+3"),
    ];
    come_back(
        small_segments,
        &given.map(|(a, b)| (a.to_owned(), b.to_owned())),
    );
}

fn nested(levels: usize, mixed: bool) -> String {
    let (mut open, mut close) = (String::new(), String::new());
    for level in 0..levels {
        if mixed && level % 2 == 0 {
            open += "{\"k\":";
            close.insert(0, '}');
        } else {
            open += "[";
            close.insert(0, ']');
        }
    }
    format!("{open}{}{close}", if mixed { "0" } else { "" })
}

#[test]
fn nesting_is_kept_up_to_its_bound_and_refused_beyond() {
    let deep: Vec<_> = [nested(120, false), nested(120, true), nested(119, true)]
        .map(|body| (body.clone(), body))
        .into();
    come_back(small_segments, &deep);
    for (mixed, levels) in [(false, 121), (true, 121), (false, 5000), (false, 1_000_000)] {
        let error = Body::from_json(nested_quickly(levels, mixed)).unwrap_err();
        assert!(
            matches!(error, Error::TooDeep { what: "body", given, max: 120 } if given == levels),
            "{error:?}"
        );
        assert!(error.to_string().contains(&levels.to_string()), "{error}");
        assert!(error.to_string().contains("120"), "{error}");
    }
    // Brackets in strings do not count as nesting.
    assert!(Body::from_json(format!("\"{}\"", "[".repeat(500))).is_ok());
    assert!(Body::from_json(format!("[{}]", vec!["[]"; 500].join(","))).is_ok());
}

/// Like [`nested`], for great depths.
fn nested_quickly(levels: usize, mixed: bool) -> String {
    if mixed {
        return nested(levels, true);
    }
    "[".repeat(levels) + &"]".repeat(levels)
}

#[test]
fn a_list_of_the_deepest_bodies_is_read_by_a_common_json_reader() {
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit(request("c", &nested(120, true))).unwrap();
    let read: Result<serde_json::Value, _> = serde_json::from_str(&listed(&graph));
    assert!(read.is_ok(), "{read:?}");
}

#[test]
fn a_body_made_of_a_value_is_that_values_json() {
    let value = vec![("k", 1.5, None::<bool>), ("ü\n", -0.0, Some(true))];
    let body = Body::from_value(&value).unwrap();
    assert_eq!(body.as_str(), "[[\"k\",1.5,null],[\"ü\\n\",-0.0,true]]");
    assert_eq!(Body::empty().as_str(), "{}");
}

/// Pseudorandom numbers, the same in each run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The content of a long body.
#[derive(Clone, Copy)]
enum Stuff {
    /// Compresses to almost nothing.
    Same,
    /// Hardly compresses.
    Noise,
    /// Characters of two to four bytes, which pieces split.
    Wide,
}

/// A JSON string whose text has exactly this many bytes.
fn long_body(bytes: usize, stuff: Stuff) -> String {
    let mut noise = Noise(bytes as u64 | 1);
    let mut text = String::with_capacity(bytes);
    text.push('"');
    while text.len() + 5 < bytes {
        match stuff {
            Stuff::Same => text.push('x'),
            Stuff::Noise => text.push(char::from(b'#' + (noise.next() % 56) as u8)),
            Stuff::Wide => text.push(['é', '電', '🎬'][(noise.next() % 3) as usize]),
        }
    }
    while text.len() + 1 < bytes {
        text.push('.');
    }
    text.push('"');
    assert_eq!(text.len(), bytes);
    text
}

/// The size of a listed job without its body.
const AROUND_BYTES: usize =
    r#"{"jobId":"job-00","status":"complete","request":{"command":"c","url":"/ges","body":}}"#
        .len();

/// Lengths of bodies for which the body, or the whole listed job, has about `bytes` bytes.
fn lengths_around(bytes: usize) -> Vec<usize> {
    let whole = bytes - AROUND_BYTES;
    vec![
        whole - 2,
        whole - 1,
        whole,
        whole + 1,
        whole + 2,
        bytes - 1,
        bytes,
        bytes + 1,
    ]
}

#[test]
fn bodies_around_the_size_of_a_block_come_back() {
    let mut bodies = vec!["1".to_owned(); 11];
    for (n, length) in lengths_around(BLOCK_BYTES).into_iter().enumerate() {
        let stuff = [Stuff::Same, Stuff::Noise, Stuff::Wide][n % 3];
        bodies.push(long_body(length, stuff));
        bodies.extend(vec![format!("[{n}]"); n % 4]);
    }
    let bodies: Vec<_> = bodies.into_iter().map(|b| (b.clone(), b)).collect();
    come_back(small_segments, &bodies);
}

#[test]
fn bodies_around_the_size_of_a_piece_come_back_among_small_ones() {
    let mut bodies = vec!["0".to_owned(); 11];
    let lengths = lengths_around(PIECE_BYTES).into_iter().chain([
        2 * PIECE_BYTES - AROUND_BYTES,
        2 * PIECE_BYTES,
        700_001,
    ]);
    for (n, length) in lengths.enumerate() {
        let stuff = [Stuff::Noise, Stuff::Wide, Stuff::Same][n % 3];
        bodies.push(long_body(length, stuff));
        // Large bodies, both adjacent and among small ones.
        bodies.extend(vec![format!("{{\"n\":{n}}}"); n % 3]);
    }
    let bodies: Vec<_> = bodies.into_iter().map(|b| (b.clone(), b)).collect();
    come_back(small_segments, &bodies);
}

#[test]
fn many_small_bodies_fill_blocks_and_come_back() {
    let bodies: Vec<_> = (0..400)
        .map(|n| {
            let body = long_body(10 + (n * 37) % 900, Stuff::Noise);
            (body.clone(), body)
        })
        .collect();
    come_back(small_segments, &bodies);
}

/// A request whose JSON has exactly this many bytes.
fn request_of(bytes: usize, stuff: Stuff) -> Request {
    let around = request("c", "0").as_json().len() - 1;
    let request = request("c", &long_body(bytes - around, stuff));
    assert_eq!(request.as_json().len(), bytes);
    request
}

#[test]
fn a_request_of_16_mib_comes_back_and_a_byte_more_is_refused() {
    const MAX: usize = 16 << 20;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let store = small_segments().open(dir).unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit_as("before", request("c", "1")).unwrap();
    let error = graph.submit(request_of(MAX + 1, Stuff::Same)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::RequestTooLarge { given_bytes, max_bytes }
                if given_bytes == MAX as u64 + 1 && max_bytes == MAX as u64
        ),
        "{error:?}"
    );
    let largest = request_of(MAX, Stuff::Noise);
    graph.submit_as("largest", largest.clone()).unwrap();
    graph.submit_as("after", request("c", "2")).unwrap();
    let expected = format!(
        r#"{{"jobs":[{{"jobId":"before","status":"pending","request":{}}},{{"jobId":"largest","status":"pending","request":{}}},{{"jobId":"after","status":"pending","request":{}}}],"result":"success"}}"#,
        request("c", "1").as_json(),
        largest.as_json(),
        request("c", "2").as_json()
    );
    let look = |stage: &str, graph: &Graph| {
        let json = graph.list(JobQuery::new()).unwrap().to_json().unwrap();
        assert!(json == expected.as_bytes(), "{stage}");
        let job = graph.job("largest").unwrap().unwrap();
        assert!(job.request().as_json() == largest.as_json(), "{stage}");
    };
    look("as submitted", &graph);
    pack(&store, dir);
    look("packed", &graph);
    store.close().unwrap();
    let store = small_segments().open(dir).unwrap();
    look("reopened", &store.graph("10001", "movie").unwrap());
}

#[test]
fn the_size_limit_is_the_one_of_the_option() {
    let store = JobStore::options()
        .max_request_bytes(2000)
        .in_memory()
        .unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    graph.submit(request_of(2000, Stuff::Wide)).unwrap();
    let refused = [
        graph.submit(request_of(2001, Stuff::Wide)).unwrap_err(),
        graph
            .submit_all([request_of(100, Stuff::Same), request_of(2001, Stuff::Same)])
            .unwrap_err(),
        graph
            .submit_as("x", request_of(2001, Stuff::Same))
            .unwrap_err(),
        graph
            .nonblocking()
            .submit(request_of(2001, Stuff::Same))
            .wait()
            .unwrap_err(),
        graph.try_submit(request_of(2001, Stuff::Same)).unwrap_err(),
    ];
    for error in refused {
        let (given, max) = (2001, 2000);
        assert!(
            matches!(
                error,
                Error::RequestTooLarge { given_bytes, max_bytes }
                    if given_bytes == given && max_bytes == max
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("2001"), "{error}");
        assert!(error.to_string().contains("2000"), "{error}");
        assert!(error.to_string().contains("max_request_bytes"), "{error}");
    }
    assert_eq!(graph.list(JobQuery::new()).unwrap().total().unwrap(), 1);
    assert_eq!(graph.job("x").unwrap().map(|job| job.sequence()), None);
}

#[test]
fn nothing_but_the_list_and_the_job_shows_a_body() {
    const CANARY: &str = "canary-7f3a";
    let store = JobStore::in_memory().unwrap();
    let graph = store.create_graph("10001", "movie").unwrap();
    let secret = format!(r#"{{"secretKey":"{CANARY}"}}"#);
    let url = format!("/ges/action?token={CANARY}#{CANARY}");
    let with =
        |body: &str| Request::new("c", url.as_str(), Body::from_json(body).unwrap()).unwrap();
    let mut shown = vec![
        format!("{:?}", Body::from_json(&secret).unwrap()),
        format!("{:?}", with(&secret)),
    ];
    let taken = graph.submit_as("taken", with(&secret)).unwrap();
    shown.push(format!("{taken:?}"));
    let run = graph.claim("taken").unwrap();
    run.progress(1, CANARY);
    shown.push(format!("{run:?}"));
    let job = graph.job("taken").unwrap().unwrap();
    shown.push(format!("{job:?}"));
    let page = graph.list(JobQuery::new()).unwrap();
    shown.push(format!(
        "{page:?} {:?} {:?} {graph:?} {store:?}",
        page.jobs(),
        page.chunks()
    ));
    let outcome = Outcome::failed("GES.1", CANARY)
        .with_detail_json(&secret)
        .unwrap()
        .with_result_ref(CANARY)
        .unwrap();
    shown.push(format!("{outcome:?}"));
    run.complete(outcome).unwrap();
    let again = graph.complete("taken", Outcome::succeeded()).unwrap();
    shown.push(format!("{again:?}"));
    shown.push(format!("{:?}", graph.job("taken").unwrap().unwrap()));
    let other = format!("[{secret}]");
    let not_json = format!("{{\"secretKey\":{CANARY}}}");
    let deep = format!("{}{secret}{}", "[".repeat(120), "]".repeat(120));
    let unknown_key = format!(r#"{{"command":"c","url":"","{CANARY}":1}}"#);
    let wrong_type = format!(r#"{{"command":"c","url":["{CANARY}"]}}"#);
    struct Unfit;
    impl serde::Serialize for Unfit {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom(CANARY))
        }
    }
    let small = JobStore::options()
        .max_request_bytes(1024)
        .in_memory()
        .unwrap();
    let small = small.create_graph("10001", "movie").unwrap();
    let long = format!("[\"{}\",{secret}]", "x".repeat(2000));
    let errors = [
        graph.submit_as("taken", with(&other)).unwrap_err(),
        graph
            .nonblocking()
            .submit_as("taken", with(&other))
            .wait()
            .unwrap_err(),
        Body::from_json(&not_json).unwrap_err(),
        Body::from_json(&deep).unwrap_err(),
        Body::from_json(format!("{secret}{secret}")).unwrap_err(),
        Body::from_value(&Unfit).unwrap_err(),
        Request::from_json(&unknown_key).unwrap_err(),
        Request::from_json(&wrong_type).unwrap_err(),
        Request::from_json(&not_json).unwrap_err(),
        Request::new("", "", Body::from_json(&secret).unwrap()).unwrap_err(),
        Outcome::succeeded()
            .with_detail_json(&not_json)
            .unwrap_err(),
        Outcome::succeeded().with_detail(&Unfit).unwrap_err(),
        small.submit(with(&long)).unwrap_err(),
        small.submit_all([with(&long)]).unwrap_err(),
        graph.start("taken").unwrap_err(),
    ];
    for error in errors {
        shown.push(format!("{error} {error:?} {}", error.api_error().to_json()));
    }
    for text in shown {
        assert!(!text.contains(CANARY), "{text}");
    }
    // The list masks the values under secret keys; the worker that runs the job gets them.
    assert!(listed(&graph).contains(r#""body":{"secretKey":"******"}"#));
    let job = graph.job("taken").unwrap().unwrap();
    assert_eq!(job.request().body(), secret);
    assert_eq!(
        graph.job("taken").unwrap().unwrap().state(),
        State::Complete
    );
}

/// The tokens of an arbitrary JSON value: joined, they are its compact text.
fn tokens() -> impl Strategy<Value = Vec<String>> {
    let string = proptest::collection::vec(
        prop_oneof![
            "[a-z {}\\[\\]:,]",
            any::<char>()
                .prop_filter("escaped below", |c| {
                    !c.is_control() && *c != '"' && *c != '\\'
                })
                .prop_map(String::from),
            "\\\\u[0-9a-cA-Ce-fE-F][0-9a-fA-F]{3}",
            "\\\\ud[89abAB][0-9a-fA-F]{2}\\\\uD[c-fC-F][0-9a-fA-F]{2}",
            r#"\\["\\/bfnrt]"#,
        ],
        0..12,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()));
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?";
    let word = prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned);
    let key = string.clone();
    let leaf = prop_oneof![number, string, word].prop_map(|text| vec![text]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let member = (key.clone(), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..6)
                .prop_map(|items| { bracketed("[", items.into_iter(), "]") }),
            proptest::collection::vec(member, 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(key, value)| {
                    let mut tokens = vec![key, ":".to_owned()];
                    tokens.extend(value);
                    tokens
                });
                bracketed("{", members, "}")
            }),
        ]
    })
}

fn bracketed(open: &str, items: impl Iterator<Item = Vec<String>>, close: &str) -> Vec<String> {
    let mut tokens = vec![open.to_owned()];
    for item in items {
        if tokens.len() > 1 {
            tokens.push(",".to_owned());
        }
        tokens.extend(item);
    }
    tokens.push(close.to_owned());
    tokens
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_body_loses_its_white_space_and_nothing_else(
        bodies in proptest::collection::vec((tokens(), "[ \t\r\n]{1,5}"), 1..20)
    ) {
        let store = JobStore::in_memory().unwrap();
        let graph = store.create_graph("10001", "movie").unwrap();
        let requests = bodies.iter().map(|(tokens, space)| {
            request("c", &format!("{space}{}{space}", tokens.join(space)))
        });
        let ids = graph.submit_all(requests).unwrap();
        let jobs: Vec<String> = bodies
            .iter()
            .zip(&ids)
            .map(|((tokens, _), id)| format!(
                r#"{{"jobId":"{id}","status":"pending","request":{{"command":"c","url":"/ges","body":{}}}}}"#,
                tokens.concat()
            ))
            .collect();
        prop_assert_eq!(
            listed(&graph),
            format!(r#"{{"jobs":[{}],"result":"success"}}"#, jobs.join(","))
        );
        for ((tokens, _), job) in bodies.iter().zip(&graph.list(JobQuery::new()).unwrap()) {
            let job = job.unwrap();
            prop_assert_eq!(job.request().body(), tokens.concat());
        }
    }
}
