//! The export of a graph. Only the control socket reveals secrets.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;

use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, encoding};
use crate::http::routes::place;
use crate::http::stream::{BodySource, LINES, lines};
use crate::model::query_string::QueryString;

pub(crate) async fn export(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let graph = place(path)?;
    let project_id = graph.0.clone();
    let mut query = QueryString::parse(query.as_deref())?;
    let filter = query.filter()?;
    let list = query.order(filter)?;
    let reveal_secrets = shared.is_control && query.flag("reveal_secrets")?;
    query.end()?;
    let place = match list.scans() {
        true => Some(shared.project_limits.scan(&project_id)?),
        false => None,
    };
    let encoding = encoding(&headers);
    let begun = shared.with_graph(graph, move |graph| {
        let _permit = place;
        let mut export = graph.export(list)?;
        if reveal_secrets {
            export = export.reveal_secrets();
        }
        let jobs = lines(move |out| export.write_piece(out));
        Answer::Ok(BodySource::begin(jobs, encoding)?)
    });
    Ok(shared.respond(&project_id, begun.await?, LINES)?)
}
