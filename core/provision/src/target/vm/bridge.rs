//! Cards on bridges of this machine: a tap for each, which the kernel keeps between two starts of QEMU.

use std::path::Path;
use std::process::Stdio;

use lb_model::value::InterfaceName;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use super::error::VmError;
use super::folder::Kept;
use crate::program::hex;

/// Where the kernel lists network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// The tap of the card with this place among those on bridges: at most 15 characters.
pub(super) fn tap(kept: &Kept, index: usize) -> String {
    let name = format!("{}/{}/{index}", kept.owner.fleet, kept.owner.balancer);
    let digits: String = hex(&Sha256::digest(name)).chars().take(10).collect();
    format!("lb{digits}")
}

/// Makes the taps that are missing, and connects each to its bridge.
pub(super) async fn connect(kept: &Kept) -> Result<(), VmError> {
    for (index, bridge) in kept.shape.bridges.iter().enumerate() {
        let interface = Path::new(INTERFACES).join(bridge.as_str());
        if !interface.join("bridge").is_dir() {
            return Err(VmError::NoBridge {
                bridge: bridge.clone(),
                is_there: interface.exists(),
            });
        }
        let tap = tap(kept, index);
        if !Path::new(INTERFACES).join(&tap).exists() {
            ip(bridge, &["tuntap", "add", "dev", &tap, "mode", "tap"]).await?;
        }
        ip(
            bridge,
            &["link", "set", &tap, "master", bridge.as_str(), "up"],
        )
        .await?;
    }
    Ok(())
}

/// Removes taps, those behind the first so many.
pub(super) async fn remove(kept: &Kept, first: usize) -> Result<(), VmError> {
    for (index, bridge) in kept.shape.bridges.iter().enumerate().skip(first) {
        let tap = tap(kept, index);
        if Path::new(INTERFACES).join(&tap).exists() {
            ip(bridge, &["link", "delete", &tap]).await?;
        }
    }
    Ok(())
}

async fn ip(bridge: &InterfaceName, args: &[&str]) -> Result<(), VmError> {
    let mut command = Command::new("ip");
    // Systems have it where only root looks for programs.
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    let ended = command.args(args).stdin(Stdio::null()).output().await;
    let ended = ended.map_err(|source| VmError::Program {
        program: "ip",
        package: "iproute2",
        source,
    })?;
    if ended.status.success() {
        return Ok(());
    }
    Err(VmError::Bridge {
        bridge: bridge.clone(),
        told: String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
    })
}
