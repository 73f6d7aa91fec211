//! What holds of the engine from outside, one behaviour a file. One binary, because each one links the whole engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod casebook;
mod common;
mod damage;
mod devices;
mod documents;
mod evaluation;
mod explaining;
mod filters;
mod full_opinions;
mod generations;
mod history;
mod housekeeping;
mod ingest;
mod model_files;
mod not_twice;
mod opening;
mod processes;
mod query_language;
mod reference_values;
mod searching;
mod second_stage;
mod sharing;
mod time;
mod vectors;
