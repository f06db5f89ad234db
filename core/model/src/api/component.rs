//! The types of the API and of the document as one set of schemas, for OpenAPI.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::schema::tidy;

/// The JSON Schema (draft 2020-12) of every type that the API says or hears, by name. They refer to
/// each other at `#/components/schemas/`.
pub fn components() -> Map<String, Value> {
    let place = |settings: &mut SchemaSettings| {
        settings.definitions_path = "/components/schemas".into();
    };
    let mut generator = SchemaSettings::draft2020_12().with(place).into_generator();
    macro_rules! add {
        ($($type:ty),* $(,)?) => { $(generator.subschema_for::<$type>();)* };
    }
    add![
        Config,
        super::AccessCopy,
        super::ApplyAnswer,
        super::ApplyRequest,
        super::BootstrapRequest,
        super::Enrolment,
        super::Caller,
        super::CertificateImport,
        super::Certificates,
        super::ConfirmRequest,
        super::ErrorAnswer,
        super::Event,
        super::ExplainRequest,
        super::KeptCertificate,
        super::MadeSigningRequest,
        super::NewToken,
        super::PlanAnswer,
        super::PlanRequest,
        super::RevisionAnswer,
        super::Revisions,
        super::RollbackRequest,
        super::SigningRequest,
        super::StatusAnswer,
        super::TokenRequest,
        super::Tokens,
        super::UpgradeAnswer,
        super::User,
        super::UserChange,
        super::UserRequest,
        super::Users,
    ];
    let mut components = generator.take_definitions(true);
    components.sort_keys();
    components.values_mut().for_each(tidy);
    components
}
