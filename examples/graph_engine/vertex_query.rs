//! The filtered vertex query, which finds the vertices with the requested labels and properties. It
//! parses the filters in a request's body, and is independent of jobs. An invalid filter is
//! refused, and never matches everything.

use petgraph::graph::NodeIndex;
use petgraph::visit::IntoNodeReferences;
use serde::Deserialize;

use crate::graph::{MovieGraph, Vertex};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct VertexQuery {
    #[serde(default)]
    offset: usize,
    #[serde(default = "limit_default")]
    limit: usize,
    /// The labels to find. If there are none, every label matches.
    #[serde(default)]
    labels: Vec<String>,
    /// The filters. A vertex must match all of them.
    #[serde(default)]
    vertex_filters: Vec<VertexFilter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct VertexFilter {
    property_name: String,
    predicate: Predicate,
    /// The values, at least one of which must match.
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Predicate {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "PREFIX")]
    Prefix,
    #[serde(rename = "CONTAIN")]
    Contain,
}

/// The result: the total number of matches, and those that offset and limit select.
#[derive(Debug)]
pub struct Matches {
    pub total: usize,
    pub vertices: Vec<NodeIndex>,
}

fn limit_default() -> usize {
    10
}

impl VertexQuery {
    pub fn find(&self, movies: &MovieGraph) -> Matches {
        let mut total = 0;
        let mut vertices = Vec::new();
        for (index, vertex) in (&movies.graph).node_references() {
            if !self.matches(vertex) {
                continue;
            }
            if total >= self.offset && vertices.len() < self.limit {
                vertices.push(index);
            }
            total += 1;
        }
        Matches { total, vertices }
    }

    fn matches(&self, vertex: &Vertex) -> bool {
        let labelled =
            self.labels.is_empty() || self.labels.iter().any(|label| label == vertex.label());
        labelled && self.vertex_filters.iter().all(|f| f.matches(vertex))
    }
}

impl VertexFilter {
    fn matches(&self, vertex: &Vertex) -> bool {
        let Some(found) = vertex.property(&self.property_name) else {
            return false;
        };
        self.values.iter().any(|value| match self.predicate {
            Predicate::Equal => found == *value,
            Predicate::Prefix => found.starts_with(value),
            Predicate::Contain => found.contains(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::shipped;

    fn query(json: &str) -> VertexQuery {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn users_of_two_age_classes_are_found_in_slices() {
        let movies = shipped();
        let filter = r#""labels":["user"],
            "vertexFilters":[{"propertyName":"age","predicate":"=","values":["18-24","56+"]}]"#;
        let all = query(&format!(r#"{{"limit":1000,{filter}}}"#)).find(&movies);
        assert_eq!((all.total, all.vertices.len()), (77, 77));
        let slice = query(&format!(r#"{{"offset":75,"limit":5,{filter}}}"#)).find(&movies);
        assert_eq!(
            (slice.total, &slice.vertices[..]),
            (77, &all.vertices[75..])
        );
    }

    #[test]
    fn filters_are_joined_by_and() {
        let movies = shipped();
        let drama = r#"{"propertyName":"genres","predicate":"CONTAIN","values":["Drama"]}"#;
        let old = r#"{"propertyName":"year","predicate":"PREFIX","values":["194","195"]}"#;
        let found = |filters: &str| {
            query(&format!(r#"{{"vertexFilters":[{filters}]}}"#))
                .find(&movies)
                .total
        };
        let (both, drama, old) = (found(&format!("{drama},{old}")), found(drama), found(old));
        assert!(0 < both && both < drama && both < old);
    }

    #[test]
    fn a_misspelt_filter_is_refused() {
        let misspelt = r#"{"vertexFilter":[]}"#;
        assert!(serde_json::from_str::<VertexQuery>(misspelt).is_err());
    }
}
