use std::fs;
use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::hmac;
use lb_model::api::{Enrolment, UserChange, UserRequest, token};
use lb_model::value::Fingerprint;
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

fn user(name: &str, role: Role) -> UserRequest {
    UserRequest {
        name: name.parse().unwrap(),
        role,
        scope: Scope::default(),
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
    access
        .create_user(user("anna", Role::Configure), "root")
        .unwrap();
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
    assert!(access.identify(text).is_ok(), "it is good after a start");
    assert!(access.tokens()[0].last_used_at.is_some());
    let later = open(folder.path(), in_100_days).unwrap();
    let refused = later.identify(text).unwrap_err();
    assert!(matches!(refused, NotGood::Expired { .. }), "{refused}");
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
        assert!(access.identify(wrong).is_err(), "{wrong}");
    }
    access.revoke(&token.name, "root").unwrap();
    assert!(access.identify(text).is_err());
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
    assert_eq!(actions, ["token_revoke", "token_create", "user_create"]);
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
        access.identify(bootstrap).is_err(),
        "it opens nothing by itself"
    );
    let name: Name = "admin".parse().unwrap();
    let wrong = Secret::random().unwrap();
    assert!(matches!(
        access.redeem(wrong.expose(), &name, "nobody"),
        Err(AccessError::Bootstrap)
    ));
    let (token, secret) = access.redeem(bootstrap, &name, "nobody").unwrap();
    assert_eq!(token.role, Role::Administer);
    assert!(!path.exists());
    assert!(access.identify(secret.expose()).is_ok());
    let again: Name = "admin2".parse().unwrap();
    assert!(matches!(
        access.redeem(bootstrap, &again, "nobody"),
        Err(AccessError::Bootstrap)
    ));
    drop(access);
    drop(open(folder.path(), crate::now).unwrap());
    assert!(!path.exists(), "somebody has a token");
    let entries = open(folder.path(), crate::now).unwrap().audit().unwrap();
    assert_eq!(entries.iter().filter(|entry| entry.refused).count(), 2);
}

#[test]
fn nothing_makes_a_first_token_where_there_is_one_already() {
    let (folder, access) = new();
    let path = folder.path().join("bootstrap-token");
    let bootstrap = fs::read_to_string(&path).unwrap();
    access.create(&request("ci", Role::View), "root").unwrap();
    assert!(!path.exists());
    let name: Name = "admin".parse().unwrap();
    let refused = access.redeem(bootstrap.trim(), &name, "nobody");
    assert!(matches!(refused, Err(AccessError::Bootstrap)));
}

#[test]
fn tokens_of_a_user_never_do_more_than_the_user_may_now() {
    let (folder, access) = new();
    let anna: Name = "anna".parse().unwrap();
    let mut wanted = request("laptop", Role::Configure);
    wanted.user = Some(anna.clone());
    let error = access.create(&wanted, "root").unwrap_err();
    assert!(matches!(error, AccessError::UnknownUser(_)), "{error}");
    access
        .create_user(user("anna", Role::Operate), "root")
        .unwrap();
    let error = access.create(&wanted, "root").unwrap_err();
    assert!(
        error.help().contains("lbctl user set anna"),
        "{}",
        error.help()
    );
    let error = access.create_user(user("anna", Role::View), "root");
    assert!(matches!(error, Err(AccessError::UserTaken(_))));

    let role = |role| UserChange {
        role: Some(role),
        ..UserChange::default()
    };
    access
        .change_user(&anna, role(Role::Configure), "root")
        .unwrap();
    wanted.scope = serde_json::from_str(r#"{ "pools": ["web", "api"] }"#).unwrap();
    let (_, secret) = access.create(&wanted, "root").unwrap();
    let limited = UserChange {
        role: Some(Role::View),
        scope: Some(serde_json::from_str(r#"{ "pools": ["web"] }"#).unwrap()),
        disabled: None,
    };
    access.change_user(&anna, limited, "root").unwrap();
    let caller = access.identify(secret.expose()).unwrap();
    assert_eq!(caller.role, Role::View);
    assert!(caller.scope.covers(&"pools/web".parse().unwrap()));
    assert!(!caller.scope.covers(&"pools/api".parse().unwrap()));

    let disabled = |disabled| UserChange {
        disabled: Some(disabled),
        ..UserChange::default()
    };
    access.change_user(&anna, disabled(true), "root").unwrap();
    let refused = access.identify(secret.expose()).unwrap_err();
    assert_eq!(refused, NotGood::Disabled(anna.clone()));
    drop(access);
    let access = open(folder.path(), crate::now).unwrap();
    assert!(
        access.identify(secret.expose()).is_err(),
        "also after a start"
    );
    access.change_user(&anna, disabled(false), "root").unwrap();
    assert!(access.identify(secret.expose()).is_ok());
    access.delete_user(&anna, "root").unwrap();
    assert!(access.identify(secret.expose()).is_err());
    assert!(access.tokens().is_empty() && access.users().is_empty());
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
        access.redeem(old.trim(), &name, "nobody"),
        Err(AccessError::Bootstrap)
    ));
}

/// What a client works out from the token.
fn proof(text: &str, fingerprint: &Fingerprint) -> String {
    let tag = |key: &[u8], of: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, of).as_ref().to_vec()
    };
    let key = tag(text.as_bytes(), Enrolment::KEY.as_bytes());
    let proof = tag(&key, fingerprint.bytes());
    Digest::from_bytes(&proof).unwrap().to_string()
}

#[test]
fn a_balancer_shows_that_it_has_what_makes_its_first_token_while_that_is_good() {
    let (folder, access) = new();
    let text = fs::read_to_string(folder.path().join("bootstrap-token")).unwrap();
    let text = text.trim();
    let (own, other) = (Fingerprint::new([1; 32]), Fingerprint::new([2; 32]));
    let shown = access.prove(&own).unwrap().proof;
    assert_eq!(shown, proof(text, &own));
    assert_ne!(shown, proof(text, &other));
    drop(access);
    let access = open(folder.path(), crate::now).unwrap();
    assert_eq!(
        access.prove(&own).unwrap().proof,
        shown,
        "after a restart, too"
    );
    let name: Name = "admin".parse().unwrap();
    access.redeem(text, &name, "nobody").unwrap();
    assert!(matches!(access.prove(&own), Err(AccessError::NoBootstrap)));
}

#[test]
fn a_token_that_was_put_there_makes_the_first_one_once_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (given, made) = ("enrolment-token", "bootstrap-token");
    let (given, made) = (folder.path().join(given), folder.path().join(made));
    let text = token::text(&[7; 32]);
    fs::write(&given, format!("{text}\n")).unwrap();
    let access = open(folder.path(), crate::now).unwrap();
    assert!(!given.exists() && !made.exists());
    let own = Fingerprint::new([1; 32]);
    assert_eq!(access.prove(&own).unwrap().proof, proof(&text, &own));
    drop(access);
    let access = open(folder.path(), crate::now).unwrap();
    assert!(!made.exists(), "the one that was put there is still good");
    access
        .redeem(&text, &"anna".parse().unwrap(), "nobody")
        .unwrap();
    drop(access);
    // Whoever can put one there may do everything: they come back also when they have lost theirs.
    let second = token::text(&[8; 32]);
    fs::write(&given, &second).unwrap();
    let access = open(folder.path(), crate::now).unwrap();
    assert!(!given.exists() && !made.exists());
    let taken = access.redeem(&second, &"anna".parse().unwrap(), "nobody");
    assert!(matches!(taken, Err(AccessError::Taken(_))));
    access
        .redeem(&second, &"eve".parse().unwrap(), "nobody")
        .unwrap();
    let again = access.redeem(&second, &"adam".parse().unwrap(), "nobody");
    assert!(matches!(again, Err(AccessError::Bootstrap)));
}

#[test]
fn a_token_that_was_put_there_ends_after_30_minutes_and_another_text_is_none() {
    let (folder, access) = new();
    drop(access);
    let (given, made) = ("enrolment-token", "bootstrap-token");
    let (given, made) = (folder.path().join(given), folder.path().join(made));
    let text = token::text(&[7; 32]);
    fs::write(&given, &text).unwrap();
    drop(open(folder.path(), crate::now).unwrap());
    assert!(!made.exists(), "it takes the place of the one before");
    let access = open(folder.path(), in_an_hour).unwrap();
    assert!(made.exists());
    let refused = access.redeem(&text, &"eve".parse().unwrap(), "nobody");
    assert!(matches!(refused, Err(AccessError::Bootstrap)));
    drop(access);
    for wrong in ["", "hunter2", "lbctl_", "\u{fffd}"] {
        fs::write(&given, wrong).unwrap();
        drop(open(folder.path(), crate::now).unwrap());
        assert!(!given.exists() && made.exists());
    }
}

#[test]
fn a_damaged_file_lets_nobody_in_and_says_what_to_do() {
    let (folder, access) = new();
    drop(access);
    fs::write(folder.path().join("access.json"), "{").unwrap();
    let error = open(folder.path(), crate::now).map(|_| ()).unwrap_err();
    assert!(error.help().contains("mv "), "{error}: {}", error.help());
}
