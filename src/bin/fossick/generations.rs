//! `fossick generations`: the states of an index that can be opened; tagging and restoring them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use fossick::{GenerationInfo, Index, Options};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::terminal::counted;

/// List the generations of an index that can be opened; tag or restore one
#[derive(Args)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// Give the newest generation a name, so that it is kept
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Take a name away
    #[arg(long, value_name = "NAME")]
    untag: Option<String>,
    /// Make the content of this generation that of a new one
    #[arg(long, value_name = "GENERATION", conflicts_with_all = ["tag", "untag"])]
    restore: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let index = Index::open(&arguments.index, Options::new())?;
    if arguments.tag.is_some() || arguments.untag.is_some() || arguments.restore.is_some() {
        let mut writer = index.maintenance_writer()?;
        if let Some(name) = &arguments.untag
            && !writer.untag(name)?
        {
            return Err(Failure::new(format!(
                "no generation is called {name:?}; `fossick generations {}` lists them",
                arguments.index.display()
            )));
        }
        if let Some(name) = &arguments.tag {
            writer.tag(name)?;
        }
        if let Some(generation) = arguments.restore {
            writer.restore(generation)?;
        }
    }
    let generations = index.generations()?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let list: Vec<Value> = generations.iter().map(to_json).collect();
        writeln!(out, "{}", json!({"generations": list}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for one in &generations {
        writeln!(
            out,
            "{:>8}  {}  {}, {}{}",
            one.generation,
            one.published,
            counted(one.documents, "document"),
            counted(one.passages, "passage"),
            named(&one.tags)
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One of a list.
pub fn to_json(one: &GenerationInfo) -> Value {
    json!({
        "generation": one.generation, "published": one.published.to_string(), "documents": one.documents,
        "passages": one.passages, "bytes": one.bytes, "tags": one.tags,
    })
}

/// The names of a generation, for a line.
pub fn named(tags: &[String]) -> String {
    tags.iter().map(|tag| format!(" {tag:?}")).collect()
}
