//! The documents of the repository: their links resolve, and their examples are tests.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut links = 0;
    for document in documents() {
        let text = prose(&read(&document));
        for target in targets(&text) {
            if target.contains("://") {
                continue;
            }
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => document.clone(),
                path => resolve(&document, path),
            };
            let is_missing = !root().join(&file).exists();
            if is_missing || (!anchor.is_empty() && !anchors(&read(&file)).contains(anchor)) {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(links > 0);
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn every_document_is_a_doc_test() {
    let lib = read(Path::new("src/lib.rs"));
    for document in documents() {
        if document == Path::new("README.md") || document.starts_with("docs") {
            let included = format!("include_str!(\"../{}\")", document.display());
            assert!(lib.contains(&included), "src/lib.rs lacks {included}");
        }
    }
}

/// `...` and `N` stand for names and numbers in the runbook's messages.
#[test]
fn the_runbook_has_every_error_and_its_message() {
    let operations = read(Path::new("docs/operations.md"));
    let (_, runbook) = operations.split_once("\n## Runbook\n").unwrap();
    let (runbook, _) = runbook.split_once("\n## ").unwrap();
    let errors = read(Path::new("src/model/error/code.rs"));
    let (_, arms) = errors.split_once("pub fn code(").unwrap();
    let (arms, _) = arms.split_once("\n    }\n").unwrap();
    let codes: Vec<&str> = arms.split('"').skip(1).step_by(2).collect();
    assert!(codes.contains(&"Damaged") && codes.contains(&"Closed"));
    for code in codes {
        let mut words = runbook.split(|c: char| !c.is_alphanumeric());
        assert!(words.any(|word| word == code), "the runbook lacks {code}");
    }

    let mut source = String::new();
    append_source(&root().join("src"), &mut source);
    let commands = ["jobstore ", "ulimit ", "tail "];
    let messages = runbook.split('`').skip(1).step_by(2).filter(|span| {
        span.contains(' ') && !commands.iter().any(|command| span.starts_with(command))
    });
    let mut count = 0;
    for message in messages {
        let message = message.replace('\n', " ").replace("...", "\n");
        let message = message.replace(" N", "\n").replace("0755", "\n");
        for part in message
            .split('\n')
            .map(str::trim)
            .filter(|part| part.len() > 3)
        {
            count += 1;
            assert!(source.contains(part), "no message contains {part:?}");
        }
    }
    assert!(count > 40, "{count} messages");
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# `A`, [b](c) & d_e\n## Twice\n## Twice\n```\n# not a heading\n```\n";
    let expected = ["a-b--d_e", "twice", "twice-1"];
    assert_eq!(anchors(text), expected.map(String::from).into());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The checked documents, relative to the root.
fn documents() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(PathBuf::from)
        .into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            all.push(path.strip_prefix(root()).unwrap().to_path_buf());
        }
    }
    all
}

fn read(document: &Path) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

/// The files of a directory, with the lines of each literal joined.
fn append_source(dir: &Path, source: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            append_source(&path, source);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let mut lines = text.split("\\\n");
            source.push_str(lines.next().unwrap_or_default());
            lines.for_each(|line| source.push_str(line.trim_start()));
        }
    }
}

/// The lines outside of code blocks.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The text without code blocks and code spans.
fn prose(text: &str) -> String {
    let text: Vec<&str> = lines(text).collect();
    let text = text.join("\n");
    text.split('`').step_by(2).collect()
}

/// The targets of inline links and images.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// Resolves a path relative to a document to one relative to the root.
fn resolve(document: &Path, path: &str) -> PathBuf {
    let mut resolved = document.parent().unwrap_or(Path::new("")).to_path_buf();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => assert!(resolved.pop(), "{path} is outside of the repository"),
            component => resolved.push(component),
        }
    }
    resolved
}

/// The anchors that GitHub gives the headings of a document.
fn anchors(text: &str) -> HashSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let headings = lines(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let anchor = slug(&without_targets(line.trim_start_matches('#').trim()));
            let count = counts.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                n => format!("{anchor}-{}", n - 1),
            }
        })
        .collect()
}

/// A heading with only the texts of its links.
fn without_targets(heading: &str) -> String {
    let mut parts = heading.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, rest| {
        text + rest.split_once(')').map_or(rest, |(_, rest)| rest)
    })
}

fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
