//! A cloud in memory, and balancers in it, for tests: each call can be the last one of a run, before it is done or
//! after.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use lb_aws::{
    Address, Answer, By, Cloud, CloudError, Group, Image, Instance, Key, Launch, Network, NewGroup,
    Rule, State, Tags,
};
use lb_client::ClientError;
use lb_model::value::{Fingerprint, Name};

use super::site::Balancers;
use crate::target::appliance::Told;
use crate::wanted::{Access, Document};

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) instances: BTreeMap<String, Instance>,
    pub(super) keys: BTreeMap<String, Key>,
    pub(super) addresses: BTreeMap<String, Address>,
    tokens: BTreeMap<String, (String, String)>,
    user_data: BTreeMap<String, String>,
    used: Vec<String>,
    count: u32,
}

/// A cloud that can be interrupted.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) world: Mutex<World>,
    /// The images that have no balancer in them.
    pub(super) bad: Vec<String>,
    pub(super) calls: Mutex<u32>,
    /// The call that is the last one, and whether it is done still.
    pub(super) crash: Mutex<Option<(u32, bool)>>,
    /// Machines that looks by tags do not show, as long as there are so many looks to come.
    pub(super) unseen: Mutex<u32>,
}

fn crashed() -> CloudError {
    CloudError::Unreachable {
        why: "crash".to_owned(),
    }
}

fn lacks(code: &str) -> CloudError {
    CloudError::NotFound {
        code: code.to_owned(),
        message: String::new(),
    }
}

fn fits(by: &By, id: &str, name: &str, tags: &Tags) -> bool {
    match by {
        By::Id(wanted) => wanted == id,
        By::Name(wanted) | By::Token(wanted) => wanted == name,
        By::Tags(wanted) => wanted
            .iter()
            .all(|(key, value)| tags.get(key) == Some(value)),
    }
}

impl Fake {
    /// Begins a run that ends at this call.
    pub(super) fn begin(&self, crash: Option<(u32, bool)>) {
        *self.calls.lock().unwrap() = 0;
        *self.crash.lock().unwrap() = crash;
    }

    pub(super) fn calls(&self) -> u32 {
        *self.calls.lock().unwrap()
    }

    fn call<T>(&self, act: impl FnOnce(&mut World) -> Answer<T>) -> Answer<T> {
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        let crash = *self.crash.lock().unwrap();
        match crash {
            Some((last, is_done)) if *calls >= last => {
                if is_done && *calls == last {
                    drop(act(&mut self.world.lock().unwrap()));
                }
                Err(crashed())
            }
            Some(_) | None => act(&mut self.world.lock().unwrap()),
        }
    }

    /// Everything that costs money or stands in the way.
    pub(super) fn alive(&self) -> (usize, usize, usize, usize) {
        let world = self.world.lock().unwrap();
        let instances = world.instances.values();
        let instances = instances.filter(|instance| !instance.state.is_gone());
        (
            instances.count(),
            world.groups.len(),
            world.addresses.len(),
            world.keys.len(),
        )
    }
}

fn next(world: &mut World, prefix: &str) -> String {
    world.count += 1;
    format!("{prefix}-{}", world.count)
}

fn instance<'w>(world: &'w mut World, id: &str) -> Answer<&'w mut Instance> {
    let found = world.instances.get_mut(id);
    found.ok_or_else(|| lacks("InvalidInstanceID.NotFound"))
}

impl Cloud for Fake {
    async fn network(&self, _: Option<&str>) -> Answer<Option<Network>> {
        self.call(|_| {
            Ok(Some(Network {
                vpc: "vpc-1".to_owned(),
                account: "1".to_owned(),
            }))
        })
    }

    async fn image(&self, id: &str) -> Answer<Option<Image>> {
        self.call(|_| {
            Ok(Some(Image {
                name: id.to_owned(),
                state: "available".to_owned(),
                root_device: "/dev/xvda".to_owned(),
            }))
        })
    }

    async fn instances(&self, by: &By) -> Answer<Vec<Instance>> {
        self.call(|world| {
            let mut unseen = self.unseen.lock().unwrap();
            if matches!(by, By::Tags(_)) && *unseen > 0 {
                *unseen -= 1;
                return Ok(Vec::new());
            }
            let tokens = &world.tokens;
            let token = |id: &str| {
                let mut tokens = tokens.iter();
                let found = tokens.find(|(_, (_, made))| made == id);
                found.map(|(token, _)| token.clone()).unwrap_or_default()
            };
            let found = world.instances.values();
            let found = found.filter(|found| fits(by, &found.id, &token(&found.id), &found.tags));
            Ok(found.cloned().collect())
        })
    }

    async fn groups(&self, by: &By) -> Answer<Vec<Group>> {
        self.call(|world| {
            let found = world.groups.values();
            let found = found.filter(|found| fits(by, &found.id, &found.name, &found.tags));
            Ok(found.cloned().collect())
        })
    }

    async fn keys(&self, by: &By) -> Answer<Vec<Key>> {
        self.call(|world| {
            let found = world.keys.values();
            let found = found.filter(|found| fits(by, &found.id, &found.name, &found.tags));
            Ok(found.cloned().collect())
        })
    }

    async fn addresses(&self, by: &By) -> Answer<Vec<Address>> {
        self.call(|world| {
            let found = world.addresses.values();
            let found = found.filter(|found| fits(by, &found.id, "", &found.tags));
            Ok(found.cloned().collect())
        })
    }

    async fn make_group(&self, group: &NewGroup) -> Answer<String> {
        self.call(|world| {
            if world.groups.values().any(|found| found.name == group.name) {
                return Err(CloudError::Exists {
                    code: "InvalidGroup.Duplicate".to_owned(),
                    message: String::new(),
                });
            }
            let id = next(world, "sg");
            let made = Group {
                id: id.clone(),
                name: group.name.clone(),
                vpc: group.vpc.clone(),
                rules: Vec::new(),
                tags: group.tags.clone(),
            };
            world.groups.insert(id.clone(), made);
            Ok(id)
        })
    }

    async fn open(&self, group: &str, rules: &[Rule]) -> Answer<()> {
        self.call(|world| {
            if let Some(group) = world.groups.get_mut(group) {
                group.rules.extend(rules.iter().cloned());
            }
            Ok(())
        })
    }

    async fn shut(&self, group: &str, rules: &[Rule]) -> Answer<()> {
        self.call(|world| {
            if let Some(group) = world.groups.get_mut(group) {
                group.rules.retain(|rule| !rules.contains(rule));
            }
            Ok(())
        })
    }

    async fn delete_group(&self, id: &str) -> Answer<()> {
        self.call(|world| {
            let mut alive = world.instances.values();
            if alive.any(|instance| instance.state != State::Terminated) {
                return Err(CloudError::InUse {
                    message: String::new(),
                });
            }
            world.groups.remove(id);
            Ok(())
        })
    }

    async fn import_key(&self, name: &str, _: &str, tags: &Tags) -> Answer<()> {
        self.call(|world| {
            if world.keys.values().any(|key| key.name == name) {
                return Err(CloudError::Exists {
                    code: "InvalidKeyPair.Duplicate".to_owned(),
                    message: String::new(),
                });
            }
            let id = next(world, "key");
            let key = Key {
                id: id.clone(),
                name: name.to_owned(),
                tags: tags.clone(),
            };
            world.keys.insert(id, key);
            Ok(())
        })
    }

    async fn delete_key(&self, name: &str) -> Answer<()> {
        self.call(|world| {
            world.keys.retain(|_, key| key.name != name);
            Ok(())
        })
    }

    async fn launch(&self, launch: &Launch) -> Answer<Instance> {
        self.call(|world| {
            if launch.is_trial {
                return Err(CloudError::WouldWork);
            }
            let parameters = format!("{launch:?}{}", launch.user_data);
            if let Some((made_of, id)) = world.tokens.get(&launch.token) {
                let made = world.instances.get(id).cloned();
                return match made.filter(|made| !made.state.is_gone()) {
                    None => Err(CloudError::TokenOver),
                    Some(_) if *made_of != parameters => Err(CloudError::TokenUsed),
                    Some(made) => Ok(made),
                };
            }
            let id = next(world, "i");
            let number = u8::try_from(world.count).unwrap();
            let made = Instance {
                id: id.clone(),
                state: State::Running,
                reason: None,
                image: launch.image.clone(),
                kind: launch.kind.clone(),
                subnet: launch.subnet.clone(),
                key: launch.key.clone(),
                is_spot: launch.is_spot,
                public: Some([10, 0, 0, number].into()),
                private: None,
                volumes: Vec::new(),
                interfaces: Vec::new(),
                tags: launch.tags.clone(),
            };
            world
                .tokens
                .insert(launch.token.clone(), (parameters, id.clone()));
            world.user_data.insert(id.clone(), launch.user_data.clone());
            world.instances.insert(id, made.clone());
            Ok(made)
        })
    }

    async fn start(&self, id: &str) -> Answer<()> {
        self.call(|world| {
            instance(world, id)?.state = State::Running;
            Ok(())
        })
    }

    async fn stop(&self, id: &str) -> Answer<()> {
        self.call(|world| {
            instance(world, id)?.state = State::Stopped;
            Ok(())
        })
    }

    async fn terminate(&self, id: &str) -> Answer<()> {
        self.call(|world| {
            instance(world, id)?.state = State::Terminated;
            for address in world.addresses.values_mut() {
                address.given.take_if(|(owner, _)| owner == id);
            }
            Ok(())
        })
    }

    async fn change_kind(&self, id: &str, kind: &str) -> Answer<()> {
        self.call(|world| {
            kind.clone_into(&mut instance(world, id)?.kind);
            Ok(())
        })
    }

    async fn user_data(&self, id: &str) -> Answer<Option<String>> {
        self.call(|world| Ok(world.user_data.get(id).cloned()))
    }

    async fn put_user_data(&self, id: &str, text: &str) -> Answer<()> {
        self.call(|world| {
            world.user_data.insert(id.to_owned(), text.to_owned());
            Ok(())
        })
    }

    async fn allocate(&self, tags: &Tags) -> Answer<Address> {
        self.call(|world| {
            let id = next(world, "eip");
            let number = u8::try_from(world.count).unwrap();
            let address = Address {
                id: id.clone(),
                address: Some([203, 0, 113, number].into()),
                given: None,
                tags: tags.clone(),
            };
            world.addresses.insert(id, address.clone());
            Ok(address)
        })
    }

    async fn associate(&self, address: &str, id: &str) -> Answer<()> {
        self.call(|world| {
            let Some(found) = world.addresses.get_mut(address) else {
                return Err(lacks("InvalidAllocationID.NotFound"));
            };
            found.given = Some((id.to_owned(), format!("link-{address}")));
            let public = found.address;
            instance(world, id)?.public = public;
            Ok(())
        })
    }

    async fn disassociate(&self, link: &str) -> Answer<()> {
        self.call(|world| {
            for address in world.addresses.values_mut() {
                address.given.take_if(|(_, found)| found == link);
            }
            Ok(())
        })
    }

    async fn release(&self, address: &str) -> Answer<()> {
        self.call(|world| {
            world.addresses.remove(address);
            Ok(())
        })
    }

    async fn tag(&self, ids: &[String], tags: &Tags) -> Answer<()> {
        self.call(|world| {
            for id in ids {
                let found = world.instances.get_mut(id).map(|found| &mut found.tags);
                let found = found.or(world.groups.get_mut(id).map(|found| &mut found.tags));
                let found = found.or(world.keys.get_mut(id).map(|found| &mut found.tags));
                let found = found.or(world.addresses.get_mut(id).map(|found| &mut found.tags));
                if let Some(found) = found {
                    found.extend(tags.clone());
                }
            }
            Ok(())
        })
    }

    async fn untag(&self, ids: &[String], keys: &[String]) -> Answer<()> {
        self.call(|world| {
            for id in ids {
                if let Some(found) = world.instances.get_mut(id) {
                    found.tags.retain(|key, _| !keys.contains(key));
                }
                if let Some(found) = world.groups.get_mut(id) {
                    found.tags.retain(|key, _| !keys.contains(key));
                }
            }
            Ok(())
        })
    }

    async fn console(&self, _: &str) -> Answer<String> {
        self.call(|_| Ok("no operating system was found".to_owned()))
    }
}

thread_local! {
    static CERTIFICATES: Cell<u8> = const { Cell::new(0) };
}

impl Fake {
    fn speaks(&self, address: SocketAddr) -> Result<(), ClientError> {
        let world = self.world.lock().unwrap();
        let mut machines = world.instances.values();
        let machine = machines.find(|machine| {
            machine.public == Some(address.ip()) && machine.state == State::Running
        });
        match machine {
            Some(machine) if !self.bad.contains(&machine.image) => Ok(()),
            Some(_) | None => Err(ClientError::Unspeakable("nobody answers".to_owned())),
        }
    }
}

impl Balancers for Fake {
    async fn look(&self, _: &Access, _: Option<&Document>) -> Told {
        Told {
            plan: Some(lb_model::plan::Plan::default()),
            ..Told::default()
        }
    }

    async fn enrol(
        &self,
        address: SocketAddr,
        token: &str,
        _: &Name,
        _: Duration,
    ) -> Result<Access, ClientError> {
        self.speaks(address)?;
        let mut world = self.world.lock().unwrap();
        if world.used.iter().any(|used| used == token) {
            return Err(ClientError::Distrusted {
                address: lb_client::Address::Tls {
                    host: address.ip().to_string(),
                    port: address.port(),
                },
                source: lb_client::Distrust::OtherToken,
            });
        }
        world.used.push(token.to_owned());
        let number = CERTIFICATES.with(|count| {
            count.set(count.get().wrapping_add(1));
            count.get()
        });
        Ok(Access {
            address,
            token: format!("lbctl_{number}"),
            fingerprint: Some(Fingerprint::new([number; 32])),
        })
    }

    async fn is_well(&self, access: &Access, _: Duration) -> Result<(), ClientError> {
        self.speaks(access.address)
    }

    async fn apply(&self, access: &Access, _: &Document) -> Result<(), ClientError> {
        self.speaks(access.address)
    }

    async fn document(&self, access: &Access) -> Result<String, ClientError> {
        self.speaks(access.address)?;
        Ok(String::new())
    }
}
