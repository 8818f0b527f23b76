// The filters of a query: state, outcome, and the parts of the request.

use super::JobQuery;
use crate::model::outcome::OutcomeKind;
use crate::model::request_filter::Needle;
use crate::model::states::State;

impl JobQuery {
    /// Selects jobs in this state. If this is called more than once, jobs in any of the given
    /// states match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request, State};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.cancel(movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?)?;
    /// movie.start(&id)?;
    /// let open = JobQuery::new().state(State::Pending).state(State::Running);
    /// assert_eq!(movie.list(open)?.total(), Some(1));
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn state(mut self, state: State) -> JobQuery {
        self.states = self.states.with(state);
        self
    }

    /// Selects jobs that completed with this kind of outcome. If this is called more than once,
    /// jobs with any of the given kinds match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Outcome, OutcomeKind, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let run = movie.claim(&id)?;
    /// run.complete(Outcome::partially_failed("GES.8011", "3 lines were no edges"))?;
    /// // What needs attention?
    /// let list = JobQuery::new().outcome(OutcomeKind::Failed).outcome(OutcomeKind::PartiallyFailed);
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn outcome(mut self, kind: OutcomeKind) -> JobQuery {
        self.filter.add_outcome(kind);
        self
    }

    /// Selects jobs with exactly this command. If this is called more than once, jobs with any of
    /// the given commands match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// # let id = movie.submit(Request::new("clear_graph", "/ges", Body::empty())?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let list = JobQuery::new().command("clear_graph").command("import_graph");
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// assert!(movie.list(JobQuery::new().command("clear"))?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn command(mut self, command: impl Into<String>) -> JobQuery {
        self.filter.texts.commands.push(command.into());
        self
    }

    /// Selects jobs whose request has exactly this [origin](crate::Request::with_origin). If this is
    /// called more than once, jobs with any of the given origins match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let request = Request::new("clear_graph", "/ges", Body::empty())?;
    /// movie.submit(request.clone().with_origin("alice")?)?;
    /// movie.submit(request)?;
    /// assert_eq!(movie.list(JobQuery::new().origin("alice"))?.len(), 1);
    /// assert!(movie.list(JobQuery::new().origin("ali"))?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> JobQuery {
        self.filter.texts.origins.push(origin.into());
        self
    }

    /// Selects jobs whose URL starts with this string. If this is called more than once, jobs whose
    /// URL starts with any of the given strings match.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    /// let body = r#"{"edgesetPath": "obs/a \"b\".csv", "parallel": {"edge": 8}}"#;
    /// movie.submit(Request::new("import_graph", url, Body::from_json(body)?)?)?;
    ///
    /// // The id is lost, and only parts of the request are known.
    /// let list = JobQuery::new()
    ///     .newest_first()
    ///     .url_prefix("/ges/v1.0/10001/")
    ///     .url_contains("action_id=import")
    ///     .body_contains("edgesetPath")
    ///     .body_value("/parallel/edge", "8")
    ///     .body_value("/edgesetPath", r#""obs/a \u0022b\u0022.csv""#);
    /// assert_eq!(movie.list(list.limit(1))?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn url_prefix(mut self, text: impl Into<String>) -> JobQuery {
        self.filter.texts.url_prefixes.push(Needle(text.into()));
        self
    }

    /// Selects jobs whose URL contains this string. If this is called more than once, the URL must
    /// contain every given string.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let url = "/ges/v1.0/10001/graphs/movie/action?action_id=import-graph";
    /// movie.submit(Request::new("import_graph", url, Body::empty())?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let list = JobQuery::new().url_contains("/movie/").url_contains("action_id=import");
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn url_contains(mut self, text: impl Into<String>) -> JobQuery {
        self.filter.texts.in_url.push(Needle(text.into()));
        self
    }

    /// Selects jobs whose body contains this string in its JSON text. If this is called more than
    /// once, the body must contain every given string. The JSON text is searched as lists show it:
    /// without white space between values, with the escapes of the request, and with `"******"` in
    /// place of secret values. [`JobQuery::body_value`] finds a value regardless of how it is
    /// escaped.
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{ "path": "obs/edges.csv" }"#)?;
    /// movie.submit(Request::new("import_graph", "/ges", body)?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// assert_eq!(movie.list(JobQuery::new().body_contains("edges.csv"))?.len(), 1);
    /// assert_eq!(movie.list(JobQuery::new().body_contains(r#""path":"obs/"#))?.len(), 1);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn body_contains(mut self, text: impl Into<String>) -> JobQuery {
        self.filter.texts.in_body.push(Needle(text.into()));
        self
    }

    /// Selects jobs whose body contains this JSON value at the given JSON pointer (RFC 6901), such
    /// as `/parallel/edge` or `/files/0`. The empty pointer stands for the whole body. If this is
    /// called more than once, the body must contain every given value at its pointer.
    ///
    /// Values are compared like [`Request`](crate::Request)s: objects regardless of key order,
    /// strings by their characters, numbers by their text. If a key occurs several times in an
    /// object, a job matches if any of the values matches.
    ///
    /// An invalid pointer or value is reported by the call that runs the query, as
    /// [`Error::InvalidPointer`](crate::Error::InvalidPointer),
    /// [`Error::InvalidJson`](crate::Error::InvalidJson), or
    /// [`Error::TooDeep`](crate::Error::TooDeep).
    ///
    /// # Examples
    /// ```
    /// use jobstore::{Body, JobQuery, JobStore, Request};
    /// # let store = JobStore::in_memory()?;
    /// # let movie = store.create_graph("10001", "movie")?;
    /// let body = Body::from_json(r#"{"parallel": {"edge": 8}, "files": ["a.csv", "b.csv"]}"#)?;
    /// movie.submit(Request::new("import_graph", "/ges", body)?)?;
    /// # movie.submit(Request::new("vertex_query", "/other", Body::empty())?)?;
    /// let list = JobQuery::new().body_value("/parallel", r#"{"edge": 8}"#).body_value("/files/1", r#""b.csv""#);
    /// assert_eq!(movie.list(list)?.len(), 1);
    /// // Numbers are compared by their text.
    /// assert!(movie.list(JobQuery::new().body_value("/parallel/edge", "8.0"))?.is_empty());
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    #[must_use]
    pub fn body_value(mut self, pointer: impl Into<String>, json: impl Into<String>) -> JobQuery {
        let value = (pointer.into(), Needle(json.into()));
        self.filter.texts.values.push(value);
        self
    }
}
