use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

fn open(folder: &Path, clock: Clock) -> Result<Access, AccessError> {
    let audit = Audit::open(folder, clock).unwrap();
    Access::open(folder, Arc::new(audit), clock)
}

fn new() -> (TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let access = open(folder.path(), crate::now).unwrap();
    (folder, access)
}

fn request(name: &str, role: Role) -> TokenRequest {
    TokenRequest {
        name: name.parse().unwrap(),
        user: None,
        role,
        scope: Scope::default(),
        lifetime: None,
    }
}

fn in_100_days() -> Timestamp {
    after(crate::now(), Duration::from_hours(2400))
}

fn in_an_hour() -> Timestamp {
    after(crate::now(), Duration::from_hours(1))
}

#[test]
fn a_token_opens_what_it_was_made_for_until_it_is_revoked_or_too_old() {
    let (folder, access) = new();
    let mut wanted = request("ci", Role::Configure);
    wanted.user = Some("anna".parse().unwrap());
    wanted.scope = serde_json::from_str(r#"{ "pools": ["web"] }"#).unwrap();
    let (token, secret) = access.create(&wanted, "root").unwrap();
    assert_eq!(token.last_used_at, None);
    let text = secret.expose();
    let caller = access.identify(text).unwrap();
    assert_eq!(
        (caller.name.as_str(), caller.role),
        ("anna/ci", Role::Configure)
    );
    assert_eq!(caller.scope, wanted.scope);
    assert!(access.tokens()[0].last_used_at.is_some());
    access.store_last_use().unwrap();
    drop(access);

    let access = open(folder.path(), crate::now).unwrap();
    assert!(access.identify(text).is_some(), "it is good after a start");
    assert!(access.tokens()[0].last_used_at.is_some());
    assert!(
        open(folder.path(), in_100_days)
            .unwrap()
            .identify(text)
            .is_none(),
        "too old"
    );
    let mut other = text.to_owned();
    let digit = if other.pop() == Some('0') { '1' } else { '0' };
    other.push(digit);
    for wrong in [
        "",
        "lbctl_",
        "lbctl__",
        &other,
        text.trim_start_matches("lbctl_"),
    ] {
        assert!(access.identify(wrong).is_none(), "{wrong}");
    }
    access.revoke(&token.name, "root").unwrap();
    assert!(access.identify(text).is_none());
    assert!(matches!(
        access.revoke(&token.name, "root"),
        Err(AccessError::Unknown(_))
    ));
    let actions: Vec<_> = access
        .audit()
        .unwrap()
        .into_iter()
        .map(|e| e.action)
        .collect();
    assert_eq!(actions, ["token_revoke", "token_create"]);
}

#[test]
fn no_secret_is_on_disk_in_the_audit_or_in_what_is_printed() {
    let (folder, access) = new();
    let (_, secret) = access.create(&request("ci", Role::View), "root").unwrap();
    assert_eq!(format!("{secret:?}"), "***");
    let text = secret.expose();
    let random = text.split('_').nth(1).unwrap();
    access.identify(text).unwrap();
    drop(access.identify(&format!("{text}0")));
    for path in [folder.path().to_owned(), folder.path().join("audit")] {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let found = fs::read_to_string(&path).unwrap();
                assert!(!found.contains(random), "{}", path.display());
                let mode = path.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{}", path.display());
            }
        }
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (_folder, access) = new();
    access.create(&request("ci", Role::View), "root").unwrap();
    let error = access
        .create(&request("ci", Role::View), "root")
        .unwrap_err();
    assert!(matches!(error, AccessError::Taken(_)), "{error}");
    let mut wrong = request("b", Role::View);
    wrong.scope = serde_json::from_str(r#"{ "nouns": ["servers"] }"#).unwrap();
    let error = access.create(&wrong, "root").unwrap_err();
    assert!(error.help().contains("server"), "{error}: {}", error.help());
}

#[test]
fn the_first_token_is_made_once_with_what_only_the_owner_of_the_directory_can_read() {
    let (folder, access) = new();
    let path = folder.path().join("bootstrap-token");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bootstrap = fs::read_to_string(&path).unwrap();
    let bootstrap = bootstrap.trim();
    assert!(
        access.identify(bootstrap).is_none(),
        "it opens nothing by itself"
    );
    let name: Name = "admin".parse().unwrap();
    let wrong = Secret::random().unwrap();
    assert!(matches!(
        access.redeem(wrong.expose(), &name),
        Err(AccessError::Bootstrap)
    ));
    let (token, secret) = access.redeem(bootstrap, &name).unwrap();
    assert_eq!(token.role, Role::Administer);
    assert!(!path.exists());
    assert!(access.identify(secret.expose()).is_some());
    let again: Name = "admin2".parse().unwrap();
    assert!(matches!(
        access.redeem(bootstrap, &again),
        Err(AccessError::Bootstrap)
    ));
    drop(access);
    drop(open(folder.path(), crate::now).unwrap());
    assert!(!path.exists(), "somebody has a token");
    let entries = open(folder.path(), crate::now).unwrap().audit().unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.refused).count(), 2);
}

#[test]
fn what_makes_the_first_token_is_good_for_30_minutes_and_another_start_makes_another() {
    let (folder, access) = new();
    let path = folder.path().join("bootstrap-token");
    let old = fs::read_to_string(&path).unwrap();
    drop(access);
    drop(open(folder.path(), crate::now).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), old, "it is still good");
    let access = open(folder.path(), in_an_hour).unwrap();
    assert_ne!(fs::read_to_string(&path).unwrap(), old);
    let name: Name = "admin".parse().unwrap();
    assert!(matches!(
        access.redeem(old.trim(), &name),
        Err(AccessError::Bootstrap)
    ));
}

#[test]
fn a_damaged_file_lets_nobody_in_and_says_what_to_do() {
    let (folder, access) = new();
    drop(access);
    fs::write(folder.path().join("access.json"), "{").unwrap();
    let error = open(folder.path(), crate::now).map(|_| ()).unwrap_err();
    assert!(error.help().contains("mv "), "{error}: {}", error.help());
}
