//! `fossick eval`: what each stage is worth on judged queries.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use fossick::evaluate::{
    Change, Comparison, Evaluation, Interval, Metric, ModelUse, Move, Qrels, Queries, Report, Run, Settings, Stage, StageReport,
};

use crate::failure::{Failure, Outcome};
use crate::loading::ModelPlaces;
use crate::search::{Joining, Order, at_least_one};
use crate::source::unpacked;
use crate::terminal::{BETTER, FAINT, Progress, STRONG, WORSE, counted, styled, time};

const EXAMPLES: &str = "\
Examples:

    fossick eval papers.fossick --queries queries.jsonl --qrels test.tsv
    fossick eval papers.fossick --queries queries.jsonl --qrels test.tsv --rerank 0 --run before.trec
    fossick eval papers.fossick --queries queries.jsonl --qrels test.tsv --rerank 50 --baseline before.trec --json";

/// Measure answers against judgements, stage by stage
///
/// Prints nDCG@10, recall@100, MRR@10, MAP and success@5 of BM25, of the vectors, of their fusion and of the final order,
/// with 95 % confidence intervals of nDCG@10 (bootstrap over queries) and the time that half and 95 % of the queries took; then the last stage
/// against the one before it, or against --baseline, with a randomization test and the queries that gained and lost most.
/// The formulas are those of trec_eval. Queries without a relevant judgement are left out and counted.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// JSON lines with `_id` (or `id`) and `text`; may be packed (.gz)
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Judgements: query, document and grade, as BEIR or TREC write them; may be packed (.gz)
    #[arg(long, value_name = "FILE")]
    qrels: PathBuf,
    /// Documents that each leg of the first stage finds, and the depth of the rankings
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    candidates: usize,
    /// Documents that the cross-encoder judges; 0 for none
    #[arg(long, value_name = "N", default_value_t = 100)]
    rerank: usize,
    /// Passages of a document that are judged [default: 2]
    #[arg(long, value_name = "N")]
    passages: Option<usize>,
    /// How the two lists of the first stage become one
    #[arg(long, value_enum, default_value_t)]
    fusion: Joining,
    /// How the judge's word counts
    #[arg(long, value_enum, default_value_t)]
    order: Order,
    /// Take only the first N of the queries that have judgements
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Leave out judgements of documents that the index does not have
    #[arg(long)]
    indexed_only: bool,
    /// Write the last stage's rankings in TREC's format
    #[arg(long, value_name = "FILE")]
    run: Option<PathBuf>,
    /// Compare with rankings in TREC's format rather than with the stage before the last
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments, models: &ModelPlaces) -> Outcome {
    let qrels = read(&arguments.qrels, Qrels::read)?;
    let mut queries = read(&arguments.queries, Queries::read)?;
    if let Some(most) = arguments.first {
        queries = queries.iter().filter(|query| qrels.grades(&query.id).is_some()).take(most).cloned().collect();
    }
    let baseline = arguments.baseline.as_deref().map(|path| Ok::<_, Failure>((path, read(path, Run::read)?))).transpose()?;

    // Before the work rather than after it: a path that cannot be written is known at once.
    if let Some(path) = &arguments.run {
        check_writable(path)?;
    }

    let index = models.open(&arguments.index, false)?;
    let snapshot = index.snapshot()?;
    let judge = if arguments.rerank > 0 { Some(models.judge(&models.device()?)?) } else { None };
    let mut evaluation = Evaluation::new(&snapshot)
        .candidates(arguments.candidates)
        .fusion(arguments.fusion.into())
        .final_order(arguments.order.into());
    if let Some(judge) = &judge {
        evaluation = evaluation.rerank(arguments.rerank, judge);
    }
    if let Some(passages) = arguments.passages {
        evaluation = evaluation.passages_per_document(passages);
    }
    if arguments.indexed_only {
        evaluation = evaluation.indexed_only();
    }
    if let Some((path, run)) = baseline {
        evaluation = evaluation.baseline(path.display().to_string(), run);
    }
    let mut bar: Option<(Stage, Progress)> = None;
    let evaluation = evaluation.on_progress(move |stage, done, total| {
        if bar.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            bar = Some((stage, Progress::new(format!("{stage}"), "queries", Some(total as u64))));
        }
        if let Some((_, progress)) = &bar {
            progress.at(done as u64);
        }
    });
    let report = evaluation.run(&queries, &qrels)?;

    if let (Some(path), Some(last)) = (&arguments.run, report.stages.last()) {
        let file = File::create(path).map(BufWriter::new);
        let written = file.and_then(|mut file| last.run.write(&format!("fossick-{}", last.stage), &mut file));
        written.map_err(|error| unwritable(path, &error))?;
    }
    let mut out = anstream::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", report.to_json())?;
    } else {
        write!(out, "{}", page(&report, arguments.first.is_some()))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the file can be written, without a change to what is there.
fn check_writable(path: &Path) -> Result<(), Failure> {
    let is_there = path.exists();
    let opened = File::options().append(true).create(true).open(path);
    opened.map_err(|error| unwritable(path, &error))?;
    if !is_there {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("{}: cannot be written: {error}; check the path and the space", path.display()))
}

/// Opens a file and reads it with its own errors.
fn read<T>(
    path: &Path,
    parse: impl FnOnce(&str, Box<dyn std::io::BufRead + Send>) -> Result<T, fossick::EvaluateError>,
) -> Result<T, Failure> {
    let name = path.display().to_string();
    let reader = unpacked(path).map_err(|source| fossick::EvaluateError::Read { file: name.clone(), source })?;
    Ok(parse(&name, reader)?)
}

/// `some`: only some of the queries were wanted.
fn page(report: &Report, some: bool) -> String {
    let mut page = String::new();
    let _ =
        writeln!(page, "{}, {}", counted(report.queries.len() as u64, "query"), counted(report.judgements as u64, "judgement"));
    if report.without_relevant > 0 {
        let _ = writeln!(page, "left out, without a relevant judgement: {}", counted(report.without_relevant as u64, "query"));
    }
    if report.without_judgement > 0 {
        let _ = writeln!(page, "left out, without any judgement: {}", counted(report.without_judgement as u64, "query"));
    }
    if report.without_text > 0 && !some {
        let _ = writeln!(page, "judged, and not among the queries: {}", counted(report.without_text as u64, "query"));
    }
    if report.absent_judgements > 0 {
        let fate = if report.absent_left_out { "left out" } else { "counted as not found (--indexed-only leaves them out)" };
        let _ = writeln!(
            page,
            "of documents that the index does not have: {}, {fate}",
            counted(report.absent_judgements as u64, "judgement")
        );
    }
    page.push_str(&measured(&report.settings));
    let _ = write!(page, "\n{:<9}", "stage");
    for metric in Metric::STANDARD {
        let wide = if metric == Metric::STANDARD[0] { 24 } else { 12 };
        let _ = write!(page, " {:>wide$}", metric.to_string());
    }
    let _ = writeln!(page, " {:>9} {:>9}", "p50", "p95");
    for stage in &report.stages {
        let _ = writeln!(page, "{}", row(stage));
    }
    for (note, count) in &report.notes {
        let _ = writeln!(page, "note, in {count} searches: {note}");
    }
    if !report.depths.is_empty() {
        let _ = writeln!(page, "\n{:<9} {:>24} {:>12} {:>15}", "judged", "ndcg@10", "passages", "time, estimated");
    }
    for depth in &report.depths {
        let Interval { mean, low, high, .. } = depth.ndcg_at_10;
        let (passages, took) = (depth.passages, time(depth.time));
        let _ = writeln!(page, "{:<9}   {mean:.4} [{low:.3}, {high:.3}] {passages:>12.1} {took:>15}", depth.rerank);
    }
    if let Some(comparison) = &report.comparison {
        page.push_str(&compared(comparison, report));
    }
    page
}

/// What was measured, in a line or two.
fn measured(settings: &Settings) -> String {
    let Settings { candidates, rerank, passages, fusion, order, encoder, judge, .. } = settings;
    let name = |model: &ModelUse| format!("{} in {} on {}", model.model.name(), model.precision, model.device);
    let mut text = format!("{candidates} candidates of each leg");
    if let Some(encoder) = encoder {
        let _ = write!(text, ", fused by {fusion}; {}", name(encoder));
    }
    if let Some(judge) = judge {
        let _ = write!(text, "\n{rerank} judged, {passages} passages of each at most, final order {order}; {}", name(judge));
    }
    text + "\n"
}

fn row(stage: &StageReport) -> String {
    let mut row = format!("{:<9}", stage.stage.to_string());
    for metric in Metric::STANDARD {
        let Some(interval) = stage.interval(metric) else { continue };
        if metric == Metric::STANDARD[0] {
            let _ = write!(row, "   {:.4} [{:.3}, {:.3}]", interval.mean, interval.low, interval.high);
        } else {
            let _ = write!(row, " {:>12.4}", interval.mean);
        }
    }
    let _ = write!(row, " {:>9} {:>9}", time(stage.percentile(50.0)), time(stage.percentile(95.0)));
    row
}

fn compared(comparison: &Comparison, report: &Report) -> String {
    let mut text = String::new();
    let last = report.stages.last().map_or_else(String::new, |stage| stage.stage.to_string());
    let difference = comparison.difference;
    let _ = writeln!(
        text,
        "\n{}\nnDCG@10 {:+.4} [{:+.4}, {:+.4}], p = {:.4} (randomization test); {} better, {} worse, {} the same",
        styled(STRONG, format_args!("{last} against {}", comparison.baseline)),
        shown(difference.mean),
        shown(difference.low),
        shown(difference.high),
        comparison.p_value,
        counted(comparison.better as u64, "query"),
        comparison.worse,
        comparison.equal
    );
    if comparison.missing > 0 {
        let _ = writeln!(text, "without an answer in {}: {}", comparison.baseline, counted(comparison.missing as u64, "query"));
    }
    for (name, style, changes) in [("gained most", BETTER, &comparison.gained), ("lost most", WORSE, &comparison.lost)] {
        if !changes.is_empty() {
            let _ = writeln!(text, "\n{}", styled(STRONG, name));
        }
        for change in changes {
            text.push_str(&told(change, style));
        }
    }
    text
}

/// A difference without the minus of a zero.
fn shown(value: f64) -> f64 {
    if value.abs() < 5e-5 { 0.0 } else { value }
}

fn told(change: &Change, style: anstyle::Style) -> String {
    let mut text = String::new();
    let difference = styled(style, format_args!("{:+.3}", change.after - change.before));
    let _ = writeln!(text, "  {difference}  {} {}  ({:.3} to {:.3})", change.query, change.text, change.before, change.after);
    let rank = |rank: Option<usize>| rank.map_or("-".to_owned(), |rank| rank.to_string());
    let (relevant, others): (Vec<&Move>, Vec<&Move>) =
        change.moves.iter().partition(|step| step.grade.is_some_and(|grade| grade > 0));
    // What became of the others is told of those that a person looks at first.
    let first = others.into_iter().filter(|step| step.to.is_some_and(|rank| rank <= 3)).collect();
    for (name, steps) in [("relevant", relevant), ("others now among the first three", first)] {
        let moves: Vec<String> =
            steps.iter().map(|step| format!("{} {} to {}", step.key, rank(step.from), rank(step.to))).collect();
        if !moves.is_empty() {
            let _ = writeln!(text, "          {}", styled(FAINT, format_args!("{name}: {}", moves.join(", "))));
        }
    }
    text
}
