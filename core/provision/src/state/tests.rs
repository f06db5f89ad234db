use std::os::unix::fs::PermissionsExt;

use lb_model::Format;

use super::*;

const FLEET: &str = r#"
name = "production"
[balancers.lb1]
target = { ssh = { host = "lb1.example" } }
admin_address = "10.0.0.5:9443"
"#;

fn balancer() -> Balancer {
    let fleet = lb_model::fleet::read(FLEET, Format::Toml).unwrap();
    fleet.fleet().balancers.values().next().unwrap().clone()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn what_is_remembered_is_there_again_and_gone_when_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet.state");
    let (fleet, lb1) = (name("production"), name("lb1"));
    let mut store = Store::open(&dir, &fleet).unwrap();
    let lineage = store.lineage().to_owned();
    let recorded = Recorded {
        balancer: balancer(),
    };
    store.record(&lb1, recorded.clone()).unwrap();
    drop(store);
    let mut store = Store::open(&dir, &fleet).unwrap();
    assert_eq!(store.lineage(), lineage);
    assert_eq!(store.recorded(), &[(lb1.clone(), recorded)].into());
    let access = Access {
        address: "10.0.0.5:9443".parse().unwrap(),
        token: "secret".to_owned(),
        fingerprint: None,
    };
    store.keep_access(&lb1, &access).unwrap();
    assert_eq!(store.access(&lb1).as_ref(), Some(&access));
    store.forget(&lb1).unwrap();
    assert_eq!(store.access(&lb1), None);
    // Forgetting twice is forgetting.
    store.forget(&lb1).unwrap();
    drop(store);
    let store = Store::open(&dir, &fleet).unwrap();
    assert!(store.recorded().is_empty());
}

#[test]
fn nobody_else_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet.state");
    let store = Store::open(&dir, &name("production")).unwrap();
    let access = Access {
        address: "10.0.0.5:9443".parse().unwrap(),
        token: "secret".to_owned(),
        fingerprint: None,
    };
    store.keep_access(&name("lb1"), &access).unwrap();
    let mode = |path: &str| {
        let metadata = fs::metadata(dir.join(path)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    for (path, expected) in [
        ("", 0o700),
        ("state.json", 0o600),
        ("balancers/lb1", 0o700),
        ("balancers/lb1/token", 0o600),
        ("balancers/lb1/settings.toml", 0o600),
    ] {
        assert_eq!(mode(path), expected, "{path}");
    }
}

#[test]
fn one_at_a_time_and_of_one_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &name("production")).unwrap();
    let second = Store::open(folder.path(), &name("production")).unwrap_err();
    let StoreError::Locked { by, .. } = &second else {
        panic!("{second}")
    };
    assert_eq!(*by, format!(" by process {}", std::process::id()));
    drop(store);
    let other = Store::open(folder.path(), &name("trial")).unwrap_err();
    assert!(matches!(other, StoreError::OtherFleet { .. }), "{other}");
    drop(Store::open(folder.path(), &name("production")).unwrap());
}

#[test]
fn what_is_damaged_or_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let later = r#"{ "schema": 2, "anything": "else" }"#;
    for (text, expected) in [
        ("{", "EOF"),
        ("{}", "missing field"),
        (later, "later version"),
    ] {
        fs::write(&path, text).unwrap();
        let refused = Store::open(folder.path(), &name("production")).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
