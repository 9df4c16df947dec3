//! The person at the terminal: questions, and typed lines. Without a terminal nobody is asked.

use std::io::{self, IsTerminal, Write};

use crate::failure::Failure;

/// Whether a person sits at both ends.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line. `None` at the end of input.
pub(crate) async fn ask(question: &str) -> Result<Option<String>, Failure> {
    let question = format!("{question} ");
    let line = tokio::task::spawn_blocking(move || {
        let mut stderr = io::stderr();
        stderr.write_all(question.as_bytes())?;
        stderr.flush()?;
        let mut line = String::new();
        Ok::<_, io::Error>((io::stdin().read_line(&mut line)? > 0).then(|| line.trim().to_owned()))
    });
    match line.await {
        Ok(line) => line.map_err(Failure::io("read from the terminal")),
        Err(cancelled) => Err(Failure::io("read from the terminal")(io::Error::other(cancelled))),
    }
}

/// Asks yes or no. The flag `--yes` answers for the person; where nobody can be asked, having written the command is the
/// answer.
pub(crate) async fn confirm(question: &str, yes: bool) -> Result<bool, Failure> {
    if yes || !is_interactive() {
        return Ok(true);
    }
    let answer = ask(&format!("{question} [y/N]")).await?;
    Ok(answer.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// Says something to the person at the terminal, beside the result.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
