//! Certificates that `openssl` makes, as an administrator would.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::run;

/// An authority with its folder; certificates are `NAME.pem` with `NAME-key.pem`.
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// A new authority, whose certificate is `ca.pem`.
    pub async fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Self { folder };
        let subject = format!("/CN={name}");
        authority
            .openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                "ca-key.pem",
                "-out",
                "ca.pem",
                "-days",
                "30",
                "-subj",
                &subject,
            ])
            .await;
        authority
    }

    /// An authority for which this one vouches; its certificate is `ca.pem` in its own folder.
    pub async fn intermediate(&self, name: &str) -> Self {
        let made = Self::new(name).await;
        let more =
            "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign,digitalSignature\n";
        let key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.issue_all("middle", &[name], &["-days", "60"], &key, more)
            .await;
        for (from, to) in [("middle.pem", "ca.pem"), ("middle-key.pem", "ca-key.pem")] {
            fs::copy(self.path(from), made.path(to)).expect("copy");
        }
        made
    }

    /// The path of a file.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The path of a file, as text.
    pub fn file(&self, file: &str) -> String {
        self.path(file).to_str().expect("UTF-8").to_owned()
    }

    /// A certificate with an ECDSA key for these hosts, valid for some days.
    pub async fn issue(&self, name: &str, hosts: &[&str], days: &str) {
        self.issue_with(
            name,
            hosts,
            &["-days", days],
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        )
        .await;
    }

    /// The same with an RSA key.
    pub async fn issue_rsa(&self, name: &str, hosts: &[&str]) {
        self.issue_with(name, hosts, &["-days", "30"], &["rsa:2048"])
            .await;
    }

    /// The same, with what `openssl x509` is told of the time, and `openssl req` of the key.
    pub async fn issue_with(&self, name: &str, hosts: &[&str], time: &[&str], key: &[&str]) {
        self.issue_all(name, hosts, time, key, "").await;
    }

    /// A certificate like others, which says this, too: lines of extensions as openssl has them.
    /// Behind it in its file is that of the authority.
    pub async fn issue_saying(&self, name: &str, hosts: &[&str], extensions: &str) {
        let key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        self.issue_key_saying(name, hosts, &key, extensions).await;
    }

    /// The same with what `openssl req` is told of the key.
    pub async fn issue_key_saying(
        &self,
        name: &str,
        hosts: &[&str],
        key: &[&str],
        extensions: &str,
    ) {
        self.issue_all(name, hosts, &["-days", "60"], key, extensions)
            .await;
        let file = self.path(&format!("{name}.pem"));
        let read = |path: &Path| fs::read_to_string(path).expect("read");
        let both = read(&file) + &read(&self.path("ca.pem"));
        fs::write(file, both).expect("write");
    }

    /// Has the books know a certificate as one that is valid.
    pub async fn know(&self, name: &str) {
        self.ca(&["-valid", &format!("{name}.pem")]).await;
    }

    async fn issue_all(&self, name: &str, hosts: &[&str], time: &[&str], key: &[&str], more: &str) {
        let (key_file, request) = (format!("{name}-key.pem"), format!("{name}.csr"));
        let subject = format!("/CN={}", hosts[0]);
        let newkey = [&["req", "-newkey"], key, &["-nodes", "-keyout", &key_file]].concat();
        self.openssl(&[&newkey[..], &["-out", &request, "-subj", &subject]].concat())
            .await;
        let names: Vec<_> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let extensions = format!("subjectAltName={}\n{more}", names.join(","));
        fs::write(self.path("extensions"), extensions).expect("write");
        let certificate = format!("{name}.pem");
        let sign = [
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
            "-CAcreateserial",
            "-extfile",
            "extensions",
            "-out",
            &certificate,
        ];
        self.openssl(&[&sign[..], time].concat()).await;
    }

    /// The same with its own time, as `YYYYMMDDHHMMSSZ`.
    pub async fn issue_at(&self, name: &str, hosts: &[&str], from: &str, until: &str) {
        self.issue(name, hosts, "1").await;
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        let dates = ["-startdate", from, "-enddate", until];
        let files = ["-in", &request, "-out", &certificate];
        let sign = ["-batch", "-extfile", "extensions"];
        self.ca(&[&sign[..], &files, &dates].concat()).await;
    }

    /// Writes `revoked.crl` with the certificate of this name.
    pub async fn revoke(&self, name: &str) {
        self.ca(&["-revoke", &format!("{name}.pem")]).await;
        self.ca(&["-gencrl", "-out", "revoked.crl"]).await;
    }

    /// Runs `openssl ca`, which keeps books of what it does.
    async fn ca(&self, args: &[&str]) {
        const CONFIG: &str = "[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\n\
            crlnumber=number\nnew_certs_dir=.\ndefault_md=sha256\ndefault_crl_days=30\n\
            policy=p\n[p]\ncommonName=supplied\n";
        let books = [
            ("ca.conf", CONFIG),
            ("index", ""),
            ("index.attr", "unique_subject = no\n"),
            ("serial", "1000"),
            ("number", "01"),
        ];
        for (name, text) in books {
            if !self.path(name).exists() {
                fs::write(self.path(name), text).expect("write");
            }
        }
        let ca = [
            "ca",
            "-config",
            "ca.conf",
            "-cert",
            "ca.pem",
            "-keyfile",
            "ca-key.pem",
        ];
        self.openssl(&[&ca[..], args].concat()).await;
    }

    /// Puts the certificate and key of one name in the place of those of another.
    pub fn put(&self, name: &str, of: &str) {
        for ending in [".pem", "-key.pem"] {
            let new = self.path("new");
            fs::copy(self.path(&format!("{name}{ending}")), &new).expect("copy");
            fs::rename(new, self.path(&format!("{of}{ending}"))).expect("rename");
        }
    }

    /// Runs `openssl` in the folder.
    pub async fn openssl(&self, args: &[&str]) -> String {
        let folder = self.folder.path().to_str().expect("UTF-8");
        let line = r#"cd "$0" && exec openssl "$@""#;
        let all = [&["-c", line, folder], args].concat();
        run("sh", &all).await.expect_success("openssl")
    }

    /// `[certificates.NAME]` with the files of that name.
    pub fn certificate(&self, name: &str) -> String {
        format!(
            "[certificates.{name}]\nsource = {{ files = {{ certificate = \"{}\", key = \"{}\" }} }}\n",
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}-key.pem"))
        )
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
