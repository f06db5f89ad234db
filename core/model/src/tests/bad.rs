//! Documents that are wrong, in `bad/`, each with what an operator is told about it.

use std::path::{Path, PathBuf};

use super::golden::assert_golden;
use crate::problem::render;
use crate::{Format, read};

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
    for file in documents() {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let problems = match read(&text, Format::of_path(&file)) {
            Ok(valid) => valid.warnings().to_vec(),
            Err(problems) => problems,
        };
        assert!(!problems.is_empty(), "{name} has no problem");
        assert_golden(
            &file.with_file_name(format!("{name}.txt")),
            &render(&problems, name, Some(&text)),
        );
    }
}
