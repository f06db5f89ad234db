//! Words for a POSIX shell.

/// The text as one word that the shell takes as it is.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What `ssh` is given to run: the script as root, with these arguments, whatever the shell of the user
/// is. The standard input is the script's.
pub(super) fn as_root(script: &str, args: &[&str]) -> String {
    let words = args.iter().map(|arg| format!(" {}", quoted(arg)));
    let words: String = words.collect();
    let script = quoted(script);
    let choose = format!(
        "if [ \"$(id -u)\" = 0 ]; then exec sh -c {script} lbctl{words}; fi; \
         sudo -n true || exit 91; exec sudo -n sh -c {script} lbctl{words}"
    );
    format!("exec sh -c {}", quoted(&choose))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_script_gets_its_arguments_as_they_are(
            args in prop::collection::vec("[^\0]{0,20}", 0..4),
        ) {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let command = as_root("printf '%s\\0' \"$@\"", &args);
            // Here nobody is asked for a password: whoever runs this may be no root.
            let command = command.replace("sudo -n ", "");
            let told = Command::new("sh").args(["-c", &command]).output().unwrap();
            let mut words: Vec<_> = told.stdout.split(|byte| *byte == 0).collect();
            words.pop();
            // Without arguments `printf` writes one empty text.
            if !args.is_empty() {
                prop_assert_eq!(words, args.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>());
            }
        }
    }
}
