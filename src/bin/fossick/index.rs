//! `fossick index`: from files to an index; a second run takes only what changed.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use fossick::{Boundary, Document, Error, Field, Index, Language, OpenError, Options, PassageOptions, Schema, Writer};

use crate::failure::{Failure, INTERRUPTED, Outcome, SOME_REFUSED};
use crate::loading::ModelPlaces;
use crate::memory::give_back_large_pieces;
use crate::source::shape::{Declared, LANGUAGES, Observed, described, document, key_of, language_name, language_of, type_name};
use crate::source::{Place, Record, Refused, Source};
use crate::terminal::{Position, Progress, counted, per_second, tell, time};

/// Refused records that are told one by one.
const TOLD: usize = 20;

const EXAMPLES: &str = "\
Examples:

    fossick index notes.fossick ~/notes
    fossick index papers.fossick corpus.jsonl.gz --prune
    fossick index cases.fossick cases.csv --key docket --field decided:date --ignore url
    fossick index urteile.fossick ~/urteile --language german
    fossick index big.fossick dump.parquet --words-only --on-error skip";

/// Make an index from files, or bring one up to date
///
/// Takes JSON lines (.jsonl, .ndjson, .json), CSV (.csv, .tsv), Parquet, Arrow (.arrow, .feather), text, Markdown and HTML
/// files, and folders of the last three; JSON lines and CSV may be packed (.gz). BEIR's corpus.jsonl is taken as it is.
///
/// All files are read and checked before anything is indexed. The key of a text, Markdown or HTML file is its path in the folder
/// that was named (with the folder's own, where several inputs are named). A new index gets its fields from what the columns hold:
/// `title` and its like become headings, `text`, `body`, `abstract` and their like text; other columns become numbers, dates,
/// booleans, keywords, or text where they are long. `--field` says otherwise. An index that exists keeps its fields.
///
/// Documents that the index has already, with the same values, are passed over. What is done is committed every minute, so a
/// run that was stopped goes on where it was.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// The index directory; made where there is none
    index: PathBuf,
    /// Files and folders to take
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The column that holds each document's key [default: the first of _id, id, key, _key, docid, path]
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The type of a column in a new index, or the one that it has in an index that exists: heading, text, keyword, integer, float, date, boolean or stored
    #[arg(long, value_name = "COLUMN:TYPE")]
    field: Vec<Declared>,
    /// Leave a column out
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// The language of the headings and texts of a new index, by which words are brought to their stems; none leaves them as they are [default: english]
    #[arg(long, value_name = "LANGUAGE", value_parser = languages(), ignore_case = true)]
    language: Option<Language>,
    /// What a record that cannot be taken means: `stop` indexes nothing, `skip` the rest
    #[arg(long, value_enum, default_value_t = OnError::Stop)]
    on_error: OnError,
    /// Delete documents of the index that the files do not have; not done when a record was refused
    #[arg(long)]
    prune: bool,
    /// A new index without vectors: searched by words, judged by the cross-encoder
    #[arg(long)]
    words_only: bool,
    /// The most tokens in a passage of a new index [default: 96]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=480))]
    passage_tokens: Option<u32>,
    /// The tokens that a passage of a new index repeats of the one before; at most half of --passage-tokens [default: 24]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=240))]
    overlap_tokens: Option<u32>,
    /// Where passages of a new index end [default: sentence]
    #[arg(long, value_enum)]
    boundary: Option<Ends>,
    /// Have the models read passages of a new index without the title of their document
    #[arg(long)]
    without_heading: bool,
    /// Seconds between commits
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    commit_every: u64,
}

/// Reads the name of a language; messages, help and completions list them.
fn languages() -> impl TypedValueParser<Value = Language> {
    let language =
        |name: String| LANGUAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)).map(|(_, language)| *language);
    PossibleValuesParser::new(LANGUAGES.map(|(name, _)| name)).map(move |name| language(name).unwrap_or_default())
}

/// Where passages end, as options name it.
#[derive(Clone, Copy, ValueEnum)]
enum Ends {
    /// With any sentence
    Sentence,
    /// With a paragraph, where one ends in the second half of a passage
    Paragraph,
}

impl From<Ends> for Boundary {
    fn from(ends: Ends) -> Self {
        match ends {
            Ends::Sentence => Self::Sentence,
            Ends::Paragraph => Self::Paragraph,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnError {
    /// Index nothing.
    Stop,
    /// Index the rest.
    Skip,
}

pub fn run(arguments: Arguments, models: &ModelPlaces) -> Outcome {
    give_back_large_pieces();
    let begun = Instant::now();
    let passages = passages(&arguments)?;
    let alone = arguments.inputs.len() == 1;
    let sources = arguments.inputs.iter().map(|path| Source::new(path, alone)).collect::<Result<Vec<_>, _>>()?;
    let interrupt = Interrupt::watch();

    let known = known(&arguments.index)?;
    known.as_ref().map_or(Ok(()), |known| check_cut(&arguments, passages, known))?;
    let survey = match Survey::of(&sources, &arguments, known.as_ref(), &interrupt)? {
        Some(survey) => survey,
        None => {
            tell!("interrupted before anything was indexed");
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    if !survey.refused.is_empty() && arguments.on_error == OnError::Stop {
        return Err(Failure::new(format_args!(
            "{} of {} cannot be taken, so nothing was indexed; mend them, or index the rest with --on-error skip",
            survey.refused.len(),
            counted(survey.records, "record")
        )));
    }

    let index = open(&arguments, models, &survey.schema, passages, known.as_ref())?;
    let mut writer = index.writer()?;
    let (counts, bar) = fill(&mut writer, &sources, &survey, &arguments, &interrupt)?;
    let (pruned, why_not) = match arguments.prune && !interrupt.came() {
        true if !survey.refused.is_empty() => {
            (0, "a refused record may be a document of the index; prune when all records are taken")
        }
        // Nothing in common: these are other documents, not the same ones later.
        true if counts.changed + counts.unchanged == 0 && known.as_ref().is_some_and(|known| known.documents > 0) => {
            (0, "the index has none of these documents; prune with the files that it was made from")
        }
        true => (prune(&mut writer, &survey)?, ""),
        false => (0, ""),
    };
    writer.commit()?;
    drop(bar);
    if !why_not.is_empty() {
        tell!("nothing was deleted: {why_not}");
    }
    let progress = writer.monitor().progress();
    drop(writer);

    let snapshot = index.snapshot()?;
    tell!(
        "{} added, {} changed, {} unchanged, {pruned} deleted, {} refused; {} embedded, in {}",
        counts.added,
        counts.changed,
        counts.unchanged,
        survey.refused.len(),
        counted(progress.passages_embedded, "passage"),
        time(begun.elapsed())
    );
    if progress.passages_truncated > 0 {
        tell!("of {} the encoder read only the beginning", counted(progress.passages_truncated, "passage"));
    }
    if progress.headings_cut > 0 {
        tell!("of the titles of {} the encoder read only the beginning", counted(progress.headings_cut, "document"));
    }
    tell!(
        "{}: {}, {}, generation {}",
        index.path().display(),
        counted(snapshot.document_count(), "document"),
        counted(snapshot.passage_count(), "passage"),
        snapshot.generation()
    );
    if interrupt.came() {
        tell!("interrupted; what was done is committed, run the same command again to go on");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(if survey.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SOME_REFUSED) })
}

/// The first interrupt asks for an orderly end, the second ends at once; what was committed is kept either way.
struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    fn watch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = flag.clone();
        // Where it cannot be set, an interrupt ends the program at once.
        let _ = ctrlc::set_handler(move || {
            if seen.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
            tell!("finishing what is under way; interrupt again to stop at once");
        });
        Self(flag)
    }

    fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is known of an index that exists.
struct Known {
    schema: Schema,
    cut: PassageOptions,
    documents: u64,
    encoded: bool,
    dimension: Option<usize>,
}

fn known(path: &Path) -> Result<Option<Known>, Failure> {
    match Index::open(path, Options::new()) {
        Ok(index) => {
            let snapshot = index.snapshot()?;
            Ok(Some(Known {
                schema: snapshot.schema().clone(),
                cut: snapshot.passage_options(),
                documents: snapshot.document_count(),
                encoded: snapshot.encoder_identity().is_some(),
                dimension: snapshot.dimension(),
            }))
        }
        Err(Error::Open(OpenError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How passages of a new index are cut.
fn passages(arguments: &Arguments) -> Result<PassageOptions, Failure> {
    let usual = PassageOptions::default();
    let max_tokens = arguments.passage_tokens.unwrap_or(usual.max_tokens);
    let overlap_tokens = match arguments.overlap_tokens {
        Some(overlap) if overlap > max_tokens / 2 => {
            return Err(Failure::new(format_args!(
                "--overlap-tokens {overlap}: expected at most half of --passage-tokens, which is {max_tokens}"
            )));
        }
        Some(overlap) => overlap,
        None => usual.overlap_tokens.min(max_tokens / 2),
    };
    let boundary = arguments.boundary.map_or(usual.boundary, Boundary::from);
    Ok(PassageOptions { max_tokens, overlap_tokens, boundary, with_heading: !arguments.without_heading })
}

/// An index keeps the way in which its passages are cut; whoever asks for another is told.
fn check_cut(arguments: &Arguments, passages: PassageOptions, known: &Known) -> Result<(), Failure> {
    let asked = [
        ("--passage-tokens", arguments.passage_tokens.is_some() && passages.max_tokens != known.cut.max_tokens),
        ("--overlap-tokens", arguments.overlap_tokens.is_some() && passages.overlap_tokens != known.cut.overlap_tokens),
        ("--boundary", arguments.boundary.is_some() && passages.boundary != known.cut.boundary),
        ("--without-heading", arguments.without_heading && known.cut.with_heading),
    ];
    match asked.into_iter().find(|(_, other)| *other) {
        None => Ok(()),
        Some((option, _)) => Err(Failure::new(format_args!(
            "{option}: {} cuts passages in another way (`fossick info` says how), and keeps to it; leave the option out, or make a new index",
            arguments.index.display()
        ))),
    }
}

fn open(
    arguments: &Arguments,
    models: &ModelPlaces,
    schema: &Schema,
    passages: PassageOptions,
    known: Option<&Known>,
) -> Result<Index, Failure> {
    let path = arguments.index.display();
    match known {
        Some(Known { encoded: false, dimension: Some(_), .. }) => {
            return Err(Failure::new(format_args!(
                "{path}: an application brings the vectors of this index, which the command line cannot; add to it from there"
            )));
        }
        Some(Known { encoded: true, .. }) if arguments.words_only => {
            return Err(Failure::new(format_args!(
                "{path}: has vectors, so --words-only does not apply; leave it out, or make a new index"
            )));
        }
        _ => {}
    }
    let options = Options::new().schema(schema.clone()).passages(passages);
    if known.map_or(arguments.words_only, |known| !known.encoded) {
        return Ok(Index::open_or_create(&arguments.index, options)?);
    }
    let device = models.device()?;
    let encoder = models.encoder(&device)?;
    tell!("{} on {}", encoder.identity().name(), device.info());
    if let Some(reason) = device.fallback() {
        tell!("the CPU stands in: {reason}");
    }
    Ok(Index::open_or_create(&arguments.index, options.encoder(encoder))?)
}

/// What reading all files found, before anything is indexed.
struct Survey {
    key: String,
    schema: Schema,
    records: u64,
    /// The number, over all sources, and the place of the record with each key.
    places: HashMap<Box<str>, (u64, Place)>,
    /// The numbers of records that will not be indexed.
    refused: HashSet<u64>,
    /// What is told of them.
    messages: Vec<String>,
}

impl Survey {
    /// Reads everything twice: to see what the columns hold, and to hold every record against that and against the keys before
    /// it. So nothing is indexed of files that turn out to be broken at their end. `None` when it was interrupted.
    fn of(
        sources: &[Source],
        arguments: &Arguments,
        known: Option<&Known>,
        interrupt: &Interrupt,
    ) -> Result<Option<Self>, Failure> {
        let mut observed = Observed::default();
        let mut refusals = Vec::new();
        let mut records = 0;
        let bar = Progress::new("reading", "records", None);
        for (source, path) in sources.iter().zip(&arguments.inputs) {
            let before = records;
            for record in source.records() {
                if interrupt.came() {
                    return Ok(None);
                }
                match record {
                    Ok(record) => observed.record(&record),
                    Err(refused) => refusals.push((records, refused)),
                }
                records += 1;
                bar.at(records);
            }
            if records == before {
                drop(bar);
                source.passed_over().iter().for_each(|folder| tell!("{folder}"));
                tell_some(refusals.iter().map(|(_, refused)| refused.to_string()), refusals.len());
                return Err(Failure::new(format_args!(
                    "{}: holds no record; check that it is the file you mean",
                    path.display()
                )));
            }
        }
        drop(bar);
        sources.iter().filter_map(Source::passed_over).for_each(|folder| tell!("{folder}"));
        if records == refusals.len() as u64 {
            tell_some(refusals.iter().map(|(_, refused)| refused.to_string()), refusals.len());
            return Err(Failure::new("no record can be taken, so nothing was indexed"));
        }
        let schema_of_index = known.map(|known| &known.schema);
        let found = observed.key(arguments.key.as_deref(), schema_of_index).and_then(|key| {
            let untyped = sources.iter().all(Source::is_untyped);
            Ok((fields(&observed, &key, arguments, schema_of_index, untyped)?, key))
        });
        let (schema, key) = match found {
            Ok(found) => found,
            Err(failure) => {
                tell_some(refusals.iter().map(|(_, refused)| refused.to_string()), refusals.len());
                return Err(failure);
            }
        };
        let mut survey = Self { key, schema, records, places: HashMap::new(), refused: HashSet::new(), messages: Vec::new() };
        refusals.iter().for_each(|(number, refused)| survey.refuse(*number, refused));
        if !survey.check(sources, &arguments.ignore, interrupt) {
            return Ok(None);
        }
        tell_some(survey.messages.iter(), survey.refused.len());
        Ok(Some(survey))
    }

    /// Holds every record against the fields and the keys before it; false when interrupted.
    fn check(&mut self, sources: &[Source], ignored: &[String], interrupt: &Interrupt) -> bool {
        let bar = Progress::new("checking", "records", Some(self.records));
        let mut number = 0;
        for source in sources {
            for record in source.records() {
                bar.at(number);
                if interrupt.came() {
                    return false;
                }
                if let Ok(record) = record
                    && let Err(reason) = self.take(&record, number, ignored, source.is_untyped())
                {
                    self.refuse(number, &Refused { place: record.place, reason });
                }
                number += 1;
            }
        }
        true
    }

    fn take(&mut self, record: &Record, number: u64, ignored: &[String], untyped: bool) -> Result<(), String> {
        let key = key_of(record, &self.key)?;
        let document = document(record, key.clone(), &self.schema, ignored, untyped)?;
        self.schema.check(&document).map_err(|error| error.to_string())?;
        match self.places.entry(key.into()) {
            Entry::Vacant(entry) => {
                entry.insert((number, record.place.clone()));
                Ok(())
            }
            Entry::Occupied(entry) => Err(format!(
                "the key {:?} is there already, at {}; give each document a key of its own",
                entry.key(),
                entry.get().1
            )),
        }
    }

    fn refuse(&mut self, number: u64, refused: &Refused) {
        self.refused.insert(number);
        if self.messages.len() < TOLD {
            self.messages.push(refused.to_string());
        }
    }
}

/// The first of some refusals, and how many more there are.
fn tell_some(messages: impl Iterator<Item = impl std::fmt::Display>, count: usize) {
    messages.take(TOLD).for_each(|message| tell!("{message}"));
    if count > TOLD {
        tell!("and {} more like these", count - TOLD);
    }
}

/// The fields of the index that exists, or of a new one; tells the user which they are, and what is left out.
fn fields(
    observed: &Observed,
    key: &str,
    arguments: &Arguments,
    known: Option<&Schema>,
    untyped: bool,
) -> Result<Schema, Failure> {
    let named = arguments.field.iter().map(|declared| declared.name.as_str()).chain(arguments.ignore.iter().map(String::as_str));
    if let Some(unknown) = observed.missing(named) {
        return Err(Failure::new(format_args!("no record has the column {unknown:?}; the columns are {}", observed.names())));
    }
    let (verb, schema) = match known {
        Some(schema) => {
            for Declared { name, kind } in &arguments.field {
                let there = schema.field(name).map(|field| type_name(field.kind()));
                if there != Some(type_name(*kind)) {
                    return Err(Failure::new(format_args!(
                        "--field {name}:{}: in {} it is {}; an index keeps its fields, make a new one for others",
                        type_name(*kind),
                        arguments.index.display(),
                        there.unwrap_or("no field")
                    )));
                }
            }
            let asked = arguments.language.map(language_name);
            let other = |field: &&Field| asked.is_some() && language_of(field).is_some_and(|there| Some(there) != asked);
            if let (Some(asked), Some(field)) = (asked, schema.fields().iter().find(other)) {
                return Err(Failure::new(format_args!(
                    "--language {asked}: field {:?} of {} is in {}; an index keeps its languages, leave the option out or make a new index",
                    field.name(),
                    arguments.index.display(),
                    field.language(),
                )));
            }
            let unknown: Vec<&str> =
                observed.unknown_to(schema, key).into_iter().filter(|name| !arguments.ignore.iter().any(|i| i == name)).collect();
            if !unknown.is_empty() {
                tell!("columns that the index does not have are left out: {}", unknown.join(", "));
            }
            ("index", schema.clone())
        }
        None => {
            let (schema, notes) =
                observed.schema(key, &arguments.field, &arguments.ignore, arguments.language.unwrap_or_default(), untyped)?;
            notes.iter().for_each(|note| tell!("{note}"));
            ("new index", schema)
        }
    };
    let fields: Vec<String> = schema.fields().iter().map(described).collect();
    let key = if key.is_empty() { "the files' paths" } else { key };
    tell!("{verb}: key {key}, fields {}", fields.join(" "));
    Ok(schema)
}

#[derive(Default)]
struct Counts {
    added: u64,
    changed: u64,
    unchanged: u64,
}

/// Reads everything once more and adds what is new or changed; the last of it is not committed yet, so the bar is still there.
fn fill(
    writer: &mut Writer,
    sources: &[Source],
    survey: &Survey,
    arguments: &Arguments,
    interrupt: &Interrupt,
) -> Result<(Counts, Progress), Failure> {
    let passed_over = Arc::new(AtomicU64::new(survey.refused.len() as u64));
    let bar = Progress::watching("indexing", "documents", Some(survey.records), {
        let (monitor, passed_over, begun) = (writer.monitor(), passed_over.clone(), Instant::now());
        move || {
            let progress = monitor.progress();
            let embedded = progress.passages_embedded as f64;
            let rate = (embedded > 0.0).then(|| per_second(embedded / begun.elapsed().as_secs_f64(), "passages"));
            let passed_over = passed_over.load(Ordering::Relaxed);
            Position { done: passed_over + progress.documents_embedded, passed_over, rate }
        }
    });
    let (mut counts, mut number) = (Counts::default(), 0);
    let mut committed = Instant::now();
    'all: for source in sources {
        for record in source.records() {
            if interrupt.came() {
                break 'all;
            }
            let position = number;
            number += 1;
            if survey.refused.contains(&position) {
                continue;
            }
            let document = again(record, position, survey, &arguments.ignore, source.is_untyped())?;
            let there = writer.contains(document.key());
            // An error here may be of any document before this one.
            match writer.update(document)? {
                true if there => counts.changed += 1,
                true => counts.added += 1,
                false => {
                    counts.unchanged += 1;
                    passed_over.fetch_add(1, Ordering::Relaxed);
                }
            }
            if committed.elapsed() >= Duration::from_secs(arguments.commit_every.max(1)) {
                // Its error, if it has one, is that of the next call.
                writer.commit_soon()?;
                committed = Instant::now();
            }
        }
    }
    Ok((counts, bar))
}

/// A record that was good when it was checked, as a document.
fn again(
    record: Result<Record, Refused>,
    position: u64,
    survey: &Survey,
    ignored: &[String],
    untyped: bool,
) -> Result<Document, Failure> {
    let changed = |what: String| {
        Failure::new(format_args!(
            "{what}: it was different a moment ago, so another program is writing to it; run the command again, what is committed is kept"
        ))
    };
    let record = record.map_err(|refused| changed(refused.to_string()))?;
    let place = record.place.to_string();
    let key = key_of(&record, &survey.key).map_err(|reason| changed(format!("{place}: {reason}")))?;
    if survey.places.get(key.as_str()).is_none_or(|(number, _)| *number != position) {
        return Err(changed(place));
    }
    document(&record, key, &survey.schema, ignored, untyped).map_err(|reason| changed(format!("{place}: {reason}")))
}

/// Deletes what the files do not have.
fn prune(writer: &mut Writer, survey: &Survey) -> Result<u64, Failure> {
    let gone: Vec<String> = writer.keys().filter(|key| !survey.places.contains_key(*key)).map(str::to_owned).collect();
    for key in &gone {
        writer.delete(key)?;
    }
    Ok(gone.len() as u64)
}
