//! `lbctl validate`: what is wrong with documents, all of it at once.

use lb_model::{Config, Problem};
use serde::Serialize;

use crate::args::{Output, ValidateArgs};
use crate::document::Document;
use crate::output;
use crate::report::{Exit, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

/// What was found in all documents.
#[derive(Debug, Serialize)]
struct Validation {
    /// Whether each of them can be used.
    valid: bool,
    documents: Vec<Checked>,
}

/// What was found in one document.
#[derive(Debug, Serialize)]
struct Checked {
    document: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<Contents>,
    problems: Vec<Problem>,
}

/// How much there is in a document.
#[derive(Debug, Serialize)]
struct Contents {
    virtual_services: usize,
    pools: usize,
    servers: usize,
}

pub(super) fn run(
    args: &ValidateArgs,
    settings: &Settings,
    screen: &Screen,
) -> Result<Exit, Failure> {
    let mut documents = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let document = Document::read(path)?;
        let checked = Checked::of(&document);
        // Programs find problems in the result.
        if settings.output == Output::Table {
            document.tell(&checked.problems, screen);
        }
        documents.push(checked);
    }
    let validation = Validation {
        valid: documents.iter().all(|document| document.valid),
        documents,
    };
    output::print(screen, settings.output, &validation, table)?;
    Ok(if validation.valid {
        Exit::Done
    } else {
        Exit::Misuse
    })
}

impl Checked {
    fn of(document: &Document) -> Self {
        let name = document.name.clone();
        match document.check() {
            Ok(config) => Self {
                document: name,
                valid: true,
                contents: Some(Contents::of(config.config())),
                problems: config.warnings().to_vec(),
            },
            Err(problems) => Self {
                document: name,
                valid: false,
                contents: None,
                problems,
            },
        }
    }
}

impl Contents {
    fn of(config: &Config) -> Self {
        Self {
            virtual_services: config.virtual_services.len(),
            pools: config.pools.len(),
            servers: config.pools.values().map(|pool| pool.servers.len()).sum(),
        }
    }
}

fn table(validation: &Validation) -> String {
    let lines = validation.documents.iter().map(|checked| {
        let Checked {
            document,
            valid: _,
            contents,
            problems,
        } = checked;
        if let Some(contents) = contents {
            format!(
                "{document} is valid: {}, {}, {}\n",
                count(contents.virtual_services, "virtual service"),
                count(contents.pools, "pool"),
                count(contents.servers, "server"),
            )
        } else {
            let errors = problems.iter().filter(|problem| problem.is_error());
            format!(
                "{document} is not valid: {}\n",
                count(errors.count(), "error")
            )
        }
    });
    lines.collect()
}

fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
