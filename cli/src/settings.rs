//! Settings of the program itself: defaults, then a file, then `LBCTL_*` variables, then flags.
//! What is balanced is not a setting: it is the document.

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Source};
use lb_model::value::Period;
use serde::{Deserialize, Serialize};

use crate::args::{Color, GlobalArgs, LogFormat, Output, RunArgs};
use crate::report::{Exit, Explained};

/// Where settings are when nobody says otherwise.
const FILE: &str = "/etc/lbctl/settings.toml";

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
    pub(crate) token: Option<Secret>,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Secret(String);

impl Secret {
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
}

/// Why settings could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("settings are wrong:{0}")]
    Invalid(String),
    #[error("there is no settings file `{}`", _0.display())]
    NoFile(PathBuf),
}

impl Explained for SettingsError {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Invalid(_) => format!(
                "settings are {}; they come from flags, LBCTL_* variables, then {FILE}",
                names().join(", ")
            ),
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
        let file = named.unwrap_or_else(|| FILE.into());
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if file.exists() {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment
            // Only known names: a container's environment may hold LBCTL_PORT of a service.
            .merge(Env::prefixed("LBCTL_").only(&names()))
            .merge(Serialized::globals(flags))
            .extract()
            .map_err(|errors| SettingsError::Invalid(describe(errors)))
    }
}

/// The names of all settings.
fn names() -> [&'static str; 10] {
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
