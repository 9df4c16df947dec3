//! `cargo tidy`: applies the rules of the house to the tree and names every place that breaks one.

use std::process::ExitCode;

use kinfolk_tests::tidy::RULES;
use kinfolk_tests::tree::{Tree, TreeError};

fn main() -> Result<ExitCode, TreeError> {
    let tree = Tree::read()?;
    let mut broken = 0;
    for rule in RULES {
        let findings = (rule.check)(&tree);
        if findings.is_empty() {
            continue;
        }
        broken += 1;
        eprintln!("broken: {}", rule.name);
        findings.iter().for_each(|finding| eprintln!("  {finding}"));
    }
    println!("{} rules hold, {broken} broken", RULES.len() - broken);
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
