//! Access tokens of a server, the projects to which they give access, and their permissions.
//!
//! Contains [`Tokens`], which are read from a file. A file that others can read is refused. No
//! token appears in any message or is kept in memory. The time of a comparison reveals nothing
//! about a token or its length.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use jobstore::http::Permission;

use crate::bounded;
use crate::output::counted;
use crate::problem::Problem;

/// The maximum size of a token file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The minimum length of a token, to prevent brute-force attacks.
const TOKEN_CHARS_MIN: usize = 16;
/// The project of a token that is valid for all projects.
pub(crate) const ALL: &str = "*";

/// The permissions of a line that does not list any.
const DEFAULT: [Permission; 3] = [Permission::Read, Permission::Cancel, Permission::Observe];

/// Tokens, their projects, and their permissions.
pub(crate) struct Tokens {
    tags: Tags,
    all: Vec<Known>,
}

/// A line of the file.
struct Known {
    tag: Tag,
    project: String,
    permissions: Vec<Permission>,
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
    /// The token belongs to another project, or does not have the permission.
    Other,
    Granted,
}

impl Tokens {
    /// Reads a file with lines of the form `TOKEN PROJECT [PERMISSIONS]`.
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
        if there.mode() & 0o077 & !credential_bits(path) != 0 {
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
                "each line has a token, a project id, or * for all projects, and optionally \
                 permissions separated by commas; # starts a comment",
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
            let (token, project, permissions) = match *words.as_slice() {
                [token, project] => (token, project, DEFAULT.to_vec()),
                [token, project, words] => {
                    let permissions: Option<Vec<Permission>> =
                        words.split(',').map(permission).collect();
                    let allowed = Permission::ALL.map(Permission::as_str).join(", ");
                    let what = || format!("invalid permission on line {}: use {allowed}", n + 1);
                    (token, project, permissions.ok_or_else(what)?)
                }
                _ => {
                    let words = counted(words.len() as u64, "word");
                    return Err(format!("line {} has {words} instead of 2 or 3", n + 1));
                }
            };
            if token.len() < TOKEN_CHARS_MIN || !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(format!(
                    "invalid token on line {}: use at least {TOKEN_CHARS_MIN} visible ASCII \
                     characters",
                    n + 1
                ));
            }
            all.push(Known {
                tag: tags.of(token),
                project: project.to_owned(),
                permissions,
            });
        }
        match all.is_empty() {
            true => Err("the file contains no tokens".to_owned()),
            false => Ok(Tokens { tags, all }),
        }
    }

    /// Checks a token for a project, or for all projects if `project` is [`ALL`].
    pub(crate) fn good(&self, token: &str, project: &str, permission: Permission) -> Good {
        let (mut good, given) = (Good::Nothing, self.tags.of(token));
        for known in &self.all {
            if !is_same(&known.tag, &given) {
                continue;
            }
            let is_of_project = known.project == ALL || known.project == project;
            if is_of_project && known.permissions.contains(&permission) {
                return Good::Granted;
            }
            good = Good::Other;
        }
        good
    }
}

/// Returns the bits of a file's mode that are harmless because systemd passed the file as a
/// credential. systemd grants the service access through an access control list, whose mask is
/// shown as the permissions of the group, although the group has none. No other user can open the
/// directory.
fn credential_bits(path: &Path) -> u32 {
    const GROUP_READ: u32 = 0o040;
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|name| !name.is_empty());
    let is_inside = directory.is_some_and(|directory| {
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        parent.is_some() && parent == Path::new(&directory).canonicalize().ok()
    });
    if is_inside { GROUP_READ } else { 0 }
}

fn permission(word: &str) -> Option<Permission> {
    let mut all = Permission::ALL.into_iter();
    all.find(|permission| permission.as_str() == word)
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
        let good = |token: &str, project: &str| tokens.good(token, project, Permission::Read);
        assert_eq!(good(A, "10001"), Good::Granted);
        assert_eq!(good(A, "10002"), Good::Granted);
        assert_eq!(good(A, "10003"), Good::Other);
        assert_eq!(good(A, "*"), Good::Other);
        assert_eq!(good(B, "10003"), Good::Granted);
        for unknown in ["", "a", &A[1..], &format!("{A}a")] {
            assert_eq!(good(unknown, "10001"), Good::Nothing, "{unknown}");
        }
        assert_eq!(
            [A, B].map(|token| good(token, ALL)),
            [Good::Other, Good::Granted]
        );
    }

    #[test]
    fn a_token_has_the_permissions_of_its_line() {
        let text = format!("{A} 10001\n{A} 10002 read,purge\n{B} * export\n");
        let tokens = Tokens::parse(&text).unwrap();
        let granted = |token: &str, project: &str| {
            let mut granted = Permission::ALL.to_vec();
            granted.retain(|&p| tokens.good(token, project, p) == Good::Granted);
            granted
        };
        assert_eq!(granted(A, "10001"), DEFAULT);
        assert_eq!(granted(A, "10002"), [Permission::Read, Permission::Purge]);
        assert_eq!(granted(A, ALL), []);
        assert_eq!(granted(B, ALL), [Permission::Export]);
        assert_eq!(granted(B, "10001"), [Permission::Export]);
        for wrong in ["write", "read,", "read,,purge", "READ", ","] {
            let Err(what) = Tokens::parse(&format!("{A} 10001 {wrong}")) else {
                panic!("{wrong} was taken");
            };
            assert!(
                what.starts_with("invalid permission on line 1: use read,"),
                "{what}"
            );
        }
    }

    #[test]
    fn tokens_are_compared_by_tags_of_one_size() {
        let tokens = Tokens::parse(&format!("{A} 1\n{A}{B}{A} 2\n")).unwrap();
        // Neither the token nor its length is kept.
        let [short, long] = &tokens.all[..] else {
            panic!("{} tokens", tokens.all.len());
        };
        let (short, long) = (&short.tag, &long.tag);
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
            &format!("{A} a read canary"),
        ] {
            let Err(what) = Tokens::parse(text) else {
                panic!("{text} was taken");
            };
            assert!(!what.contains("canary"), "{what}");
        }
    }
}
