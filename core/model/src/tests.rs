//! Tests of the crate as a whole: documents in, problems out.

mod any;
mod bad;
mod golden;
mod good;
mod property;
mod reference;
