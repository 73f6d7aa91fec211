//! Thousands of queries: what memory the process has after each fifth of them.
//!
//! Through the cross-encoder alone, with queries and passages of all lengths, or as searches of an index, with questions made of its words,
//! of which half were asked before, deadlines of all lengths up to 400 ms and every eighth without one, and the logit cache.
//!
//! ```sh
//! cargo run --example soak -- --queries 5000
//! cargo run --example soak -- --queries 5000 --threads 4 --index casebook.fossick
//! cargo run --example soak -- --device llvmpipe --queries 100
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use fossick::{CrossEncoder, Device, Encoder, Index, Options, Snapshot, Value};

#[derive(Parser)]
struct Arguments {
    /// Where it runs: auto, cpu, or a part of an adapter's name
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How many queries
    #[arg(long, default_value_t = 5000)]
    queries: usize,
    /// Threads that ask
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Search this index, which bge-small-en-v1.5 or no encoder made; without it, the cross-encoder alone is asked
    #[arg(long)]
    index: Option<PathBuf>,
    /// Documents judged for each search of an index
    #[arg(long, default_value_t = 20)]
    rerank: usize,
    /// Passages judged for each query of the cross-encoder alone
    #[arg(long, default_value_t = 2)]
    passages: usize,
    /// The longest passage, in words; the model reads 512 tokens at most
    #[arg(long, default_value_t = 500)]
    longest: usize,
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let arguments = Arguments::parse();
    let device = Device::named(&arguments.device)?;
    let judge = CrossEncoder::load("models/ms-marco-minilm-l-12-v2", &device)?;
    println!("on {}", device.info());
    match &arguments.index {
        Some(path) => {
            let snapshot = open(path, &device)?.snapshot()?;
            let searches = Searches { words: words_of(&snapshot)?, snapshot, judge, told: Told::default() };
            run(&arguments, |query| searches.ask(query, &arguments))?;
            searches.told.print();
        }
        None => run(&arguments, |query| ask_the_judge(&judge, query, &arguments))?,
    }
    Ok(())
}

/// Asks all queries, each by whichever thread is free.
fn run(arguments: &Arguments, ask: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    let (begun, next) = (Instant::now(), AtomicUsize::new(0));
    let every = (arguments.queries / 5).max(1);
    let work = || -> Outcome {
        loop {
            let query = next.fetch_add(1, Ordering::Relaxed);
            if query >= arguments.queries {
                return Ok(());
            }
            ask(query)?;
            if (query + 1) % every == 0 {
                let resident =
                    resident().map_or("unknown here".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0));
                println!("{:>6} queries, {:>6.1} s, resident memory {resident}", query + 1, begun.elapsed().as_secs_f32());
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

fn ask_the_judge(judge: &CrossEncoder, query: usize, arguments: &Arguments) -> Outcome {
    let words: Vec<&str> = include_str!("soak.rs").split_whitespace().collect();
    let text = |words_wanted: usize, from: usize| -> String {
        words.iter().cycle().skip(from % words.len()).take(words_wanted).copied().collect::<Vec<_>>().join(" ")
    };
    let passage = |at: usize| text(1 + (query * 37 + at * 101) % arguments.longest, query * 13 + at);
    let passages: Vec<String> = (0..arguments.passages).map(passage).collect();
    judge.judge(&text(1 + query % 20, query), &passages)?;
    Ok(())
}

/// Opens an index with the encoder that it was made with, if it was made with one.
fn open(path: &Path, device: &Device) -> Result<Index, fossick::Error> {
    let index = Index::open(path, Options::new())?;
    if index.snapshot()?.encoder_identity().is_none() {
        return Ok(index);
    }
    let encoder = Encoder::load("models/bge-small-en-v1.5", device)?;
    Index::open(path, Options::new().encoder(encoder))
}

/// The words of some of its documents.
fn words_of(snapshot: &Snapshot) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let response = snapshot.search("*").candidates(1000).limit(1000).run()?;
    let texts = response.hits.iter().flat_map(|hit| &hit.fields).filter_map(|(_, value)| Value::as_text(value));
    let words = texts.flat_map(|text| text.split(|c: char| !c.is_alphabetic())).filter(|word| word.len() > 2);
    let words: Vec<String> = words.map(str::to_owned).collect();
    if words.is_empty() { Err("the index has no words to ask for".into()) } else { Ok(words) }
}

/// What is searched, and what came of it.
struct Searches {
    words: Vec<String>,
    snapshot: Snapshot,
    judge: CrossEncoder,
    told: Told,
}

#[derive(Default)]
struct Told {
    with_deadline: AtomicUsize,
    ended_early: AtomicUsize,
    from_cache: AtomicUsize,
    /// In microseconds.
    overrun: AtomicU64,
}

impl Searches {
    fn ask(&self, query: usize, arguments: &Arguments) -> Outcome {
        let random = mixed(query as u64);
        // As many questions as half the queries, each from its own place.
        let question = mixed(!(random % (arguments.queries as u64 / 2).max(1)));
        let count = 1 + question as usize % 12;
        let word = |at: usize| self.words[(mixed(question ^ at as u64) % self.words.len() as u64) as usize].as_str();
        let text = (0..count).map(word).collect::<Vec<_>>().join(" ");
        let deadline = (query % 8 != 7).then(|| Duration::from_millis((random >> 32) % 401));
        let mut search = self.snapshot.search(&text).rerank(arguments.rerank, &self.judge).plain();
        if let Some(deadline) = deadline {
            search = search.deadline(deadline);
        }
        let response = search.run()?;
        self.told.from_cache.fetch_add(response.from_cache, Ordering::Relaxed);
        if let Some(deadline) = deadline {
            self.told.with_deadline.fetch_add(1, Ordering::Relaxed);
            self.told.ended_early.fetch_add(usize::from(response.judged < response.to_judge), Ordering::Relaxed);
            let overrun = response.timings.total.saturating_sub(deadline);
            self.told.overrun.fetch_max(overrun.as_micros() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Told {
    fn print(&self) {
        let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        println!(
            "{} logits from the cache; {} searches with a deadline, {} of them ended by it, the latest {:.1} ms after it",
            read(&self.from_cache),
            read(&self.with_deadline),
            read(&self.ended_early),
            self.overrun.load(Ordering::Relaxed) as f64 / 1000.0
        );
    }
}

/// The output function of SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The memory of this process that is in RAM, where the system tells it as a file.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
