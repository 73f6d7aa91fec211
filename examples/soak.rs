//! Thousands of queries of all lengths through the cross-encoder: what memory the process has after each thousand.
//!
//! ```sh
//! cargo run --example soak -- --queries 5000
//! cargo run --example soak -- --device llvmpipe --queries 100
//! ```

use std::error::Error;
use std::time::Instant;

use clap::Parser;
use fossick::{CrossEncoder, Device};

#[derive(Parser)]
struct Arguments {
    /// Where it runs: auto, cpu, or a part of an adapter's name
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How many queries
    #[arg(long, default_value_t = 5000)]
    queries: usize,
    /// Passages judged for each
    #[arg(long, default_value_t = 2)]
    passages: usize,
    /// The longest passage, in words; the model reads 512 tokens at most
    #[arg(long, default_value_t = 500)]
    longest: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let device = Device::named(&arguments.device)?;
    let judge = CrossEncoder::load("models/ms-marco-minilm-l-12-v2", &device)?;
    println!("on {}", device.info());
    let words: Vec<&str> = include_str!("soak.rs").split_whitespace().collect();
    let text = |words_wanted: usize, from: usize| -> String {
        words.iter().cycle().skip(from % words.len()).take(words_wanted).copied().collect::<Vec<_>>().join(" ")
    };
    let begun = Instant::now();
    let every = (arguments.queries / 5).max(1);
    for query in 0..arguments.queries {
        let passage = |at: usize| text(1 + (query * 37 + at * 101) % arguments.longest, query * 13 + at);
        let passages: Vec<String> = (0..arguments.passages).map(passage).collect();
        judge.judge(&text(1 + query % 20, query), &passages)?;
        if (query + 1) % every == 0 {
            let resident = resident().map_or("unknown here".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0));
            println!("{:>6} queries, {:>6.1} s, resident memory {resident}", query + 1, begun.elapsed().as_secs_f32());
        }
    }
    Ok(())
}

/// The memory of this process that is in RAM, where the system tells it as a file.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
