//! Conversations: what they are and up to where they were read, on all devices; and archives of them.

use super::device::{Device, parse};
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};

pub(super) fn described_and_read(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let (a, b) = world.pair()?;
    a.ok(&["conv", "set", "family", "--kind", "group", "--title", "The family", "--add", "ann"])?;
    for (id, second) in [("m1", "01"), ("m2", "02"), ("m3", "03")] {
        let at = format!("2026-01-01T00:00:{second}Z");
        a.ok(&["msg", "post", "family", "text", "--id", id, "--at", &at])?;
    }
    converged(&[&a, &b])?;
    b.ok(&["conv", "set", "family", "--add", "bob"])?;
    // A local marker says nothing to the other device; one that is synced does.
    b.ok(&["conv", "read", "family", "--to", "m1"])?;
    converged(&[&a, &b])?;
    same("unread on b", unread(&b)?, Some(2))?;
    same("unread on a", unread(&a)?, Some(3))?;
    b.ok(&["conv", "set", "family", "--read-markers", "synced"])?;
    b.ok(&["conv", "read", "family", "--to", "m2"])?;
    converged(&[&a, &b])?;
    same("unread on a", unread(&a)?, Some(1))?;
    let shown = a.json(&["conv", "show", "family"])?;
    let told = &shown["conversation"];
    same("its title", told["title"].as_str(), Some("The family"))?;
    same("its members", told["members"].as_array().map(Vec::len), Some(2))?;
    same("read to", told["read_to"]["id"].as_str(), Some("m2"))?;
    for device in [&a, &b] {
        device.ok(&["store", "verify"])?;
    }
    Ok(())
}

pub(super) fn archive(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let a = world.first("a")?;
    a.ok_with(&["import", "-"], ARCHIVE)?;
    let exported = a.ok(&["export"])?;
    same("lines", exported.lines().count(), ARCHIVE.lines().count())?;
    let order: Vec<String> = exported.lines().map(name).collect::<Result<_, _>>()?;
    same("their order", order.join(" "), "family/m3 family/m1 family/m2 work/w1 todo family todo/a".to_owned())?;

    let other = World::new(programs)?;
    let b = other.first("b")?;
    b.ok_with(&["import", "-"], &exported)?;
    expect(b.ok(&["export"])? == exported, || "an equal export".into())?;
    same("the digest of what is shown", content(&b)?, content(&a)?)?;
    b.ok(&["msg", "post", "family", "one more"])?;
    expect(content(&b)? != content(&a)?, || "another digest".into())?;
    let repeated = parse(&b.ok_with(&["import", "-", "--json"], &exported)?)?;
    same("messages of a second import that are new", repeated["new"].as_u64().map(|new| new <= 3), Some(true))
}

/// What an archive of chats can hold.
const ARCHIVE: &str = r#"{"op":"conversation","conversation":"family","kind":"group","title":"The family","members":["ann","bob"],"attributes":{"colour":"red"},"read_markers":"synced"}
{"op":"message","conversation":"family","id":"m1","sender":"ann","recipients":["bob","eve"],"at":"2020-12-11T23:37:25-08:00","body":"two\nlines","sent_at":"2020-12-12T07:37:25Z","delivered_at":"2020-12-12T07:37:26.5Z","read_at":"2020-12-12T08:00:00Z"}
{"op":"message","conversation":"family","id":"m2","group":"g","outbound":true,"at":"2020-12-12T08:37:25+01:00","reply_to":"m1","attachments":[{"name":"cat.jpg","size":9,"content_type":"image/jpeg","sha256":"0000000000000000000000000000000000000000000000000000000000000000","location":"/cat.jpg"}],"body":""}
{"op":"message","conversation":"family","id":"m3","at":"2020-12-12T08:37:24+01:00","content_type":"image/png","body":{"$bytes":"AAH+"}}
{"op":"message","conversation":"work","id":"w1","at":"2021-01-01T00:00:00Z","body":"x"}
{"op":"record","collection":"todo","key":"a","fields":{"null":null,"bool":true,"int":-3,"float":0.5,"text":"milk"}}
{"op":"policy","collection":"todo","policy":"lww"}
"#;

/// Where a line stands: a message by its conversation and id, a record by its collection and key, else the name.
fn name(line: &str) -> Result<String, Failed> {
    let line = parse(line)?;
    let text = |member: &str| line[member].as_str().unwrap_or_default().to_owned();
    Ok(match line["op"].as_str() {
        Some("message") => format!("{}/{}", text("conversation"), text("id")),
        Some("record") => format!("{}/{}", text("collection"), text("key")),
        Some("conversation") => text("conversation"),
        _policy => text("collection"),
    })
}

fn unread(device: &Device) -> Result<Option<u64>, Failed> {
    Ok(device.json(&["conv", "show", "family"])?["conversation"]["unread"].as_u64())
}

fn content(device: &Device) -> Result<String, Failed> {
    let report = device.json(&["store", "verify"])?;
    let digest = report["content_digest"].as_str().unwrap_or_default().to_owned();
    expect(digest.len() == 64, || format!("a digest in {report}")).map(|()| digest)
}
