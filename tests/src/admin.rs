//! The admin API of a running balancer, as `curl` and the command line see it.

use std::path::PathBuf;

use serde_json::Value;

use crate::{Balancer, Finished, run, run_lbctl};

/// An answer of the API.
#[derive(Debug)]
pub struct Told {
    /// Its status; 0 when there was none.
    pub status: u16,
    /// The lines of its head, in lower case up to the colon.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Told {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }

    /// The code of the error in it.
    pub fn code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str();
        code.unwrap_or_else(|| panic!("no error in {json}"))
            .to_owned()
    }

    /// The value of a header field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

impl Balancer {
    /// Where its API is.
    pub fn socket(&self) -> PathBuf {
        self.folder().join("state/admin.sock")
    }

    /// Asks the API with `curl`; further arguments are `curl`'s.
    pub async fn ask_admin(&self, method: &str, path: &str, args: &[&str]) -> Told {
        let socket = self.socket();
        let socket = socket.to_str().expect("a path in UTF-8");
        let url = format!("http://localhost{path}");
        let fixed = [
            "-s",
            "-i",
            "--unix-socket",
            socket,
            "-X",
            method,
            "--max-time",
            "20",
        ];
        let asked = run("curl", &[&fixed, args, &[url.as_str()]].concat()).await;
        read(&asked.stdout)
    }

    /// Sends JSON to the API.
    pub async fn send_admin(&self, method: &str, path: &str, body: &Value) -> Told {
        let body = body.to_string();
        let json = [
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            &body,
        ];
        self.ask_admin(method, path, &json).await
    }

    /// Runs the command line against this balancer.
    pub async fn lbctl(&self, args: &[&str]) -> Finished {
        let address = format!("unix:{}", self.socket().display());
        run_lbctl(&[&["-b", &address], args].concat()).await
    }

    /// The number of the revision in force.
    pub async fn revision(&self) -> u64 {
        let told = self.ask_admin("GET", "/revisions?limit=1", &[]).await;
        told.json()["current"].as_u64().expect("a number")
    }
}

/// The last answer in what `curl -i` prints: interim ones come before it.
fn read(text: &str) -> Told {
    let mut rest = text;
    loop {
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status = status.unwrap_or(0);
        if (100..200).contains(&status) {
            rest = body;
            continue;
        }
        return Told {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        };
    }
}
