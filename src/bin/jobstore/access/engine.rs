//! A store that an engine has open, accessed through its control socket.
//!
//! Maps each operation to a route of the control socket. The engine keeps running, and the results
//! are the same as with direct access to the directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use jobstore::VerifyReport;
use jobstore::http::Control;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::socket::{Socket, SocketBody, SocketRequest, SocketResponse, broken};
use super::{
    Access, Cancelled, CancelledAll, CompletionArgs, EachLine, FeedQuery, FindQuery, HistoryQuery,
    Import, Imported, ListQuery, PageInfo, SCAN_STEP_TIME, ScanStep, TallyQuery,
};
use crate::filters::Filters;
use crate::output;
use crate::problem::Problem;
use crate::progress::Bar;
use crate::short_id::short_id;
use crate::store_args::GraphName;
use crate::tally::By;
use crate::when;

/// An engine that has a control socket.
pub(super) struct Engine {
    socket: Socket,
}

type Query = Vec<(&'static str, String)>;

impl Engine {
    /// Returns the engine that has this directory open. `None` if it has no control socket.
    pub(super) fn of(dir: &Path) -> Result<Option<Engine>, Problem> {
        let path = dir.join(Control::FILE_NAME);
        if !path.exists() {
            return Ok(None);
        }
        let socket = Socket::connect(path)?;
        Ok(Some(Engine { socket }))
    }

    fn ask<'s>(&'s self, request: SocketRequest<'_>) -> Result<SocketResponse<'s>, Problem> {
        self.socket.ask(request, &mut || {})
    }

    /// Sends a request whose response is one JSON object.
    fn object<T: DeserializeOwned>(&self, request: SocketRequest<'_>) -> Result<T, Problem> {
        self.object_meanwhile(request, &mut || {})
    }

    fn object_meanwhile<T: DeserializeOwned>(
        &self,
        request: SocketRequest<'_>,
        waiting: &mut dyn FnMut(),
    ) -> Result<T, Problem> {
        let text = self.socket.whole(request, waiting)?;
        Problem::parse_json("the response of the engine", &text)
    }

    /// Verifies the store, at low priority.
    pub(super) fn verify(&self) -> Result<VerifyReport, Problem> {
        let _bar = Bar::busy("the engine is verifying");
        self.object(SocketRequest::post(&["control", "verify"], ""))
    }

    fn each_line(response: SocketResponse<'_>, each: EachLine<'_>) -> Result<u64, Problem> {
        let mut lines = BufReader::new(response);
        let (mut line, mut count) = (String::new(), 0);
        loop {
            line.clear();
            let read = lines.read_line(&mut line).map_err(|e| broken(&e))?;
            if read == 0 {
                return Ok(count);
            }
            each(line.trim_end())?;
            count += 1;
        }
    }
}

fn query_of(list_query: &ListQuery<'_>) -> Query {
    let mut query = list_query.filters.query();
    query.push(("limit", list_query.limit.to_string()));
    if list_query.newest_first {
        query.push(("order", "newest_first".to_owned()));
    }
    if list_query.count {
        query.push(("count_total", "true".to_owned()));
    }
    match list_query.cursor {
        Some(cursor) => query.push(("cursor", cursor.to_owned())),
        None => query.push(("offset", list_query.offset.to_string())),
    }
    query
}

/// Returns the path of a route of this graph.
fn path<'a>(graph: &'a GraphName, rest: &[&'a str]) -> Vec<&'a str> {
    [&["control", "graphs", &graph.project, &graph.name], rest].concat()
}

fn flag(name: &'static str, on: bool) -> (&'static str, String) {
    (name, on.to_string())
}

impl Access for Engine {
    fn graphs(&self) -> Result<Vec<GraphName>, Problem> {
        #[derive(Deserialize)]
        struct Graphs {
            graphs: Vec<Named>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Named {
            project_id: String,
            name: String,
        }
        let there: Graphs = self.object(SocketRequest::get(&["control", "graphs"]))?;
        let names = there.graphs.into_iter().map(|named| GraphName {
            project: named.project_id,
            name: named.name,
        });
        Ok(names.collect())
    }

    fn graph_stats(&self) -> Result<Vec<String>, Problem> {
        #[derive(Deserialize)]
        struct Graphs {
            graphs: Vec<Box<RawValue>>,
        }
        let there: Graphs = self.object(SocketRequest::get(&["control", "graphs"]))?;
        let stats = there.graphs.iter().map(|graph| graph.get().to_owned());
        Ok(stats.collect())
    }

    fn page_of_all(
        &self,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem> {
        let mut query = query_of(list_query);
        query.retain(|(key, _)| *key != "offset");
        self.lines(&["control", "jobs"], query, each)
    }

    fn document(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        out: &mut dyn Write,
    ) -> Result<(), Problem> {
        let path = path(graph, &["list"]);
        let mut response = self.ask(SocketRequest::get(&path).query(query_of(list_query)))?;
        copy(&mut response, out, |_| {})
    }

    fn page(
        &self,
        graph: &GraphName,
        list_query: &ListQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<PageInfo, Problem> {
        self.lines(&path(graph, &["jobs"]), query_of(list_query), each)
    }

    fn job(&self, graph: &GraphName, id: &str) -> Result<String, Problem> {
        let path = path(graph, &["jobs", id]);
        let line = self.socket.whole(SocketRequest::get(&path), &mut || {})?;
        Ok(line.trim_end().to_owned())
    }

    fn wait(&self, graph: &GraphName, id: &str, time: Duration) -> Result<String, Problem> {
        let path = path(graph, &["jobs", id]);
        let ms = time.as_millis().max(1).to_string();
        let request = SocketRequest::get(&path).query([("wait_ms", ms)]);
        let line = self.socket.whole(request, &mut || {})?;
        Ok(line.trim_end().to_owned())
    }

    fn changes(
        &self,
        graph: &GraphName,
        feed_query: &FeedQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<(), Problem> {
        let mut query = vec![flag("follow", feed_query.follow)];
        if let Some(position) = feed_query.after {
            query.push(("after", position.to_owned()));
        }
        if let Some(ms) = feed_query.coalesce_ms {
            query.push(("coalesce", ms.to_string()));
        }
        let path = path(graph, &["changes"]);
        let response = self.ask(SocketRequest::get(&path).query(query))?;
        Engine::each_line(response, each).map(drop)
    }

    fn history(&self, graph: &GraphName, query: &HistoryQuery) -> Result<String, Problem> {
        let path = path(graph, &["history"]);
        let request = SocketRequest::get(&path).query([
            ("from", when::to_ms(query.from).to_string()),
            ("to", when::to_ms(query.to).to_string()),
            ("step_ms", query.step.as_millis().to_string()),
        ]);
        self.socket.whole(request, &mut || {})
    }

    fn tally(&self, graph: Option<&GraphName>, query: &TallyQuery<'_>) -> Result<String, Problem> {
        let _bar = Bar::busy("the engine is counting");
        let path = match graph {
            Some(graph) => path(graph, &["tally"]),
            None => vec!["control", "tally"],
        };
        let by = match query.by {
            By::State => "state",
            By::Outcome => "outcome",
            By::Command => "command",
            By::Origin => "origin",
            By::Submitted => "submitted",
            By::Completed => "completed",
        };
        let mut pairs = query.filters.query();
        pairs.push(("by", by.to_owned()));
        if query.by.has_periods() {
            pairs.push(("period_ms", query.period.as_millis().to_string()));
        }
        let request = SocketRequest::get(&path).query(pairs);
        self.socket.whole(request, &mut || {})
    }

    fn id_begin(&self, graph: &GraphName) -> Result<Option<String>, Problem> {
        let filters = Filters::default();
        for newest_first in [true, false] {
            let list_query = ListQuery {
                filters: &filters,
                offset: 0,
                limit: 1,
                newest_first,
                cursor: None,
                count: false,
            };
            let mut begin = None;
            self.page(graph, &list_query, &mut |line| {
                let id = crate::row::Row::of(line)?.job_id;
                begin = short_id(&id).map(|short| id[..id.len() - short.len()].to_owned());
                Ok(())
            })?;
            if begin.is_some() {
                return Ok(begin);
            }
        }
        Ok(None)
    }

    fn find(
        &self,
        graph: &GraphName,
        request: &str,
        limit: u64,
        each: EachLine<'_>,
    ) -> Result<u64, Problem> {
        let path = path(graph, &["find"]);
        let request = SocketRequest::post(&path, request.to_owned());
        let response = self.ask(request.query([("limit", limit.to_string())]))?;
        Engine::each_line(response, each)
    }

    fn search(
        &self,
        graph: &GraphName,
        find_query: &FindQuery<'_>,
        each: EachLine<'_>,
    ) -> Result<ScanStep, Problem> {
        let path = path(graph, &["find"]);
        let mut query = find_query.filters.query();
        query.push(("limit", find_query.limit.to_string()));
        query.push(("stop_after_ms", SCAN_STEP_TIME.as_millis().to_string()));
        if let Some(cursor) = find_query.cursor {
            query.push(("cursor", cursor.to_owned()));
        }
        let response = self.ask(SocketRequest::post(&path, "").query(query))?;
        let next = response.header("x-next-cursor").map(str::to_owned);
        let searched = response.header("x-searched").and_then(|searched| {
            let (looked_at, of) = searched.split_once('/')?;
            Some((looked_at.parse().ok()?, of.parse::<u64>().ok()?))
        });
        let (looked_at, of) = searched.unwrap_or_default();
        Ok(ScanStep {
            found: Engine::each_line(response, each)?,
            next,
            looked_at,
            left: of.saturating_sub(looked_at),
        })
    }

    fn complete(
        &self,
        graph: &GraphName,
        id: &str,
        completion: &CompletionArgs<'_>,
    ) -> Result<Option<String>, Problem> {
        #[derive(Deserialize)]
        struct Completed {
            completed: bool,
            outcome: Option<String>,
        }
        let mut body = json!({ "outcome": completion.kind.as_str() });
        if completion.says_why() {
            body["code"] = completion.code.into();
            body["message"] = completion.message.into();
        }
        let path = path(graph, &["jobs", id, "complete"]);
        let done: Completed = self.object(SocketRequest::post(&path, body.to_string()))?;
        Ok(match done.completed {
            true => None,
            false => Some(done.outcome.unwrap_or_default()),
        })
    }

    fn cancel(&self, graph: &GraphName, id: &str) -> Result<Cancelled, Problem> {
        #[derive(Deserialize)]
        struct Done {
            cancelled: String,
        }
        let path = path(graph, &["jobs", id, "cancel"]);
        let done: Done = self.object(SocketRequest::post(&path, ""))?;
        Ok(match &*done.cancelled {
            "beforeStart" => Cancelled::BeforeStart,
            "requested" => Cancelled::Requested,
            _ => Cancelled::AlreadyComplete,
        })
    }

    fn cancel_all(
        &self,
        graph: &GraphName,
        filters: &Filters,
        dry_run: bool,
        _: &mut dyn FnMut(u64),
    ) -> Result<CancelledAll, Problem> {
        let _bar = Bar::busy("the engine is canceling");
        let path = path(graph, &["cancel"]);
        let query = filters
            .query()
            .into_iter()
            .chain([flag("dry_run", dry_run)]);
        self.object(SocketRequest::post(&path, "").query(query))
    }

    fn export(
        &self,
        graph: &GraphName,
        filters: &Filters,
        reveal: bool,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<u64, Problem> {
        let first = ListQuery {
            filters,
            offset: 0,
            limit: 1,
            newest_first: false,
            cursor: None,
            count: false,
        };
        let of = self.page(graph, &first, &mut |_| Ok(()))?.total;
        let path = path(graph, &["export"]);
        let query = filters
            .query()
            .into_iter()
            .chain([flag("reveal_secrets", reveal)]);
        let mut response = self.ask(SocketRequest::get(&path).query(query))?;
        let mut jobs = 0;
        copy(&mut response, out, |piece| {
            jobs += piece.iter().filter(|&&byte| byte == b'\n').count() as u64;
            progress(jobs, of);
        })?;
        Ok(jobs)
    }

    fn import(
        &self,
        graph: &GraphName,
        lines: Box<dyn Read + Send>,
        how: Import,
        progress: &mut dyn FnMut(),
    ) -> Result<Imported, Problem> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Report {
            imported: u64,
            #[serde(default)]
            there: u64,
            #[serde(default)]
            secrets_left: u64,
            #[serde(default)]
            skipped: u64,
            #[serde(default)]
            bad_lines: Vec<BadLine>,
            #[serde(default)]
            created: bool,
        }
        #[derive(Deserialize)]
        struct BadLine {
            line: u64,
            problem: String,
        }
        let path = path(graph, &["import"]);
        let (body, failed) = SocketBody::read(lines);
        let request = SocketRequest {
            body,
            ..SocketRequest::post(&path, "")
        };
        let request = request.query([flag("create", true), flag("skip_bad", how.skip_bad)]);
        let done: Result<Report, Problem> = self.object_meanwhile(request, progress);
        if let Ok(error) = failed.try_recv() {
            return Err(Problem::failed(
                format!("cannot read the input: {error}"),
                "some of the lines before the error may have been imported; retry",
            ));
        }
        let done = done?;
        if done.created {
            output::note(&format!("created graph {graph}"));
        }
        let bad_lines = done.bad_lines.into_iter();
        Ok(Imported {
            imported: done.imported,
            there: done.there,
            secrets_left: done.secrets_left,
            bad: done.skipped,
            bad_lines: bad_lines.map(|bad| (bad.line, bad.problem)).collect(),
        })
    }

    fn purge_dry_run(&self, graph: &GraphName, filters: &Filters) -> Result<u64, Problem> {
        self.purged(graph, filters, true)
    }

    fn purge(
        &self,
        graph: &GraphName,
        filters: &Filters,
        _: &mut dyn FnMut(u64),
    ) -> Result<u64, Problem> {
        let _bar = Bar::busy("the engine is purging");
        self.purged(graph, filters, false)
    }

    fn backup(
        &self,
        to: &Path,
        links: bool,
        _: &mut dyn FnMut(u64, u64),
    ) -> Result<(u64, u64), Problem> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Done {
            bytes: u64,
            #[serde(default)]
            linked_bytes: u64,
        }
        let _bar = Bar::busy("the engine is copying");
        let Some(text) = to.to_str() else {
            return Err(Problem::usage(
                format!(
                    "the path {} is not valid UTF-8, which the engine requires",
                    to.display()
                ),
                "choose another directory",
            ));
        };
        let body = json!({ "to": text, "link": links }).to_string();
        let done: Done = self.object(SocketRequest::post(&["control", "backup"], body))?;
        Ok((done.bytes, done.linked_bytes))
    }

    fn stats(&self) -> Result<String, Problem> {
        self.socket
            .whole(SocketRequest::get(&["control", "stats"]), &mut || {})
    }

    fn opens(&self) -> Option<u64> {
        None
    }

    fn close(&self) -> Result<(), Problem> {
        Ok(())
    }
}

impl Engine {
    /// Passes the lines of a page to `each`.
    fn lines(&self, path: &[&str], query: Query, each: EachLine<'_>) -> Result<PageInfo, Problem> {
        let response = self.ask(SocketRequest::get(path).query(query))?;
        let number = |name| response.header(name).and_then(|number| number.parse().ok());
        let shown = PageInfo {
            jobs: 0,
            total: number("x-total-count"),
            next: response.header("x-next-cursor").map(str::to_owned),
            quarantined: number("x-quarantined").unwrap_or_default(),
        };
        let jobs = Engine::each_line(response, each)?;
        Ok(PageInfo { jobs, ..shown })
    }

    fn purged(&self, graph: &GraphName, filters: &Filters, dry: bool) -> Result<u64, Problem> {
        #[derive(Deserialize)]
        struct Done {
            jobs: u64,
        }
        let path = path(graph, &["purge"]);
        let query = filters.query().into_iter().chain([flag("dry_run", dry)]);
        let done: Done = self.object(SocketRequest::post(&path, "").query(query))?;
        Ok(done.jobs)
    }
}

/// Copies a response to the output, piece by piece.
fn copy(
    response: &mut SocketResponse<'_>,
    out: &mut dyn Write,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Problem> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let bytes = response.read(&mut piece).map_err(|e| broken(&e))?;
        if bytes == 0 {
            return out.flush().map_err(|e| Problem::output(&e));
        }
        out.write_all(&piece[..bytes])
            .map_err(|e| Problem::output(&e))?;
        each(&piece[..bytes]);
    }
}
