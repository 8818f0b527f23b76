//! Short forms of job ids in tables.
//!
//! Contains the function that shortens an id for a table, and the functions that find the whole id
//! from the short form.

use jobstore::JobId;

use crate::access::{Access, ListQuery};
use crate::filters::Filters;
use crate::problem::Problem;
use crate::progress::Bar;
use crate::row::Row;
use crate::store_args::GraphName;

/// The number of digits at the beginning of a generated id.
const NUMBER_DIGITS: usize = 19;
/// The length of a generated id: its digits and a UUID.
const GENERATED_ID_BYTES: usize = NUMBER_DIGITS + 36;
const ELLIPSIS: char = '\u{2026}';
/// The number of jobs read at a time when searching for an id.
const PAGE_JOBS: u64 = 10_000;

/// Returns the part that distinguishes an id from the graph's other ids, if the id has the form of
/// the GES API. A table shows this part after an ellipsis.
pub(crate) fn short_id(id: &str) -> Option<&str> {
    let digits = id.bytes().take(NUMBER_DIGITS).all(|b| b.is_ascii_digit());
    let is_generated = id.len() == GENERATED_ID_BYTES && digits;
    is_generated.then(|| id.get(NUMBER_DIGITS..)).flatten()
}

/// The number of characters after the ellipsis that are required to identify a job that is to be
/// changed.
const CHARS_TO_CHANGE_MIN: usize = 4;

/// Like [`job`], for a command that changes the job. Requires more characters, because a few might
/// be a typo.
pub(crate) fn job_to_change(
    access: &dyn Access,
    graph: &GraphName,
    given: &str,
) -> Result<(String, String), Problem> {
    let shown = Shown::parse(given);
    if shown.is_some_and(|shown| shown.end_chars() < CHARS_TO_CHANGE_MIN) {
        return Err(Problem::usage(
            format!("{given} is too short to identify a job to change"),
            format!(
                "give at least {CHARS_TO_CHANGE_MIN} characters after the ellipsis, or the whole id"
            ),
        ));
    }
    job(access, graph, given)
}

/// Finds a job, given its id or the short form that a table shows. Returns its whole id and its
/// line.
pub(crate) fn job(
    access: &dyn Access,
    graph: &GraphName,
    given: &str,
) -> Result<(String, String), Problem> {
    let Some(shown) = Shown::parse(given) else {
        given.parse::<JobId>()?;
        return access
            .job(graph, given)
            .map(|line| (given.to_owned(), line));
    };
    let mut missing = None;
    let mut try_id = |id: String| match access.job(graph, &id) {
        Ok(line) => Ok(Some((id, line))),
        // If one id was purged and another never existed, the purge is more useful to report.
        Err(problem @ Problem::NoJob { was_purged, .. }) => {
            if was_purged || missing.is_none() {
                missing = Some(problem);
            }
            Ok(None)
        }
        Err(problem) => Err(problem),
    };
    if shown.parts.len() == 1 {
        // A UUID can also be a whole id, chosen by the engine.
        if let Some(found) = try_id(given.to_owned())? {
            return Ok(found);
        }
    }
    if shown.is_end_of_id() {
        // Usually, the graph generated the id, so the graph's number completes it.
        if let Some(begin) = access.id_begin(graph)? {
            if let Some(found) = try_id(format!("{begin}{}", shown.end()))? {
                return Ok(found);
            }
        }
    }
    match search(access, graph, &shown)?.as_slice() {
        [] => Err(missing.unwrap_or_else(|| {
            Problem::failed(
                format!("no job in {graph} matches {given}"),
                "`jobstore list --newest-first` lists the newest jobs with their ids",
            )
        })),
        [id] => access.job(graph, id).map(|line| (id.clone(), line)),
        [first, second, ..] => Err(Problem::usage(
            format!("{given} is ambiguous: it matches {first} and {second}"),
            "give the whole id, as `jobstore list --format jsonl` shows it",
        )),
    }
}

/// Returns up to two ids of the graph that match this short form.
fn search(
    access: &dyn Access,
    graph: &GraphName,
    shown: &Shown<'_>,
) -> Result<Vec<String>, Problem> {
    let (filters, bar) = (Filters::default(), Bar::items("searching for the id"));
    let (mut found, mut cursor, mut searched) = (Vec::new(), None::<String>, 0);
    loop {
        let wanted = ListQuery {
            filters: &filters,
            offset: 0,
            limit: PAGE_JOBS,
            newest_first: true,
            cursor: cursor.as_deref(),
            count: false,
        };
        let page = access.page(graph, &wanted, &mut |line| {
            let id = Row::of(line)?.job_id;
            if found.len() < 2 && shown.matches(&id) {
                found.push(id);
            }
            Ok(())
        })?;
        searched += page.jobs;
        bar.at(searched, page.total);
        cursor = page.next;
        if cursor.is_none() || found.len() > 1 {
            bar.end();
            return Ok(found);
        }
    }
}

/// The short form of an id: its parts, with an ellipsis between them.
#[derive(Debug, PartialEq)]
struct Shown<'a> {
    parts: Vec<&'a str>,
}

impl<'a> Shown<'a> {
    /// Parses a short form. `None` if the text is invalid or can only be a whole id. Dots are
    /// accepted instead of an ellipsis, because an ellipsis is hard to type.
    fn parse(given: &'a str) -> Option<Shown<'a>> {
        let mut parts: Vec<&str> = Vec::new();
        for (n, part) in given.split([ELLIPSIS, '.']).enumerate() {
            // Only the first of several consecutive dots separates parts.
            if n == 0 || !part.is_empty() {
                parts.push(part);
            }
        }
        // Text that ends with an ellipsis is the beginning of an id.
        if given.ends_with([ELLIPSIS, '.']) {
            parts.push("");
        }
        let are_ids = |part: &&str| part.is_empty() || part.parse::<JobId>().is_ok();
        let is_cut = parts.len() > 1;
        let is_bare_end = given.len() == GENERATED_ID_BYTES - NUMBER_DIGITS;
        (parts.iter().all(are_ids) && (is_cut || is_bare_end)).then_some(Shown { parts })
    }

    fn end(&self) -> &'a str {
        self.parts.last().copied().unwrap_or_default()
    }

    /// Returns the number of characters after the last ellipsis. If the text ends with an ellipsis,
    /// returns the number before it.
    fn end_chars(&self) -> usize {
        let end = self.parts.iter().rev().find(|part| !part.is_empty());
        end.map_or(0, |end| end.chars().count())
    }

    /// Returns whether this is exactly what [`short_id`] keeps of an id.
    fn is_end_of_id(&self) -> bool {
        let before = &self.parts[..self.parts.len().saturating_sub(1)];
        before.concat().is_empty() && self.end().len() == GENERATED_ID_BYTES - NUMBER_DIGITS
    }

    fn matches(&self, id: &str) -> bool {
        // A table does not show the digits that identify the graph.
        let is_like = |id: &str| self.is_like(id);
        is_like(id) || short_id(id).is_some_and(is_like)
    }

    fn is_like(&self, id: &str) -> bool {
        let Some((end, before)) = self.parts.split_last() else {
            return false;
        };
        let Some((begin, middle)) = before.split_first() else {
            return id == *end;
        };
        let Some(mut rest) = id.strip_prefix(begin) else {
            return false;
        };
        for part in middle {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234567890123456789018f2c1a-7b1e-7c3d-9a4f-0123456789ab";
    const END: &str = "018f2c1a-7b1e-7c3d-9a4f-0123456789ab";

    #[test]
    fn only_an_id_of_the_services_form_is_shortened() {
        assert_eq!(short_id(ID), Some(END));
        assert_eq!(short_id("import-1"), None);
        assert_eq!(short_id(&ID[1..]), None);
    }

    #[test]
    fn whatever_a_table_shows_matches_its_id() {
        for given in [
            END.to_owned(),
            format!("\u{2026}{END}"),
            format!("...{END}"),
            "\u{2026}018f\u{2026}89ab".to_owned(),
            "12345\u{2026}789ab".to_owned(),
            "12345..789ab".to_owned(),
            "018f2c1a-7b1e\u{2026}".to_owned(),
            "018f2c1a..89ab".to_owned(),
            "1234567890123456789018f...".to_owned(),
        ] {
            let shown = Shown::parse(&given).unwrap();
            assert!(shown.matches(ID), "{given}: {shown:?}");
            assert!(!shown.matches("import-1"), "{given}");
            // A prefix matches any continuation.
            let is_begin = given.ends_with(['\u{2026}', '.']);
            assert!(is_begin || !shown.matches(&format!("{ID}x")), "{given}");
        }
    }

    #[test]
    fn a_whole_id_and_what_cannot_be_an_id_are_not_searched_for() {
        for given in [
            "import-1",
            ID,
            "",
            "no such id",
            "\u{2026}no such id",
            "a/b",
        ] {
            assert_eq!(Shown::parse(given), None, "{given}");
        }
    }
}
