//! How QEMU is started, and what it runs machines with.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lb_model::fleet::{Firmware, Forward};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::bridge;
use super::error::VmError;
use super::folder::{Kept, Place};
use super::look::Format;
use super::qmp::{Qmp, SOCKET};
use crate::files::FilesError;

const PROGRAM: &str = "qemu-system-x86_64";

/// Says what machines are run with, in the place of a trial: `kvm` or `tcg`.
const VARIABLE: &str = "LBCTL_QEMU_ACCEL";

/// For how long a machine that is tried with KVM may take to say something. It takes a second where KVM
/// works; there are systems where it starts and then gets nowhere.
const TRIAL: Duration = Duration::from_secs(10);

/// What QEMU has to say, in the folder of a machine.
const LOG: &str = "qemu.log";

/// Between two looks whether QEMU has come up.
const PAUSE: Duration = Duration::from_millis(50);

/// What the appliance says on its console first.
const GREETING: &[u8] = b"lbctl appliance";

/// How much of the console is kept.
pub(super) const CONSOLE_BYTES: usize = 64 << 10;

/// Where distributions have the firmware for UEFI, and the template for its variables.
const FIRMWARES: [(&str, &str); 4] = [
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    (
        "/usr/share/qemu/ovmf-x86_64-code.bin",
        "/usr/share/qemu/ovmf-x86_64-vars.bin",
    ),
];

/// What runs a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// Software alone.
    Tcg,
}

/// What was found out about a system, until it starts again or has another QEMU.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Trial {
    boot: String,
    qemu: String,
    accelerator: Accelerator,
}

/// What QEMU says of its version.
pub(super) async fn version() -> Result<String, VmError> {
    let told = output(
        Command::new(PROGRAM).arg("--version"),
        PROGRAM,
        "qemu-system-x86",
    )
    .await?;
    Ok(told.lines().next().unwrap_or_default().to_owned())
}

/// Runs a program to its end, and gives what it says.
pub(super) async fn output(
    command: &mut Command,
    program: &'static str,
    package: &'static str,
) -> Result<String, VmError> {
    let ended = command.stdin(Stdio::null()).output().await;
    let ended = ended.map_err(|source| VmError::Program {
        program,
        package,
        source,
    })?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned());
    }
    let told = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(VmError::Failed { program, told })
}

/// Starts a machine, which goes on when whoever provisions has ended.
pub(super) async fn start(place: &Place, kept: &Kept) -> Result<Accelerator, VmError> {
    let accelerator = accelerator(place, kept).await?;
    bridge::connect(kept).await?;
    // Whoever provisions ends, with its terminal; the machine goes on in a session of its own. QEMU's own way
    // (-daemonize) is forbidden by the sandbox that it shall run in.
    let mut command = Command::new("setsid");
    command.arg(PROGRAM).current_dir(place.folder.path());
    command.args(common(accelerator, kept));
    command.args(firmware(place, kept)?);
    command.args(drives(place, kept)?);
    command.args(network(kept));
    command.args([
        "-chardev",
        &format!("ringbuf,id=console,size={CONSOLE_BYTES}"),
    ]);
    command.args(["-serial", "chardev:console"]);
    command.args(["-qmp", &format!("unix:{SOCKET},server=on,wait=off")]);
    place.folder.remove(SOCKET)?;
    let path = place.folder.file(LOG);
    let log = fs::File::create(&path).map_err(FilesError::of(&path))?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut child = command.spawn().map_err(|source| VmError::Program {
        program: PROGRAM,
        package: "qemu-system-x86",
        source,
    })?;
    loop {
        if Qmp::of(place.folder.path()).await?.is_some() {
            return Ok(accelerator);
        }
        if timeout(PAUSE, child.wait()).await.is_ok() {
            return Err(not_started(&place.folder.read(LOG)?.unwrap_or_default()));
        }
    }
}

fn not_started(told: &str) -> VmError {
    let told = told.trim().to_owned();
    if told.contains("host forwarding rule") {
        return VmError::AddressTaken { told };
    }
    let program = PROGRAM;
    VmError::Failed { program, told }
}

fn common(accelerator: Accelerator, kept: &Kept) -> Vec<String> {
    let (how, processor) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi", "max"),
    };
    let name = format!("lbctl-{}-{}", kept.owner.fleet, kept.owner.balancer);
    let sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
    let memory = kept.shape.memory_mib.to_string();
    let processors = kept.shape.processors.to_string();
    [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-vga",
        "none",
        "-machine",
        "q35",
        "-sandbox",
        sandbox,
        "-name",
        &name,
        "-accel",
        how,
        "-cpu",
        processor,
        "-m",
        &memory,
        "-smp",
        &processors,
        "-object",
        "rng-random,filename=/dev/urandom,id=rng",
        "-device",
        "virtio-rng-pci,rng=rng",
    ]
    .map(str::to_owned)
    .into()
}

/// The image is read alone: a machine writes to the disk with its state and to nothing else.
fn drives(place: &Place, kept: &Kept) -> Result<Vec<String>, VmError> {
    let image = place.image_of(&kept.shape.release);
    let format = format_of(&image)?.as_str();
    let drive = |id: &str, file: &str, more: &str| {
        let drive = format!("if=none,id={id},file={file},{more}");
        let device = format!("virtio-blk-pci,drive={id}");
        (drive, device)
    };
    let file = format!("images/{}", kept.shape.release);
    let (system, mut boot) = drive("system", &file, &format!("format={format},readonly=on"));
    boot.push_str(",bootindex=1");
    let (state, state_device) = drive("state", "state.img", "format=raw,discard=unmap");
    let (seed, seed_device) = drive("seed", "seed.iso", "format=raw,readonly=on");
    let pairs = [(system, boot), (state, state_device), (seed, seed_device)];
    let args = pairs
        .into_iter()
        .flat_map(|(drive, device)| ["-drive".to_owned(), drive, "-device".to_owned(), device]);
    Ok(args.collect())
}

/// The cards: the one of QEMU's own network, then one for each bridge.
fn network(kept: &Kept) -> Vec<String> {
    let mut args = Vec::new();
    if !kept.shape.forwards.is_empty() || kept.shape.bridges.is_empty() {
        args.extend(own_network(kept));
    }
    for index in 0..kept.shape.bridges.len() {
        let tap = bridge::tap(kept, index);
        let net = format!("tap,id=bridge{index},ifname={tap},script=no,downscript=no");
        let mac = mac(kept, &format!("/{index}"));
        let device = format!("virtio-net-pci,netdev=bridge{index},romfile=,mac={mac}");
        args.extend(["-netdev".to_owned(), net, "-device".to_owned(), device]);
    }
    args
}

fn own_network(kept: &Kept) -> [String; 4] {
    let mut net = "user,id=net".to_owned();
    for Forward { address, port } in &kept.shape.forwards {
        for protocol in ["tcp", "udp"] {
            net.extend([
                ",hostfwd=",
                protocol,
                ":",
                &address.to_string(),
                "-:",
                &port.to_string(),
            ]);
        }
    }
    let device = format!("virtio-net-pci,netdev=net,romfile=,mac={}", mac(kept, ""));
    ["-netdev", &net, "-device", &device].map(str::to_owned)
}

/// The same for the same card, and another one for each: in the range that QEMU has.
fn mac(kept: &Kept, card: &str) -> String {
    let name = format!("{}/{}{card}", kept.owner.fleet, kept.owner.balancer);
    let digest = Sha256::digest(name);
    let mut bytes = digest.iter();
    let mut next = || bytes.next().copied().unwrap_or_default();
    format!("52:54:00:{:02x}:{:02x}:{:02x}", next(), next(), next())
}

fn firmware(place: &Place, kept: &Kept) -> Result<Vec<String>, VmError> {
    match kept.shape.firmware {
        Firmware::Bios => return Ok(Vec::new()),
        Firmware::Uefi => {}
    }
    let found = FIRMWARES.iter().find(|(code, _)| Path::new(code).exists());
    let (code, template) = found.ok_or(VmError::NoFirmware)?;
    let variables = place.folder.file("uefi-variables");
    if !variables.exists() {
        let content = fs::read(template);
        let content = content.map_err(FilesError::of(Path::new(template)))?;
        place.folder.write("uefi-variables", &content)?;
    }
    let code = format!("if=pflash,format=raw,readonly=on,file={code}");
    let variables = "if=pflash,format=raw,file=uefi-variables";
    Ok(["-drive", &code, "-drive", variables]
        .map(str::to_owned)
        .into())
}

fn format_of(image: &Path) -> Result<Format, VmError> {
    let failed = FilesError::of(image);
    let mut head = [0; 512];
    let mut file = fs::File::open(image).map_err(&failed)?;
    io::Read::read_exact(&mut file, &mut head).map_err(&failed)?;
    Format::of(&head).ok_or_else(|| VmError::Image {
        path: image.to_owned(),
        why: "it is neither qcow2 nor a disk that a PC starts from".to_owned(),
    })
}

/// What machines are run with here, as far as somebody has said so or found out.
pub(super) fn known() -> Option<Accelerator> {
    match std::env::var(VARIABLE).as_deref() {
        Ok("kvm") => return Some(Accelerator::Kvm),
        Ok("tcg") => return Some(Accelerator::Tcg),
        Ok(_) | Err(_) => {}
    }
    if OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_err()
    {
        return Some(Accelerator::Tcg);
    }
    let text = fs::read_to_string(trial_file()?).ok()?;
    let trial: Trial = serde_json::from_str(&text).ok()?;
    (trial.boot == boot()).then_some(trial.accelerator)
}

async fn accelerator(place: &Place, kept: &Kept) -> Result<Accelerator, VmError> {
    if let Some(known) = known() {
        return Ok(known);
    }
    let image = place.image_of(&kept.shape.release);
    let accelerator = if works_with_kvm(&image).await? {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    };
    let trial = Trial {
        boot: boot(),
        qemu: version().await?,
        accelerator,
    };
    if let (Some(path), Ok(text)) = (trial_file(), serde_json::to_string(&trial)) {
        // Without it the next start tries again.
        drop(path.parent().map(fs::create_dir_all));
        drop(fs::write(&path, text));
    }
    Ok(accelerator)
}

/// Starts the image with KVM, and sees whether it says something.
async fn works_with_kvm(image: &Path) -> Result<bool, VmError> {
    let format = format_of(image)?.as_str();
    let drive = format!(
        "if=virtio,format={format},readonly=on,file={}",
        image.display()
    );
    let mut command = Command::new(PROGRAM);
    command.args([
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "q35",
    ]);
    command.args([
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "256",
        "-no-reboot",
        "-serial",
        "stdio",
    ]);
    command.args(["-drive", &drive]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| VmError::Program {
        program: PROGRAM,
        package: "qemu-system-x86",
        source,
    })?;
    let Some(console) = child.stdout.take() else {
        return Ok(false);
    };
    let heard = timeout(TRIAL, hears(console)).await;
    // It may have ended by itself.
    drop(child.kill().await);
    Ok(heard.unwrap_or(false))
}

async fn hears(mut console: impl AsyncRead + Unpin) -> bool {
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    while text.len() < CONSOLE_BYTES {
        match console.read(&mut part).await {
            Ok(0) | Err(_) => return false,
            Ok(count) => text.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
        if text
            .windows(GREETING.len())
            .any(|window| window == GREETING)
        {
            return true;
        }
    }
    false
}

fn trial_file() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|path| !path.is_empty());
    let cache = named("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(named("HOME")?).join(".cache")))?;
    Some(cache.join("lbctl/qemu.json"))
}

/// Which start of this system it is.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
