//! `lbctl` as people and scripts meet it: what it prints on which stream, and how it ends.

#[cfg(test)]
mod demo;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod help;
#[cfg(test)]
mod nouns;
#[cfg(test)]
mod run;
#[cfg(test)]
mod session;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod validate;
