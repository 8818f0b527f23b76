//! Entries for texts that callers pass.
//!
//! Contains entries for bodies, requests, outcomes, ids, cursors, and names. Accepted text
//! round-trips exactly. Other text is refused with the documented error.

use serde_json::Value;
use serde_json::value::RawValue;

use super::Input;
use crate::log::event::Event;
use crate::log::file_names::{is_ours, pack, pack_range, segment, segment_epoch};
use crate::model::cursor::Cursor;
use crate::model::error::{Error, excerpt};
use crate::model::id::{JobId, OwnIds};
use crate::model::json::{self, DEPTH_MAX};
use crate::model::outcome::Outcome;
use crate::model::request::{Body, Request};
use crate::model::secrets::{MaskedRequest, SecretKeys};

/// Returns how deeply a JSON text is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut at) = (0usize, 0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Checks that `text` and its compact form are the same JSON value for serde_json.
fn check_compact(text: &str, compact: &str) {
    assert!(compact.len() <= text.len());
    let is_json = |text| serde_json::from_str::<&RawValue>(text).is_ok();
    assert!(is_json(text) && is_json(compact));
    let values = [text, compact].map(|text| serde_json::from_str::<Value>(text).ok());
    assert_eq!(values[0], values[1]);
    let again = json::compact("body", compact).expect("what is compact is accepted");
    assert_eq!(again, compact);
    assert!(depth(compact) <= DEPTH_MAX);
    let canonical = json::canonical(compact);
    assert!(is_json(&canonical), "{canonical}");
    assert_eq!(json::canonical(&canonical), canonical);
    assert!(json::same_value(compact, &canonical));
}

/// Checks that no value under a secret key is shown, that all other values are shown, and that all
/// values round-trip.
fn check_secrets(request: &Request) {
    let keys = SecretKeys::default();
    let kept = keys.keep(request.clone());
    let (shown, unlisted) = (kept.request.body(), &kept.unlisted);
    let stored =
        MaskedRequest::from_stored(kept.request.as_json(), unlisted).expect("it comes back");
    let real = stored.revealed().expect("it is whole");
    assert_eq!(real.as_json(), request.as_json());
    let again = keys.keep(kept.request.clone());
    assert_eq!(again.request.as_json(), kept.request.as_json());
    assert_eq!(again.secrets_lost(), kept.parts().is_masked());
    assert_eq!(real.origin(), request.origin());
    assert_eq!(keys.masked_json(request.body()), shown);
    // Compare the values as serde_json parses them, if it can represent their numbers.
    let values = [request.body(), shown].map(|text| serde_json::from_str::<Value>(text).ok());
    if let [Some(mut given), Some(shown)] = values {
        mask(&mut given);
        assert_eq!(given, shown);
    }
}

/// Masks the values under secret keys.
fn mask(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Object(members) => {
            for (key, value) in members {
                match &*key.to_lowercase() {
                    "accesskey" | "secretkey" => *value = Value::from("******"),
                    _ => mask(value),
                }
            }
        }
        _ => {}
    }
}

/// Reads bytes as a request's body.
pub fn json(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Body::from_json(text) {
        Ok(body) => {
            check_compact(text, body.as_str());
            assert!(!format!("{body:?}").contains('{'));
            let wire = Request::new("c", "", body.clone()).expect("a request");
            assert_eq!(wire.body(), body.as_str());
            let stored = Request::from_stored(wire.as_json()).expect("it comes back");
            assert_eq!(stored.body(), body.as_str());
            assert_eq!(stored, wire);
            check_secrets(&wire);
        }
        Err(Error::InvalidJson { .. }) => {
            // Unlike parsing as a `RawValue`, parsing as a `Value` also refuses lone surrogates.
            assert!(
                serde_json::from_str::<serde_json::Value>(text).is_err(),
                "it is JSON"
            );
        }
        Err(Error::TooDeep { given, .. }) => {
            assert!(given > DEPTH_MAX && given == depth(text), "{given} levels");
        }
        Err(error) => panic!("{error:?}"),
    }
    // The input may contain two values. They are equal only if their texts are equal.
    if let Some((a, b)) = text.split_once('\n') {
        let (Ok(a), Ok(b)) = (json::compact("a", a), json::compact("b", b)) else {
            return;
        };
        let same = json::same_value(&a, &b);
        assert_eq!(json::same_value(&b, &a), same);
        let values = [&a, &b].map(|text| serde_json::from_str::<Value>(text).ok());
        if same && values.iter().all(Option::is_some) {
            assert_eq!(values[0], values[1]);
        }
    }
}

/// Reads bytes as a request from a client and as a request from a store.
pub fn request(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Request::from_json(text) {
        Ok(request) => {
            let again = Request::from_json(request.as_json()).expect("a request");
            assert_eq!(again.as_json(), request.as_json());
            let stored = Request::from_stored(request.as_json()).expect("it comes back");
            assert_eq!(stored, request);
            assert_eq!(stored.command(), request.command());
            assert_eq!(stored.url(), request.url());
            assert_eq!(stored.body(), request.body());
        }
        Err(
            Error::InvalidJson { .. }
            | Error::TooDeep { .. }
            | Error::EmptyCommand
            | Error::TextTooLong { .. },
        ) => {}
        Err(error) => panic!("{error:?}"),
    }
    if let Some(stored) = Request::from_stored(text) {
        // Nothing is removed by mistake from what a store contains as a request.
        assert_eq!(stored.as_json(), text);
        let body = serde_json::from_str::<&RawValue>(stored.body());
        assert!(body.is_ok(), "{} is no body", stored.body());
    }
}

/// Reads bytes as the parts of an outcome.
pub fn outcome(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.byte();
    let mut outcome = match kind % 3 {
        0 => Outcome::succeeded(),
        1 => Outcome::failed(input.text(), input.text()),
        _ => Outcome::partially_failed(input.text(), input.text()),
    };
    if kind & 4 != 0 {
        let text = input.text();
        match outcome.clone().with_result_ref(text.as_str()) {
            Ok(with) => outcome = with,
            Err(Error::OutcomeTooLarge { given_bytes, .. }) => assert_eq!(given_bytes, text.len()),
            Err(error) => panic!("{error:?}"),
        }
    }
    let Ok(text) = std::str::from_utf8(input.rest()) else {
        return;
    };
    let detail = outcome.with_detail_json(text);
    let outcome = match detail {
        Ok(outcome) => outcome,
        Err(Error::InvalidJson { .. } | Error::TooDeep { .. } | Error::OutcomeTooLarge { .. }) => {
            return;
        }
        Err(error) => panic!("{error:?}"),
    };
    let detail = outcome.detail().expect("a detail");
    check_compact(text, detail);
    let (stored, extra) = (outcome.kind().to_stored(), outcome.extra.clone());
    let event = Event::Completed {
        graph: 0,
        sequence: 0,
        time_ms: 0,
        age_shift_ms: 0,
        kind: stored,
        command: 0,
        run_ms: None,
        extra,
    };
    let mut bytes = Vec::new();
    event.encode_into(&mut bytes);
    assert_eq!(Event::decode_prefix(&bytes), Some((event, bytes.len())));
}

/// Reads bytes as ids, cursors, and file names.
pub fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match JobId::new(text) {
        Ok(id) => {
            assert_eq!(id.as_str(), text);
            assert!(serde_json::to_string(text).is_ok_and(|json| json.len() == text.len() + 2));
        }
        Err(Error::InvalidJobId { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
    match text.parse::<Cursor>() {
        Ok(cursor) => assert_eq!(cursor.to_string(), text),
        Err(Error::InvalidCursor { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
    let ids = OwnIds::new(1_000_000_000_000_000_009, [3, 4]);
    if let Some(sequence) = ids.sequence(text) {
        assert_eq!(ids.sequence(ids.make(sequence, 1).as_str()), Some(sequence));
    }
    if let Some(epoch) = segment_epoch(text) {
        assert_eq!(segment(epoch), text);
        assert!(is_ours(text));
    }
    if let Some((first, last)) = pack_range(text) {
        assert_eq!(pack(first, last), text);
        assert!(is_ours(text));
    }
    assert!(excerpt(text).len() <= text.len().max(64 * 4 + 3));
}
