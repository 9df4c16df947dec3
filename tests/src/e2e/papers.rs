//! Papers: what README and docs tell people to type is understood, and what the README says of Redis works as it stands there.

use std::process::Command;

use super::device::Device;
use super::pairing::converged;
use super::world::World;
use super::{Failed, Programs, expect, same};
use crate::servers::redis_server::RedisServer;
use crate::tidy::papers::shell_lines;
use crate::tree::root;

pub(super) fn commands(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let device = Device::new("a", world.path("a"), programs);
    let mut typed = 0;
    for paper in ["README.md", "docs/hacking.md", "docs/write-an-app.md"] {
        let text = std::fs::read_to_string(root().join(paper)).map_err(Failed::io(format!("reading {paper}")))?;
        for (line, command) in shell_lines(&text) {
            let command = command.split(['#', '|', '<', '>']).next().unwrap_or_default();
            let words = words(command);
            let Some((&"kin", arguments)) = words.split_first() else { continue };
            // With --help at its end a command does nothing, and a wrong word or option before that is still an error.
            let arguments: Vec<&str> = arguments.iter().copied().chain(["--help"]).collect();
            let done = device.kin(&arguments)?;
            expect(done.code == 0, || format!("{paper}:{line} to be understood: {command}: {}", done.stderr))?;
            typed += 1;
        }
    }
    expect(typed > 0, || "commands in the papers".into())
}

pub(super) fn over_redis(programs: &Programs) -> Result<(), Failed> {
    let readme = std::fs::read_to_string(root().join("README.md")).map_err(Failed::io("reading README.md"))?;
    let world = World::new(programs)?;
    let server = RedisServer::start(&[])?;
    let block =
        readme.split("```").find_map(|block| block.strip_prefix("sh\n").filter(|lines| lines.contains("redis-cli")));
    let block = block.ok_or_else(|| Failed::Expected("commands for redis-cli in README.md".into()))?;
    let port = server.port();
    let script = format!("set -euo pipefail\nredis-cli() {{ command redis-cli -e -p {port} \"$@\"; }}\n{block}");
    let output = Command::new("bash").args(["-c", &script]).output().map_err(Failed::io("starting bash"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    expect(output.status.success(), || format!("the commands of README.md to work: {said}"))?;

    let (a, b) = world.pair()?;
    let mut typed = 0;
    for (_, line) in shell_lines(&readme) {
        let (command, remark) = line.split_once('#').unwrap_or((line, ""));
        let arguments: Vec<&str> = words(command).into_iter().skip(1).collect();
        if command.starts_with("kin relay") {
            // What is typed where a command reads a secret stands in the remark.
            let typing = remark.trim().trim_start_matches("type ").replace("@server", &format!("@127.0.0.1:{port}"));
            a.ok_with(&arguments, &typing)?;
            b.ok_with(&arguments, &typing)?;
            typed += 1;
        }
    }
    same("commands about a relay", typed, 2)?;
    for device in [&a, &b] {
        device.ok(&["relay", "rm", &world.relay_url()])?;
    }
    a.ok(&["msg", "post", "family", "over Redis alone", "--id", "m"])?;
    converged(&[&a, &b])?;
    expect(b.ok(&["export"])?.contains("over Redis alone"), || "the message on b".into())
}

/// The words of a command line: text in double quotes is one; settings in front are left out.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
    words.skip_while(|word| word.contains('=')).collect()
}
