//! An application that measures its own search: how passages are cut, and what that does to each stage, by nDCG@10 on twelve
//! judged legal queries over the casebook.
//!
//! ```text
//! cargo run --example casebook_quality -- --max-tokens 96 --overlap 24
//! ```
//!
//! The queries are development data beside a developer's checkout; without them the program says so.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use clap::Parser;
use fossick::evaluate::{Evaluation, Metric, Qrels, Queries};
use fossick::{CrossEncoder, Device, Document, Encoder, FinalOrder, Index, Options, PassageOptions, Schema};

/// Measure one way of cutting passages.
#[derive(Parser)]
struct Arguments {
    /// The most tokens in a passage.
    #[arg(long, default_value_t = PassageOptions::default().max_tokens)]
    max_tokens: u32,
    /// Tokens that neighbouring passages share.
    #[arg(long, default_value_t = PassageOptions::default().overlap_tokens)]
    overlap: u32,
    /// Keep the title from the words and the models.
    #[arg(long)]
    untitled: bool,
    /// Passages judged of each document.
    #[arg(long, default_value_t = 2)]
    passages: usize,
    /// Order by the judge's logits alone.
    #[arg(long)]
    logit: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = repository.join("../shared/data/legal");
    if !data.is_dir() {
        println!("skipped: {} is not there", data.display());
        return Ok(());
    }
    let device = Device::automatic()?;
    let encoder = Encoder::load(repository.join("models/bge-small-en-v1.5"), &device)?;
    let judge = CrossEncoder::load(repository.join("models/ms-marco-minilm-l-12-v2"), &device)?;

    let directory = tempfile::tempdir()?;
    let fields = Schema::builder().text("text");
    let schema = if arguments.untitled { fields.stored("title") } else { fields.heading("title") }.build()?;
    let passages =
        PassageOptions { max_tokens: arguments.max_tokens, overlap_tokens: arguments.overlap, ..PassageOptions::default() };
    let options = Options::new().schema(schema).encoder(encoder).passages(passages);
    let index = Index::open_or_create(directory.path().join("casebook"), options)?;
    let mut writer = index.writer()?;
    for line in BufReader::new(File::open(repository.join("examples/casebook/casebook.jsonl"))?).lines() {
        let digest: serde_json::Value = serde_json::from_str(&line?)?;
        let text = |field: &str| digest[field].as_str().unwrap_or_default().to_owned();
        writer.add(Document::new(text("id")).set("title", text("title")).set("text", text("text")))?;
    }
    writer.commit()?;
    drop(writer);

    let queries = Queries::read("queries-dev.jsonl", BufReader::new(File::open(data.join("queries-dev.jsonl"))?))?;
    let qrels = Qrels::read("qrels-dev.tsv", BufReader::new(File::open(data.join("qrels-dev.tsv"))?))?;
    let snapshot = index.snapshot()?;
    let order = if arguments.logit { FinalOrder::Logit } else { FinalOrder::default() };
    let report = Evaluation::new(&snapshot)
        .rerank(50, &judge)
        .passages_per_document(arguments.passages)
        .final_order(order)
        .indexed_only()
        .run(&queries, &qrels)?;
    println!(
        "{} queries; {} judgements of documents that the casebook lacks are left out",
        report.queries.len(),
        report.absent_judgements
    );
    for stage in &report.stages {
        println!("{:<9} nDCG@10 {:.4}", stage.stage.to_string(), stage.mean(Metric::Ndcg(10)));
    }
    Ok(())
}
