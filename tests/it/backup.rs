//! Backups: from one machine to the next, and never from a file that is not whole.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lb_tests::{Balancer, Finished, WebServer, shop};
use serde_json::json;

async fn farm() -> (WebServer, Balancer) {
    let server = WebServer::start("iis1").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    (server, balancer)
}

fn assert_done(finished: &Finished) {
    assert_eq!(finished.code(), 0, "{finished:?}");
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_machine_becomes_what_the_old_one_was_with_its_users_and_tokens() {
    let (_server, old) = farm().await;
    let weight = ["server", "set", "web/iis1", "--weight", "42"];
    assert_done(&old.lbctl(&weight).await);
    assert_done(
        &old.lbctl(&["user", "add", "anna", "--role", "operate"])
            .await,
    );
    let create = [
        "token", "create", "laptop", "--user", "anna", "--role", "view",
    ];
    let made = old.lbctl(&create).await;
    assert_done(&made);
    let secret = made.stdout.trim();
    let file = path(old.folder(), "lb1.backup");
    assert_done(&old.lbctl(&["backup", &file]).await);
    let permissions = Path::new(&file).metadata().unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(secret.split('_').nth(1).unwrap()));
    assert!(text.contains("\"user_create\""), "the audit is in it");
    assert!(text.contains("\"number\":1,"), "the history is in it");

    // Its document has another address: what is restored must bring nobody's traffic to an end.
    let (_other, new) = farm().await;
    let mut client = new.client().await;
    assert_eq!(client.ask("/", &[]).await.status(), 200);
    let declined = new.lbctl(&["restore", &file]).await;
    assert_eq!(declined.code(), 2, "{declined:?}");
    assert!(declined.stderr.contains("weight"), "{declined:?}");
    assert_eq!(new.revision().await, 1);
    let restored = new.lbctl(&["restore", &file, "--yes"]).await;
    assert_done(&restored);
    assert_eq!(
        client.ask("/", &[]).await.status(),
        200,
        "on the same connection"
    );
    assert!(new.lbctl(&["token", "list"]).await.stdout.lines().count() <= 1);
    let history = new.lbctl(&["history"]).await;
    assert!(
        history.stdout.contains("restored: revision 2"),
        "{history:?}"
    );

    assert_done(
        &new.lbctl(&["token", "create", "mine", "--role", "view"])
            .await,
    );
    let access = new.lbctl(&["restore", &file, "--access", "--yes"]).await;
    assert_done(&access);
    for word in [
        "nothing to do",
        "- tokens that end: mine",
        "+ tokens that are good again: laptop",
    ] {
        assert!(access.stderr.contains(word), "{word}: {access:?}");
    }
    assert_eq!(
        new.revision().await,
        2,
        "nothing of the document was different"
    );
    let bearer = format!("Authorization: Bearer {secret}");
    let told = new.ask_admin("GET", "/caller", &["-H", &bearer]).await;
    assert_eq!(told.json()["name"], "anna/laptop", "{told:?}");
}

#[tokio::test]
async fn a_file_that_is_damaged_cut_off_foreign_or_newer_changes_nothing() {
    let (_server, balancer) = farm().await;
    let good = path(balancer.folder(), "good");
    assert_done(&balancer.lbctl(&["backup", &good]).await);
    assert_done(
        &balancer
            .lbctl(&["server", "set", "web/iis1", "--weight", "7"])
            .await,
    );
    let whole = std::fs::read(&good).unwrap();
    let bad = path(balancer.folder(), "bad");
    let length = whole.len();
    let mut files: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "no backup"),
        (b"[pools.web]\n".to_vec(), "no backup"),
        (whole[..length / 2].to_vec(), "damaged"),
        (whole[..length - 1].to_vec(), "damaged"),
        (
            [&b"lbctl-backup 9"[..], &whole[14..]].concat(),
            "newer lbctl",
        ),
        ([&whole[..], b"{}\n"].concat(), "damaged"),
    ];
    // Positions all over the file, another set in each run.
    let seed = usize::try_from(std::process::id()).unwrap();
    for step in 0..25 {
        let at = 15 + (seed * 7919 + step * (length / 25 + 1)) % (length - 15);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (step % 8);
        files.push((flipped, "damaged"));
    }
    for (bytes, word) in files {
        std::fs::write(&bad, bytes).unwrap();
        let refused = balancer
            .lbctl(&["restore", &bad, "--access", "--yes"])
            .await;
        assert_eq!(refused.code(), 2, "{refused:?}");
        assert!(refused.stderr.contains(word), "{word}: {refused:?}");
        assert!(refused.stderr.contains("help:"), "{refused:?}");
    }
    assert_eq!(balancer.revision().await, 2);
    let twice = json!({ "users": [], "tokens": [{ "token": { "name": "a" }, "sha256": "" }] });
    let told = balancer.send_admin("PUT", "/access", &twice).await;
    assert_eq!(told.status, 400, "{told:?}");
    assert_done(&balancer.lbctl(&["restore", &good, "--yes"]).await);
    assert_eq!(balancer.revision().await, 3);
}
