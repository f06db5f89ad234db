//! One step on a virtual machine. Each can be done again: what is there already is done.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use lb_client::ClientError;
use lb_model::api::{ErrorCode, token};
use lb_model::seed::Seed;
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use super::bridge;
use super::error::VmError;
use super::folder::{self, Kept, Place, Shape};
use super::iso;
use super::look::{access, address, release};
use super::plan::Work;
use super::qemu;
use super::qmp::Qmp;
use crate::files::{self, FilesError};
use crate::target::{Left, appliance, seed};
use crate::wanted::{Access, Wanted};

/// For how long it may stop: it drains first.
const STOP: Duration = Duration::from_secs(90);

/// For how long one may stop that does not serve anyway.
const STOP_OF_BAD: Duration = Duration::from_secs(5);

/// Does it.
pub(crate) async fn run(place: &Place, wanted: &Wanted, work: &Work) -> Result<Left, VmError> {
    match work {
        Work::Make => make(place, wanted).await?,
        Work::Forget => return Ok(Left::Gone),
        Work::Destroy => {
            let kept = ours(place, wanted)?;
            stop(place, &kept, STOP).await?;
            bridge::remove(&kept, 0).await?;
            place.clear()?;
            return Ok(Left::Gone);
        }
        Work::Claim => {
            if let Some(kept) = place.kept()? {
                let owner = wanted.owner.clone();
                place.folder.keep(&Kept { owner, ..kept })?;
            }
        }
        Work::Start => {
            let kept = ours(place, wanted)?;
            start(place, &kept).await?;
            if let Some(access) = access(place, wanted, Some(&kept))? {
                well(place, &access).await?;
            }
        }
        Work::Change(shape) => change(place, wanted, shape).await?,
        Work::Enrol => return enrol(place, wanted).await.map(Left::Access),
        Work::Access => {
            let kept = ours(place, wanted)?;
            let access = access(place, wanted, Some(&kept))?;
            return Ok(access.map_or(Left::Nothing, Left::Access));
        }
        Work::Document => {
            let kept = ours(place, wanted)?;
            let access = access(place, wanted, Some(&kept))?;
            if let (Some(access), Some(document)) = (access, &wanted.document) {
                let applied = appliance::apply(&access, document).await;
                told(place, applied).await?;
            }
        }
    }
    Ok(Left::Nothing)
}

fn ours(place: &Place, wanted: &Wanted) -> Result<Kept, VmError> {
    match place.kept()? {
        Some(kept) if kept.owner == wanted.owner => Ok(kept),
        Some(_) => Err(VmError::Changed("it is somebody else's".to_owned())),
        None => Err(VmError::Changed("it is gone".to_owned())),
    }
}

/// Makes everything that a start needs. What an interrupted run has left is made again.
async fn make(place: &Place, wanted: &Wanted) -> Result<(), VmError> {
    place.folder.make("images")?;
    let shape = Shape::of(&place.target, release(&place.image)?);
    let kept = match place.kept()? {
        Some(kept) if kept.owner != wanted.owner => {
            return Err(VmError::Changed("it is somebody else's".to_owned()));
        }
        Some(kept) if kept.is_made => return Ok(()),
        Some(_) | None => Kept {
            owner: wanted.owner.clone(),
            instance: folder::instance()?,
            is_made: false,
            shape,
            previous: None,
        },
    };
    place.folder.keep(&kept)?;
    image(place, &kept.shape.release)?;
    state_disk(place).await?;
    put_seed(place, wanted, &kept)?;
    Ok(place.folder.keep(&Kept {
        is_made: true,
        ..kept
    })?)
}

/// The image, in the folder of the machine: the file that the fleet names may go or become another one.
fn image(place: &Place, release: &str) -> Result<(), VmError> {
    let to = place.image_of(release);
    if to.exists() {
        return Ok(());
    }
    let part = to.with_extension("part");
    let failed = FilesError::of;
    fs::copy(&place.image, &part).map_err(failed(&to))?;
    if super::look::release(&part)? != release {
        return Err(VmError::Changed(format!(
            "`{}` is another file now",
            place.image.display()
        )));
    }
    Ok(fs::rename(&part, &to).map_err(failed(&to))?)
}

/// A disk with a file system, and no partitions. The appliance knows it by its label.
async fn state_disk(place: &Place) -> Result<(), VmError> {
    let path = place.folder.file("state.img");
    if path.exists() {
        return Ok(());
    }
    let part = place.folder.file("state.part");
    let failed = FilesError::of(&path);
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&part).map_err(&failed)?;
    file.set_len(u64::from(place.target.state_gib) << 30)
        .map_err(&failed)?;
    drop(file);
    let mut command = Command::new("mkfs.ext4");
    // Systems have it where only root looks for programs.
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command
        .args(["-q", "-F", "-L", seed::STATE_LABEL, "-m", "0"])
        .arg(&part);
    qemu::output(&mut command, "mkfs.ext4", "e2fsprogs").await?;
    Ok(fs::rename(&part, &path).map_err(&failed)?)
}

/// Makes the seed with a token that nobody knows yet.
fn put_seed(place: &Place, wanted: &Wanted, kept: &Kept) -> Result<(), VmError> {
    let token = token::text(&files::random()?);
    put_seed_with(place, wanted, kept, Some(&token))?;
    Ok(place.folder.write("enrolment-token", token.as_bytes())?)
}

fn put_seed_with(
    place: &Place,
    wanted: &Wanted,
    kept: &Kept,
    token: Option<&str>,
) -> Result<(), VmError> {
    let seed = Seed {
        network: kept.shape.network.clone(),
        ..seed::of(wanted, wanted.document.as_ref(), token)
    };
    let user_data = seed.to_user_data();
    let meta_data = seed::meta_data(&kept.instance, &wanted.name);
    let files = [
        ("meta-data", meta_data.as_bytes()),
        ("user-data", user_data.as_bytes()),
    ];
    let image = iso::image("cidata", &files);
    Ok(place.folder.write("seed.iso", &image)?)
}

/// Starts a machine, unless it runs.
async fn start(place: &Place, kept: &Kept) -> Result<(), VmError> {
    if Qmp::of(place.folder.path()).await?.is_none() {
        qemu::start(place, kept).await?;
    }
    Ok(())
}

/// Stops a machine as its power button does, so that open requests finish first; one whose system has not come
/// up yet, or hangs, is ended.
async fn stop(place: &Place, kept: &Kept, patience: Duration) -> Result<(), VmError> {
    let Some(mut qmp) = Qmp::of(place.folder.path()).await? else {
        return Ok(());
    };
    if kept.is_made {
        qmp.execute("system_powerdown", &json!({})).await?;
        if timeout(patience, qmp.ended()).await.is_ok() {
            return Ok(());
        }
    }
    if let Some(mut qmp) = Qmp::of(place.folder.path()).await? {
        qmp.execute("quit", &json!({})).await?;
        let ended = timeout(Duration::from_secs(10), qmp.ended()).await;
        ended.map_err(|_| VmError::DoesNotStop { seconds: 10 })?;
    }
    Ok(())
}

/// Makes another machine of it, with the same disk; goes back when its balancer does not answer then.
async fn change(place: &Place, wanted: &Wanted, shape: &Shape) -> Result<(), VmError> {
    let before = ours(place, wanted)?;
    if before.shape == *shape {
        return start(place, &before).await;
    }
    if before.shape.release != shape.release && !place.image_of(&shape.release).exists() {
        image(place, &shape.release)?;
    }
    stop(place, &before, STOP).await?;
    let mut after = Kept {
        shape: shape.clone(),
        ..before.clone()
    };
    if before.shape.release != shape.release {
        after.previous = Some(before.shape.release.clone());
    }
    place.folder.keep(&after)?;
    become_it(place, wanted, &before, &after).await?;
    let Some(access) = access(place, wanted, Some(&after))? else {
        return Ok(());
    };
    let Err(error) = appliance::is_well(&access, place.target.start_timeout.duration()).await
    else {
        return prune(place, &after);
    };
    let console = console(place).await;
    stop(place, &after, STOP_OF_BAD).await?;
    place.folder.keep(&before)?;
    become_it(place, wanted, &after, &before).await?;
    Err(VmError::BadImage {
        release: shape.release.clone(),
        before: serves_again(place, wanted, &before).await?,
        console,
        source: Box::new(error),
    })
}

/// Waits for a machine that has its image from before again, and says what has become of it, as the end of a sentence.
async fn serves_again(place: &Place, wanted: &Wanted, kept: &Kept) -> Result<String, VmError> {
    let Some(access) = access(place, wanted, Some(kept))? else {
        return Ok("has the one before again".to_owned());
    };
    let patience = place.target.start_timeout.duration();
    Ok(match appliance::is_well(&access, patience).await {
        Ok(()) => "serves with the one before again".to_owned(),
        Err(error) => format!(
            "has the one before again, which does not answer either ({})",
            appliance::in_full(&error)
        ),
    })
}

/// Starts a machine of another shape than before. A network of its own is in the seed, without a token: whoever
/// provisions has access already, or makes a seed with one when it enrols.
async fn become_it(
    place: &Place,
    wanted: &Wanted,
    before: &Kept,
    after: &Kept,
) -> Result<(), VmError> {
    if before.shape.network != after.shape.network {
        put_seed_with(place, wanted, after, None)?;
    }
    bridge::remove(before, after.shape.bridges.len()).await?;
    start(place, after).await
}

/// Removes images that nobody goes back to.
fn prune(place: &Place, kept: &Kept) -> Result<(), VmError> {
    let folder = place.folder.file("images");
    let failed = FilesError::of(&folder);
    for entry in fs::read_dir(&folder).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name();
        let is_kept = |release: &String| name.to_str() == Some(release);
        if !is_kept(&kept.shape.release) && !kept.previous.as_ref().is_some_and(is_kept) {
            fs::remove_file(entry.path()).map_err(&failed)?;
        }
    }
    Ok(())
}

/// Makes the first token of the balancer in the machine, and keeps it with the machine.
async fn enrol(place: &Place, wanted: &Wanted) -> Result<Access, VmError> {
    let kept = ours(place, wanted)?;
    let made = match try_to_enrol(place, wanted, &kept).await {
        // It waited too long for somebody to come: another seed has another token.
        Err(error) if error.code() == Some(ErrorCode::NotFound) => {
            let kept = Kept {
                instance: folder::instance()?,
                ..kept
            };
            place.folder.keep(&kept)?;
            put_seed(place, wanted, &kept)?;
            stop(place, &kept, STOP).await?;
            start(place, &kept).await?;
            try_to_enrol(place, wanted, &kept).await
        }
        tried => tried,
    };
    let access = told(place, made).await?;
    let fingerprint = access.fingerprint.map(|found| found.to_string());
    place
        .folder
        .write("fingerprint", fingerprint.unwrap_or_default().as_bytes())?;
    place.folder.write("token", access.token.as_bytes())?;
    place.folder.remove("enrolment-token")?;
    Ok(access)
}

async fn try_to_enrol(place: &Place, wanted: &Wanted, kept: &Kept) -> Result<Access, ClientError> {
    let unknown = || ClientError::Unspeakable("no address of the admin API".to_owned());
    let address = address(&kept.shape, wanted).ok_or_else(unknown)?;
    let token = place
        .folder
        .read("enrolment-token")
        .ok()
        .flatten()
        .unwrap_or_default();
    let prefix = "provision-";
    // One that an interrupted run has made is not known any more, but its name is taken.
    let name = format!("{prefix}{}", kept.instance);
    let name = name.parse().map_err(|_| unknown())?;
    let patience = place.target.start_timeout.duration();
    let access = appliance::enrol(address, &token, &name, patience).await?;
    appliance::revoke_others(&access, prefix, &name).await?;
    Ok(access)
}

async fn well(place: &Place, access: &Access) -> Result<(), VmError> {
    told(
        place,
        appliance::is_well(access, place.target.start_timeout.duration()).await,
    )
    .await
}

/// An error with what stands on the console, which often says why.
async fn told<T>(place: &Place, done: Result<T, ClientError>) -> Result<T, VmError> {
    match done {
        Ok(value) => Ok(value),
        Err(source) => Err(VmError::Balancer {
            console: console(place).await,
            source: Box::new(source),
        }),
    }
}

/// The end of what stands on the console, as the end of a sentence.
async fn console(place: &Place) -> String {
    let Ok(Some(mut qmp)) = Qmp::of(place.folder.path()).await else {
        return "; the machine does not run any more".to_owned();
    };
    let arguments = json!({ "device": "console", "size": qemu::CONSOLE_BYTES });
    let read = qmp.execute("ringbuf-read", &arguments).await;
    let text = read.ok().and_then(|text| text.as_str().map(str::to_owned));
    let text = text.unwrap_or_default();
    appliance::console_end(&text).unwrap_or_default()
}
