//! What opening an index and asking it one question costs, without a model: made-up documents with vectors of 384 components.
//!
//! ```text
//! cargo run --example measure_open -- 10000
//! ```

use std::error::Error;
use std::time::Instant;

use fossick::{Document, Index, Options, Schema};

const DIMENSION: usize = 384;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |number| number.parse())?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("measure.fossick");
    let schema = Schema::builder().heading("title").text("body").build()?;
    let index = Index::open_or_create(&path, Options::new().schema(schema).own_vectors(DIMENSION))?;
    let mut random = Random(1);
    let mut writer = index.writer()?;
    let begun = Instant::now();
    for number in 0..count {
        let body: String = (0..120).map(|_| format!("word{} ", random.skewed(20_000))).collect();
        writer.add(
            Document::new(format!("key{number}"))
                .set("title", format!("Title {number}"))
                .set("body", body)
                .vector(random.vector()),
        )?;
    }
    writer.commit()?;
    drop(writer);
    println!("{count} documents indexed in {:.0} ms", ms(begun));
    drop(index);

    let query = random.vector();
    for round in 1..=5 {
        let begun = Instant::now();
        let index = Index::open(&path, Options::new())?;
        let snapshot = index.snapshot()?;
        let opened = ms(begun);
        let first = Instant::now();
        let response = snapshot.search("word5 word100 word2000").vector(query.clone()).run()?;
        let (first, all) = (ms(first), ms(begun));
        let second = Instant::now();
        snapshot.search("word7 word90 word3000").vector(query.clone()).run()?;
        println!(
            "round {round}: open {opened:.1} ms, first query {first:.1} ms, together {all:.1} ms; next query {:.1} ms; {} hits",
            ms(second),
            response.hits.len()
        );
    }
    Ok(())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// A linear congruential generator, so that every run has the same documents.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }

    /// Small numbers are common, as frequent words are.
    fn skewed(&mut self, most: usize) -> usize {
        (self.unit().powi(3) * most as f64) as usize
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| self.unit() as f32 - 0.5).collect()
    }
}
