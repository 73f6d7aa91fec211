//! Where the networks run: a GPU through WGPU, or the CPU.
//!
//! Burn registers one runtime for each adapter of a process, for good; this module keeps the handles so that opening the same
//! adapter twice gives the same runtime. Adapters are listed once a process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::BurnConfig;
use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::wgpu::wgpu::{self, Backends, DeviceType, InstanceDescriptor};
use cubecl_environment::config::RuntimeConfig;
use cubecl_runtime::config::CubeClRuntimeConfig;

use super::batch::{Padding, pack};
use crate::error::ModelError;
use crate::parallel;

/// The environment variable that [`Device::automatic`] obeys.
const VARIABLE: &str = "FOSSICK_DEVICE";

/// What a device is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    DiscreteGpu,
    /// A GPU that shares the CPU's memory.
    IntegratedGpu,
    /// A GPU that a virtual machine was given.
    VirtualGpu,
    /// The CPU, through kernels of our own.
    Cpu,
    /// A GPU driver that computes on the CPU, slower than [`DeviceKind::Cpu`]; only ever chosen by name.
    Software,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiscreteGpu => "discrete GPU",
            Self::IntegratedGpu => "integrated GPU",
            Self::VirtualGpu => "virtual GPU",
            Self::Cpu => "CPU",
            Self::Software => "software adapter",
        })
    }
}

/// What a device multiplies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// 32-bit floating point: the model's numbers, to rounding.
    F32,
    /// Dense layers in 8-bit integers, activations quantised token by token; all else in f32. On the CPU alone.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
        })
    }
}

/// One device that this machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver's name for it, or `cpu`.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// The graphics interface through which it is reached: `Vulkan`, `Metal` or `DX12`; `none` for the CPU.
    pub api: &'static str,
    /// The position among the adapters of the same kind and interface.
    index: usize,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DeviceKind::Cpu => f.write_str(&self.name),
            _ => write!(f, "{} ({}, {})", self.name, self.kind, self.api),
        }
    }
}

impl DeviceInfo {
    fn cpu() -> Self {
        Self { name: "cpu".to_owned(), kind: DeviceKind::Cpu, api: "none", index: 0 }
    }

    /// All that this device can compute in; what it does unless told otherwise comes first.
    pub fn precisions(&self) -> &'static [Precision] {
        match self.kind {
            DeviceKind::Cpu => &[Precision::Int8, Precision::F32],
            _ => &[Precision::F32],
        }
    }
}

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
            _ => Ok(Self::open(best(&Self::list()))),
        }
    }

    /// The device of that name: `auto` (the best, whatever the environment says), `cpu`, or a part of a name in
    /// [`Device::list`], in any case.
    ///
    /// # Errors
    /// [`ModelError::NoSuchDevice`]; it lists the names that exist.
    pub fn named(name: &str) -> Result<Self, ModelError> {
        find(name, &Self::list()).map(Self::open)
    }

    /// All devices, the best first, the CPU among them.
    pub fn list() -> Vec<DeviceInfo> {
        static ADAPTERS: OnceLock<Vec<DeviceInfo>> = OnceLock::new();
        ADAPTERS.get_or_init(list_devices).clone()
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
                pack(lengths, share.min(self.batch_tokens()), Padding::None)
            }
            _ => pack(lengths, self.batch_tokens(), Padding::ToLongest),
        }
    }

    /// The most tokens of a batch of several sequences.
    fn batch_tokens(&self) -> usize {
        match self.info.kind {
            DeviceKind::Cpu => 256,
            DeviceKind::Software => 1024,
            _ => 16_384,
        }
    }

    /// How many sequences are worked on side by side, each by a thread of the CPU; a GPU is one worker.
    pub(super) fn abreast(&self) -> usize {
        if self.info.kind == DeviceKind::Cpu { parallel::threads() } else { 1 }
    }

    /// Whether batches of several callers, `sequences` in all and the longest of so many tokens, go through the device as one. What
    /// a GPU does at once costs it little more than a part of it; on the CPU a batch is one thread's work as it is.
    pub(super) fn takes_together(&self, sequences: usize, longest: usize) -> bool {
        self.info.kind != DeviceKind::Cpu && sequences * longest <= self.batch_tokens()
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

fn best(devices: &[DeviceInfo]) -> DeviceInfo {
    devices
        .iter()
        .filter(|device| device.kind != DeviceKind::Software)
        .min_by_key(|device| device.kind)
        .cloned()
        .unwrap_or_else(DeviceInfo::cpu)
}

fn find(name: &str, devices: &[DeviceInfo]) -> Result<DeviceInfo, ModelError> {
    let wanted = name.trim().to_lowercase();
    match wanted.as_str() {
        "auto" => return Ok(best(devices)),
        "cpu" => return Ok(DeviceInfo::cpu()),
        _ => {}
    }
    let matching = devices.iter().find(|device| !wanted.is_empty() && device.to_string().to_lowercase().contains(&wanted));
    matching.cloned().ok_or_else(|| ModelError::NoSuchDevice {
        name: name.to_owned(),
        available: devices.iter().map(DeviceInfo::to_string).collect::<Vec<_>>().join(", "),
    })
}

/// The interfaces that run compute shaders well enough, with wgpu's and Burn's names for them.
const INTERFACES: [(&str, Backends, WgpuBackend); 3] = [
    ("Metal", Backends::METAL, WgpuBackend::Metal),
    ("Vulkan", Backends::VULKAN, WgpuBackend::Vulkan),
    ("DX12", Backends::DX12, WgpuBackend::Dx12),
];

/// Vulkan loaders crash when instances come and go on several threads at once.
static DRIVERS: Mutex<()> = Mutex::new(());

fn list_devices() -> Vec<DeviceInfo> {
    let _one_at_a_time = DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut devices = vec![DeviceInfo::cpu()];
    for (api, backends, _) in INTERFACES {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let mut seen: HashMap<DeviceKind, usize> = HashMap::new();
        for adapter in futures::executor::block_on(instance.enumerate_adapters(backends)) {
            let adapter = adapter.get_info();
            let kind = match adapter.device_type {
                DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
                DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
                DeviceType::VirtualGpu => DeviceKind::VirtualGpu,
                DeviceType::Cpu => DeviceKind::Software,
                // OpenGL alone reports this, and it is not listed.
                DeviceType::Other => continue,
            };
            let count = seen.entry(kind).or_default();
            devices.push(DeviceInfo { name: adapter.name, kind, api, index: *count });
            *count += 1;
        }
    }
    devices.sort_by_key(|device| device.kind);
    devices
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
        let info = DeviceInfo { name: name.to_owned(), kind: DeviceKind::DiscreteGpu, api: "Vulkan", index: 0 };
        Self::open_by(info, |_| Err(reason.to_owned()))
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

    fn device(name: &str, kind: DeviceKind) -> DeviceInfo {
        DeviceInfo { name: name.to_owned(), kind, api: "Vulkan", index: 0 }
    }

    #[test]
    fn a_discrete_gpu_goes_before_an_integrated_one_before_the_cpu() {
        let mut devices =
            vec![device("swift", DeviceKind::Software), DeviceInfo::cpu(), device("UHD", DeviceKind::IntegratedGpu)];
        assert_eq!(best(&devices).name, "UHD");
        devices.push(device("Radeon", DeviceKind::DiscreteGpu));
        assert_eq!(best(&devices).name, "Radeon");
    }

    #[test]
    fn a_software_adapter_is_not_chosen_unless_named() {
        let devices = [device("llvmpipe (LLVM 15)", DeviceKind::Software), DeviceInfo::cpu()];
        assert_eq!(best(&devices).name, "cpu");
        assert_eq!(find("LLVMpipe", &devices).unwrap().kind, DeviceKind::Software);
        assert_eq!(find("auto", &devices).unwrap().name, "cpu");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_exist() {
        let message = find("voodoo2", &[DeviceInfo::cpu()]).unwrap_err().to_string();
        assert!(message.contains("voodoo2") && message.contains("available: cpu"), "{message}");
        assert!(find("  ", &[device("x", DeviceKind::DiscreteGpu)]).is_err());
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
