//! `fossick devices`: where models could run.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use fossick::{Device, DeviceInfo, DeviceKind};
use serde_json::json;

use crate::failure::Outcome;

/// List the devices that models can run on, and the one that is chosen by itself
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let list = Device::list();
    let automatic = Device::automatic()?;
    let chosen = |info: &DeviceInfo| info == automatic.info();
    let precisions = |info: &DeviceInfo| info.precisions().iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let device = |info: &DeviceInfo| {
            json!({
                "name": info.name,
                "kind": info.kind.to_string(),
                "api": info.api,
                "driver": info.driver,
                "precisions": precisions(info),
                "half_floats": info.half_floats,
                "subgroups": info.subgroups,
                "largest_tensor": info.largest_tensor,
                "software": info.kind == DeviceKind::Software,
                "automatic": chosen(info),
            })
        };
        writeln!(out, "{}", json!({"devices": list.iter().map(device).collect::<Vec<_>>()}))?;
        return Ok(ExitCode::SUCCESS);
    }
    for info in &list {
        let mark = if chosen(info) { "*" } else { " " };
        let (kind, precisions) = (info.kind.to_string(), precisions(info).join(", "));
        writeln!(out, "{mark} {:<40} {kind:<12} {:<7} {precisions}", info.name, info.api)?;
        if let Some(bytes) = info.largest_tensor {
            let subgroups = if info.subgroups { ", subgroups" } else { "" };
            writeln!(out, "    {}, tensors of up to {} MiB{subgroups}", info.driver, bytes >> 20)?;
        }
    }
    writeln!(out, "\n* is chosen by itself; --device NAME or FOSSICK_DEVICE=NAME takes another. A software adapter never is.")?;
    if let Some(reason) = automatic.fallback() {
        writeln!(out, "The CPU stands in: {reason}")?;
    }
    Ok(ExitCode::SUCCESS)
}
