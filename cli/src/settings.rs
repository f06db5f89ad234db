//! Settings of the program itself: defaults, then files of the machine and of a user, then `LBCTL_*` variables, then flags.
//! What is balanced is not a setting: it is the document.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Source};
use lb_client::{ClientCertificate, Trust};
use lb_model::value::{Fingerprint, Period};
use serde::{Deserialize, Serialize};

use crate::args::{Color, GlobalArgs, LogFormat, Output, RunArgs};
use crate::report::{Exit, Explained};

/// Where settings are when nobody says otherwise: of the machine, and of a user.
const FILE: &str = "/etc/lbctl/settings.toml";
const USER_FILE: &str = "lbctl/settings.toml";

/// The largest file with a token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// The variable that names another file.
const FILE_VARIABLE: &str = "LBCTL_SETTINGS";

/// Settings of the program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The document.
    pub(crate) config: PathBuf,
    /// The directory for what the balancer must remember.
    pub(crate) state_dir: PathBuf,
    /// Threads that serve traffic; when absent, the cores that the process may use.
    pub(crate) workers: Option<NonZeroUsize>,
    /// How long open requests may take to finish after a signal to stop.
    pub(crate) drain_timeout: Period,
    /// The least severe messages to log.
    pub(crate) log_level: String,
    /// What the log looks like.
    pub(crate) log_format: LogFormat,
    /// How results are printed.
    pub(crate) output: Output,
    /// When to use colours.
    pub(crate) color: Color,
    /// The address of the balancer to talk to; when absent, the one of `state_dir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) balancer: Option<String>,
    /// What says to a balancer who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Secret>,
    /// The file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    /// The fingerprint of the balancer's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    /// The authorities that vouch for its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    /// The certificate that says to a balancer who we are, in the place of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<PathBuf>,
    /// Its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<PathBuf>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret(String);

impl Secret {
    /// The one in a file; `-` is the standard input.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let failed = |source| SettingsError::Token {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let read = if path.as_os_str() == "-" {
            io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)
        } else {
            let file = File::open(path).map_err(failed)?;
            file.take(TOKEN_BYTES_MAX).read_to_string(&mut text)
        };
        read.map_err(failed)?;
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_whitespace) {
            let what = "it does not hold one token alone";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, for whom it is meant.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The settings that flags can give; what is absent is not overridden.
#[derive(Debug, Default, Serialize)]
struct Flags {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<NonZeroUsize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_timeout: Option<Period>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_level: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<LogFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<Color>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balancer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key: Option<PathBuf>,
}

/// Why settings could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("settings are wrong:{0}")]
    Invalid(String),
    #[error("there is no settings file `{}`", _0.display())]
    NoFile(PathBuf),
    #[error("`client_certificate` and `client_key` are two files, and one of them is missing")]
    HalfCertificate,
    #[error("the token in `{}` cannot be used", path.display())]
    Token { path: PathBuf, source: io::Error },
}

impl Explained for SettingsError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Invalid(_) => format!(
                "settings are {}; they come from flags, LBCTL_* variables, \
                 ~/.config/{USER_FILE}, then {FILE}",
                names().join(", ")
            ),
            Self::Token { path, .. } => format!(
                "write the secret that `lbctl token create` printed into it: ls -l {}",
                path.display()
            ),
            Self::HalfCertificate => {
                "give both: --client-certificate FILE --client-key FILE".to_owned()
            }
            Self::NoFile(_) => format!("leave out `--settings` and {FILE_VARIABLE} to do without"),
        })
    }

    fn exit(&self) -> Exit {
        Exit::Misuse
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            config: "/etc/lbctl/lb.toml".into(),
            state_dir: "/var/lib/lbctl".into(),
            workers: None,
            drain_timeout: Period::seconds(30),
            log_level: "info".to_owned(),
            log_format: LogFormat::default(),
            output: Output::default(),
            color: Color::default(),
            balancer: None,
            token: None,
            token_file: None,
            fingerprint: None,
            ca_file: None,
            client_certificate: None,
            client_key: None,
        }
    }
}

impl Settings {
    /// The settings of a command that has no flags of its own for them.
    pub(crate) fn load(global: &GlobalArgs) -> Result<Self, SettingsError> {
        Self::layer(global, Flags::default())
    }

    /// The settings of a command that takes a document.
    pub(crate) fn load_with_config(
        global: &GlobalArgs,
        config: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        Self::layer(
            global,
            Flags {
                config,
                ..Flags::default()
            },
        )
    }

    /// The settings of `lbctl demo`: unless more is asked for, what goes well is not logged.
    pub(crate) fn load_for_demo(global: &GlobalArgs) -> Result<Self, SettingsError> {
        let log_level = (global.verbose == 0).then(|| "warn".to_owned());
        Self::layer(
            global,
            Flags {
                log_level,
                ..Flags::default()
            },
        )
    }

    /// The settings of `lbctl run`.
    pub(crate) fn load_for_run(global: &GlobalArgs, run: RunArgs) -> Result<Self, SettingsError> {
        let RunArgs {
            config,
            state_dir,
            workers,
            drain_timeout,
            log_level,
            log_format,
            supervised: _,
        } = run;
        let flags = Flags {
            config,
            state_dir,
            workers,
            drain_timeout,
            log_level,
            log_format,
            ..Flags::default()
        };
        Self::layer(global, flags)
    }

    fn layer(global: &GlobalArgs, mut flags: Flags) -> Result<Self, SettingsError> {
        flags.output = global.output;
        flags.color = global.color;
        flags.balancer.clone_from(&global.balancer);
        flags.token_file.clone_from(&global.token_file);
        flags.fingerprint = global.fingerprint;
        flags.ca_file.clone_from(&global.ca_file);
        flags
            .client_certificate
            .clone_from(&global.client_certificate);
        flags.client_key.clone_from(&global.client_key);
        if flags.log_level.is_none() {
            let level = match global.verbose {
                0 if global.quiet => Some("error"),
                0 => None,
                1 => Some("debug"),
                _ => Some("trace"),
            };
            flags.log_level = level.map(str::to_owned);
        }
        let variable = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty());
        let named = global.settings.clone().or(variable.map(PathBuf::from));
        if let Some(path) = named.as_ref().filter(|path| !path.exists()) {
            return Err(SettingsError::NoFile(path.clone()));
        }
        let files = match named {
            Some(file) => vec![file],
            None => [Some(FILE.into()), user_file()]
                .into_iter()
                .flatten()
                .collect(),
        };
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        for file in files.iter().filter(|file| file.exists()) {
            figment = figment.merge(Toml::file_exact(file));
        }
        let mut settings: Self = figment
            // Only known names: a container's environment may hold LBCTL_PORT of a service.
            .merge(Env::prefixed("LBCTL_").only(&names()))
            .merge(Serialized::globals(flags))
            .extract()
            .map_err(|errors| SettingsError::Invalid(describe(errors)))?;
        // What says the same in another way gives way to what was said nearer to the call.
        if global.token_file.is_some() || (!is_set("TOKEN") && is_set("TOKEN_FILE")) {
            settings.token = None;
        }
        if global.ca_file.is_some() && global.fingerprint.is_none() {
            settings.fingerprint = None;
        }
        Ok(settings)
    }

    /// What says to a balancer who we are, if anything.
    pub(crate) fn token(&self) -> Result<Option<Secret>, SettingsError> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => Secret::read(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The certificate that says to a balancer who we are, if there is one.
    pub(crate) fn client_certificate(&self) -> Result<Option<ClientCertificate>, SettingsError> {
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => Ok(Some(ClientCertificate {
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(SettingsError::HalfCertificate),
        }
    }

    /// What shows that a balancer is the one that is meant. A pin says the most.
    pub(crate) fn trust(&self) -> Trust {
        match (self.fingerprint, &self.ca_file) {
            (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
            (None, Some(path)) => Trust::Authority(path.clone()),
            (None, None) => Trust::System,
        }
    }
}

/// The settings of whoever calls.
fn user_file() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|path| !path.is_empty());
    let config = folder("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".config")));
    Some(config?.join(USER_FILE))
}

fn is_set(name: &str) -> bool {
    std::env::var_os(format!("LBCTL_{name}")).is_some_and(|value| !value.is_empty())
}

/// The names of all settings.
fn names() -> [&'static str; 15] {
    [
        "config",
        "state_dir",
        "workers",
        "drain_timeout",
        "log_level",
        "log_format",
        "output",
        "color",
        "balancer",
        "token",
        "token_file",
        "fingerprint",
        "ca_file",
        "client_certificate",
        "client_key",
    ]
}

/// Each error with the setting and the place it came from.
fn describe(errors: figment::Error) -> String {
    let mut text = String::new();
    for error in errors {
        let from = error.metadata.as_ref().map(|metadata| {
            let source = metadata.source.as_ref().and_then(Source::file_path);
            match source.map(Path::display) {
                Some(file) => format!(" ({file})"),
                None if metadata.name.contains("environment") => " (environment)".to_owned(),
                None => String::new(),
            }
        });
        let key = error.path.join(".");
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("`{key}`: ")
        };
        // What stands in the place of a secret may be one.
        let reason = if error.path.first().is_some_and(|key| key == "token") {
            "a token is a text such as \"lbctl_…\"".to_owned()
        } else {
            reason(&error.kind)
        };
        let from = from.unwrap_or_default();
        write!(text, "\n  {key}{reason}{from}").expect("a String takes every write");
    }
    text
}

fn reason(kind: &Kind) -> String {
    if let Kind::UnknownVariant(found, known) = kind {
        format!("`{found}` is not one of {}", known.join(", "))
    } else if let Kind::UnknownField(_, _) = kind {
        "there is no such setting".to_owned()
    } else {
        kind.to_string()
    }
}
