//! `fossick`: the search engine from a shell. One file a command; the work itself is the library's.

mod backup;
mod bench;
mod compact;
mod completions;
mod devices;
mod eval;
mod failure;
mod generations;
mod index;
mod info;
mod loading;
mod memory;
mod models;
mod repair;
mod search;
mod source;
mod terminal;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;
use loading::ModelPlaces;

#[derive(Parser)]
#[command(name = "fossick", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    models: ModelPlaces,
    #[command(subcommand)]
    command: Command,
}

const ABOUT: &str = "Search your own files by words, by meaning, and by a model that reads query and passage together";

// A paragraph is one line: clap breaks it to the terminal's width.
const LONG_ABOUT: &str = "\
Search your own files by words, by meaning, and by a model that reads query and passage together. Everything stays on this machine.

    fossick index notes.fossick ~/notes
    fossick search notes.fossick when is the lease up

The first makes an index directory from files, or brings it up to date; the second asks it. `eval` measures answers against \
judgements, `bench` what this machine does. `fossick help COMMAND` says more.";

const EXIT_CODES: &str = "\
Exit status: 0 done; 1 failed; 2 the command line is wrong; 3 done, but some records were refused (index --on-error skip); \
130 interrupted, what was done is committed.

Environment: FOSSICK_DEVICE chooses where models run (as --device), FOSSICK_MODELS where they are (as --models), NO_COLOR turns \
colours off.";

#[derive(Subcommand)]
enum Command {
    Index(index::Arguments),
    Search(search::Arguments),
    Eval(eval::Arguments),
    Bench(bench::Arguments),
    Info(info::Arguments),
    Verify(verify::Arguments),
    Repair(repair::Arguments),
    Backup(backup::Arguments),
    Compact(compact::Arguments),
    Generations(generations::Arguments),
    Devices(devices::Arguments),
    Models(models::Arguments),
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let Arguments { models, command } = Arguments::parse();
    let outcome = match command {
        Command::Index(arguments) => index::run(arguments, &models),
        Command::Search(arguments) => search::run(arguments, &models),
        Command::Eval(arguments) => eval::run(arguments, &models),
        Command::Bench(arguments) => bench::run(arguments, &models),
        Command::Info(arguments) => info::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Repair(arguments) => repair::run(arguments),
        Command::Backup(arguments) => backup::run(arguments),
        Command::Compact(arguments) => compact::run(arguments),
        Command::Generations(arguments) => generations::run(arguments),
        Command::Devices(arguments) => devices::run(arguments),
        Command::Models(arguments) => models::run(arguments, &models),
        Command::Completions(arguments) => completions::run(arguments),
    };
    outcome.unwrap_or_else(Failure::tell)
}
