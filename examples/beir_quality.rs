//! Quality of each stage on a collection in BEIR's layout (`corpus.jsonl.gz`, `queries.jsonl.gz`, `qrels/*.tsv`): nDCG@10.
//!
//! ```text
//! cargo run --example beir_quality -- ../shared/data/beir/scifact test scifact.fossick
//! ```
//!
//! The first run embeds the corpus, later ones open the index. `--rerank N` adds the cross-encoder.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use flate2::read::GzDecoder;
use fossick::{CrossEncoder, Device, Document, Encoder, Index, Mode, Options, Schema};

/// Measure nDCG@10 by stage on a BEIR collection.
#[derive(Parser)]
struct Arguments {
    /// The collection's directory.
    collection: PathBuf,
    /// Which judgements: train, dev or test.
    split: String,
    /// The index directory; made at the first run.
    index: PathBuf,
    /// Documents that the cross-encoder judges for each query.
    #[arg(long, default_value_t = 0)]
    rerank: usize,
    /// Take only the first so many queries.
    #[arg(long)]
    queries: Option<usize>,
}

type Judgements = HashMap<String, HashMap<String, f64>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if !arguments.collection.is_dir() {
        println!("skipped: {} is not there", arguments.collection.display());
        return Ok(());
    }
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let device = Device::automatic()?;
    let encoder = Encoder::load(models.join("bge-small-en-v1.5"), &device)?;
    let judge = CrossEncoder::load(models.join("ms-marco-minilm-l-12-v2"), &device)?;
    let schema = Schema::builder().heading("title").text("text").build()?;
    let index = Index::open_or_create(&arguments.index, Options::new().schema(schema).encoder(encoder))?;
    if index.snapshot()?.document_count() == 0 {
        let begun = Instant::now();
        let mut writer = index.writer()?;
        for document in json_lines(&arguments.collection.join("corpus.jsonl.gz"))? {
            let text = |field: &str| document[field].as_str().unwrap_or_default();
            writer.add(Document::new(text("_id")).set("title", text("title")).set("text", text("text")))?;
        }
        writer.commit()?;
        println!("indexed {:?} in {:.0} s", writer.monitor().progress(), begun.elapsed().as_secs_f64());
    }

    let judgements = read_judgements(&arguments.collection.join("qrels").join(format!("{}.tsv", arguments.split)))?;
    let texts = json_lines(&arguments.collection.join("queries.jsonl.gz"))?;
    let queries = texts.iter().filter_map(|query| Some((query["_id"].as_str()?, query["text"].as_str()?)));
    let queries: Vec<_> =
        queries.filter(|(id, _)| judgements.contains_key(*id)).take(arguments.queries.unwrap_or(usize::MAX)).collect();

    let snapshot = index.snapshot()?;
    let stages = [
        ("lexical", Mode::Lexical, 0),
        ("semantic", Mode::Semantic, 0),
        ("fused", Mode::Hybrid, 0),
        ("reranked", Mode::Hybrid, arguments.rerank),
    ];
    println!("{} queries of {} ({}), {:?}", queries.len(), arguments.collection.display(), arguments.split, snapshot);
    for (name, mode, rerank) in stages {
        if name == "reranked" && rerank == 0 {
            continue;
        }
        let (begun, mut sum) = (Instant::now(), 0.0);
        for (id, text) in &queries {
            let response = snapshot.search(text).mode(mode).rerank(rerank, &judge).limit(10).run()?;
            let keys: Vec<&str> = response.hits.iter().map(|hit| hit.key.as_str()).collect();
            sum += ndcg_at_10(&keys, &judgements[*id]);
        }
        let count = queries.len() as f64;
        println!("{name:<9} nDCG@10 {:.4}   {:.1} ms a query", sum / count, begun.elapsed().as_secs_f64() * 1000.0 / count);
    }
    Ok(())
}

/// Normalised discounted cumulative gain as trec_eval has it: gain = grade, discount = log2(rank + 1) (Järvelin and
/// Kekäläinen 2002).
fn ndcg_at_10(ranking: &[&str], grades: &HashMap<String, f64>) -> f64 {
    let gain = |grades: &mut dyn Iterator<Item = f64>| -> f64 {
        grades.take(10).enumerate().map(|(at, grade)| grade / (at as f64 + 2.0).log2()).sum()
    };
    let mut ideal: Vec<f64> = grades.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let best = gain(&mut ideal.into_iter());
    let found = gain(&mut ranking.iter().map(|key| grades.get(*key).copied().unwrap_or(0.0)));
    if best > 0.0 { found / best } else { 0.0 }
}

fn json_lines(path: &Path) -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
    let lines = BufReader::new(GzDecoder::new(File::open(path)?)).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// Query, document and grade, separated by tabs, under a heading.
fn read_judgements(path: &Path) -> Result<Judgements, Box<dyn Error>> {
    let mut judgements = Judgements::new();
    for line in BufReader::new(File::open(path)?).lines().skip(1) {
        let line = line?;
        let mut fields = line.split('\t');
        if let (Some(query), Some(document), Some(grade)) = (fields.next(), fields.next(), fields.next()) {
            judgements.entry(query.to_owned()).or_default().insert(document.to_owned(), grade.trim().parse()?);
        }
    }
    Ok(judgements)
}
