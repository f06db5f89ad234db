//! Balancers on machines as resources: real systemd and sshd, in namespaces.

use std::fs;
use std::time::Duration;

use lb_tests::{Machine, Terraform, lbctl_path, provider_block, run};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::process::Child;

use super::actions;

mod wrong;

/// Answers by itself: no server is needed.
const DOCUMENT: &str = r#"
[virtual_services.shop]
address = "0.0.0.0:80"

[[virtual_services.shop.rules]]
name = "hello"
action = { respond = { status = 200, body = "hello" } }
"#;

/// A folder with a configuration for balancers on machines, the program that they run, and a log.
async fn folder() -> Terraform {
    let mut terraform = Terraform::new();
    terraform.write("provider.tf", &provider_block(""));
    terraform.write("lb.toml", DOCUMENT);
    let (from, to) = (lbctl_path(), terraform.path("lbctl"));
    let strip = ["-o", &to.display().to_string(), &from.display().to_string()];
    run("strip", &strip).await.expect_success("strip");
    let log = terraform.path("steps.log").display().to_string();
    terraform.set("TF_LOG_PROVIDER", "DEBUG");
    terraform.set("TF_LOG_PATH", &log);
    terraform
}

/// The resource of a balancer on this machine.
fn balancer(name: &str, machine: &Machine, more: &str) -> String {
    let (target, address) = (machine.target(), machine.address());
    format!(
        "resource \"lbctl_balancer\" \"{name}\" {{\n  name = \"{name}\"\n  fleet = \"production\"\n  \
         target = {target}\n  program = \"lbctl\"\n  admin_address = \"{address}:9443\"\n  {more}\n}}\n"
    )
}

/// What the balancer on a machine answers, when it does.
async fn get(machine: &Machine) -> Option<String> {
    let url = format!("http://{}/", machine.address());
    let got = run("curl", &["--silent", "--fail", "--max-time", "5", &url]).await;
    got.status.success().then_some(got.stdout)
}

/// The values of the first resource of a type in the state.
async fn values(terraform: &Terraform, kind: &str) -> Value {
    let state = terraform.state().await;
    let all = state["values"]["root_module"]["resources"]
        .as_array()
        .cloned();
    let found = all
        .unwrap_or_default()
        .into_iter()
        .find(|found| found["type"] == kind);
    found.map_or(Value::Null, |found| found["values"].clone())
}

async fn fails(terraform: &Terraform, args: &[&str], words: &[&str]) {
    let failed = terraform.run(&[args, &["-no-color"]].concat()).await;
    assert_eq!(failed.code(), 1, "{failed:?}");
    // Terraform wraps lines.
    let told: Vec<&str> = failed.stderr.split_whitespace().collect();
    let told = told.join(" ");
    for word in words {
        assert!(told.contains(word), "{word}: {told}");
    }
}

async fn assert_bare(machine: &Machine) {
    for path in [
        "/opt/lbctl",
        "/etc/lbctl",
        "/var/lib/lbctl",
        "/etc/systemd/system/lbctl.service",
    ] {
        assert!(!machine.has(path).await, "{path} is left");
    }
}

/// A machine whose balancer is stopped is healed, and what is on it is where it was.
async fn heal(terraform: &Terraform, machine: &Machine) {
    machine.must(&["systemctl", "stop", "lbctl"]).await;
    let healed = actions(&terraform.plan().await);
    assert_eq!(
        healed,
        [("lbctl_balancer.lb1".to_owned(), vec!["update".to_owned()])]
    );
    terraform.apply().await;
    assert_eq!(get(machine).await.as_deref(), Some("hello"));
    terraform
        .assert_empty_plan("after it was started again")
        .await;
}

#[tokio::test]
async fn one_configuration_makes_a_machine_and_what_is_on_it_and_traffic_goes_through() {
    let (machine, terraform) = (Machine::start().await, folder().await);
    let pools = r#"
resource "lbctl_pool" "web" {
  balancer = lbctl_balancer.lb1.access
  name     = "web"
  retries  = 1
}

resource "lbctl_virtual_service" "shop" {
  balancer = lbctl_balancer.lb1.access
  name     = "shop"
  address  = "0.0.0.0:80"
  pool     = lbctl_pool.web.name
  rules    = [{ name = "hello", action = { respond = { status = 200, body = "hello" } } }]
}
"#;
    let text = balancer("lb1", &machine, "") + pools;
    terraform.write("main.tf", &text);
    let plan = terraform.plan().await;
    let made = actions(&plan);
    assert_eq!(made.len(), 3, "{made:?}");
    let planned = plan.to_string();
    assert!(
        planned.contains("+ mark of the fleet production"),
        "{planned}"
    );
    terraform.apply().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    terraform
        .assert_empty_plan("after all of it was made")
        .await;
    let data = "data \"lbctl_pool\" \"web\" {\n  balancer = lbctl_balancer.lb1.access\n  name = \"web\"\n}\n";
    terraform.write("data.tf", data);
    terraform.apply().await;
    fs::remove_file(terraform.path("data.tf")).expect("a file");

    // A pool alone: the way to its balancer is with it.
    terraform.write("main.tf", &text.replace("retries  = 1", "retries  = 3"));
    assert_eq!(actions(&terraform.plan().await).len(), 1);
    let args = ["apply", "-no-color", "plan.bin"];
    terraform
        .run(&args)
        .await
        .expect_success("a change of the pool alone");
    terraform
        .assert_empty_plan("after the pool was changed")
        .await;

    // A new one on a balancer that does not change.
    let more = "resource \"lbctl_pool\" \"more\" {\n  balancer = lbctl_balancer.lb1.access\n  name = \"more\"\n}\n";
    terraform.write("more.tf", more);
    terraform.apply().await;
    terraform
        .assert_empty_plan("after another pool was made")
        .await;

    heal(&terraform, &machine).await;

    // One that was taken away comes back with everything, in one apply.
    take_away(&machine).await;
    let again = actions(&terraform.plan().await);
    assert!(
        again.iter().all(|(_, done)| done == &["create"]),
        "{again:?}"
    );
    terraform.apply().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    terraform.assert_empty_plan("after it was made anew").await;

    no_secret(&terraform).await;
    terraform.destroy().await;
    assert_bare(&machine).await;
}

/// Somebody removes a balancer without telling anybody.
async fn take_away(machine: &Machine) {
    let remove = "systemctl disable --now lbctl; userdel lbctl; rm -rf /opt/lbctl /etc/lbctl /var/lib/lbctl \
        /var/log/lbctl /usr/local/bin/lbctl /etc/systemd/system/lbctl.service; systemctl daemon-reload";
    machine.must(&["sh", "-c", remove]).await;
}

/// The token is in the state, and nowhere that anybody is shown.
async fn no_secret(terraform: &Terraform) {
    let access = values(terraform, "lbctl_balancer").await["access"].clone();
    let token = access.as_str().and_then(|text| text.rsplit('#').next());
    let token = token.expect("a token");
    assert!(token.len() > 20, "{token}");
    let log = fs::read_to_string(terraform.path("steps.log")).expect("the log");
    assert!(log.contains("a step is done"), "the steps are in the log");
    let mut shown = vec![log];
    for args in [
        &["show", "-no-color"][..],
        &["plan", "-no-color", "-destroy"],
    ] {
        let told = terraform.run(args).await;
        assert!(told.stdout.contains("(sensitive value)"), "{told:?}");
        shown.extend([told.stdout, told.stderr]);
    }
    for text in shown {
        assert!(!text.contains(token), "the token is in: {text}");
    }
}

#[tokio::test]
async fn the_document_and_the_program_are_changed_live_and_the_plan_says_what_that_does() {
    let (machine, terraform) = (Machine::start().await, folder().await);
    terraform.write(
        "main.tf",
        &balancer("lb1", &machine, "document = \"lb.toml\""),
    );
    terraform.apply().await;
    terraform.assert_empty_plan("after it was made").await;
    terraform.write("lb.toml", &DOCUMENT.replace("\"hello\" }", "\"again\" }"));
    let plan = terraform.plan().await.to_string();
    assert!(plan.contains("virtual_services.shop.rules.hello"), "{plan}");
    terraform.apply().await;
    assert_eq!(get(&machine).await.as_deref(), Some("again"));
    terraform
        .assert_empty_plan("after the document was changed")
        .await;

    // The same as a text, and another program.
    let text = DOCUMENT.replace("\"hello\" }", "\"text\" }");
    let more = format!("document_text = <<-END\n{text}\nEND\n");
    let other = balancer("lb1", &machine, &more).replace("\"lbctl\"\n", "\"other\"\n");
    let mut bytes = fs::read(terraform.path("lbctl")).expect("the program");
    bytes.extend(b"other");
    fs::copy(terraform.path("lbctl"), terraform.path("other")).expect("a copy");
    fs::write(terraform.path("other"), bytes).expect("another program");
    terraform.write("main.tf", &other);
    let before = machine.must(&["readlink", "/opt/lbctl/current"]).await;
    terraform.apply().await;
    assert_eq!(get(&machine).await.as_deref(), Some("text"));
    assert_ne!(
        machine.must(&["readlink", "/opt/lbctl/current"]).await,
        before
    );
    terraform
        .assert_empty_plan("after the program was changed")
        .await;

    // Another machine is another balancer, and nothing is left of the one before.
    let next = Machine::start().await;
    terraform.write("main.tf", &balancer("lb1", &next, "document = \"lb.toml\""));
    let replaced = actions(&terraform.plan().await);
    assert_eq!(replaced[0].1, ["delete", "create"], "{replaced:?}");
    terraform.apply().await;
    assert_eq!(get(&next).await.as_deref(), Some("again"));
    assert_bare(&machine).await;

    // The data source says what it does.
    let data = format!(
        "data \"lbctl_balancer\" \"lb1\" {{\n  name = \"lb1\"\n  fleet = \"production\"\n  target = {}\n}}\n",
        next.target()
    );
    terraform.write("data.tf", &data);
    terraform.apply().await;
    let state = terraform.state().await["values"]["root_module"]["resources"].clone();
    let all = state.as_array().expect("resources").iter();
    let read = all
        .clone()
        .find(|found| found["mode"] == "data")
        .expect("a data source");
    assert_eq!(read["values"]["serves"], true, "{read}");
    assert_eq!(read["values"]["condition"], "active", "{read}");
    assert!(
        read["values"]["revision"]
            .as_i64()
            .is_some_and(|number| number > 0),
        "{read}"
    );
}

/// Waits until the log of the provider says that a step begins of which `is_it` says that it is the one.
async fn begins(
    terraform: &Terraform,
    child: &mut Child,
    is_it: impl Fn(&str) -> bool,
) -> Option<String> {
    loop {
        let log = fs::read_to_string(terraform.path("steps.log")).unwrap_or_default();
        let lines = log.lines().filter(|line| line.contains("a step begins"));
        let steps = lines.filter_map(|line| line.split("step=").nth(1)?.split_whitespace().next());
        if let Some(step) = steps
            .map(|step| step.trim_matches('"'))
            .find(|step| is_it(step))
        {
            return Some(step.to_owned());
        }
        if child.try_wait().expect("a child").is_some() {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn signal(child: &Child, signal: Signal) {
    let id = child.id().expect("it runs").cast_signed();
    kill_process_group(Pid::from_raw(id).expect("a process"), signal).expect("a signal");
}

#[tokio::test]
async fn a_kill_in_each_step_leaves_one_machine_that_the_next_apply_finishes() {
    let (machine, terraform) = (Machine::start().await, folder().await);
    terraform.write(
        "main.tf",
        &balancer("lb1", &machine, "document = \"lb.toml\""),
    );
    let apply = ["apply", "-auto-approve", "-no-color", "-lock=false"];
    let mut steps: Vec<String> = Vec::new();
    loop {
        drop(fs::remove_file(terraform.path("steps.log")));
        let mut child = terraform.start(&apply);
        let is_new = |step: &str| !steps.iter().any(|known| known == step);
        let Some(step) = begins(&terraform, &mut child, is_new).await else {
            break;
        };
        signal(&child, Signal::KILL);
        child.wait().await.expect("an end");
        steps.push(step);
    }
    let all = [
        "claim", "account", "release", "unit", "file", "switch", "access",
    ];
    assert_eq!(steps, all);
    terraform
        .run(&apply)
        .await
        .expect_success("what was interrupted");
    terraform.assert_empty_plan("after the kills").await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    // Taking it away is interrupted, too, and finished.
    drop(fs::remove_file(terraform.path("steps.log")));
    let destroy = ["destroy", "-auto-approve", "-no-color", "-lock=false"];
    let mut child = terraform.start(&destroy);
    assert!(
        begins(&terraform, &mut child, |step| step == "destroy")
            .await
            .is_some()
    );
    signal(&child, Signal::KILL);
    child.wait().await.expect("an end");
    terraform.run(&destroy).await.expect_success("destroy");
    assert_bare(&machine).await;
}

#[tokio::test]
async fn an_interrupt_finishes_the_step_and_loses_no_machine() {
    let (machine, terraform) = (Machine::start().await, folder().await);
    terraform.write(
        "main.tf",
        &balancer("lb1", &machine, "document = \"lb.toml\""),
    );
    let mut child = terraform.start(&["apply", "-auto-approve", "-no-color"]);
    assert!(
        begins(&terraform, &mut child, |step| step == "release")
            .await
            .is_some()
    );
    signal(&child, Signal::INT);
    let status = child.wait().await.expect("an end");
    assert!(!status.success());
    assert!(!machine.has("/etc/systemd/system/lbctl.service").await);
    let releases = machine.must(&["ls", "/opt/lbctl/releases"]).await;
    assert_eq!(releases.lines().count(), 1, "{releases}");
    assert_eq!(values(&terraform, "lbctl_balancer").await["name"], "lb1");
    terraform.apply().await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    terraform.assert_empty_plan("after the interrupt").await;
}

#[tokio::test]
async fn a_machine_of_somebody_else_is_refused_until_it_is_imported() {
    let (machine, terraform) = (Machine::start().await, folder().await);
    let fleet = format!(
        "name = \"production\"\n[balancers.lb1]\ntarget = {}\ndocument = \"lb.toml\"\nprogram = \"lbctl\"\n",
        machine.target()
    );
    terraform.write("fleet.toml", &fleet);
    let mut command = tokio::process::Command::new(terraform.path("lbctl"));
    command
        .args(["provision", "apply", "--yes"])
        .current_dir(terraform.path(""));
    let applied = lb_tests::run_within(Duration::from_mins(2), &mut command).await;
    applied.expect_success("lbctl provision apply");
    terraform.write(
        "main.tf",
        &balancer("lb1", &machine, "document = \"lb.toml\""),
    );
    let words = ["belongs to somebody else", "import it", "main.tf line"];
    fails(&terraform, &["plan"], &words).await;
    // With a block, as everything that is imported; the plan shows what that takes.
    let import = "import {\n  to = lbctl_balancer.lb1\n  id = \"production/lb1\"\n}\n";
    terraform.write("import.tf", import);
    let plan = terraform.plan().await.to_string();
    assert!(plan.contains("~ mark of the fleet production"), "{plan}");
    terraform.apply().await;
    fs::remove_file(terraform.path("import.tf")).expect("a file");
    terraform.assert_empty_plan("after it was imported").await;
    assert_eq!(get(&machine).await.as_deref(), Some("hello"));
    // The other one is told now.
    let mut command = tokio::process::Command::new(terraform.path("lbctl"));
    command
        .args(["provision", "plan"])
        .current_dir(terraform.path(""));
    let planned = lb_tests::run_within(Duration::from_mins(2), &mut command).await;
    assert!(
        planned.stdout.contains("belongs to somebody else"),
        "{planned:?}"
    );
    // And by command, into an empty state.
    fs::remove_file(terraform.path("terraform.tfstate")).expect("a state");
    let args = [
        "import",
        "-no-color",
        "lbctl_balancer.lb1",
        "production/lb1",
    ];
    terraform
        .run(&args)
        .await
        .expect_success("terraform import");
    terraform.apply().await;
    terraform
        .assert_empty_plan("after it was imported by command")
        .await;
    terraform.destroy().await;
    assert_bare(&machine).await;
}

#[tokio::test]
async fn the_members_of_a_cluster_are_never_changed_at_the_same_time_and_a_bad_one_stops_the_rest()
{
    let (one, two) = tokio::join!(Machine::start(), Machine::start());
    let terraform = folder().await;
    let more = "document = \"lb.toml\"\n  cluster = \"edge\"";
    let pair = |program: &str| {
        let both = balancer("lb1", &one, more) + &balancer("lb2", &two, more);
        both.replace("\"lbctl\"\n", &format!("\"{program}\"\n"))
    };
    terraform.write("main.tf", &pair("lbctl"));
    terraform.apply().await;
    let log = fs::read_to_string(terraform.path("steps.log")).expect("the log");
    let lines = log.lines().filter(|line| line.contains("a step begins"));
    let whose: Vec<&str> = lines
        .map(|line| {
            if line.contains("balancer=lb1") {
                "lb1"
            } else {
                "lb2"
            }
        })
        .collect();
    let changes = whose.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(whose.len() >= 12 && changes == 1, "{whose:?}");
    terraform.assert_empty_plan("after both were made").await;

    // A program that ends at once is taken back on one, and never reaches the other.
    let mut bytes = fs::read("/bin/true").expect("a program");
    bytes.extend(b"bad");
    fs::write(terraform.path("ends"), bytes).expect("a program");
    run(
        "chmod",
        &["755", terraform.path("ends").to_str().expect("UTF-8")],
    )
    .await;
    terraform.write("main.tf", &pair("ends"));
    let words = ["is left as it is", "another one of the cluster `edge`"];
    fails(&terraform, &["apply", "-auto-approve"], &words).await;
    for machine in [&one, &two] {
        assert_eq!(get(machine).await.as_deref(), Some("hello"));
    }
    let counts = [count(&one).await, count(&two).await];
    assert_eq!(counts.iter().sum::<usize>(), 3, "{counts:?}");
    terraform.write("main.tf", &pair("lbctl"));
    terraform.apply().await;
    terraform
        .assert_empty_plan("after the good program is back")
        .await;
}

/// How many releases are on a machine.
async fn count(machine: &Machine) -> usize {
    machine
        .must(&["ls", "/opt/lbctl/releases"])
        .await
        .lines()
        .count()
}
