// JSON as text: it is checked, compacted, and compared, but never parsed into values.
//
// Text is preserved byte for byte (number text, key order, duplicate keys, escapes), except for
// white space outside of strings.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::error::{Error, JsonProblem, Result};

/// The maximum nesting of arrays and objects. A body is nested four levels down in the list's
/// document. Those four plus the body's own levels stay below 128, the limit of common JSON
/// parsers.
pub(crate) const DEPTH_MAX: usize = 120;

/// Appends `text` as a JSON string. Returns whether it needed no escapes.
pub(crate) fn push_quoted(text: &str, out: &mut String) -> bool {
    let plain = !text
        .bytes()
        .any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\'));
    if plain {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&quote(text));
    }
    plain
}

/// `text` as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    // Serializing a string to memory cannot fail. If it did, the empty string would still be valid
    // JSON.
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned())
}

/// The problem in text that is not JSON. serde's own message is not used, because it may quote the
/// text.
pub(crate) fn problem(error: &serde_json::Error) -> JsonProblem {
    match error.is_eof() {
        true => JsonProblem::UnexpectedEnd,
        false => JsonProblem::UnexpectedCharacter,
    }
}

/// Parses a JSON document with fixed members. A message names a place but never quotes the text.
pub(crate) fn parse<'a, T: Deserialize<'a>>(what: &'static str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| match e.is_data() {
        true => Error::InvalidParameter {
            problem: format!(
                "invalid {what}: unexpected or missing member, or a value of another type, at line \
                 {} column {}",
                e.line(),
                e.column()
            ),
        },
        false => Error::InvalidJson {
            what,
            problem: problem(&e),
            line: e.line(),
            column: e.column(),
        },
    })
}

/// Checks that `text` is exactly one JSON value within the depth limit, and removes the white space
/// outside of strings.
pub(crate) fn compact(what: &'static str, text: &str) -> Result<String> {
    // RawValue checks the grammar without recursion and without building values.
    let checked: &RawValue = serde_json::from_str(text).map_err(|e| Error::InvalidJson {
        what,
        problem: problem(&e),
        line: e.line(),
        column: e.column(),
    })?;
    let before = text.len() - text.trim_start_matches([' ', '\t', '\n', '\r']).len();
    let given = text;
    let text = checked.get();
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut at, mut kept) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => {
                at = end_of_sound_string(bytes, at).map_err(|escape| {
                    let (line, column) = place(&given[..before + escape]);
                    Error::InvalidJson {
                        what,
                        problem: JsonProblem::LoneSurrogate,
                        line,
                        column,
                    }
                })?;
            }
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&text[kept..at - 1]);
                kept = at;
            }
            _ => {}
        }
    }
    out.push_str(&text[kept..]);
    if deepest > DEPTH_MAX {
        return Err(Error::TooDeep {
            what,
            given: deepest,
            max: DEPTH_MAX,
        });
    }
    Ok(out)
}

/// The position after the closing quote of the string that contains position `at`.
pub(crate) fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes
        .get(at..)
        .and_then(|b| memchr::memchr2(b'"', b'\\', b))
    {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        // An escaped character does not end the string.
        at += 2;
    }
    bytes.len()
}

/// Line and column, both starting at 1, of the byte after `text`.
pub(crate) fn place(text: &str) -> (usize, usize) {
    let lines = text.bytes().filter(|&byte| byte == b'\n').count();
    let start = text.rfind('\n').map_or(0, |at| at + 1);
    (lines + 1, text.len() - start + 1)
}

/// Like [`end_of_string`], for a string of valid JSON. If the string contains an escape that is
/// half of a surrogate pair, returns the escape's position as an `Err`.
fn end_of_sound_string(bytes: &[u8], mut at: usize) -> std::result::Result<usize, usize> {
    const ESCAPE_BYTES: usize = 6;
    let unit = |at: usize| {
        let digits = bytes.get(at..at + ESCAPE_BYTES)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    while let Some(found) = bytes
        .get(at..)
        .and_then(|b| memchr::memchr2(b'"', b'\\', b))
    {
        at += found;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += match unit(at) {
            None => 2,
            Some(0xd800..=0xdbff) => match unit(at + ESCAPE_BYTES) {
                Some(0xdc00..=0xdfff) => 2 * ESCAPE_BYTES,
                _ => return Err(at),
            },
            Some(0xdc00..=0xdfff) => return Err(at),
            Some(_) => ESCAPE_BYTES,
        };
    }
    Ok(bytes.len())
}

/// Whether two compact texts are the same JSON value: objects regardless of key order, strings by
/// their characters, numbers by their text.
pub(crate) fn same_value(a: &str, b: &str) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// Returns text that is equal for equal JSON values. `text` must have passed [`compact`], which
/// also bounds the recursion.
pub(crate) fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut reader = Reader { text, at: 0 };
    reader.value(&mut out);
    out
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(b']')
    }

    fn value(&mut self, out: &mut String) {
        match self.peek() {
            b'{' => self.object(out),
            b'[' => {
                self.at += 1;
                out.push('[');
                while self.peek() != b']' {
                    self.value(out);
                    if self.peek() == b',' {
                        self.at += 1;
                        out.push(',');
                    }
                }
                self.at += 1;
                out.push(']');
            }
            b'"' => out.push_str(&canonical_string(self.string())),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest
                    .find([',', ']', '}'])
                    .filter(|&end| end > 0)
                    .unwrap_or(rest.len());
                out.push_str(&rest[..end]);
                self.at += end;
            }
        }
    }

    /// Appends an object with its members sorted by key. Members with equal keys keep their order,
    /// because the order matters to parsers that use the last one.
    fn object(&mut self, out: &mut String) {
        self.at += 1;
        let mut members = Vec::new();
        while self.peek() == b'"' {
            let key = canonical_string(self.string());
            self.at += 1; // the colon
            let mut value = String::new();
            self.value(&mut value);
            members.push((key, value));
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        members.sort_by(|a, b| a.0.cmp(&b.0));
        out.push('{');
        for (n, (key, value)) in members.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            out.push_str(key);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }

    /// The string token at this position, with its quotes.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.at = end_of_string(self.text.as_bytes(), start + 1);
        &self.text[start..self.at]
    }
}

/// The position after the value that starts at `at`, or `at` if no value starts there.
pub(crate) fn end_of_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' | b',' | b':' if depth == 0 => break,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' => at += 1,
            _ => {
                let rest = bytes.get(at..).unwrap_or_default();
                let end = rest.iter().position(|b| b",:]}".contains(b));
                at += end.unwrap_or(rest.len());
            }
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The members of an object in compact text: the key's token and the value's text. For text that is
/// not a valid object, the iterator ends early.
pub(crate) struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    pub(crate) fn of(text: &'a str) -> Members<'a> {
        Members { text, at: 1 }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let colon = end_of_string(bytes, self.at + 1);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let end = end_of_value(bytes, colon + 1);
        let key = self.text.get(self.at..colon)?;
        let value = self.text.get(colon + 1..end)?;
        self.at = end + usize::from(bytes.get(end) == Some(&b','));
        Some((key, value))
    }
}

/// The n-th element of an array in compact text.
pub(crate) fn element(text: &str, n: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let (mut at, mut left) = (1, n);
    loop {
        let end = end_of_value(bytes, at);
        if end == at {
            return None;
        }
        if left == 0 {
            return text.get(at..end);
        }
        if bytes.get(end) != Some(&b',') {
            return None;
        }
        (at, left) = (end + 1, left - 1);
    }
}

/// The characters of a string token; `None` if it is not a string or contains half of a surrogate
/// pair.
pub(crate) fn characters(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str(token).ok().map(Cow::Owned),
    }
}
/// Returns the same token for the same characters, however they are escaped. A token with a lone
/// surrogate does not stand for characters, so it is returned unchanged.
fn canonical_string(token: &str) -> String {
    if !token.contains('\\') {
        return token.to_owned();
    }
    match serde_json::from_str::<String>(token) {
        Ok(characters) => quote(&characters),
        Err(_) => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compaction_keeps_everything_but_white_space_outside_strings() {
        let given = " { \"b\" : 0.00001 ,\n\t\"a\":[ 1e5, 123456789012345678901234567890 ,\"x \\\" y\" ], \"b\":\"\\u00e9 é\"}\r\n";
        let kept = "{\"b\":0.00001,\"a\":[1e5,123456789012345678901234567890,\"x \\\" y\"],\"b\":\"\\u00e9 é\"}";
        assert_eq!(compact("body", given).unwrap(), kept);
        assert_eq!(compact("body", kept).unwrap(), kept);
    }

    #[test]
    fn text_that_is_not_json_is_refused_without_being_quoted() {
        for text in [
            "",
            "{",
            "{\"secretKey\":hunter2}",
            "[1,]",
            "1 2",
            "nul",
            "\"\u{1}\"",
        ] {
            let error = compact("body", text).unwrap_err();
            assert!(
                matches!(error, Error::InvalidJson { .. }),
                "{text}: {error}"
            );
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_refused_with_its_place() {
        for (text, line, column) in [
            (r#""\ud800""#, 1, 2),
            (r#""\uDFFF""#, 1, 2),
            (r#" {"a": "x\udbffx"}"#, 1, 10),
            ("\n\t[1,\n \"\\ud83c\\ud83c\"]", 3, 3),
            (r#"["\ud83c\udfac\udfac"]"#, 1, 15),
            (r#"{"\ud800":1}"#, 1, 3),
            (r#""\ud800\n""#, 1, 2),
            (r#""\ud800\\udc00""#, 1, 2),
        ] {
            let error = compact("body", text).unwrap_err();
            let Error::InvalidJson {
                line: l, column: c, ..
            } = error
            else {
                panic!("{text}: {error}");
            };
            assert_eq!((l, c), (line, column), "{text}");
            assert!(error.to_string().contains("surrogate"), "{error}");
        }
        for text in [r#""\ud83c\udfac""#, r#""\\ud800""#, r#""\ud7ff\ue000""#] {
            assert_eq!(compact("body", text).unwrap(), text);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(
            compact("body", &nested(DEPTH_MAX)).unwrap(),
            nested(DEPTH_MAX)
        );
        let error = compact("body", &nested(DEPTH_MAX + 1)).unwrap_err();
        assert!(matches!(
            error,
            Error::TooDeep {
                given: 121,
                max: 120,
                ..
            }
        ));
        assert!(compact("body", &nested(1_000_000)).is_err());
    }

    #[test]
    fn members_and_elements_are_found_by_where_they_end() {
        let text = r#"{"a":{"b":[1,"]}"],"c":{}},"\"":"x,\"y","a":-1.5e3,"":[[],{}]}"#;
        let found: Vec<_> = Members::of(text).collect();
        let expected = [
            (r#""a""#, r#"{"b":[1,"]}"],"c":{}}"#),
            (r#""\"""#, r#""x,\"y""#),
            (r#""a""#, "-1.5e3"),
            (r#""""#, "[[],{}]"),
        ];
        assert_eq!(found, expected);
        let array = r#"[0,[1,2],{"a":[3]},"4,5",null]"#;
        let found: Vec<_> = (0..6).map(|n| element(array, n)).collect();
        let expected = ["0", "[1,2]", r#"{"a":[3]}"#, r#""4,5""#, "null"];
        assert_eq!(found[..5], expected.map(Some));
        assert_eq!(found[5], None);
        assert_eq!(element("[]", 0), None);
        assert_eq!(Members::of("{}").count(), 0);
    }

    #[test]
    fn text_that_is_no_json_has_an_end_too() {
        let deep = "[".repeat(1 << 20);
        let texts = [
            "", "{", "{\"", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":}", "{\"a\":1", "[", "[,", "[:",
            "[1,", "]", "{\"é\\", "[\"", &deep,
        ];
        for text in texts {
            assert!(Members::of(text).count() <= 1, "{text}");
            assert!(element(text, 1).is_none(), "{text}");
        }
    }
    #[test]
    fn equal_values_are_the_same_however_they_are_written() {
        for (a, b, same) in [
            (r#"{"a":1,"b":[2,3]}"#, r#"{"b":[2,3],"a":1}"#, true),
            (
                r#"{"a":{"x":1,"y":"\u0041"}}"#,
                r#"{"a":{"y":"A","x":1}}"#,
                true,
            ),
            (r#"{"a":1}"#, r#"{"a":1.0}"#, false),
            (r#"[1,2]"#, r#"[2,1]"#, false),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, false),
            (r#"{}"#, r#"[]"#, false),
            (r#"["a,b"]"#, r#"["a","b"]"#, false),
            (r#""\ud800""#, r#""\ud800""#, true),
        ] {
            assert_eq!(same_value(a, b), same, "{a} {b}");
        }
    }
}
