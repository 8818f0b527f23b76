//! The algorithms: PageRank, vertices by hop, and the shortest path, on any view of a petgraph
//! graph. They are independent of requests and jobs: they take parameters, and return numbers and
//! vertices. After every iteration, a long algorithm asks whether to continue, and otherwise stops.

use std::ops::ControlFlow;

use petgraph::algo::{astar, dijkstra};
use petgraph::graph::NodeIndex;
use petgraph::visit::{IntoEdges, IntoNeighbors, NodeCount, NodeIndexable, Visitable};

use crate::graph::Rating;

#[derive(Clone, Copy, Debug)]
pub struct PageRank {
    /// The share of a rank that follows the edges. The rest jumps to any vertex.
    pub alpha: f64,
    /// The algorithm ends when the ranks of all vertices together change by less than this in one
    /// iteration.
    pub convergence: f64,
    pub max_iterations: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Converged,
    IterationsUsedUp,
    Stopped,
}

#[derive(Clone, Debug)]
pub struct Ranks {
    /// The ranks by vertex index. Their sum is 1.
    pub ranks: Vec<f64>,
    pub iterations: u64,
    pub ending: Ending,
}

/// PageRank by power iteration.
///
/// `petgraph::algo::page_rank` runs a fixed number of iterations in one call. It has no threshold,
/// cannot be stopped, and does not report progress. A job needs all three, so this function has its
/// own loop.
pub fn page_rank<G>(
    graph: G,
    parameters: &PageRank,
    mut after_iteration: impl FnMut(u64, f64) -> ControlFlow<()>,
) -> Ranks
where
    G: IntoNeighbors<NodeId = NodeIndex> + NodeCount + NodeIndexable,
{
    let count = graph.node_count();
    let every = 1.0 / count.max(1) as f64;
    let vertices: Vec<NodeIndex> = (0..count).map(|i| graph.from_index(i)).collect();
    let degrees: Vec<usize> = vertices
        .iter()
        .map(|&vertex| graph.neighbors(vertex).count())
        .collect();
    let mut ranks = vec![every; count];
    let mut next = vec![0.0; count];
    let mut iterations = 0;
    let ending = loop {
        if iterations == parameters.max_iterations {
            break Ending::IterationsUsedUp;
        }
        iterations += 1;
        next.fill(0.0);
        let mut without_way_out = 0.0;
        for (&vertex, &degree) in vertices.iter().zip(&degrees) {
            let rank = ranks[vertex.index()];
            if degree == 0 {
                without_way_out += rank;
            }
            for neighbor in graph.neighbors(vertex) {
                next[neighbor.index()] += rank / degree as f64;
            }
        }
        let mut change = 0.0;
        for (new, old) in next.iter_mut().zip(&ranks) {
            *new = (1.0 - parameters.alpha) * every
                + parameters.alpha * (*new + without_way_out * every);
            change += (*new - old).abs();
        }
        std::mem::swap(&mut ranks, &mut next);
        if change < parameters.convergence {
            break Ending::Converged;
        }
        if after_iteration(iterations, change).is_break() {
            break Ending::Stopped;
        }
    };
    Ranks {
        ranks,
        iterations,
        ending,
    }
}

/// Returns the vertices within `k` hops of `source`. The first list contains those that are one hop
/// away, and so on.
pub fn vertices_by_hop<G>(graph: G, source: NodeIndex, k: u32) -> Vec<Vec<NodeIndex>>
where
    G: IntoEdges<NodeId = NodeIndex> + Visitable,
{
    let mut hops = vec![Vec::new(); k as usize];
    for (vertex, distance) in dijkstra(graph, source, None, |_| 1_u32) {
        if (1..=k).contains(&distance) {
            hops[distance as usize - 1].push(vertex);
        }
    }
    // dijkstra returns a hash map, so sort the vertices to make the result deterministic.
    hops.iter_mut().for_each(|hop| hop.sort());
    hops
}

/// Returns the shortest path from `source` to `target`, including both, and its length.
pub fn shortest_path<G>(
    graph: G,
    source: NodeIndex,
    target: NodeIndex,
    length: fn(&Rating) -> u32,
) -> Option<(u32, Vec<NodeIndex>)>
where
    G: IntoEdges<NodeId = NodeIndex, EdgeWeight = Rating> + Visitable,
{
    use petgraph::visit::EdgeRef;

    // A graph of ratings has no heuristic. With a heuristic of 0, A* is Dijkstra's algorithm, but
    // keeps the path.
    astar(
        graph,
        source,
        |vertex| vertex == target,
        |edge| length(edge.weight()),
        |_| 0,
    )
}

#[cfg(test)]
mod tests {
    use petgraph::graph::DiGraph;
    use petgraph::visit::{Reversed, UndirectedAdaptor};

    use super::*;
    use crate::graph::tests::shipped;

    const USUAL: PageRank = PageRank {
        alpha: 0.85,
        convergence: 1e-9,
        max_iterations: 1000,
    };

    fn go_on(_: u64, _: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn order(ranks: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..ranks.len()).collect();
        order.sort_by(|&a, &b| ranks[b].total_cmp(&ranks[a]));
        order
    }

    #[test]
    fn page_rank_of_a_ring_with_a_spoke_is_the_known_one() {
        // The edges are 0 -> 1 -> 2 -> 0 and 3 -> 0. A vertex without incoming edges keeps (1 -
        // alpha) / n.
        let graph = DiGraph::<(), ()>::from_edges([(0, 1), (1, 2), (2, 0), (3, 0)]);
        let found = page_rank(&graph, &USUAL, go_on);
        assert_eq!(found.ending, Ending::Converged);
        assert!((found.ranks.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((found.ranks[3] - 0.15 / 4.0).abs() < 1e-9);
        assert_eq!(order(&found.ranks), [0, 1, 2, 3]);
    }

    #[test]
    fn page_rank_agrees_with_petgraph_on_the_most_seen_movie() {
        let movies = shipped();
        let ours = page_rank(&movies.graph, &USUAL, go_on);
        let theirs = petgraph::algo::page_rank(&movies.graph, 0.85, 3);
        assert_eq!(order(&ours.ranks)[0], order(&theirs)[0]);
    }

    #[test]
    fn page_rank_stops_at_the_first_no() {
        let movies = shipped();
        let found = page_rank(&movies.graph, &USUAL, |_, _| ControlFlow::Break(()));
        assert_eq!((found.iterations, found.ending), (1, Ending::Stopped));
    }

    #[test]
    fn page_rank_without_damping_never_settles_between_users_and_movies() {
        // The request that the client cancels must never end by itself.
        let undamped = PageRank {
            alpha: 1.0,
            convergence: 1e-12,
            max_iterations: 2000,
        };
        let found = page_rank(UndirectedAdaptor(&shipped().graph), &undamped, go_on);
        assert_eq!(found.ending, Ending::IterationsUsedUp);
    }

    #[test]
    fn page_rank_of_nothing_is_nothing() {
        let graph = DiGraph::<(), ()>::new();
        assert_eq!(page_rank(&graph, &USUAL, go_on).ranks, Vec::<f64>::new());
    }

    #[test]
    fn hops_count_along_the_view_they_are_given() {
        let graph = DiGraph::<(), ()>::from_edges([(0, 1), (1, 2), (0, 2), (3, 1)]);
        let index = NodeIndex::new;
        assert_eq!(
            vertices_by_hop(&graph, index(0), 3),
            [vec![index(1), index(2)], vec![], vec![]]
        );
        assert_eq!(
            vertices_by_hop(Reversed(&graph), index(1), 1),
            [vec![index(0), index(3)]]
        );
        assert_eq!(
            vertices_by_hop(UndirectedAdaptor(&graph), index(3), 2),
            [vec![index(1)], vec![index(0), index(2)]]
        );
    }

    #[test]
    fn the_shortest_path_crosses_from_the_archive_to_the_main_audience() {
        let movies = shipped();
        let (from, to) = (
            movies.vertex("u300").unwrap(),
            movies.vertex("u84").unwrap(),
        );
        let view = UndirectedAdaptor(&movies.graph);
        let (hops, path) = shortest_path(view, from, to, |_| 1).unwrap();
        assert_eq!((hops, path.len()), (8, 9));
        let (length, path) = shortest_path(view, from, to, Rating::distance).unwrap();
        assert!(length >= 8 && path.len() >= 9);
        assert_eq!((path.first(), path.last()), (Some(&from), Some(&to)));
    }

    #[test]
    fn there_is_no_directed_path_between_two_users() {
        let movies = shipped();
        let (from, to) = (movies.vertex("u1").unwrap(), movies.vertex("u2").unwrap());
        assert_eq!(shortest_path(&movies.graph, from, to, |_| 1), None);
    }
}
