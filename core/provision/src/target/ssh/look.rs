//! Looking at a machine.

use super::connection::{Connection, Input};
use super::error::SshError;
use super::observed::Observed;
use super::script;
use crate::wanted::Wanted;

/// What there is on a machine, and what its balancer says to the document that is wanted.
pub(crate) async fn look(connection: &Connection, wanted: &Wanted) -> Result<Observed, SshError> {
    let told = match &wanted.document {
        Some(document) => {
            let input = Input::Text(&document.text);
            connection.script(script::LOOK, &["document"], input).await
        }
        None => connection.script(script::LOOK, &[], Input::Nothing).await,
    };
    Ok(Observed::read(&told?))
}
