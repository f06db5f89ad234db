//! One step on hardware. Each can be done again: an installer that was interrupted is started once more.

use std::time::Duration;

use lb_client::ClientError;
use lb_model::api::{ErrorCode, token};
use lb_model::seed::{DiskOwner, Install, Seed, Then};
use lb_model::value::SystemId;
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::error::RedfishError;
use super::folder::{self, Kept, Place, Stage};
use super::images;
use super::machine::Machine;
use super::media::Media;
use super::plan::{Work, tag};
use super::slot;
use crate::event::{Event, Events};
use crate::files;
use crate::target::{Left, appliance, seed};
use crate::wanted::{Access, Wanted};

/// For how long a balancer may finish what is open before its machine is switched off.
const STOP: Duration = Duration::from_secs(90);

/// Between two looks at a machine that is being installed.
const PAUSE: Duration = Duration::from_millis(500);

/// Does it.
pub(crate) async fn run(
    place: &Place,
    wanted: &Wanted,
    work: &Work,
    events: &Events,
) -> Result<Left, RedfishError> {
    match work {
        Work::Claim => claim(place, wanted).await?,
        Work::Install { release, enrols } => {
            install(place, wanted, release, *enrols, events).await?;
        }
        Work::Start => start(place, wanted).await?,
        Work::Enrol => return enrol(place, wanted).await.map(Left::Access),
        Work::Access => {
            ours(place, wanted)?;
            let access = place.access(wanted)?;
            return Ok(access.map_or(Left::Nothing, Left::Access));
        }
        Work::Document => {
            ours(place, wanted)?;
            if let (Some(access), Some(document)) = (place.access(wanted)?, &wanted.document) {
                let applied = appliance::apply(&access, document).await;
                applied.map_err(|error| balancer(error, String::new()))?;
            }
        }
        Work::Destroy => {
            destroy(place, wanted).await?;
            return Ok(Left::Gone);
        }
        Work::Forget => return Ok(Left::Gone),
    }
    Ok(Left::Nothing)
}

fn balancer(source: ClientError, told: String) -> RedfishError {
    RedfishError::Balancer {
        told,
        source: Box::new(source),
    }
}

fn ours(place: &Place, wanted: &Wanted) -> Result<Kept, RedfishError> {
    match place.kept()? {
        Some(kept) if kept.owner == wanted.owner => Ok(kept),
        Some(_) => Err(RedfishError::Changed("it is somebody else's".to_owned())),
        None => Err(RedfishError::Changed("it is gone".to_owned())),
    }
}

async fn machine(place: &Place) -> Result<(Client, Machine), RedfishError> {
    let client = place.client()?;
    let system = place.target.system.as_ref().map(SystemId::as_str);
    let machine = Machine::find(&client, system).await?;
    Ok((client, machine))
}

/// Marks a machine. One that had another owner may keep its disk, which says the same.
async fn claim(place: &Place, wanted: &Wanted) -> Result<(), RedfishError> {
    let before = place.kept()?;
    let (client, machine) = machine(place).await?;
    // Only whoever asked for it gets here when there is another mark, or a machine that runs.
    let is_marked = machine
        .tag
        .as_ref()
        .is_some_and(|tag| tag.starts_with("lbctl "));
    let adopts = before.is_some() || is_marked || !machine.is_off();
    let kept = match before {
        Some(kept) => Kept {
            owner: wanted.owner.clone(),
            adopts,
            ..kept
        },
        None => Kept {
            owner: wanted.owner.clone(),
            stage: Stage::Claimed,
            release: String::new(),
            previous: None,
            adopts,
        },
    };
    place.folder.keep(&kept)?;
    machine.mark(&client, &tag(&wanted.owner)).await;
    Ok(())
}

/// Has the installer write the image to the disk.
async fn install(
    place: &Place,
    wanted: &Wanted,
    name: &str,
    enrols: bool,
    events: &Events,
) -> Result<(), RedfishError> {
    let before = ours(place, wanted)?;
    let image = images::keep(place, name)?;
    let (client, machine) = machine(place).await?;
    let address = place.target.media_address.socket_addr();
    let listening = Media::listen(address, folder::secret()?).await?;
    let tell = listening.tell_url();
    let token = token::text(&files::random()?);
    let seed = seed_of(place, wanted, &before, enrols.then_some(&token), &tell);
    let media = listening.serve(slot::filled(&image, &seed)?);
    // First what a controller may refuse: a balancer that serves does so until then.
    machine.eject(&client).await?;
    machine.insert(&client, &media.url()).await?;
    let installing = async {
        // Whoever has a balancer there lets it finish; an installer, or what is not known, is not asked.
        let is_ours = before.stage == Stage::Started;
        machine.switch_off(&client, is_ours.then_some(STOP)).await?;
        if enrols {
            place.folder.write("enrolment-token", token.as_bytes())?;
        }
        place.folder.keep(&Kept {
            stage: Stage::Installing,
            ..before.clone()
        })?;
        watch(place, wanted, &client, &machine, &media, events).await
    };
    let installed = installing.await;
    // A CD that nobody serves any more is of no use, however it went.
    let ejected = machine.eject(&client).await;
    installed?;
    ejected?;
    let after = before.with(name);
    place.folder.keep(&after)?;
    Ok(images::prune(place, &after)?)
}

/// What the machine is told: by the CD, and afterwards by its disk.
fn seed_of(
    place: &Place,
    wanted: &Wanted,
    kept: &Kept,
    token: Option<&String>,
    tell: &str,
) -> String {
    let owner = &wanted.owner;
    let seed = Seed {
        network: place.target.network.clone(),
        install: Some(Install {
            disk: place.target.disk.clone(),
            wipe: place.target.wipe,
            owner: owner.lineage.parse().ok().map(|lineage| DiskOwner {
                fleet: owner.fleet.clone(),
                balancer: owner.balancer.clone(),
                lineage,
            }),
            adopt: kept.adopts,
            tell: tell.parse().ok(),
            then: Then::PowerOff,
        }),
        ..seed::of(wanted, wanted.document.as_ref(), token.map(String::as_str))
    };
    seed.to_user_data()
}

/// Starts the machine from the CD, and waits until the installer has switched it off.
async fn watch(
    place: &Place,
    wanted: &Wanted,
    client: &Client,
    machine: &Machine,
    media: &Media,
    events: &Events,
) -> Result<(), RedfishError> {
    let limit = place.target.start_timeout.duration();
    let until = Instant::now() + limit;
    machine.start_from(client, "Cd").await?;
    machine.again(client).await?.switch_on(client).await?;
    let mut sent_before = 0;
    loop {
        let is_off = match machine.again(client).await {
            Ok(now) => now.is_off(),
            // Some controllers do not answer while a machine starts.
            Err(error) if error.is_passing() && Instant::now() < until => {
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        // Only now: what it tells last comes before it is off.
        let told = media.told();
        if let Some((_, error)) = told.split_once("error: ") {
            return Err(RedfishError::Installer(format!("error: {error}")));
        }
        let (done, total) = media.sent();
        if done != sent_before {
            sent_before = done;
            events.tell(Event::Progress {
                balancer: wanted.name.clone(),
                step: "install",
                done,
                total,
            });
        }
        // One that has told something tells its end, too.
        let is_silent = told.is_empty();
        if is_off && (is_silent || told.lines().any(|line| line == "installed")) {
            return Ok(());
        }
        if is_off || Instant::now() >= until {
            let why = match (is_off, is_silent, done) {
                (true, _, _) => {
                    format!("it was switched off in the middle; the installer said\n{told}")
                }
                (false, false, _) => format!("the installer said\n{told}"),
                (false, true, 0) => {
                    let url = media.url();
                    format!("the controller has never fetched the CD; `media_address` gives {url}")
                }
                (false, true, _) => {
                    "the controller has fetched the CD, and nothing was heard since".to_owned()
                }
            };
            let seconds = limit.as_secs();
            return Err(RedfishError::DoesNotEnd { seconds, why });
        }
        sleep(PAUSE).await;
    }
}

/// Starts the machine from its disk; when there is a way to its balancer, until that is well.
async fn start(place: &Place, wanted: &Wanted) -> Result<(), RedfishError> {
    let kept = ours(place, wanted)?;
    let (client, machine) = machine(place).await?;
    machine.eject(&client).await?;
    if machine.is_off() {
        machine.start_from(&client, "Hdd").await?;
        machine.switch_on(&client).await?;
    }
    if let Some(access) = place.access(wanted)? {
        let patience = place.target.start_timeout.duration();
        let well = appliance::is_well(&access, patience).await;
        well.map_err(|error| {
            let release = &kept.release;
            let told = format!(
                " with the image {release}; what it remembers is on its disk, and `lbctl provision rollback` installs the image \
                 before again"
            );
            balancer(error, told)
        })?;
    }
    Ok(place.folder.keep(&Kept {
        stage: Stage::Started,
        ..kept
    })?)
}

/// Makes the first token of the balancer on the machine, and keeps it here.
async fn enrol(place: &Place, wanted: &Wanted) -> Result<Access, RedfishError> {
    ours(place, wanted)?;
    match try_to_enrol(place, wanted).await {
        Ok(access) => {
            let fingerprint = access.fingerprint.map(|found| found.to_string());
            place
                .folder
                .write("fingerprint", fingerprint.unwrap_or_default().as_bytes())?;
            place.folder.write("token", access.token.as_bytes())?;
            place.folder.remove("enrolment-token")?;
            Ok(access)
        }
        Err(error) => {
            // It waited too long for somebody to come: the same command brings it another token.
            if error.code() == Some(ErrorCode::NotFound) {
                place.folder.remove("enrolment-token")?;
            }
            Err(balancer(error, String::new()))
        }
    }
}

async fn try_to_enrol(place: &Place, wanted: &Wanted) -> Result<Access, ClientError> {
    let unknown = || ClientError::Unspeakable("no address of the admin API".to_owned());
    let address = place.admin(wanted).ok_or_else(unknown)?;
    let token = place.folder.read("enrolment-token").ok().flatten();
    let token = token.unwrap_or_default();
    let prefix = "provision-";
    // One that an interrupted run has made is not known any more, but its name is taken.
    let digest = crate::wanted::sha256(&token);
    let short: String = digest.chars().take(12).collect();
    let name = format!("{prefix}{short}").parse().map_err(|_| unknown())?;
    let patience = place.target.start_timeout.duration();
    let access = appliance::enrol(address, &token, &name, patience).await?;
    appliance::revoke_others(&access, prefix, &name).await?;
    Ok(access)
}

/// Switches the machine off. Its disk stays as it is.
async fn destroy(place: &Place, wanted: &Wanted) -> Result<(), RedfishError> {
    let kept = ours(place, wanted)?;
    let (client, machine) = machine(place).await?;
    if kept.stage != Stage::Claimed {
        let is_ours = kept.stage == Stage::Started;
        machine.switch_off(&client, is_ours.then_some(STOP)).await?;
        machine.eject(&client).await?;
    }
    machine.mark(&client, "").await;
    Ok(place.clear()?)
}
