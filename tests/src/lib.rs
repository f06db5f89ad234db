//! The test harness: the real program, servers behind it and clients in front of it.
//!
//! Nothing here sleeps and hopes. Programs tell when they are ready, ports are whatever was free, and
//! every wait has a deadline and a name that is printed when it passes. A harness has nobody to
//! report an error to, so it panics with what it was doing, and the test fails with that message.

#![expect(
    clippy::missing_panics_doc,
    reason = "every function of a harness fails the test by panicking"
)]

mod admin;
mod api;
mod authority;
mod balancer;
mod browser;
mod churn;
mod client;
mod cloud;
mod document;
mod http3;
mod machine;
mod metrics;
mod pebble;
mod peers;
mod process;
mod redfish;
mod terraform;
mod tree;
mod wait;
mod web_server;
mod wire;

pub use admin::Told;
pub use api::Api;
pub use authority::Authority;
pub use balancer::{Balancer, lbctl, lbctl_path, run_lbctl};
pub use browser::Browser;
pub use churn::{Churn, Named, Seen};
pub use client::Client;
pub use cloud::{Cloud, CloudMachine, Faults, IMAGES};
pub use document::{Addressed, Stand, document, shop};
pub use http3::Http3Client;
pub use machine::Machine;
pub use metrics::Metrics;
pub use pebble::Pebble;
pub use peers::{AspNet, Nginx, PythonServer, aspnet, peer_file, python, python_server};
pub use process::{Finished, Process, free_port, note, run, run_within};
pub use redfish::Redfish;
pub use terraform::{Terraform, provider_block, provider_path};
pub use tree::{anonymous_memory, kill_tree, process_tree};
pub use wait::{DEADLINE, eventually, within};
pub use web_server::{Answer, Exchange, WebServer};
pub use wire::{Message, Wire};

/// Header lines, each with its line end.
fn field_lines<S: AsRef<str>>(fields: &[S]) -> String {
    fields
        .iter()
        .flat_map(|field| [field.as_ref(), "\r\n"])
        .collect()
}
