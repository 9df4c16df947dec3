//! Papers: what README, docs, aliases and golden files promise is there.

use std::collections::BTreeSet;

use super::Finding;
use crate::tree::Tree;

const CARGO_CONFIG: &str = ".cargo/config.toml";

pub(super) fn aliases(tree: &Tree) -> Vec<Finding> {
    let program = |path: &str| {
        let rest = path.strip_prefix("tests/src/bin/")?;
        rest.strip_suffix("/main.rs")
            .or_else(|| rest.strip_suffix(".rs"))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
    };
    let programs: BTreeSet<String> = tree.files.keys().filter_map(|path| program(path)).collect();
    let aliases: BTreeSet<String> = alias_table(tree).into_iter().map(|(alias, _)| alias).collect();
    let mut findings = Vec::new();
    for (alias, command) in alias_table(tree) {
        let mut words = command.split_whitespace();
        let run = words.find(|word| *word == "--bin").and_then(|_| words.next());
        if run != Some(&alias) || !programs.contains(&alias) {
            findings.push(Finding::new(
                CARGO_CONFIG,
                0,
                format!("the alias {alias} runs no program tests/src/bin/{alias}"),
            ));
        }
    }
    let unlisted = programs.difference(&aliases);
    findings
        .extend(unlisted.map(|name| Finding::new(CARGO_CONFIG, 0, format!("give the task program {name} an alias"))));
    findings
}

/// Subcommands that cargo itself or a program of its own has, and our papers use.
const CARGO: &[&str] =
    &["add", "bench", "build", "check", "clippy", "doc", "fmt", "fuzz", "install", "mutants", "run", "test", "update"];

pub(super) fn commands(tree: &Tree) -> Vec<Finding> {
    let aliases: BTreeSet<String> = alias_table(tree).into_iter().map(|(alias, _)| alias).collect();
    let mut findings = Vec::new();
    for (path, text) in papers(tree) {
        for (line, command) in shell_lines(text) {
            let words =
                command.split_whitespace().skip_while(|word| word.contains('=') || *word == "$").collect::<Vec<_>>();
            let (Some(program), argument) = (words.first(), words.get(1)) else { continue };
            let subcommand = argument.filter(|word| !word.starts_with('+') && !word.starts_with('-'));
            let unknown =
                *program == "cargo" && subcommand.is_some_and(|word| !CARGO.contains(word) && !aliases.contains(*word));
            if unknown {
                findings.push(Finding::new(path, line, format!("there is no such cargo command: {command}")));
            }
            let file = program.trim_start_matches("./");
            if program.contains('/')
                && !program.starts_with('/')
                && !file.starts_with("target/")
                && !tree.files.contains_key(file)
            {
                findings.push(Finding::new(path, line, format!("{program} does not exist")));
            }
        }
    }
    findings
}

pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in papers(tree) {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for (index, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices("](") {
                let target = line[at + 2..].split([')', '#']).next().unwrap_or_default();
                if target.is_empty() || target.contains("://") {
                    continue;
                }
                let full = resolve(dir, target);
                let exists = tree.files.keys().any(|file| *file == full || file.starts_with(&format!("{full}/")));
                if !exists {
                    findings.push(Finding::new(path, index + 1, format!("{target} does not exist")));
                }
            }
        }
    }
    findings
}

/// Each case and the tests that show it.
const ACCEPTANCE: &str = "docs/acceptance.md";

pub(super) fn acceptance(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut cases = 0;
    for (index, line) in tree.text(ACCEPTANCE).lines().enumerate() {
        let Some((case, shown)) = line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) else { continue };
        if case == "case" {
            continue;
        }
        cases += 1;
        // A name in code is a test function, one in quotes a scenario.
        let functions = shown.split('`').skip(1).step_by(2).map(|name| format!("fn {name}("));
        let scenarios = shown.split('"').skip(1).step_by(2).map(|name| format!("name: \"{name}\""));
        let names: Vec<String> = functions.chain(scenarios).collect();
        if names.is_empty() {
            findings.push(Finding::new(ACCEPTANCE, index + 1, "name the test that shows this case"));
        }
        for name in names.iter().filter(|name| !tree.rust().any(|(_, text)| text.contains(name.as_str()))) {
            findings.push(Finding::new(ACCEPTANCE, index + 1, format!("there is no `{name}`")));
        }
    }
    if cases == 0 {
        findings.push(Finding::new(ACCEPTANCE, 0, "the acceptance cases are missing"));
    }
    findings
}

pub(super) fn golden(tree: &Tree) -> Vec<Finding> {
    let files: Vec<&String> = tree.files.keys().filter(|path| path.starts_with("tests/golden/")).collect();
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let stem = name.split('.').next().unwrap_or(name);
        tree.rust().any(|(_, text)| text.contains(&format!("\"{stem}\"")) || text.contains(name))
    };
    let orphans = files.iter().filter(|path| !path.ends_with(".md") && !named(path));
    let mut findings: Vec<_> = orphans.map(|path| Finding::new(path, 0, "no test reads this golden file")).collect();
    if !files.iter().any(|path| path.starts_with("tests/golden/core/")) {
        findings.push(Finding::new("tests/golden/core", 0, "the frozen bytes of the core are missing"));
    }
    findings
}

pub(super) fn changelog(tree: &Tree) -> Vec<Finding> {
    let path = "CHANGELOG.md";
    if tree.text(path).lines().any(|line| line == "## [Unreleased]") {
        return Vec::new();
    }
    vec![Finding::new(path, 0, "needs the section `## [Unreleased]`: what the next version changes for people")]
}

/// The README's test command.
const TEST_COMMAND: &str = "contrib/dev/test";

pub(super) fn ci_runs_the_readme(tree: &Tree) -> Vec<Finding> {
    let runs = |path: &str| tree.text(path).lines().any(|line| line.trim_end().ends_with(TEST_COMMAND));
    let places = ["README.md", ".ci/run", ".github/workflows/ci.yml"];
    let missing = places.iter().filter(|path| !runs(path));
    missing.map(|path| Finding::new(path, 0, format!("must run {TEST_COMMAND}"))).collect()
}

fn papers(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.ending(".md").filter(|(path, _)| !path.contains('/') || path.starts_with("docs/"))
}

/// The command lines in fenced `sh` and `console` blocks, with their line numbers.
pub(crate) fn shell_lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside && ["sh", "console", "bash"].contains(&language.trim());
        } else if inside && !line.trim_start().starts_with('#') {
            lines.push((index + 1, line.trim()));
        }
    }
    lines
}

fn alias_table(tree: &Tree) -> Vec<(String, String)> {
    let config: toml::Table = tree.text(CARGO_CONFIG).parse().unwrap_or_default();
    let aliases = config.get("alias").and_then(|table| table.as_table());
    let entries = aliases.into_iter().flatten();
    entries.map(|(name, command)| (name.clone(), command.as_str().unwrap_or_default().to_owned())).collect()
}

fn resolve(dir: &str, target: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
