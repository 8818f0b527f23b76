//! The change feed of a graph, as JSON lines.
//!
//! Contains the route and its parameters. A feed can be resumed after each of its lines.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;

use crate::api::changes::Position;
use crate::api::graph::Graph;
use crate::http::connection::Ending;
use crate::http::operator::failure::Answer;
use crate::http::operator::feed::Feed;
use crate::http::operator::feed_body::{FeedLimits, follow};
use crate::http::operator::path::GraphPath;
use crate::http::response::{RoutesState, encoding};
use crate::http::routes::place;
use crate::http::stream::{BodySource, LINES, lines};
use crate::model::error::Result;
use crate::model::query_string::QueryString;

/// The longest time for which changes are collected.
const COALESCE_MS_MAX: u64 = 60_000;

/// Where a feed begins.
enum After {
    Beginning,
    Position(Position),
    End,
}

pub(crate) async fn changes(
    State(shared): State<RoutesState>,
    path: GraphPath,
    parts: Parts,
) -> Answer {
    let graph = place(path)?;
    let project_id = graph.0.clone();
    let mut query = QueryString::parse(parts.uri.query())?;
    let after = match query.one("after")? {
        None => After::Beginning,
        Some(end) if end == "end" => After::End,
        Some(position) => After::Position(position.parse()?),
    };
    let is_followed = query.flag("follow")?;
    let coalesce_ms = query.number("coalesce", 1..=COALESCE_MS_MAX)?;
    query.end()?;
    let coalesce = coalesce_ms.map(Duration::from_millis);
    let open = move |graph: Graph| Answer::Ok(feed(graph, &after, coalesce)?);
    if is_followed {
        let permit = shared.project_limits.long_page(&project_id)?;
        let feed = shared.with_graph(graph, open).await?;
        let ending = parts.extensions.get::<Ending>().cloned();
        let mut response = Response::new(Body::new(follow(
            feed,
            permit,
            FeedLimits::new(&shared.limits, coalesce),
            ending,
        )));
        response.headers_mut().insert(header::CONTENT_TYPE, LINES);
        return Ok(response);
    }
    let encoding = encoding(&parts.headers);
    let begun = shared.with_graph(graph, move |graph| {
        let mut feed = open(graph)?;
        let changes = lines(move |out| {
            let before = out.len();
            feed.read(out)?;
            Ok(out.len() > before)
        });
        Answer::Ok(BodySource::begin(changes, encoding)?)
    });
    Ok(shared.respond(&project_id, begun.await?, LINES)?)
}

fn feed(graph: Graph, after: &After, coalesce: Option<Duration>) -> Result<Feed> {
    let changes = match after {
        After::Beginning => graph.changes(None)?,
        After::Position(position) => graph.changes(Some(position))?,
        After::End => graph.changes(Some(&graph.position()?))?,
    };
    Ok(Feed::new(graph, changes, coalesce.is_some()))
}
