//! The first stage: on an index of the user's, or on a generated one of which the right answer is known.
//!
//! A generated index has, for each document, some words of court decisions, a number from 0 to 99 to filter by, and a vector: one of the
//! cluster centres, which are random directions, plus a random vector of about the same length. So two vectors of a cluster have a
//! cosine of about 0.5. Queries are made in the same way and are in no index.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fossick::{Document, Filter, Index, Mode, Options, Schema, Snapshot};
use serde_json::{Value as Json, json};

use super::{Arguments, CASEBOOK, Pairs, milliseconds};
use crate::failure::{Failure, INTERRUPTED};
use crate::memory::give_back_large_pieces;

/// Searches on a generated index, each with a vector of its own.
const SEARCHES: usize = 100;
/// Those that are asked before times are taken: all of them once, as a program that has been running for a while has read what it searches.
const WARM_UP: usize = SEARCHES;
/// Nearest documents that are looked for.
const NEAREST: usize = 100;
/// Words of a generated document.
const WORDS: u64 = 60;

/// What a filter of a case keeps of a document, by its number from 0 to 99.
const CASES: [(&str, Option<i64>); 3] = [("none", None), ("50%", Some(50)), ("1%", Some(1))];

/// What making generated indexes took, and what the first stage takes.
pub(super) fn first_stage(
    index: Option<&Index>,
    pairs: &[Pairs],
    arguments: &Arguments,
) -> Result<(Vec<Json>, Vec<Json>), Failure> {
    let queries: Vec<&str> = pairs.iter().map(|pairs| pairs.query.as_str()).collect();
    if let Some(index) = index {
        return Ok((Vec::new(), modes(&index.snapshot()?, &queries, arguments)?));
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let directory = match &arguments.keep {
        Some(directory) => directory.clone(),
        None => {
            let directory = std::env::temp_dir().join(format!("fossick-bench-{}", std::process::id()));
            let (made, came) = (directory.clone(), interrupted.clone());
            // Where it cannot be set, an interrupt leaves the folder to the system.
            let _ = ctrlc::set_handler(move || {
                came.store(true, Ordering::Relaxed);
                // The process that makes the index was interrupted, too.
                std::thread::sleep(Duration::from_millis(300));
                let _ = fs::remove_dir_all(&made);
                std::process::exit(INTERRUPTED.into());
            });
            directory
        }
    };
    let (mut made, mut lines) = (Vec::new(), Vec::new());
    for &rows in &arguments.rows {
        let path = directory.join(format!("{rows}-{}.fossick", arguments.dims));
        let outcome = by_another_process(&path, rows, arguments).and_then(|line| {
            made.extend(line);
            cases(&path, rows, &queries, arguments)
        });
        while interrupted.load(Ordering::Relaxed) {
            // What failed now failed of that, and the process is about to end.
            std::thread::park();
        }
        if arguments.keep.is_none() {
            // Left behind, it is found in the system's folder for such things.
            let _ = fs::remove_dir_all(&directory);
        }
        lines.extend(outcome?);
    }
    Ok((made, lines))
}

/// Has the index made, if it is not there, so that what making it leaves in memory is not measured with the searches. Gives what that process says.
fn by_another_process(path: &Path, rows: usize, arguments: &Arguments) -> Result<Option<Json>, Failure> {
    if path.join("CURRENT").exists() {
        return Ok(None);
    }
    fs::create_dir_all(path).map_err(|e| Failure::new(format_args!("{}: cannot be made: {e}; choose --keep", path.display())))?;
    let program = std::env::current_exe().map_err(Failure::new)?;
    let mut command = Command::new(program);
    command.args(["bench", "--rows", &rows.to_string(), "--dims", &arguments.dims.to_string(), "--make"]).arg(path);
    if let Some(clusters) = arguments.clusters {
        command.args(["--clusters", &clusters.to_string()]);
    }
    let done = command.stderr(Stdio::inherit()).output().map_err(Failure::new)?;
    match serde_json::from_slice(&done.stdout) {
        Ok(line) if done.status.success() => Ok(Some(line)),
        _ => Err(Failure::new(format_args!("{}: the index was not made; see above", path.display()))),
    }
}

/// Makes the generated index, and tells how fast, generating included, and the most memory that was seen meanwhile, looking twenty times a second.
pub(super) fn make(path: &Path, arguments: &Arguments) -> Result<Json, Failure> {
    let rows = arguments.rows.first().copied().unwrap_or_default();
    give_back_large_pieces();
    let (took, most) = std::thread::scope(|scope| {
        let filling = scope.spawn(|| fill(path, rows, arguments));
        let mut most = None;
        while !filling.is_finished() {
            most = most.max(anonymous_megabytes());
            std::thread::sleep(Duration::from_millis(50));
        }
        (filling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), most)
    });
    Ok(json!({ "rows": rows, "documents_per_s": (rows as f64 / took?.as_secs_f64()).round(), "anonymous_mb": most }))
}

/// Adds all documents, commits, and compacts. Gives the time until they were committed.
fn fill(path: &Path, rows: usize, arguments: &Arguments) -> Result<Duration, Failure> {
    let vectors = Vectors::new(rows, arguments);
    let schema = Schema::builder().text("text").integer("part").build()?;
    let index = Index::open_or_create(path, Options::new().schema(schema).own_vectors(arguments.dims))?;
    let words: Vec<&str> = CASEBOOK.split(|c: char| !c.is_alphabetic()).filter(|word| word.len() > 2).collect();
    let mut writer = index.writer()?;
    let begun = Instant::now();
    for row in 0..rows as u64 {
        let text: Vec<&str> = (0..WORDS).map(|at| words[(mixed(row * WORDS + at) % words.len() as u64) as usize]).collect();
        let document = Document::new(row.to_string()).set("text", text.join(" ")).set("part", part(row));
        writer.add(document.vector(vectors.of(row)))?;
    }
    writer.commit()?;
    let took = begun.elapsed();
    writer.compact()?;
    Ok(took)
}

/// The number that a document is filtered by.
fn part(row: u64) -> i64 {
    (mixed(row ^ 0x5eed) % 100) as i64
}

/// A line for each filter.
fn cases(path: &Path, rows: usize, queries: &[&str], arguments: &Arguments) -> Result<Vec<Json>, Failure> {
    let vectors = Vectors::new(rows, arguments);
    let asked: Vec<Vec<f32>> = (0..SEARCHES as u64).map(|at| vectors.of(u64::MAX - at)).collect();
    if arguments.keep.is_some() {
        // For others, to be asked the same.
        let bytes: Vec<u8> = asked.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let file = path.with_extension("queries");
        fs::write(&file, bytes).map_err(|e| Failure::new(format_args!("{}: cannot be written: {e}", file.display())))?;
    }
    let right = nearest(&vectors, rows, &asked);
    let index = Index::open(path, Options::new())?;
    let snapshot = index.snapshot()?;
    let mut lines = Vec::new();
    for ((name, below), right) in CASES.into_iter().zip(right) {
        let (mut vector, mut fused, mut words, mut read) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut found, mut expected) = (0, 0);
        for at in 0..WARM_UP + SEARCHES {
            let (number, measured) = (at % SEARCHES, at >= WARM_UP);
            let ask = |mode| {
                let mut search = snapshot.search(queries[number % queries.len()]).mode(mode).candidates(NEAREST);
                if let Some(below) = below {
                    search = search.filter(Filter::less("part", below));
                }
                search
            };
            let near = ask(Mode::Semantic).vector(asked[number].clone()).limit(NEAREST).fields([""; 0]).run()?;
            let both = ask(Mode::Hybrid).vector(asked[number].clone()).limit(10).run()?;
            let lexical = ask(Mode::Lexical).limit(10).run()?;
            if measured {
                vector.push(near.timings.filter + near.timings.semantic);
                fused.push(both.timings.total);
                read.push(both.timings.read);
                words.push(lexical.timings.filter + lexical.timings.lexical);
                let mine: HashSet<u64> = near.hits.iter().filter_map(|hit| hit.key.parse().ok()).collect();
                found += right[number].iter().filter(|row| mine.contains(row)).count();
                expected += right[number].len();
            }
        }
        lines.push(json!({
            "rows": rows,
            "filter": name,
            "recall@100": (found as f64 / expected.max(1) as f64 * 1e4).round() / 1e4,
            "vector_p50_ms": percentile(&mut vector, 0.5),
            "vector_p95_ms": percentile(&mut vector, 0.95),
            "lexical_p50_ms": percentile(&mut words, 0.5),
            "read_p50_ms": percentile(&mut read, 0.5),
            "fused_p50_ms": percentile(&mut fused, 0.5),
            "fused_p95_ms": percentile(&mut fused, 0.95),
            "anonymous_mb": anonymous_megabytes(),
        }));
    }
    Ok(lines)
}

/// The rows that are nearest to each vector, for each case; every row is compared.
fn nearest(vectors: &Vectors, rows: usize, asked: &[Vec<f32>]) -> [Vec<Vec<u64>>; 3] {
    type Heap = BinaryHeap<Reverse<(u64, u64)>>;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = rows.div_ceil(threads).max(1) as u64;
    // A similarity as a number with its order.
    let ordered = |similarity: f32| u64::from(similarity.to_bits() ^ if similarity < 0.0 { u32::MAX } else { 1 << 31 });
    let part_of = |first: u64| {
        let mut best: [Vec<Heap>; 3] = std::array::from_fn(|_| vec![Heap::new(); asked.len()]);
        for row in first..(first + share).min(rows as u64) {
            let vector = vectors.of(row);
            let part = part(row);
            for (query, asked) in asked.iter().enumerate() {
                let similarity = ordered(dot(&vector, asked));
                for ((_, below), best) in CASES.iter().zip(&mut best) {
                    let heap = &mut best[query];
                    let better = heap.len() < NEAREST || heap.peek().is_some_and(|least| least.0.0 < similarity);
                    if better && below.is_none_or(|below| part < below) {
                        heap.push(Reverse((similarity, row)));
                        if heap.len() > NEAREST {
                            heap.pop();
                        }
                    }
                }
            }
        }
        best
    };
    let parts: Vec<[Vec<Heap>; 3]> = std::thread::scope(|scope| {
        let firsts = (0..rows as u64).step_by(share as usize);
        let threads: Vec<_> = firsts.map(|first| scope.spawn(move || part_of(first))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    std::array::from_fn(|case| {
        let of_query = |query: usize| {
            let mut all: Vec<(u64, u64)> =
                parts.iter().flat_map(|part| part[case][query].iter().map(|Reverse(one)| *one)).collect();
            all.sort_unstable_by_key(|one| Reverse(*one));
            all.truncate(NEAREST);
            all.into_iter().map(|(_, row)| row).collect()
        };
        (0..asked.len()).map(of_query).collect()
    })
}

/// Vectors by number.
struct Vectors {
    dimension: usize,
    centres: Vec<Vec<f32>>,
}

impl Vectors {
    fn new(rows: usize, arguments: &Arguments) -> Self {
        let clusters = arguments.clusters.unwrap_or(rows / 1000).max(1) as u64;
        let dimension = arguments.dims;
        let centre = |cluster: u64| unit(normal(mixed(!cluster), dimension).collect());
        Self { dimension, centres: (0..clusters).map(centre).collect() }
    }

    fn of(&self, number: u64) -> Vec<f32> {
        let seed = mixed(number);
        let centre = &self.centres[(seed % self.centres.len() as u64) as usize];
        let scale = 1.0 / (self.dimension as f32).sqrt();
        unit(centre.iter().zip(normal(seed, self.dimension)).map(|(centre, noise)| centre + noise * scale).collect())
    }
}

/// Numbers with about a normal distribution: sums of four uniform ones.
fn normal(seed: u64, count: usize) -> impl Iterator<Item = f32> {
    let uniform = |bits: u64| (bits & 0xffff) as f32 / 65_536.0;
    let sum = move |at: u64| {
        let bits = mixed(seed ^ (at << 48 | at));
        (uniform(bits) + uniform(bits >> 16) + uniform(bits >> 32) + uniform(bits >> 48) - 2.0) * 3.0_f32.sqrt()
    };
    (0..count as u64).map(sum)
}

fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    vector
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<16>();
    let (b_lanes, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// The output function of SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Memory of this process that is not of files; only Linux tells.
fn anonymous_megabytes() -> Option<u64> {
    let told = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1000)
}

/// Each mode over the queries of the pairs, on an index of the user's.
fn modes(snapshot: &Snapshot, queries: &[&str], arguments: &Arguments) -> Result<Vec<Json>, Failure> {
    let mut rows = Vec::new();
    let encoded = snapshot.encoder_identity().is_some();
    for (mode, name) in [(Mode::Lexical, "lexical"), (Mode::Semantic, "semantic"), (Mode::Hybrid, "hybrid")] {
        if mode != Mode::Lexical && !encoded {
            continue;
        }
        let mut times = Vec::new();
        let begun = Instant::now();
        for at in 0.. {
            let search = snapshot.search(queries[at % queries.len()]).mode(mode).candidates(100).limit(10);
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
        rows.push(json!({
            "mode": name,
            "documents": snapshot.document_count(),
            "passages": snapshot.passage_count(),
            "p50_ms": percentile(&mut times, 0.5),
            "p95_ms": percentile(&mut times, 0.95),
            "searches": times.len(),
        }));
    }
    Ok(rows)
}

/// What that part of the times is within, in milliseconds.
pub(super) fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len().max(1)) - 1;
    milliseconds(times.get(at).copied().unwrap_or_default())
}
