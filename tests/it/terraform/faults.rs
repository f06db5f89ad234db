//! Interrupted, killed, refused, cut off: nothing is half made, and the next apply completes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lb_tests::{Balancer, Terraform, eventually, provider_block, provider_path};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{document, empty};

/// What is done to one request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It never arrives.
    Cut,
    /// It is done, and its answer is lost.
    Lost,
    /// It is refused for now.
    Busy,
    /// It arrives late.
    Late,
}

/// Stands between Terraform and a balancer.
struct Between {
    /// How many requests have come.
    seen: AtomicUsize,
    /// The request that the fault happens to, counted from 1, and the fault. Zero is none.
    at: AtomicUsize,
    fault: Fault,
}

impl Between {
    /// Listens in the folder of a configuration, and passes on what comes.
    fn start(terraform: &Terraform, balancer: &Balancer, fault: Fault) -> Arc<Self> {
        let path = terraform.path("between.sock");
        // An earlier one of the same folder has let go of it.
        drop(std::fs::remove_file(&path));
        let listener = UnixListener::bind(&path).expect("listen");
        let endpoint = format!("endpoint = \"unix:{}\"", path.display());
        terraform.write("provider.tf", &provider_block(&endpoint));
        let between = Arc::new(Self {
            seen: AtomicUsize::new(0),
            at: AtomicUsize::new(0),
            fault,
        });
        let (shared, socket) = (Arc::clone(&between), balancer.socket());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket)
                    .await
                    .expect("reach the balancer");
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { shared.pass(client, server).await });
            }
        });
        between
    }

    /// Passes requests on until one side closes, or a fault ends the connection.
    async fn pass(&self, mut client: UnixStream, mut server: UnixStream) -> Option<()> {
        loop {
            let request = message(&mut client).await?;
            let number = 1 + self.seen.fetch_add(1, Ordering::SeqCst);
            let is_meant = number == self.at.load(Ordering::SeqCst);
            match self.fault {
                Fault::Cut if is_meant => return None,
                Fault::Busy if is_meant => {
                    let body = r#"{"error":{"code":"busy","message":"too much is going on"}}"#;
                    let head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json";
                    let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    client.write_all(answer.as_bytes()).await.ok()?;
                    continue;
                }
                Fault::Late => tokio::time::sleep(Duration::from_millis(150)).await,
                Fault::Cut | Fault::Busy | Fault::Lost => {}
            }
            server.write_all(&request).await.ok()?;
            let answer = message(&mut server).await?;
            if matches!(self.fault, Fault::Lost) && is_meant {
                return None;
            }
            client.write_all(&answer).await.ok()?;
        }
    }
}

/// One message with a length, as our client and the API send them.
async fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |text| text.trim().parse().expect("a length"));
            if bytes.len() >= end + 4 + length {
                return Some(bytes);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Ten resources that need each other.
const TEN: &str = r#"
resource "lbctl_pool" "p" {
  count        = 3
  name         = "p${count.index}"
  servers      = { a = { address = "10.0.0.${count.index + 1}:80" } }
  health_check = {}
}

resource "lbctl_pool" "attached" {
  name = "attached"
}

resource "lbctl_server" "s" {
  count   = 3
  pool    = lbctl_pool.attached.name
  name    = "s${count.index}"
  address = "10.0.1.${count.index + 1}:80"
}

resource "lbctl_certificate" "self" {
  name   = "self"
  source = { self_signed = { names = ["shop.example.com"] } }
}

resource "lbctl_limits" "all" {
  connections_max = 200
}

resource "lbctl_virtual_service" "shop" {
  name    = "shop"
  address = "127.0.0.1:0"
  pool    = lbctl_pool.p[0].name
  rules   = [{ name = "s", match = { path = { prefix = "/s" } }, action = { pool = lbctl_pool.attached.name } }]
  tls     = { certificates = [lbctl_certificate.self.name] }
}
"#;

#[tokio::test]
async fn an_api_that_fails_at_any_request_of_an_apply_leaves_what_the_next_apply_completes() {
    for fault in [Fault::Cut, Fault::Lost, Fault::Busy] {
        let (balancer, terraform) = empty().await;
        let between = Between::start(&terraform, &balancer, fault);
        terraform.write("main.tf", TEN);
        let mut index = 0;
        loop {
            index += 1;
            between.seen.store(0, Ordering::SeqCst);
            between.at.store(index, Ordering::SeqCst);
            // Requests come in any order, and the balancer may still be well for each of them.
            let first = terraform
                .run(&["apply", "-auto-approve", "-no-color", "-parallelism=1"])
                .await;
            let reached = between.seen.load(Ordering::SeqCst) >= index;
            between.at.store(0, Ordering::SeqCst);
            for wrong in ["inconsistent", "panic", "crash"] {
                assert!(
                    !first.stderr.contains(wrong),
                    "{fault:?} at {index}: {}",
                    first.stderr
                );
            }
            if first.code() != 0 {
                terraform.apply().await;
            }
            terraform
                .assert_empty_plan(&format!("after {fault:?} at {index}"))
                .await;
            let now = document(&balancer).await;
            assert_eq!(
                now["pools"].as_object().map(serde_json::Map::len),
                Some(4),
                "{now}"
            );
            terraform.destroy().await;
            let left = document(&balancer).await;
            assert!(
                left["pools"]
                    .as_object()
                    .is_none_or(serde_json::Map::is_empty),
                "{left}"
            );
            if !reached {
                break;
            }
        }
        assert!(index > 10, "{fault:?} at {index} requests");
    }
}

/// The providers that run now.
fn providers() -> Vec<String> {
    let program = provider_path();
    let entries = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(Result::ok);
    let ours = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("exe")).is_ok_and(|path| path == program)
    });
    ours.map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The provider that a process has started.
fn child_provider(parent: u32) -> Option<String> {
    providers().into_iter().find(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status
            .lines()
            .any(|line| line.split_whitespace().eq(["PPid:", &parent.to_string()]))
    })
}

#[tokio::test]
async fn an_interrupt_or_a_kill_in_the_middle_leaves_whole_objects_and_no_provider() {
    for kill in [false, true] {
        let (balancer, terraform) = empty().await;
        let between = Between::start(&terraform, &balancer, Fault::Late);
        terraform.write("main.tf", TEN);
        let mut child = terraform.start(&["apply", "-auto-approve", "-no-color", "-parallelism=1"]);
        let pid = child.id().expect("it runs");
        // Two objects are there, and others are not.
        eventually("some requests are made", async || {
            (between.seen.load(Ordering::SeqCst) >= 3).then_some(())
        })
        .await;
        let provider = child_provider(pid).expect("a provider");
        let process = Pid::from_raw(i32::try_from(pid).expect("a process")).expect("a process");
        if kill {
            kill_process(process, Signal::KILL).expect("kill terraform");
        } else {
            kill_process_group(process, Signal::INT).expect("interrupt terraform");
        }
        let ended = lb_tests::within("terraform ends", Duration::from_secs(20), child.wait()).await;
        assert!(!ended.expect("an end").success());
        eventually("the provider is gone", async || {
            (!providers().contains(&provider)).then_some(())
        })
        .await;
        let now = document(&balancer).await;
        for (name, pool) in now["pools"].as_object().into_iter().flatten() {
            let whole = name == "attached" || pool["servers"]["a"]["address"].is_string();
            assert!(whole, "{name} is half made: {now}");
        }
        // The lock of a killed run is on its state.
        let args: &[&str] = &["apply", "-auto-approve", "-no-color", "-lock=false"];
        terraform
            .run(args)
            .await
            .expect_success("complete what was interrupted");
        terraform
            .assert_empty_plan("after what was interrupted is complete")
            .await;
        assert_eq!(
            document(&balancer).await["pools"]
                .as_object()
                .map(serde_json::Map::len),
            Some(4)
        );
    }
}

#[tokio::test]
async fn two_configurations_change_one_balancer_and_who_changes_the_same_object_is_told() {
    let (balancer, one) = empty().await;
    let other = Terraform::of(&balancer);
    let pool = |name: &str, retries: u8| {
        format!(
            "resource \"lbctl_pool\" \"x\" {{\n  count   = 20\n  name    = \"{name}${{count.index}}\"\n  retries = {retries}\n}}\n"
        )
    };
    one.write("main.tf", &pool("a", 1));
    other.write("main.tf", &pool("b", 1));
    tokio::join!(one.apply(), other.apply());
    let pools = document(&balancer).await["pools"]
        .as_object()
        .map(serde_json::Map::len);
    assert_eq!(pools, Some(40));

    // A plan that was made before somebody else changed the object does not overwrite that.
    one.write("main.tf", &pool("a", 2));
    one.plan().await;
    let patched = balancer
        .lbctl(&["pool", "set", "a7", "--retries", "9"])
        .await;
    patched.expect_success("a change beside Terraform");
    let refused = one.run(&["apply", "-no-color", "plan.bin"]).await;
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("was changed since Terraform looked at it"),
        "{}",
        refused.stderr
    );
    let now = document(&balancer).await;
    assert_eq!(now["pools"]["a7"]["retries"], 9, "it was not overwritten");
    assert_eq!(now["pools"]["a6"]["retries"], 2, "others were changed");
    one.apply().await;
    one.assert_empty_plan("after it was applied again").await;
}
