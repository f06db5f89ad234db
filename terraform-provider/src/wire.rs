//! The messages of Terraform's plugin protocol, version 6.11, as prost types. Their numbers are those of
//! its public definition; fields that this provider neither reads nor writes are left out.

mod act;
mod common;
mod config;
mod resource;
mod schema;

pub(crate) use act::*;
pub(crate) use common::*;
pub(crate) use config::*;
pub(crate) use resource::*;
pub(crate) use schema::*;

/// What the numbers of enumerations in messages mean.
pub(crate) mod number {
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const WARNING: i32 = 2;
    pub(crate) const NESTED_SINGLE: i32 = 1;
    pub(crate) const NESTED_LIST: i32 = 2;
    pub(crate) const NESTED_MAP: i32 = 4;
    pub(crate) const MARKDOWN: i32 = 1;
}
