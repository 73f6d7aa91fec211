//! Which devices a machine has, and what each can do.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::wgpu::wgpu::{self, Backends, DeviceType, Features, InstanceDescriptor};

use super::Precision;
use crate::error::ModelError;

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
    /// A GPU driver that computes on the CPU, slower than [`DeviceKind::Cpu`]; only ever chosen by name or by a rule that allows it.
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

/// One device that this machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The driver's name for it, or `cpu`.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// The graphics interface through which it is reached: `Vulkan`, `Metal` or `DX12`; `none` for the CPU.
    pub api: &'static str,
    /// The driver with its version, as far as it says so; empty for the CPU.
    pub driver: String,
    /// The bytes that one tensor may have, by the driver's own word; `None` for the CPU, which has only memory as its limit. What
    /// memory a GPU has, and how much of it is free, no interface tells.
    pub largest_tensor: Option<u64>,
    /// Whether its shaders compute in 16-bit floating point.
    pub half_floats: bool,
    /// Whether its shaders exchange values within a subgroup (a warp, a wave).
    pub subgroups: bool,
    /// The position among the adapters of the same kind and interface.
    pub(super) index: usize,
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
    pub(super) fn cpu() -> Self {
        Self {
            name: "cpu".to_owned(),
            kind: DeviceKind::Cpu,
            api: "none",
            driver: String::new(),
            largest_tensor: None,
            half_floats: false,
            subgroups: false,
            index: 0,
        }
    }

    /// All that this device can compute in; what it does unless told otherwise comes first.
    pub fn precisions(&self) -> &'static [Precision] {
        match self.kind {
            DeviceKind::Cpu => &[Precision::Int8, Precision::F32],
            _ if self.half_floats => &[Precision::F32, Precision::F16],
            _ => &[Precision::F32],
        }
    }
}

/// The best device by kind, no software adapter.
pub(super) fn best(devices: &[DeviceInfo]) -> DeviceInfo {
    suitable(devices, |device| device.kind != DeviceKind::Software).unwrap_or_else(|_| DeviceInfo::cpu())
}

/// The best device by kind of those that satisfy the rule.
pub(super) fn suitable(devices: &[DeviceInfo], rule: impl Fn(&DeviceInfo) -> bool) -> Result<DeviceInfo, ModelError> {
    let best = devices.iter().filter(|device| rule(device)).min_by_key(|device| device.kind);
    best.cloned().ok_or_else(|| ModelError::NoSuitableDevice { available: names(devices) })
}

/// The device whose name has this part, or `auto`, or `cpu`.
pub(super) fn find(name: &str, list: impl FnOnce() -> Vec<DeviceInfo>) -> Result<DeviceInfo, ModelError> {
    let wanted = name.trim().to_lowercase();
    // Whoever wants the CPU need not wake the drivers.
    if wanted == "cpu" {
        return Ok(DeviceInfo::cpu());
    }
    let devices = list();
    if wanted == "auto" {
        return Ok(best(&devices));
    }
    let matching = devices.iter().find(|device| !wanted.is_empty() && device.to_string().to_lowercase().contains(&wanted));
    matching.cloned().ok_or_else(|| ModelError::NoSuchDevice { name: name.to_owned(), available: names(&devices) })
}

fn names(devices: &[DeviceInfo]) -> String {
    devices.iter().map(DeviceInfo::to_string).collect::<Vec<_>>().join(", ")
}

/// The interfaces that run compute shaders well enough, with wgpu's and Burn's names for them.
pub(super) const INTERFACES: [(&str, Backends, WgpuBackend); 3] = [
    ("Metal", Backends::METAL, WgpuBackend::Metal),
    ("Vulkan", Backends::VULKAN, WgpuBackend::Vulkan),
    ("DX12", Backends::DX12, WgpuBackend::Dx12),
];

/// Vulkan loaders crash when instances come and go on several threads at once.
pub(super) static DRIVERS: Mutex<()> = Mutex::new(());

/// All devices, the best first. Adapters are asked once a process.
pub(super) fn list() -> Vec<DeviceInfo> {
    static DEVICES: OnceLock<Vec<DeviceInfo>> = OnceLock::new();
    DEVICES.get_or_init(ask).clone()
}

fn ask() -> Vec<DeviceInfo> {
    let _one_at_a_time = DRIVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut devices = vec![DeviceInfo::cpu()];
    for (api, backends, _) in INTERFACES {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends;
        let instance = wgpu::Instance::new(descriptor);
        let mut seen: HashMap<DeviceKind, usize> = HashMap::new();
        for adapter in futures::executor::block_on(instance.enumerate_adapters(backends)) {
            if let Some(mut info) = describe(&adapter, api) {
                let count = seen.entry(info.kind).or_default();
                info.index = *count;
                *count += 1;
                devices.push(info);
            }
        }
    }
    devices.sort_by_key(|device| device.kind);
    devices
}

/// `None` for what only OpenGL reports, which is not listed.
pub(super) fn describe(adapter: &wgpu::Adapter, api: &'static str) -> Option<DeviceInfo> {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu,
        DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu,
        DeviceType::VirtualGpu => DeviceKind::VirtualGpu,
        DeviceType::Cpu => DeviceKind::Software,
        DeviceType::Other => return None,
    };
    Some(DeviceInfo {
        name: info.name,
        kind,
        api,
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        largest_tensor: Some(limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)),
        half_floats: features.contains(Features::SHADER_F16),
        subgroups: features.contains(Features::SUBGROUP),
        index: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, kind: DeviceKind) -> DeviceInfo {
        DeviceInfo { name: name.to_owned(), kind, api: "Vulkan", ..DeviceInfo::cpu() }
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
    fn a_software_adapter_is_not_chosen_unless_named_or_allowed_by_a_rule() {
        let devices = vec![device("llvmpipe (LLVM 15)", DeviceKind::Software), DeviceInfo::cpu()];
        assert_eq!(best(&devices).name, "cpu");
        assert_eq!(find("LLVMpipe", || devices.clone()).unwrap().kind, DeviceKind::Software);
        assert_eq!(find("auto", || devices.clone()).unwrap().name, "cpu");
        assert_eq!(suitable(&devices, |device| device.kind != DeviceKind::Cpu).unwrap().kind, DeviceKind::Software);
    }

    #[test]
    fn a_rule_gets_the_best_that_satisfies_it_or_an_error_that_lists_what_exists() {
        let half = DeviceInfo { half_floats: true, ..device("UHD", DeviceKind::IntegratedGpu) };
        let devices = [device("Radeon", DeviceKind::DiscreteGpu), half, DeviceInfo::cpu()];
        assert_eq!(suitable(&devices, |_| true).unwrap().name, "Radeon");
        assert_eq!(suitable(&devices, |device| device.half_floats).unwrap().name, "UHD");
        let message = suitable(&devices, |device| device.subgroups).unwrap_err().to_string();
        assert!(message.contains("Radeon (discrete GPU, Vulkan), UHD (integrated GPU, Vulkan), cpu"), "{message}");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_exist() {
        let message = find("voodoo2", || vec![DeviceInfo::cpu()]).unwrap_err().to_string();
        assert!(message.contains("voodoo2") && message.contains("available: cpu"), "{message}");
        assert!(find("  ", || vec![device("x", DeviceKind::DiscreteGpu)]).is_err());
    }

    #[test]
    fn half_floats_are_a_precision_where_shaders_have_them_and_never_the_default() {
        let plain = device("Radeon", DeviceKind::DiscreteGpu);
        assert_eq!(plain.precisions(), [Precision::F32]);
        assert_eq!(DeviceInfo { half_floats: true, ..plain }.precisions(), [Precision::F32, Precision::F16]);
    }
}
