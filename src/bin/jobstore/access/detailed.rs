//! The list's document with what is known of each job, read as it comes.
//!
//! Owns: from that document to lines as an export has them. Must not know: sockets.
//! Promise: one job in memory at a time; requests and outcomes to the letter; a document
//! that is not whole is an error.

use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{EachLine, Shown};
use crate::problem::Problem;

/// Reads a document and gives each of its jobs as its line.
pub(super) fn read(from: impl Read, each: EachLine<'_>) -> Result<Shown, Problem> {
    let mut reading = Reading {
        each,
        shown: Shown::default(),
        stopped: None,
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(from));
    let read = (&mut reading)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    match (reading.stopped, read) {
        (Some(problem), _) => Err(problem),
        (None, Ok(())) => Ok(reading.shown),
        (None, Err(e)) => Err(Problem::failed(
            // serde's words may quote the document.
            format!(
                "the engine's answer ended or broke off at column {}",
                e.column()
            ),
            "look at the engine's log, and do it again",
        )),
    }
}

struct Reading<'e> {
    each: EachLine<'e>,
    shown: Shown,
    /// Why it was not read on.
    stopped: Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for &mut Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of jobs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "jobs" => map.next_value_seed(Jobs(&mut *self))?,
                "totalCount" => self.shown.total = Some(map.next_value()?),
                "nextCursor" => self.shown.next = Some(map.next_value()?),
                "setAside" => self.shown.set_aside = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Jobs<'r, 'e>(&'r mut Reading<'e>);

impl<'de> DeserializeSeed<'de> for Jobs<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Jobs<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("jobs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut jobs: A) -> Result<(), A::Error> {
        while let Some(job) = jobs.next_element::<Detailed>()? {
            self.0.shown.jobs += 1;
            if let Err(problem) = (self.0.each)(&job.line()) {
                self.0.stopped = Some(problem);
                return Err(serde::de::Error::custom("nobody reads on"));
            }
        }
        Ok(())
    }
}

/// A job of that document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detailed {
    job_id: String,
    status: String,
    request: Box<RawValue>,
    #[serde(default)]
    redacted: bool,
    #[serde(default)]
    cancel_requested: bool,
    outcome: Option<Box<RawValue>>,
    progress: Option<u8>,
    progress_text: Option<String>,
    submit_time: Option<u64>,
    start_time: Option<u64>,
    end_time: Option<u64>,
}

impl Detailed {
    /// As an export has it, and with its progress.
    fn line(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut line = format!(
            r#"{{"jobId":{},"status":{},"request":{}"#,
            quoted(&self.job_id),
            quoted(&self.status),
            self.request.get()
        );
        if self.redacted {
            line.push_str(r#","redacted":true"#);
        }
        if self.cancel_requested {
            line.push_str(r#","cancelRequested":true"#);
        }
        if let Some(outcome) = &self.outcome {
            line.push_str(&format!(r#","outcome":{}"#, outcome.get()));
        }
        if let Some(percent) = self.progress {
            let text = quoted(self.progress_text.as_deref().unwrap_or_default());
            line.push_str(&format!(
                r#","progress":{{"percent":{percent},"text":{text}}}"#
            ));
        }
        for (name, ms) in [
            ("submittedAt", self.submit_time),
            ("startedAt", self.start_time),
            ("finishedAt", self.end_time),
        ] {
            if let Some(ms) = ms {
                line.push_str(&format!(r#","{name}":{ms}"#));
            }
        }
        line.push('}');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"{"command":"c","url":"/","body":{"b":1.0,"a":[]}}"#;

    fn lines(document: &str) -> Result<(Vec<String>, Shown), Problem> {
        let mut lines = Vec::new();
        let shown = read(document.as_bytes(), &mut |line| {
            lines.push(line.to_owned());
            Ok(())
        })?;
        Ok((lines, shown))
    }

    #[test]
    fn jobs_become_lines_as_an_export_has_them() {
        let document = format!(
            r#"{{"jobs":[{{"jobId":"a","status":"complete","request":{REQUEST},"submitTime":1,
            "startTime":2,"endTime":3,"failReason":"x","outcome":{{"kind":"failed"}}}},
            {{"jobId":"b","status":"running","request":{REQUEST},"submitTime":1,"progress":5,
            "progressText":"\"it\"","cancelRequested":true,"new":{{}}}}],
            "result":"success","totalCount":7,"nextCursor":"02","setAside":1}}"#
        );
        let (lines, shown) = lines(&document).unwrap();
        let first = format!(
            r#"{{"jobId":"a","status":"complete","request":{REQUEST},"outcome":{{"kind":"failed"}},"submittedAt":1,"startedAt":2,"finishedAt":3}}"#
        );
        assert_eq!(lines[0], first);
        assert!(
            lines[1].contains(r#""cancelRequested":true,"progress":{"percent":5,"text":"\"it\""}"#)
        );
        let next = shown.next.as_deref();
        assert_eq!(
            (shown.jobs, shown.total, next, shown.set_aside),
            (2, Some(7), Some("02"), 1)
        );
    }

    #[test]
    fn a_document_that_is_not_whole_is_an_error_without_its_text() {
        let whole = format!(
            r#"{{"jobs":[{{"jobId":"canary","status":"pending","request":{REQUEST}}}],"result":"success"}}"#
        );
        assert!(lines(&whole).is_ok());
        for end in 0..whole.len() {
            let Err(Problem::Failed { what, .. }) = lines(&whole[..end]) else {
                panic!("{end} bytes were taken for all");
            };
            assert!(!what.contains("canary"));
        }
    }
}
