//! Names that no well-behaved client sends in a path, and checks of the responses to them.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::http::Answer;

/// A segment of a path: an existing name, a trap, or arbitrary bytes.
pub fn part(there: &[&str]) -> impl Strategy<Value = String> + use<> {
    let there: Vec<String> = there.iter().map(|&name| name.to_owned()).collect();
    let encoded: Vec<String> = there
        .iter()
        .map(|name| percent_encode(name.as_bytes(), NON_ALPHANUMERIC).to_string())
        .collect();
    let traps = vec![
        "",
        ".",
        "..",
        "%2e%2e",
        "%2E.",
        "%2F",
        "%5C",
        "%00",
        "%",
        "%zz",
        "%4",
        "%FF",
        "%C0%AF",
        "%ED%A0%80",
        "%25",
        "%0d%0aX-Evil:1",
        "status",
        "..%2F10002",
        "*",
        "{graph_name}",
        "-1",
        "\u{e9}",
    ];
    let bytes = prop::collection::vec(any::<u8>(), 0..24);
    prop_oneof![
        4 => prop::sample::select(there),
        1 => prop::sample::select(encoded),
        3 => prop::sample::select(traps).prop_map(str::to_owned),
        2 => bytes.prop_map(|bytes| percent_encode(&bytes, NON_ALPHANUMERIC).to_string()),
        2 => "[!$-.0-;=@-Z_a-z|~/]{0,12}",
        1 => (1..3000_usize, "[a-z]|%00|%FF|%C3%A9").prop_map(|(n, text)| text.repeat(n)),
    ]
}

/// The name in a segment of a path, if it is UTF-8.
pub fn named(part: &str) -> Option<String> {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded.ok().map(|name| name.into_owned())
}

pub fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

/// Checks the response: a success if the path names something, otherwise an error of the GES API.
pub fn fits(method: &str, answer: &Answer, is_named: bool) -> Result<(), TestCaseError> {
    prop_assert!(answer.is_whole);
    prop_assert!(answer.header("x-request-id").is_some());
    prop_assert_eq!(answer.header("x-evil"), None);
    prop_assert_eq!(answer.header("cache-control"), Some("no-store"));
    prop_assert_eq!(answer.status == 200, is_named, "{}", answer.text());
    if is_named {
        return Ok(());
    }
    prop_assert!((400..500).contains(&answer.status), "{}", answer.status);
    prop_assert_eq!(answer.header("content-type"), Some("application/json"));
    if method == "HEAD" {
        prop_assert!(answer.body.is_empty());
        return Ok(());
    }
    let document: Value = serde_json::from_str(answer.text()).unwrap();
    let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
    prop_assert_eq!(keys, ["errorCode", "errorMessage", "result"]);
    prop_assert_eq!(&document["result"], "failed");
    // The response is short, however long the names were.
    prop_assert!(answer.body.len() < 2000, "{}", answer.body.len());
    Ok(())
}
