//! The commands of nouns, such as `lbctl server set web/iis1 --weight 20`, for clap.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, Error, FromArgMatches, Subcommand};
use lb_model::edit::ObjectPath;
use lb_model::plan::Place;
use lb_model::schema::{Kind, Noun, Shape};
use lb_model::value::Name;
use serde_json::Value;

use super::flag::{self, Flag, Flags, Form};
use super::patch::Removal;
use super::value;
use crate::args::{CertificateCommand, MannerArgs};

/// A command of a noun, as it was given.
#[derive(Debug)]
pub(crate) struct NounCommand {
    pub(crate) noun: &'static Noun,
    pub(crate) verb: Verb,
}

/// What is done with objects of a noun.
#[derive(Debug)]
pub(crate) enum Verb {
    /// A new object is made, with what flags give.
    Add(Written),
    /// Something that only certificates have.
    Certificate(CertificateCommand),
    /// An object is taken away.
    Delete {
        path: ObjectPath,
        manner: MannerArgs,
    },
    /// An object is shown.
    Get(ObjectPath),
    /// The objects that one holds, or that the document holds, are shown.
    List(Option<ObjectPath>),
    /// Some values of an object are changed.
    Set(Written),
}

/// An object and what is given for it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) path: ObjectPath,
    pub(crate) value: Value,
    pub(crate) removals: Vec<Removal>,
    pub(crate) place: Option<Place>,
    pub(crate) manner: MannerArgs,
}

impl Subcommand for NounCommand {
    fn augment_subcommands(command: Command) -> Command {
        command.subcommands(flag::all().map(|(noun, flags)| of_noun(noun, flags)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        flag::of_command(name).is_some()
    }
}

impl FromArgMatches for NounCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let missing = || Error::new(ErrorKind::MissingSubcommand);
        let (name, matches) = matches.subcommand().ok_or_else(missing)?;
        let (noun, flags) = flag::of_command(name).ok_or_else(missing)?;
        let all = matches;
        let (verb, matches) = matches.subcommand().ok_or_else(missing)?;
        if noun.singular == CERTIFICATE && CertificateCommand::has_subcommand(verb) {
            let command = CertificateCommand::from_arg_matches(all)?;
            let verb = Verb::Certificate(command);
            return Ok(Self { noun, verb });
        }
        let path = || match matches.get_one::<ObjectPath>(OBJECT) {
            Some(path) => Ok(path.clone()),
            // Only an object without a name is not named.
            None => ObjectPath::new(noun, Vec::new()).ok_or_else(missing),
        };
        let verb = match verb {
            "add" => Verb::Add(Written::of(path()?, flags, matches)?),
            "delete" => Verb::Delete {
                path: path()?,
                manner: MannerArgs::from_arg_matches(matches)?,
            },
            "get" => Verb::Get(path()?),
            "list" => Verb::List(matches.try_get_one(OBJECT).ok().flatten().cloned()),
            _ => Verb::Set(Written::of(path()?, flags, matches)?),
        };
        Ok(Self { noun, verb })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Written {
    fn of(path: ObjectPath, flags: &Flags, matches: &ArgMatches) -> Result<Self, Error> {
        let removals = matches.try_get_many::<Removal>(UNSET).ok().flatten();
        let is_first = matches.try_get_one(FIRST).ok().flatten().copied();
        let after: Option<&Name> = matches.try_get_one(AFTER).ok().flatten();
        Ok(Self {
            path,
            value: flags.given(matches),
            removals: removals.into_iter().flatten().cloned().collect(),
            place: match (is_first, after) {
                (Some(true), _) => Some(Place::First),
                (_, after) => after.cloned().map(Place::After),
            },
            manner: MannerArgs::from_arg_matches(matches)?,
        })
    }
}

/// The names of arguments that are no flags of fields; capitals, so that no field has such a name.
const OBJECT: &str = "OBJECT";
const UNSET: &str = "UNSET";
const FIRST: &str = "FIRST";
const AFTER: &str = "AFTER";

/// The noun that has commands of its own.
const CERTIFICATE: &str = "certificate";

fn of_noun(noun: &'static Noun, flags: &'static Flags) -> Command {
    let words = noun.words();
    let one = if noun.keyed {
        with_article(&words)
    } else {
        format!("the {words}")
    };
    let command = Command::new(&*flags.command)
        .about(one_sentence(&noun.shape.description))
        .long_about(noun.shape.description.clone())
        .subcommand_required(true)
        .arg_required_else_help(true);
    let object = || noun.keyed.then(|| object(noun));
    let get = Command::new("get")
        .about(format!("Show {one}"))
        .args(object());
    let set = change("set", &format!("Change values of {one}"), "stays as it is").args(object());
    let set = with_fields(set.arg(unset(flags)), noun, flags, false);
    if !noun.keyed {
        return command.subcommand(get).subcommand(set);
    }
    let list = match noun.holder() {
        Some(holder) => {
            let about = format!("List the {words}s of {}", with_article(&holder.words()));
            Command::new("list").about(about).arg(self::object(holder))
        }
        None => Command::new("list").about(format!("List all {words}s")),
    };
    let add = change("add", &format!("Add {one}"), "has its default").args(object());
    let add = with_fields(add, noun, flags, true);
    let delete = MannerArgs::augment_args(Command::new("delete"))
        .about(format!("Remove {one}"))
        .long_about(format!(
            "Remove {one}.\n\nThe plan is shown before it is carried out."
        ))
        .args(object());
    let command = command.subcommands([list, get, add, set, delete]);
    if noun.singular == CERTIFICATE {
        CertificateCommand::augment_subcommands(command)
    } else {
        command
    }
}

/// A command that writes values.
fn change(verb: &'static str, about: &str, otherwise: &str) -> Command {
    MannerArgs::augment_args(Command::new(verb))
        .about(about.to_owned())
        .long_about(format!(
            "{about}.\n\nWhat is not given {otherwise}. The plan is shown before it is carried out."
        ))
}

/// A text of one sentence without its full stop, as clap has it.
fn one_sentence(text: &str) -> String {
    text.trim_end_matches('.').to_owned()
}

fn with_article(words: &str) -> String {
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {words}")
}

/// The argument that names an object, such as `<POOL/SERVER>`.
fn object(noun: &'static Noun) -> Arg {
    let parser = move |text: &str| {
        let names: Result<Vec<Name>, _> = text.split('/').map(str::parse).collect();
        let path = names.ok().and_then(|names| ObjectPath::new(noun, names));
        path.ok_or_else(|| format!("write {}", value_name(noun)))
    };
    Arg::new(OBJECT)
        .required(true)
        .value_name(value_name(noun))
        .value_parser(ValueParser::from(parser))
        .help(format!("The {}", noun.words()))
}

/// `POOL/SERVER` for a server.
fn value_name(noun: &Noun) -> &'static str {
    flag::of_command(&flag::kebab(noun.singular)).map_or("NAME", |(_, flags)| &flags.value_name)
}

fn with_fields(command: Command, noun: &Noun, flags: &'static Flags, is_new: bool) -> Command {
    let command = command.args(flags.each.iter().map(|flag| argument(flag, flags, is_new)));
    if noun.is_list {
        let words = noun.words();
        let first = Arg::new(FIRST)
            .long("first")
            .action(ArgAction::SetTrue)
            .help(format!("Put it before every other {words}"));
        let after = Arg::new(AFTER)
            .long("after")
            .value_name("NAME")
            .value_parser(clap::value_parser!(Name))
            .conflicts_with(FIRST)
            .help(format!(
                "Put it right after this {words} [default: a new one is the last]"
            ));
        command.args([first, after].map(|arg| arg.help_heading("Place")))
    } else {
        command
    }
}

fn argument(flag: &'static Flag, flags: &'static Flags, is_new: bool) -> Arg {
    let arg = Arg::new(&*flag.name)
        .long(&*flag.name)
        .help(one_sentence(&flag.help))
        .help_heading(&*flag.heading)
        .conflicts_with_all(excluded(flag, flags));
    let arg = match &flag.form {
        Form::Switch => return arg.action(ArgAction::SetTrue),
        Form::Value(shape) => arg.action(ArgAction::Set).value_parser(parser(shape)),
        Form::List(shape) => arg.action(ArgAction::Append).value_parser(parser(shape)),
        Form::Entries {
            keys,
            values,
            choice,
        } => {
            let choice = choice.as_deref();
            let parser = move |text: &str| value::entry(keys, values, choice, text);
            arg.action(ArgAction::Append)
                .value_parser(ValueParser::from(parser))
        }
    };
    arg.value_name(&*flag.value_name)
        .required(is_new && flag.required)
}

/// The flags that are part of another choice at the same place.
fn excluded(flag: &Flag, flags: &'static Flags) -> Vec<&'static str> {
    let differs = |other: &&Flag| {
        let mut pairs = flag
            .choices
            .iter()
            .flat_map(|own| other.choices.iter().map(move |o| (own, o)));
        let is_word =
            |flag: &Flag, other: &Flag| other.choices.iter().any(|(at, _)| *at == flag.name);
        pairs.any(|(own, other)| own.0 == other.0 && own.1 != other.1)
            || is_word(flag, other)
            || is_word(other, flag)
    };
    flags
        .each
        .iter()
        .filter(differs)
        .map(|other| &*other.name)
        .collect()
}

fn parser(shape: &'static Shape) -> ValueParser {
    match &shape.kind {
        Kind::Boolean => ValueParser::from(
            PossibleValuesParser::new(["true", "false"]).map(|word| Value::Bool(word == "true")),
        ),
        Kind::Choice(choices) => {
            let words = choices.iter().filter(|choice| choice.payload.is_none());
            let words = words.map(|choice| {
                PossibleValue::new(&*choice.name).help(one_sentence(&choice.description))
            });
            ValueParser::from(PossibleValuesParser::new(words).map(Value::from))
        }
        Kind::Integer { .. }
        | Kind::IntegerOrText { .. }
        | Kind::List { .. }
        | Kind::Map { .. }
        | Kind::Table(_)
        | Kind::Text { .. }
        | Kind::Unknown => ValueParser::from(move |text: &str| value::scalar(shape, text)),
    }
}

/// Takes away what flags give, by their names.
fn unset(flags: &'static Flags) -> Arg {
    Arg::new(UNSET)
        .long("unset")
        .value_name("FLAG")
        .action(ArgAction::Append)
        .value_parser(ValueParser::from(move |text: &str| flags.removal(text)))
        .help(
            "Take away what this flag gives, so that its default holds, or of a map one entry, as \
             FLAG=KEY [may be repeated]",
        )
}
