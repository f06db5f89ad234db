//! Changes of a running proxy, against real sockets.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::atomic::AtomicUsize;

use lb_model::Format;

use super::*;
use crate::listener::OwnSockets;
use farm::{Client, Site, eventually};

mod connections;
mod farm;
mod http2;
mod http3;
mod in_force;
mod memory;
mod random;
mod servers;
mod settings;
mod size;
mod sockets;
mod tls;

/// A document that is valid.
fn config(text: &str) -> ValidConfig {
    match lb_model::read(text, Format::Toml) {
        Ok(config) => config,
        Err(problems) => panic!("{problems:?}\n{text}"),
    }
}

/// A proxy with this document.
fn start(text: &str) -> Proxy {
    start_with(text, None)
}

fn start_with(text: &str, access_log: Option<Arc<dyn AccessSink>>) -> Proxy {
    let options = Options {
        workers: NonZeroUsize::new(2).unwrap(),
        connections_max: 10_000,
        access_log,
        sockets: Arc::new(OwnSockets::default()),
        memory: Memory::default(),
        material: Material::default(),
    };
    Proxy::start(&config(text), options).unwrap()
}

impl Proxy {
    fn change(&self, text: &str) {
        self.commit(self.prepare(&config(text), &Material::default()).unwrap());
    }

    fn address(&self, service: &str) -> SocketAddr {
        self.addresses()[service]
    }

    fn server(&self, pool: &str, server: &str) -> lb_model::status::ServerStatus {
        self.status().pools[pool].servers[server].clone()
    }

    fn service(&self, name: &str) -> lb_model::status::VirtualServiceStatus {
        self.status().virtual_services[name].clone()
    }
}

/// A virtual service `shop` on a free port, in front of a pool `web` with these servers.
fn shop(servers: &[(&str, SocketAddr)]) -> String {
    format!(
        "[virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n{}",
        pool("web", servers)
    )
}

fn pool(name: &str, servers: &[(&str, SocketAddr)]) -> String {
    let mut text = format!("[pools.{name}]\n");
    for (server, address) in servers {
        writeln!(text, "servers.{server} = {{ address = \"{address}\" }}").unwrap();
    }
    text
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
