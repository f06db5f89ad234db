//! Who may import whom, as docs/architecture.md promises.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Which of our crates each of them may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("core/model", &[]),
    ("core/inspect", &[]),
    ("core/proxy", &["lb-model", "lb-inspect"]),
    ("core/control", &["lb-model", "lb-proxy"]),
    ("core/client", &["lb-model"]),
    ("core/provision", &["lb-model", "lb-client", "lb-aws"]),
    ("core/aws", &[]),
    ("core/firstboot", &["lb-model"]),
    ("core/supervisor", &[]),
    (
        "core/daemon",
        &["lb-model", "lb-proxy", "lb-control", "lb-supervisor"],
    ),
    (
        "cli",
        &[
            "lb-model",
            "lb-client",
            "lb-provision",
            "lb-firstboot",
            "lb-daemon",
        ],
    ),
    (
        "terraform-provider",
        &["lb-model", "lb-client", "lb-provision"],
    ),
];

/// The modules of the data plane in the order of the life of a connection, then what they all use.
/// A module imports those that stand after it, never those before it.
const LIFE_OF_A_CONNECTION: &[&str] = &[
    "listener",
    "connection",
    "protocol",
    "snapshot",
    "route",
    "policy",
    "health",
    "upstream",
    "pool",
    "persistence",
    "balance",
    "error",
    "http2",
    "codec",
    "memory",
    "quic",
    "tls",
    "telemetry",
    "challenge",
    "stream",
    "limit",
    "disposal",
    "buffer",
    "deadline",
];

/// No stages of a connection: the program around it, the thread that carries it, and the walk that
/// explains it without one.
const AROUND_IT: &[&str] = &["proxy", "worker", "explain"];

/// What the crate of nouns must not know: it opens nothing and asks no clock.
const NOT_IN_THE_MODEL: &[&str] = &[
    "tokio",
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant",
    "SystemTime",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file, without its comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The top-level modules of its own crate that a piece of code names.
fn named_modules(code: &str) -> BTreeSet<String> {
    let direct = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let group = Regex::new(r"\bcrate::\{([^;]*)\}").unwrap();
    let first = Regex::new(r"^\s*([a-z_]+)").unwrap();
    let mut names: BTreeSet<String> = direct
        .captures_iter(code)
        .map(|c| c[1].to_owned())
        .collect();
    for list in group.captures_iter(code) {
        let mut depth = 0;
        let parts = list[1].split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0 && c == ','
        });
        names.extend(parts.filter_map(|part| Some(first.captures(part)?[1].to_owned())));
    }
    names
}

#[test]
fn crates_depend_only_on_those_below_them() {
    let mut wrong = Vec::new();
    let manifests = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
        let paths = entries.map(|e| e.unwrap().path().join("Cargo.toml"));
        paths.filter(|path| path.exists()).collect::<Vec<_>>()
    };
    let tests = root().join("tests/Cargo.toml");
    let dependency = Regex::new(r"(?m)^(lb-[a-z-]+)\s*[=.]").unwrap();
    for manifest in manifests("core")
        .into_iter()
        .chain(manifests(""))
        .filter(|m| *m != tests)
    {
        let folder = manifest
            .parent()
            .unwrap()
            .strip_prefix(root())
            .unwrap()
            .to_owned();
        let allowed = CRATES.iter().find(|(name, _)| Path::new(name) == folder);
        let Some((_, allowed)) = allowed else {
            wrong.push(format!(
                "{} is a crate that this test does not know",
                folder.display()
            ));
            continue;
        };
        for found in dependency.captures_iter(&fs::read_to_string(&manifest).unwrap()) {
            if !allowed.contains(&&found[1]) {
                wrong.push(format!(
                    "{} must not depend on {}",
                    folder.display(),
                    &found[1]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn data_plane_modules_import_only_what_comes_later_in_the_life_of_a_connection() {
    let place = |name: &str| {
        LIFE_OF_A_CONNECTION
            .iter()
            .position(|module| *module == name)
    };
    let src = root().join("core/proxy/src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let file = path.strip_prefix(&src).unwrap().with_extension("");
        let module = file.iter().next().unwrap().to_string_lossy().into_owned();
        if module == "lib" || AROUND_IT.contains(&module.as_str()) {
            continue;
        }
        let codec = file.starts_with("protocol/http/codec");
        let module = if codec { "codec".to_owned() } else { module };
        let Some(own) = place(&module) else {
            wrong.push(format!("{module} has no place in the life of a connection"));
            continue;
        };
        // The codec knows no connection: it is a leaf that lies with the protocol it reads.
        let code = code(&path).replace("crate::protocol::http::codec", "crate::codec");
        for named in named_modules(&code) {
            if place(&named).is_some_and(|other| other < own) {
                wrong.push(format!(
                    "{} imports {named}, which comes before it",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_model_opens_nothing_and_asks_no_clock() {
    let mut wrong = Vec::new();
    let sources = sources(&root().join("core/model/src"));
    for path in sources
        .iter()
        .filter(|path| !path.iter().any(|part| part == "tests"))
    {
        let code = code(path);
        let own = code.split("#[cfg(test)]").next().unwrap_or_default();
        for word in NOT_IN_THE_MODEL {
            if Regex::new(&format!(r"\b{word}\b")).unwrap().is_match(own) {
                wrong.push(format!("{} names {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
