//! Documents for tests, with the addresses that the system gave.

use std::net::SocketAddr;

/// Something that has a name in documents and an address.
pub trait Addressed {
    /// The name, which a document refers to as `@name`.
    fn name(&self) -> &str;
    /// Where it is reached.
    fn address(&self) -> SocketAddr;
}

/// A name for an address, such as one where nobody listens.
#[derive(Clone, Debug)]
pub struct Stand(pub &'static str, pub SocketAddr);

impl Addressed for Stand {
    fn name(&self) -> &str {
        self.0
    }

    fn address(&self) -> SocketAddr {
        self.1
    }
}

/// Puts addresses in the place of `"@name"`.
pub fn document(text: &str, servers: &[&dyn Addressed]) -> String {
    let filled = servers.iter().fold(text.to_owned(), |text, server| {
        text.replace(
            &format!("\"@{}\"", server.name()),
            &format!("\"{}\"", server.address()),
        )
    });
    assert!(
        !filled.contains("\"@"),
        "a server of this document has no address:\n{filled}"
    );
    filled
}

/// The usual document: a virtual service `shop` over a pool `web` of these servers. The two texts
/// are further keys of the service and of the pool; both may go on with tables of their own.
pub fn shop(service: &str, pool: &str, servers: &[&dyn Addressed]) -> String {
    let entry =
        |s: &&dyn Addressed| format!("{} = {{ address = \"{}\" }}\n", s.name(), s.address());
    let list: String = servers.iter().map(entry).collect();
    let text = format!(
        "[pools.web]\n{pool}\n\n[pools.web.servers]\n{list}\n\
         [virtual_services.shop]\naddress = \"127.0.0.1:0\"\npool = \"web\"\n{service}\n"
    );
    document(&text, servers)
}
