//! `lbctl certificate import`, `request` and `status`: the balancer gets material, and tells how it is.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lb_model::api::{
    CertificateImport, CertificateStatus, CertificateWarning, Certificates, ErrorCode,
    KeptCertificate, KeyKind, SigningRequest,
};
use lb_model::edit::{Edit, ObjectPath};
use serde_json::json;

use super::noun::carry_out;
use crate::args::{CertificateCommand, CertificateImportArgs, CertificateRequestArgs, KeyChoice};
use crate::balancer::Balancer;
use crate::output::{self, Table};
use crate::report::{Exit, Explained, Failure};
use crate::screen::{Paint, Screen};
use crate::settings::Settings;

/// The largest file that is sent; a certificate with all that belongs to it has some kilobytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot read `{}`", _0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("`{}` is larger than {} KiB", _0.display(), FILE_BYTES_MAX >> 10)]
    TooLarge(PathBuf),
    #[error("the password in `{}` is not UTF-8 text", _0.display())]
    Password(PathBuf),
}

impl Explained for FileError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Read(path, _) => format!("see who may read it: ls -l {}", path.display()),
            Self::TooLarge(_) => "see whether it is the right file".to_owned(),
            Self::Password(_) => "write the password alone into it, as UTF-8".to_owned(),
        })
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

pub(super) fn run(
    command: &CertificateCommand,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    match command {
        CertificateCommand::Import(args) => import(args, settings, screen),
        CertificateCommand::Request(args) => request(args, settings, screen),
        CertificateCommand::Status => {
            let balancer = Balancer::of(settings)?;
            let found = balancer.wait(balancer.client.certificates())?;
            let paint = screen.paint_stdout();
            output::print(screen, settings.output, &found, |found| table(found, paint))?;
            Ok(Exit::Done)
        }
    }
}

fn import(
    args: &CertificateImportArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let CertificateImportArgs {
        name,
        certificate,
        key,
        chain,
        password_file,
        manner,
    } = args;
    let text = |path: &PathBuf| read(path).map(|bytes| as_text(&bytes));
    let request = CertificateImport {
        certificate: text(certificate)?,
        key: key.as_ref().map(text).transpose()?,
        chain: chain.as_ref().map(text).transpose()?,
        password: password_file.as_deref().map(password).transpose()?,
    };
    let path: ObjectPath = format!("certificates/{name}")
        .parse()
        .expect("every name makes a path");
    let balancer = Balancer::of(settings)?;
    let kept = balancer.wait(balancer.client.import_certificate(&request))?;
    drop(request);
    screen.note(&described(&kept, screen.paint()));
    let mut value = match balancer.wait(balancer.client.object(&path)) {
        Ok(object) => object.value,
        Err(error) if error.code() == Some(ErrorCode::NotFound) => json!({}),
        Err(error) => return Err(error.into()),
    };
    // As a whole: it may come from elsewhere now.
    value["source"] = json!({ "stored": { "fingerprint": kept.facts.fingerprint } });
    let edits = vec![Edit::Put {
        path: path.clone(),
        value,
    }];
    carry_out(&balancer, edits, &path, manner, settings, screen)
}

fn request(
    args: &CertificateRequestArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let CertificateRequestArgs {
        names,
        key,
        organization,
        country,
    } = args;
    let request = SigningRequest {
        names: names.clone(),
        key: match key {
            KeyChoice::Ecdsa => KeyKind::Ecdsa,
            KeyChoice::Rsa => KeyKind::Rsa,
        },
        organization: organization.clone(),
        country: country.clone(),
    };
    let balancer = Balancer::of(settings)?;
    let made = balancer.wait(balancer.client.request_certificate(&request))?;
    output::print(screen, settings.output, &made, |made| {
        made.pem.replace("\r\n", "\n")
    })?;
    screen.note(
        "Take this to the authority. When it has made a certificate of it:\n  \
         lbctl certificate import NAME --certificate FILE\n",
    );
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |error| FileError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// PEM as it is, all else as base64.
fn as_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN") => text.to_owned(),
        _ => STANDARD.encode(bytes),
    }
}

fn password(path: &Path) -> Result<String, FileError> {
    let text = String::from_utf8(read(path)?);
    let text = text.map_err(|_| FileError::Password(path.to_owned()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn described(kept: &KeptCertificate, paint: Paint) -> String {
    let facts = &kept.facts;
    let names = facts.names.join(", ");
    let mut text = format!(
        "{} for {names}, {}, until {}\n",
        paint.good("kept"),
        facts.key,
        facts.not_after
    );
    kept.warnings
        .iter()
        .for_each(|found| warn(&mut text, found, paint));
    text
}

fn warn(text: &mut String, found: &CertificateWarning, paint: Paint) {
    let CertificateWarning { message, help } = found;
    let word = paint.strong("warning");
    writeln!(text, "{word}: {message}\n  help: {help}").expect("a String takes every write");
}

fn table(found: &Certificates, paint: Paint) -> String {
    let mut table = Table::new([
        "NAME",
        "HOSTS",
        "KEY",
        "ENDS",
        "STAPLED UNTIL",
        "USED BY",
        "STATE",
    ]);
    for (name, status) in &found.certificates {
        let facts = status.facts.as_ref();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let users = status.virtual_services.iter().chain(&status.pools);
        let users: Vec<_> = users.map(ToString::to_string).collect();
        table.row([
            name.to_string(),
            or_none(facts.map(|facts| facts.names.join(", "))),
            or_none(facts.map(|facts| facts.key.clone())),
            or_none(facts.map(|facts| facts.not_after.to_string())),
            or_none(
                status
                    .ocsp
                    .as_ref()
                    .and_then(|ocsp| Some(ocsp.good_until?.to_string())),
            ),
            or_none((!users.is_empty()).then(|| users.join(", "))),
            state(status).to_owned(),
        ]);
    }
    let mut text = table.text(paint);
    for (name, status) in &found.certificates {
        for found in status.problem.iter().chain(&status.warnings) {
            write!(text, "\n{name}: ").expect("a String takes every write");
            warn(&mut text, found, paint);
        }
    }
    text
}

fn state(status: &CertificateStatus) -> &'static str {
    let revoked_at = status.ocsp.as_ref().and_then(|ocsp| ocsp.revoked_at);
    if revoked_at.is_some() {
        return "REVOKED";
    }
    match (&status.facts, &status.problem, status.warnings.is_empty()) {
        (None, _, _) => "cannot be used",
        (Some(_), Some(_), _) => "the former one serves",
        (Some(_), None, false) => "warning",
        (Some(_), None, true) => "good",
    }
}
