//! The commands of the nouns of the document: their help, and what they say without a balancer.

use crate::session::Session;

const VERBS: [&str; 5] = ["list", "get", "add", "set", "delete"];

#[test]
fn each_noun_and_verb_is_explained_with_the_words_of_the_document() {
    let session = Session::new();
    for noun in [
        "virtual-service",
        "rule",
        "pool",
        "server",
        "limits",
        "telemetry",
    ] {
        insta::assert_snapshot!(
            format!("help_{noun}"),
            session.transcript(&[noun, "--help"])
        );
        let verbs = match noun {
            "limits" | "telemetry" => &["get", "set"][..],
            _ => &VERBS,
        };
        for verb in verbs {
            let name = format!("help_{noun}_{verb}");
            insta::assert_snapshot!(name, session.transcript(&[noun, verb, "--help"]));
        }
    }
}

#[test]
fn what_is_wrong_with_a_call_is_told_before_a_balancer_is_asked() {
    let session = Session::new();
    for (name, line) in [
        ("a_number_out_of_range", "server set web/iis1 --weight 2000"),
        ("a_missing_flag", "server add web/iis1"),
        ("a_name_without_its_pool", "server get iis1"),
        ("a_misspelt_flag", "pool set web --slow-strat 5s"),
        (
            "a_misspelt_flag_to_unset",
            "pool set web --unset slow-strat",
        ),
        (
            "two_choices",
            "rule add shop/a --action-pool web --action-respond-status 200",
        ),
        ("nothing_to_change", "server set web/iis1"),
        (
            "given_and_unset",
            "server set web/iis1 --connections-max 5 --unset connections-max",
        ),
    ] {
        let args: Vec<_> = line.split(' ').collect();
        insta::assert_snapshot!(name, session.transcript(&args));
    }
}
