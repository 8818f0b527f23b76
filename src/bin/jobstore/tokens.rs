//! Access tokens of a server, and the projects to which they give access.
//!
//! Contains [`Tokens`], which are read from a file. A file that others can read is refused. No
//! token appears in any message or is kept in memory. The time of a comparison reveals nothing
//! about a token or its length.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::bounded;
use crate::output::counted;
use crate::problem::Problem;

/// The maximum size of a token file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The minimum length of a token, to prevent brute-force attacks.
const TOKEN_CHARS_MIN: usize = 16;
/// The project of a token that is valid for all projects.
pub(crate) const ALL: &str = "*";

/// Tokens and their projects.
pub(crate) struct Tokens {
    tags: Tags,
    all: Vec<(Tag, String)>,
}

/// Two keyed hashes that identify a token.
type Tag = [u64; 2];

/// The keys of the hashes, which are random for each process. Without the keys, nobody can
/// construct a string that has a given tag.
#[derive(Default)]
struct Tags([RandomState; 2]);

impl Tags {
    fn of(&self, token: &str) -> Tag {
        self.0.each_ref().map(|key| key.hash_one(token))
    }
}

/// The result of a token check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Good {
    /// The token is unknown.
    Nothing,
    /// The token belongs to another project.
    OtherProjects,
    ThisProject,
}

impl Tokens {
    /// Reads a file with lines of the form `TOKEN PROJECT`.
    pub(crate) fn read(path: &Path) -> Result<Tokens, Problem> {
        let failed = |e: &io::Error| Problem::file("read", path, e);
        let file = File::open(path).map_err(|e| failed(&e))?;
        let there = file.metadata().map_err(|e| failed(&e))?;
        // A process substitution in a shell, `<(..)`, is a pipe.
        if !there.is_file() && !there.file_type().is_fifo() {
            return Err(Problem::usage(
                format!("{} is not a regular file", path.display()),
                "use a file in which each line has a token and a project id",
            ));
        }
        if there.mode() & 0o077 != 0 {
            let name = path.display();
            return Err(Problem::usage(
                format!("{name} contains tokens, but other users can access it"),
                format!(
                    "run `chmod 600 {name}`, and replace the tokens if others may have read them"
                ),
            ));
        }
        let read = bounded::read_to_string(file, FILE_BYTES_MAX);
        let text = read.map_err(|e| match e.kind() {
            io::ErrorKind::FileTooLarge => Problem::usage(
                format!("{} is {e}", path.display()),
                "remove tokens that are no longer used",
            ),
            _ => failed(&e),
        })?;
        Tokens::parse(&text).map_err(|what| {
            Problem::usage(
                format!("{}: {what}", path.display()),
                "each line has a token and a project id, or * for all projects; # starts a comment",
            )
        })
    }

    fn parse(text: &str) -> Result<Tokens, String> {
        let (tags, mut all) = (Tags::default(), Vec::new());
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let &[token, project] = words.as_slice() else {
                let words = counted(words.len() as u64, "word");
                return Err(format!("line {} has {words} instead of 2", n + 1));
            };
            if token.len() < TOKEN_CHARS_MIN || !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!(
                    "invalid token on line {}: use at least {TOKEN_CHARS_MIN} visible ASCII \
                     characters",
                    n + 1
                ));
            }
            all.push((tags.of(token), project.to_owned()));
        }
        match all.is_empty() {
            true => Err("the file contains no tokens".to_owned()),
            false => Ok(Tokens { tags, all }),
        }
    }

    /// Checks a token for a project, or for all projects if `project` is [`ALL`].
    pub(crate) fn good(&self, token: &str, project: &str) -> Good {
        let (mut good, given) = (Good::Nothing, self.tags.of(token));
        for (known, of) in &self.all {
            if !is_same(known, &given) {
                continue;
            }
            if of == ALL || of == project {
                return Good::ThisProject;
            }
            good = Good::OtherProjects;
        }
        good
    }
}

/// Compares two tags completely, regardless of where the first difference is.
fn is_same(known: &Tag, given: &Tag) -> bool {
    let differences = (known[0] ^ given[0]) | (known[1] ^ given[1]);
    std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_token_is_good_for_its_projects() {
        let text = format!("# ours\n{A} 10001\n{A}\t10002\n\n  {B} *\n");
        let tokens = Tokens::parse(&text).unwrap();
        assert_eq!(tokens.good(A, "10001"), Good::ThisProject);
        assert_eq!(tokens.good(A, "10002"), Good::ThisProject);
        assert_eq!(tokens.good(A, "10003"), Good::OtherProjects);
        assert_eq!(tokens.good(A, "*"), Good::OtherProjects);
        assert_eq!(tokens.good(B, "10003"), Good::ThisProject);
        for unknown in ["", "a", &A[1..], &format!("{A}a")] {
            assert_eq!(tokens.good(unknown, "10001"), Good::Nothing, "{unknown}");
        }
        assert_eq!(
            [A, B].map(|token| tokens.good(token, ALL)),
            [Good::OtherProjects, Good::ThisProject]
        );
    }

    #[test]
    fn tokens_are_compared_by_tags_of_one_size() {
        let tokens = Tokens::parse(&format!("{A} 1\n{A}{B}{A} 2\n")).unwrap();
        // Neither the token nor its length is kept.
        let [(short, _), (long, _)] = &tokens.all[..] else {
            panic!("{} tokens", tokens.all.len());
        };
        assert_eq!(
            (*short, *long),
            (tokens.tags.of(A), tokens.tags.of(&format!("{A}{B}{A}")))
        );
        for other in [
            String::new(),
            // This token has the same length.
            B.to_owned(),
            A[1..].to_owned(),
            format!("{A}\0"),
            format!("{B}{A}"),
        ] {
            let other = tokens.tags.of(&other);
            assert!(!is_same(short, &other) && !is_same(long, &other));
            assert!(short[0] != other[0] && short[1] != other[1]);
        }
        // Other processes have other keys.
        assert_ne!(Tags::default().of(A), *short);
    }

    #[test]
    fn a_bad_line_is_named_without_its_text() {
        for text in [
            "",
            "# nothing",
            "canary 10001",
            &format!("{A}canary"),
            &format!("{A} a canary"),
        ] {
            let Err(what) = Tokens::parse(text) else {
                panic!("{text} was taken");
            };
            assert!(!what.contains("canary"), "{what}");
        }
    }
}
