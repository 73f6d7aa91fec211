//! `fossick bench`: what this machine does.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use fossick::{
    CrossEncoder, Device, DeviceInfo, DeviceKind, Document, Encoder, Index, Mode, ModelError, Options, Precision, Schema,
    Snapshot,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::failure::{Failure, Outcome};
use crate::loading::ModelPlaces;
use crate::terminal::{STRONG, styled};

/// The digests of the example's casebook: real texts of real lengths.
const CASEBOOK: &str = include_str!("../../../examples/casebook/casebook.jsonl");
/// Queries for them.
const QUERIES: [&str; 5] = [
    "software patent obviousness standard",
    "can the police search a phone without a warrant",
    "principal place of business of a corporation",
    "is burning a flag protected expression",
    "what counts as gross income",
];
/// Passages of a built-in query.
const PASSAGES: usize = 40;
/// Pairs or passages between two looks at the clock.
const STEP: usize = 16;

/// Measure what this machine does
///
/// Query-passage pairs judged and passages embedded in a second, on each device (or that of --device) in each precision (or that of
/// --precision), and how long the first stage
/// takes on an index or on a generated one. Rates are the best of --rounds rounds of at least --seconds each, after a warm-up;
/// times are those that half and 95 % of the searches stayed within. Without --rerank, --embed or --search all three are measured.
#[derive(Args)]
pub struct Arguments {
    /// JSON lines, each with a `query` and a list `passages`; without it, digests of court decisions
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// Measure judging
    #[arg(long)]
    rerank: bool,
    /// Measure embedding
    #[arg(long)]
    embed: bool,
    /// Measure the first stage
    #[arg(long)]
    search: bool,
    /// The index for the first stage; without it, one is generated
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// Documents of a generated index
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rows: usize,
    /// Components of a vector in a generated index
    #[arg(long, value_name = "N", default_value_t = 384)]
    dims: usize,
    /// The least time of a round
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A query and what is to be judged with it.
#[derive(Deserialize)]
struct Pairs {
    query: String,
    passages: Vec<String>,
}

pub fn run(arguments: Arguments, models: &ModelPlaces) -> Outcome {
    if !(arguments.seconds > 0.0 && arguments.seconds < 3600.0) || arguments.rounds == 0 {
        return Err(Failure::new("--seconds takes more than 0 and less than 3600, --rounds at least 1"));
    }
    let pairs = pairs(arguments.pairs.as_deref())?;
    let all = !(arguments.rerank || arguments.embed || arguments.search);
    let devices = devices(models)?;
    let (mut rerank, mut embed, mut search) = (Vec::new(), Vec::new(), Vec::new());
    for device in &devices {
        if all || arguments.rerank {
            rerank.push(judging(&models.judge(device)?, &pairs, &arguments)?);
        }
        if all || arguments.embed {
            embed.push(embedding(&models.encoder(device)?, &pairs, &arguments)?);
        }
    }
    if all || arguments.search {
        search = first_stage(models, &pairs, &arguments)?;
    }
    let mut out = anstream::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", json!({"rerank": rerank, "embed": embed, "search": search}))?;
    } else {
        for (title, rows) in [("judging", rerank), ("embedding", embed), ("first stage", search)] {
            if !rows.is_empty() {
                writeln!(out, "{}", styled(STRONG, title))?;
            }
            for row in rows {
                writeln!(out, "  {}", line(&row))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The device that was asked for, else all that are worth measuring, in each precision that was not ruled out.
fn devices(models: &ModelPlaces) -> Result<Vec<Device>, Failure> {
    let mut devices = Vec::new();
    if models.device_name().is_some() || std::env::var_os("FOSSICK_DEVICE").is_some() {
        devices.push(models.device()?);
    } else {
        devices.push(Device::cpu());
        let worth = |info: &DeviceInfo| !matches!(info.kind, DeviceKind::Software | DeviceKind::Cpu);
        for info in Device::list().into_iter().filter(worth) {
            devices.push(Device::named(&info.name)?);
        }
        devices.retain(|device| device.fallback().is_none());
    }
    let wanted = |precision: &Precision| models.precision().is_none_or(|only| only == *precision);
    let mut each = Vec::new();
    for device in devices {
        for &precision in device.info().precisions().iter().filter(|precision| wanted(precision)) {
            each.push(device.clone().with_precision(precision)?);
        }
    }
    match each.is_empty() {
        true => Err(Failure::new("no device here computes in that precision; leave --precision or --device out")),
        false => Ok(each),
    }
}

fn pairs(path: Option<&Path>) -> Result<Vec<Pairs>, Failure> {
    let Some(path) = path else { return built_in() };
    let name = path.display();
    let file = File::open(path).map_err(|e| Failure::new(format_args!("{name}: cannot be read: {e}; check the path")))?;
    let mut pairs = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = format!("{name}, line {}", number + 1);
        let line = line.map_err(|e| Failure::new(format_args!("{place}: cannot be read: {e}")))?;
        if !line.trim().is_empty() {
            let expected = r#"expected an object with a text "query" and a list of texts "passages""#;
            pairs.push(serde_json::from_str(&line).map_err(|e| Failure::new(format_args!("{place}: {e}; {expected}")))?);
        }
    }
    match pairs.iter().all(|pairs: &Pairs| pairs.passages.is_empty()) {
        true => Err(Failure::new(format_args!("{name}: holds no pair; give at least one query with a passage"))),
        false => Ok(pairs),
    }
}

fn built_in() -> Result<Vec<Pairs>, Failure> {
    #[derive(Deserialize)]
    struct Digest {
        title: String,
        text: String,
    }
    let digests: Vec<Digest> = CASEBOOK.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(Failure::new)?;
    let passage = |digest: &Digest| format!("{}\n{}", digest.title, digest.text);
    let texts: Vec<String> = digests.iter().map(passage).collect();
    let pairs = QUERIES.iter().enumerate().map(|(at, query)| Pairs {
        query: (*query).to_owned(),
        passages: texts.iter().skip(at * PASSAGES).take(PASSAGES).cloned().collect(),
    });
    Ok(pairs.collect())
}

/// Work that was done, and in what time.
#[derive(Clone, Copy, Default)]
struct Rate {
    items: usize,
    tokens: usize,
    time: Duration,
}

impl Rate {
    fn per_second(self, count: usize) -> f64 {
        count as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// The fastest of some rounds of `step`, which does the work of a step and tells how many items and tokens it was.
fn fastest<E>(arguments: &Arguments, mut step: impl FnMut(usize) -> Result<(usize, usize), E>) -> Result<Rate, E> {
    step(0)?;
    let mut best = Rate::default();
    let mut at = 0;
    for _ in 0..arguments.rounds {
        let begun = Instant::now();
        let mut rate = Rate::default();
        while begun.elapsed().as_secs_f64() < arguments.seconds {
            let (items, tokens) = step(at)?;
            (rate.items, rate.tokens, at) = (rate.items + items, rate.tokens + tokens, at + 1);
        }
        rate.time = begun.elapsed();
        if rate.per_second(rate.tokens) > best.per_second(best.tokens) {
            best = rate;
        }
    }
    Ok(best)
}

fn judging(judge: &CrossEncoder, pairs: &[Pairs], arguments: &Arguments) -> Result<Json, ModelError> {
    // As a search does it: one call for all candidates of a query.
    let filled: Vec<&Pairs> = pairs.iter().filter(|pairs| !pairs.passages.is_empty()).collect();
    let rate = fastest(arguments, |at| {
        let Pairs { query, passages } = filled[at % filled.len()];
        let judged = judge.judge(query, passages)?;
        Ok::<_, ModelError>((judged.len(), judged.iter().map(|judgement| judgement.tokens).sum()))
    })?;
    Ok(json!({
        "device": judge.device().info().to_string(),
        "precision": judge.device().precision().to_string(),
        "pairs_per_s": rounded(rate.per_second(rate.items)),
        "tokens_per_s": rounded(rate.per_second(rate.tokens)),
        "tokens_per_pair": rounded(rate.tokens as f64 / rate.items.max(1) as f64),
    }))
}

fn embedding(encoder: &Encoder, pairs: &[Pairs], arguments: &Arguments) -> Result<Json, ModelError> {
    let passages: Vec<&String> = pairs.iter().flat_map(|pairs| &pairs.passages).collect();
    let steps: Vec<&[&String]> = passages.chunks(2 * STEP).collect();
    let rate = fastest(arguments, |at| {
        let embedded = encoder.encode_passages(steps[at % steps.len()])?;
        Ok::<_, ModelError>((embedded.len(), embedded.iter().map(|embedding| embedding.tokens).sum()))
    })?;
    Ok(json!({
        "device": encoder.device().info().to_string(),
        "precision": encoder.device().precision().to_string(),
        "passages_per_s": rounded(rate.per_second(rate.items)),
        "tokens_per_s": rounded(rate.per_second(rate.tokens)),
        "tokens_per_passage": rounded(rate.tokens as f64 / rate.items.max(1) as f64),
    }))
}

/// Each mode over the queries of the pairs: on an index of the user's, or on a generated one with vectors of its own.
fn first_stage(models: &ModelPlaces, pairs: &[Pairs], arguments: &Arguments) -> Result<Vec<Json>, Failure> {
    let queries: Vec<&str> = pairs.iter().map(|pairs| pairs.query.as_str()).collect();
    if let Some(path) = &arguments.index {
        let index = models.open(path, false)?;
        let snapshot = index.snapshot()?;
        return modes(&snapshot, &queries, None, arguments);
    }
    let directory = tempfile_directory()?;
    let outcome = generated(&directory, arguments).and_then(|snapshot| {
        let vectors: Vec<Vec<f32>> = (0..queries.len()).map(|at| vector(u64::MAX - at as u64, arguments.dims)).collect();
        modes(&snapshot, &queries, Some(&vectors), arguments)
    });
    // Left behind, it is found in the system's folder for such things.
    let _ = std::fs::remove_dir_all(&directory);
    outcome
}

fn modes(
    snapshot: &Snapshot,
    queries: &[&str],
    vectors: Option<&[Vec<f32>]>,
    arguments: &Arguments,
) -> Result<Vec<Json>, Failure> {
    let mut rows = Vec::new();
    let encoded = snapshot.encoder_identity().is_some();
    for (mode, name) in [(Mode::Lexical, "lexical"), (Mode::Semantic, "semantic"), (Mode::Hybrid, "hybrid")] {
        if mode != Mode::Lexical && !encoded && vectors.is_none() {
            continue;
        }
        let mut times = Vec::new();
        let begun = Instant::now();
        for at in 0.. {
            let mut search = snapshot.search(queries[at % queries.len()]).mode(mode).candidates(100).limit(10);
            if let Some(vectors) = vectors.filter(|_| mode != Mode::Lexical) {
                search = search.vector(vectors[at % vectors.len()].clone());
            }
            let asked = Instant::now();
            search.run()?;
            // The first round over the queries warms up.
            if at >= queries.len() {
                times.push(asked.elapsed());
            }
            if times.len() >= 20 && begun.elapsed().as_secs_f64() >= arguments.seconds {
                break;
            }
        }
        times.sort_unstable();
        let percentile = |part: f64| times[((times.len() as f64 * part).ceil() as usize).clamp(1, times.len()) - 1];
        rows.push(json!({
            "mode": name,
            "documents": snapshot.document_count(),
            "passages": snapshot.passage_count(),
            "p50_ms": milliseconds(percentile(0.5)),
            "p95_ms": milliseconds(percentile(0.95)),
            "searches": times.len(),
        }));
    }
    Ok(rows)
}

fn tempfile_directory() -> Result<PathBuf, Failure> {
    let path = std::env::temp_dir().join(format!("fossick-bench-{}", std::process::id()));
    std::fs::create_dir_all(&path)
        .map_err(|e| Failure::new(format_args!("{}: cannot be made: {e}; set TMPDIR to a folder with room", path.display())))?;
    Ok(path)
}

/// Documents of words from the casebook and clustered vectors.
fn generated(directory: &Path, arguments: &Arguments) -> Result<Snapshot, Failure> {
    let schema = Schema::builder().text("text").build()?;
    let options = Options::new().schema(schema).own_vectors(arguments.dims);
    let index = Index::open_or_create(directory.join("index"), options)?;
    let words: Vec<&str> = CASEBOOK.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 2).collect();
    let mut writer = index.writer()?;
    for row in 0..arguments.rows as u64 {
        let text: Vec<&str> = (0..100).map(|at| words[(mixed(row * 1000 + at) % words.len() as u64) as usize]).collect();
        writer.add(Document::new(row.to_string()).set("text", text.join(" ")).vector(vector(row, arguments.dims)))?;
    }
    writer.commit()?;
    drop(writer);
    Ok(index.snapshot()?)
}

/// A vector near one of a hundred centres.
fn vector(seed: u64, dimension: usize) -> Vec<f32> {
    let uniform = |seed: u64| (mixed(seed) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    let centre = mixed(seed) % 100;
    (0..dimension as u64).map(|at| uniform(centre << 32 | at) + 0.6 * uniform(seed.wrapping_mul(1 << 20) ^ at)).collect()
}

/// The output function of SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

/// A row of JSON for a person.
fn line(row: &Json) -> String {
    let mut line = String::new();
    for (name, value) in row.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(line, "{}{name} {value}", if line.is_empty() { "" } else { ", " });
    }
    line
}
