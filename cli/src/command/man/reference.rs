//! docs/cli.md: every command with all it takes, from the same description as `--help`.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use crate::args::Args;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");

const HEAD: &str = "\
# The command line

Made from the program's own description by its tests (`UPDATE=1 cargo test --release -p lbctl`); do
not edit it. `lbctl COMMAND --help` shows the same.
";

#[test]
fn the_command_line_reference_in_the_repository_is_that_of_the_program() {
    let mut command = Args::command().term_width(100);
    command.build();
    let mut text = HEAD.to_owned();
    describe(&command, &[], &mut text);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(Path::new(FILE)).unwrap_or_default();
    assert!(
        kept == text,
        "docs/cli.md is not up to date: run this test with UPDATE=1 and read the difference"
    );
}

fn describe(command: &Command, parents: &[&str], out: &mut String) {
    let path = [parents, &[command.get_name()]].concat();
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    write!(
        out,
        "\n## {}\n\n{about}\n\n```text\n{usage}\n```\n",
        path.join(" ")
    )
    .unwrap();
    let shown = |arg: &&Arg| {
        let repeated = !parents.is_empty() && arg.is_global_set();
        !arg.is_hide_set() && !repeated && !matches!(arg.get_id().as_str(), "help" | "version")
    };
    let mut heading = None;
    for arg in command.get_arguments().filter(shown) {
        let own = arg.get_help_heading();
        if heading != Some(own) {
            heading = Some(own);
            writeln!(out, "\n{}:\n", own.unwrap_or("Takes")).unwrap();
        }
        line(arg, out);
    }
    if let Some(after) = command.get_after_help() {
        write!(out, "\n```text\n{}\n```\n", after.to_string().trim()).unwrap();
    }
    let commands = command.get_subcommands();
    for below in commands.filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        describe(below, &path, out);
    }
}

fn line(arg: &Arg, out: &mut String) {
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    // What a list item goes on with must be indented.
    let help = help.replace('\n', "\n  ");
    let choices = arg.get_possible_values();
    let choices = choices.iter().filter(|c| !c.is_hide_set());
    let choices: Vec<_> = choices.map(|c| format!("`{}`", c.get_name())).collect();
    let choices = if choices.is_empty() || !arg.get_action().takes_values() {
        String::new()
    } else {
        format!("; one of {}", choices.join(", "))
    };
    let short = arg.get_short().map(|short| format!("`-{short}`, "));
    let short = short.unwrap_or_default();
    writeln!(out, "- {short}`{arg}`: {help}{choices}").unwrap();
}
