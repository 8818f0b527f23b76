//! The graph in memory: users, movies, and ratings, read from three CSV texts. It is independent of
//! jobs, requests, and directories. Invariant: every rating connects two existing vertices, with a
//! score of 1 to 5.

use std::collections::HashMap;
use std::io::Read;

use petgraph::graph::{DiGraph, NodeIndex};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The best score. The better the score of a rating, the shorter the edge between the user and the
/// movie.
pub const SCORE_MAX: u8 = 5;

#[derive(Clone, Debug, Deserialize)]
pub struct User {
    #[serde(rename = "user_id")]
    pub id: String,
    pub gender: String,
    /// An age class such as `18-24`, not a number.
    pub age: String,
    pub occupation: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Movie {
    #[serde(rename = "movie_id")]
    pub id: String,
    pub title: String,
    pub year: u16,
    /// Names joined by `|`, as in `Crime|Drama`.
    pub genres: String,
}

#[derive(Clone, Debug)]
pub enum Vertex {
    User(User),
    Movie(Movie),
}

impl Vertex {
    pub fn id(&self) -> &str {
        match self {
            Vertex::User(user) => &user.id,
            Vertex::Movie(movie) => &movie.id,
        }
    }

    pub fn label(&self) -> &'static str {
        match self {
            Vertex::User(_) => "user",
            Vertex::Movie(_) => "movie",
        }
    }

    /// Returns the human-readable name of this vertex.
    pub fn display_name(&self) -> String {
        match self {
            Vertex::User(user) => format!("{} ({}, {})", user.id, user.occupation, user.age),
            Vertex::Movie(movie) => format!("{} ({})", movie.title, movie.year),
        }
    }

    /// Returns the value of a property, or `None` if this kind of vertex does not have it.
    pub fn property(&self, name: &str) -> Option<String> {
        match (self, name) {
            (Vertex::User(user), "gender") => Some(user.gender.clone()),
            (Vertex::User(user), "age") => Some(user.age.clone()),
            (Vertex::User(user), "occupation") => Some(user.occupation.clone()),
            (Vertex::Movie(movie), "title") => Some(movie.title.clone()),
            (Vertex::Movie(movie), "year") => Some(movie.year.to_string()),
            (Vertex::Movie(movie), "genres") => Some(movie.genres.clone()),
            _ => None,
        }
    }
}

/// An edge from the user to the movie.
#[derive(Clone, Debug)]
pub struct Rating {
    pub score: u8,
    pub rated_at: String,
}

impl Rating {
    /// Returns the length of the edge: short for a five-star rating, long for a one-star rating,
    /// and never zero.
    pub fn distance(&self) -> u32 {
        u32::from(SCORE_MAX + 1 - self.score)
    }
}

#[derive(Deserialize)]
struct RatingRow {
    user_id: String,
    movie_id: String,
    score: u8,
    rated_at: String,
}

#[derive(Debug, Error)]
pub enum LoadError {
    #[error("{file}: {source}")]
    Csv {
        file: &'static str,
        source: csv::Error,
    },
    #[error("{file}: duplicate vertex {id}")]
    DuplicateVertex { file: &'static str, id: String },
    #[error("ratings: row {row} refers to vertex {id}, which is neither a user nor a movie")]
    UnknownVertex { row: usize, id: String },
    #[error("ratings: row {row} has score {score}; allowed: 1 to {SCORE_MAX}")]
    Score { row: usize, score: u8 },
}

#[derive(Debug, Default)]
pub struct MovieGraph {
    pub graph: DiGraph<Vertex, Rating>,
    vertex_by_id: HashMap<String, NodeIndex>,
}

impl MovieGraph {
    /// Reads the three texts, starting with the vertices. Calls `progress` with the percentage and
    /// the next step.
    pub fn read(
        users: impl Read,
        movies: impl Read,
        ratings: impl Read,
        mut progress: impl FnMut(u8, &str),
    ) -> Result<MovieGraph, LoadError> {
        let mut loaded = MovieGraph::default();
        progress(0, "reading users");
        for user in rows::<User>("users", users) {
            loaded.add("users", Vertex::User(user?))?;
        }
        progress(20, "reading movies");
        for movie in rows::<Movie>("movies", movies) {
            loaded.add("movies", Vertex::Movie(movie?))?;
        }
        progress(40, "reading ratings");
        for (index, row) in rows::<RatingRow>("ratings", ratings).enumerate() {
            // Rows are numbered as in a spreadsheet, in which the header is row 1.
            loaded.rate(index + 2, row?)?;
        }
        progress(100, "graph loaded");
        Ok(loaded)
    }

    pub fn vertex(&self, id: &str) -> Option<NodeIndex> {
        self.vertex_by_id.get(id).copied()
    }

    fn add(&mut self, file: &'static str, vertex: Vertex) -> Result<(), LoadError> {
        let id = vertex.id().to_owned();
        if self.vertex_by_id.contains_key(&id) {
            return Err(LoadError::DuplicateVertex { file, id });
        }
        let index = self.graph.add_node(vertex);
        self.vertex_by_id.insert(id, index);
        Ok(())
    }

    fn rate(&mut self, row: usize, rating: RatingRow) -> Result<(), LoadError> {
        let RatingRow {
            user_id,
            movie_id,
            score,
            rated_at,
        } = rating;
        if !(1..=SCORE_MAX).contains(&score) {
            return Err(LoadError::Score { row, score });
        }
        let Some(user) = self.vertex(&user_id) else {
            return Err(LoadError::UnknownVertex { row, id: user_id });
        };
        let Some(movie) = self.vertex(&movie_id) else {
            return Err(LoadError::UnknownVertex { row, id: movie_id });
        };
        self.graph.add_edge(user, movie, Rating { score, rated_at });
        Ok(())
    }
}

fn rows<T: DeserializeOwned>(
    file: &'static str,
    text: impl Read,
) -> impl Iterator<Item = Result<T, LoadError>> {
    csv::Reader::from_reader(text)
        .into_deserialize()
        .map(move |row| row.map_err(|source| LoadError::Csv { file, source }))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const USERS: &str = "user_id,gender,age,occupation\nu1,F,18-24,student\nu2,M,56+,retired\n";
    const MOVIES: &str = "movie_id,title,year,genres\nm1,\"Hello, Goodbye\",1999,Drama|War\n";
    const RATINGS: &str = "user_id,movie_id,score,rated_at\nu1,m1,5,2000-01-01\n";

    /// Returns the graph of the data that is included with the example.
    pub fn shipped() -> MovieGraph {
        MovieGraph::read(
            &include_bytes!("data/users.csv")[..],
            &include_bytes!("data/movies.csv")[..],
            &include_bytes!("data/ratings.csv")[..],
            |_, _| {},
        )
        .unwrap()
    }

    fn read(ratings: &str) -> Result<MovieGraph, LoadError> {
        MovieGraph::read(
            USERS.as_bytes(),
            MOVIES.as_bytes(),
            ratings.as_bytes(),
            |_, _| {},
        )
    }

    #[test]
    fn a_rating_leads_from_the_user_to_the_movie() {
        let movies = read(RATINGS).unwrap();
        let (user, movie) = (movies.vertex("u1").unwrap(), movies.vertex("m1").unwrap());
        assert_eq!(movies.graph.node_count(), 3);
        assert_eq!(
            movies.graph[movie].property("title").as_deref(),
            Some("Hello, Goodbye")
        );
        let edge = movies.graph.find_edge(user, movie).unwrap();
        assert_eq!(movies.graph[edge].distance(), 1);
        assert!(movies.graph.find_edge(movie, user).is_none());
    }

    #[test]
    fn a_rating_of_an_unknown_vertex_is_refused_with_its_row() {
        let error = read("user_id,movie_id,score,rated_at\nu1,m9,5,2000-01-01\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "ratings: row 2 refers to vertex m9, which is neither a user nor a movie"
        );
    }

    #[test]
    fn a_score_beyond_five_is_refused() {
        let error = read("user_id,movie_id,score,rated_at\nu1,m1,6,2000-01-01\n").unwrap_err();
        assert!(matches!(error, LoadError::Score { row: 2, score: 6 }));
    }

    #[test]
    fn the_shipped_files_load() {
        let movies = shipped();
        assert_eq!(movies.graph.node_count(), 500);
        assert_eq!(movies.graph.edge_count(), 4000);
    }
}
