//! Operations on a store through its control socket: the routes under `/control`.
//!
//! Contains the routes that only the control socket has; the others are those of
//! [`operator`]. Every failure has the form of a GES API error. If it was caused by an
//! error of the library, it includes that error's code.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
#[cfg(feature = "simulation")]
use axum::extract::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::middleware::map_response;
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;

use crate::api::import::OnBadLine;
use crate::api::store::JobStore;
use crate::http::api_error::{InvalidParameter, no_such_resource, wrong_method};
#[cfg(feature = "simulation")]
use crate::http::audit_log::Actor;
use crate::http::limits::Limits;
use crate::http::operator;
use crate::http::operator::failure::{Answer, Failure, with_details};
use crate::http::operator::json_body::document;
use crate::http::operator::path::GraphPath;
use crate::http::operator::store::stats;
use crate::http::request_body;
use crate::http::response::{RoutesState, blocking, json as json_response};
use crate::http::routes::{Routes, place};
use crate::model::api_error::ApiError;
use crate::model::error::Error;
use crate::model::query_string::QueryString;

/// The timeout for operators. It is long because an operator may wait for a verification, read the
/// output in a pager, or send data as it is produced. None of this competes with the engine's
/// clients.
pub(crate) const PATIENT: Duration = Duration::from_secs(24 * 3600);

/// One project may use half of each limit. Even that is more than the number of connections.
fn limits() -> Limits {
    Limits::new()
        .long_pages(256)
        .scans(256)
        .first_byte(PATIENT)
        .stall(PATIENT)
        .whole(PATIENT)
}

/// The routes of the GES API, and those of the control socket.
pub(crate) fn router(store: &JobStore) -> Router {
    let routes = Routes::new(store).limits(limits()).for_control();
    let paths: [(&str, MethodRouter<RoutesState>); 5] = [
        ("/control/stats", get(stats)),
        ("/control/verify", post(verify)),
        ("/control/backup", post(backup)),
        ("/control/graphs/{project_id}/{graph_name}/list", get(list)),
        (
            "/control/graphs/{project_id}/{graph_name}/import",
            post(import),
        ),
    ];
    let shared = operator::shared(&routes, "/control");
    let all = paths
        .into_iter()
        .fold(routes.all().merge(shared), |all, (path, methods)| {
            all.merge(routes.router(path, methods.fallback(wrong_method)))
        });
    all.layer(map_response(with_details))
        .fallback(no_such_resource)
}

/// The same routes without a socket, for use inside the engine's own process.
#[cfg(feature = "simulation")]
pub(crate) fn routes_alone(store: &JobStore) -> Router {
    router(store).layer(Extension(Actor::HttpClient))
}

async fn verify(State(shared): State<RoutesState>, RawQuery(query): RawQuery) -> Answer {
    QueryString::parse(query.as_deref())?.end()?;
    let report = blocking(move || Ok::<_, Failure>(shared.store.scrub()?.to_json()));
    Ok(json_response(report.await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    to: PathBuf,
    /// Whether log files are shared through hard links.
    #[serde(default)]
    link: bool,
}

async fn backup(
    State(shared): State<RoutesState>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Answer {
    QueryString::parse(query.as_deref())?.end()?;
    let Backup { to, link } = document(body, r#"{"to":"/absolute/path"}"#).await?;
    if !to.is_absolute() {
        let given = to.display().to_string();
        let remedy = "start it with /, because the working directory of this process may differ \
             from yours";
        return Err(ApiError::from(InvalidParameter {
            name: "to",
            given: &given,
            allowed: "an absolute path",
            remedy,
        })
        .into());
    }
    let backed_up = blocking(move || -> Answer<_> {
        Ok(match link {
            true => shared.store.backup_linked(&to, |_| {})?,
            false => shared.store.backup(&to)?,
        })
    });
    let done = backed_up.await?;
    Ok(json_response(done.to_json()))
}

async fn list(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    Ok(shared
        .list(place(path)?, query.as_deref(), &headers)
        .await?)
}

async fn import(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    body: Body,
) -> Answer {
    let (project_id, name) = place(path)?;
    let mut query = QueryString::parse(query.as_deref())?;
    let create = query.flag("create")?;
    let on_bad_line = match query.flag("skip_bad")? {
        true => OnBadLine::Skip,
        false => OnBadLine::Stop,
    };
    query.end()?;
    let (lines, sent) = request_body::reader(body, shared.limits.stall);
    let imported = blocking(move || -> Answer<_> {
        match shared.store.graph(&project_id, &name) {
            Err(Error::UnknownGraph { .. }) if create => {
                let store = &shared.store;
                Ok(store.import_or_create(&project_id, &name, lines, on_bad_line)?)
            }
            there => Ok((there?.import(lines, on_bad_line)?, false)),
        }
    });
    let ((), imported) = tokio::join!(sent, imported);
    let (report, created) = imported?;
    let mut report = report.json();
    report["created"] = created.into();
    Ok(json_response(report.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_cut_off_who_pauses() {
        let Limits {
            first_byte,
            stall,
            whole,
            ..
        } = limits();
        let hours = Duration::from_secs(12 * 3600);
        assert!([first_byte, stall, whole].iter().all(|time| *time > hours));
    }
}
