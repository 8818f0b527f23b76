//! The jobs of all graphs that the caller may read, merged by submission time.

use axum::extract::State;
use axum::http::request::Parts;
use tokio::sync::oneshot;

use crate::api::store_list::StorePage;
use crate::http::auth::Permission;
use crate::http::list::{NEXT, ends_if};
use crate::http::operator::authorized::visible_graphs;
use crate::http::operator::failure::Answer;
use crate::http::response::{RoutesState, blocking, encoding};
use crate::http::stream::{BodySource, LINES, Text, lines};
use crate::model::job_query::{JobQuery, STORE_PAGE_JOBS_MAX};
use crate::model::query_string::QueryString;
use crate::model::store_cursor::StoreCursor;

/// The default number of jobs on a page.
const LIMIT: u64 = 100;
/// The slots for long responses and scans are taken as if by a project without a name.
const ALL_PROJECTS: &str = "";

pub(crate) async fn page(State(shared): State<RoutesState>, parts: Parts) -> Answer {
    let graphs = visible_graphs(&shared, &parts, Permission::Read).await?;
    let (query, after) = asked(parts.uri.query())?;
    let place = match query.scans() || after.is_some() {
        true => Some(shared.project_limits.scan(ALL_PROJECTS)?),
        false => None,
    };
    let (watched, client) = oneshot::channel::<()>();
    let query = query.on_progress(move |_| ends_if(watched.is_closed()));
    let (store, encoding) = (shared.store.clone(), encoding(&parts.headers));
    let begun = blocking(move || {
        let _permit = place;
        let page = store.list(&graphs, query, after.as_ref())?;
        let begun = BodySource::begin(text(&page), encoding)?;
        Answer::Ok((begun, page.next()))
    });
    let (begun, next) = begun.await?;
    // If the client disconnects, `client` is dropped before this point. The drop ends the search.
    drop(client);
    let mut response = shared.respond(ALL_PROJECTS, begun, LINES)?;
    let next = next.and_then(|next| next.to_string().parse().ok());
    if let Some(next) = next {
        response.headers_mut().insert(NEXT, next);
    }
    Ok(response)
}

fn asked(query: Option<&str>) -> Answer<(JobQuery, Option<StoreCursor>)> {
    let mut query = QueryString::parse(query)?;
    let filter = query.filter()?;
    let mut list = query.direction(filter)?;
    let limit = query.number("limit", 1..=STORE_PAGE_JOBS_MAX)?;
    list.limit = Some(limit.unwrap_or(LIMIT));
    let cursor = query.one("cursor")?;
    query.end()?;
    let cursor = cursor.map(|cursor| cursor.parse()).transpose()?;
    Ok((list, cursor))
}

/// Each job with its project and graph, on a line.
fn text(page: &StorePage) -> Text {
    let mut jobs = page.jobs();
    lines(move |out| {
        let Some(found) = jobs.next() else {
            return Ok(false);
        };
        let (graph, job) = found?;
        let line = graph.with_names(&job.to_json_with_progress());
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        Ok(true)
    })
}
