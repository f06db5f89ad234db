//! `lbctl_balancer`: a balancer on a machine. What it may say is what the fleet's document says of one; what
//! is done is what `lbctl provision` does, by the same library.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path as FilePath, PathBuf};

use lb_model::fleet::{self, Balancer, Target, ValidFleet};
use lb_model::problem::{Path, Step as PathStep};
use lb_model::schema::{Shape, shape_of};
use lb_model::value::Name;
use lb_model::{Format, Problem};
use lb_provision::{Held, Intent, ProvisionError, Session, Stop, WantedError};
use serde_json::json;

use crate::diagnostic::{Diagnostic, Diagnostics, chain, sentence};
use crate::document::to_json;
use crate::resource::ID;
use crate::schema::{Attribute, Kind, Nesting, Presence, Scalar, TEXT, attributes};
use crate::value::Value;
use crate::ways::{Private, Ways};
use crate::wire::{Identity, IdentityAttribute, IdentitySchema};

mod apply;
mod cluster;
mod look;
mod plan;

use cluster::Clusters;

pub(crate) const TYPE_NAME: &str = "lbctl_balancer";

pub(crate) const DESCRIPTION: &str = "A balancer on a machine: over SSH, as a virtual machine, on EC2, or on \
    hardware. The machine is looked at, and what it takes is in the plan, step by step. Its `access` is what \
    other resources name as `balancer`, so that one configuration makes a machine and everything on it. Machines \
    are marked with `fleet` and `name`: who gives two environments the same names has one machine, not two.";

/// What tells machines of Terraform from those of `lbctl provision`. It is the same in each run, so that a
/// run that was killed before Terraform wrote anything down finds its machine again.
const LINEAGE: &str = "terraform";

const NAME: &str = "name";
const FLEET: &str = "fleet";
const TARGET: &str = "target";
const DOCUMENT: &str = "document";
const DOCUMENT_TEXT: &str = "document_text";
const ENDPOINT: &str = "endpoint";
const ACCESS: &str = "access";
const FINGERPRINT: &str = "fingerprint";
const CONDITION: &str = "condition";
const RELEASE: &str = "release";
const STEPS: &str = "steps";

/// What the machine says, and no configuration.
const COMPUTED: [&str; 6] = [ACCESS, ENDPOINT, FINGERPRINT, CONDITION, RELEASE, STEPS];

/// The resource, and the data source beside it.
pub(crate) struct Balancers {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) data: Vec<Attribute>,
    shape: Shape,
    clusters: Clusters,
    stop: Stop,
}

/// A balancer as a configuration, or a state, describes it.
struct Described {
    fleet: ValidFleet,
    name: Name,
    document: Option<String>,
}

impl Described {
    fn balancer(&self) -> Option<&Balancer> {
        self.fleet.fleet().balancers.get(&self.name)
    }
}

impl Balancers {
    pub(crate) fn new() -> Self {
        let shape = shape_of::<Balancer>();
        let attributes = resource(&shape);
        Self {
            data: data(&attributes),
            attributes,
            shape,
            clusters: Clusters::default(),
            stop: Stop::default(),
        }
    }

    /// Begins no further step.
    pub(crate) fn stop(&self) {
        self.stop.request();
    }

    /// What is wrong with a configuration, as far as it is known.
    pub(crate) fn validate(&self, config: &Value) -> Diagnostics {
        let both = [DOCUMENT, DOCUMENT_TEXT].map(|key| !config.get(key).is_null());
        if both == [true, true] {
            let summary = format!("`{DOCUMENT}` and `{DOCUMENT_TEXT}` are both given");
            return vec![Diagnostic::error(summary, "Leave one of them out.").of(DOCUMENT_TEXT)];
        }
        let unknown = config.unknowns();
        if unknown.is_empty() {
            return self.described(config).err().unwrap_or_default();
        }
        let object = to_json(config, &self.shape);
        let mut problems = lb_model::parse::check_value(&object, &self.shape, &Path::root());
        problems.retain(|problem| !unknown.iter().any(|place| problem.path.holds(place)));
        let told = problems.iter();
        told.map(|problem| Diagnostic::of_problem(problem, &problem.path))
            .collect()
    }

    /// The fleet of this one balancer.
    fn described(&self, value: &Value) -> Result<Described, Diagnostics> {
        let text = |key: &str| value.get(key).text().unwrap_or_default();
        let (fleet, name) = (text(FLEET), text(NAME));
        let wrong = |key: &str, error: lb_model::value::InvalidValue| {
            let help = format!("Use {}.", error.mend);
            vec![Diagnostic::error(error.reason, help).of(key)]
        };
        fleet.parse::<Name>().map_err(|error| wrong(FLEET, error))?;
        let parsed = name.parse().map_err(|error| wrong(NAME, error))?;
        let balancers = BTreeMap::from([(name, to_json(value, &self.shape))]);
        let document = json!({ "name": fleet, "balancers": balancers });
        let read = fleet::read(&document.to_string(), Format::Json);
        Ok(Described {
            fleet: read.map_err(|problems| placed(&problems, name))?,
            name: parsed,
            document: value.get(DOCUMENT_TEXT).text().map(str::to_owned),
        })
    }

    /// Begins a session over this one balancer.
    fn session(
        described: &Described,
        intent: Intent,
        private: &Private,
        is_recorded: bool,
    ) -> Result<Session, Diagnostics> {
        let mut held = Held::new(LINEAGE);
        let name = &described.name;
        if let Some(access) = &private.access {
            held.keep_access(name.clone(), access.clone());
        }
        if let Some(text) = &described.document {
            held.give_document(name.clone(), text.clone());
        }
        if let Some(balancer) = described.balancer().filter(|_| is_recorded) {
            held.record(name.clone(), balancer.clone());
        }
        let own = own(described, &intent).map_err(|told| vec![told])?;
        let base = FilePath::new(".");
        let session = Session::with(&described.fleet, base, held, &own, intent);
        session.map_err(|error| vec![of_provision(&error, described)])
    }

    pub(crate) fn identity_schema() -> IdentitySchema {
        let attribute = |name: &str, about: &str| IdentityAttribute {
            name: name.to_owned(),
            kind: b"\"string\"".to_vec(),
            required_for_import: true,
            optional_for_import: false,
            description: about.to_owned(),
        };
        IdentitySchema {
            version: 0,
            identity_attributes: vec![
                attribute(FLEET, "What machines are marked with."),
                attribute(NAME, "Its name."),
            ],
        }
    }

    pub(crate) fn identity(state: &Value) -> Option<Identity> {
        let names = [FLEET, NAME].map(|key| (key, state.get(key).clone()));
        let is_whole = names.iter().all(|(_, value)| value.text().is_some());
        is_whole.then(|| Identity {
            identity_data: Some(Value::from(names).encode()),
        })
    }

    /// The state of one that is to be taken over: nothing but its names, as an import says no more. The plan
    /// then shows what that takes, with the target that the configuration has.
    pub(crate) fn imported(
        &self,
        id: &str,
        identity: Option<&Value>,
    ) -> Result<Value, Diagnostics> {
        let named = match identity {
            Some(identity) => {
                let text = |key| identity.get(key).text().map(str::to_owned);
                text(FLEET).zip(text(NAME))
            }
            None => id
                .split_once('/')
                .map(|(fleet, name)| (fleet.to_owned(), name.to_owned())),
        };
        let is_name = |text: &str| text.parse::<Name>().is_ok();
        let named = named.filter(|(fleet, name)| is_name(fleet) && is_name(name));
        let Some((fleet, name)) = named else {
            let summary = format!("`{id}` names no {TYPE_NAME}");
            return Err(vec![Diagnostic::error(summary, "Use FLEET/NAME.")]);
        };
        let nothing = |attribute: &Attribute| (attribute.name.clone(), Value::Null);
        let mut entries: BTreeMap<_, _> = self.attributes.iter().map(nothing).collect();
        entries.insert(ID.to_owned(), Value::Text(format!("{fleet}/{name}")));
        entries.insert(FLEET.to_owned(), Value::Text(fleet));
        entries.insert(NAME.to_owned(), Value::Text(name));
        Ok(Value::Map(entries))
    }
}

fn id(value: &Value) -> Value {
    let text = |key: &str| value.get(key).text();
    let named = text(FLEET).zip(text(NAME));
    named.map_or(Value::Unknown, |(fleet, name)| {
        Value::Text(format!("{fleet}/{name}"))
    })
}

/// Problems of the fleet's document at the attributes that they are about.
fn placed(problems: &[Problem], name: &str) -> Diagnostics {
    let place = Path::root().key("balancers").key(name);
    let errors = problems.iter().filter(|problem| problem.is_error());
    let told = errors.map(|problem| {
        let at = match problem.path.steps().strip_prefix(place.steps()) {
            Some([]) => Path::root().key(NAME),
            Some(below) => Path::from(below),
            None => match problem.path.steps() {
                [PathStep::Key(key)] if **key == *NAME => Path::root().key(FLEET),
                _ => Path::root(),
            },
        };
        Diagnostic::of_problem(problem, &at)
    });
    told.collect()
}

/// An error whose first line is what went wrong; what a machine, or a document, has to say of it is below.
fn told(text: &str, help: Option<String>) -> Diagnostic {
    let (summary, shown) = text.split_once('\n').unwrap_or((text, ""));
    let help = help.unwrap_or_default();
    let gap = if shown.is_empty() || help.is_empty() {
        ""
    } else {
        "\n\n"
    };
    Diagnostic::error(
        summary,
        format!("{}{gap}{}", shown.trim_end(), sentence(&help)),
    )
}

/// An error with its causes. What a machine has to say is whole by itself, and which one it is stands beside it.
fn in_full(error: &ProvisionError) -> String {
    match error {
        ProvisionError::Machine { source, .. } => source.to_string(),
        ProvisionError::Store(_)
        | ProvisionError::Wanted(_)
        | ProvisionError::OwnProgram(_)
        | ProvisionError::Unknown { .. }
        | ProvisionError::TwoPrograms(_)
        | ProvisionError::ProgramOfImage(_)
        | ProvisionError::Lost(_) => chain(error),
    }
}

/// What keeps a session from beginning, at the attribute that it is about.
fn of_provision(error: &ProvisionError, described: &Described) -> Diagnostic {
    let told = told(&in_full(error), error.help());
    let document = if described.document.is_some() {
        DOCUMENT_TEXT
    } else {
        DOCUMENT
    };
    match error {
        ProvisionError::Wanted(WantedError::Program { .. }) | ProvisionError::OwnProgram(_) => {
            told.of("program")
        }
        ProvisionError::Wanted(WantedError::Read { .. } | WantedError::Document { .. }) => {
            told.of(document)
        }
        ProvisionError::Store(_)
        | ProvisionError::Unknown { .. }
        | ProvisionError::TwoPrograms(_)
        | ProvisionError::Machine { .. }
        | ProvisionError::ProgramOfImage(_)
        | ProvisionError::Lost(_) => told.of(TARGET),
    }
}

/// The program for machines that have none, when the configuration names none: this provider is not
/// `lbctl`, which lies beside it or where the shell finds it.
fn own(described: &Described, intent: &Intent) -> Result<PathBuf, Diagnostic> {
    let wants_program = described.balancer().is_some_and(|balancer| {
        matches!(balancer.target, Target::Ssh(_)) && balancer.program.is_none()
    });
    let installs = matches!(intent, Intent::Apply | Intent::Adopt);
    let this = env::current_exe().map_err(|error| {
        let summary = "Nobody knows where this provider is";
        Diagnostic::error(summary, error.to_string())
    })?;
    if !(wants_program && installs) {
        return Ok(this);
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&paths).map(|folder| folder.join("lbctl"));
    found.find(|path| path.is_file()).ok_or_else(|| {
        let summary = "There is no `lbctl` that could be put on the machine";
        let detail =
            "Name the program for Linux with `program`, or put `lbctl` into a folder of PATH.";
        Diagnostic::error(summary, detail).of("program")
    })
}

/// The attributes of the resource.
fn resource(shape: &Shape) -> Vec<Attribute> {
    let name = |key: &str, about: &str| {
        let kind = Kind::Scalar(Scalar::Text(Some("lb-name".to_owned())));
        Attribute::new(key, kind, Presence::Required, about).replacing()
    };
    let computed = |key: &str, about: &str| Attribute::new(key, TEXT, Presence::Computed, about);
    let mut all = vec![
        computed(ID, "`FLEET/NAME`: what `terraform import` takes."),
        name(
            NAME,
            "The name of the balancer. Another name is another one.",
        ),
        name(
            FLEET,
            "What machines are marked with, so that those of one environment are never taken for those of \
             another. `lbctl provision` calls it the name of the fleet.",
        ),
    ];
    all.extend(attributes(shape).iter().map(here));
    for attribute in &mut all {
        match attribute.name.as_str() {
            DOCUMENT => attribute.description.push_str(
                " Leave it out when other resources manage what is in it.",
            ),
            "program" => "The file with the program that it runs, seen from the folder that Terraform runs in; \
                for `target.ssh`. When absent, a new balancer gets the `lbctl` that is found in PATH, and keeps it. \
                Images have a program in them already."
                .clone_into(&mut attribute.description),
            _ => {}
        }
    }
    all.extend([
        Attribute::new(
            DOCUMENT_TEXT,
            TEXT,
            Presence::Optional,
            "The document that it serves as a text, TOML or JSON, in the place of `document`.",
        ),
        computed(
            ENDPOINT,
            "The address of its admin API. With `target.ssh` it is there when `admin_address` is.",
        ),
        computed(
            ACCESS,
            "What other resources name as `balancer`: the address, the fingerprint and a token for \
             administration, in one text.",
        )
        .hidden(),
        computed(FINGERPRINT, "The fingerprint of the certificate of its admin API."),
        computed(CONDITION, "What its service, or its machine, is doing, in a word."),
        computed(RELEASE, "The release of the program that serves."),
        Attribute::new(
            STEPS,
            Kind::List(Scalar::Text(None)),
            Presence::Computed,
            "In a plan, what is going to be done to the machine, step by step, and what that does to traffic; \
             afterwards, what the last apply did.",
        ),
    ]);
    all
}

/// The data source: where it is, and what it does.
fn data(resource: &[Attribute]) -> Vec<Attribute> {
    let given = [NAME, FLEET, TARGET, "admin_address"];
    let told = [ID, ENDPOINT, CONDITION, RELEASE];
    let taken = resource
        .iter()
        .filter(|attribute| given.contains(&&*attribute.name) || told.contains(&&*attribute.name));
    let mut all: Vec<_> = taken.cloned().collect();
    for attribute in &mut all {
        attribute.replaces = false;
    }
    let computed = |name: &str, kind, about: &str| {
        Attribute::new(name, Kind::Scalar(kind), Presence::Computed, about)
    };
    all.extend([
        computed("serves", Scalar::Bool, "Whether its balancer answers."),
        computed(
            "revision",
            Scalar::Number,
            "The number of the revision in force.",
        ),
    ]);
    all
}

/// An attribute whose description says from where Terraform sees files.
fn here(attribute: &Attribute) -> Attribute {
    let kind = match &attribute.kind {
        Kind::Nested(nesting, below) => {
            let nesting: Nesting = *nesting;
            Kind::Nested(nesting, below.iter().map(here).collect())
        }
        Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => attribute.kind.clone(),
    };
    let description = attribute.description.replace(
        "the directory of the fleet's file",
        "the folder that Terraform runs in",
    );
    Attribute {
        description,
        kind,
        ..attribute.clone()
    }
}

/// Tells the other resources what became of a balancer.
fn tell(ways: &Ways, state: &Value, way: &crate::ways::Way) {
    // Resources name it by its address, the data source by its names.
    for key in [ENDPOINT, ID] {
        if let Some(known) = state.get(key).text() {
            ways.learn(known, way.clone());
        }
    }
}
