// Query strings: the keys, the values that each key accepts, and the errors.
//
// Parsing is strict: an unknown or repeated key, or an invalid value, is refused with an error that
// names the key. Therefore, a misspelled filter is never silently ignored.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;

use crate::base::clock::TIME_MS_MAX;
use crate::base::timestamp;
use crate::model::cursor::Cursor;
use crate::model::error::{Error, Result, excerpt, invalid_parameter};
use crate::model::job_query::{JobQuery, PAGE_JOBS_MAX};
use crate::model::json;
use crate::model::json_pointer::Pointer;
use crate::model::outcome::OutcomeKind;
use crate::model::states::State;

/// The parameters that have not been read yet.
pub(crate) struct QueryString {
    pairs: VecDeque<(String, String)>,
    /// The keys that have been read.
    known: Vec<&'static str>,
}

impl QueryString {
    pub(crate) fn parse(query: Option<&str>) -> Result<QueryString> {
        let pairs = query.unwrap_or_default().split('&');
        let pairs = pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        });
        Ok(QueryString {
            pairs: pairs.collect::<Result<_>>()?,
            known: Vec::new(),
        })
    }

    /// Returns whether a key was given.
    #[cfg(feature = "http")]
    pub(crate) fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(given, _)| given == key)
    }

    /// Returns all values of a key.
    pub(crate) fn all(&mut self, key: &'static str) -> Vec<String> {
        self.known.push(key);
        let (of_key, others) = self.pairs.drain(..).partition(|(k, _)| k == key);
        self.pairs = others;
        let of_key: VecDeque<(String, String)> = of_key;
        of_key.into_iter().map(|(_, value)| value).collect()
    }

    /// Returns all values of a filter by text. An empty value is refused, because it would match
    /// every job.
    fn texts(&mut self, key: &'static str) -> Result<Vec<String>> {
        let texts = self.all(key);
        match texts.iter().any(String::is_empty) {
            true => Err(invalid_parameter(
                key,
                "",
                "a non-empty string",
                "correct or omit it",
            )),
            false => Ok(texts),
        }
    }

    /// Returns the value of a key that may occur at most once.
    pub(crate) fn one(&mut self, key: &'static str) -> Result<Option<String>> {
        let mut values = self.all(key).into_iter();
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(second) => {
                let second = excerpt(&second);
                let message = format!(
                    "parameter {key} is given more than once (second value: {second:?}); omit one \
                     of them"
                );
                Err(Error::InvalidParameter { problem: message })
            }
        }
    }

    fn parsed<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(given) = self.one(key)? else {
            return Ok(None);
        };
        let refused = || invalid_parameter(key, &given, allowed, "correct or omit it");
        parse(&given).map(Some).ok_or_else(refused)
    }

    pub(crate) fn number(
        &mut self,
        key: &'static str,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>> {
        let words = match *allowed.end() {
            u64::MAX => format!("an integer of at least {}", allowed.start()),
            end => format!("an integer from {} to {end}", allowed.start()),
        };
        self.parsed(key, &words, |given| {
            number(given).filter(|n| allowed.contains(n))
        })
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool> {
        let flag = self.parsed(key, "true or false", |given| match given {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })?;
        Ok(flag.unwrap_or(false))
    }

    pub(crate) fn time(&mut self, key: &'static str) -> Result<Option<SystemTime>> {
        let allowed = "milliseconds since 1970, or a time with an offset such as \
             2026-01-31T08:00:00Z or 2026-01-31T08:00:00.250%2B01:00, up to the year 9999";
        self.parsed(key, allowed, time)
    }

    /// Returns values that are words. Each parameter may contain several words, separated by
    /// commas.
    fn words<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        word: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>> {
        let mut words = Vec::new();
        for value in self.all(key) {
            for given in value.split(',') {
                let refused = || invalid_parameter(key, given, allowed, "correct or omit it");
                words.push(word(given).ok_or_else(refused)?);
            }
        }
        Ok(words)
    }

    /// The filter of the list.
    pub(crate) fn filter(&mut self) -> Result<JobQuery> {
        let mut list = JobQuery::new();
        let states = self.words("state", "pending, running, or complete", |given| {
            State::ALL.into_iter().find(|state| state.as_str() == given)
        })?;
        for state in states {
            list = list.state(state);
        }
        let allowed = "succeeded, partially_failed, failed, cancelled, or interrupted";
        for kind in self.words("outcome", allowed, OutcomeKind::from_word)? {
            list = list.outcome(kind);
        }
        for command in self.texts("command")? {
            list = list.command(command);
        }
        for origin in self.texts("origin")? {
            list = list.origin(origin);
        }
        type Text = fn(JobQuery, String) -> JobQuery;
        let texts: [(&'static str, Text); 3] = [
            ("url_prefix", JobQuery::url_prefix),
            ("url_contains", JobQuery::url_contains),
            ("body_contains", JobQuery::body_contains),
        ];
        for (key, add) in texts {
            list = self.texts(key)?.into_iter().fold(list, add);
        }
        let (pointers, values) = (self.all("body_pointer"), self.all("body_value"));
        if pointers.len() != values.len() {
            let message = format!(
                "parameter body_pointer is given {}, but body_value {}; give them in pairs, a \
                 JSON pointer and the JSON value there",
                times(pointers.len()),
                times(values.len())
            );
            return Err(Error::InvalidParameter { problem: message });
        }
        for (pointer, value) in pointers.into_iter().zip(values) {
            let of = |key: &str, error: Error| {
                let problem = format!("parameter {key}: {error}");
                Error::InvalidParameter { problem }
            };
            Pointer::parse(&pointer).map_err(|error| of("body_pointer", error))?;
            json::compact("value", &value).map_err(|error| of("body_value", error))?;
            list = list.body_value(pointer, value);
        }
        type Add = fn(JobQuery, SystemTime) -> JobQuery;
        let times: [(&'static str, Add); 6] = [
            ("submitted_from", JobQuery::submitted_from),
            ("submitted_before", JobQuery::submitted_before),
            ("started_from", JobQuery::started_from),
            ("started_before", JobQuery::started_before),
            ("completed_from", JobQuery::completed_from),
            ("completed_before", JobQuery::completed_before),
        ];
        for (key, add) in times {
            if let Some(time) = self.time(key)? {
                list = add(list, time);
            }
        }
        if let Some(name) = list.reversed_range() {
            let problem = format!("{name}_from is later than {name}_before; swap them");
            return Err(Error::InvalidParameter { problem });
        }
        Ok(list)
    }

    /// Adds the order, and the position at which to start.
    pub(crate) fn order(&mut self, list: JobQuery) -> Result<JobQuery> {
        let list = self.direction(list)?;
        self.cursor(list)
    }

    /// Adds the order.
    pub(crate) fn direction(&mut self, mut list: JobQuery) -> Result<JobQuery> {
        let newest = self.parsed(
            "order",
            "oldest_first or newest_first",
            |given| match given {
                "oldest_first" => Some(false),
                "newest_first" => Some(true),
                _ => None,
            },
        )?;
        if newest == Some(true) {
            list = list.newest_first();
        }
        Ok(list)
    }

    /// Adds the position at which to start.
    pub(crate) fn cursor(&mut self, list: JobQuery) -> Result<JobQuery> {
        Ok(match self.one("cursor")? {
            Some(cursor) => list.cursor(&cursor.parse::<Cursor>()?),
            None => list,
        })
    }

    /// The offset and the limit, as far as they are given.
    pub(crate) fn page(&mut self) -> Result<(u64, Option<u64>)> {
        let offset = self.number("offset", 0..=u64::MAX)?.unwrap_or(0);
        Ok((offset, self.number("limit", 1..=PAGE_JOBS_MAX)?))
    }

    /// The filter, the order, and the limits of a list whose offset and limit have been read.
    pub(crate) fn job_query(&mut self, (offset, limit): (u64, Option<u64>)) -> Result<JobQuery> {
        let filter = self.filter()?;
        let mut query = self.order(filter)?.offset(offset);
        query.limit = limit;
        query.limit_bytes = self.number("limit_bytes", 1..=u64::MAX)?;
        query.count_total = self.flag("count_total")?;
        Ok(query)
    }

    /// Refuses parameters that have not been read.
    pub(crate) fn end(mut self) -> Result<()> {
        let Some((key, _)) = self.pairs.pop_front() else {
            return Ok(());
        };
        let known = match self.known.as_slice() {
            [] => "this route has no parameters".to_owned(),
            known => format!("known parameters: {}", known.join(", ")),
        };
        let key = excerpt(&key);
        let message = format!("unknown parameter {key:?}; {known}");
        Err(Error::InvalidParameter { problem: message })
    }
}

/// Parses a query string with the parameters of the [list](crate::ListRequest), except `job_id` and
/// `detail`.
///
/// # Errors
/// [`Error::InvalidParameter`] names the parameter; [`Error::InvalidCursor`].
///
/// # Examples
/// ```
/// use jobstore::JobQuery;
/// # let store = jobstore::JobStore::in_memory()?;
/// # let movie = store.create_graph("10001", "movie")?;
/// let failed: JobQuery = "outcome=failed&order=newest_first".parse()?;
/// assert_eq!(movie.list(failed)?.len(), 0);
/// # Ok::<(), jobstore::Error>(())
/// ```
impl FromStr for JobQuery {
    type Err = Error;

    fn from_str(text: &str) -> Result<JobQuery> {
        let mut query = QueryString::parse(Some(text))?;
        let page = query.page()?;
        let list = query.job_query(page)?;
        query.end()?;
        Ok(list)
    }
}

fn times(count: usize) -> String {
    match count {
        0 => "0 times".to_owned(),
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

/// Decodes percent-encoded text, with `+` for a space.
fn decoded(text: &str) -> Result<String> {
    let refused = || {
        let allowed = "percent-encoded UTF-8";
        invalid_parameter("query", text, allowed, "correct the encoding")
    };
    let is_escape = |rest: &str| {
        let mut digits = rest.bytes();
        let mut is_hex = || digits.next().is_some_and(|b| b.is_ascii_hexdigit());
        is_hex() && is_hex()
    };
    if !text.split('%').skip(1).all(is_escape) {
        return Err(refused());
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| refused())
}

/// Parses digits only; `parse` would accept a sign. A number that does not fit into a `u64` is
/// replaced by the largest `u64`, which is past the end of every list.
fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().unwrap_or(u64::MAX))
}

fn time(text: &str) -> Option<SystemTime> {
    let ms = match number(text) {
        Some(ms) => ms,
        None => timestamp::parse(text)?.since_1970()?.0,
    };
    (ms <= TIME_MS_MAX).then(|| UNIX_EPOCH + Duration::from_millis(ms))
}
