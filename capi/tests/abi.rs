//! A program that was compiled with an older header runs with the library of today: everything that
//! `abi.txt` lists is still in the header, unchanged. The list contains the numbers of the constants,
//! the fields of the structures, and the types of the callbacks and functions; the names of
//! parameters do not matter to a compiled program. `JOBSTORE_WRITE_ABI=1` adds what is new. It never
//! removes a line, unless the soname changed.

use std::fs;
use std::path::PathBuf;

const HEADER: &str = include_str!("../include/jobstore.h");

fn list_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/abi.txt")
}

/// The soname, as `build.rs` sets it.
fn soname() -> String {
    let (major, minor) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
    );
    match major {
        "0" => format!("libjobstore.so.0.{minor}"),
        _ => format!("libjobstore.so.{major}"),
    }
}

/// What a compiled program depends on, one line each, in the order of the header.
fn abi(header: &str) -> Vec<String> {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    // Inline functions are compiled into the program.
    let code = code.split("static inline").next().unwrap_or_default();
    let mut lines = Vec::new();
    let (mut statement, mut depth) = (String::new(), 0);
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if let Some(define) = line.strip_prefix("#define ") {
            lines.extend(
                define
                    .split_once(' ')
                    .map(|(name, value)| format!("{name} = {value}")),
            );
        }
        if line.starts_with(['#', '/']) || line == "extern \"C\" {" {
            continue;
        }
        for c in line.chars().chain([' ']) {
            depth += i32::from(c == '{') - i32::from(c == '}');
            match c {
                ';' if depth == 0 => lines.push(normal(&std::mem::take(&mut statement))),
                '}' if depth < 0 => depth = 0, // the end of `extern "C"`
                _ => statement.push(c),
            }
        }
    }
    assert!(statement.trim().is_empty(), "{statement}");
    lines
}

/// A declaration with single spaces, and a function without the names of its parameters.
fn normal(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let text = words.join(" ");
    match text.split_once('(') {
        Some((head, parameters)) if !text.starts_with("typedef") => {
            let parameters = parameters.trim_end_matches(')').split(", ");
            let name = |c: char| c.is_alphanumeric() || c == '_';
            let types = parameters.map(|parameter| match parameter {
                "void" => parameter,
                _ => parameter.trim_end_matches(name).trim_end(),
            });
            format!("{head}({})", types.collect::<Vec<_>>().join(", "))
        }
        _ => text,
    }
}

/// What a program that was compiled with the list does not find in the header.
fn broken<'a>(list: &[&'a str], header: &[String]) -> Vec<&'a str> {
    let is_missing = |line: &&&str| !header.iter().any(|now| now == **line);
    list.iter().filter(is_missing).copied().collect()
}

#[test]
fn a_program_that_was_compiled_earlier_still_runs() {
    let now = abi(HEADER);
    assert!(now.len() > 150, "{} lines", now.len());
    let text = fs::read_to_string(list_path()).unwrap_or_default();
    let (first, list) = text.split_once('\n').unwrap_or_default();
    let mut list: Vec<&str> = list.lines().collect();
    let may_write = std::env::var_os("JOBSTORE_WRITE_ABI").is_some();
    if may_write && first != soname() {
        list.clear();
    } else {
        assert_eq!(
            first,
            soname(),
            "run `JOBSTORE_WRITE_ABI=1 cargo test -p jobstore-capi --test abi`"
        );
    }
    let broken = broken(&list, &now);
    assert!(
        broken.is_empty(),
        "programs that were compiled with an older jobstore.h would break, because these \
         declarations were removed or changed: {broken:#?}. Restore them, and add a new function or \
         constant instead. A change that no release contains yet can be removed from \
         capi/tests/abi.txt by hand."
    );
    let new = now.iter().filter(|line| !list.contains(&line.as_str()));
    let new: Vec<&str> = new.map(String::as_str).collect();
    if may_write {
        let soname = soname();
        let lines = [&[soname.as_str()], &list[..], &new[..]].concat();
        fs::write(list_path(), lines.join("\n") + "\n").unwrap();
    } else {
        assert!(
            new.is_empty(),
            "capi/tests/abi.txt lacks {new:#?}; run \
             `JOBSTORE_WRITE_ABI=1 cargo test -p jobstore-capi --test abi`"
        );
    }
}

#[test]
fn incompatible_changes_are_found() {
    let released = abi(HEADER);
    let released: Vec<&str> = released.iter().map(String::as_str).collect();
    let check = |from: &str, to: &str| {
        assert_eq!(HEADER.matches(from).count(), 1, "{from}");
        broken(&released, &abi(&HEADER.replace(from, to))).len()
    };
    // A parameter is renamed, or a function and a code are added.
    assert_eq!(
        check(
            "jobstore_text directory,\n                        const",
            "jobstore_text path,\n const"
        ),
        0
    );
    assert_eq!(
        check(
            "const char *jobstore_version(void);",
            "const char *jobstore_version(void);\nvoid jobstore_new(int x);"
        ),
        0
    );
    assert_eq!(
        check(
            "#define JOBSTORE_OK 0\n",
            "#define JOBSTORE_OK 0\n#define JOBSTORE_ERROR_NEW 66\n"
        ),
        0
    );
    // The number of a code is changed.
    assert_eq!(
        check(
            "#define JOBSTORE_ERROR_CLOSED 64",
            "#define JOBSTORE_ERROR_CLOSED 66"
        ),
        1
    );
    // A function is removed; a parameter is added; the type of a parameter or a result is changed.
    assert_eq!(check("const char *jobstore_version(void);", ""), 1);
    assert_eq!(
        check(
            "const char *jobstore_version(void);",
            "const char *jobstore_version(int x);"
        ),
        1
    );
    assert_eq!(
        check(
            "size_t jobstore_page_len(const",
            "int32_t jobstore_page_len(const"
        ),
        1
    );
    assert_eq!(check("uint8_t percent,", "uint32_t percent,"), 1);
    // A field is added to a structure; a callback is changed.
    assert_eq!(
        check(
            "  jobstore_text body;\n",
            "  jobstore_text body;\n  jobstore_text origin;\n"
        ),
        1
    );
    assert_eq!(
        check(
            "size_t capacity);\n\n/**\n * Receives a log",
            "int capacity);\n\n/**\n * Receives a log"
        ),
        1
    );
}
