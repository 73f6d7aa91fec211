//! A writer is killed again and again, and what it had promised is looked for: nothing may be missing, and the parts of the index
//! must agree.
//!
//!     cargo run --example crash_soak -- --rounds 200 --seed 1
//!
//! Each round starts this program once more as a child. The child adds, replaces, deletes, commits and compacts, in an order that the
//! seed decides, and tells each commit that returned. After a random time it is killed. Then the index is opened here: what it holds
//! must be what the child had committed last, or what it was committing when it died, and the same through a full scan, by key,
//! through BM25, through vectors and through both, with filters and without, and `verify` must find nothing. The last line tells how often it was not so.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use fossick::{Document, Durability, Filter, Hit, Housekeeping, Index, Mode, Options, Schema, Snapshot};

#[derive(Parser)]
#[command(about = "Kill a writer many times and look for what it had promised")]
struct Arguments {
    /// How often to kill
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// Decides what is written and when the writer is killed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest life of a child, in milliseconds
    #[arg(long, default_value_t = 400)]
    longest: u64,
    /// Where the index is made; a temporary directory unless given
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Be the child of this round
    #[arg(long, hide = true)]
    child: Option<u64>,
}

type Failure = Box<dyn std::error::Error>;

/// What the index should hold: a version under each key.
type Model = BTreeMap<u64, u64>;

const KEYS: u64 = 120;
const DIMENSION: usize = 8;
const MODES: [Mode; 3] = [Mode::Lexical, Mode::Semantic, Mode::Hybrid];

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let path = arguments.directory.clone().unwrap_or_else(|| temporary.path().join("soak.fossick"));
    match arguments.child {
        Some(round) => write(&path, arguments.seed, round).map(|()| ExitCode::SUCCESS),
        None => soak(&arguments, &path),
    }
}

fn soak(arguments: &Arguments, path: &Path) -> Result<ExitCode, Failure> {
    open(path, Options::new())?;
    let mut model = Model::new();
    let (mut lost, mut disagreements, mut commits) = (0, 0, 0);
    for round in 0..arguments.rounds {
        let told = live_and_die(arguments, path, round)?;
        commits += told;
        let mut plan = Plan::new(arguments.seed, round);
        let mut promised = model.clone();
        (0..told).for_each(|_| plan.next(&mut promised));
        let mut in_flight = promised.clone();
        plan.next(&mut in_flight);
        match look(path, &[&promised, &in_flight]) {
            Ok(Some(found)) => model = if found == 0 { promised } else { in_flight },
            Ok(None) => {
                lost += 1;
                println!("round {round}: after {told} commits the index holds neither what was promised nor what was in flight");
                break;
            }
            Err(problem) => {
                disagreements += 1;
                println!("round {round}: after {told} commits: {problem}");
                break;
            }
        }
        if (round + 1) % 100 == 0 {
            println!("{} rounds, {commits} commits, {} documents", round + 1, model.len());
        }
    }
    println!("{} rounds, {lost} lost, {disagreements} disagreements", arguments.rounds);
    Ok(if lost + disagreements == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts a child, kills it, and gives the number of commits that it told of.
fn live_and_die(arguments: &Arguments, path: &Path, round: u64) -> Result<u64, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--seed", &arguments.seed.to_string(), "--child", &round.to_string(), "--directory"])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().ok_or("the child has no output")?;
    // A reader of its own, so that the child never waits for room in the pipe.
    let reader =
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).filter(|line| line == "committed").count());
    let life = Random::new(arguments.seed ^ (round << 20) ^ 0xD1E).below(arguments.longest.max(1));
    std::thread::sleep(Duration::from_millis(life));
    child.kill()?;
    child.wait()?;
    Ok(reader.join().map_err(|_| "the reader panicked")? as u64)
}

/// The child: writes for as long as it lives.
fn write(path: &Path, seed: u64, round: u64) -> Result<(), Failure> {
    let mut random = Random::new(seed ^ round.wrapping_mul(77));
    let durability = if random.below(4) == 0 { Durability::System } else { Durability::EveryCommit };
    let housekeeping =
        Housekeeping { history: Some(random.below(3) as u32), fragments: 2 + random.below(8) as u32, ..Housekeeping::default() };
    let index = open(path, Options::new().durability(durability).housekeeping(housekeeping))?;
    let mut writer = index.writer()?;
    let mut plan = Plan::new(seed, round);
    let mut out = std::io::stdout().lock();
    loop {
        for change in plan.changes() {
            match change {
                Change::Put(key, version) => writer.add(document(key, version))?,
                Change::Delete(key) => drop(writer.delete(&name(key))?),
            }
        }
        writer.commit()?;
        writeln!(out, "committed")?;
        out.flush()?;
        match random.below(24) {
            0 => drop(writer.compact()?),
            1 => drop(writer.tag("mark")?),
            _ => {}
        }
    }
}

/// Which of the models the index holds. An error where its parts disagree or something cannot be read.
fn look(path: &Path, models: &[&Model]) -> Result<Option<usize>, Failure> {
    let index = open(path, Options::new())?;
    let report = index.verify()?;
    if let Some(problem) = report.problems.first() {
        return Err(problem.to_string().into());
    }
    for kept in index.generations()? {
        let snapshot = index.snapshot_at(kept.generation)?;
        let found =
            snapshot.search("every").mode(Mode::Lexical).candidates(2 * KEYS as usize).limit(2 * KEYS as usize).run()?.hits.len();
        if found as u64 != kept.documents || snapshot.keys()?.len() as u64 != kept.documents {
            return Err(format!("generation {} has {} documents and {found} were found", kept.generation, kept.documents).into());
        }
    }
    let snapshot = index.snapshot()?;
    let keys: Vec<String> = snapshot.keys()?;
    let mut sorted = keys.clone();
    sorted.sort();
    let Some(which) = models
        .iter()
        .position(|model| model.keys().map(|key| name(*key)).eq(sorted.iter().cloned()) && versions_are(&snapshot, model))
    else {
        return Ok(None);
    };
    agree(&snapshot, models[which])?;
    Ok(Some(which))
}

fn versions_are(snapshot: &Snapshot, model: &Model) -> bool {
    model.iter().all(|(key, version)| {
        let found = snapshot.document(&name(*key)).ok().flatten();
        found.and_then(|document| document.get("title").and_then(|title| title.as_text().map(str::to_owned)))
            == Some(word(*version))
    })
}

/// Every document through the words and through the vectors, and every one that meets a filter.
fn agree(snapshot: &Snapshot, model: &Model) -> Result<(), Failure> {
    let all = 2 * KEYS as usize;
    let mut versions: Vec<u64> = model.values().copied().collect();
    versions.sort_unstable();
    let middle = versions.get(versions.len() / 2).copied().unwrap_or_default();
    let early: Vec<String> = model.keys().filter(|key| **key < KEYS / 3).map(|key| name(*key)).collect();
    type Meets = Box<dyn Fn(u64, u64) -> bool>;
    let filters: [(Option<Filter>, Meets); 4] = [
        (None, Box::new(|_, _| true)),
        (Some(Filter::less("version", middle as i64)), Box::new(move |_, version| version < middle)),
        (Some(Filter::keys(early)), Box::new(|key, _| key < KEYS / 3)),
        (Some(Filter::equal("version", middle as i64)), Box::new(move |_, version| version == middle)),
    ];
    for ((filter, meets), mode) in filters.iter().flat_map(|filter| MODES.map(|mode| (filter, mode))) {
        let search = snapshot.search("every").vector([1.0; DIMENSION]).mode(mode).candidates(all).limit(all);
        let search = match filter {
            Some(filter) => search.filter(filter.clone()),
            None => search,
        };
        let told = |hit: Hit| format!("{}={}", hit.key, hit.text("title"));
        let mut found: Vec<String> = search.run()?.hits.into_iter().map(told).collect();
        found.sort();
        let expected = model.iter().filter(|(key, version)| meets(**key, **version));
        let expected: Vec<String> = expected.map(|(key, version)| format!("{}={}", name(*key), word(*version))).collect();
        if found != expected {
            let filter = filter.as_ref().map_or_else(|| "all".to_owned(), Filter::to_string);
            return Err(format!("{mode:?}, {filter}: finds {} of {} documents, or others", found.len(), expected.len()).into());
        }
    }
    for (key, version) in model.iter().take(10) {
        let by_word = snapshot.search(&word(*version)).mode(Mode::Lexical).limit(2).run()?;
        let by_vector = snapshot.search("every").vector(vector(*version)).mode(Mode::Semantic).limit(1).run()?;
        for (what, hits) in [("its word", by_word.hits), ("its vector", by_vector.hits)] {
            if hits.first().map(|hit| hit.key.clone()) != Some(name(*key)) {
                return Err(format!("{} is not found by {what}", name(*key)).into());
            }
        }
    }
    Ok(())
}

fn open(path: &Path, options: Options) -> Result<Index, Failure> {
    let schema = Schema::builder().heading("title").text("body").integer("version").build()?;
    Ok(Index::open_or_create(path, options.schema(schema).own_vectors(DIMENSION))?)
}

fn name(key: u64) -> String {
    format!("k{key:04}")
}

/// A word that only this version has.
fn word(version: u64) -> String {
    format!("v{version:x}")
}

fn document(key: u64, version: u64) -> Document {
    let body = format!("every document has this and {} words more. ", version % 90).repeat(1 + (version % 9) as usize);
    Document::new(name(key)).set("title", word(version)).set("body", body).set("version", version as i64).vector(vector(version))
}

/// A direction that only this version has.
fn vector(version: u64) -> [f32; DIMENSION] {
    let mut random = Random::new(version);
    std::array::from_fn(|_| random.below(2001) as f32 / 1000.0 - 1.0005)
}

enum Change {
    Put(u64, u64),
    Delete(u64),
}

/// What a round writes, commit by commit; the same for the child and for who looks after it.
struct Plan {
    random: Random,
    version: u64,
}

impl Plan {
    fn new(seed: u64, round: u64) -> Self {
        Self { random: Random::new(seed.wrapping_mul(1 << 32).wrapping_add(round)), version: (round + 1) << 20 }
    }

    fn changes(&mut self) -> Vec<Change> {
        let count = 1 + self.random.below(6);
        let mut changes = Vec::new();
        for at in 0..count {
            let key = self.random.below(KEYS);
            // Something is always added, so that each commit is another state.
            if at > 0 && self.random.below(3) == 0 {
                changes.push(Change::Delete(key));
            } else {
                self.version += 1;
                changes.push(Change::Put(key, self.version));
            }
        }
        changes
    }

    /// Carries the next commit out on a model.
    fn next(&mut self, model: &mut Model) {
        for change in self.changes() {
            match change {
                Change::Put(key, version) => drop(model.insert(key, version)),
                Change::Delete(key) => drop(model.remove(&key)),
            }
        }
    }
}

/// splitmix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
