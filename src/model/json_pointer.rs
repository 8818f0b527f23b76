// JSON pointers (RFC 6901) into compact JSON text. No values are built. In text that is not JSON,
// nothing matches.

use crate::model::error::{Error, Result, excerpt};
use crate::model::json::{self, DEPTH_MAX, Members};

/// A path into a JSON value: keys and indexes, from the outside in.
pub(crate) struct Pointer(Vec<String>);

impl Pointer {
    /// Parses a pointer. It is empty or consists of steps that each start with `/`. Within a step,
    /// `~0` stands for `~`, and `~1` for `/`.
    pub(crate) fn parse(text: &str) -> Result<Pointer> {
        let failed = |problem| Error::InvalidPointer {
            given: excerpt(text),
            problem,
        };
        let mut steps = Vec::new();
        let mut parts = text.split('/');
        if parts.next().is_some_and(|before| !before.is_empty()) {
            return Err(failed("it must start with '/'"));
        }
        for part in parts {
            let is_escape = |rest: &str| rest.starts_with(['0', '1']);
            if !part.split('~').skip(1).all(is_escape) {
                return Err(failed("each '~' must be followed by 0 or 1"));
            }
            steps.push(part.replace("~1", "/").replace("~0", "~"));
        }
        if steps.len() > DEPTH_MAX {
            return Err(failed("it has more steps than the allowed nesting depth"));
        }
        Ok(Pointer(steps))
    }

    /// The keys that occur in every JSON text in which the pointer has a value.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let steps = self.0.iter().map(String::as_str);
        steps.filter(|step| place(step).is_none())
    }

    /// Whether `is_wanted` accepts any value at the pointer. If several members have the same key,
    /// all of them are followed.
    pub(crate) fn leads_to(&self, text: &str, is_wanted: &impl Fn(&str) -> bool) -> bool {
        leads_to(&self.0, text, is_wanted)
    }
}

fn leads_to(steps: &[String], text: &str, is_wanted: &impl Fn(&str) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return is_wanted(text);
    };
    match text.as_bytes().first() {
        Some(b'{') => Members::of(text).any(|(key, value)| {
            json::characters(key).is_some_and(|key| key == *step)
                && leads_to(rest, value, is_wanted)
        }),
        Some(b'[') => place(step)
            .and_then(|n| json::element(text, n))
            .is_some_and(|value| leads_to(rest, value, is_wanted)),
        _ => false,
    }
}

/// The array index that a step stands for.
fn place(step: &str) -> Option<usize> {
    let has_zero = step.len() > 1 && step.starts_with('0');
    let is_number = !has_zero && step.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| step.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn all(pointer: &str, text: &str) -> Vec<String> {
        let found = RefCell::new(Vec::new());
        let pointer = Pointer::parse(pointer).unwrap();
        pointer.leads_to(text, &|value| {
            found.borrow_mut().push(value.to_owned());
            false
        });
        found.into_inner()
    }

    #[test]
    fn a_pointer_leads_where_the_standard_says() {
        let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"m~n":8,"\u0041":[[7]],"01":3,"-":4,"~1":5}"#;
        for (pointer, expected) in [
            ("", text),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/m~0n", "8"),
            ("/A/0/0", "7"),
            ("/01", "3"),
            ("/-", "4"),
            ("/~01", "5"),
        ] {
            assert_eq!(all(pointer, text), [expected], "{pointer}");
        }
        for nowhere in [
            "/foo/2", "/foo/00", "/foo/-", "/foo/", "/foo/bar", "/b", "//", "/foo/0/0",
        ] {
            assert_eq!(all(nowhere, text), [""; 0], "{nowhere}");
        }
        assert_eq!(all("/a/0", r#"{"a":[1],"a":{"0":2}}"#), ["1", "2"]);
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        let long = "/0".repeat(DEPTH_MAX + 1);
        for text in ["a", "a/b", "/~", "/~2", "/a~", "#/a", &long] {
            let error = Pointer::parse(text).err();
            assert!(
                matches!(error, Some(Error::InvalidPointer { .. })),
                "{text}"
            );
        }
    }
}
