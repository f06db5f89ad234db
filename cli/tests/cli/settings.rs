//! Settings of the program from file, environment and flags.

use crate::session::Session;

fn transcript(session: &Session, variables: &[(&str, &str)], args: &[&str]) -> String {
    let mut command = session.lbctl(args);
    command.envs(variables.iter().copied());
    session.show(&command.output().unwrap())
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let session = Session::with_document().file("settings.toml", "output = \"json\"\n");
    let file = ("LBCTL_SETTINGS", "settings.toml");
    let from_file = transcript(&session, &[file], &["validate", "lb.toml"]);
    assert!(from_file.contains("\"valid\": true"), "{from_file}");
    let environment = [file, ("LBCTL_OUTPUT", "yaml")];
    let from_environment = transcript(&session, &environment, &["validate", "lb.toml"]);
    assert!(
        from_environment.contains("\nvalid: true\n"),
        "{from_environment}"
    );
    let from_flag = transcript(
        &session,
        &environment,
        &["validate", "lb.toml", "-o", "table"],
    );
    assert!(from_flag.contains("lb.toml is valid"), "{from_flag}");
}

#[test]
fn wrong_settings_name_the_setting_and_where_it_came_from() {
    let session = Session::with_document().file("settings.toml", "workres = 2\n");
    let file = [("LBCTL_SETTINGS", "settings.toml")];
    insta::assert_snapshot!(transcript(&session, &file, &["validate", "lb.toml"]));
    let variable = [("LBCTL_DRAIN_TIMEOUT", "soon")];
    insta::assert_snapshot!(transcript(&session, &variable, &["validate", "lb.toml"]));
    let missing = [("LBCTL_SETTINGS", "missing.toml")];
    insta::assert_snapshot!(transcript(&session, &missing, &["validate", "lb.toml"]));
}

#[test]
fn variables_of_other_programs_are_left_alone() {
    // Kubernetes sets these for a service that is called lbctl.
    let variables = [
        ("LBCTL_PORT", "tcp://10.0.0.1:80"),
        ("LBCTL_SERVICE_HOST", "10.0.0.1"),
    ];
    let session = Session::with_document();
    let transcript = transcript(&session, &variables, &["validate", "lb.toml"]);
    assert!(transcript.starts_with("exit 0\n"), "{transcript}");
}
