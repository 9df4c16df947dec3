//! What a person sees: commands, what they print, how they end, kept as snapshots in `tests/e2e/said`.
//!
//! What differs from run to run is written in one way: ports, directories, ids, times. Runs of blanks shrink, since they depend on what
//! stands beside them.

use std::path::PathBuf;

use super::device::Device;
use super::world::World;
use super::{Failed, same};
use crate::tree::root;

/// A conversation with `kin`.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    text: String,
    /// What is replaced, and by what.
    names: Vec<(String, &'static str)>,
}

impl Transcript {
    /// An empty one. Paths of the world are named `DIR`.
    pub(super) fn new(world: &World) -> Self {
        Self { text: String::new(), names: vec![(world.path("").display().to_string(), "DIR/")] }
    }

    /// Writes `port` as `name`.
    pub(super) fn port(&mut self, port: u16, name: &'static str) {
        self.names.push((format!(":{port}"), name));
    }

    /// Tells what happens between the commands.
    pub(super) fn note(&mut self, what: &str) {
        self.text.push_str(&format!("# {what}\n"));
    }

    /// Runs a command that must end with this exit code, and notes what it says.
    pub(super) fn kin(&mut self, device: &Device, args: &[&str], exit: i32) -> Result<(), Failed> {
        let said = device.kin(args)?;
        let line = format!("kin {} on {}", args.join(" "), device.name);
        same(&format!("the code of {line}: {}{}", said.stdout, said.stderr), said.code, exit)?;
        let shown = match args {
            ["status", ..] => essence(&said.stdout),
            _other => said.stdout,
        };
        let ending = if exit == 0 { String::new() } else { format!("[exit code {exit}]\n") };
        self.text.push_str(&format!("$ kin {}\n{shown}{}{ending}", args.join(" "), said.stderr));
        Ok(())
    }

    /// Compares all of it with the snapshot of that name. A difference is shown and ends the scenario.
    pub(super) fn check(&self, name: &str) {
        let mut text = self.text.clone();
        for (from, to) in &self.names {
            text = text.replace(from, to);
        }
        let lines: Vec<String> = text.lines().map(evened).collect();
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path(snapshots());
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name, lines.join("\n")));
    }
}

fn snapshots() -> PathBuf {
    root().join("tests/e2e/said")
}

/// Of a status what it says of relays, and what asks for a person.
fn essence(screen: &str) -> String {
    let relays = screen.lines().skip_while(|line| *line != "relays").take_while(|line| !line.starts_with("last "));
    let asking = screen.lines().filter(|line| line.starts_with('!'));
    relays.chain(asking).map(|line| format!("{line}\n")).collect()
}

/// A line with its times, ids and runs of blanks written in one way.
fn evened(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    for at in 0..words.len() {
        let unit = words.get(at + 1).map_or("", |unit| unit.trim_end_matches([',', ';', ')']));
        let number = words[at].trim_start_matches('(');
        let is_number = number.starts_with(|c: char| c.is_ascii_digit()) && number.parse::<f64>().is_ok();
        if is_number && ["ms", "µs", "ahead"].contains(&unit) {
            words[at] = words[at].replace(number, "N");
        }
    }
    format!("{}{}", &line[..indent], words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_evened_out_and_nothing_else() {
        assert_eq!(evened("  redis  ok,  polled   0.7 ms"), "  redis ok, polled N ms");
        assert_eq!(evened("no answer within 5 s"), "no answer within 5 s");
    }

    #[test]
    fn of_a_status_the_relays_and_what_asks_for_a_person_are_kept() {
        let screen = "a  in sync\ndevices\n  b\nrelays\n  redis  x\nlast sent  now\nkeys  file\n! look here\n";
        assert_eq!(essence(screen), "relays\n  redis  x\n! look here\n");
    }
}
