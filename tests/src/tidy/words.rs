//! Words that must not stand in the tree.

use super::Finding;
use crate::source::{code, lines_with};
use crate::tree::Tree;

// Written in halves, so that the rules do not find themselves.
const LATER: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const LATER_CODE: &[&str] = &[concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];

pub(super) fn nothing_left(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| is_written(path)) {
        for word in LATER {
            let lines = lines_with(text, word);
            findings.extend(
                lines.into_iter().map(|line| Finding::new(path, line, format!("{word}: do it, or leave it out"))),
            );
        }
    }
    for (path, text) in tree.rust() {
        let code = code(text);
        for word in LATER_CODE {
            let lines = lines_with(&code, word);
            findings.extend(lines.into_iter().map(|line| Finding::new(path, line, format!("{word} is for a draft"))));
        }
    }
    findings
}

pub(super) fn no_bare_allow(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().flat_map(|(path, text)| {
        let code = code(text);
        let outer = lines_with(&code, "#[allow");
        let inner = lines_with(&code, "#![allow");
        outer.into_iter().chain(inner).map(move |line| (path, line)).collect::<Vec<_>>()
    });
    files.map(|(path, line)| Finding::new(path, line, "write #[expect(lint, reason = \"…\")]")).collect()
}

pub(super) fn no_ignored_test(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().flat_map(|(path, text)| {
        let lines = lines_with(&code(text), "#[ignore");
        lines.into_iter().map(move |line| Finding::new(path, line, "a test that does not run proves nothing"))
    });
    files.collect()
}

/// Where people's own directories begin.
const PRIVATE: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!(r"C:\Us", r"ers\")];

pub(super) fn no_private_path(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        for private in PRIVATE {
            // An absolute path begins a word, as `$state/root/…` does not; and u is anybody.
            let absolute = |line: &str| {
                line.match_indices(private).any(|(at, _)| {
                    let (before, after) = (line[..at].chars().next_back(), &line[at + private.len()..]);
                    let anybody = after.strip_prefix('u').is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
                    !anybody && !before.is_some_and(|c| c.is_alphanumeric() || "}_-.*~".contains(c))
                })
            };
            let lines = text.lines().enumerate().filter(|(_, line)| absolute(line));
            findings.extend(lines.map(|(index, _)| {
                Finding::new(
                    path,
                    index + 1,
                    format!("{private}… is one machine's path; for anybody's write {private}u"),
                )
            }));
        }
    }
    findings
}

pub(super) fn strict_scripts(tree: &Tree) -> Vec<Finding> {
    let bash = |text: &str| text.lines().next().is_some_and(|line| line.starts_with("#!") && line.contains("sh"));
    let strict = |text: &str| text.lines().any(|line| line == "set -euo pipefail");
    let files = tree.files.iter().filter(|(_, text)| bash(text) && !strict(text));
    files.map(|(path, _)| Finding::new(path, 1, "a script says `set -euo pipefail`")).collect()
}

/// Whether people write this file as part of the program.
fn is_written(path: &str) -> bool {
    [".rs", ".proto", ".py", ".sh", ".sql", ".toml", ".yml", ".service", ".plist"].iter().any(|end| path.ends_with(end))
        || path.starts_with("contrib/")
        || path.starts_with(".ci/")
}
