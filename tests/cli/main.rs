//! What holds of the command line, seen from a shell: every test runs the program as a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod evaluating;
mod indexing;
mod keeping;
mod measuring;
mod open_tables;
mod refusing;
mod searching;
mod shell;
