// A request: command, URL, and JSON body.
//
// The body is preserved byte for byte. `Debug` never shows it, because bodies contain credentials.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::error::{Error, JsonProblem, Result};
use crate::model::json;

/// The maximum length of a command, in bytes.
pub(crate) const COMMAND_BYTES_MAX: usize = 256;
/// The maximum length of a URL, in bytes.
pub(crate) const URL_BYTES_MAX: usize = 8 * 1024;
/// The maximum length of an origin, in bytes.
pub(crate) const ORIGIN_BYTES_MAX: usize = 256;
/// The maximum size of everything in the text of a request other than the request itself: white
/// space and, in an import line, the job's details.
pub(crate) const BESIDE_REQUEST_BYTES: u64 = 1 << 20;

/// The body of a request: any JSON value, stored as text.
///
/// White space outside of strings is removed when the body is created. Everything else is preserved
/// byte for byte: number text, key order, duplicate keys, escapes. `Debug` shows only the length.
///
/// # Examples
/// ```
/// use jobstore::Body;
/// let body = Body::from_json(r#"{ "convergence": 1e-5, "alpha": 0.850 }"#)?;
/// assert_eq!(body.as_str(), r#"{"convergence":1e-5,"alpha":0.850}"#);
/// assert_eq!(format!("{body:?}"), "Body(34 bytes)");
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// Creates a body from JSON text.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] if `text` is not exactly one JSON value, or if it contains a lone
    /// surrogate (`"\ud800"`), because strict readers of a list would reject it; [`Error::TooDeep`]
    /// if it is nested more than 120 levels deep.
    ///
    /// # Examples
    /// ```
    /// let body = jobstore::Body::from_json(r#"{ "alpha": 0.00001 }"#)?;
    /// assert_eq!(body.as_str(), r#"{"alpha":0.00001}"#);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn from_json(text: impl AsRef<str>) -> Result<Body> {
        json::compact("body", text.as_ref()).map(Body)
    }

    /// Creates a body from any value that serde can serialize.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] if the value cannot be represented as JSON (such as a map with keys
    /// that are not strings); [`Error::TooDeep`] as for [`Body::from_json`].
    ///
    /// # Examples
    /// ```
    /// let body = jobstore::Body::from_value(&std::collections::BTreeMap::from([("k", 2)]))?;
    /// assert_eq!(body.as_str(), r#"{"k":2}"#);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn from_value(value: &(impl Serialize + ?Sized)) -> Result<Body> {
        value_to_json("body", value).map(Body)
    }

    /// Returns the body of a request that has none: `{}`.
    #[must_use]
    pub fn empty() -> Body {
        Body("{}".to_owned())
    }

    /// Returns the body's JSON text without white space.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// Returns `value` as compact JSON text within the depth limit. The serializer's own message is
/// omitted, because it may quote the value.
pub(crate) fn value_to_json(
    what: &'static str,
    value: &(impl Serialize + ?Sized),
) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|_| Error::InvalidJson {
        what,
        problem: JsonProblem::NotRepresentable,
        line: 0,
        column: 0,
    })?;
    json::compact(what, &text)
}

/// An asynchronous request as the engine received it.
///
/// A request is cheap to clone. Two requests are equal if their commands and URLs are equal and
/// their bodies are the same JSON value: objects are compared regardless of key order, strings by
/// their characters, and numbers by their text. `Debug` shows the command, the path, and sizes, but
/// never the body.
///
/// # Examples
/// ```
/// use jobstore::{Body, Request};
/// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
/// let request = Request::new("import_graph", url, Body::from_json(r#"{"a":1,"b":2}"#)?)?;
/// assert_eq!(request, Request::new("import_graph", url, Body::from_json(r#"{"b":2,"a":1}"#)?)?);
/// assert_eq!(request.body(), r#"{"a":1,"b":2}"#);
/// # Ok::<(), jobstore::Error>(())
/// ```
#[derive(Clone)]
pub struct Request {
    /// `{"command":...,"url":...,"body":...}`, as lists show it.
    wire: Arc<str>,
    command: Text,
    url: Text,
    /// Where the body's text starts in `wire`.
    body_at: usize,
    origin: Option<Arc<str>>,
}

/// A string of a request, usually stored as a part of the request's wire text.
#[derive(Clone)]
enum Text {
    /// The text from the first position to the second.
    InWire(usize, usize),
    /// The unescaped text, which differs from the escaped text in the wire text.
    Escaped(Arc<str>),
}

impl Text {
    /// Appends `text` as a JSON string.
    fn push(text: String, wire: &mut String) -> Text {
        let at = wire.len() + 1;
        match json::push_quoted(&text, wire) {
            true => Text::InWire(at, at + text.len()),
            false => Text::Escaped(text.into()),
        }
    }

    /// Stores `text`, which was read from the JSON string at this position of `wire`. Returns
    /// `None` if the string is not at this position.
    fn read(text: Cow<'_, str>, wire: &str, at: usize) -> Option<Text> {
        match text {
            Cow::Borrowed(text) => {
                let end = at + text.len();
                (wire.get(at..end)? == text).then_some(Text::InWire(at, end))
            }
            Cow::Owned(text) => Some(Text::Escaped(text.into())),
        }
    }

    fn of<'a>(&'a self, wire: &'a str) -> &'a str {
        match self {
            Text::InWire(from, to) => &wire[*from..*to],
            Text::Escaped(text) => text,
        }
    }
}

const BEFORE_COMMAND: &str = r#"{"command":"#;
const BEFORE_URL: &str = r#","url":"#;
const BEFORE_BODY: &str = r#","body":"#;

impl Request {
    /// Creates a request from a command (1 to 256 bytes), a URL (at most 8 KiB), and a body.
    ///
    /// The store limits the size of the whole request when it is submitted
    /// ([`Options::max_request_bytes`](crate::Options::max_request_bytes)).
    ///
    /// # Errors
    /// [`Error::EmptyCommand`], [`Error::TextTooLong`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, Error, Request};
    /// let request = Request::new("clear_graph", "/ges/v1.0/10001/graphs/movie/action", Body::empty())?;
    /// assert_eq!(request.command(), "clear_graph");
    /// assert!(matches!(Request::new("", "/ges", Body::empty()), Err(Error::EmptyCommand)));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn new(command: impl Into<String>, url: impl Into<String>, body: Body) -> Result<Request> {
        let (command, url) = (command.into(), url.into());
        if command.is_empty() {
            return Err(Error::EmptyCommand);
        }
        for (what, text, max_bytes) in [
            ("command", &command, COMMAND_BYTES_MAX),
            ("url", &url, URL_BYTES_MAX),
        ] {
            if text.len() > max_bytes {
                return Err(Error::TextTooLong {
                    what,
                    given_bytes: text.len(),
                    max_bytes,
                });
            }
        }
        let fixed = BEFORE_COMMAND.len() + BEFORE_URL.len() + BEFORE_BODY.len() + 5;
        let texts = command.len() + url.len() + body.0.len();
        let mut wire = String::with_capacity(fixed + texts);
        wire.push_str(BEFORE_COMMAND);
        let command = Text::push(command, &mut wire);
        wire.push_str(BEFORE_URL);
        let url = Text::push(url, &mut wire);
        wire.push_str(BEFORE_BODY);
        let body_at = wire.len();
        wire.push_str(&body.0);
        wire.push('}');
        Ok(Request {
            wire: wire.into(),
            command,
            url,
            body_at,
            origin: None,
        })
    }

    /// Sets the origin of the request: who or what submitted it, such as the name of a user or a
    /// trace id, in at most 256 bytes. An empty text means that there is no origin.
    ///
    /// The origin is recorded with the job, and shown by [`Job::to_json`](crate::Job::to_json),
    /// exports, and detailed lists, but not by [`Request::as_json`] and the GES job list.
    /// [`JobQuery::origin`](crate::JobQuery::origin) selects jobs by it. It is not part of what makes
    /// two requests equal. It is not a secret: do not put credentials into it.
    ///
    /// # Errors
    /// [`Error::TextTooLong`].
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// let store = JobStore::in_memory()?;
    /// let movie = store.create_graph("10001", "movie")?;
    /// let request = Request::new("clear_graph", "/ges", Body::empty())?;
    /// let id = movie.submit(request.with_origin("alice")?)?;
    /// # movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// let page = movie.list(JobQuery::new().origin("alice"))?;
    /// assert_eq!(page.len(), 1);
    /// for job in page.jobs() {
    ///     assert_eq!(job?.request().origin(), Some("alice"));
    /// }
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn with_origin(self, origin: impl AsRef<str>) -> Result<Request> {
        let origin = origin.as_ref();
        if origin.len() > ORIGIN_BYTES_MAX {
            return Err(Error::TextTooLong {
                what: "origin",
                given_bytes: origin.len(),
                max_bytes: ORIGIN_BYTES_MAX,
            });
        }
        Ok(self.with_valid_origin(Some(origin)))
    }

    /// The request with an origin that is known to be valid.
    pub(crate) fn with_valid_origin(mut self, origin: Option<&str>) -> Request {
        self.origin = origin.filter(|origin| !origin.is_empty()).map(Arc::from);
        self
    }

    /// Creates a request from a JSON object with `command`, `url`, and, optionally, `body`, as
    /// lists show it, and, optionally, [`origin`](Request::with_origin).
    ///
    /// # Errors
    /// [`Error::InvalidJson`] if the text is not such an object, and the errors of [`Request::new`]
    /// and [`Body::from_json`].
    ///
    /// # Examples
    /// ```
    /// let request = jobstore::Request::from_json(r#"{"command": "clear_graph", "url": "/a"}"#)?;
    /// assert_eq!(request.as_json(), r#"{"command":"clear_graph","url":"/a","body":{}}"#);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Request> {
        let refused = |problem, (line, column)| Error::InvalidJson {
            what: "request",
            problem,
            line,
            column,
        };
        let parts = WireRequest::parse(text).map_err(|e| {
            let problem = match e.is_data() {
                true => shape_problem(&e),
                false => json::problem(&e),
            };
            refused(problem, (e.line(), e.column()))
        })?;
        let Some(Url(url)) = parts.url else {
            let given = text.trim_end();
            // serde also accepts an array for a struct.
            let problem = match given.ends_with('}') {
                true => JsonProblem::MissingUrl,
                false => JsonProblem::NotARequest,
            };
            return Err(refused(problem, json::place(&given[..given.len() - 1])));
        };
        let body = match parts.body {
            Some(raw) => Body::from_json(raw.get())?,
            None => Body::empty(),
        };
        let request = Request::new(parts.command.into_owned(), url.into_owned(), body)?;
        request.with_origin(parts.origin.unwrap_or_default())
    }

    /// Reads a request from its stored text, which was created by [`Request::new`]. Returns `None`
    /// for any other text.
    pub(crate) fn from_stored(wire: &str) -> Option<Request> {
        let parts = WireRequest::parse(wire).ok()?;
        // The body is at the end of the text, before the last brace.
        let head = wire.strip_suffix('}')?.strip_suffix(parts.body?.get())?;
        let before_body = head.strip_suffix(BEFORE_BODY)?;
        let Url(url) = parts.url?;
        let url_at = before_body.len().checked_sub(url.len() + 1)?;
        Some(Request {
            command: Text::read(parts.command, wire, BEFORE_COMMAND.len() + 1)?,
            url: Text::read(url, wire, url_at)?,
            body_at: head.len(),
            wire: wire.into(),
            origin: None,
        })
    }

    /// The JSON texts of the command, URL, and body in a stored request; `None` if the text is not
    /// a stored request.
    pub(crate) fn parts_of(wire: &str) -> Option<[&str; 3]> {
        let value = |text| json::end_of_value(str::as_bytes(text), 0);
        let rest = wire.strip_prefix(BEFORE_COMMAND)?;
        let (command, rest) = rest.split_at_checked(value(rest))?;
        let rest = rest.strip_prefix(BEFORE_URL)?;
        let (url, rest) = rest.split_at_checked(value(rest))?;
        let body = rest.strip_prefix(BEFORE_BODY)?.strip_suffix('}')?;
        Some([command, url, body])
    }

    /// The same command and URL with another body, which is compact JSON.
    pub(crate) fn with_body(&self, body: &str) -> Request {
        let head = &self.wire[..self.body_at];
        Request {
            wire: [head, body, "}"].concat().into(),
            command: self.command.clone(),
            url: self.url.clone(),
            body_at: self.body_at,
            origin: self.origin.clone(),
        }
    }

    /// Returns the command, such as `import_graph`. It is 1 to 256 bytes long.
    #[must_use]
    pub fn command(&self) -> &str {
        self.command.of(&self.wire)
    }

    /// Returns the URL of the request, which is at most 8 KiB long.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.of(&self.wire)
    }

    /// Returns the body's JSON text without white space, but otherwise exactly as given.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.wire[self.body_at..self.wire.len() - 1]
    }

    /// Returns the [origin](Request::with_origin), if there is one.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// Returns the whole request as lists show it: `{"command":...,"url":...,"body":...}`.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.wire
    }
}

impl PartialEq for Request {
    fn eq(&self, other: &Request) -> bool {
        self.wire == other.wire
            || (self.command() == other.command()
                && self.url() == other.url()
                && json::same_value(self.body(), other.body()))
    }
}

impl Eq for Request {}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query of a URL may contain a token, so only the path is shown.
        let path = self.url().split(['?', '#']).next().unwrap_or_default();
        f.debug_struct("Request")
            .field("command", &self.command())
            .field("path", &path)
            .field("body_bytes", &self.body().len())
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}

/// A request as given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireRequest<'a> {
    #[serde(borrow)]
    pub(crate) command: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) url: Option<Url<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) body: Option<&'a RawValue>,
    pub(crate) origin: Option<String>,
}

/// This wrapper is needed because serde does not borrow a string that is directly inside an
/// `Option`.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Url<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Accepts `null` as a value, which `Option` would treat as missing.
pub(crate) fn present<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// serde's own messages may quote the text, except those about a missing field.
fn shape_problem(error: &serde_json::Error) -> JsonProblem {
    match error.to_string().starts_with("missing field `command`") {
        true => JsonProblem::MissingCommand,
        false => JsonProblem::NotARequest,
    }
}

impl<'a> WireRequest<'a> {
    fn parse(text: &'a str) -> serde_json::Result<WireRequest<'a>> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_request_comes_back_as_it_was() {
        let request =
            Request::new("a\"b", "/ü?x=\n", Body::from_json("[1, null]").unwrap()).unwrap();
        let back = Request::from_stored(request.as_json()).unwrap();
        assert_eq!(back.command(), "a\"b");
        assert_eq!(back.url(), "/ü?x=\n");
        assert_eq!(back.body(), "[1,null]");
        assert_eq!(back.as_json(), request.as_json());
        let plain = WireRequest::parse(r#"{"command":"c","url":"/a"}"#).unwrap();
        assert!(matches!(plain.url, Some(Url(Cow::Borrowed("/a")))));
    }

    #[test]
    fn what_was_not_stored_by_a_request_is_none() {
        for wire in [
            "{\"command\":\"c\",\"url\":\"\",\"body\":[1]} ",
            "{\"body\":[1],\"command\":\"é\",\"url\":\"é\"}",
            "{\"command\":\"c\",\"url\":\"\"}",
        ] {
            assert!(Request::from_stored(wire).is_none(), "{wire}");
        }
    }

    #[test]
    fn a_null_body_is_a_body() {
        let request = Request::from_json(r#"{"command":"c","url":"","body":null}"#);
        assert_eq!(request.unwrap().body(), "null");
    }

    #[test]
    fn what_a_request_lacks_is_said_with_its_place() {
        let nothing_said = |text: &str| match Request::from_json(text) {
            Err(Error::InvalidJson {
                problem,
                line,
                column,
                ..
            }) => (problem, line, column),
            other => panic!("{other:?}"),
        };
        for (text, expected) in [
            (r#"{"command":"c"}"#, (JsonProblem::MissingUrl, 1, 15)),
            (
                "{\n\"command\":\"c\",\n \"body\":{} } \n",
                (JsonProblem::MissingUrl, 3, 12),
            ),
            (
                "{\"command\":\"c\",\"body\":{\"a\":{}}}",
                (JsonProblem::MissingUrl, 1, 31),
            ),
            (r#"{"url":""}"#, (JsonProblem::MissingCommand, 1, 10)),
            ("{\n\"url\":\"\"\n }", (JsonProblem::MissingCommand, 3, 2)),
            ("{} ", (JsonProblem::MissingCommand, 1, 2)),
            ("\n [\"c\"] ", (JsonProblem::NotARequest, 2, 6)),
            ("[]", (JsonProblem::NotARequest, 1, 2)),
            (
                r#"{"command":"c","url":null}"#,
                (JsonProblem::NotARequest, 1, 25),
            ),
        ] {
            assert_eq!(nothing_said(text), expected, "{text}");
        }
    }

    #[test]
    fn debug_shows_no_body_and_no_query() {
        let body = Body::from_json(r#"{"secretKey":"hunter2"}"#).unwrap();
        let request = Request::new("c", "/a?token=hunter2", body.clone()).unwrap();
        assert!(!format!("{request:?}{body:?}").contains("hunter2"));
    }
}
