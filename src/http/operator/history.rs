//! What happened in a graph, as points of a time series.

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;

use crate::http::api_error::JSON;
use crate::http::operator::failure::Answer;
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, encoding};
use crate::http::routes::place;
use crate::http::stream::{BodySource, Text, lines};
use crate::model::history::HistoryPoint;
use crate::model::history_request::HistoryRequest;

pub(crate) async fn history(
    State(shared): State<RoutesState>,
    path: GraphPath,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let graph = place(path)?;
    let project_id = graph.0.clone();
    let HistoryRequest { from, to, step } = query.as_deref().unwrap_or_default().parse()?;
    let encoding = encoding(&headers);
    let begun = shared.with_graph(graph, move |graph| {
        let points = graph.history(from, to, step)?;
        Answer::Ok(BodySource::begin(text(points), encoding)?)
    });
    Ok(shared.respond(&project_id, begun.await?, JSON)?)
}

fn text(points: Vec<HistoryPoint>) -> Text {
    let mut pieces = HistoryPoint::to_document(points);
    lines(move |out| match pieces.next() {
        Some(piece) => {
            out.extend_from_slice(piece.as_bytes());
            Ok(true)
        }
        None => Ok(false),
    })
}
