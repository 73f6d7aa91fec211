//! `fossick backup`: a copy of an index, whole, while it is in use.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use fossick::{Index, Options};

use crate::failure::Outcome;

/// Copy the newest generation of an index to a new directory, while it is in use
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// A directory that is empty or not there yet
    to: PathBuf,
}

pub fn run(arguments: Arguments) -> Outcome {
    let generation = Index::open(&arguments.index, Options::new())?.backup(&arguments.to)?;
    writeln!(std::io::stdout().lock(), "generation {generation} is in {}", arguments.to.display())?;
    Ok(ExitCode::SUCCESS)
}
