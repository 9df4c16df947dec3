//! Supply: where crates come from, under which licences, and which of them stay out. `deny.toml` is the list; these rules apply
//! it without a further tool to install, and cargo-deny reads the same file.

use serde_json::Value;

use super::Finding;
use crate::tree::Tree;

const DENY: &str = "deny.toml";

pub(super) fn one_home_for_versions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending("/Cargo.toml").filter(|(path, _)| !path.starts_with("tests/fuzz/")) {
        let manifest: toml::Table = text.parse().unwrap_or_default();
        let inherits = |table: &toml::Value| table.get("workspace").and_then(toml::Value::as_bool) == Some(true);
        if !manifest.get("lints").is_some_and(inherits) {
            findings.push(Finding::new(path, 0, "must say `[lints] workspace = true`"));
        }
        if manifest.contains_key("profile") {
            findings.push(Finding::new(path, 0, "profiles live in the root Cargo.toml"));
        }
        for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = manifest.get(table).and_then(|table| table.as_table()).into_iter().flatten();
            let own = entries.filter(|(_, dependency)| !inherits(dependency));
            findings.extend(
                own.map(|(name, _)| {
                    Finding::new(path, 0, format!("the version of {name} lives in the root Cargo.toml"))
                }),
            );
        }
    }
    findings
}

pub(super) fn licences(tree: &Tree) -> Vec<Finding> {
    let deny: toml::Table = tree.text(DENY).parse().unwrap_or_default();
    let list = |table: &toml::Value| strings(table.get("allow"));
    let general = deny.get("licenses").map(list).unwrap_or_default();
    let exceptions =
        deny.get("licenses").and_then(|table| table.get("exceptions")?.as_array().cloned()).unwrap_or_default();
    let mut findings = Vec::new();
    for package in packages(tree) {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        let excepted = exceptions.iter().filter(|entry| entry.get("crate").and_then(toml::Value::as_str) == Some(name));
        let allowed: Vec<String> = excepted.flat_map(list).chain(general.clone()).collect();
        if !satisfied(licence, &allowed) {
            findings.push(Finding::new(
                "Cargo.lock",
                0,
                format!("{name}: the licence {licence:?} is not on the list in {DENY}"),
            ));
        }
    }
    if findings.is_empty() && general.is_empty() {
        findings.push(Finding::new(DENY, 0, "lists no licences"));
    }
    findings
}

pub(super) fn bans(tree: &Tree) -> Vec<Finding> {
    let deny: toml::Table = tree.text(DENY).parse().unwrap_or_default();
    let entries = deny.get("bans").and_then(|table| table.get("deny")?.as_array().cloned()).unwrap_or_default();
    let mut findings = Vec::new();
    for entry in &entries {
        let spec = entry.get("crate").and_then(toml::Value::as_str).unwrap_or_default();
        let (name, below) = spec.split_once("@<").unwrap_or((spec, ""));
        let Some(reason) = entry.get("reason").and_then(toml::Value::as_str) else {
            findings.push(Finding::new(DENY, 0, format!("the ban of {spec} gives no reason")));
            continue;
        };
        let wrappers = strings(entry.get("wrappers"));
        for package in packages(tree).filter(|package| text(package, "name") == name) {
            let version = text(package, "version");
            let banned = below.is_empty() || numbers(version) < numbers(below);
            let users: Vec<&str> = users_of(tree, text(package, "id"));
            let wrapped =
                !wrappers.is_empty() && users.iter().all(|user| wrappers.iter().any(|wrapper| wrapper == user));
            if banned && !wrapped {
                findings.push(Finding::new(
                    "Cargo.lock",
                    0,
                    format!("{name} {version} is banned (used by {users:?}): {reason}"),
                ));
            }
        }
    }
    if entries.is_empty() {
        findings.push(Finding::new(DENY, 0, "bans nothing"));
    }
    findings
}

pub(super) fn sources(tree: &Tree) -> Vec<Finding> {
    let foreign = packages(tree).filter(|package| {
        let source = package.get("source").and_then(Value::as_str);
        let ours = tree.metadata.get("workspace_members").and_then(Value::as_array);
        let member = ours.is_some_and(|members| members.iter().any(|id| id.as_str() == Some(text(package, "id"))));
        !member && source != Some("registry+https://github.com/rust-lang/crates.io-index")
    });
    foreign
        .map(|package| Finding::new("Cargo.lock", 0, format!("{} is not from the registry", text(package, "id"))))
        .collect()
}

/// Whether an SPDX expression can be met with the `allowed` licences. `/` is the old way to write OR.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any_of(&mut rest, allowed);
    met && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = all_of(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &[String]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, allowed);
            if let [")", rest @ ..] = *words {
                *words = rest;
            }
            met
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            allowed.iter().any(|name| name == licence)
        }
        [] => false,
    }
}

/// Names of the packages that depend on the package `id` directly.
fn users_of<'a>(tree: &'a Tree, id: &str) -> Vec<&'a str> {
    let nodes = tree.metadata.pointer("/resolve/nodes").and_then(Value::as_array).into_iter().flatten();
    let users = nodes.filter(|node| {
        let mut needs = node.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        needs.any(|need| need.as_str() == Some(id))
    });
    let by_id = |id: &str| packages(tree).find(|package| text(package, "id") == id);
    users.filter_map(|node| by_id(text(node, "id"))).map(|package| text(package, "name")).collect()
}

fn packages(tree: &Tree) -> impl Iterator<Item = &Value> {
    tree.metadata.get("packages").and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn strings(value: Option<&toml::Value>) -> Vec<String> {
    let values = value.and_then(toml::Value::as_array).into_iter().flatten();
    values.filter_map(|value| value.as_str().map(str::to_owned)).collect()
}

/// A version as numbers, for comparison; what is not a number counts as 0.
fn numbers(version: &str) -> [u64; 3] {
    let plain = version.split(['-', '+']).next().unwrap_or(version);
    let mut parts = plain.split('.').map(|part| part.parse().unwrap_or_default());
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions_are_read_as_spdx_reads_them() {
        let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
        let met = |expression| satisfied(expression, &allowed);
        assert!(met("MIT") && met("GPL-3.0 OR MIT") && met("GPL-3.0/MIT") && met("Apache-2.0 WITH LLVM-exception"));
        assert!(met("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(
            !met("")
                && !met("GPL-3.0")
                && !met("MIT AND GPL-3.0")
                && !met("(MIT OR GPL-3.0) AND GPL-3.0")
                && !met("Apache-2.0")
        );
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(
            numbers("0.9.118") < numbers("0.11")
                && numbers("5.0.0-rc.1") == numbers("5")
                && numbers("10") > numbers("9.9")
        );
    }
}
