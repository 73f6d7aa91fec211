//! One process writes while another reads: the reader sees whole generations and nothing else.
//!
//! ```text
//! cargo run --example second_process
//! ```

use std::error::Error;
use std::path::Path;
use std::process::Command;

use fossick::{Document, Index, Options, Schema};

fn main() -> Result<(), Box<dyn Error>> {
    // Started again by itself below, with the directory as its argument, this program is the reader.
    if let Some(path) = std::env::args().nth(1) {
        return read(Path::new(&path));
    }

    let directory = tempfile::tempdir()?;
    let path = directory.path().join("notes.fossick");
    let schema = Schema::builder().text("note").build()?;
    let index = Index::open_or_create(&path, Options::new().schema(schema))?;
    let mut writer = index.writer()?;
    for number in 1..=3 {
        writer.add(Document::new(format!("note-{number}")).set("note", format!("Note number {number}: buy apples.")))?;
        writer.commit()?;
        // Added, not committed: the reader must not see it.
        writer.add(Document::new(format!("draft-{number}")).set("note", "A draft about apples."))?;
        let status = Command::new(std::env::current_exe()?).arg(&path).status()?;
        if !status.success() {
            return Err("the reader failed".into());
        }
        writer.delete(&format!("draft-{number}"))?;
    }
    Ok(())
}

/// Opens the index without a schema and without a lock, as any number of processes may.
fn read(path: &Path) -> Result<(), Box<dyn Error>> {
    let index = Index::open(path, Options::new())?;
    let response = index.snapshot()?.search("apples").run()?;
    let keys: Vec<&str> = response.hits.iter().map(|hit| hit.key.as_str()).collect();
    println!("process {}: generation {} has {}", std::process::id(), response.generation, keys.join(", "));
    match index.writer() {
        Err(error) => println!("process {}: {error}", std::process::id()),
        Ok(_) => return Err("two writers".into()),
    }
    Ok(())
}
