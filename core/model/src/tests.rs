//! Tests of the crate as a whole: documents in, problems out.

mod any;
mod bad;
mod edit;
mod golden;
mod good;
mod plan;
mod property;
mod reference;
