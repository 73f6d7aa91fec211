//! How passages are cut, and what it does to the judge: nDCG@10 on the twelve judged legal queries over the casebook.
//!
//! ```text
//! cargo run --example casebook_quality -- --max-tokens 160 --overlap 24
//! ```
//!
//! The queries are development data beside a developer's checkout; without them the program says so.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use clap::Parser;
use fossick::{CrossEncoder, Device, Document, Encoder, Index, Options, PassageOptions, Response, Schema};

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
    #[arg(long, default_value_t = 3)]
    passages: usize,
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
    let passages = PassageOptions { max_tokens: arguments.max_tokens, overlap_tokens: arguments.overlap };
    let options = Options::new().schema(schema).encoder(encoder).passages(passages);
    let index = Index::open_or_create(directory.path().join("casebook"), options)?;
    let mut writer = index.writer()?;
    for digest in json_lines(&repository.join("examples/casebook/casebook.jsonl"))? {
        let text = |field: &str| digest[field].as_str().unwrap_or_default().to_owned();
        writer.add(Document::new(text("id")).set("title", text("title")).set("text", text("text")))?;
    }
    writer.commit()?;
    drop(writer);

    let snapshot = index.snapshot()?;
    let known = snapshot.keys()?;
    let mut judgements: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in std::fs::read_to_string(data.join("qrels-dev.tsv"))?.lines().skip(1) {
        let mut fields = line.split('\t');
        if let (Some(query), Some(key), Some(grade)) = (fields.next(), fields.next(), fields.next())
            && known.iter().any(|known| known == key)
        {
            judgements.entry(query.to_owned()).or_default().insert(key.to_owned(), grade.trim().parse()?);
        }
    }
    let (mut fused, mut judged, mut count) = (0.0, 0.0, 0.0);
    for query in json_lines(&data.join("queries-dev.jsonl"))? {
        let (id, text) = (query["id"].as_str().unwrap_or_default(), query["text"].as_str().unwrap_or_default());
        let Some(grades) = judgements.get(id) else { continue };
        let search = snapshot.search(text).limit(10);
        let second = search.clone().rerank(50, &judge).passages_per_document(arguments.passages).run()?;
        fused += ndcg_at_10(&search.run()?, grades);
        judged += ndcg_at_10(&second, grades);
        count += 1.0;
        let five: Vec<String> = second.hits.iter().take(5).map(|hit| format!("{} {:+.2}", hit.key, hit.score)).collect();
        println!("{text}: {}", five.join(", "));
    }
    println!(
        "{} passages of at most {} tokens: nDCG@10 {:.4} fused, {:.4} judged, over {count} queries",
        snapshot.passage_count(),
        arguments.max_tokens,
        fused / count,
        judged / count
    );
    Ok(())
}

/// As `beir_quality` has it.
fn ndcg_at_10(response: &Response, grades: &HashMap<String, f64>) -> f64 {
    let gain =
        |grades: &[f64]| -> f64 { grades.iter().take(10).enumerate().map(|(at, grade)| grade / (at as f64 + 2.0).log2()).sum() };
    let mut ideal: Vec<f64> = grades.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let found: Vec<f64> = response.hits.iter().map(|hit| grades.get(&hit.key).copied().unwrap_or(0.0)).collect();
    gain(&found) / gain(&ideal).max(f64::MIN_POSITIVE)
}

fn json_lines(path: &Path) -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
    std::fs::read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
