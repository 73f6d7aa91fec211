//! `fossick verify`: whether an index is whole.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::failure::Outcome;
use crate::terminal::{bytes, counted};

/// Read every file of an index and hold its parts against each other
///
/// Exit status 0: it is sound; 1: it is not, and `fossick repair` brings back what can be brought back.
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let report = fossick::verify(&arguments.index)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| json!({"path": problem.path.display().to_string(), "fact": problem.fact}))
            .collect();
        let json = json!({
            "generation": report.generation, "documents": report.documents, "passages": report.passages, "files": report.files,
            "bytes": report.bytes, "problems": problems,
        });
        writeln!(out, "{json}")?;
    } else {
        for problem in &report.problems {
            writeln!(out, "{problem}")?;
        }
        let what = format!(
            "{}, {}, {} with {}",
            counted(report.documents, "document"),
            counted(report.passages, "passage"),
            counted(report.files, "file"),
            bytes(report.bytes)
        );
        match report.problems.len() {
            0 => writeln!(out, "sound: generation {}, {what}", report.generation.unwrap_or_default())?,
            wrong => writeln!(
                out,
                "{} in {what}; `fossick repair {}` brings back what can be brought back",
                counted(wrong as u64, "problem"),
                arguments.index.display()
            )?,
        }
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
