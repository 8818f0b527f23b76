//! A document with a part for each of several graphs.

use crate::api::graph::Graph;
use crate::api::totals::unless_dropped;
use crate::http::stream::{Text, lines};
use crate::model::error::Result;

/// `{"graphs":[..]}`, with the document of each graph. Graphs that are dropped meanwhile are omitted.
pub(crate) fn text(
    graphs: Vec<Graph>,
    document: impl Fn(&Graph) -> Result<String> + Send + 'static,
) -> Text {
    let (mut graphs, mut before) = (graphs.into_iter(), r#"{"graphs":["#);
    lines(move |out| {
        for graph in graphs.by_ref() {
            if let Some(document) = unless_dropped(document(&graph))? {
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(document.as_bytes());
                before = ",";
                return Ok(true);
            }
        }
        // If there is no graph, nothing has been written yet.
        let begin = if before == "," { "" } else { before };
        out.extend_from_slice(begin.as_bytes());
        out.extend_from_slice(b"]}");
        Ok(false)
    })
}
