//! fossick is a search engine that lives inside another program: one library, one local directory, no server, no network.
//!
//! Documents go in; words (BM25, by tantivy) and vectors (a BERT encoder, in Burn) find candidates together; a cross-encoder
//! reads the query with each of the best and re-orders them, on a GPU through WGPU or on the CPU. Documents, passages
//! and vectors are kept in Lance tables, and a commit makes all of it visible at once or not at all.
//!
//! It is not a server and not a distributed system.
//!
//! # Example
//!
//! ```
//! use fossick::{CrossEncoder, Device, Document, Encoder, Index, Options, Schema};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("cases.fossick");
//! let device = Device::automatic()?;
//! let encoder = Encoder::load("models/bge-small-en-v1.5", &device)?;
//! let judge = CrossEncoder::load("models/ms-marco-minilm-l-12-v2", &device)?;
//!
//! let schema = Schema::builder().heading("title").text("body").integer("year").build()?;
//! let index = Index::open_or_create(&path, Options::new().schema(schema).encoder(encoder))?;
//! let mut writer = index.writer()?;
//! writer.add(Document::new("us-425-219").set("title", "Dann v. Johnston").set("year", 1976).set(
//!     "body",
//!     "A program that sorts a bank customer's checks into categories was obvious in view of the data processing of the time.",
//! ))?;
//! writer.commit()?;
//!
//! let response = index.snapshot()?.search("when is software obvious").candidates(100).rerank(50, &judge).limit(5).run()?;
//! for hit in &response.hits {
//!     println!("{:>2}  {:+.2}  {}", hit.rank, hit.score, hit.text("title"));
//! }
//! # assert_eq!(response.hits.len(), 1);
//! # assert_eq!(response.judged, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Threads
//!
//! Every call blocks until it is done; an application puts it on a thread of its choice. All types are `Send`, all but
//! [`Writer`] are made to be shared, and no asynchronous runtime is needed or entered.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod codes;
mod crash;
mod error;
pub mod evaluate;
mod index;
mod ingest;
mod lexical;
mod mapped;
mod model;
mod numbers;
mod parallel;
mod passage;
mod query;
mod rank;
mod schema;
mod search;
mod semantic;
mod store;

pub use check::{Problem, Repaired, Report, repair, verify};
pub use error::{
    Error, EvaluateError, IngestError, ModelError, OpenError, QueryError, Result, SchemaError, SearchError, StorageError,
};
pub use index::{GenerationInfo, Index, Options, Writer};
pub use ingest::{Monitor, PendingCommit, Progress};
pub use model::{CrossEncoder, Device, DeviceInfo, DeviceKind, Embedding, Encoder, Judgement, ModelIdentity, Precision};
pub use passage::{Boundary, PassageOptions};
pub use query::{Comparison, Filter, Ignored, Query};
pub use rank::{Combination, Explanation, Fusion};
pub use schema::{Date, Document, Field, FieldType, Language, Metric, Schema, SchemaBuilder, Value};
pub use search::{
    CancelToken, DocumentLogit, Facet, FinalOrder, Hit, Judged, Mode, Note, Passage, Progressive, RecallReport, Response, Search,
    Snapshot, Snippet, StageRank, Storage, Timings,
};
pub use store::{Durability, Housekeeping};
