//! The calls, and what they are about.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::error::CloudError;

/// Tags, by key.
pub type Tags = BTreeMap<String, String>;

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// What has all of these tags.
    Tags(Tags),
    /// What has this id.
    Id(String),
    /// What is called like this: security groups and key pairs.
    Name(String),
    /// Instances that were launched with this client token.
    Token(String),
}

/// Where a machine is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The virtual network.
    pub vpc: String,
    /// The account that it belongs to.
    pub account: String,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it is called.
    pub name: String,
    /// Whether machines can be made of it: `available`.
    pub state: String,
    /// The name of its first disk.
    pub root_device: String,
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is being made or started.
    Pending,
    /// It runs.
    Running,
    /// It is on its way to `Stopped`.
    Stopping,
    /// It does not run, and can be started.
    Stopped,
    /// It is on its way to `Terminated`.
    ShuttingDown,
    /// It is gone; EC2 tells of it for an hour.
    Terminated,
}

impl State {
    /// Whether it is gone, or about to be.
    pub const fn is_gone(self) -> bool {
        matches!(self, Self::ShuttingDown | Self::Terminated)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// What it is doing.
    pub state: State,
    /// Why it is not running, as EC2 says.
    pub reason: Option<String>,
    /// The image that it was made of.
    pub image: String,
    /// Its type.
    pub kind: String,
    /// The subnet that it is in.
    pub subnet: Option<String>,
    /// The key pair that it was made with.
    pub key: Option<String>,
    /// Whether EC2 may take it away at any time.
    pub is_spot: bool,
    /// Its address in the world.
    pub public: Option<IpAddr>,
    /// Its address in its network.
    pub private: Option<IpAddr>,
    /// Its disks.
    pub volumes: Vec<String>,
    /// Its network interfaces.
    pub interfaces: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

/// Who may reach a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `tcp` or `udp`, or what else EC2 has.
    pub protocol: String,
    /// The first port.
    pub from: i32,
    /// The last port.
    pub to: i32,
    /// The network.
    pub network: String,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// What it is called, once in a network.
    pub name: String,
    /// The virtual network.
    pub vpc: String,
    /// What it lets in.
    pub rules: Vec<Rule>,
    /// Its tags.
    pub tags: Tags,
}

/// A security group to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The virtual network.
    pub vpc: String,
    /// Its tags.
    pub tags: Tags,
}

/// A key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its tags.
    pub tags: Tags,
}

/// An elastic address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its id.
    pub id: String,
    /// The address.
    pub address: Option<IpAddr>,
    /// The machine that has it, and the id of that link.
    pub given: Option<(String, String)>,
    /// Its tags.
    pub tags: Tags,
}

/// A machine to make.
#[derive(Clone, PartialEq, Eq)]
pub struct Launch {
    /// The same token makes the same machine.
    pub token: String,
    /// The image.
    pub image: String,
    /// The name of the first disk of the image.
    pub root_device: String,
    /// The size of the disk in GiB; when absent, that of the image.
    pub disk_gib: Option<i32>,
    /// The type.
    pub kind: String,
    /// The subnet; when absent, one of the default network.
    pub subnet: Option<String>,
    /// The security group; when empty, the default one of the network.
    pub group: String,
    /// The key pair.
    pub key: Option<String>,
    /// Whether EC2 may take it away at any time, for less money.
    pub is_spot: bool,
    /// What it is told when it starts. There may be a secret in it.
    pub user_data: String,
    /// The tags of everything that is made for it.
    pub tags: Tags,
    /// Only whether it would be allowed.
    pub is_trial: bool,
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("token", &self.token)
            .field("image", &self.image)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The answer to a call.
pub type Answer<T> = Result<T, CloudError>;

/// EC2, or what stands in for it.
pub trait Cloud: Send + Sync {
    /// The network of a subnet, or the default one of the account.
    fn network(&self, subnet: Option<&str>)
    -> impl Future<Output = Answer<Option<Network>>> + Send;
    /// An image.
    fn image(&self, id: &str) -> impl Future<Output = Answer<Option<Image>>> + Send;
    /// Machines.
    fn instances(&self, by: &By) -> impl Future<Output = Answer<Vec<Instance>>> + Send;
    /// Security groups.
    fn groups(&self, by: &By) -> impl Future<Output = Answer<Vec<Group>>> + Send;
    /// Key pairs.
    fn keys(&self, by: &By) -> impl Future<Output = Answer<Vec<Key>>> + Send;
    /// Elastic addresses.
    fn addresses(&self, by: &By) -> impl Future<Output = Answer<Vec<Address>>> + Send;
    /// Makes a security group; gives its id.
    fn make_group(&self, group: &NewGroup) -> impl Future<Output = Answer<String>> + Send;
    /// Lets somebody in.
    fn open(&self, group: &str, rules: &[Rule]) -> impl Future<Output = Answer<()>> + Send;
    /// Lets somebody in no more.
    fn shut(&self, group: &str, rules: &[Rule]) -> impl Future<Output = Answer<()>> + Send;
    /// Removes a security group.
    fn delete_group(&self, id: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Makes a key pair of a public key.
    fn import_key(
        &self,
        name: &str,
        key: &str,
        tags: &Tags,
    ) -> impl Future<Output = Answer<()>> + Send;
    /// Removes a key pair, by its name.
    fn delete_key(&self, name: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Makes a machine.
    fn launch(&self, launch: &Launch) -> impl Future<Output = Answer<Instance>> + Send;
    /// Starts a machine that is stopped.
    fn start(&self, id: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Stops a machine as its power button does.
    fn stop(&self, id: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Takes a machine away for good.
    fn terminate(&self, id: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Makes a machine that is stopped one of another type.
    fn change_kind(&self, id: &str, kind: &str) -> impl Future<Output = Answer<()>> + Send;
    /// What a machine is told when it starts.
    fn user_data(&self, id: &str) -> impl Future<Output = Answer<Option<String>>> + Send;
    /// Tells a machine that is stopped something else when it starts.
    fn put_user_data(&self, id: &str, text: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Takes an elastic address.
    fn allocate(&self, tags: &Tags) -> impl Future<Output = Answer<Address>> + Send;
    /// Gives an elastic address to a machine; who had it before has it no more.
    fn associate(&self, address: &str, instance: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Takes an elastic address from its machine, by the id of that link.
    fn disassociate(&self, link: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Gives an elastic address back.
    fn release(&self, address: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Sets tags.
    fn tag(&self, ids: &[String], tags: &Tags) -> impl Future<Output = Answer<()>> + Send;
    /// Removes tags.
    fn untag(&self, ids: &[String], keys: &[String]) -> impl Future<Output = Answer<()>> + Send;
    /// What a machine has written to its console.
    fn console(&self, id: &str) -> impl Future<Output = Answer<String>> + Send;
}
