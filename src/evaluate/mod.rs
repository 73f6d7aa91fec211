//! Measuring a search with queries and judgements: what each stage is worth, how sure that is, and what it costs.
//!
//! [`Evaluation`] asks every query of every stage and gives a [`Report`]. The formulas are those of trec_eval, so that
//! figures can be compared with published ones; a ranking made elsewhere can be measured as well ([`Run`], [`Metric`]).
//!
//! ```
//! use fossick::evaluate::{Evaluation, Metric, Qrels, Queries, Stage};
//! use fossick::{Document, Index, Options, Schema};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("notes");
//! let index = Index::open_or_create(&path, Options::new().schema(Schema::builder().text("body").build()?))?;
//! let mut writer = index.writer()?;
//! writer.add(Document::new("well").set("body", "How to dig a well by hand."))?;
//! writer.add(Document::new("roof").set("body", "How to thatch a roof."))?;
//! writer.commit()?;
//!
//! let queries = Queries::read("queries", &br#"{"_id": "q1", "text": "digging wells"}"#[..])?;
//! let qrels = Qrels::read("qrels", &b"query-id\tcorpus-id\tscore\nq1\twell\t1\n"[..])?;
//! let report = Evaluation::new(&index.snapshot()?).run(&queries, &qrels)?;
//! let lexical = report.stage(Stage::Lexical).ok_or("no such stage")?;
//! assert_eq!(lexical.mean(Metric::Ndcg(10)), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod comparison;
mod depth;
mod evaluation;
mod json;
mod lines;
mod metrics;
mod qrels;
mod queries;
mod report;
mod run;
mod significance;

pub use comparison::{Change, Comparison, Move};
pub use depth::Depth;
pub use evaluation::Evaluation;
pub use metrics::Metric;
pub use qrels::Qrels;
pub use queries::{Queries, Query};
pub use report::{ModelUse, Report, Settings, Stage, StageReport};
pub use run::Run;
pub use significance::{Interval, bootstrap, randomization_test};
