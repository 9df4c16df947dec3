//! Papers: what README and docs tell people to type is understood.

use super::device::Device;
use super::world::World;
use super::{Failed, Programs, expect};
use crate::tidy::papers::shell_lines;
use crate::tree::root;

pub(super) fn commands(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let device = Device::new("a", world.path("a"), programs);
    let mut typed = 0;
    for paper in ["README.md", "docs/hacking.md"] {
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

/// The words of a command line: text in double quotes is one; settings in front are left out.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
    words.skip_while(|word| word.contains('=')).collect()
}
