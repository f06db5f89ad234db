//! The pages of `docs/`, in the form of Terraform's registry, from the schemas and the examples beside
//! them. The test below keeps what is committed current; `UPDATE=1` writes it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::action::actions;
use crate::balancer::{self, Balancers};
use crate::data::Data;
use crate::ephemeral::ephemerals;
use crate::function::{FUNCTIONS, Function};
use crate::list;
use crate::provider;
use crate::resource::resources;
use crate::schema::{Attribute, Kind, Nesting, Presence, Scalar};
use crate::wire::IdentitySchema;

/// The largest page that the registry shows whole.
const PAGE_BYTES_MAX: usize = 500_000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn example(path: &str) -> String {
    let path = root().join("examples").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every page, by its path in `docs/`.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let index = format!(
        "{}{}\n\n{}{}",
        head("lbctl Provider", provider::DESCRIPTION),
        provider::DESCRIPTION,
        usage("terraform", &example("provider/provider.tf")),
        schema(&provider::attributes()),
    );
    pages.insert("index.md".to_owned(), index);
    for resource in resources() {
        let name = resource.type_name.trim_start_matches("lbctl_");
        let text = of_resource(
            &resource.type_name,
            &resource.description,
            &resource.attributes,
            resource.identity_schema(),
        );
        pages.insert(format!("resources/{name}.md"), text);
        let data = Data::of(&resource);
        let path = format!("data-sources/{}/data-source.tf", resource.type_name);
        let text = page(
            &resource.type_name,
            "Data Source",
            &data.description,
            &path,
            &data.attributes,
        );
        pages.insert(format!("data-sources/{name}.md"), text);
        if let Some(attributes) = list::attributes(&resource) {
            let path = format!(
                "list-resources/{}/list-resource.tfquery.hcl",
                resource.type_name
            );
            let about = format!(
                "Lists what there is, for `terraform query`. {}",
                resource.description
            );
            let text = page(
                &resource.type_name,
                "List Resource",
                &about,
                &path,
                &attributes,
            );
            pages.insert(format!("list-resources/{name}.md"), text);
        }
    }
    machines(&mut pages);
    others(&mut pages);
    pages
}

/// The pages of balancers on machines.
fn machines(pages: &mut BTreeMap<String, String>) {
    let balancers = Balancers::new();
    let (type_name, about) = (balancer::TYPE_NAME, balancer::DESCRIPTION);
    let identity = Balancers::identity_schema();
    let text = of_resource(type_name, about, &balancers.attributes, identity);
    pages.insert("resources/balancer.md".to_owned(), text);
    let path = format!("data-sources/{type_name}/data-source.tf");
    let about = Balancers::data_description();
    let text = page(type_name, "Data Source", &about, &path, &balancers.data);
    pages.insert("data-sources/balancer.md".to_owned(), text);
}

/// The pages of what is no resource.
fn others(pages: &mut BTreeMap<String, String>) {
    for ephemeral in ephemerals() {
        let name = ephemeral.type_name.trim_start_matches("lbctl_");
        let path = format!(
            "ephemeral-resources/{}/ephemeral-resource.tf",
            ephemeral.type_name
        );
        let about = ephemeral.description;
        let text = page(
            ephemeral.type_name,
            "Ephemeral Resource",
            about,
            &path,
            &ephemeral.attributes,
        );
        pages.insert(format!("ephemeral-resources/{name}.md"), text);
    }
    for action in actions() {
        let name = action.type_name.trim_start_matches("lbctl_");
        let path = format!("actions/{}/action.tf", action.type_name);
        let text = page(
            action.type_name,
            "Action",
            action.description,
            &path,
            &action.attributes,
        );
        pages.insert(format!("actions/{name}.md"), text);
    }
    for function in FUNCTIONS {
        pages.insert(
            format!("functions/{}.md", function.name),
            of_function(function),
        );
    }
}

fn head(title: &str, description: &str) -> String {
    let description = description.replace('\n', " ");
    format!(
        "---\npage_title: \"{title}\"\nsubcategory: \"\"\ndescription: |-\n  {description}\n---\n\n# {title}\n\n"
    )
}

fn usage(language: &str, example: &str) -> String {
    format!(
        "## Example Usage\n\n```{language}\n{}\n```\n\n",
        example.trim_end()
    )
}

fn page(
    type_name: &str,
    what: &str,
    description: &str,
    path: &str,
    attributes: &[Attribute],
) -> String {
    let title = format!("{type_name} ({what})");
    let usage = usage("terraform", &example(path));
    format!(
        "{}{description}\n\n{usage}{}",
        head(&title, description),
        schema(attributes)
    )
}

fn of_resource(
    type_name: &str,
    description: &str,
    attributes: &[Attribute],
    identity: IdentitySchema,
) -> String {
    let path = format!("resources/{type_name}/resource.tf");
    let mut text = page(type_name, "Resource", description, &path, attributes);
    let import = example(&format!("resources/{type_name}/import.sh"));
    write!(
        text,
        "\n## Import\n\n```shell\n{}\n```\n\n",
        import.trim_end()
    )
    .unwrap();
    let identity = identity.identity_attributes.into_iter();
    let names: Vec<_> = identity
        .filter(|a| a.required_for_import)
        .map(|a| a.name)
        .collect();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    let id = import
        .trim_end()
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    let values = id.split('/').zip(&names);
    let line = |(value, name): (&str, &String)| format!("    {name:width$} = \"{value}\"");
    let lines = values.map(line).collect::<Vec<_>>().join("\n");
    writeln!(
        text,
        "With Terraform 1.12 and later, by identity:\n\n```terraform\nimport {{\n  to = {type_name}.example\n  \
         identity = {{\n{lines}\n  }}\n}}\n```"
    )
    .unwrap();
    text
}

fn of_function(function: &Function) -> String {
    let names: Vec<_> = function.parameters.iter().map(|p| p.name).collect();
    let mut text = head(&format!("{} (Function)", function.name), function.summary);
    let path = format!("functions/{}/function.tf", function.name);
    write!(
        text,
        "{}\n\n{}",
        function.description,
        usage("terraform", &example(&path))
    )
    .unwrap();
    write!(
        text,
        "## Signature\n\n```text\n{}({})\n```\n\n",
        function.name,
        names.join(", ")
    )
    .unwrap();
    text.push_str("## Arguments\n\n");
    for (index, parameter) in function.parameters.iter().enumerate() {
        writeln!(
            text,
            "{}. `{}` {}",
            index + 1,
            parameter.name,
            parameter.description
        )
        .unwrap();
    }
    writeln!(
        text,
        "\n## Return Type\n\n```json\n{}\n```",
        (function.gives)()
    )
    .unwrap();
    text
}

/// The attributes, with those of objects in them on the same page.
fn schema(attributes: &[Attribute]) -> String {
    let mut text = "## Schema\n".to_owned();
    let mut later = Vec::new();
    section(&mut text, attributes, "", &mut later);
    let mut next = 0;
    while next < later.len() {
        let (place, attributes): (String, Vec<Attribute>) = later[next].clone();
        write!(
            text,
            "\n<a id=\"nestedatt--{}\"></a>\n### Nested Schema for `{place}`\n",
            place.replace('.', "--")
        )
        .unwrap();
        section(&mut text, &attributes, &place, &mut later);
        next += 1;
    }
    text
}

fn section(
    text: &mut String,
    attributes: &[Attribute],
    place: &str,
    later: &mut Vec<(String, Vec<Attribute>)>,
) {
    for (title, wanted) in [("Required", 0), ("Optional", 1), ("Read-Only", 2)] {
        let rank = |attribute: &Attribute| match attribute.presence {
            Presence::Required => 0,
            Presence::Optional | Presence::Defaulted(_) | Presence::WriteOnly => 1,
            Presence::Computed => 2,
        };
        let mut of_rank: Vec<_> = attributes.iter().filter(|a| rank(a) == wanted).collect();
        if of_rank.is_empty() {
            continue;
        }
        of_rank.sort_by(|one, other| one.name.cmp(&other.name));
        write!(text, "\n### {title}\n\n").unwrap();
        for attribute in of_rank {
            line(text, attribute, place, later);
        }
    }
}

fn line(
    text: &mut String,
    attribute: &Attribute,
    place: &str,
    later: &mut Vec<(String, Vec<Attribute>)>,
) {
    let mut kind = type_name(&attribute.kind);
    if attribute.sensitive {
        kind.push_str(", Sensitive");
    }
    if attribute.presence == Presence::WriteOnly {
        kind.push_str(", Write-only");
    }
    let about = attribute.description.replace("\n\n", " ");
    write!(text, "- `{}` ({kind}) {about}", attribute.name).unwrap();
    if let Kind::Nested(_, attributes) = &attribute.kind {
        let dot = if place.is_empty() { "" } else { "." };
        let below = format!("{place}{dot}{}", attribute.name);
        write!(
            text,
            " (see [below](#nestedatt--{}))",
            below.replace('.', "--")
        )
        .unwrap();
        later.push((below, attributes.to_vec()));
    }
    text.push('\n');
}

fn type_name(kind: &Kind) -> String {
    let scalar = |scalar: &Scalar| match scalar {
        Scalar::Bool => "Boolean",
        Scalar::Number => "Number",
        Scalar::Text(_) => "String",
    };
    match kind {
        Kind::Scalar(of) => scalar(of).to_owned(),
        Kind::List(of) => format!("List of {}", scalar(of)),
        Kind::Map(of) => format!("Map of {}", scalar(of)),
        Kind::Nested(Nesting::Single, _) => "Attributes".to_owned(),
        Kind::Nested(Nesting::List, _) => "Attributes List".to_owned(),
        Kind::Nested(Nesting::Map, _) => "Attributes Map".to_owned(),
    }
}

fn committed(folder: &Path, found: &mut BTreeMap<String, String>, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            committed(&entry.path(), found, &format!("{name}/"));
        } else {
            found.insert(name, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_pages_are_those_of_the_schemas() {
    let folder = root().join("docs");
    let made = pages();
    if std::env::var_os("UPDATE").is_some() {
        let _removed = std::fs::remove_dir_all(&folder);
        for (path, text) in &made {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
    let mut found = BTreeMap::new();
    committed(&folder, &mut found, "");
    for (path, text) in &made {
        assert!(
            text.len() < PAGE_BYTES_MAX,
            "{path} has {} bytes",
            text.len()
        );
        let is_same = found.get(path) == Some(text);
        assert!(
            is_same,
            "{path} is not current: UPDATE=1 cargo test --release -p terraform-provider-lbctl"
        );
    }
    let extra: Vec<_> = found
        .keys()
        .filter(|path| !made.contains_key(*path))
        .collect();
    assert!(extra.is_empty(), "nothing makes {extra:?}");
}

#[test]
fn each_attribute_is_described_and_has_a_type_that_terraform_knows() {
    fn look(attributes: &[Attribute], place: &str) -> usize {
        let mut count = 0;
        for attribute in attributes {
            let place = format!("{place}.{}", attribute.name);
            assert!(
                !attribute.description.is_empty(),
                "{place} has no description"
            );
            let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            assert!(attribute.name.bytes().all(legal), "{place}");
            assert!(
                attribute.name.starts_with(|c: char| c.is_ascii_lowercase()),
                "{place}"
            );
            count += 1;
            if let Kind::Nested(_, below) = &attribute.kind {
                assert!(!below.is_empty(), "{place} has nothing in it");
                count += look(below, &place);
            }
        }
        let mut names: Vec<_> = attributes.iter().map(|attribute| &attribute.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(
            names.len(),
            attributes.len(),
            "{place} has two attributes of one name"
        );
        count
    }
    let mut count = 0;
    for resource in resources() {
        count += look(&resource.attributes, &resource.type_name);
        count += look(&Data::of(&resource).attributes, &resource.type_name);
    }
    let balancers = Balancers::new();
    count += look(&balancers.attributes, balancer::TYPE_NAME);
    count += look(&balancers.data, balancer::TYPE_NAME);
    assert!(count > 500, "{count} attributes");
}
