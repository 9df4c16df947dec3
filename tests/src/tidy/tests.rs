use serde_json::json;

use super::*;

#[test]
fn tidy_the_tree_keeps_every_rule() {
    let tree = Tree::read().unwrap();
    let broken: Vec<String> = RULES
        .iter()
        .flat_map(|rule| (rule.check)(&tree).into_iter().map(|finding| format!("{}: {finding}", rule.name)))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn tidy_every_rule_can_go_red() {
    for rule in RULES {
        let trees: Vec<Tree> =
            broken_trees().into_iter().filter(|(name, _)| *name == rule.name).map(|(_, t)| t).collect();
        assert!(!trees.is_empty(), "no tree breaks the rule: {}", rule.name);
        for tree in trees {
            assert!(!(rule.check)(&tree).is_empty(), "`{}` did not notice: {:?}", rule.name, tree.files);
        }
    }
}

#[test]
fn tidy_words_in_comments_and_strings_are_no_use_of_a_crate() {
    let tree = Tree::of(&[(
        "daemon/src/driver.rs",
        "//! The store hides `rusqlite::Connection`.\nconst S: &str = \"redis::x\";",
    )]);
    assert_eq!(layers::one_home(&tree), []);
}

#[test]
fn tidy_a_crate_may_be_named_at_home() {
    let home = Tree::of(&[
        ("daemon/src/store/read.rs", "use rusqlite::Connection;"),
        ("daemon/src/store.rs", "use rusqlite::Row;"),
    ]);
    assert_eq!(layers::one_home(&home), []);
    let neighbour = Tree::of(&[("daemon/src/store_room.rs", "use rusqlite::Connection;")]);
    assert_eq!(layers::one_home(&neighbour).len(), 1);
}

#[test]
fn tidy_run_daemon_may_enter_the_library() {
    assert_eq!(
        layers::kin_knows_only_the_api(&Tree::of(&[("daemon/src/bin/kin/run_daemon.rs", "kinfolk::daemon::run()")])),
        []
    );
}

/// For each rule, trees that break it.
fn broken_trees() -> Vec<(&'static str, Tree)> {
    let one = |rule, path, text| (rule, Tree::of(&[(path, text)]));
    let core = "daemon/core/src/engine.rs";
    let mut trees = vec![
        one(
            "the core depends on four crates and nothing else",
            "daemon/core/Cargo.toml",
            "[dependencies]\nbytes = \"1\"\nprost = \"1\"\nsha2 = \"1\"\nthiserror = \"1\"\n[target.'cfg(unix)'.dependencies]\nlibc = \"1\"",
        ),
        one(
            "the core depends on four crates and nothing else",
            "daemon/core/Cargo.toml",
            "[dependencies]\nbytes = \"1\"",
        ),
        one("every acceptance case names a test that exists", "docs/acceptance.md", "| a | `no_such_test` |"),
        one("every acceptance case names a test that exists", "docs/acceptance.md", "| a | \"no such scenario\" |"),
        one("every acceptance case names a test that exists", "docs/acceptance.md", "| a | by hand |"),
        one("every acceptance case names a test that exists", "README.md", "nothing"),
        one("the core touches nothing", core, "use std::{fmt, fs::File};"),
        one("the core touches nothing", core, "fn f() { std::time::Duration::ZERO }"),
        one("the core touches nothing", core, "use tokio::sync::mpsc;"),
        one("the core touches nothing", core, "fn f() { let now = Instant::now(); }"),
        one("kin knows only the local API", "daemon/src/bin/kin/status.rs", "use kinfolk::store::Store;"),
        one("kin knows only the local API", "daemon/src/bin/kin/status.rs", "fn f(id: kinfolk_core::ids::DeviceId) {}"),
        one("the local API knows nothing of the daemon", "ipc-proto/Cargo.toml", "[dependencies]\nkinfolk = \"1\""),
        one("the local API knows nothing of the daemon", "ipc-proto/src/client.rs", "use kinfolk_core::ids::Hash;"),
        one("each foreign crate has one home", "daemon/src/driver.rs", "use rusqlite::Connection;"),
        one("each foreign crate has one home", "daemon/src/store.rs", "fn f() { hpke::seal() }"),
        one("each foreign crate has one home", "daemon/src/relay.rs", "use redis::aio;"),
        one("each foreign crate has one home", "daemon/src/driver.rs", "use interprocess::local_socket;"),
        one(
            "only those who checked a signature vouch for it",
            "daemon/src/ipc/admin.rs",
            "let v = Verified::vouch(record);",
        ),
        one(
            "versions, lints and profiles have one home",
            "ipc-proto/Cargo.toml",
            "[lints]\nworkspace = true\n[dependencies]\nprost = \"1\"",
        ),
        one("versions, lints and profiles have one home", "ipc-proto/Cargo.toml", "[package]\nname = \"x\""),
        one("modules are noun.rs beside noun/", "daemon/src/store/mod.rs", "//! Store."),
        one("modules are named by what they hold", "daemon/src/utils.rs", "//! Things."),
        one("modules are named by what they hold", "daemon/src/relay/common/paths.rs", "//! Things."),
        ("a file tells one story in 400 lines", Tree::of(&[("daemon/src/driver.rs", &"//\n".repeat(401))])),
        one("a file tells one story in 400 lines", "daemon/core/src/step.rs", "//! Short again."),
        (
            "every source file is part of a crate",
            Tree::of(&[("daemon/src/lib.rs", "pub mod store;"), ("daemon/src/relay.rs", "")]),
        ),
        (
            "every source file is part of a crate",
            Tree::of(&[("daemon/src/store.rs", "// mod read;"), ("daemon/src/store/read.rs", "")]),
        ),
        one("every module begins by saying what it is", "daemon/src/driver.rs", "use std::fmt;"),
        one("nothing is left for later", "daemon/src/driver.rs", concat!("// TO", "DO: later")),
        one("nothing is left for later", "daemon/src/driver.rs", concat!("fn f() { unimple", "mented!() }")),
        one("nothing is left for later", "contrib/dev/test", concat!("# FIX", "ME")),
        one(
            "lints are expected with a reason, never allowed",
            "daemon/src/driver.rs",
            "#[allow(dead_code)]\nfn f() {}",
        ),
        one("every test runs", "daemon/src/driver.rs", "#[ignore = \"slow\"]\nfn f() {}"),
        one(
            "no path of a developer's machine stands in the tree",
            "docs/hacking.md",
            concat!("see /ho", "me/me/kinfolk"),
        ),
        one("scripts stop at the first error", "contrib/dev/test", "#!/usr/bin/env bash\ncargo ci\n"),
        one("cargo aliases are the task programs", ".cargo/config.toml", "[alias]\nx = \"run --bin gone\""),
        one("cargo aliases are the task programs", "tests/src/bin/unlisted.rs", ""),
        one("commands in README and docs exist", "README.md", "```sh\ncargo gone\n```"),
        one("commands in README and docs exist", "docs/hacking.md", "```sh\nRUST_LOG=debug contrib/dev/gone\n```"),
        one("links in README and docs lead somewhere", "docs/hacking.md", "[map](../gone.md)"),
        one("every golden file is read by a test", "tests/golden/core/orphan.hex", "00"),
        one("every golden file is read by a test", "README.md", ""),
        one("the changelog has an Unreleased section", "CHANGELOG.md", "# Changelog"),
        one("CI runs the README's test command", "README.md", "contrib/dev/test"),
    ];
    let deny = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [{ crate = \"a@<2\", reason = \"r\" }]";
    let resolved = |rule, deny: &str, package: serde_json::Value| {
        let metadata = json!({ "packages": [package], "workspace_members": [] });
        (rule, Tree { metadata, ..Tree::of(&[("deny.toml", deny)]) })
    };
    let licence = "every licence is on the allow-list";
    let ban = "no banned crate is in the lockfile";
    trees.push(resolved(licence, deny, json!({ "name": "a", "license": "GPL-3.0" })));
    trees.push(resolved(licence, deny, json!({ "name": "a", "license": null })));
    trees.push(resolved(licence, "", json!({})));
    trees.push(resolved(ban, deny, json!({ "name": "a", "version": "1.9.9", "id": "a 1" })));
    trees.push(resolved(ban, "[bans]\ndeny = [{ crate = \"b\" }]", json!({ "name": "a", "version": "1.0.0" })));
    trees.push(resolved(ban, "", json!({})));
    trees.push(resolved(
        "every crate comes from the registry",
        deny,
        json!({ "id": "a", "source": "git+https://example.invalid/a" }),
    ));
    trees
}
