//! `fossick bench`: what this machine does.

mod deadline;
mod search;

use std::fmt::Write as _;
use std::io::{BufRead, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use fossick::{CrossEncoder, Device, DeviceInfo, DeviceKind, Encoder, ModelError, Precision};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::failure::{Failure, Outcome};
use crate::loading::ModelPlaces;
use crate::search::at_least_one;
use crate::source::unpacked;
use crate::terminal::{STRONG, styled, tell};

/// The digests of the example's casebook: real texts of real lengths.
const CASEBOOK: &str = include_str!("../../../../examples/casebook/casebook.jsonl");
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
/// --precision), and how long the first stage takes: on an index of yours in each mode, or on a generated one with no filter, with one that
/// keeps half and with one that keeps a hundredth, beside the recall of the vectors' hundred nearest. Rates are the best of --rounds rounds of at least --seconds each, or of all pairs once
/// where --whole is given, after a warm-up;
/// times are those that half and 95 % of the searches stayed within. Without --rerank, --embed, --search or --deadline the first three are measured.
#[derive(Args)]
pub struct Arguments {
    /// JSON lines, each with a `query` and a list `passages`; may be packed (.gz); without it, digests of court decisions
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
    /// Measure how well searches of --index keep to a deadline, or to several: 100,200; and how many of 50 candidates they judge until then
    #[arg(long, value_name = "MS", value_delimiter = ',', requires = "index", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    deadline: Vec<u64>,
    /// The index for the first stage and for deadlines; without it, one is generated for the first stage
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// Documents of a generated index, or of several: 10000,100000,1000000
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10_000], value_parser = at_least_one)]
    rows: Vec<usize>,
    /// Components of a vector in a generated index
    #[arg(long, value_name = "N", default_value_t = 384, value_parser = at_least_one)]
    dims: usize,
    /// How many clusters the vectors of a generated index form; one for each thousand documents unless set
    #[arg(long, value_name = "N")]
    clusters: Option<usize>,
    /// Where generated indexes are made, and kept; a folder of the system's that is removed unless set
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Make the generated index here and end; what a bench has another process do, so that its own memory is that of searching
    #[arg(long, value_name = "DIR", hide = true)]
    make: Option<PathBuf>,
    /// The least time of a round
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Make a round of judging or embedding all pairs once, one call for each query, however long that takes: what is to be compared with
    /// other programs has to be the same work
    #[arg(long, conflicts_with = "seconds")]
    whole: bool,
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
    if let Some(directory) = &arguments.make {
        writeln!(anstream::stdout(), "{}", search::make(directory, &arguments)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let pairs = pairs(arguments.pairs.as_deref())?;
    let all = !(arguments.rerank || arguments.embed || arguments.search) && arguments.deadline.is_empty();
    let devices = devices(models)?;
    let searches = all || arguments.search;
    // Before what takes long: a path that holds no index is known at once.
    let asked = searches || !arguments.deadline.is_empty();
    let index = arguments.index.as_deref().filter(|_| asked).map(|path| models.open(path, false)).transpose()?;
    let (mut rerank, mut embed, mut search, mut made) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut deadlines = Vec::new();
    for device in &devices {
        let at = format!("in {} on {}", device.precision(), device.info());
        if all || arguments.rerank {
            tell!("judging {at}");
            rerank.push(judging(&models.judge(device)?, &pairs, &arguments)?);
        }
        if all || arguments.embed {
            tell!("embedding {at}");
            embed.push(embedding(&models.encoder(device)?, &pairs, &arguments)?);
        }
        if let Some(index) = index.as_ref().filter(|_| !arguments.deadline.is_empty()) {
            tell!("searching with a deadline, judging {at}");
            let given: Vec<&str> = pairs.iter().filter(|_| arguments.pairs.is_some()).map(|pairs| pairs.query.as_str()).collect();
            let questions = if given.is_empty() { &deadline::QUESTIONS[..] } else { &given };
            deadlines.extend(deadline::deadlines(index, &models.judge(device)?, questions, &arguments)?);
        }
    }
    if searches {
        tell!("searching");
        (made, search) = search::first_stage(index.as_ref(), &pairs, &arguments)?;
    }
    let mut out = anstream::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", json!({"rerank": rerank, "embed": embed, "made": made, "search": search, "deadline": deadlines}))?;
    } else {
        let measured =
            [("judging", rerank), ("embedding", embed), ("indexing", made), ("first stage", search), ("deadlines", deadlines)];
        for (title, rows) in measured {
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
    let file = unpacked(path).map_err(|e| Failure::new(format_args!("{name}: cannot be read: {e}; check the path")))?;
    let mut pairs = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let place = format!("{name}, line {}", number + 1);
        let line = line.map_err(|e| Failure::new(format_args!("{place}: cannot be read: {e}")))?;
        let line = line.trim_start_matches('\u{feff}');
        if !line.trim().is_empty() {
            let expected = r#"expected an object with a text "query" and a list of texts "passages""#;
            let found: Pairs = serde_json::from_str(line).map_err(|e| Failure::new(format_args!("{place}: {e}; {expected}")))?;
            if found.query.trim().is_empty() {
                return Err(Failure::new(format_args!("{place}: the query is empty; {expected}")));
            }
            pairs.push(found);
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

/// The fastest of some rounds of `step`, which does the work of one of so many steps and tells how many items and tokens it was.
/// Rounds by time go on where the one before ended; whole ones do every step once, in order.
fn fastest<T, E>(arguments: &Arguments, steps: &[T], mut step: impl FnMut(&T) -> Result<(usize, usize), E>) -> Result<Rate, E> {
    let mut next = steps.iter().cycle();
    steps.iter().take(1).try_for_each(|first| step(first).map(drop))?;
    let mut best = Rate::default();
    for _ in 0..arguments.rounds {
        let begun = Instant::now();
        let (mut rate, mut done) = (Rate::default(), 0);
        while if arguments.whole { done < steps.len() } else { begun.elapsed().as_secs_f64() < arguments.seconds } {
            let Some(at) = next.next() else { break };
            let (items, tokens) = step(at)?;
            (rate.items, rate.tokens, done) = (rate.items + items, rate.tokens + tokens, done + 1);
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
    let rate = fastest(arguments, &filled, |Pairs { query, passages }| {
        let judged = judge.judge(query, passages)?;
        Ok::<_, ModelError>((judged.len(), judged.iter().map(|judgement| judgement.tokens).sum()))
    })?;
    Ok(json!({
        "device": judge.device().info().to_string(),
        "precision": judge.device().precision().to_string(),
        "pairs": rate.items,
        "pairs_per_s": rounded(rate.per_second(rate.items)),
        "tokens_per_s": rounded(rate.per_second(rate.tokens)),
        "tokens_per_pair": rounded(rate.tokens as f64 / rate.items.max(1) as f64),
    }))
}

fn embedding(encoder: &Encoder, pairs: &[Pairs], arguments: &Arguments) -> Result<Json, ModelError> {
    let all: Vec<&String> = pairs.iter().flat_map(|pairs| &pairs.passages).collect();
    let steps: Vec<Vec<&String>> = match arguments.whole {
        true => pairs.iter().map(|pairs| pairs.passages.iter().collect()).filter(|step: &Vec<_>| !step.is_empty()).collect(),
        false => all.chunks(2 * STEP).map(<[&String]>::to_vec).collect(),
    };
    let rate = fastest(arguments, &steps, |step| {
        let embedded = encoder.encode_passages(step)?;
        Ok::<_, ModelError>((embedded.len(), embedded.iter().map(|embedding| embedding.tokens).sum()))
    })?;
    Ok(json!({
        "device": encoder.device().info().to_string(),
        "precision": encoder.device().precision().to_string(),
        "passages": rate.items,
        "passages_per_s": rounded(rate.per_second(rate.items)),
        "tokens_per_s": rounded(rate.per_second(rate.tokens)),
        "tokens_per_passage": rounded(rate.tokens as f64 / rate.items.max(1) as f64),
    }))
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
