//! Bring your own vectors: fossick stores and compares them, and no model is loaded.
//!
//! ```text
//! cargo run --example own_vectors
//! ```

use std::error::Error;

use fossick::{Document, Index, Mode, Options, Schema};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let schema = Schema::builder().heading("name").text("about").build()?;

    // Vectors of three components: how red, how green, how blue.
    let index = Index::open_or_create(directory.path().join("colours.fossick"), Options::new().schema(schema).own_vectors(3))?;
    let mut writer = index.writer()?;
    for (key, about, vector) in [
        ("crimson", "A deep red from insects.", [0.86, 0.08, 0.24]),
        ("olive", "The green of the fruit.", [0.5, 0.5, 0.0]),
        ("navy", "The blue of uniforms.", [0.0, 0.0, 0.5]),
        ("teal", "Between blue and green, named for a duck.", [0.0, 0.5, 0.5]),
    ] {
        writer.add(Document::new(key).set("name", key).set("about", about).vector(vector))?;
    }
    writer.commit()?;
    drop(writer);

    let snapshot = index.snapshot()?;
    for (mode, note) in [(Mode::Semantic, "by vector alone"), (Mode::Hybrid, "by vector and by the word \"green\"")] {
        println!("Nearest to a bluish green, {note}:");
        for hit in snapshot.search("green").vector([0.1, 0.5, 0.4]).mode(mode).limit(3).run()?.hits {
            println!("  {} {:<8} {}", hit.rank, hit.key, hit.text("about"));
        }
    }

    // A vector that cannot be compared is refused, and the writer goes on.
    let mut writer = index.writer()?;
    let refused = writer.add(Document::new("nothing").set("name", "nothing").vector([0.0, 0.0, 0.0]));
    match refused {
        Err(error) => println!("{error}"),
        Ok(()) => return Err("a vector without direction was taken".into()),
    }
    Ok(())
}
