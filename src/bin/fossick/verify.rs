//! `fossick verify`: whether an index is whole.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use fossick::{Index, Options, RecallReport};
use serde_json::{Value as Json, json};

use crate::failure::{Failure, Outcome};
use crate::terminal::{bytes, counted};

/// Read every file of an index and hold its parts against each other
///
/// Exit status 0: it is sound; 1: it is not, and `fossick repair` brings back what can be brought back, or --recall found too little.
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// Then look for the 100 documents nearest to each of so many of the index's own vectors, taken evenly, and tell how many of the right ones searches
    /// find; 100 unless given. Where that is less than 0.95 of them, later searches look further
    #[arg(long, value_name = "SAMPLES", num_args = 0..=1, require_equals = true, default_missing_value = "100")]
    recall: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let report = fossick::verify(&arguments.index)?;
    // Of what is damaged nothing can be measured.
    let sample = arguments.recall.filter(|_| report.is_sound());
    let recall = sample.map(|sample| recall(&arguments.index, sample)).transpose()?;
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
            "recall": recall.map(to_json),
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
        if let Some(recall) = &recall {
            writeln!(out, "{}", told(recall))?;
        }
    }
    let finds_enough = recall.is_none_or(|recall| recall.recall >= RecallReport::TARGET);
    Ok(if report.is_sound() && finds_enough { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nearest documents that are looked for.
const NEAREST: usize = 100;

fn recall(index: &Path, sample: usize) -> Result<RecallReport, Failure> {
    let snapshot = Index::open(index, Options::new())?.snapshot()?;
    if snapshot.dimension().is_none() {
        let path = index.display();
        return Err(Failure::new(format_args!("{path}: --recall is about vectors, and this index keeps none; leave it out")));
    }
    Ok(snapshot.recall_check(NEAREST, sample)?)
}

fn to_json(report: RecallReport) -> Json {
    json!({
        "k": report.k,
        "queries": report.queries,
        "recall": report.recall,
        "target": RecallReport::TARGET,
        "found_at_first": report.found_at_first,
        "widened": report.widened,
        "code_deviations": report.code_deviations,
        "compares_all": report.compares_all,
    })
}

fn told(report: &RecallReport) -> String {
    let found = format!(
        "recall@{}: {:.4} for {} of the index's own vectors, and {} is expected at least",
        report.k,
        report.recall,
        report.queries,
        RecallReport::TARGET
    );
    match report {
        RecallReport { compares_all: true, .. } => format!("{found}; so few passages are all compared"),
        RecallReport { widened: true, found_at_first, code_deviations, .. } => format!(
            "{found}; it was {found_at_first:.4}, and searches look {code_deviations} deviations above what codes say from now on"
        ),
        RecallReport { code_deviations, .. } => {
            format!("{found}; searches look {code_deviations} deviations above what codes say")
        }
    }
}
