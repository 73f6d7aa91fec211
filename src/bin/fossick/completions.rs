//! `fossick completions`: a script that teaches a shell the commands and options.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::failure::Outcome;

/// Print a completion script for a shell
///
/// For bash: `fossick completions bash > ~/.local/share/bash-completion/completions/fossick`
#[derive(Args)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

pub fn run(arguments: Arguments) -> Outcome {
    let mut script = Vec::new();
    generate(arguments.shell, &mut crate::Arguments::command(), "fossick", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
