//! The nouns of the document: what commands, paths of the API and resources are about. They are read
//! from the schema, so that a new map of objects is a noun everywhere as soon as it is declared.

use std::sync::LazyLock;

use super::{Field, Kind, Shape, shape};

/// A kind of object of the document.
#[derive(Clone, Copy, Debug)]
pub struct Noun {
    /// The word for one of them, such as `virtual_service`.
    pub singular: &'static str,
    /// The word for all of them, which is their key in the document.
    pub plural: &'static str,
    /// The noun, by its singular, of the objects that hold these; nothing for those that the document
    /// itself holds.
    pub parent: Option<&'static str>,
    /// Whether there are several of them, each with a name. `limits` is one object without a name.
    pub keyed: bool,
    /// Whether their order counts: they are a list, and have their names in them.
    pub is_list: bool,
    /// What they are for, all together.
    pub description: &'static str,
    /// What one of them is.
    pub shape: &'static Shape,
}

static NOUNS: LazyLock<Vec<Noun>> = LazyLock::new(|| {
    let mut nouns = Vec::new();
    collect(shape(), None, &mut nouns);
    nouns
});

/// Every noun, in the order of the schema, each before those that its objects hold.
pub fn nouns() -> &'static [Noun] {
    &NOUNS
}

/// The noun with this singular or plural.
pub fn noun(word: &str) -> Option<&'static Noun> {
    let mut nouns = nouns().iter();
    nouns.find(|noun| noun.singular == word || noun.plural == word)
}

impl Noun {
    /// The noun of the objects that hold these.
    pub fn holder(&self) -> Option<&'static Self> {
        self.parent.and_then(noun)
    }

    /// The nouns of the objects that these hold.
    pub fn held(&self) -> impl Iterator<Item = &'static Self> {
        let singular = self.singular;
        let nouns = nouns().iter();
        nouns.filter(move |noun| noun.parent == Some(singular))
    }

    /// The word for one of them as it is read, such as `virtual service`.
    pub fn words(&self) -> String {
        self.singular.replace('_', " ")
    }
}

fn collect(shape: &'static Shape, parent: Option<&'static str>, nouns: &mut Vec<Noun>) {
    let Kind::Table(fields) = &shape.kind else {
        return;
    };
    for field in fields {
        if let Some(objects) = field.shape.objects() {
            let noun = Noun {
                singular: singular(&field.name),
                keyed: true,
                is_list: matches!(field.shape.kind, Kind::List { .. }),
                ..of_field(field, parent, objects)
            };
            nouns.push(noun);
            collect(objects, Some(noun.singular), nouns);
        } else if parent.is_none() && matches!(field.shape.kind, Kind::Table(_)) {
            nouns.push(of_field(field, None, &field.shape));
        }
    }
}

/// An object that is the only one of its kind.
fn of_field(field: &'static Field, parent: Option<&'static str>, shape: &'static Shape) -> Noun {
    Noun {
        singular: &field.name,
        plural: &field.name,
        parent,
        keyed: false,
        is_list: false,
        description: &field.description,
        shape,
    }
}

fn singular(plural: &str) -> &str {
    match plural {
        "authorities" => "authority",
        _ => plural.strip_suffix('s').unwrap_or(plural),
    }
}
