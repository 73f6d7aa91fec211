//! `fossick compact`: everything in as few files as can be.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use fossick::{Index, Options};

use crate::failure::Outcome;

/// Join the files of an index and drop what was deleted
///
/// A writer does this by itself, little by little; this does all of it at once, and takes as long as copying the index.
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
}

pub fn run(arguments: Arguments) -> Outcome {
    let index = Index::open(&arguments.index, Options::new())?;
    let before = index.snapshot()?.storage().live_bytes;
    let generation = index.maintenance_writer()?.compact()?;
    let after = index.snapshot()?.storage().live_bytes;
    let (before, after) = (crate::terminal::bytes(before), crate::terminal::bytes(after));
    writeln!(std::io::stdout().lock(), "generation {generation}: {before} became {after}")?;
    Ok(ExitCode::SUCCESS)
}
