//! The directory on disk: its one commit point, its lock, its tables.
//!
//! Documents and passages live in two Lance tables, which are the truth of the index; `CURRENT` names one version of each,
//! and one state of the words, and so one generation of everything. Nothing is ever read "as the latest": what `CURRENT`
//! does not name does not exist. `storage-format.md` describes every file and every step.
//! **Invariant:** this room loads no model, and all calls into Lance are made here, on a thread of their own.

mod backup;
mod codes;
mod columns;
mod compaction;
mod contents;
mod copies;
mod deviations;
mod files;
mod header;
mod keys;
mod lance_file;
mod layout;
mod lock;
mod logits;
mod parts;
mod reader;
mod rescue;
mod rows;
mod scratch;
mod settings;
mod spaces;
mod table;
mod thread;
mod writer;

pub(crate) use backup::copy_generation;
pub(crate) use codes::{Span, normalize};
pub(crate) use columns::{DocumentRow, PassageRow};
pub(crate) use contents::{Content, Contents};
pub(crate) use files::{FileList, SoundFiles, damaged, faults};
pub(crate) use header::{Header, Tag, VectorSource, WordsState};
pub(crate) use layout::Layout;
pub(crate) use logits::{LogitCache, LogitKey, LogitKeys};
pub(crate) use parts::{CodedPart, PassagePart};
pub(crate) use reader::{DocumentIndex, Generation, Held, PassageIndex, Stated, StoredPassage};
pub(crate) use rescue::{Rescue, Rescued};
pub(crate) use spaces::Spaces;
pub(crate) use writer::{StoreWriter, WriterSettings};

pub use settings::{Durability, Housekeeping};
