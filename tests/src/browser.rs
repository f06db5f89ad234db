//! A client that keeps its connection and its cookies, as a person's browser does.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::{DEADLINE, Message, Wire};

/// One person's browser.
#[derive(Debug)]
pub struct Browser {
    address: SocketAddr,
    wire: Option<Wire>,
    /// Cookies by name.
    pub cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser without cookies.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            wire: None,
            cookies: BTreeMap::new(),
        }
    }

    /// Gets a page. A kept connection that turns out to be closed is replaced once, as browsers do.
    pub async fn visit(&mut self, path: &str) -> Message {
        let kept = self.wire.is_some();
        let answer = match self.try_visit(path).await {
            Err(_) if kept => self.try_visit(path).await,
            answer => answer,
        };
        answer.unwrap_or_else(|e| panic!("GET {path} of {}: {e}", self.address))
    }

    /// Drops the connection and keeps the cookies.
    pub fn disconnect(&mut self) {
        self.wire = None;
    }

    async fn try_visit(&mut self, path: &str) -> io::Result<Message> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let cookies = match cookies.as_slice() {
            [] => String::new(),
            cookies => format!("Cookie: {}\r\n", cookies.join("; ")),
        };
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => Wire::new(TcpStream::connect(self.address).await?, Some(DEADLINE)),
        };
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nHost: shop.test\r\n{cookies}\r\n"
        ))
        .await?;
        let response = wire.response("GET").await?;
        for cookie in response.values("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies
                    .insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        let closes = response
            .value("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if !closes {
            self.wire = Some(wire);
        }
        Ok(response)
    }
}
