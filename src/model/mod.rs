//! The two models: BERT networks read from Hugging Face directories, run in Burn on a GPU and by kernels of our own on the CPU, as is
//! chosen at run time.
//!
//! [`Encoder`] turns text into vectors, [`CrossEncoder`] judges a query and a passage together. Both are handles that can be
//! cloned and shared among threads. **Invariant:** nothing here opens an index or touches the network; weights come from
//! files alone, and a file that contradicts itself is an error that names it.

mod adapter;
mod batch;
mod bert;
mod compute;
mod config;
#[cfg(test)]
mod counted;
mod cpu;
mod cross_encoder;
mod device;
mod encoder;
mod files;
mod identity;
mod kernels;
mod loaded;
mod network;
mod pace;
mod precision;
mod shapes;
mod standby;
mod tokenize;
mod transfer;
mod turns;
mod weights;

pub use adapter::{DeviceInfo, DeviceKind};
pub(crate) use compute::Until;
pub use cross_encoder::{CrossEncoder, Judgement};
pub(crate) use cross_encoder::{Input, Pairs};
pub use device::Device;
pub use encoder::{Embedding, Encoder};
pub use identity::ModelIdentity;
pub use precision::Precision;
#[cfg(test)]
pub(crate) use tokenize::watched;
