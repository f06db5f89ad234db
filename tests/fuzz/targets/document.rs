//! Documents: whatever is read can be written and read again as the same, and whatever is refused is
//! refused with a reason and a place in the text.
#![no_main]

use lb_model::{Config, Format, Problem, parse, validate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for format in [Format::Toml, Format::Json] {
        match parse(text, format) {
            Ok(config) => check(config),
            Err(problems) => explained(&problems),
        }
        if let Err(problems) = lb_model::read(text, format) {
            explained(&problems);
        }
    }
});

fn check(config: Config) {
    let json = serde_json::to_string(&config).expect("a document can be written");
    assert_eq!(parse(&json, Format::Json).as_ref(), Ok(&config), "{json}");
    let toml = toml::to_string(&config).expect("a document can be written");
    assert_eq!(parse(&toml, Format::Toml).as_ref(), Ok(&config), "{toml}");
    if let Err(problems) = validate(config) {
        explained(&problems);
    }
}

fn explained(problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems {
        assert!(!problem.to_string().is_empty());
    }
}
