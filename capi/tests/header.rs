//! The committed header is the one that is generated from the sources, and it has a constant for
//! every error of the store. `JOBSTORE_WRITE_HEADER=1` writes the header.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header_path() -> PathBuf {
    crate_dir().join("include/jobstore.h")
}

fn generated() -> String {
    let config = cbindgen::Config::from_file(crate_dir().join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_src(crate_dir().join("src/lib.rs"))
        .with_config(config)
        .generate()
        .unwrap();
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn the_header_is_up_to_date() {
    let generated = generated();
    if std::env::var_os("JOBSTORE_WRITE_HEADER").is_some() {
        fs::write(header_path(), &generated).unwrap();
    }
    let committed = fs::read_to_string(header_path()).unwrap();
    assert!(
        committed == generated,
        "capi/include/jobstore.h differs from the sources; run \
         `JOBSTORE_WRITE_HEADER=1 cargo test -p jobstore-capi --test header`"
    );
}

/// The names of all variants of `Error`, in the order of `Error::code`.
fn error_names() -> Vec<String> {
    let code = fs::read_to_string(crate_dir().join("../src/model/error/code.rs")).unwrap();
    let (_, arms) = code.split_once("pub fn code(").unwrap();
    let (arms, _) = arms.split_once("\n    }\n").unwrap();
    let names = arms.split('"').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

fn constant(name: &str) -> String {
    let mut constant = String::from("JOBSTORE_ERROR");
    for c in name.chars() {
        if c.is_uppercase() {
            constant.push('_');
        }
        constant.push(c.to_ascii_uppercase());
    }
    constant
}

#[test]
fn every_error_has_a_constant() {
    let header = fs::read_to_string(header_path()).unwrap();
    let names = error_names();
    assert!(names.len() > 60 && names.contains(&"InvalidParameter".to_owned()));
    let mut numbers = BTreeSet::new();
    for name in &names {
        let define = format!("#define {} ", constant(name));
        let line = header.lines().find(|line| line.starts_with(&define));
        let line = line.unwrap_or_else(|| panic!("the header lacks {define}"));
        let number: u32 = line[define.len()..].parse().unwrap();
        assert!(numbers.insert(number), "{line}: the number is not unique");
    }
    // Numbers are never reused, so there are no gaps below the newest one.
    let last = u32::try_from(names.len()).unwrap();
    assert_eq!(numbers, (1..=last).collect());

    let codes = fs::read_to_string(crate_dir().join("src/codes.rs")).unwrap();
    for name in &names {
        let mapping = format!("\"{name}\" => {},", constant(name));
        assert!(codes.contains(&mapping), "src/codes.rs lacks {mapping}");
    }
}
