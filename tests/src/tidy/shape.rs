//! Shape: how files are named, how long they are, how they hang together.

use super::Finding;
use crate::source::{code, lines_with};
use crate::tree::Tree;

pub(super) fn no_mod_rs(tree: &Tree) -> Vec<Finding> {
    let files = tree.ending("/mod.rs");
    files
        .map(|(path, _)| Finding::new(path, 0, "name the module file after the module: noun.rs beside noun/"))
        .collect()
}

/// Names that say nothing about what a module holds.
const VAGUE: &[&str] = &["common", "helper", "helpers", "manager", "misc", "types", "util", "utils"];

pub(super) fn named_by_content(tree: &Tree) -> Vec<Finding> {
    let vague = |path: &str| path.split('/').any(|part| VAGUE.contains(&part.trim_end_matches(".rs")));
    let files = tree.rust().filter(|(path, _)| vague(path));
    files.map(|(path, _)| Finding::new(path, 0, format!("{VAGUE:?} say nothing: name the noun"))).collect()
}

/// Longest file, in lines.
const MAX_LINES: usize = 400;

/// Files that are longer, each with why it still tells one story. An entry that is not needed is a finding too.
const LONG: &[(&str, &str)] = &[
    ("daemon/core/src/parcel.rs", "one wire format: the domain types and their encoding are read together"),
    ("daemon/core/src/step.rs", "the whole wall between engine and world on one page"),
];

pub(super) fn length(tree: &Tree) -> Vec<Finding> {
    let lines = |path: &str| tree.text(path).lines().count();
    let excused = |path: &str| LONG.iter().any(|(long, _)| *long == path);
    let unneeded = LONG.iter().filter(|(path, _)| tree.files.contains_key(*path) && lines(path) <= MAX_LINES);
    let too_long = tree.rust().filter(|(path, _)| lines(path) > MAX_LINES && !excused(path));
    let long = too_long.map(|(path, _)| {
        let what = format!("{} lines: split it, or say in tidy/shape.rs why it tells one story", lines(path));
        Finding::new(path, 0, what)
    });
    long.chain(unneeded.map(|(path, _)| Finding::new(path, 0, "is short again: take it off the list of long files")))
        .collect()
}

pub(super) fn reachable(tree: &Tree) -> Vec<Finding> {
    let orphan = |path: &&str| {
        let Some(parents) = parents(path) else { return false };
        let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".rs");
        let declared = |parent: &String| !lines_with(&code(tree.text(parent)), &format!("mod {stem}")).is_empty();
        !parents.iter().any(declared)
    };
    let files = tree.rust().map(|(path, _)| path).filter(orphan);
    files.map(|path| Finding::new(path, 0, "no module declares this file: it is never compiled")).collect()
}

/// The files that could declare the module at `path`; `None` for the root of a crate.
fn parents(path: &str) -> Option<Vec<String>> {
    let (dir, file) = path.rsplit_once('/')?;
    let dir_name = dir.rsplit('/').next().unwrap_or(dir);
    let crate_dir = ["bin", "tests", "examples", "benches", "fuzz_targets"].contains(&dir_name);
    let under_source = dir.contains("/src/") || dir.ends_with("/src");
    let root =
        matches!(file, "lib.rs" | "main.rs" | "build.rs") || (crate_dir && !under_source) || dir.ends_with("/src/bin");
    if root {
        return None;
    }
    Some(vec![format!("{dir}.rs"), format!("{dir}/lib.rs"), format!("{dir}/main.rs")])
}

pub(super) fn headers(tree: &Tree) -> Vec<Finding> {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/src/") && path.contains("/tests/");
    let says =
        |text: &str| text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//!"));
    let files = tree.rust().filter(|(path, text)| !is_test(path) && !says(text));
    files.map(|(path, _)| Finding::new(path, 1, "begin with `//!`: what the module is and why it works")).collect()
}
