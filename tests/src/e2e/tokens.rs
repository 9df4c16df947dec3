//! Apps: programs with a token of their own, and what they cannot do.

use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn in_a_sandbox(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    a.ok(&["put", "private", "p", "x=1"])?;
    let token = world.path("token");
    let out = token.display().to_string();
    let said = a.ok(&["apps", "authorize", "notes", "--collections", "notes", "--scope", "write", "--out", &out])?;
    expect(!said.contains("kin_app_"), || "no token on the screen".into())?;
    same(
        "a second token in the same file",
        a.kin(&["apps", "authorize", "other", "--collections", "x", "--out", &out])?.code,
        1,
    )?;

    let app = a.in_sandbox(world.path("sandbox"), token.clone());
    app.ok(&["put", "notes", "n", "x=1"])?;
    let record = app.json(&["get", "notes", "n"])?;
    same("what it wrote", record["record"]["fields"]["x"].clone(), "1".into())?;
    app.refuses(&["get", "private", "p"], 5, "permission_denied")?;
    app.refuses(&["put", "private", "p", "x=2"], 5, "permission_denied")?;
    app.refuses(&["status"], 5, "permission_denied")?;
    app.refuses(&["export"], 5, "permission_denied")?;
    app.refuses(&["apps", "authorize", "more", "--collections", "*"], 5, "permission_denied")?;
    app.refuses(&["down"], 5, "permission_denied")?;

    let stranger = a.in_sandbox(world.path("sandbox"), world.path("nothing here"));
    stranger.refuses(&["put", "notes", "n", "x=2"], 5, "bad_credential")?;
    // An empty name of a file is none, and the owner's credential cannot be read from there.
    let nobody = a.in_sandbox(world.path("sandbox"), "".into());
    nobody.refuses(&["get", "notes", "n"], 5, "unauthenticated")?;
    nobody.refuses(&["down"], 5, "unauthenticated")?;

    let listed = a.json(&["apps", "list"])?;
    same("apps", listed["apps"].as_array().map(Vec::len), Some(1))?;
    expect(listed["apps"][0]["last_used"].is_string(), || format!("when it was last used: {listed}"))?;
    a.ok(&["apps", "revoke", "notes"])?;
    app.refuses(&["get", "notes", "n"], 5, "unauthenticated")?;
    a.ok(&["get", "notes", "n"]).map(drop)
}
