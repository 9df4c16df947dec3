//! Tidy: the rules of the house that no compiler checks, each a function from the source tree to findings.
//!
//! `cargo tidy` and the test run apply the same list, [`RULES`]. A rule's name is the sentence that must hold. To add one: write the
//! function in the file of its kind, name it in the list, and show in `tidy/tests.rs` a tree that breaks it (a test
//! fails for a rule that has none).

mod layers;
pub(crate) mod papers;
mod shape;
mod supply;
mod words;

use std::fmt;

use crate::tree::Tree;

/// A place that breaks a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Path from the root.
    pub path: String,
    /// Line from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// One rule of the house.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The sentence that must hold.
    pub name: &'static str,
    /// Finds what breaks it.
    pub check: fn(&Tree) -> Vec<Finding>,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule { name: "the core depends on four crates and nothing else", check: layers::core_dependencies },
    Rule { name: "the core touches nothing", check: layers::core_touches_nothing },
    Rule { name: "kin knows only the local API", check: layers::kin_knows_only_the_api },
    Rule { name: "the local API knows nothing of the daemon", check: layers::api_knows_no_daemon },
    Rule { name: "each foreign crate has one home", check: layers::one_home },
    Rule { name: "only those who checked a signature vouch for it", check: layers::vouching },
    Rule { name: "versions, lints and profiles have one home", check: supply::one_home_for_versions },
    Rule { name: "every licence is on the allow-list", check: supply::licences },
    Rule { name: "no banned crate is in the lockfile", check: supply::bans },
    Rule { name: "every crate comes from the registry", check: supply::sources },
    Rule { name: "modules are noun.rs beside noun/", check: shape::no_mod_rs },
    Rule { name: "modules are named by what they hold", check: shape::named_by_content },
    Rule { name: "a file tells one story in 400 lines", check: shape::length },
    Rule { name: "every source file is part of a crate", check: shape::reachable },
    Rule { name: "every module begins by saying what it is", check: shape::headers },
    Rule { name: "nothing is left for later", check: words::nothing_left },
    Rule { name: "lints are expected with a reason, never allowed", check: words::no_bare_allow },
    Rule { name: "every test runs", check: words::no_ignored_test },
    Rule { name: "no path of a developer's machine stands in the tree", check: words::no_private_path },
    Rule { name: "scripts stop at the first error", check: words::strict_scripts },
    Rule { name: "cargo aliases are the task programs", check: papers::aliases },
    Rule { name: "commands in README and docs exist", check: papers::commands },
    Rule { name: "links in README and docs lead somewhere", check: papers::links },
    Rule { name: "every acceptance case names a test that exists", check: papers::acceptance },
    Rule { name: "every golden file is read by a test", check: papers::golden },
    Rule { name: "the changelog has an Unreleased section", check: papers::changelog },
    Rule { name: "CI runs the README's test command", check: papers::ci_runs_the_readme },
];

#[cfg(test)]
mod tests;
