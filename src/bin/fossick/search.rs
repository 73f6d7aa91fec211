//! `fossick search`: an answer on a page, or as JSON.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fossick::{
    CrossEncoder, FieldType, Filter, FinalOrder, Fusion, Hit, Mode, Passage, Response, Schema, Snapshot, StageRank, Value,
};

use crate::failure::{Failure, Outcome};
use crate::loading::ModelPlaces;
use crate::terminal::{BETTER, FAINT, FOUND, STRONG, WORSE, counted, plain, styled, tell, time, width, wrap};

const EXAMPLES: &str = "\
What a query may hold, beside words (at a shell, put quotation marks around it):

    \"prior art\"        these words in this order     \"prior art\"~3   with up to 3 moves
    +must  -mustnot    has it, has it not            a AND (b OR c) NOT d
    title:patent       in this field                 obvious*         what begins so
    colour~            within one or two letters     patent^2         counts twice
    year:[1990 TO 2000]  a range of a field

Vectors and the cross-encoder read the words without these signs. With --plain they mean nothing.

Examples:

    fossick search cases.fossick software patent obviousness standard
    fossick search cases.fossick '\"prior art\" -design' --filter 'court = \"Supreme Court\" AND year >= 1990'
    fossick search notes.fossick --json --limit 10 < questions.txt";

/// Ask an index
///
/// Without a query on the command line, each line of standard input is one; with --json, each answer is one line.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The index directory
    index: PathBuf,
    /// What to look for; several words need no quotation marks
    query: Vec<String>,
    /// Which legs the first stage has [default: hybrid, or lexical where the index has no vectors]
    #[arg(long, value_enum)]
    mode: Option<Legs>,
    /// Documents that each leg of the first stage (words, vectors) finds, at least 1; by words alone at least those that are shown
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    candidates: usize,
    /// Documents that the cross-encoder judges; 0 for none
    #[arg(long, value_name = "N", default_value_t = 50)]
    rerank: usize,
    /// Passages of a document that are judged [default: 2]
    #[arg(long, value_name = "N")]
    passages: Option<usize>,
    /// A condition that every hit has to meet: 'court = "Tax Court" AND year >= 1990'
    #[arg(long, value_name = "CONDITION")]
    filter: Option<String>,
    /// Refuse a query that is not wholly understood, instead of leaving out what is not
    #[arg(long)]
    strict: bool,
    /// Take the query as words alone: no quotation marks, signs or capitals as operators
    #[arg(long, conflicts_with = "strict")]
    plain: bool,
    /// Count the values of a field among what matches the words and the condition; may be repeated
    #[arg(long, value_name = "FIELD")]
    facet: Vec<String>,
    /// Order by a field instead of by relevance, with :desc behind it the greatest first
    #[arg(long, value_name = "FIELD")]
    sort: Option<String>,
    /// How the two lists of the first stage become one
    #[arg(long, value_enum, default_value_t)]
    fusion: Joining,
    /// Say of each hit where its score comes from
    #[arg(long)]
    explain: bool,
    /// Hits to leave out before those that are shown
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: usize,
    /// End judging after so many milliseconds, and order by what was judged until then
    #[arg(long, value_name = "MS")]
    deadline: Option<u64>,
    /// Judge every candidate, also what an earlier search has judged, and keep nothing of it
    #[arg(long)]
    no_cache: bool,
    /// Hits to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    limit: usize,
    /// How the judge's word counts
    #[arg(long, value_enum, default_value_t)]
    order: Order,
    /// Print each response as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Values of a facet that are shown.
const FACET_VALUES: usize = 10;

/// A number that is not 0.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("expected a whole number of at least 1: {error}")),
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Legs {
    /// BM25 over the words
    Lexical,
    /// The vectors
    Semantic,
    /// Both, fused
    Hybrid,
}

/// The fusion, as options name it.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum Joining {
    /// Sums of scores, the words' as shares of their greatest, the vectors' between the least and the greatest of their list
    #[default]
    Convex,
    /// Sums of reciprocal ranks
    ReciprocalRank,
    /// Sums of scores, brought to one scale by the least and the greatest of each list
    MinMax,
    /// Sums of scores, brought to one scale by mean and deviation of each list
    Distribution,
}

impl From<Joining> for Fusion {
    fn from(joining: Joining) -> Self {
        // The same for all that go by scores, so that methods are compared and not weights.
        let (words, vectors) = (0.45, 0.55);
        match joining {
            Joining::Convex => Self::convex(words, vectors),
            Joining::ReciprocalRank => Self::reciprocal_rank(),
            Joining::MinMax => Self::min_max(words, vectors),
            Joining::Distribution => Self::distribution(words, vectors),
        }
    }
}

/// The final order, as options name it.
#[derive(Clone, Copy, Default, ValueEnum)]
pub enum Order {
    /// Tempered by the first stage, more where the judge is less sure
    #[default]
    Tempered,
    /// By the judge's logits alone
    Logit,
}

impl From<Order> for FinalOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::Tempered => Self::Tempered,
            Order::Logit => Self::Logit,
        }
    }
}

pub fn run(arguments: Arguments, models: &ModelPlaces) -> Outcome {
    let words_only = matches!(arguments.mode, Some(Legs::Lexical));
    let index = models.open(&arguments.index, words_only)?;
    let snapshot = index.snapshot()?;
    let judge = if arguments.rerank > 0 { Some(models.judge(&models.device()?)?) } else { None };
    let mode = match arguments.mode {
        Some(Legs::Lexical) => Some(Mode::Lexical),
        Some(Legs::Semantic) => Some(Mode::Semantic),
        Some(Legs::Hybrid) => Some(Mode::Hybrid),
        None if snapshot.dimension().is_some() && snapshot.encoder_identity().is_none() => {
            tell!("an application brings the vectors of this index; searching its words");
            Some(Mode::Lexical)
        }
        None => None,
    };
    let ask = |query: &str| answer(&snapshot, query, mode, judge.as_ref(), &arguments);
    if !arguments.query.is_empty() {
        ask(&arguments.query.join(" "))?;
    } else if stdin().is_terminal() {
        return Err(Failure::new("no query; give one behind the index, or one a line on standard input"));
    } else {
        for (number, line) in stdin().lock().lines().enumerate() {
            let place = number + 1;
            let line = line.map_err(|e| Failure::new(format_args!("standard input, line {place}: {e}; give text in UTF-8")))?;
            // Windows' editors begin a file so.
            ask(if number == 0 { line.trim_start_matches('\u{feff}') } else { &line })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(
    snapshot: &Snapshot,
    query: &str,
    mode: Option<Mode>,
    judge: Option<&CrossEncoder>,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let mut search =
        snapshot.search(query).candidates(arguments.candidates).limit(arguments.limit).final_order(arguments.order.into());
    search = search.logit_cache(!arguments.no_cache).offset(arguments.offset).fusion(arguments.fusion.into());
    if let Some(filter) = &arguments.filter {
        search = search.filter(Filter::parse(filter, snapshot.schema())?);
    }
    if arguments.strict {
        search = search.strict();
    }
    if arguments.plain {
        search = search.plain();
    }
    if arguments.explain {
        search = search.explain();
    }
    for field in &arguments.facet {
        search = search.facet(field, FACET_VALUES);
    }
    if let Some(field) = &arguments.sort {
        search = match field.strip_suffix(":desc") {
            Some(field) => search.sort_by_descending(field),
            None => search.sort_by(field),
        };
    }
    if let Some(mode) = mode {
        search = search.mode(mode);
    }
    if let Some(judge) = judge {
        search = search.rerank(arguments.rerank, judge);
    }
    if let Some(deadline) = arguments.deadline {
        search = search.deadline(Duration::from_millis(deadline));
    }
    if let Some(passages) = arguments.passages {
        search = search.passages_per_document(passages);
    }
    if !arguments.json {
        // A page has no room for whole texts.
        let short = |kind| !matches!(kind, FieldType::Text | FieldType::Stored);
        search = search.fields(snapshot.schema().fields().iter().filter(|field| short(field.kind())).map(|field| field.name()));
    }
    let response = search.run()?;
    let mut out = anstream::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", response.to_json())?;
    } else {
        write!(out, "{}", page(&response, snapshot.schema(), arguments))?;
    }
    out.flush()?;
    Ok(())
}

fn page(response: &Response, schema: &Schema, arguments: &Arguments) -> String {
    let mut page = String::new();
    let width = width();
    let _ = writeln!(page, "\n{}\n", styled(STRONG, plain(&response.query)));
    for hit in &response.hits {
        let title = schema.fields().iter().filter(|field| field.kind() == FieldType::Heading).map(|field| hit.text(field.name()));
        let title = title.filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join(" ");
        let title = plain(if title.is_empty() { &hit.key } else { &title });
        let key = if title == hit.key { String::new() } else { plain(&hit.key) };
        let _ = writeln!(page, "{:>3}  {}  {}", hit.rank, styled(STRONG, title.trim()), styled(FAINT, key));
        let others = schema.fields().iter().filter(|field| field.kind() != FieldType::Heading);
        let others: Vec<String> = others
            .filter_map(|field| Some(format!("{} {}", field.name(), plain(&hit.field(field.name())?.to_string()))))
            .collect();
        if !others.is_empty() {
            let _ = writeln!(page, "     {}", styled(FAINT, others.join(" | ")));
        }
        let _ = writeln!(page, "     {}", stages(hit, response.mode, response.judged > 0));
        if let Some(passage) = &hit.passage {
            for line in wrap(&marked(passage), width.saturating_sub(5)) {
                let _ = writeln!(page, "     {line}");
            }
        }
        if let Some(explanation) = &hit.explanation {
            for line in explanation.to_string().lines() {
                let _ = writeln!(page, "     {}", styled(FAINT, plain(line)));
            }
        }
        page.push('\n');
    }
    if response.hits.is_empty() {
        let _ = match response.candidates {
            0 => writeln!(page, "nothing found\n"),
            _ if arguments.limit == 0 => writeln!(page, "no hits were asked for (--limit 0)\n"),
            found => writeln!(page, "--offset {} leaves out all of the {found} that were found\n", arguments.offset),
        };
    }
    for facet in &response.facets {
        let count = |(value, count): &(Value, u64)| format!("{} {count}", plain(&value.to_string()));
        let mut counts: Vec<String> = facet.values.iter().map(count).collect();
        if facet.without > 0 {
            counts.push(format!("none {}", facet.without));
        }
        let _ = writeln!(page, "{}: {}", facet.field, counts.join(", "));
    }
    if let Some(total) = response.total {
        let verb = if total == 1 { "matches" } else { "match" };
        let _ = writeln!(page, "{} {verb} the words\n", counted(total, "document"));
    }
    for note in &response.notes {
        let _ = writeln!(page, "note: {note}");
    }
    let took = &response.timings;
    let known = match response.from_cache {
        0 => String::new(),
        known => format!(", {known} of them from the cache"),
    };
    let device = response.device.as_deref().map_or_else(String::new, |device| format!(" on {device}"));
    let _ = writeln!(
        page,
        "{}",
        styled(
            FAINT,
            format_args!(
                "{} in all: first stage {}, judging {} ({} of {} candidates, {}{known}{device})",
                time(took.total),
                time(took.total.saturating_sub(took.judge)),
                time(took.judge),
                response.judged,
                response.candidates,
                counted(response.passages_judged as u64, "passage")
            )
        )
    );
    page
}

/// What each stage that ran said of a hit, and how far it moved.
fn stages(hit: &Hit, mode: Mode, judged: bool) -> String {
    let stage = |name: &str, rank: Option<StageRank>, digits: usize| match rank {
        Some(stage) => format!("{name} #{} {:.digits$}", stage.rank, stage.score),
        None => format!("{name} -"),
    };
    let mut said = Vec::new();
    if mode != Mode::Semantic {
        said.push(stage("BM25", hit.lexical, 2));
    }
    if mode != Mode::Lexical {
        said.push(stage("vector", hit.semantic, 3));
    }
    if mode == Mode::Hybrid {
        said.push(stage("fused", hit.fused, 4));
    }
    let mut moved = String::new();
    if judged {
        said.push(match &hit.rerank {
            Some(judged) => format!("logit #{} {:+.2}", judged.rank, judged.logit),
            None => "not judged".to_owned(),
        });
        let before = hit.first_stage().map_or(hit.rank, |stage| stage.rank);
        moved = match hit.rank.cmp(&before) {
            Ordering::Less => styled(BETTER, format_args!("up from {before}  ")),
            Ordering::Greater => styled(WORSE, format_args!("down from {before}  ")),
            Ordering::Equal => styled(FAINT, "same place  "),
        };
    }
    format!("{moved}{}", styled(FAINT, said.join(", ")))
}

/// A passage with the query's words marked.
fn marked(passage: &Passage) -> String {
    let (mut text, mut end) = (String::new(), 0);
    for place in &passage.highlights {
        text.push_str(&plain(&passage.text[end..place.start]));
        text.push_str(&styled(FOUND, plain(&passage.text[place.clone()])));
        end = place.end;
    }
    text.push_str(&plain(&passage.text[end..]));
    text
}
