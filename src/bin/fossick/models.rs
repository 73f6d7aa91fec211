//! `fossick models`: which models there are, and whether they can be loaded.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use fossick::{CrossEncoder, Device, Encoder, ModelError, ModelIdentity};
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::loading::ModelPlaces;
use crate::terminal::bytes;

/// List model directories, and try to load each
#[derive(Args)]
pub struct Arguments {
    /// Model directories [default: all in the models' directory]
    directories: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A model that was loaded.
struct Model {
    path: PathBuf,
    role: &'static str,
    identity: ModelIdentity,
    max_tokens: usize,
    size: u64,
}

pub fn run(arguments: Arguments, places: &ModelPlaces) -> Outcome {
    let directories = if arguments.directories.is_empty() { found(&places.root())? } else { arguments.directories };
    let tried: Vec<(PathBuf, Result<Model, ModelError>)> =
        directories.into_iter().map(|path| (path.clone(), load(path))).collect();
    let mut out = std::io::stdout().lock();
    let failed = tried.iter().any(|(_, model)| model.is_err());
    if arguments.json {
        let models = tried.iter().map(|(path, model)| match model {
            Ok(model) => json!({
                "path": path.display().to_string(), "role": model.role, "name": model.identity.name(), "hash": model.identity.hash(),
                "dimension": model.identity.dimension(), "max_tokens": model.max_tokens, "bytes": model.size,
            }),
            Err(error) => json!({"path": path.display().to_string(), "error": error.to_string()}),
        });
        writeln!(out, "{}", json!({"models": models.collect::<Vec<_>>()}))?;
    } else {
        for (path, model) in &tried {
            match model {
                Ok(model) => {
                    writeln!(out, "{}  {}", model.role, model.identity.name())?;
                    writeln!(
                        out,
                        "    reads {} tokens, gives {} number(s), {}",
                        model.max_tokens,
                        model.identity.dimension(),
                        bytes(model.size)
                    )?;
                    writeln!(out, "    sha256 {}", model.identity.hash())?;
                    writeln!(out, "    {}", model.path.display())?;
                }
                Err(error) => writeln!(out, "cannot be used  {}\n    {error}", path.display())?,
            }
        }
        for (role, path) in [("encoder", places.encoder_path()), ("cross-encoder", places.judge_path())] {
            writeln!(out, "the {role} in use is {}", path.display())?;
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The directories under a root that hold a `config.json`.
fn found(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable =
        |error| Failure::new(format_args!("{}: cannot be read: {error}; say where models are with --models", root.display()));
    let entries = std::fs::read_dir(root).map_err(unreadable)?.flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.join("config.json").is_file()).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new(format_args!(
            "{}: holds no model (a directory with config.json, tokenizer.json and model.safetensors); say where models are with --models",
            root.display()
        )));
    }
    Ok(paths)
}

/// A sentence-transformers directory is an encoder, any other a cross-encoder.
fn load(path: PathBuf) -> Result<Model, ModelError> {
    let device = Device::cpu();
    let size = path.join("model.safetensors").metadata().map_or(0, |metadata| metadata.len());
    if path.join("modules.json").is_file() {
        let encoder = Encoder::load(&path, &device)?;
        let (identity, max_tokens) = (encoder.identity().clone(), encoder.max_tokens());
        return Ok(Model { path, role: "encoder", identity, max_tokens, size });
    }
    let judge = CrossEncoder::load(&path, &device)?;
    let (identity, max_tokens) = (judge.identity().clone(), judge.max_tokens());
    Ok(Model { path, role: "cross-encoder", identity, max_tokens, size })
}
