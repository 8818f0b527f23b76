//! HTTP reads in a life. Each response must match the model byte for byte.
//!
//! Contains the requests, and the expected documents and errors.

use jobstore::State;

use crate::life::{Finding, Life, Ran};
use crate::model::{Job, Name};
use crate::observed::{NAMES, PROJECTS, Seen};
use crate::operations::{Look, Pick};
use crate::reads::{document, expected};
use crate::requests::Content;
use crate::secrets::Keys;
use crate::texts;
use crate::web::{self, Answer, Ask, encoded};

/// Returns the URL of a graph, below the common prefix of its routes.
pub fn of_graph(start: &str, name: Name) -> String {
    let (project, graph) = (PROJECTS[name.0], encoded(NAMES[name.1]));
    match start {
        "/control" => format!("/control/graphs/{project}/{graph}"),
        start => format!("{start}/{project}/graphs/{graph}"),
    }
}

pub const API: &str = "/ges/v1.0";

/// Returns the filter of a look as query parameters.
pub fn filter_query(look: &Look, right_ms: u64) -> String {
    let mut query = String::new();
    let states: Vec<&str> = State::ALL
        .iter()
        .zip([1, 2, 4])
        .filter(|(_, bit)| look.states & bit != 0)
        .map(|(state, _)| state.as_str())
        .collect();
    let mut add = |key: &str, value: &str| {
        query.push_str(&format!("&{key}={}", encoded(value)));
    };
    // The words are separated by commas, or the parameter is repeated.
    match look.number % 2 {
        0 if !states.is_empty() => add("state", &states.join(",")),
        _ => states.iter().for_each(|state| add("state", state)),
    }
    let at = right_ms.saturating_sub(3_600_000).to_string();
    let n = look.number;
    match look.filter {
        0 => add("outcome", "cancelled"),
        1 => add("command", "pagerank"),
        2 => add("url_prefix", &format!("/ges/v1.0/10001/action?n={}", n % 7)),
        3 => add("url_contains", &format!("?n={}", n % 7)),
        4 => add("body_contains", &format!("\"n\":{n},")),
        5 => {
            add("body_pointer", "/n");
            add("body_value", &n.to_string());
        }
        6 => add("submitted_from", &at),
        7 => add("submitted_before", &at),
        8 => add("completed_before", &at),
        9 => {
            add("outcome", "failed");
            add("command", "import_graph");
        }
        10 => add("origin", &format!("user {}", n % 5)),
        _ => {}
    }
    query
}

fn failure(message: &str, code: &str) -> String {
    let message = message.replace('\\', "\\\\").replace('"', "\\\"");
    format!(r#"{{"errorMessage":"{message}","errorCode":"{code}","result":"failed"}}"#)
}

impl Life {
    pub fn ask(&self, ask: &Ask) -> Result<Answer, Finding> {
        let routes = match ask.path.starts_with("/control") {
            true => web::control(self.store()),
            false => web::routes(self.store()),
        };
        web::ask(routes, ask)
    }

    /// Requests a document. `None` if a fault explains that there is none.
    fn get(&self, path: String, encoding: u8) -> Result<Option<(Answer, Vec<u8>)>, Finding> {
        let ask = Ask {
            method: "GET",
            path,
            encoding,
            ..Ask::default()
        };
        self.document(&ask)
    }

    pub fn document(&self, ask: &Ask) -> Result<Option<(Answer, Vec<u8>)>, Finding> {
        let what = || format!("{} {}", ask.method, ask.path);
        let mut answer = self.ask(ask)?;
        match (answer.status, answer.body.take()) {
            (200, Some(body)) => Ok(Some((answer, body))),
            (_, body) => {
                answer.body = body;
                self.excuse_answer(&what(), &answer)?;
                Ok(None)
            }
        }
    }

    /// Accepts a response if faults explain it.
    pub fn excuse_answer(&self, what: &str, answer: &Answer) -> Ran {
        let refusal = answer.refusal();
        match refusal.name.as_str() {
            "Unavailable" if self.is_excused() || self.has_index_fault() => Ok(true),
            "Io" if self.has_index_fault() => Ok(true),
            _ => self.excuse_as(what, &refusal),
        }
    }

    /// Returns jobs as the store's own calls return them, each compared with the model. `None` if a
    /// job is unreadable and a fault explains this.
    pub fn seen(&self, name: Name, jobs: &[(u64, &Job)]) -> Result<Option<Vec<Seen>>, Finding> {
        let Some(graph) = self.handle(name) else {
            return Ok(None);
        };
        let mut all = Vec::with_capacity(jobs.len());
        for (sequence, job) in jobs {
            let Some(id) = &job.id else {
                return Ok(None);
            };
            match graph.job(&**id) {
                Ok(Some(found)) => {
                    let seen = Seen::of(&found);
                    if let Some(what) = seen.differs(*sequence, job) {
                        return Err(what);
                    }
                    all.push(seen);
                }
                Ok(None) => return Err(format!("job {id} is not found by its id")),
                Err(error) => {
                    self.excuse("job", &error)?;
                    return Ok(None);
                }
            }
        }
        Ok(Some(all))
    }

    fn same(&self, what: &str, body: &[u8], expected: &str) -> Result<(), Finding> {
        if body == expected.as_bytes() {
            return Ok(());
        }
        let at = body.iter().zip(expected.as_bytes());
        let at = at.take_while(|(a, b)| a == b).count();
        let part = |bytes: &[u8]| {
            let from = at.saturating_sub(60);
            let part = bytes.get(from..(at + 120).min(bytes.len()));
            String::from_utf8_lossy(part.unwrap_or_default()).into_owned()
        };
        Err(format!(
            "{what}: {} bytes, not {}; they differ from byte {at} on: ..{}.. is not ..{}..",
            body.len(),
            expected.len(),
            part(body),
            part(expected.as_bytes())
        ))
    }

    /// Requests a page of the list: plain, detailed, or as lines.
    pub fn http_list(&mut self, look: &Look) -> Ran {
        let Some((name, _)) = self.pick_graph(look.graph) else {
            return Ok(false);
        };
        let right = self.clock.right_ms();
        let all = expected(&self.model.graphs[&name], look, right);
        let total = all.len();
        let (offset, limit) = (usize::from(look.offset), usize::from(look.limit));
        let shown: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
        let is_detailed = look.filter % 3 == 1 && shown.len() <= 200;
        let start = match look.number % 5 {
            0 => "/control",
            _ => API,
        };
        let has_lines = start != API && look.filter % 3 == 2 && shown.len() <= 200;
        let end = match (start, has_lines) {
            (API, _) => "jobs/status",
            (_, false) => "list",
            (_, true) => "jobs",
        };
        let mut path = format!(
            "{}/{end}?offset={offset}&limit={limit}{}",
            of_graph(start, name),
            filter_query(look, right)
        );
        for (wanted, parameter) in [
            (look.newest, "&order=newest_first"),
            (look.number % 2 == 0, "&count_total=true"),
            (is_detailed, "&detail=true"),
        ] {
            path.push_str(if wanted { parameter } else { "" });
        }
        if look.number % 11 == 0 {
            return self.http_gone_client(path);
        }
        let Some((answer, body)) = self.get(path.clone(), look.filter)? else {
            return Ok(true);
        };
        let found = answer.header("x-total-count").map(str::to_owned);
        if found
            .as_ref()
            .is_some_and(|found| *found != total.to_string())
        {
            return Err(format!("GET {path}: the total is {found:?}, not {total}"));
        }
        if found.is_none() && look.number % 2 == 0 {
            return Err(format!("GET {path}: no total"));
        }
        let content_type = match has_lines {
            true => "application/x-ndjson",
            false => "application/json",
        };
        if answer.header("content-type") != Some(content_type) {
            return Err(format!("GET {path}: {:?}", answer.headers));
        }
        if !is_detailed && !has_lines {
            return self.same(&path, &body, &document(&shown)).map(|()| true);
        }
        let Some(seen) = self.seen(name, &shown)? else {
            return Ok(true);
        };
        let keys = self.setup.secrets.keys;
        if has_lines {
            let lines = seen
                .iter()
                .map(|s| texts::line_with_progress(s, keys) + "\n");
            return self
                .same(&path, &body, &lines.collect::<String>())
                .map(|()| true);
        }
        let jobs: Vec<_> = seen
            .iter()
            .map(|s| texts::detailed_entry(s, keys))
            .collect();
        let mut text = format!(r#"{{"jobs":[{}],"result":"success""#, jobs.join(","));
        if let Some(found) = found {
            text.push_str(&format!(r#","totalCount":{found}"#));
        }
        if let Some(next) = answer.header("x-next-cursor") {
            text.push_str(&format!(r#","nextCursor":"{next}""#));
        }
        text.push('}');
        self.same(&path, &body, &text).map(|()| true)
    }

    /// Simulates a client that disconnects in the middle of a response.
    fn http_gone_client(&self, path: String) -> Ran {
        let ask = Ask {
            method: "GET",
            path,
            pieces_max: Some(1),
            ..Ask::default()
        };
        let answer = self.ask(&ask)?;
        match answer.status {
            200 => Ok(true),
            _ => self.excuse_answer(&ask.path, &answer),
        }
    }

    /// Requests the whole list, page by page, by cursors.
    pub fn http_walk(&mut self, look: &Look) -> Ran {
        let Some((name, _)) = self.pick_graph(look.graph) else {
            return Ok(false);
        };
        let right = self.clock.right_ms();
        let model = &self.model.graphs[&name];
        let all = expected(model, look, right);
        let limit = usize::from(look.limit).max(20);
        let order = if look.newest {
            "&order=newest_first"
        } else {
            ""
        };
        let path = format!(
            "{}/jobs/status?limit={limit}{order}{}",
            of_graph(API, name),
            filter_query(look, right)
        );
        let (mut cursor, mut at) = (String::new(), 0);
        for _ in 0..(2 * all.len() / limit + model.next as usize / 256 + 4) {
            let asked = format!("{path}{cursor}");
            let Some((answer, body)) = self.get(asked.clone(), look.filter)? else {
                return Ok(true);
            };
            // A page may end early. The cursor shows whether there are more jobs.
            let next = answer.header("x-next-cursor").map(encoded);
            let text = String::from_utf8_lossy(&body);
            let count = text.matches(r#"{"jobId":""#).count();
            let shown = all.get(at..(at + count).min(all.len())).unwrap_or_default();
            self.same(&asked, &body, &document(shown))?;
            at += count;
            match next {
                Some(next) => cursor = format!("&cursor={next}"),
                None if at == all.len() => return Ok(true),
                None => return Err(format!("GET {asked}: {at} jobs, not {}", all.len())),
            }
        }
        Err(format!("GET {path}: the cursors never end"))
    }

    /// Requests every document about some jobs.
    pub fn http_jobs(&mut self, pick: Pick) -> Ran {
        let mut ran = false;
        for n in 0..6 {
            ran |= self.http_job(pick.wrapping_add(n * 7_919))?;
        }
        Ok(ran)
    }

    fn http_job(&self, pick: Pick) -> Ran {
        let state = [State::Pending, State::Running, State::Complete][usize::from(pick) % 3];
        let Some((name, _, sequence, job)) = self.pick_job(pick, state) else {
            return Ok(false);
        };
        let Some(seen) = self.seen(name, &[(sequence, &job)])? else {
            return Ok(false);
        };
        let Some(seen) = seen.into_iter().next() else {
            return Ok(false);
        };
        let keys = self.setup.secrets.keys;
        let (api, control) = (of_graph(API, name), of_graph("/control", name));
        let id = &seen.id;
        for (path, text) in [
            (
                format!("{api}/jobs/{id}/status?offset=1&limit=2"),
                texts::state_document(&seen, keys),
            ),
            (
                format!("{api}/jobs/status?job_id={id}"),
                document(&[(sequence, &job)]),
            ),
            (
                format!("{control}/jobs/{id}"),
                texts::line_with_progress(&seen, keys),
            ),
        ] {
            if let Some((_, body)) = self.get(path.clone(), 0)? {
                self.same(&path, &body, &text)?;
            }
        }
        Ok(true)
    }

    /// Requests exported lines.
    pub fn http_export(&mut self, look: &Look) -> Ran {
        let Some((name, _)) = self.pick_graph(look.graph) else {
            return Ok(false);
        };
        let right = self.clock.right_ms();
        let all = expected(&self.model.graphs[&name], look, right);
        if all.len() > 300 {
            return Ok(false);
        }
        let order = if look.newest {
            "&order=newest_first"
        } else {
            ""
        };
        let path = format!(
            "{}/export?{}{order}",
            of_graph("/control", name),
            filter_query(look, right)
        );
        let Some((_, body)) = self.get(path.clone(), look.filter)? else {
            return Ok(true);
        };
        let Some(seen) = self.seen(name, &all)? else {
            return Ok(true);
        };
        let keys = self.setup.secrets.keys;
        let text: String = seen.iter().map(|s| texts::line(s, keys) + "\n").collect();
        self.same(&path, &body, &text).map(|()| true)
    }

    /// Finds jobs by their whole request.
    pub fn http_find(&mut self, pick: Pick, content: Content) -> Ran {
        let Some((name, _)) = self.pick_graph(pick) else {
            return Ok(false);
        };
        let (wanted, mut found) = self.jobs_to_find(name, pick, content);
        found.truncate(20);
        let ask = Ask {
            method: "POST",
            path: format!("{}/find?limit=20", of_graph("/control", name)),
            body: wanted.text(Keys(0)),
            ..Ask::default()
        };
        let Some((_, body)) = self.document(&ask)? else {
            return Ok(true);
        };
        let Some(seen) = self.seen(name, &found)? else {
            return Ok(true);
        };
        let keys = self.setup.secrets.keys;
        let text: String = seen.iter().map(|s| texts::line(s, keys) + "\n").collect();
        self.same(&ask.path, &body, &text).map(|()| true)
    }

    /// Requests counts, names, and the state of the store.
    pub fn http_store(&mut self) -> Ran {
        // Metrics show only some graphs, in the order of their names. With this limit, all are
        // shown.
        if let Some((_, body)) = self.get("/metrics?graphs=500".to_owned(), 0)? {
            let text = String::from_utf8_lossy(&body);
            // Without its index or its files, the store may have no statistics, and then reports
            // this.
            let is_excused = self.has_index_fault() || self.is_excused();
            if text.contains("\njobstore_stats_up 0\n") && is_excused {
                return Ok(true);
            }
            for (&name, graph) in &self.model.graphs {
                for state in State::ALL {
                    let line = format!(
                        "jobstore_jobs{{project=\"{}\",graph=\"{}\",state=\"{state}\"}} {}",
                        PROJECTS[name.0],
                        NAMES[name.1],
                        graph.count(state)
                    );
                    if !text.lines().any(|found| found == line) {
                        return Err(format!("GET /metrics has no line {line}"));
                    }
                }
            }
        }
        let health = self.store().health();
        let ask = Ask {
            method: "GET",
            path: "/health".to_owned(),
            ..Ask::default()
        };
        let answer = self.ask(&ask)?;
        let state = health.as_str();
        let status = match state {
            "ok" | "degraded" => 200,
            _ => 503,
        };
        let text = answer.text();
        if answer.status != status || !text.contains(&format!(r#""state":"{state}""#)) {
            return Err(format!(
                "GET /health: {} {text}, not {state}",
                answer.status
            ));
        }
        let verify = Ask {
            method: "POST",
            path: "/control/verify".to_owned(),
            ..Ask::default()
        };
        if let Some((_, body)) = self.document(&verify)? {
            match self.store().scrub() {
                // A fault may have affected one of the two reports.
                _ if self.is_excused() || self.has_index_fault() => {}
                Ok(report) => self.same(&verify.path, &body, &report.to_json())?,
                Err(error) => return self.excuse("scrub", &error),
            }
        }
        if let Some((_, body)) = self.get("/control/graphs".to_owned(), 0)? {
            // The graphs are listed in the order of their creation.
            let mut graphs: Vec<_> = self.model.graphs.iter().collect();
            graphs.sort_by_key(|(_, graph)| graph.serial);
            let mut documents = Vec::new();
            for (&name, _) in graphs {
                match self.handle(name).map(|graph| graph.stats()) {
                    None => return Err(format!("{name:?} is not there")),
                    Some(Ok(stats)) => documents.push(stats.to_json()),
                    Some(Err(error)) => return self.excuse("statistics", &error),
                }
            }
            let text = format!(r#"{{"graphs":[{}]}}"#, documents.join(","));
            self.same("/control/graphs", &body, &text)?;
        }
        Ok(true)
    }

    /// Makes requests that must be refused with the API's messages.
    pub fn http_refusals(&mut self, pick: Pick) -> Ran {
        let name = (usize::from(pick) % 2, usize::from(pick / 2) % 3);
        let of_graph = of_graph(API, name);
        let is_there = self.model.graphs.contains_key(&name);
        let list = format!("{of_graph}/jobs/status");
        let no_graph = failure(&format!("graph : {} not exist", NAMES[name.1]), "GES.8000");
        let unknown = match is_there {
            true => failure("can not find job, jobId is nobody", "GES.8301"),
            false => no_graph.clone(),
        };
        let to_cancel = match is_there {
            true => failure("can not find job to cancel, id is nobody", "GES.8303"),
            false => no_graph.clone(),
        };
        let limit = failure(
            "invalid value \"0\" for parameter limit: it must be an integer from 1 to 100000; \
             correct or omit it",
            "GES.8000",
        );
        let method = failure(
            "method not allowed; the Allow header lists the allowed methods",
            "GES.8000",
        );
        let path = failure("no such resource", "GES.8000");
        for (method, path, status, text) in [
            (
                "GET",
                format!("{of_graph}/jobs/nobody/status"),
                400,
                &unknown,
            ),
            ("GET", format!("{list}?job_id=nobody"), 400, &unknown),
            ("DELETE", format!("{of_graph}/jobs/nobody"), 400, &to_cancel),
            ("GET", format!("{list}?limit=0"), 400, &limit),
            ("POST", list.clone(), 405, &method),
            ("GET", "/ges/v1.0/10001".to_owned(), 404, &path),
        ] {
            let ask = Ask {
                method,
                path,
                ..Ask::default()
            };
            let answer = self.ask(&ask)?;
            let what = format!("{method} {}", ask.path);
            if answer.status != status || answer.body.as_deref() != Some(text.as_bytes()) {
                self.excuse_answer(&what, &answer).map_err(|_| {
                    format!("{what}: {} {}, not {text}", answer.status, answer.text())
                })?;
            }
        }
        if !is_there {
            let (_, body) = match self.get(list.clone(), 0) {
                Ok(Some(found)) => found,
                _ => return Ok(true),
            };
            return Err(format!("GET {list}: {}", String::from_utf8_lossy(&body)));
        }
        Ok(true)
    }
}
