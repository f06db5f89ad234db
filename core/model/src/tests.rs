//! Tests of the crate as a whole: documents in, problems out.

mod bad;
mod golden;
mod good;
