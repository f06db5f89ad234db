//! Commands and flags of the nouns of the document, made from the schema: a field that is declared in
//! the model is a flag here, with its comment as help, and nothing in this folder names one. What can
//! be done with a noun besides is added to its command.
//!
//! What was given becomes an edit of the document; whether it is right is for the model to say.

mod command;
mod flag;
mod patch;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use command::{NounCommand, Verb, Written};
pub(crate) use patch::{PatchError, with_removals};
