//! The nouns of lbctl: the configuration document and what can be said about it without a running
//! balancer. Pure data and pure functions: this crate opens no socket and no file, and asks no clock.
//!
//! A document is parsed to a [`Config`], which may be contradictory; [`validate()`] makes it a
//! [`ValidConfig`] or reports every [`Problem`] at once. [`read`] does both.

pub mod api;
pub mod backup;
pub mod config;
pub mod edit;
pub mod fleet;
pub mod matching;
mod nearest;
pub mod parse;
pub mod plan;
pub mod print;
pub mod problem;
pub mod schema;
pub mod seed;
pub mod status;
pub mod validate;
pub mod value;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use edit::edit;
pub use nearest::nearest;
pub use parse::{Format, parse};
pub use plan::Plan;
pub use print::to_toml;
pub use problem::Problem;
pub use validate::{ValidConfig, validate};

/// Reads and checks a document.
///
/// # Errors
/// Everything that is wrong with it, warnings included, with their places in the text.
pub fn read(text: &str, format: Format) -> Result<ValidConfig, Vec<Problem>> {
    let mut draft = parse::Draft::<Config>::read(text, format);
    let Some(config) = draft.document.take() else {
        return Err(draft.into_problems(Vec::new()));
    };
    match validate(config) {
        Ok(valid) if draft.is_sound() => Ok(valid.map_warnings(|found| draft.locate(found))),
        Ok(_) => Err(draft.into_problems(Vec::new())),
        Err(problems) if draft.is_sound() => Err(draft.locate(problems)),
        Err(problems) => Err(draft.into_problems(problems)),
    }
}
