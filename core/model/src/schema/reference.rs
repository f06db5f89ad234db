//! The reference for people, `docs/configuration.md`, from the schema and the table of problems.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use serde_json::Value;

use super::{Choice, Effect, Effects, Field, Kind, Shape, shape};
use crate::fleet;
use crate::print::on_one_line;
use crate::problem::Code;
use crate::seed;
use crate::value::text_schemas;

/// A complete document, which a test keeps free of problems.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

const OPENING: &str = "\
# Configuration reference

This page is generated from the types of `core/model` and from their comments; the same facts for
programs are in [schema.json](schema.json).

A document is TOML, or JSON with the same keys. Everything in it is a table keyed by name; only the
rules of a virtual service are a list, as their order counts. A key that is left out has its default.
What has no default is off or unlimited unless its description says otherwise; `{}` stands for a table
in which every key has its default. `lbctl validate FILE` tells everything that is wrong with a
document at once, with the line, what is allowed and what to do.

A change is live unless its key says otherwise: the next request or connection sees it, and nothing is
closed. With `drain`, what uses it finishes and nothing new uses it; with `rebind`, a socket is opened
or closed, and connections that were accepted on it finish.

A complete example:

";

/// A complete fleet, which a test keeps free of problems.
pub(crate) const FLEET_EXAMPLE: &str = include_str!("fleet.toml");

const FLEET_OPENING: &str = "\
# Reference of the fleet

This page is generated from the types of `core/model` and from their comments. How balancers are
provisioned is in [provisioning.md](provisioning.md); what a balancer does is in a document of its own,
[configuration.md](configuration.md), where the forms of values and the codes of problems are too.

A complete example:

";

/// A complete seed, which a test keeps free of problems.
pub(crate) const SEED_EXAMPLE: &str = include_str!("seed.toml");

const SEED_OPENING: &str = "\
# Reference of the seed

This page is generated from the types of `core/model` and from their comments. A seed is the user data of a
machine that is made from the image of the appliance: how machines get it is in [first-boot.md](first-boot.md),
the forms of values and the codes of problems are in [configuration.md](configuration.md).

A complete example:

";

/// The reference in Markdown.
pub fn reference() -> String {
    let mut page = Page {
        out: OPENING.to_owned(),
        done: BTreeSet::new(),
    };
    // Writing to a `String` cannot fail.
    let _ = page
        .document(EXAMPLE, shape())
        .and_then(|()| page.values())
        .and_then(|()| page.problems());
    page.out
}

/// The reference of the fleet's document, in Markdown.
pub fn fleet_reference() -> String {
    let mut page = Page {
        out: FLEET_OPENING.to_owned(),
        done: BTreeSet::new(),
    };
    // Writing to a `String` cannot fail.
    let _ = page.document(FLEET_EXAMPLE, fleet::shape());
    page.out
}

/// The reference of the seed, in Markdown.
pub fn seed_reference() -> String {
    let mut page = Page {
        out: SEED_OPENING.to_owned(),
        done: BTreeSet::new(),
    };
    // Writing to a `String` cannot fail.
    let _ = page.document(SEED_EXAMPLE, seed::shape());
    page.out
}

struct Page {
    out: String,
    /// The types that have a section already.
    done: BTreeSet<String>,
}

impl Page {
    fn document(&mut self, example: &str, shape: &Shape) -> fmt::Result {
        writeln!(self.out, "```toml\n{example}```\n")?;
        if let Kind::Table(fields) = &shape.kind {
            writeln!(self.out, "## The document\n")?;
            self.table(fields)?;
            for field in fields {
                self.noun(field)?;
            }
        }
        Ok(())
    }

    /// A key of the document and all the types below it.
    fn noun(&mut self, field: &Field) -> fmt::Result {
        let (header, inner) = match &field.shape.kind {
            Kind::Map { values, .. } => (format!("[{}.NAME]", field.name), values),
            Kind::Boolean
            | Kind::Choice(_)
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::List { .. }
            | Kind::Table(_)
            | Kind::Text { .. }
            | Kind::Unknown => (format!("[{}]", field.name), &field.shape),
        };
        if matches!(inner.kind, Kind::Text { .. }) {
            return Ok(());
        }
        let title = inner.name.as_deref().map(words).unwrap_or_default();
        writeln!(
            self.out,
            "## {title}\n\n`{header}`\n\n{}\n",
            inner.description
        )?;
        self.done.extend(inner.name.clone());
        self.body(inner)
    }

    /// The table of a type, then the sections of the types in it.
    fn body(&mut self, shape: &Shape) -> fmt::Result {
        match &shape.kind {
            Kind::Table(fields) => {
                self.table(fields)?;
                fields
                    .iter()
                    .try_for_each(|field| self.section(&field.shape))
            }
            Kind::Choice(choices) => {
                self.choices(choices)?;
                let payloads = choices.iter().filter_map(|choice| choice.payload.as_ref());
                payloads
                    .into_iter()
                    .try_for_each(|payload| self.section(payload))
            }
            Kind::Boolean
            | Kind::Integer { .. }
            | Kind::IntegerOrText { .. }
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Text { .. }
            | Kind::Unknown => Ok(()),
        }
    }

    /// The section of a type, once.
    fn section(&mut self, shape: &Shape) -> fmt::Result {
        if let Kind::List { items: inner, .. } | Kind::Map { values: inner, .. } = &shape.kind {
            return self.section(inner);
        }
        let Some(name) = &shape.name else {
            return Ok(());
        };
        if !self.done.insert(name.clone()) {
            return Ok(());
        }
        writeln!(self.out, "### {}\n\n{}\n", words(name), shape.description)?;
        self.body(shape)
    }

    fn table(&mut self, fields: &[Field]) -> fmt::Result {
        writeln!(
            self.out,
            "| Key | Value | Default | Meaning |\n|---|---|---|---|"
        )?;
        for Field {
            name,
            description,
            required,
            default,
            shape,
            effects,
            needs: _,
        } in fields
        {
            let default = match default {
                Some(default) => format!("`{}`", on_one_line(shape, default)),
                None if *required => "**required**".to_owned(),
                None => String::new(),
            };
            let (value, meaning) = (cell(&value(shape)), cell(description) + &effect(*effects));
            writeln!(
                self.out,
                "| `{name}` | {value} | {} | {meaning} |",
                cell(&default)
            )?;
        }
        writeln!(self.out)
    }

    fn choices(&mut self, choices: &[Choice]) -> fmt::Result {
        writeln!(self.out, "| One of | Meaning |\n|---|---|")?;
        for Choice {
            name,
            description,
            payload,
            effect: changed,
        } in choices
        {
            let choice = match payload {
                None => format!("`\"{name}\"`"),
                Some(payload) => format!("`{{ {name} = … }}` with {}", value(payload)),
            };
            let changed = Effects {
                changed: *changed,
                ..Effects::default()
            };
            let meaning = cell(description) + &effect(changed);
            writeln!(self.out, "| {} | {meaning} |", cell(&choice))?;
        }
        writeln!(self.out)
    }

    /// The texts that have a form.
    fn values(&mut self) -> fmt::Result {
        writeln!(self.out, "## Values\n\nTexts with a form of their own.\n")?;
        writeln!(self.out, "| Value | Form | Example |\n|---|---|---|")?;
        for schema in text_schemas() {
            let text = |value: &Value| cell(value.as_str().unwrap_or_default());
            let schema = schema.as_value();
            let (description, example) =
                (text(&schema["description"]), text(&schema["examples"][0]));
            let name = format_name(schema["format"].as_str().unwrap_or_default());
            writeln!(self.out, "| {name} | {description} | `\"{example}\"` |")?;
        }
        writeln!(self.out)
    }

    fn problems(&mut self) -> fmt::Result {
        writeln!(self.out, "## Problems\n")?;
        writeln!(
            self.out,
            "A document with an error (E) is refused as a whole; a warning (W) tells of what is legal \
             but\nsurely not meant. A code keeps its meaning for ever.\n"
        )?;
        writeln!(self.out, "| Code | Meaning |\n|---|---|")?;
        for code in Code::ALL {
            writeln!(self.out, "| {code} | {} |", cell(code.meaning()))?;
        }
        Ok(())
    }
}

/// What a key holds, with its range, as a reader looks for it.
fn value(shape: &Shape) -> String {
    if let Some(name) = &shape.name {
        let title = words(name);
        return format!(
            "[{}](#{})",
            title.to_lowercase(),
            title.to_lowercase().replace(' ', "-")
        );
    }
    match &shape.kind {
        Kind::Integer { min, max } => format!("{min} to {max}"),
        Kind::IntegerOrText { min, max, format } => {
            format!("{min} to {max}, or {}", format_name(format))
        }
        Kind::List {
            items,
            length_min,
            length_max,
        } => {
            let length = match (*length_min, *length_max) {
                (0, usize::MAX) => String::new(),
                (min, usize::MAX) => format!(", at least {min}"),
                (0, max) => format!(", at most {max}"),
                (min, max) => format!(", {min} to {max}"),
            };
            format!("list of {}{length}", value(items))
        }
        Kind::Map { values, keys } => {
            format!("table of {} by {}", value(values), format_name(keys))
        }
        Kind::Text {
            format: Some(format),
            ..
        } => format_name(format),
        Kind::Text {
            length_min: 0,
            length_max: usize::MAX,
            ..
        } => "text".to_owned(),
        Kind::Text { length_max, .. } => format!("text, at most {length_max} characters"),
        Kind::Boolean | Kind::Choice(_) | Kind::Table(_) | Kind::Unknown => {
            shape.type_name().to_owned()
        }
    }
}

/// What a change does, when it is not live.
fn effect(effects: Effects) -> String {
    let Effects {
        changed,
        added,
        removed,
    } = effects;
    let says = |what: &str, effect: Option<Effect>| effect.map(|e| format!(" *{what}: {e}.*"));
    let all = [
        says("Changing it", changed),
        says("Adding one", added),
        says("Removing one", removed),
    ];
    all.into_iter().flatten().collect()
}

/// `lb-listen-address` as `listen address`.
fn format_name(format: &str) -> String {
    format.trim_start_matches("lb-").replace('-', " ")
}

/// `VirtualService` as `Virtual service`.
fn words(type_name: &str) -> String {
    let mut words = String::new();
    for (i, c) in type_name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            words.push(' ');
        }
        let lower = i > 0 || !c.is_uppercase();
        words.push(if lower { c.to_ascii_lowercase() } else { c });
    }
    words
}

/// A text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
