//! The cases of `cases/cases.txt`, run through the Rust API. `.ci/capi` runs the same cases through
//! the other languages.

use std::time::{Duration, Instant};

use jobstore::{
    Body, Cancellation, Completion, Error, Graph, HistoryPoint, HistoryRequest, JobQuery, JobStore,
    OnBadLine, Options, Outcome, Request, Requeued, Result, Retention, Run, State, Submitted,
    TallyRequest,
};

const CASES: &str = include_str!("cases/cases.txt");

/// What a case has opened so far.
#[derive(Default)]
struct World {
    options: Options,
    store: Option<JobStore>,
    graph: Option<Graph>,
    run: Option<Run>,
    id: String,
    cursor: String,
    position: String,
}

#[test]
fn every_call_has_the_result_of_the_table() {
    let mut world = World::default();
    let mut lines = CASES.lines().enumerate();
    let mut calls = 0;
    while let Some((n, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts: Vec<&str> = line.split('\t').collect();
        if parts[0] == "case" {
            world = World::default();
            continue;
        }
        let (_, expected) = lines.next().unwrap();
        let args: Vec<String> = parts[1..].iter().map(|arg| world.expand(arg)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let got = match world.call(parts[0], &args) {
            Ok(result) => format!("= {}", result.replace('\n', "␤")),
            Err(error) => format!("! {}\t{}", error.code(), error.api_error().to_json()),
        };
        let mut expected = world.expand(expected);
        if expected.starts_with("! ") && !expected.contains('\t') {
            expected.push_str("\t…");
        }
        let at = n + 1;
        assert!(
            matches(&expected, &got),
            "line {at}: {line:.200}\nexpected {expected:.2000}\ngot      {got:.2000}"
        );
        calls += 1;
    }
    assert!(calls > 200, "{calls} calls");
}

/// Whether a text matches a pattern, in which … stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn patterns_match_what_they_should() {
    for (pattern, text, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("…", "", true),
        ("a…c", "abc", true),
        ("a…c", "abd", false),
        ("a…b…c", "axbyc", true),
        ("ab…b", "ab", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}

fn request(args: &[&str]) -> Result<Request> {
    let body = match args[2] {
        "" => Body::empty(),
        json => Body::from_json(json)?,
    };
    Request::new(args[0], args[1], body)
}

fn outcome(text: &str) -> Result<Outcome> {
    match text.starts_with('{') {
        true => Outcome::from_json(text),
        false => Outcome::from_json(&format!("{{\"kind\":\"{text}\"}}")),
    }
}

fn submitted(submitted: &Submitted) -> String {
    let created = matches!(submitted, Submitted::Created(_));
    if created { "created" } else { "exists" }.to_owned()
}

fn completed(done: &Completion) -> String {
    let is_done = matches!(done, Completion::Done);
    if is_done { "done" } else { "already_complete" }.to_owned()
}

impl World {
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('⟦') {
            let (repeated, after) = after.split_once('⟧').unwrap();
            let (text, times) = repeated.rsplit_once('*').unwrap();
            out.push_str(before);
            out.push_str(&text.repeat(times.parse().unwrap()));
            rest = after;
        }
        out.push_str(rest);
        out.replace("$id", &self.id)
            .replace("$cursor", &self.cursor)
            .replace("$position", &self.position)
    }

    fn store(&mut self) -> Result<&JobStore> {
        if self.store.is_none() {
            self.store = Some(self.options.clone().in_memory()?);
        }
        Ok(self.store.as_ref().unwrap())
    }

    fn open(&mut self, graph: impl FnOnce(&JobStore) -> Result<Graph>) -> Result<String> {
        self.graph = Some(graph(self.store()?)?);
        Ok("ok".to_owned())
    }

    fn list(&mut self, query: &str) -> Result<(usize, Vec<u8>)> {
        let request: jobstore::ListRequest = query.parse()?;
        let detailed = request.detailed;
        let page = self.graph.as_ref().unwrap().list_requested(request)?;
        self.cursor = page.next().map(|next| next.to_string()).unwrap_or_default();
        let json = match detailed {
            true => page.detailed_chunks().collect::<Result<Vec<_>>>()?.concat(),
            false => page.to_json()?,
        };
        Ok((page.len(), json))
    }

    fn call(&mut self, call: &str, args: &[&str]) -> Result<String> {
        let done = |()| "ok".to_owned();
        match call {
            "option" => {
                self.options = self.options.clone().set(args[0], args[1])?;
                return Ok("ok".to_owned());
            }
            "graph" => return self.open(|store| store.get_or_create_graph(args[0], args[1])),
            "create" => return self.open(|store| store.create_graph(args[0], args[1])),
            "get" => return self.open(|store| store.graph(args[0], args[1])),
            "drop" => return self.store()?.drop_graph(args[0], args[1]).map(done),
            "graphs" => {
                let graphs = self.store()?.graphs()?;
                let name = |graph: &Graph| {
                    let (project, name) = (graph.project_id(), graph.name());
                    format!("{{\"graphName\":\"{name}\",\"projectId\":\"{project}\"}}")
                };
                let names: Vec<_> = graphs.iter().map(name).collect();
                return Ok(format!("{{\"graphs\":[{}]}}", names.join(",")));
            }
            "health" => return Ok(self.store()?.health().to_json()),
            "close" => return self.store()?.close().map(done),
            "tally_all" => {
                let TallyRequest { query, by, .. } = args[0].parse()?;
                let store = self.store()?;
                return Ok(store.tally(&store.graphs()?, query, by)?.to_json());
            }
            "list" => {
                let (_, json) = self.list(args[0])?;
                return Ok(String::from_utf8(json).unwrap());
            }
            "size" => {
                let (jobs, json) = self.list(args[0])?;
                return Ok(format!("{jobs} {}", json.len()));
            }
            "run_free" => {
                self.run = None;
                return Ok("ok".to_owned());
            }
            "detach" => {
                self.run.take().unwrap().detach();
                return Ok("ok".to_owned());
            }
            _ => {}
        }
        let graph = self.graph.clone().unwrap();
        let run = self.run.as_ref();
        Ok(match call {
            "submit" => {
                self.id = graph.submit(request(args)?)?.as_str().to_owned();
                self.id.clone()
            }
            "submit_from" => {
                let request = request(&args[1..])?.with_origin(args[0])?;
                self.id = graph.submit(request)?.as_str().to_owned();
                self.id.clone()
            }
            "submit_as" => submitted(&graph.submit_as(args[0], request(&args[1..])?)?),
            "submit_once" => {
                let done = graph.submit_once(args[0], request(&args[1..])?)?;
                self.id = done.id().as_str().to_owned();
                submitted(&done)
            }
            "fill" => {
                let jobs: usize = args[0].parse().unwrap();
                for from in (0..jobs).step_by(1000) {
                    let numbers = from..jobs.min(from + 1000);
                    let bodies = numbers.map(|n| format!("{{\"n\":{n}}}"));
                    let requests = bodies.map(|body| request(&["fill", "/ges", &body]));
                    graph.submit_all(requests.collect::<Result<Vec<_>>>()?)?;
                }
                jobs.to_string()
            }
            "start" => graph.start(args[0]).map(done)?,
            "complete" => completed(&graph.complete(args[0], outcome(args[1])?)?),
            "cancel" => match graph.cancel(args[0])? {
                Cancellation::CancelledBeforeStart => "cancelled_before_start".to_owned(),
                Cancellation::Requested => "cancel_requested".to_owned(),
                Cancellation::AlreadyComplete(_) => "already_complete".to_owned(),
            },
            "cancel_all" => {
                let query: JobQuery = args[0].parse()?;
                let report = match args[1] {
                    "true" => graph.cancel_all_dry_run(query)?,
                    _ => graph.cancel_all(query)?,
                };
                report.to_json()
            }
            "claim" | "claim_next" => {
                let claimed = match args {
                    [id] => Some(graph.claim(id)?),
                    _ => graph.claim_next()?,
                };
                let id = claimed.as_ref().map(|run| run.id().as_str().to_owned());
                self.run = claimed;
                id.unwrap_or_else(|| "none".to_owned())
            }
            "run_origin" => {
                let request = run.unwrap().request();
                request.origin().unwrap_or_default().to_owned()
            }
            "run_request" => {
                let request = run.unwrap().request();
                let (command, url, body) = (request.command(), request.url(), request.body());
                format!("{command} {url} {body}")
            }
            "progress" => {
                run.unwrap().progress(args[0].parse().unwrap(), args[1]);
                "ok".to_owned()
            }
            "cancel_requested" => run.unwrap().cancel_requested().to_string(),
            "run_complete" => completed(&run.unwrap().complete(outcome(args[0])?)?),
            "requeue" => match run.unwrap().requeue()? {
                Requeued::Pending => "done".to_owned(),
                other => format!("{other:?}"),
            },
            "job" => match graph.job(args[0])? {
                Some(job) => job.to_json(),
                None => return Err(graph.list_one(args[0]).unwrap_err()),
            },
            "job_request" => graph.job(args[0])?.unwrap().request().as_json().to_owned(),
            "wait" => {
                let timeout = Duration::from_millis(args[1].parse().unwrap());
                let job = graph.wait(args[0], timeout)?;
                job.map_or("none".to_owned(), |job| job.to_json())
            }
            "wait_state" => {
                let deadline = Instant::now() + Duration::from_secs(60);
                while graph.job(args[0])?.unwrap().state().as_str() != args[1] {
                    assert!(Instant::now() < deadline);
                    std::thread::yield_now();
                }
                "ok".to_owned()
            }
            "count" => {
                let state = State::ALL
                    .into_iter()
                    .find(|state| state.as_str() == args[0]);
                let state = state.ok_or(Error::InvalidParameter {
                    problem: "a state".to_owned(),
                })?;
                graph.count(state)?.to_string()
            }
            "tally" => {
                let TallyRequest { query, by, .. } = args[0].parse()?;
                graph.tally(query, by)?.to_json()
            }
            "history" => {
                let asked: HistoryRequest = args[0].parse()?;
                let points = graph.history(asked.from, asked.to, asked.step)?;
                HistoryPoint::to_document(points).collect()
            }
            "find" => graph.find(&request(args)?)?.count().to_string(),
            "changes" => {
                let from = match args[0] {
                    "" => None,
                    position => Some(position.parse()?),
                };
                let mut changes = graph.changes(from.as_ref())?;
                let kinds = changes.by_ref().map(|change| Ok(change?.kind.as_str()));
                let kinds: Vec<&str> = kinds.collect::<Result<_>>()?;
                self.position = changes.position().to_string();
                kinds.join(" ")
            }
            "retention" => {
                let policy = match args[0] {
                    "" => None,
                    json => Some(Retention::from_json(json)?),
                };
                graph.set_retention(policy).map(done)?
            }
            "get_retention" => graph.retention().map_or("none".to_owned(), |p| p.to_json()),
            "purge" => {
                let query: JobQuery = args[0].parse()?;
                let purged = match args[1] {
                    "true" => graph.purge_dry_run(query)?,
                    _ => graph.purge(query)?,
                };
                purged.jobs.to_string()
            }
            "tombstone" => {
                let tombstone = graph.tombstone(args[0])?;
                tombstone.map_or("none".to_owned(), |tombstone| tombstone.to_json())
            }
            "export" => {
                let mut export = graph.export(args[0].parse()?)?;
                if args[1] == "true" {
                    export = export.reveal_secrets();
                }
                let mut lines = Vec::new();
                export.write_all(&mut lines)?;
                String::from_utf8(lines).unwrap()
            }
            "import" => {
                let lines = args[0].replace('␤', "\n");
                let on_bad_line = match args[1] {
                    "true" => OnBadLine::Skip,
                    _ => OnBadLine::Stop,
                };
                graph.import(lines.as_bytes(), on_bad_line)?.to_json()
            }
            other => panic!("unknown call {other}"),
        })
    }
}
