//! The bodies of the requests, as clients write them, one type per command. `vertex_query.rs`
//! contains the body of its own query. A misspelled parameter is refused, not ignored.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImportGraph {
    pub edgeset_path: String,
    /// The file of the users and the file of the movies.
    pub vertexset_path: [String; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExportGraph {
    pub graph_export_path: String,
    pub edge_set_name: String,
}

#[derive(Deserialize)]
#[serde(
    tag = "algorithmName",
    content = "parameters",
    rename_all = "snake_case"
)]
pub enum Algorithm {
    Pagerank(PageRankParameters),
    KHop(KHopParameters),
    ShortestPath(ShortestPathParameters),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRankParameters {
    pub alpha: f64,
    pub convergence: f64,
    pub max_iterations: u64,
    pub directed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KHopParameters {
    pub k: u32,
    pub source: String,
    pub mode: HopMode,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HopMode {
    Out,
    In,
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShortestPathParameters {
    pub source: String,
    pub target: String,
    pub directed: bool,
    /// What determines the length of an edge. Without this, every edge has the length 1.
    pub weight: Option<Weight>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    Score,
}
