//! Looking at hardware.

use lb_model::value::SystemId;

use super::error::RedfishError;
use super::folder::Place;
use super::images::release;
use super::machine::Machine;
use super::observed::Observed;
use crate::target::Refusal;
use crate::target::appliance::{self, Told};
use crate::wanted::Wanted;

/// What there is of a machine, and what its balancer says to the document that is wanted.
pub(crate) async fn look(place: &Place, wanted: &Wanted) -> Result<Observed, RedfishError> {
    let client = place.client()?;
    let system = place.target.system.as_ref().map(SystemId::as_str);
    let machine = Machine::find(&client, system).await?;
    let kept = place.kept()?;
    let is_ours = kept.as_ref().is_some_and(|kept| kept.owner == wanted.owner);
    let access = place.access(wanted)?;
    let told = match &access {
        Some(access) if is_ours && !machine.is_off() => {
            appliance::look(access, wanted.document.as_ref()).await
        }
        Some(_) | None => Told::default(),
    };
    Ok(Observed {
        wanted: release(&place.image).map_err(|error| Refusal {
            why: appliance::in_full(&error),
            help: error.help().unwrap_or_default(),
        }),
        image: kept
            .as_ref()
            .map(|kept| kept.release.clone())
            .filter(|release| !release.is_empty()),
        power: machine.condition().to_owned(),
        system: machine.id,
        asset_tag: machine.tag,
        has_access: access.is_some(),
        has_enrolment_token: place.folder.read("enrolment-token")?.is_some(),
        status: told.status,
        plan: told.plan,
        refused: told.refused,
        silent: told.silent,
        kept,
    })
}
