//! The routes for operators.
//!
//! Contains the table of the routes that are mounted twice: with authorization, for clients of
//! [`Routes::operator`], and on the control socket. Each operation is in a file of its own.

mod all_jobs;
mod authorized;
mod bulk;
mod cancel;
mod changes;
mod complete;
mod each_graph;
mod export;
pub(crate) mod failure;
mod feed;
mod feed_body;
mod find;
mod graphs;
mod history;
mod jobs;
pub(crate) mod json_body;
pub(crate) mod path;
mod permissions;
mod purge;
mod recent;
mod retention;
pub(crate) mod store;
mod tally;

use axum::Router;
use axum::extract::Extension;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post, put};

use crate::http::api_error::wrong_method;
use crate::http::audit_log::Actor;
use crate::http::auth::Permission;
use crate::http::response::RoutesState;
use crate::http::routes::Routes;

/// The path of a graph, below the prefix of all routes for operators.
const GRAPH: &str = "/graphs/{project_id}/{graph_name}";

impl Routes {
    /// The routes for operators, below `/jobstore/v1`: what happens in the graphs, searches, the
    /// change feed, bulk changes, retention, and exports. `docs/http-api.md` describes them.
    ///
    /// They let a client change many jobs at once, so mount them only with a hook
    /// ([`Routes::authorize`]) that distinguishes the [`Permission`]s, or for trusted clients.
    ///
    /// # Examples
    /// ```
    /// use jobstore::http::{Access, Permission, Routes};
    /// # let store = jobstore::JobStore::in_memory()?;
    /// let routes = Routes::new(&store).authorize(|caller| async move {
    ///     let is_reader = matches!(caller.permission, Permission::Read | Permission::Observe);
    ///     match caller.token.as_ref().map(|token| token.as_str()) {
    ///         Some("0perat0r") => Access::Granted,
    ///         Some("r3ader") if is_reader => Access::Granted,
    ///         Some("r3ader") => Access::Forbidden,
    ///         _ => Access::Unauthenticated,
    ///     }
    /// });
    /// let app: axum::Router = routes.all().merge(routes.operator());
    /// # drop(app);
    /// # Ok::<(), jobstore::Error>(())
    /// ```
    pub fn operator<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let of_clients = [
            ("/store".to_owned(), get(store::store)),
            (format!("{GRAPH}/permissions"), get(permissions::of_graph)),
        ];
        of_clients
            .into_iter()
            .fold(shared(self, "/jobstore/v1"), |all, (path, methods)| {
                let path = format!("/jobstore/v1{path}");
                all.merge(self.router(&path, methods.fallback(wrong_method)))
            })
            .layer(Extension(Actor::HttpClient))
    }
}

/// The routes that clients and the control socket share.
pub(crate) fn shared<S: Clone + Send + Sync + 'static>(routes: &Routes, prefix: &str) -> Router<S> {
    // These ask the hook for each graph.
    let of_store = [
        ("/graphs", get(graphs::all)),
        ("/recent", get(recent::recent)),
        ("/tally", get(tally::of_all)),
        ("/jobs", get(all_jobs::page)),
    ];
    let may = |permission, methods: MethodRouter<RoutesState>| {
        let state = (routes.state().clone(), permission);
        methods.route_layer(from_fn_with_state(state, authorized::for_graph))
    };
    use Permission::{Cancel, Complete, Export, Observe, Purge, Read};
    let of_graph = [
        ("", may(Observe, get(graphs::one))),
        ("/jobs", may(Read, get(jobs::page))),
        ("/jobs/{job_id}", may(Read, get(jobs::job))),
        ("/jobs/{job_id}/tombstone", may(Read, get(jobs::tombstone))),
        ("/jobs/{job_id}/cancel", may(Cancel, post(cancel::one))),
        (
            "/jobs/{job_id}/complete",
            may(Complete, post(complete::complete)),
        ),
        ("/find", may(Read, post(find::find))),
        ("/tally", may(Observe, get(tally::tally))),
        ("/history", may(Observe, get(history::history))),
        ("/changes", may(Read, get(changes::changes))),
        ("/cancel", may(Cancel, post(cancel::all))),
        ("/purge", may(Purge, post(purge::purge))),
        (
            "/retention",
            may(Observe, get(retention::get)).merge(may(Purge, put(retention::put))),
        ),
        ("/export", may(Export, get(export::export))),
    ];
    let of_store = of_store
        .into_iter()
        .map(|(path, methods)| (format!("{prefix}{path}"), methods));
    let of_graph = of_graph
        .into_iter()
        .map(|(path, methods)| (format!("{prefix}{GRAPH}{path}"), methods));
    of_store
        .chain(of_graph)
        .fold(Router::new(), |all, (path, methods)| {
            all.merge(routes.router(&path, methods.fallback(wrong_method)))
        })
}
