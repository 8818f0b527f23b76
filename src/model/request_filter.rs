// Filters on the parts of a request: command, URL, and body.
//
// Whether a request matches does not depend on how it is escaped. The quick check,
// [`Matcher::may_be_in`], never rules out a request that matches.

use std::fmt;

use memchr::memmem::Finder;

use crate::model::error::Result;
use crate::model::json;
use crate::model::json_pointer::Pointer;
use crate::model::request::Request;
use crate::model::unlisted::Unlisted;

/// A string to search for. It may be part of a secret, so it is never displayed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Needle(pub(crate) String);

impl fmt::Debug for Needle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Needle({} bytes)", self.0.len())
    }
}

/// The filter on the parts of a request. An empty list matches any request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestFilter {
    /// The command is one of these.
    pub(crate) commands: Vec<String>,
    /// The URL starts with one of these.
    pub(crate) url_prefixes: Vec<Needle>,
    /// The URL contains all of these.
    pub(crate) in_url: Vec<Needle>,
    /// The text of the body contains all of these.
    pub(crate) in_body: Vec<Needle>,
    /// The body contains each of these values at its pointer.
    pub(crate) values: Vec<(String, Needle)>,
    /// The origin is one of these.
    pub(crate) origins: Vec<String>,
}

impl RequestFilter {
    pub(crate) fn is_any(&self) -> bool {
        *self == RequestFilter::default()
    }

    /// Whether a search string is empty. An empty string would match every URL and every body.
    pub(crate) fn has_empty(&self) -> bool {
        let mut all = [&self.url_prefixes, &self.in_url, &self.in_body].into_iter();
        all.any(|needles| needles.iter().any(|needle| needle.0.is_empty()))
    }

    /// Appends the filter's bytes, for a checksum. Equal filters result in equal bytes.
    pub(crate) fn put_bytes(&self, bytes: &mut Vec<u8>) {
        let needles = |all: &[Needle]| all.iter().map(|n| n.0.clone()).collect::<Vec<_>>();
        let values = self.values.iter().map(|(pointer, value)| {
            let value = json::compact("value", &value.0);
            let value = value.map_or_else(|_| String::new(), |text| json::canonical(&text));
            format!("{}:{pointer}{value}", pointer.len())
        });
        for mut texts in [
            self.commands.clone(),
            needles(&self.url_prefixes),
            needles(&self.in_url),
            needles(&self.in_body),
            values.collect(),
            self.origins.clone(),
        ] {
            texts.sort_unstable();
            texts.dedup();
            bytes.extend_from_slice(&(texts.len() as u64).to_le_bytes());
            for text in texts {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// Checks which requests match the filter.
pub(crate) struct Matcher {
    commands: Vec<String>,
    url_prefixes: Vec<String>,
    in_url: Vec<Finder<'static>>,
    in_body: Vec<Finder<'static>>,
    values: Vec<Value>,
    origins: Vec<String>,
}

/// A value, and its pointer.
struct Value {
    pointer: Pointer,
    text: String,
    canonical: String,
    /// Text without escapes that occurs in every request with this value.
    trace: Option<Finder<'static>>,
}

fn finder(needle: &Needle) -> Finder<'static> {
    Finder::new(&needle.0).into_owned()
}

impl Matcher {
    /// # Errors
    /// An error if a pointer or a value is invalid.
    pub(crate) fn new(texts: &RequestFilter) -> Result<Matcher> {
        let values = texts.values.iter();
        let values = values.map(|(pointer, value)| Value::new(pointer, &value.0));
        Ok(Matcher {
            commands: texts.commands.clone(),
            url_prefixes: texts.url_prefixes.iter().map(|n| n.0.clone()).collect(),
            in_url: texts.in_url.iter().map(finder).collect(),
            in_body: texts.in_body.iter().map(finder).collect(),
            values: values.collect::<Result<_>>()?,
            origins: texts.origins.clone(),
        })
    }

    /// Whether any request in `text` may match. If a request matches, the search strings for the
    /// body occur literally in `text`, and so do keys and values without escapes.
    pub(crate) fn may_be_in(&self, text: &[u8]) -> bool {
        self.in_body.iter().all(|f| f.find(text).is_some()) && self.has_traces(text)
    }

    fn has_traces(&self, text: &[u8]) -> bool {
        let mut traces = self.values.iter().filter_map(|value| value.trace.as_ref());
        let is_lacking = traces.any(|trace| trace.find(text).is_none());
        !is_lacking || memchr::memchr(b'\\', text).is_some()
    }

    /// Whether the unlisted parts of requests are needed to match them.
    pub(crate) fn needs_unlisted(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Whether a request, given as compact JSON, with its unlisted part, matches. `None` if they are
    /// not the parts of a request.
    pub(crate) fn matches(&self, request: &str, unlisted: &[u8]) -> Option<bool> {
        if self.needs_unlisted() {
            let origin = Unlisted::read(unlisted)?.origin;
            if !self
                .origins
                .iter()
                .any(|wanted| Some(wanted.as_str()) == origin)
            {
                return Some(false);
            }
        }
        let [command, url, body] = Request::parts_of(request)?;
        if !self.commands.is_empty() {
            let command = json::characters(command)?;
            if !self.commands.iter().any(|wanted| *wanted == command) {
                return Some(false);
            }
        }
        if !self.url_prefixes.is_empty() || !self.in_url.is_empty() {
            let url = json::characters(url)?;
            let mut prefixes = self.url_prefixes.iter();
            let begins = self.url_prefixes.is_empty() || prefixes.any(|p| url.starts_with(&**p));
            let mut parts = self.in_url.iter();
            if !begins || !parts.all(|part| part.find(url.as_bytes()).is_some()) {
                return Some(false);
            }
        }
        let is_match =
            self.may_be_in(body.as_bytes()) && self.values.iter().all(|value| value.is_in(body));
        Some(is_match)
    }
}

impl Value {
    fn new(pointer: &str, value: &str) -> Result<Value> {
        let pointer = Pointer::parse(pointer)?;
        let text = json::compact("value", value)?;
        // For an object or an array, only its parts are certain to occur in the text.
        let literal = match text.as_bytes().first() {
            Some(b'{' | b'[') => None,
            Some(b'"') => json::characters(&text),
            _ => Some(text.as_str().into()),
        };
        let keys = pointer.keys().map(Into::into);
        let is_plain = |part: &std::borrow::Cow<'_, str>| {
            let escaped = |byte: u8| byte < 0x20 || matches!(byte, b'"' | b'\\');
            !part.is_empty() && !part.bytes().any(escaped)
        };
        let parts = keys.chain(literal).filter(is_plain);
        let trace = parts.max_by_key(|part| part.len());
        let trace = trace.map(|part| Finder::new(part.as_bytes()).into_owned());
        Ok(Value {
            canonical: json::canonical(&text),
            trace,
            pointer,
            text,
        })
    }

    fn is_in(&self, body: &str) -> bool {
        self.pointer.leads_to(body, &|found| self.is(found))
    }

    fn is(&self, found: &str) -> bool {
        // Numbers and literals have one spelling, and a different first character means a different
        // kind of value.
        let has_spellings = matches!(self.text.as_bytes().first(), Some(b'"' | b'{' | b'['));
        found == self.text
            || (has_spellings
                && found.as_bytes().first() == self.text.as_bytes().first()
                && json::compact("value", found)
                    .is_ok_and(|f| json::canonical(&f) == self.canonical))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Body;

    fn needles(texts: &[&str]) -> Vec<Needle> {
        texts
            .iter()
            .map(|text| Needle((*text).to_owned()))
            .collect()
    }

    fn with_value(pointer: &str, value: &str) -> RequestFilter {
        RequestFilter {
            values: vec![(pointer.to_owned(), Needle(value.to_owned()))],
            ..RequestFilter::default()
        }
    }

    fn matches(texts: &RequestFilter, request: &Request) -> bool {
        let matcher = Matcher::new(texts).unwrap();
        let found = matcher.matches(request.as_json(), &[]).unwrap();
        // A request that the quick check rules out does not match.
        assert!(!found || matcher.may_be_in(request.as_json().as_bytes()));
        found
    }

    fn request(url: &str, body: &str) -> Request {
        Request::new("c", url, Body::from_json(body).unwrap()).unwrap()
    }

    #[test]
    fn a_value_is_found_however_it_is_written() {
        for (body, pointer, value, expected) in [
            (r#"{"a":{"b":[1,2.50]}}"#, "/a/b/1", "2.50", true),
            (r#"{"a":{"b":[1,2.50]}}"#, "/a/b/1", "2.5", false),
            (r#"{"a":{"b":[1,2.50]}}"#, "/a/b", " [ 1 , 2.50 ] ", true),
            (
                r#"{"a":{"b":1,"c":"\u00e9"}}"#,
                "/a",
                r#"{"c":"é","b":1}"#,
                true,
            ),
            (r#"{"\u0061":"x"}"#, "/a", r#""x""#, true),
            (r#"{"a":"\u0078yz"}"#, "/a", r#""xyz""#, true),
            (r#"{"a":"x","b":"\\"}"#, "/a", r#""y""#, false),
            (r#"{"a":"say \"x\""}"#, "/a", r#""say \u0022x\u0022""#, true),
            (r#"{"a":1,"a":2}"#, "/a", "2", true),
            (r#"{"a":1,"a":2}"#, "/a", "1", true),
            (r#"{"a":"1"}"#, "/a", "1", false),
            (r#"{"a":null}"#, "/a", "null", true),
            (r#"{}"#, "/a", "null", false),
            (r#"{"0":7}"#, "/0", "7", true),
            (r#"[7]"#, "/0", "7", true),
            (r#"7"#, "", "7", true),
            (r#"{"":""}"#, "/", r#""""#, true),
        ] {
            let found = matches(&with_value(pointer, value), &request("", body));
            assert_eq!(found, expected, "{body} {pointer} {value}");
        }
    }

    #[test]
    fn a_url_is_searched_by_its_characters() {
        let url = "/ges/\\new?q=\"ü\"&n=\u{1}\n";
        for (prefix, part, expected) in [
            ("/ges/\\n", "", true),
            ("/ges/\n", "", false),
            ("", "\\n", true),
            ("", "\n", true),
            ("", "n\n", false),
            ("", "q=\"ü\"", true),
            ("", "u0001", false),
            ("", "\u{1}", true),
            ("/GES", "", false),
        ] {
            let texts = RequestFilter {
                url_prefixes: needles(&[prefix]),
                in_url: needles(&[part]),
                ..RequestFilter::default()
            };
            assert_eq!(
                matches(&texts, &request(url, "1")),
                expected,
                "{prefix} {part}"
            );
        }
        let texts = RequestFilter {
            url_prefixes: needles(&["/a", "/b"]),
            ..RequestFilter::default()
        };
        assert!(matches(&texts, &request("/b", "1")) && !matches(&texts, &request("/c", "1")));
    }

    #[test]
    fn a_body_is_searched_as_it_is_listed() {
        let body = r#"{"a": "x \"y\" é\u00e9", "b": [1, 2]}"#;
        for (parts, expected) in [
            (&[r#"\"y\""#, "[1,2]"][..], true),
            (&["[1, 2]"], false),
            (&["éé"], false),
            (&[r"é\u00e9"], true),
            (&["\"c\""], false),
            (&["body"], false),
        ] {
            let texts = RequestFilter {
                in_body: needles(parts),
                ..RequestFilter::default()
            };
            assert_eq!(matches(&texts, &request("", body)), expected, "{parts:?}");
        }
    }

    #[test]
    fn equal_questions_have_equal_bytes_and_others_have_others() {
        let bytes = |texts: &RequestFilter| {
            let mut bytes = Vec::new();
            texts.put_bytes(&mut bytes);
            bytes
        };
        let (a, b) = (
            with_value("/a", r#"{"x":1,"y":2}"#),
            with_value("/a", r#"{"y":2, "x":1}"#),
        );
        assert_eq!(bytes(&a), bytes(&b));
        let one = |what: fn(&mut RequestFilter) -> &mut Vec<Needle>| {
            let mut texts = RequestFilter::default();
            what(&mut texts).extend(needles(&["x"]));
            texts
        };
        let all = [
            RequestFilter::default(),
            a,
            with_value("/a", "1"),
            with_value("/b", "1"),
            one(|texts| &mut texts.url_prefixes),
            one(|texts| &mut texts.in_url),
            one(|texts| &mut texts.in_body),
        ];
        for (n, a) in all.iter().enumerate() {
            for (m, b) in all.iter().enumerate() {
                assert_eq!(bytes(a) == bytes(b), n == m);
            }
        }
    }

    #[test]
    fn debug_shows_nothing_that_is_searched_for() {
        let texts = RequestFilter {
            in_body: needles(&["hunter2"]),
            in_url: needles(&["hunter2"]),
            ..with_value("/secretKey", "\"hunter2\"")
        };
        assert!(!format!("{texts:?}").contains("hunter2"));
    }

    #[test]
    fn text_that_is_no_request_is_told() {
        let matcher = Matcher::new(&RequestFilter::default()).unwrap();
        for text in [
            "",
            "{}",
            r#"{"url":"","command":"","body":1}"#,
            r#"{"command":"","url":""}"#,
        ] {
            assert!(matcher.matches(text, &[]).is_none(), "{text}");
        }
    }

    #[test]
    fn an_origin_matches_as_a_whole() {
        let request = Request::new("c", "", Body::empty()).unwrap();
        let keys = crate::model::secrets::SecretKeys::default();
        for (given, wanted, is_match) in [
            ("alice", &["alice"][..], true),
            ("alice", &["bob", "alice"], true),
            ("alice", &["ali"], false),
            ("alice", &[""], false),
            ("", &[""], false),
            ("", &["alice"], false),
        ] {
            let kept = keys.keep(request.clone().with_origin(given).unwrap());
            let filter = RequestFilter {
                origins: wanted.iter().map(|text| (*text).to_owned()).collect(),
                ..RequestFilter::default()
            };
            let found = Matcher::new(&filter)
                .unwrap()
                .matches(kept.request.as_json(), &kept.unlisted);
            assert_eq!(found, Some(is_match), "{given:?} {wanted:?}");
        }
        let damaged = Matcher::new(&RequestFilter {
            origins: vec!["a".to_owned()],
            ..RequestFilter::default()
        });
        assert_eq!(damaged.unwrap().matches(request.as_json(), &[2, 9]), None);
    }
}
