//! Terraform with our provider, as an administrator runs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Balancer, Finished, lbctl_path, run_within};

/// How long one command of Terraform may take.
const LIMIT: Duration = Duration::from_mins(2);

/// A folder with a configuration, and the program that carries it out.
#[derive(Debug)]
pub struct Terraform {
    folder: TempDir,
    /// What is set for the program.
    variables: Vec<(String, String)>,
}

impl Terraform {
    /// A folder whose configuration is about this balancer. Terraform takes the provider that was built
    /// with these tests, so that there is nothing to initialise.
    pub fn of(balancer: &Balancer) -> Self {
        let terraform = Self::new();
        let endpoint = format!("unix:{}", balancer.socket().display());
        terraform.write(
            "provider.tf",
            &provider_block(&format!("endpoint = \"{endpoint}\"")),
        );
        terraform
    }

    /// A folder without a configuration.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("lbctl-terraform-").expect("a folder");
        let rc = folder.path().join("terraform.rc");
        let built = provider_path();
        let built = built.parent().expect("a program lies in a folder");
        let text = format!(
            "provider_installation {{\n  dev_overrides {{ \"lbctl/lbctl\" = \"{}\" }}\n  direct {{}}\n}}\n",
            built.display()
        );
        std::fs::write(&rc, text).expect("write the settings of terraform");
        let rc = rc.to_str().expect("UTF-8").to_owned();
        let mut terraform = Self {
            folder,
            variables: Vec::new(),
        };
        terraform.set("TF_CLI_CONFIG_FILE", &rc);
        terraform.set("CHECKPOINT_DISABLE", "1");
        terraform.set("TF_IN_AUTOMATION", "1");
        terraform
    }

    /// Sets a variable of its environment from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file of the configuration.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
    }

    /// A file of the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command of terraform, ready to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(terraform_path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("LBCTL_") || name.starts_with("TF_") {
                command.env_remove(name.as_ref());
            }
        }
        command.current_dir(self.folder.path()).args(args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Finished {
        run_within(LIMIT, &mut self.command(args)).await
    }

    /// Starts a command in a group of processes of its own, as a shell does.
    pub fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command.spawn().expect("start terraform")
    }

    /// Applies the configuration, which must succeed, and gives what it printed.
    pub async fn apply(&self) -> String {
        let applied = self.run(&["apply", "-auto-approve", "-no-color"]).await;
        applied.expect_success("terraform apply")
    }

    /// Destroys everything, which must succeed.
    pub async fn destroy(&self) {
        let destroyed = self.run(&["destroy", "-auto-approve", "-no-color"]).await;
        destroyed.expect_success("terraform destroy");
    }

    /// What `terraform plan` would do, as JSON.
    pub async fn plan(&self) -> Value {
        let planned = self.run(&["plan", "-no-color", "-out=plan.bin"]).await;
        planned.expect_success("terraform plan");
        let shown = self.run(&["show", "-json", "plan.bin"]).await;
        parsed(&shown.expect_success("terraform show"))
    }

    /// Checks that there is nothing to do.
    pub async fn assert_empty_plan(&self, when: &str) {
        let args = ["plan", "-no-color", "-detailed-exitcode"];
        let planned = self.run(&args).await;
        assert_eq!(
            planned.code(),
            0,
            "{when}: {}\n{}",
            planned.stdout,
            planned.stderr
        );
    }

    /// What is wrong with the configuration, as JSON.
    pub async fn validate(&self) -> Vec<Value> {
        let validated = self.run(&["validate", "-json"]).await;
        let told = parsed(&validated.stdout);
        told["diagnostics"].as_array().cloned().unwrap_or_default()
    }

    /// The state, as JSON.
    pub async fn state(&self) -> Value {
        let shown = self.run(&["show", "-json"]).await;
        parsed(&shown.expect_success("terraform show"))
    }
}

impl Default for Terraform {
    fn default() -> Self {
        Self::new()
    }
}

/// The part of a configuration that names the provider and says how to reach the balancer.
pub fn provider_block(settings: &str) -> String {
    format!(
        "terraform {{\n  required_providers {{\n    lbctl = {{\n      source = \"lbctl/lbctl\"\n    }}\n  \
         }}\n}}\n\nprovider \"lbctl\" {{\n  {settings}\n}}\n"
    )
}

/// Where the provider is: beside `lbctl`.
pub fn provider_path() -> PathBuf {
    let lbctl = lbctl_path();
    let built = lbctl.with_file_name("terraform-provider-lbctl");
    assert!(
        built.exists(),
        "{} is missing: cargo build --release -p terraform-provider-lbctl",
        built.display()
    );
    built
}

/// Where terraform is: what `TERRAFORM` names, or what the shell finds.
fn terraform_path() -> PathBuf {
    let named = std::env::var_os("TERRAFORM").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&paths).map(|path| path.join("terraform"));
        let mut found = found.filter(|path: &PathBuf| Path::is_file(path));
        found.next().expect(
            "terraform 1.11 or later is missing: unpack it from developer.hashicorp.com/terraform/install \
             into a folder of PATH, or name it with TERRAFORM",
        )
    })
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text:?}"))
}
