//! Text that is kept in a file beside the code and compared: `UPDATE=1` writes it anew.

use std::path::Path;

/// Compares a text with a file, or writes the file when `UPDATE` is set.
pub(crate) fn assert_golden(file: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        kept.replace("\r\n", "\n") == text,
        "{} is not up to date: run the tests with UPDATE=1 and read the difference.\n{text}",
        file.display()
    );
}
