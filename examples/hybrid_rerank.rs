//! A legal research tool in one file: 240 digests of court decisions and sections of the United States Code, searched by
//! words and vectors, re-ordered by a cross-encoder.
//!
//! ```text
//! cargo run --example hybrid_rerank
//! cargo run --example hybrid_rerank -- "can genes be patented" my-index.fossick --rerank 30 --limit 3
//! ```
//!
//! The first run makes the index, later ones open it.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use fossick::{CrossEncoder, Device, Document, Encoder, Hit, Index, Mode, Monitor, Options, Response, Schema};
use indicatif::{ProgressBar, ProgressStyle};

/// Search a casebook of 240 decisions and statutes, and see what the cross-encoder makes of the first stage's list.
#[derive(Parser)]
struct Arguments {
    /// What to look for.
    #[arg(default_value = "software patent obviousness standard")]
    query: String,
    /// The index directory; made at the first run.
    #[arg(default_value = "casebook.fossick")]
    index: PathBuf,
    /// Where the models run: auto, cpu, or a part of an adapter's name. FOSSICK_DEVICE says the same.
    #[arg(long)]
    device: Option<String>,
    /// Documents that each leg of the first stage finds.
    #[arg(long, default_value_t = 100)]
    candidates: usize,
    /// Documents that the cross-encoder judges; 0 for none.
    #[arg(long, default_value_t = 50)]
    rerank: usize,
    /// Hits to show.
    #[arg(long, default_value_t = 5)]
    limit: usize,
    /// Print the response as one JSON object, and nothing else, on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));

    // A device, and the two models on it.
    let begun = Instant::now();
    let device = match &arguments.device {
        Some(name) => Device::named(name)?,
        None => Device::automatic()?,
    };
    let encoder = Encoder::load(repository.join("models/bge-small-en-v1.5"), &device)?;
    let judge = CrossEncoder::load(repository.join("models/ms-marco-minilm-l-12-v2"), &device)?;
    eprintln!(
        "{} and {} on {}, loaded in {:.1} s",
        encoder.identity().name(),
        judge.identity().name(),
        device.info(),
        seconds(begun.elapsed())
    );

    // An index, filled when it is new.
    let schema = Schema::builder()
        .heading("title")
        .keyword("citation")
        .keyword("court")
        .integer("year")
        .keyword("topic")
        .text("text")
        .build()?;
    let index = Index::open_or_create(&arguments.index, Options::new().schema(schema).encoder(encoder))?;
    if index.snapshot()?.document_count() == 0 {
        fill(&index, &repository.join("examples/casebook/casebook.jsonl"))?;
    } else {
        eprintln!("{} is there: opened, not rebuilt", arguments.index.display());
    }

    // The same question twice: without the cross-encoder, and with it.
    let snapshot = index.snapshot()?;
    let search = snapshot.search(&arguments.query).mode(Mode::Hybrid).candidates(arguments.candidates).limit(arguments.limit);
    let first_stage = search.clone().run()?;
    let response = search.rerank(arguments.rerank, &judge).run()?;

    if arguments.json {
        println!("{}", response.to_json());
    } else {
        show(&first_stage, &response);
    }
    Ok(())
}

/// Adds every line of the casebook and commits.
fn fill(index: &Index, casebook: &Path) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut writer = index.writer()?;
    let bar = progress_bar(writer.monitor());
    for line in BufReader::new(File::open(casebook)?).lines() {
        let digest: serde_json::Value = serde_json::from_str(&line?)?;
        let text = |field: &str| digest[field].as_str().unwrap_or_default().to_owned();
        let mut document = Document::new(text("id")).set("year", digest["year"].as_i64().unwrap_or_default());
        for field in ["title", "citation", "court", "topic", "text"] {
            document = document.set(field, text(field));
        }
        writer.add(document)?;
    }
    writer.commit()?;
    let progress = writer.monitor().progress();
    drop(bar);
    eprintln!(
        "indexed {} documents, {} passages, in {:.1} s into {}",
        progress.documents_written,
        progress.passages_embedded,
        seconds(begun.elapsed()),
        index.path().display()
    );
    Ok(())
}

/// A bar that follows a writer until it is dropped; silent where nobody would see it.
fn progress_bar(monitor: Monitor) -> impl Drop {
    struct Follow(ProgressBar, std::sync::mpsc::Sender<()>, Option<std::thread::JoinHandle<()>>);
    impl Drop for Follow {
        fn drop(&mut self) {
            let _ = self.1.send(());
            let _ = self.2.take().map(std::thread::JoinHandle::join);
            self.0.finish_and_clear();
        }
    }
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("indexing [{bar:40}] {pos}/{len} passages, {per_sec}, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    let (stop, stopped) = std::sync::mpsc::channel();
    let follower = bar.clone();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(100)).is_err() {
            let progress = monitor.progress();
            follower.set_length(progress.passages_cut);
            follower.set_position(progress.passages_embedded);
        }
    });
    Follow(bar, stop, Some(thread))
}

fn show(first_stage: &Response, response: &Response) {
    println!("\nQuery: {}\n", response.query);
    println!("   {:<48}   Cross-encoder", "First stage: BM25 and vectors, fused");
    println!("   {:-<48}   {:-<55}", "", "");
    let rows = first_stage.hits.len().max(response.hits.len());
    for row in 0..rows {
        let found = first_stage.hits.get(row).map_or(String::new(), |hit| format!("{:>2} {}", hit.rank, name(hit)));
        let judged =
            response.hits.get(row).map_or(String::new(), |hit| format!("{:>2} {:<7} {}", hit.rank, moved(hit), name(hit)));
        println!("   {:<48}   {}", short(&found, 48), short(&judged, 55));
    }
    println!();
    for hit in &response.hits {
        println!("{:>2}. {}, {}", hit.rank, hit.text("title"), hit.text("citation"));
        println!("    {} | {}", moved_in_words(hit), stages(hit));
        if let Some(passage) = &hit.passage {
            println!("    {} {}-{}:", passage.field, passage.start, passage.end);
            for line in wrap(&passage.text.replace('\n', " "), 96) {
                println!("      {line}");
            }
        }
        println!();
    }
    for note in &response.notes {
        println!("Note: {note}");
    }
    let took = &response.timings;
    println!(
        "Took {:.0} ms: query vector {:.1}, words {:.1}, vectors {:.1}, fusion {:.1}, reading {:.1}, judging {:.0} ms ({} of {} candidates, on {}).",
        ms(took.total),
        ms(took.encode),
        ms(took.lexical),
        ms(took.semantic),
        ms(took.fuse),
        ms(took.read),
        ms(took.judge),
        response.judged,
        response.candidates,
        response.device.as_deref().unwrap_or("no device"),
    );
    println!("Without the judge: {:.0} ms.", ms(first_stage.timings.total));
}

fn name(hit: &Hit) -> String {
    match hit.text("title") {
        section if section.contains('§') => section.to_owned(),
        case => format!("{case} {}", hit.text("citation").rsplit(' ').next().unwrap_or_default()),
    }
}

/// From where in the first stage's order a hit came.
fn moved(hit: &Hit) -> String {
    let Some(before) = hit.fused.map(|fused| fused.rank) else { return String::new() };
    match before.cmp(&hit.rank) {
        std::cmp::Ordering::Greater => format!("(+{})", before - hit.rank),
        std::cmp::Ordering::Less => format!("(-{})", hit.rank - before),
        std::cmp::Ordering::Equal => "(=)".to_owned(),
    }
}

fn moved_in_words(hit: &Hit) -> String {
    match hit.fused.map(|fused| fused.rank) {
        Some(before) if before != hit.rank => format!("moved from {before} to {}", hit.rank),
        _ => format!("stays at {}", hit.rank),
    }
}

fn stages(hit: &Hit) -> String {
    let stage = |name: &str, rank: Option<fossick::StageRank>, digits: usize| match rank {
        Some(stage) => format!("{name} #{} {:.digits$}", stage.rank, stage.score),
        None => format!("{name} -"),
    };
    let logit =
        hit.rerank.as_ref().map_or("not judged".to_owned(), |judged| format!("logit #{} {:+.2}", judged.rank, judged.logit));
    [stage("BM25", hit.lexical, 2), stage("vector", hit.semantic, 3), stage("fused", hit.fused, 4), logit].join(", ")
}

fn short(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => text.chars().take(width - 1).chain(['…']).collect(),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.chars().count() + word.chars().count() + 1 > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
