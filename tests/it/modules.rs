//! The structure of the crate: modules import only from those below them in the map of `lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules of the crate, as the map in `lib.rs` lists them.
fn map() -> Vec<String> {
    let library = fs::read_to_string(source().join("lib.rs")).expect("the library");
    let rows = library.lines().filter_map(|line| {
        let cell = line.strip_prefix("//! | ")?.split(" |").next()?;
        let name = cell.trim_matches(|c: char| !c.is_ascii_lowercase());
        cell.contains('`').then(|| name.to_owned())
    });
    rows.collect()
}

/// The Rust files below a directory.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules at the top of the crate that a file's code names.
fn imports(code: &str) -> impl Iterator<Item = &str> {
    let named = code.split("crate::").skip(1);
    named.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

#[test]
fn every_module_is_in_the_map() {
    let map = map();
    let mut modules: Vec<_> = fs::read_dir(source())
        .expect("the source")
        .map(|entry| entry.expect("an entry").path().with_extension(""))
        .map(|path| path.file_name().expect("a name").to_owned())
        .filter(|name| name != "lib" && name != "main")
        .map(|name| name.into_string().expect("UTF-8"))
        .collect();
    modules.sort_unstable();
    let mut mapped = map;
    mapped.sort_unstable();
    assert_eq!(modules, mapped);
    // Built for the fuzz targets alone, it is no part of the program.
    modules.retain(|module| module != "fuzzing");
    assert!(modules.len() <= 17, "{} modules at the top", modules.len());
}

#[test]
fn modules_import_only_from_those_below_them() {
    let map = map();
    let mut found = Vec::new();
    files(&source(), &mut found);
    for path in found {
        let inside = path.strip_prefix(source()).expect("below the source");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let Some(level) = map
            .iter()
            .position(|module| *module == first.trim_end_matches(".rs"))
        else {
            continue;
        };
        let code = fs::read_to_string(&path).expect("a file");
        for import in imports(&code) {
            let other = map.iter().position(|module| module == import);
            assert!(
                other.is_none_or(|other| other >= level),
                "{} imports {import}, which is above it in the map",
                inside.display()
            );
        }
    }
}
