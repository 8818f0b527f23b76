//! Export of the graph's edges to a human-readable CSV file. The file appears under its name only
//! when it is complete and durable, so an outcome may refer to it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use petgraph::visit::EdgeRef;

use crate::graph::{MovieGraph, Vertex};

/// Writes all ratings, joined with the movies' titles. Returns the number of rows.
pub fn ratings_to_csv(movies: &MovieGraph, path: &Path) -> io::Result<usize> {
    let unfinished = path.with_extension("unfinished");
    let mut rows = csv::Writer::from_writer(File::create(&unfinished)?);
    rows.write_record(["user_id", "movie_id", "title", "score", "rated_at"])?;
    let mut count = 0;
    for edge in movies.graph.edge_references() {
        let user = &movies.graph[edge.source()];
        let movie = &movies.graph[edge.target()];
        let title = match movie {
            Vertex::Movie(movie) => movie.title.as_str(),
            Vertex::User(_) => "",
        };
        let rating = edge.weight();
        let score = rating.score.to_string();
        rows.write_record([user.id(), movie.id(), title, &score, &rating.rated_at])?;
        count += 1;
    }
    let file = rows.into_inner().map_err(csv::IntoInnerError::into_error)?;
    // The outcome is durable, so the file to which it refers must be durable, too.
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::shipped;

    #[test]
    fn an_export_holds_every_rating_and_leaves_nothing_unfinished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ratings.csv");
        assert_eq!(ratings_to_csv(&shipped(), &path).unwrap(), 4000);
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(lines, 4001);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
