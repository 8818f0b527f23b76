//! Completing a job that has no worker any more.

use axum::body::Body;
use axum::extract::{Extension, RawQuery, State};
use serde::Deserialize;
use serde_json::json;

use crate::api::lifecycle::Completion;
use crate::http::api_error::InvalidParameter;
use crate::http::audit_log::{Actor, AuditEntry};
use crate::http::list::not_found;
use crate::http::operator::failure::{Answer, Failure};
use crate::http::operator::json_body::document;
use crate::http::operator::path::JobPath;
use crate::http::response::{RoutesState, json as json_response};
use crate::http::routes::place;
use crate::model::api_error::ApiError;
use crate::model::outcome::{Outcome, OutcomeKind};
use crate::model::query_string::QueryString;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    outcome: String,
    message: Option<String>,
    code: Option<String>,
}

pub(crate) async fn complete(
    State(shared): State<RoutesState>,
    Extension(by): Extension<Actor>,
    path: JobPath,
    RawQuery(query): RawQuery,
    body: Body,
) -> Answer {
    let (project_id, name, id) = place(path)?;
    QueryString::parse(query.as_deref())?.end()?;
    let allowed =
        r#"{"outcome":"failed","message":"..","code":".."}; message and code are optional"#;
    let ended: Ended = document(body, allowed).await?;
    let Some(kind) = OutcomeKind::from_word(&ended.outcome) else {
        let allowed = "succeeded, partially_failed, failed, cancelled, or interrupted";
        let remedy = "correct it";
        return Err(ApiError::from(InvalidParameter {
            name: "outcome",
            given: &ended.outcome,
            allowed,
            remedy,
        })
        .into());
    };
    let outcome = Outcome::new(kind, ended.code, ended.message)?;
    let done = shared.with_graph((project_id, name), move |graph| {
        let done = graph
            .complete(&id, outcome)
            .map_err(|error| not_found::<Failure>(error, &id))?;
        if done == Completion::Done {
            let act = AuditEntry {
                action: "complete",
                graph: (graph.project_id(), graph.name()),
                job: Some(&id),
                by,
            };
            act.log(kind);
        }
        Answer::Ok(done)
    });
    Ok(json_response(match done.await? {
        Completion::Done => json!({"completed": true}).to_string(),
        Completion::AlreadyComplete(outcome) => {
            json!({"completed": false, "outcome": outcome.kind().as_str()}).to_string()
        }
    }))
}
