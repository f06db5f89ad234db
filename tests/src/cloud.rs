//! A cloud: moto answers as EC2 does, and in front of it stands a gateway that makes what moto only writes down. Each
//! machine that runs is a namespace in which the real program starts from its user data; and what goes wrong in
//! EC2 goes wrong here, when a test says so.

mod gateway;
mod machines;
mod xml;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::{Process, eventually, free_port, lbctl_path, python};
use gateway::Gateway;

/// The images that there are: one of the appliance, a second one, and one that has no balancer in it.
pub const IMAGES: [&str; 3] = [
    "ami-00000000000000001",
    "ami-00000000000000002",
    "ami-0000000000000bad0",
];

/// The region of everything.
pub(crate) const REGION: &str = "eu-central-1";

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Each so many calls one is told to come back later.
    pub throttle_every: u32,
    /// How many looks do not show a machine that was made a moment ago.
    pub unseen: u32,
    /// How many looks show a machine on the way from one state to another.
    pub slow: u32,
    /// This action is refused with this code and message.
    pub refused: Option<(String, String, String)>,
    /// The answer to this action is lost, once, after it was done.
    pub cut: Option<String>,
    /// How often a security group is still in use.
    pub in_use: u32,
}

/// A machine, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudMachine {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub state: String,
    /// Where it is reached.
    pub address: String,
}

/// A cloud. It ends with everything in it.
#[derive(Debug)]
pub struct Cloud {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    _moto: Process,
    _folder: TempDir,
}

impl Cloud {
    /// Starts one with nothing in it.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let images = folder.path().join("images.json");
        let listed: Vec<_> = IMAGES.iter().map(|id| image(id)).collect();
        std::fs::write(&images, json!(listed).to_string()).expect("the images");
        let backend = free_port();
        let mut command = python("moto_server.py");
        command
            .args(["-H", "127.0.0.1", "-p", &backend.port().to_string()])
            .env("MOTO_AMIS_PATH", &images)
            .env("MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION", "1")
            .env("MOTO_ENABLE_AMI_VALIDATION", "1");
        let moto = Process::start(&mut command);
        eventually("the cloud answers", async || {
            tokio::net::TcpStream::connect(backend).await.ok()
        })
        .await;
        let gateway = Gateway::new(backend, folder.path().to_owned(), lbctl_path());
        let address = gateway::serve(&gateway);
        Self {
            gateway,
            address,
            _moto: moto,
            _folder: folder,
        }
    }

    /// Where its API is.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong from now on.
    pub fn faults(&self, faults: Faults) {
        *self.gateway.faults.lock().expect("not poisoned") = faults;
    }

    /// The variables with the credentials that it takes.
    pub fn credentials() -> [(&'static str, &'static str); 3] {
        [
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
    }

    /// The target of a balancer in it, as a table of TOML with this heading, such as `balancers.lb1.target.aws`.
    pub fn target(&self, heading: &str, image: &str, more: &str) -> String {
        format!(
            "[{heading}]\nregion = \"{REGION}\"\nimage = \"{image}\"\nendpoint = \"{}\"\n\
             admin_networks = [\"198.19.0.0/16\"]\nstart_timeout = \"60s\"\n{more}\n",
            self.endpoint()
        )
    }

    /// The machines that are not gone.
    pub fn instances(&self) -> Vec<CloudMachine> {
        let all = self.gateway.machines();
        all.into_iter()
            .filter(|machine| machine.state != "terminated")
            .collect()
    }

    /// Asks the backend itself, past everything that goes wrong; gives its answer.
    pub fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.gateway.ask(action, parameters)
    }

    /// How often an action was asked for.
    pub fn count(&self, action: &str) -> usize {
        let counts = self.gateway.counts.lock().expect("not poisoned");
        counts.get(action).copied().unwrap_or_default()
    }

    /// Somebody stops a machine, as from the console of AWS.
    pub fn stop(&self, id: &str) {
        self.gateway
            .handle_now(&[("Action", "StopInstances"), ("InstanceId.1", id)]);
    }

    /// EC2 takes a machine away.
    pub fn take_away(&self, id: &str, reason: &str) {
        self.gateway
            .handle_now(&[("Action", "TerminateInstances"), ("InstanceId.1", id)]);
        let mut reasons = self.gateway.reasons.lock().expect("not poisoned");
        reasons.insert(id.to_owned(), reason.to_owned());
    }

    /// What is left of balancers: machines, security groups, key pairs and addresses with their mark.
    pub fn left(&self) -> Vec<String> {
        let mut left: Vec<String> = self.instances().into_iter().map(|found| found.id).collect();
        for (action, tag) in [
            ("DescribeSecurityGroups", "groupId"),
            ("DescribeKeyPairs", "keyPairId"),
            ("DescribeAddresses", "allocationId"),
        ] {
            let filter = [
                ("Filter.1.Name", "tag-key"),
                ("Filter.1.Value.1", "lbctl:fleet"),
            ];
            left.extend(xml::all(&self.ask(action, &filter), tag));
        }
        left
    }
}

fn image(id: &str) -> serde_json::Value {
    json!({
        "ami_id": id, "name": format!("lbctl {id}"), "state": "available", "public": true,
        "owner_id": "123456789012", "image_location": "amazon/lbctl", "architecture": "x86_64",
        "root_device_type": "ebs", "root_device_name": "/dev/xvda", "virtualization_type": "hvm",
        "hypervisor": "xen", "description": "lbctl",
    })
}

/// A folder of a machine.
pub(crate) fn folder_of(folder: &std::path::Path, id: &str) -> PathBuf {
    folder.join(id)
}

type Shared<T> = Mutex<T>;
