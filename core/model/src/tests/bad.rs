//! Documents that are wrong, in `bad/`, each with what an operator is told about it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::golden::assert_golden;
use crate::problem::{Code, render};
use crate::{Format, fleet, read, seed};

fn documents() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/bad");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().unwrap() != "txt")
        .collect();
    files.sort();
    assert!(files.len() >= 15, "the documents are gone");
    files
}

#[test]
fn every_mistake_of_a_bad_document_is_told_at_once_with_its_place_and_mend() {
    let mut seen = BTreeSet::new();
    for file in documents() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let format = Format::of_path(&file);
        let read = if name.starts_with("fleet") {
            fleet::read(&text, format).map(|valid| valid.warnings().to_vec())
        } else if name.starts_with("seed") {
            seed::read(&text).map(|_| Vec::new())
        } else {
            read(&text, format).map(|valid| valid.warnings().to_vec())
        };
        let problems = read.unwrap_or_else(|problems| problems);
        assert!(!problems.is_empty(), "{name} has no problem");
        seen.extend(problems.iter().map(|problem| problem.code));
        assert_golden(
            &file.with_file_name(format!("{name}.txt")),
            &render(&problems, name, Some(&text)),
        );
    }
    // Those left are too large for a file here, or about changes, or must never happen.
    let elsewhere = [
        Code::TooLarge,
        Code::TooDeep,
        Code::TooManyProblems,
        Code::Unreadable,
        Code::UnknownObject,
        Code::OtherName,
        Code::NoOrder,
    ]
    .into();
    let all: BTreeSet<Code> = Code::ALL.iter().copied().collect();
    let shown: BTreeSet<Code> = seen.union(&elsewhere).copied().collect();
    assert_eq!(shown, all, "a problem has no document that shows it");
}

#[test]
fn a_document_beyond_all_bounds_is_refused_in_few_words() {
    let codes = |text: &str| {
        let problems = read(text, Format::Toml).unwrap_err();
        assert!(problems.len() <= 501);
        problems
            .iter()
            .map(|problem| problem.code)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(codes(&" ".repeat(9 << 20)), [Code::TooLarge].into());
    assert_eq!(
        codes(&format!("a = {}", "[".repeat(1000))),
        [Code::TooDeep].into()
    );
    let hosts = "1, ".repeat(2000);
    let text = format!("virtual_services.a.rules = [{{ match = {{ host = [{hosts}] }} }}]");
    assert!(codes(&text).contains(&Code::TooManyProblems));
}

#[test]
fn one_misspelt_key_is_one_problem() {
    let text = "[virtual_services.a]\naddress = \"0.0.0.0:80\"\npool = \"web\"\n\
                [pool.web.servers]\nx = { address = \"10.0.0.1:80\" }\n";
    let problems = read(text, Format::Toml).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].help.starts_with("did you mean `pools`?"),
        "{problems:?}"
    );
}
