//! The program as its users see it: the real `lbctl` between real clients and real servers, one
//! module for each thing that an operator would notice.

// The strategies of the model's tests look for the schema here.
#[cfg(test)]
use lb_model::schema;

#[cfg(test)]
mod acme;
#[cfg(test)]
mod admin;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod asp_net;
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod chance;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod chromium;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod dead_servers;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod firstboot;
#[cfg(test)]
mod forwarded;
#[cfg(test)]
mod health;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod http2_servers;
#[cfg(test)]
mod http3;
#[cfg(test)]
mod http3_conformance;
#[cfg(test)]
mod installer;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod observability;
#[cfg(test)]
mod ocsp;
#[cfg(test)]
mod operate;
#[cfg(test)]
mod packer;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod provision;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod revisions;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod service;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod supervisor;
#[cfg(test)]
mod tcp;
#[cfg(test)]
mod terraform;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod unavailable;
#[cfg(test)]
mod upgrades;
#[cfg(test)]
mod windows_auth;
