//! `fossick info`: what an index is and what it takes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use fossick::{Index, Metric, Options, Snapshot};
use serde_json::json;

use crate::failure::Outcome;
use crate::generations::{named, to_json};
use crate::source::shape::{described, language_of, type_name};
use crate::terminal::bytes;

/// Tell what an index holds
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let index = Index::open(&arguments.index, Options::new())?;
    let snapshot = index.snapshot()?;
    let parts: Vec<(String, u64)> = parts(index.path());
    let total: u64 = parts.iter().map(|(_, size)| size).sum();
    let storage = snapshot.storage();
    let generations = index.generations()?;
    // Caches and copies are neither.
    let tables = |name: &str| name.ends_with(".lance") || name.starts_with("words-");
    let dead =
        parts.iter().filter(|(name, _)| tables(name)).map(|(_, size)| size).sum::<u64>().saturating_sub(storage.live_bytes);
    let vectors = match (snapshot.encoder_identity(), snapshot.dimension()) {
        (Some(identity), _) => format!("by the encoder {identity}"),
        (None, Some(dimension)) => {
            let own = of_their_own(&snapshot).map(|(field, (dimension, metric))| format!("; of {field} {dimension}, {metric}"));
            format!("brought by the application, {dimension} dimensions, {}{}", snapshot.metric(), own.collect::<String>())
        }
        (None, None) => "none".to_owned(),
    };
    let fields = snapshot.schema().fields();
    let cut = snapshot.passage_options();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let json = json!({
            "path": index.path().display().to_string(),
            "generation": snapshot.generation(),
            "documents": snapshot.document_count(),
            "passages": snapshot.passage_count(),
            "fields": fields
                .iter()
                .map(|field| json!({"name": field.name(), "type": type_name(field.kind()), "language": language_of(field)}))
                .collect::<Vec<_>>(),
            "encoder": snapshot.encoder_identity().map(|identity| json!({"name": identity.name(), "hash": identity.hash()})),
            "dimension": snapshot.dimension(),
            "metric": snapshot.dimension().map(|_| snapshot.metric().to_string()),
            "vectors_of_their_own": of_their_own(&snapshot)
                .map(|(field, (dimension, metric))| json!({"field": field, "dimension": dimension, "metric": metric.to_string()}))
                .collect::<Vec<_>>(),
            "passage_tokens": cut.max_tokens,
            "overlap_tokens": cut.overlap_tokens,
            "bytes": total,
            "live_bytes": storage.live_bytes,
            "dead_bytes": dead,
            "dead_documents": storage.dead_documents,
            "dead_passages": storage.dead_passages,
            "uncoded_passages": storage.uncoded_passages,
            "code_deviations": storage.code_deviations,
            "fragments": {"documents": storage.document_fragments, "passages": storage.passage_fragments},
            "word_segments": storage.word_segments,
            "generations": generations.iter().map(to_json).collect::<Vec<_>>(),
            "tables": {
                "documents": {"path": index.path().join("documents.lance").display().to_string(), "version": storage.documents_version},
                "passages": {"path": index.path().join("passages.lance").display().to_string(), "version": storage.passages_version},
            },
            "parts": parts.iter().map(|(name, size)| json!({"name": name, "bytes": size})).collect::<Vec<_>>(),
        });
        writeln!(out, "{json}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let fields: Vec<String> = fields.iter().map(described).collect();
    writeln!(out, "{}", index.path().display())?;
    writeln!(out, "generation  {}", snapshot.generation())?;
    writeln!(out, "documents   {}", snapshot.document_count())?;
    writeln!(
        out,
        "passages    {} of up to {} tokens, {} of them shared",
        snapshot.passage_count(),
        cut.max_tokens,
        cut.overlap_tokens
    )?;
    writeln!(out, "fields      {}", fields.join(" "))?;
    writeln!(out, "vectors     {vectors}")?;
    writeln!(
        out,
        "on disk     {}: {} live, {} dead or of other generations; {} deleted documents and {} deleted passages still take space",
        bytes(total),
        bytes(storage.live_bytes),
        bytes(dead),
        storage.dead_documents,
        storage.dead_passages
    )?;
    writeln!(
        out,
        "pieces      {} files of documents, {} of passages, {} segments of words; {} passages without codes, compared one by one",
        storage.document_fragments, storage.passage_fragments, storage.word_segments, storage.uncoded_passages
    )?;
    if storage.code_deviations > 0 {
        writeln!(
            out,
            "codes       searches by vectors look {} deviations above what codes say; `fossick verify --recall` measures what they find",
            storage.code_deviations
        )?;
    }
    for kept in generations.iter().rev().skip(1) {
        writeln!(out, "kept        generation {} of {}{}", kept.generation, kept.published, named(&kept.tags))?;
    }
    for (name, size) in parts {
        writeln!(out, "            {:>10}  {name}", bytes(size))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The fields whose vectors have a size or a metric of their own, with both.
fn of_their_own(snapshot: &Snapshot) -> impl Iterator<Item = (&str, (usize, Metric))> {
    let kind = |name| Some((name, snapshot.vectors_of(name)?));
    let fields = snapshot.schema().fields().iter().filter_map(move |field| kind(field.name()));
    fields.filter(|(_, (dimension, metric))| snapshot.dimension() != Some(*dimension) || snapshot.metric() != *metric)
}

/// What lies directly in the directory, with the size of everything under it.
fn parts(root: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let size = |path: PathBuf| -> u64 {
        let files = walkdir::WalkDir::new(path).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        files.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    };
    let mut parts: Vec<(String, u64)> =
        entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), size(entry.path()))).collect();
    parts.sort();
    parts
}
