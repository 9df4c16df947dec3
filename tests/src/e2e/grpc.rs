//! The local API from outside: a generic gRPC client that knows nothing but the socket.

use std::process::Command;

use super::world::World;
use super::{Failed, Programs, expect};
use crate::tree::root;

pub(super) fn reflection(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    let paths = a.json(&["paths"])?;
    let socket = paths["socket"].as_str().unwrap_or_default();
    let token = world.path("token").display().to_string();
    a.ok(&["apps", "authorize", "script", "--conversations", "from python", "--scope", "write", "--out", &token])?;
    let python = root().join("target/python/bin/python");
    let mut script = Command::new(&python);
    script.arg(root().join("tests/e2e/reflect.py")).args([socket, &token]);
    let output = script.output().map_err(Failed::io(format!("{} (contrib/dev/test installs it)", python.display())))?;
    let (words, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    expect(output.status.success(), || format!("the script to end well: {words}{errors}"))?;
    let services = ["Admin", "Conversations", "Info", "Records"].map(|name| format!("kinfolk.v1.{name}"));
    for service in services.iter().map(String::as_str).chain(["grpc.health.v1.Health"]) {
        expect(words.lines().any(|line| line == service), || format!("{service} in {words}"))?;
    }
    let exported = a.ok(&["export"])?;
    expect(exported.contains("posted by a generic client"), || "the posted message".into())
}
