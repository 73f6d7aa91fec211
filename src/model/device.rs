//! Where the networks run: a GPU through WGPU, or the CPU.
//!
//! Burn registers one runtime for each adapter of a process, for good; this module keeps the handles so that opening the same
//! adapter twice gives the same runtime.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::BurnConfig;
use cubecl_environment::config::RuntimeConfig;
use cubecl_runtime::config::CubeClRuntimeConfig;

use super::adapter::{self, DRIVERS, DeviceInfo, DeviceKind, INTERFACES};
use super::batch::{Padding, pack};
use super::precision::Precision;
use super::shapes::{self, Shape};
use crate::error::ModelError;
use crate::parallel;

/// The environment variable that [`Device::automatic`] obeys.
const VARIABLE: &str = "FOSSICK_DEVICE";

/// A device that is open and ready to hold models; cheap to clone.
///
/// ```
/// use fossick::Device;
/// for device in Device::list() {
///     println!("{device}");
/// }
/// let cpu = Device::cpu();
/// assert_eq!(cpu.info().name, "cpu");
/// ```
#[derive(Clone, Debug)]
pub struct Device {
    burn: burn::tensor::Device,
    info: Arc<DeviceInfo>,
    fallback: Option<Arc<str>>,
    precision: Precision,
}

impl Device {
    /// The CPU, which every machine has.
    pub fn cpu() -> Self {
        let (burn, info) = (burn::tensor::Device::flex(), Arc::new(DeviceInfo::cpu()));
        Self { burn, info, fallback: None, precision: Precision::Int8 }
    }

    /// The best device: what the environment variable `FOSSICK_DEVICE` names, or else a discrete GPU before an integrated one
    /// before a virtual one before the CPU. A software adapter is never chosen this way. A GPU that cannot be opened is
    /// replaced by the CPU; [`Device::fallback`] then says why.
    ///
    /// # Errors
    /// [`ModelError::NoSuchDevice`] when the variable names a device that is not there.
    pub fn automatic() -> Result<Self, ModelError> {
        match std::env::var(VARIABLE) {
            Ok(name) if !name.trim().is_empty() => Self::named(&name),
            _ => Ok(Self::open(adapter::best(&Self::list()))),
        }
    }

    /// The device of that name: `auto` (the best, whatever the environment says), `cpu`, or a part of a name in
    /// [`Device::list`], in any case.
    ///
    /// # Errors
    /// [`ModelError::NoSuchDevice`]; it lists the names that exist.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        adapter::find(name, Self::list).map(Self::open)
    }

    /// The best device that satisfies a rule, in the order that [`Device::automatic`] has, software adapters last. One that cannot be
    /// opened is replaced by the CPU, as there.
    ///
    /// ```
    /// use fossick::{Device, DeviceKind};
    /// // A GPU with 16-bit floats, or else the CPU.
    /// let device = Device::choose(|info| info.half_floats || info.kind == DeviceKind::Cpu)?;
    /// # Ok::<(), fossick::ModelError>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelError::NoSuitableDevice`]; it lists the devices that exist.
    pub fn choose(rule: impl Fn(&DeviceInfo) -> bool) -> Result<Self, ModelError> {
        adapter::suitable(&Self::list(), rule).map(Self::open)
    }

    /// All devices, the best first, the CPU among them. Adapters are asked once a process.
    pub fn list() -> Vec<DeviceInfo> {
        adapter::list()
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Why the CPU stands in for a GPU that could not be opened; `None` where the wish was met.
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// What models compute in that are loaded for this handle: 8 bits on the CPU, unless [`Device::with_precision`] says otherwise,
    /// and f32 on a GPU.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The same device for models that compute in that precision.
    ///
    /// # Errors
    /// [`ModelError::NoSuchPrecision`] where the device cannot.
    pub fn with_precision(self, precision: Precision) -> Result<Self, ModelError> {
        let available = self.info.precisions();
        match available.contains(&precision) {
            true => Ok(Self { precision, ..self }),
            false => Err(ModelError::NoSuchPrecision {
                device: self.info.to_string(),
                precision: precision.to_string(),
                available: available.iter().map(Precision::to_string).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    pub(super) fn burn(&self) -> &burn::tensor::Device {
        &self.burn
    }

    /// Groups sequences, given by length, into batches. On the CPU a batch is one thread's work: small ones are nearly as fast as large
    /// ones, and little work is divided among all threads. A GPU wants to be filled.
    pub(super) fn pack(&self, lengths: &[usize]) -> Vec<Vec<usize>> {
        match self.info.kind {
            DeviceKind::Cpu => {
                let share = lengths.iter().sum::<usize>().div_ceil(self.abreast());
                pack(lengths, share.min(256), Padding::None)
            }
            _ => shapes::pack(lengths, self.budget()),
        }
    }

    /// Tokens of a batch on a GPU, padding included. A network cuts what a device has no room for.
    pub(super) fn budget(&self) -> usize {
        if self.info.kind == DeviceKind::Software { 1024 } else { 16_384 }
    }

    /// How many sequences are worked on side by side, each by a thread of the CPU; a GPU is one worker.
    pub(super) fn abreast(&self) -> usize {
        if self.info.kind == DeviceKind::Cpu { parallel::threads() } else { 1 }
    }

    /// Whether batches of several callers, `sequences` in all and the longest of so many tokens, go through the device as one. What
    /// a GPU does at once costs it little more than a part of it; on the CPU a batch is one thread's work as it is.
    pub(super) fn takes_together(&self, sequences: usize, longest: usize) -> bool {
        self.info.kind != DeviceKind::Cpu && Shape::of(sequences, longest).tokens() <= self.budget()
    }

    fn open(info: DeviceInfo) -> Self {
        Self::open_by(info, open_adapter)
    }

    /// Opens by the given function, and on the CPU where that fails.
    fn open_by(info: DeviceInfo, adapter: impl FnOnce(&DeviceInfo) -> Result<burn::tensor::Device, String>) -> Self {
        if info.kind == DeviceKind::Cpu {
            return Self::cpu();
        }
        match adapter(&info) {
            Ok(burn) => Self { burn, info: Arc::new(info), fallback: None, precision: Precision::F32 },
            Err(reason) => {
                let why = format!("{info} could not be opened: {reason}");
                tracing::warn!(device = %info, reason, "the device could not be opened, the CPU is used");
                Self { fallback: Some(why.into()), ..Self::cpu() }
            }
        }
    }
}

/// Burn and cubecl look for their settings in files, upward from the working directory, and keep what autotuning found in one:
/// a library must do neither. What the application has set before is left alone.
fn configure() {
    let mut cubecl = CubeClRuntimeConfig::default();
    cubecl.autotune.disable_cache = true;
    CubeClRuntimeConfig::try_set(cubecl);
    BurnConfig::try_set(BurnConfig::default());
}

fn open_adapter(info: &DeviceInfo) -> Result<burn::tensor::Device, String> {
    type Opened = HashMap<(&'static str, DeviceKind, usize), burn::tensor::Device>;
    static OPENED: OnceLock<Mutex<Opened>> = OnceLock::new();
    let mut opened = OPENED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let identity = (info.api, info.kind, info.index);
    if let Some(device) = opened.get(&identity) {
        return Ok(device.clone());
    }
    configure();
    let _one_at_a_time = DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, _, api) = INTERFACES.into_iter().find(|(name, _, _)| *name == info.api).ok_or("its interface is unknown")?;
    let kind = match info.kind {
        DeviceKind::DiscreteGpu => burn::tensor::DeviceKind::DiscreteGpu(info.index),
        DeviceKind::IntegratedGpu => burn::tensor::DeviceKind::IntegratedGpu(info.index),
        DeviceKind::VirtualGpu => burn::tensor::DeviceKind::VirtualGpu(info.index),
        DeviceKind::Software | DeviceKind::Cpu => burn::tensor::DeviceKind::Cpu,
    };
    let device = burn::tensor::Device::wgpu_options().device_kind(kind).graphics_api(api).init().map_err(|e| e.to_string())?;
    opened.insert(identity, device.clone());
    Ok(device)
}

#[cfg(test)]
impl Device {
    /// A device that stands in for a GPU that could not be opened.
    pub(crate) fn in_place_of(name: &str, reason: &str) -> Self {
        let info = DeviceInfo { name: name.to_owned(), kind: DeviceKind::DiscreteGpu, api: "Vulkan", ..DeviceInfo::cpu() };
        Self::open_by(info, |_| Err(reason.to_owned()))
    }

    /// A runtime of Burn's that a test has made, as the device of that description.
    pub(super) fn made_of(burn: burn::tensor::Device, info: DeviceInfo, precision: Precision) -> Self {
        configure();
        Self { burn, info: Arc::new(info), fallback: None, precision }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Counts warnings.
    #[derive(Clone, Default)]
    struct Warnings(Arc<AtomicUsize>);

    impl Subscriber for Warnings {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            if *event.metadata().level() == Level::WARN {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_gpu_that_cannot_be_opened_is_replaced_by_the_cpu_with_a_warning_and_the_reason() {
        let warnings = Warnings::default();
        let opened = tracing::subscriber::with_default(warnings.clone(), || Device::in_place_of("Radeon", "no memory"));
        assert_eq!(opened.info().kind, DeviceKind::Cpu);
        let why = opened.fallback().unwrap();
        assert!(why.contains("Radeon") && why.contains("no memory"), "{why}");
        assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
    }
}
