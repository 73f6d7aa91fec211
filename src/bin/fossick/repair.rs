//! `fossick repair`: bringing back what can be brought back.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::failure::Outcome;

/// Bring a damaged index back to a state in which all its parts agree
///
/// Words are made again from the documents; no embedding is computed. Nothing is deleted: what cannot stay is moved to a folder in the index
/// directory, with the documents that have to be added again as JSON lines (`fossick index INDEX FOLDER/documents.jsonl`).
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let repaired = fossick::repair(&arguments.index)?;
    // What repair does not look at, such as two documents with one key, is told too.
    let left = fossick::verify(&arguments.index)?.problems;
    let status = if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    let mut out = std::io::stdout().lock();
    let aside = repaired.set_aside.as_ref().map(|path| path.display().to_string());
    if arguments.json {
        let json = json!({
            "generation": repaired.generation, "done": repaired.done, "removed": repaired.removed, "set_aside": aside,
            "left": left.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        writeln!(out, "{json}")?;
        return Ok(status);
    }
    for problem in &left {
        writeln!(out, "still wrong: {problem}")?;
    }
    if repaired.done.is_empty() {
        let what = if left.is_empty() { "nothing was wrong" } else { "nothing was done" };
        writeln!(out, "{what}: generation {}", repaired.generation)?;
        return Ok(status);
    }
    for sentence in &repaired.done {
        writeln!(out, "{sentence}")?;
    }
    if let Some(folder) = aside {
        writeln!(out, "what could not stay is in {folder}")?;
    }
    writeln!(out, "the index is at generation {}", repaired.generation)?;
    Ok(status)
}
