//! An authority that issues certificates by itself: `pebble`, the test server of Let's Encrypt.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;
use tokio::process::Command;

use crate::{Authority, Process, free_port, run};

/// A running authority that finds every host on this machine.
pub struct Pebble {
    /// Who vouches for its web server.
    authority: Authority,
    /// Where it looks over HTTP and over TLS.
    http: SocketAddr,
    tls: SocketAddr,
    directory: SocketAddr,
    management: SocketAddr,
    /// Where records of DNS are set.
    records: SocketAddr,
    process: Process,
    names: Process,
}

impl Pebble {
    /// Starts one whose certificates are valid for so many seconds. With an outside key, it serves only
    /// those who have an account elsewhere.
    pub async fn start(seconds: u64, outside: Option<(&str, &str)>) -> Self {
        Self::start_naming(seconds, outside, "").await
    }

    /// The same, whose certificates name this OCSP responder.
    pub async fn start_naming(
        seconds: u64,
        outside: Option<(&str, &str)>,
        responder: &str,
    ) -> Self {
        let authority = Authority::new("Pebble's own").await;
        authority.issue("pebble", &["localhost"], "30").await;
        let [http, tls, directory, management, records, dns] = [(); 6].map(|()| free_port());
        let mut names = Process::start(
            Command::new("pebble-challtestsrv")
                .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
                .args(["-dns01", &dns.to_string()])
                .args(["-management", &records.to_string()])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", ""]),
        );
        names.accepts(records).await;
        let mut config = json!({
            "listenAddress": directory.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": authority.file("pebble.pem"),
            "privateKey": authority.file("pebble-key.pem"),
            "httpPort": http.port(),
            "tlsPort": tls.port(),
            "ocspResponderURL": responder,
            "certificateValidityPeriod": seconds,
            "externalAccountBindingRequired": outside.is_some(),
        });
        if let Some((id, key)) = outside {
            config["externalAccountMACKeys"] = json!({ id: key });
        }
        let path = authority.path("pebble.json");
        let text = json!({ "pebble": config }).to_string();
        std::fs::write(&path, text).expect("write the configuration of pebble");
        let mut process = Process::start(
            Command::new("pebble")
                .arg("-strict")
                .arg("-config")
                .arg(&path)
                .args(["-dnsserver", &dns.to_string()])
                .env("PEBBLE_VA_NOSLEEP", "1")
                // Some requests are told to come again, as real ones are.
                .env("PEBBLE_WFE_NONCEREJECT", "5"),
        );
        process.accepts(directory).await;
        Self {
            authority,
            http,
            tls,
            directory,
            management,
            records,
            process,
            names,
        }
    }

    /// Where it looks over HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it looks over TLS.
    pub fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// The account `own` of a document, with more keys.
    pub fn account(&self, more: &str) -> String {
        format!(
            "[acme_accounts.own]\ndirectory = \"https://localhost:{}/dir\"\nauthority = \"pebble\"\n\
             terms_of_service_agreed = true\ncontacts = [\"admin@shop.test\"]\n{more}\n\
             [authorities.pebble]\nsource = {{ file = \"{}\" }}\n",
            self.directory.port(),
            self.authority.file("ca.pem")
        )
    }

    /// The file of the root under which it issues certificates now.
    pub async fn root(&self) -> String {
        let root = self.told("roots/0").await;
        std::fs::write(self.authority.path("root.pem"), root).expect("write the root");
        self.authority.file("root.pem")
    }

    /// The certificate with which it signs, and its key.
    pub async fn signer(&self) -> (String, String) {
        (
            self.told("intermediates/0").await,
            self.told("intermediate-keys/0").await,
        )
    }

    async fn told(&self, path: &str) -> String {
        let url = format!("https://localhost:{}/{path}", self.management.port());
        let args = ["-sS", "--cacert", &self.authority.file("ca.pem"), &url];
        run("curl", &args).await.expect_success("curl")
    }

    /// A program that sets records for it, and notes what it was asked for in the file beside it.
    pub fn dns_hook(&self) -> (PathBuf, PathBuf) {
        let (program, log) = (self.authority.path("hook"), self.authority.path("hook.log"));
        let url = format!("http://{}", self.records);
        let text = format!(
            "#!/bin/sh -e\necho \"$1 $2 $#\" >>{log}\ncase $1 in\n\
             present) curl -sS -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" {url}/set-txt ;;\n\
             cleanup) curl -sS -d \"{{\\\"host\\\":\\\"$2.\\\"}}\" {url}/clear-txt ;;\nesac\n",
            log = log.display()
        );
        std::fs::write(&program, text).expect("write the program");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("make it a program");
        (program, log)
    }

    /// A folder for files of a test.
    pub fn path(&self, file: &str) -> PathBuf {
        self.authority.path(file)
    }

    /// Ends it.
    pub async fn kill(&mut self) {
        self.process.kill().await;
        self.names.kill().await;
    }
}
