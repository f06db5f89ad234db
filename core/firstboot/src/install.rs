//! The installer: a machine that has started from the CD of the appliance gets it on its disk, and keeps what a
//! balancer that was there remembers.
//!
//! Whatever interrupts it, the same again goes on: the disk is marked as ours before anything else is written, what
//! starts from it is made invalid first and valid last, and the state is only made where there is none.

mod disk;
mod error;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lb_model::seed::{self, Install, Seed, Then};

use crate::block::{self, FileSystem};
use crate::nocloud::mounted;
use crate::source::Source;
use crate::state::SEED;
use crate::tell::Listener;
use crate::{FirstBootError, Report, medium, network, table};
use disk::Chosen;
pub use error::InstallError;

/// The label of the file system with the state.
pub(crate) const STATE_LABEL: &str = "lbctl-state";

/// What a disk says of its owner, in its state.
const OWNER: &str = "owner.json";

/// For how long the CD is waited for that this has started from: firmware that plays one over a network takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// For how long a seed on a second disk is waited for.
const SEED_PATIENCE: Duration = Duration::from_secs(3);

/// The word that tells the loader's entry of the CD from that of a disk.
const INSTALLER: &[u8] = b"lbctl.installer";

/// Who hears what is done.
struct Audience<'s> {
    say: &'s mut dyn FnMut(&str),
    listener: Option<Listener>,
}

impl Audience<'_> {
    fn say(&mut self, text: &str) {
        (self.say)(text);
        if let Some(listener) = &mut self.listener {
            listener.tell(text, false);
        }
    }

    fn say_last(&mut self, text: &str) {
        if let Some(listener) = &mut self.listener {
            listener.tell(text, true);
        }
    }
}

/// Installs the appliance, when the seed of this machine says so, and gives what the machine does then. Everything
/// that is done is said.
///
/// # Errors
/// Why the machine is not installed.
pub fn install(timeout: Duration, say: &mut dyn FnMut(&str)) -> Result<Option<Then>, InstallError> {
    let Some(source) = block::eventually(SEED_PATIENCE.max(timeout), Source::now) else {
        return Ok(None);
    };
    let found = source.read(timeout)?;
    let text = found.user_data.unwrap_or_default();
    if !text.starts_with(seed::FIRST_LINE) {
        return Ok(None);
    }
    let seed = seed::read(&text).map_err(|problems| FirstBootError::Seed {
        shown: lb_model::problem::render(&problems, "user-data", None),
    })?;
    let Some(wanted) = seed.install.clone() else {
        return Ok(None);
    };
    let mut audience = Audience {
        listener: wanted.tell.as_ref().and_then(Listener::new),
        say,
    };
    if audience.listener.is_some() {
        let mut report = Report::default();
        network::set_up(&seed.network, timeout, &mut report);
        for error in report.errors {
            audience.say(&format!("warning: {error}"));
        }
    }
    audience.say(&format!("the installer has the seed of {}", found.from));
    match carry_out(&wanted, seed, &mut audience) {
        Ok(()) => {
            audience.say_last("installed");
            Ok(Some(wanted.then))
        }
        Err(error) => {
            audience.say_last(&format!("error: {}", error.in_full()));
            Err(error)
        }
    }
}

fn carry_out(
    wanted: &Install,
    seed: Seed,
    audience: &mut Audience<'_>,
) -> Result<(), InstallError> {
    let device = block::eventually(PATIENCE, medium::now).ok_or(InstallError::NoMedium)?;
    let mut chosen = disk::choose(wanted, &device)?;
    let words = chosen.disk.words();
    audience.say(&format!("disk {words}: {}", chosen.holds.words()));
    if let Some(state) = chosen.kept_state() {
        check_owner(wanted, &chosen, &state)?;
    }
    let mut image = medium::image(&device)?.ok_or(InstallError::DamagedMedium(device))?;
    for_disk(&mut image);
    chosen.make_room(image.len())?;
    audience.say(&format!(
        "disk {words}: writing {} MB",
        image.len() / 1_000_000
    ));
    chosen.write(&image)?;
    audience.say(&format!("disk {words}: reading it back"));
    chosen.verify(&image)?;
    let state = chosen.state()?;
    if block::file_system(&state, STATE_LABEL) == Some(FileSystem::Ext) {
        audience.say("what the balancer remembers is kept");
    } else {
        call(
            "mkfs.ext4",
            &["-q", "-F", "-L", STATE_LABEL, "-m", "0"],
            &state,
        )?;
        audience.say("there is room for what the balancer will remember");
    }
    if let Some(why) = leave(wanted, seed, &state)? {
        audience.say(&format!(
            "warning: the room for what the balancer remembers has not grown: {why}"
        ));
    }
    audience.say(&format!("installed on {words}"));
    Ok(())
}

/// A disk says whose it is; one of somebody else is only taken over when that is asked for.
fn check_owner(wanted: &Install, chosen: &Chosen, state: &Path) -> Result<(), InstallError> {
    if wanted.adopt {
        return Ok(());
    }
    let told = mounted(state, FileSystem::Ext, true, |folder| {
        Ok(fs::read_to_string(folder.join(OWNER)).unwrap_or_default())
    })?;
    let owner = serde_json::from_str(&told).ok();
    if owner.is_some() && owner != wanted.owner {
        return Err(InstallError::OtherOwner {
            disk: chosen.disk.words(),
            owner: told.trim().to_owned(),
        });
    }
    Ok(())
}

/// Puts the seed where the first start finds it, and says whose the disk is. Gives why the file system does not fill its
/// partition, when that is so: the balancer serves all the same.
fn leave(wanted: &Install, mut seed: Seed, state: &Path) -> Result<Option<String>, InstallError> {
    seed.install = None;
    let text = seed.to_user_data();
    let owner = wanted.owner.as_ref();
    let owner = owner.map(|owner| serde_json::to_string(owner).unwrap_or_default());
    let mut small = None;
    mounted(state, FileSystem::Ext, false, |folder| {
        // The partition may have become larger than what is on it.
        small = call("resize2fs", &[], state)
            .err()
            .map(|error| error.to_string());
        crate::state::write(folder, SEED, &text)?;
        match owner {
            Some(owner) => crate::state::write(folder, OWNER, &owner),
            None => Ok(()),
        }
    })?;
    Ok(small)
}

/// Makes the file system that a CD starts from one that a disk starts from: its entry for the loader does not ask for
/// the installer.
fn for_disk(image: &mut [u8]) {
    for sector in image.chunks_exact_mut(table::SECTOR_LENGTH) {
        if !sector.starts_with(b"# lbctl\n") {
            continue;
        }
        let mut places = sector.windows(INSTALLER.len());
        if let Some(at) = places.position(|place| place == INSTALLER)
            && let Some(place) = sector.get_mut(at..at + INSTALLER.len())
        {
            place.fill(b' ');
        }
    }
}

/// Calls a program on a device.
fn call(program: &str, args: &[&str], device: &Path) -> Result<(), InstallError> {
    let failed = |told: String| InstallError::Failed {
        program: program.to_owned(),
        device: device.to_owned(),
        told,
    };
    let mut command = Command::new(program);
    let ended = command.args(args).arg(device).output();
    let ended = ended.map_err(|error| failed(error.to_string()))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(failed(
        String::from_utf8_lossy(&ended.stderr).trim().to_owned(),
    ))
}

#[cfg(test)]
mod tests;
