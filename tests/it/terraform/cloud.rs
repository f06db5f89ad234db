//! Instances of a cloud and the pool that they serve in, in one configuration: the real provider of AWS
//! against a server that answers as AWS does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_tests::{Process, Terraform, free_port, note, provider_path, python, run_lbctl, run_within};
use serde_json::Value;

use super::{document, empty};

/// Where providers of others are kept in folders of Terraform's form.
fn mirror() -> Option<PathBuf> {
    let named = std::env::var_os("TERRAFORM_MIRROR").map(PathBuf::from);
    let home = std::env::home_dir().map(|home| home.join(".terraform.d/plugins"));
    let shared = [
        "/usr/local/share/terraform/plugins",
        "/usr/share/terraform/plugins",
    ]
    .map(PathBuf::from);
    let optional = std::fs::read_dir("/opt")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    let mut all = named
        .into_iter()
        .chain(home)
        .chain(shared)
        .chain(optional.map(|entry| entry.path()));
    all.find(|path| path.join("registry.terraform.io/hashicorp/aws").is_dir())
}

const FARM: &str = r#"
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
    lbctl = {
      source = "lbctl/lbctl"
    }
  }
}

provider "lbctl" {
  endpoint = "@balancer"
}

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
  endpoints {
    ec2 = "@cloud"
    sts = "@cloud"
  }
}

resource "aws_vpc" "farm" {
  cidr_block = "10.7.0.0/16"
}

resource "aws_subnet" "farm" {
  vpc_id     = aws_vpc.farm.id
  cidr_block = "10.7.1.0/24"
}

resource "aws_instance" "web" {
  count         = 3
  ami           = "ami-12c6146b"
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.farm.id
}

resource "lbctl_pool" "web" {
  name         = "web"
  health_check = {}
  servers      = { for i, instance in aws_instance.web : "web${i}" => { address = "${instance.private_ip}:80" } }
}

resource "lbctl_virtual_service" "shop" {
  name    = "shop"
  address = "127.0.0.1:0"
  pool    = lbctl_pool.web.name
}
"#;

/// Does something in the cloud.
async fn cloud(url: &str, args: &[&str]) -> String {
    let mut command = python("ec2.py");
    command.arg(url).args(args);
    run_within(Duration::from_mins(1), &mut command)
        .await
        .expect_success("the cloud")
}

/// Terraform with the two providers, each from its mirror.
async fn with_both(theirs: &Path) -> Terraform {
    let mut terraform = Terraform::new();
    let ours = terraform.path("mirror");
    let dir = ours.to_str().expect("UTF-8");
    let provider = provider_path();
    let provider = provider.to_str().expect("UTF-8");
    let args = ["terraform", "install", "--dir", dir, "--provider", provider];
    run_lbctl(&args)
        .await
        .expect_success("install the provider");
    let mirror = |path: &Path, of: &str| {
        format!(
            "  filesystem_mirror {{\n    path    = \"{}\"\n    include = [\"{of}/*\"]\n  }}\n",
            path.display()
        )
    };
    let both = [mirror(theirs, "hashicorp"), mirror(&ours, "lbctl")].concat();
    terraform.write("both.rc", &format!("provider_installation {{\n{both}}}\n"));
    let rc = terraform.path("both.rc").display().to_string();
    terraform.set("TF_CLI_CONFIG_FILE", &rc);
    terraform
}

#[tokio::test]
async fn an_instance_that_is_replaced_outside_is_made_anew_and_its_address_follows_in_one_apply() {
    let Some(mirror) = mirror() else {
        note("without hashicorp/aws: name a mirror that has it with TERRAFORM_MIRROR");
        return;
    };
    let address = free_port();
    let url = format!("http://{address}");
    let mut server = python("moto_server.py");
    server.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
    let _cloud = Process::start(&mut server);
    lb_tests::eventually("the cloud answers", async || {
        tokio::net::TcpStream::connect(address).await.ok()
    })
    .await;

    let (balancer, _) = empty().await;
    let terraform = with_both(&mirror).await;
    let endpoint = format!("unix:{}", balancer.socket().display());
    terraform.write(
        "main.tf",
        &FARM.replace("@cloud", &url).replace("@balancer", &endpoint),
    );
    terraform
        .run(&["init", "-no-color"])
        .await
        .expect_success("terraform init");
    terraform.apply().await;
    terraform.assert_empty_plan("instances and pool").await;
    let addresses = async || {
        let now = document(&balancer).await;
        let servers = now["pools"]["web"]["servers"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        servers
            .values()
            .map(|server| server["address"].as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let before = addresses().await;
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(
        before.iter().all(|address| address.starts_with("10.7.1.")),
        "{before:?}"
    );

    let running: Vec<String> =
        serde_json::from_str(&cloud(&url, &["instances"]).await).expect("JSON");
    cloud(&url, &["terminate", &running[1]]).await;
    let said = terraform.apply().await;
    assert!(said.contains("1 added, 1 changed"), "{said}");
    terraform
        .assert_empty_plan("after an instance was replaced")
        .await;
    let after = addresses().await;
    assert_eq!(after.len(), 3);
    assert_ne!(
        after, before,
        "the address of the new instance is in the pool"
    );
    terraform.destroy().await;
    let left: Value = serde_json::from_str(&cloud(&url, &["instances"]).await).expect("JSON");
    assert_eq!(left, serde_json::json!([]));
    assert!(
        document(&balancer).await["pools"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    );
}
