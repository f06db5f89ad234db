//! Help, completions, manual and schema: what the program says about itself.

use std::process::Command;

use crate::session::Session;

#[test]
fn help_explains_every_command_with_examples() {
    let session = Session::new();
    for command in [
        "", "run", "validate", "explain", "demo", "schema", "complete", "man",
    ] {
        let args: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|a| !a.is_empty())
            .collect();
        let name = if command.is_empty() { "lbctl" } else { command };
        insta::assert_snapshot!(format!("help_{name}"), session.transcript(&args));
    }
}

#[test]
fn a_mistyped_command_or_flag_suggests_the_right_one_and_exits_2() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&["valdate", "lb.toml"]));
    insta::assert_snapshot!(session.transcript(&["validate", "--ouptut", "json", "lb.toml"]));
}

#[test]
fn completions_are_scripts_that_the_shell_accepts() {
    let session = Session::new();
    let script = session
        .lbctl(&["complete", "bash"])
        .output()
        .unwrap()
        .stdout;
    let path = session.path("lbctl.bash");
    std::fs::write(&path, script).unwrap();
    assert!(
        Command::new("bash")
            .arg("-n")
            .arg(path)
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn every_command_has_a_man_page() {
    let session = Session::new();
    let transcript = session.transcript(&["man", "--dir", "man1"]);
    assert!(transcript.starts_with("exit 0\n"), "{transcript}");
    for command in [
        "",
        "-run",
        "-validate",
        "-explain",
        "-demo",
        "-schema",
        "-complete",
        "-man",
    ] {
        let page = std::fs::read_to_string(session.path(&format!("man1/lbctl{command}.1")));
        assert!(
            page.unwrap().contains(&format!(".TH lbctl{command} 1")),
            "{command}"
        );
    }
}

#[test]
fn the_schema_is_the_same_for_people_and_for_programs() {
    let session = Session::new();
    let json = session.lbctl(&["schema"]).output().unwrap().stdout;
    let schema: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(schema["properties"]["virtual_services"].is_object());
    assert_eq!(
        session
            .lbctl(&["schema", "-o", "json"])
            .output()
            .unwrap()
            .stdout,
        json
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let session = Session::new();
    let program = env!("CARGO_BIN_EXE_lbctl");
    let mut shell = Command::new("bash");
    shell.args([
        "-c",
        "\"$0\" schema | head -n 1; echo ${PIPESTATUS[0]}",
        program,
    ]);
    let output = shell.output().unwrap();
    assert_eq!(
        session.show(&output),
        "exit 0\n--- stdout\n{\n0\n--- stderr\n"
    );
}
