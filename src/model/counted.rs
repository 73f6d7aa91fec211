//! What a GPU would feel of a batch, counted on whatever adapter there is: kernel launches, shaders, what goes up and down, memory; and its
//! loss.
//!
//! Tests alone. They need an adapter, of software too, and say that they are skipped where there is none; with `FOSSICK_REQUIRE_WGPU` in
//! the environment they fail instead.
#![allow(clippy::print_stdout)] // What was counted, for whoever runs them.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::wgpu::wgpu::{self, Backend, Features, InstanceDescriptor};
use cubecl_runtime::launched::LaunchedKernels;
use cubecl_runtime::logging::{LaunchObservation, LaunchObserver};
use safetensors::tensor::{Dtype, TensorView};

use super::adapter::{DRIVERS, INTERFACES, describe};
use super::batch::Sequence;
use super::config::Config;
use super::files::ModelFiles;
use super::network::Scorer;
use super::transfer::tests::{Crossed, Way, crossing};
use super::weights::Weights;
use super::{Device, DeviceKind, Precision};
use crate::mapped::Mapped;

/// Observers see the launches of the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn skipped(why: &str) {
    assert!(std::env::var_os("FOSSICK_REQUIRE_WGPU").is_none(), "FOSSICK_REQUIRE_WGPU is set, and {why}");
    println!("skipped: {why}");
}

/// Any adapter.
fn adapter() -> Option<Device> {
    match Device::choose(|info| info.kind != DeviceKind::Cpu) {
        Ok(device) if device.fallback().is_none() => {
            println!("on {} ({})", device.info(), device.info().driver);
            return Some(device);
        }
        Ok(device) => skipped(device.fallback().unwrap_or_default()),
        Err(_) => skipped("WGPU finds no adapter"),
    }
    None
}

/// A device of its own, which can be lost without harm to others.
fn own_adapter() -> Option<(Device, wgpu::Device)> {
    let _one_at_a_time = DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    for (api, backends, _) in INTERFACES {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        for adapter in futures::executor::block_on(instance.enumerate_adapters(backends)) {
            let Some(info) = describe(&adapter, api) else { continue };
            let unwanted = Features::MAPPABLE_PRIMARY_BUFFERS | Features::all_experimental_mask();
            let (device, queue) = futures::executor::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
                required_features: adapter.features().difference(unwanted),
                required_limits: adapter.limits(),
                ..wgpu::DeviceDescriptor::default()
            }))
            .unwrap();
            let backend: Backend = adapter.get_info().backend;
            let setup = WgpuSetup { instance, adapter, device: device.clone(), queue, backend };
            let burn = burn::tensor::Device::wgpu_options().setup(setup).init().unwrap();
            return Some((Device::made_of(burn, info, Precision::F32), device));
        }
    }
    skipped("WGPU finds no adapter");
    None
}

/// Launches by the kernel's name.
#[derive(Default)]
struct Launches(Mutex<BTreeMap<&'static str, usize>>);

impl Launches {
    fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.0.lock().unwrap().clone()
    }
}

impl LaunchObserver for Launches {
    fn launched(&self, kernel: &'static str) {
        *self.0.lock().unwrap().entry(kernel).or_default() += 1;
    }
}

fn judge_files() -> ModelFiles {
    ModelFiles::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/ms-marco-minilm-l-12-v2")).unwrap()
}

fn sequence(length: usize, salt: usize) -> Sequence {
    let ids = (0..length).map(|at| 1000 + ((at * 7919 + salt * 31) % 20_000) as u32).collect();
    Sequence { ids, second: length / 3, truncated: false }
}

fn logits(scorer: &Scorer, sequences: &[Sequence]) -> Vec<f32> {
    scorer.logits(&sequences.iter().collect::<Vec<_>>(), 0).unwrap()
}

/// A model of two small layers: thousands of batches are affordable on a software adapter.
fn tiny(device: &Device) -> Scorer {
    let json = br#"{"model_type": "bert", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 512}"#;
    let config = Config::parse(Path::new("config.json"), json).unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let mut dense = |name: String, shape: [usize; 2]| {
        shapes.push((format!("{name}.weight"), shape.to_vec()));
        shapes.push((format!("{name}.bias"), vec![shape[0]]));
    };
    for layer in 0..2 {
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            dense(format!("encoder.layer.{layer}.{part}"), [64, 64]);
        }
        dense(format!("encoder.layer.{layer}.intermediate.dense"), [128, 64]);
        dense(format!("encoder.layer.{layer}.output.dense"), [64, 128]);
    }
    dense("pooler.dense".to_owned(), [64, 64]);
    dense("classifier".to_owned(), [1, 64]);
    for (name, rows) in [("word", 512), ("position", 512), ("token_type", 2)] {
        shapes.push((format!("embeddings.{name}_embeddings.weight"), vec![rows, 64]));
    }
    let norms = (0..2)
        .flat_map(|layer| ["attention.output.LayerNorm", "output.LayerNorm"].map(|part| format!("encoder.layer.{layer}.{part}")));
    for norm in norms.chain(["embeddings.LayerNorm".to_owned()]) {
        shapes.push((format!("{norm}.weight"), vec![64]));
        shapes.push((format!("{norm}.bias"), vec![64]));
    }
    let bytes = |shape: &[usize]| -> Vec<u8> {
        let value = |at: usize| ((at * 2_654_435_761) % 1000) as f32 / 5000.0 - 0.1;
        (0..shape.iter().product()).flat_map(|at| value(at).to_le_bytes()).collect()
    };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> =
        shapes.into_iter().map(|(name, shape)| (name, shape.clone(), bytes(&shape))).collect();
    let views = tensors.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), safetensors::serialize(views, None).unwrap()).unwrap();
    let weights = Weights::new(file.path(), Mapped::open(file.path()).unwrap()).unwrap();
    Scorer::read(&weights, &config, device).unwrap()
}

/// One to five sequences of up to 512 tokens, other ones for each query and round.
fn tiny_batch(query: usize, round: usize) -> Vec<Sequence> {
    let sequence = |at: usize| {
        let length = 1 + (query * 37 + at * 11 + round) % 512;
        let ids = (0..length).map(|at| ((at * 31 + query * 7) % 512) as u32).collect();
        Sequence { ids, second: length / 3, truncated: false }
    };
    (0..1 + query % 5).map(sequence).collect()
}

/// How many tensors a cross-encoder sends up when it is loaded, and how many numbers these have.
fn sizes(config: &Config) -> (usize, usize) {
    let Config { hidden, intermediate, positions, vocabulary, layers, .. } = *config;
    let dense = |inputs: usize, outputs: usize| inputs * outputs + outputs;
    let embeddings = (vocabulary + positions + 1) * hidden + positions;
    let layer = 4 * dense(hidden, hidden) + dense(hidden, intermediate) + dense(intermediate, hidden) + 2 * 2 * hidden;
    let head = dense(hidden, hidden) + dense(hidden, 1);
    (4 + 2 + layers * 2 * (6 + 2) + 2 * 2, embeddings + 2 * hidden + layers * layer + head)
}

/// The kernels of a layer are the same however many sequences there are; nothing is compiled for a shape that was there before.
#[test]
fn a_batch_is_one_tensor_up_and_one_down_and_the_second_of_a_shape_compiles_nothing() {
    let _alone = alone();
    let Some(device) = adapter() else { return };
    let files = judge_files();
    let (scorer, loading) = crossing(|| Scorer::read(&files.weights, &files.config, &device).unwrap());
    // Each tensor of the file, with one more for the numbers of the positions; of the types' table, the difference of both.
    let (tensors, numbers) = sizes(&files.config);
    assert_eq!(loading, Crossed { up: Way { tensors, bytes: 4 * numbers }, down: Way::default() });
    println!("loading: {tensors} tensors, {} bytes up", loading.up.bytes);
    let mut known = HashSet::new();
    let mut launches = Vec::new();
    for (batch, lengths) in [[60, 40, 33], [64, 50, 35], [61, 62, 63], [40, 33, 34]].into_iter().enumerate() {
        let sequences: Vec<Sequence> = lengths.iter().map(|&length| sequence(length, batch)).collect();
        let (observer, kernels) = (Arc::new(Launches::default()), LaunchedKernels::new());
        let watching = LaunchObservation::new(observer.clone());
        let (_, Crossed { up, down }) = crossing(|| logits(&scorer, &sequences));
        drop(watching);
        // Three sequences are filled up to 64 tokens, with two numbers more for each; a logit comes back for each.
        assert_eq!((up, down), (Way { tensors: 1, bytes: 4 * 3 * (64 + 2) }, Way { tensors: 1, bytes: 4 * 3 }));
        let launched: usize = observer.counts().values().sum();
        let before = known.len();
        known.extend(kernels.finish());
        let shaders = known.len() - before;
        println!("batch {batch}: {launched} launches, {shaders} new shaders, {} bytes up, {} bytes down", up.bytes, down.bytes);
        launches.push((launched, shaders));
        if batch == 3 {
            observer.counts().iter().for_each(|(kernel, count)| println!("{count:>4} {kernel}"));
        }
    }
    let (first, second) = (launches[0], launches[1]);
    assert!(first.0 > 0 && first.1 > 0, "nothing was counted");
    assert_eq!(second.1, 0, "the second batch compiled something");
    assert!(launches[2..].iter().all(|later| *later == second), "{launches:?}");
}

#[test]
fn a_device_lost_between_two_batches_is_replaced_by_the_cpu() {
    let _alone = alone();
    let Some((device, wgpu)) = own_adapter() else { return };
    let files = judge_files();
    let scorer = Scorer::open(&files, &device).unwrap();
    let sequences = [sequence(20, 1), sequence(30, 2)];
    let healthy = logits(&scorer, &sequences);
    assert_eq!(scorer.lost(), None);
    wgpu.destroy();
    let _ = wgpu.poll(wgpu::PollType::wait_indefinitely());
    let cpu = logits(&Scorer::open(&files, &Device::cpu()).unwrap(), &sequences);
    assert_eq!(logits(&scorer, &sequences), cpu);
    assert_eq!(logits(&scorer, &sequences), cpu);
    println!("{}", scorer.lost().unwrap());
    assert!(healthy.iter().zip(&cpu).all(|(gpu, cpu)| (gpu - cpu).abs() < 0.5), "{healthy:?} {cpu:?}");
}

#[test]
fn a_device_lost_before_its_weights_go_up_is_replaced_by_the_cpu_at_once() {
    let _alone = alone();
    let Some((device, wgpu)) = own_adapter() else { return };
    wgpu.destroy();
    let _ = wgpu.poll(wgpu::PollType::wait_indefinitely());
    let files = judge_files();
    let scorer = Scorer::open(&files, &device).unwrap();
    println!("{}", scorer.lost().unwrap());
    let sequences = [sequence(20, 1), sequence(30, 2)];
    assert_eq!(logits(&scorer, &sequences), logits(&Scorer::open(&files, &Device::cpu()).unwrap(), &sequences));
}

/// `cargo test --lib memory_of_a_device -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes on a software adapter"]
fn the_memory_of_a_device_is_bounded_over_thousands_of_batches_of_all_lengths() {
    let _alone = alone();
    let Some(device) = adapter() else { return };
    is_bounded(&device, &tiny(&device), 500, tiny_batch);
}

/// `cargo test --lib memory_under_the_judge -- --ignored --nocapture`
#[test]
#[ignore = "takes half an hour on a software adapter"]
fn the_memory_under_the_judge_is_bounded_over_batches_of_all_lengths() {
    let _alone = alone();
    let Some(device) = adapter() else { return };
    let files = judge_files();
    let judge = Scorer::read(&files.weights, &files.config, &device).unwrap();
    // One sequence a batch: 512 batches have each length once.
    is_bounded(&device, &judge, 200, |query, round| vec![sequence(1 + (round * 200 + query) * 37 % 512, query)]);
}

/// Asserts that a device's memory does not grow once the lengths have been there, over six rounds of so many batches.
fn is_bounded(device: &Device, scorer: &Scorer, batches: usize, batch: impl Fn(usize, usize) -> Vec<Sequence>) {
    let mut reserved = Vec::new();
    for round in 0..6 {
        for query in 0..batches {
            logits(scorer, &batch(query, round));
        }
        let usage = device.burn().memory_pool_usage().unwrap();
        println!("after {} batches: {} in use, {} reserved", (round + 1) * batches, usage.bytes_in_use, usage.bytes_reserved);
        reserved.push(usage.bytes_reserved);
    }
    assert!(reserved[0] > 0);
    let most = *reserved.iter().max().unwrap();
    assert!(most <= reserved[1] + reserved[1] / 4, "memory grew after the second round: {reserved:?}");
}

/// `cargo test --lib warm_up_compiles -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes on a software adapter"]
fn warm_up_compiles_all_that_batches_of_all_lengths_ask_for() {
    let _alone = alone();
    let Some(device) = adapter() else { return };
    let scorer = tiny(&device);
    let kernels = LaunchedKernels::new();
    let begun = std::time::Instant::now();
    scorer.warm_up(512).unwrap();
    let mut known = kernels.finish();
    println!("warm-up: {} shaders in {:.1} s", known.len(), begun.elapsed().as_secs_f32());
    let prepared = known.len();
    for query in 0..200_usize {
        let kernels = LaunchedKernels::new();
        logits(&scorer, &tiny_batch(query, 0));
        known.extend(kernels.finish());
    }
    println!("200 batches of all lengths: {} more", known.len() - prepared);
    assert!(known.len() - prepared <= prepared / 4, "{} beside {prepared}", known.len() - prepared);
}
