//! What indexing costs: time, passages per second, and the process's peak memory, with the encoder.
//!
//! ```text
//! cargo run --example measure_ingest -- ../shared/data/legal/opinions-full.jsonl.gz opinions.fossick
//! ```
//!
//! Takes JSON lines, gzipped, with `id`, `title` and `text`. Peak memory is read from `/proc`, so only on Linux.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use flate2::read::GzDecoder;
use fossick::{Device, Document, Encoder, Index, Options, Schema};

/// Measure the indexing of a file of JSON lines.
#[derive(Parser)]
struct Arguments {
    /// The file, gzipped.
    file: PathBuf,
    /// The index directory; documents in it are replaced.
    index: PathBuf,
    /// Take only the first so many documents.
    #[arg(long)]
    documents: Option<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let encoder = Encoder::load(models.join("bge-small-en-v1.5"), &Device::automatic()?)?;
    println!("encoder on {}; memory so far {}", encoder.device().info(), peak_memory());
    let schema = Schema::builder().heading("title").text("text").build()?;
    let index = Index::open_or_create(&arguments.index, Options::new().schema(schema).encoder(encoder))?;
    let mut writer = index.writer()?;
    let monitor = writer.monitor();
    std::thread::spawn(move || {
        let begun = Instant::now();
        loop {
            std::thread::sleep(Duration::from_secs(30));
            println!("{:>5.0} s {:?}, {}", begun.elapsed().as_secs_f64(), monitor.progress(), peak_memory());
        }
    });
    let begun = Instant::now();
    let (mut bytes, mut longest) = (0, 0);
    let lines = BufReader::new(GzDecoder::new(File::open(&arguments.file)?)).lines();
    for line in lines.take(arguments.documents.unwrap_or(usize::MAX)) {
        let document: serde_json::Value = serde_json::from_str(&line?)?;
        let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        bytes += text("text").len();
        longest = longest.max(text("text").chars().count());
        writer.add(Document::new(text("id")).set("title", text("title")).set("text", text("text")))?;
    }
    writer.commit()?;
    let (progress, took) = (writer.monitor().progress(), begun.elapsed().as_secs_f64());
    println!(
        "{} documents, {:.1} MB of text, the longest {longest} characters, {} passages: {took:.0} s, {:.1} passages/s, {}",
        progress.documents_written,
        bytes as f64 / 1e6,
        progress.passages_embedded,
        progress.passages_embedded as f64 / took,
        peak_memory()
    );
    Ok(())
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.map_or_else(|| "peak memory unknown".to_owned(), |kilobytes| format!("peak memory {} MB", kilobytes / 1024))
}
