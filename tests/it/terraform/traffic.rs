//! What Terraform changes loses and misroutes no request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lb_tests::{Addressed, Client, Terraform, WebServer};

use super::{document, empty};

/// A virtual service with two rules that both match, in this order.
fn ordered(first: &WebServer, second: &WebServer, order: [&str; 2], extra: &str) -> String {
    let pool = |name: &str, server: &WebServer| {
        format!(
            "resource \"lbctl_pool\" \"{name}\" {{\n  name = \"{name}\"\n  servers = {{ s = {{ address = \"{}\" }} }}\n}}\n",
            server.address()
        )
    };
    let rule = |name: &str| {
        format!(
            "{{ name = \"{name}\", match = {{ path = {{ prefix = \"/x\" }} }}, action = {{ pool = lbctl_pool.{name}.name }} }},\n"
        )
    };
    let rules: String = order.map(rule).concat();
    format!(
        "{}{}resource \"lbctl_virtual_service\" \"shop\" {{\n  name = \"shop\"\n  address = \"127.0.0.1:0\"\n  \
         rules = [\n{extra}{rules}]\n}}\n",
        pool("first", first),
        pool("second", second),
    )
}

#[tokio::test]
async fn rules_are_swapped_inserted_and_deleted_with_no_request_that_matches_neither_order() {
    let (first, second) = (
        WebServer::start("first").await,
        WebServer::start("second").await,
    );
    let (balancer, terraform) = empty().await;
    terraform.write(
        "main.tf",
        &ordered(&first, &second, ["first", "second"], ""),
    );
    terraform.apply().await;
    let status = balancer.ask_admin("GET", "/status", &[]).await.json();
    let address = status["status"]["virtual_services"]["shop"]["address"]
        .as_str()
        .expect("an address");
    let address = address.parse().expect("an address");

    let (ended, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (ended, asked) = (Arc::clone(&ended), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                while !ended.load(Ordering::Relaxed) {
                    let answer = client
                        .try_ask("/x")
                        .await
                        .expect("an answer to each request");
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let before = balancer.revision().await;
    let inserted = "{ name = \"new\", match = { path = { prefix = \"/y\" } }, action = { respond = { status = 204 } } },\n";
    for (order, extra) in [
        (["second", "first"], ""),
        (["second", "first"], inserted),
        (["first", "second"], inserted),
        (["first", "second"], ""),
    ] {
        terraform.write("main.tf", &ordered(&first, &second, order, extra));
        let seen = first.request_count() + second.request_count();
        terraform.apply().await;
        terraform
            .assert_empty_plan("after the rules were changed")
            .await;
        lb_tests::eventually("requests go on", async || {
            (first.request_count() + second.request_count() > seen).then_some(())
        })
        .await;
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request failed");
    }
    assert_eq!(
        balancer.revision().await,
        before + 4,
        "each change of the list is one revision"
    );
    assert!(asked.load(Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn five_hundred_servers_are_attached_in_groups_and_one_pool_of_them_is_one_revision() {
    let (balancer, terraform) = empty().await;
    terraform.write("main.tf", MANY);
    let before = balancer.revision().await;
    terraform.apply().await;
    terraform.assert_empty_plan("after 500 servers").await;
    let servers = document(&balancer).await["pools"]["attached"]["servers"]
        .as_object()
        .map(serde_json::Map::len);
    assert_eq!(servers, Some(500));
    // The pool with its servers and the pool without are two; a write of its own for each would be 500.
    let made = balancer.revision().await - before;
    println!("500 servers and two pools: {made} revisions");
    let changed = MANY.replace("weight = 100", "weight = 101");
    terraform.write("main.tf", &changed);
    let before = balancer.revision().await;
    apply_inline(&terraform).await;
    assert_eq!(balancer.revision().await, before + 1);
}

async fn apply_inline(terraform: &Terraform) {
    let args = [
        "apply",
        "-auto-approve",
        "-no-color",
        "-target=lbctl_pool.inline",
    ];
    terraform.run(&args).await.expect_success("apply");
}

const MANY: &str = r#"
resource "lbctl_pool" "inline" {
  name = "inline"
  servers = {
    for i in range(500) : "s${i}" => { address = "10.1.${floor(i / 250)}.${i % 250 + 1}:80", weight = 100 }
  }
}

resource "lbctl_pool" "attached" {
  name = "attached"
}

resource "lbctl_server" "attached" {
  count   = 500
  pool    = lbctl_pool.attached.name
  name    = "s${count.index}"
  address = "10.2.${floor(count.index / 250)}.${count.index % 250 + 1}:80"
}
"#;
