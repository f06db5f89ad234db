//! The machines of a cloud: namespaces in which the real program runs, and the service that tells them what they are.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};

use super::IMAGES;
use crate::machine::free_number;
use crate::peer_file;

/// Counts the addresses of this process.
static NEXT: AtomicU16 = AtomicU16::new(0);

#[derive(Debug)]
struct Machine {
    number: u16,
    image: String,
    user_data: Arc<Mutex<String>>,
    process: Option<Child>,
}

#[derive(Debug)]
pub(super) struct Machines {
    folder: PathBuf,
    lbctl: PathBuf,
    all: Mutex<BTreeMap<String, Machine>>,
    /// Elastic addresses: what the backend calls them, what they are, and the machine that has each.
    elastic: Mutex<BTreeMap<String, (String, Option<String>)>>,
}

/// What is set aside for tests of networks (RFC 2544), the half that machines over SSH do not use.
fn address(number: u16) -> String {
    let (high, low) = (number / 64, number % 64 * 4 + 2);
    format!("198.19.{high}.{low}")
}

impl Machines {
    pub(super) fn new(folder: PathBuf, lbctl: PathBuf) -> Self {
        // Before a machine has its network, and afterwards, nobody on the way to elsewhere may answer in its place.
        let nowhere = ["route", "replace", "unreachable", "198.19.0.0/16"];
        drop(Command::new("ip").args(nowhere).output());
        Self {
            folder,
            lbctl,
            all: Mutex::new(BTreeMap::new()),
            elastic: Mutex::new(BTreeMap::new()),
        }
    }

    pub(super) fn address(&self, id: &str) -> Option<String> {
        let all = self.all.lock().expect("not poisoned");
        all.get(id).map(|machine| address(machine.number))
    }

    pub(super) fn make(&self, id: &str, image: &str, user_data: Option<&str>) {
        let machine = Machine {
            number: free_number("lbi", &NEXT),
            image: image.to_owned(),
            user_data: Arc::new(Mutex::new(plain(user_data.unwrap_or_default()))),
            process: None,
        };
        let mut all = self.all.lock().expect("not poisoned");
        all.insert(id.to_owned(), machine);
    }

    pub(super) fn tell(&self, id: &str, user_data: &str) {
        let all = self.all.lock().expect("not poisoned");
        if let Some(machine) = all.get(id) {
            *machine.user_data.lock().expect("not poisoned") = plain(user_data);
        }
    }

    pub(super) fn start(&self, id: &str) {
        let mut all = self.all.lock().expect("not poisoned");
        let Some(machine) = all.get_mut(id) else {
            return;
        };
        if machine.process.is_some() {
            return;
        }
        let folder = super::folder_of(&self.folder, id);
        std::fs::create_dir_all(&folder).expect("a folder for the machine");
        if machine.image == IMAGES[2] {
            let told = "Booting from Hard Disk...\nno operating system was found\n";
            std::fs::write(folder.join("console"), told).expect("its console");
            return;
        }
        let metadata = metadata(id, &machine.user_data);
        let mut command = Command::new(peer_file("instance"));
        command
            .arg(&folder)
            .arg(format!("lbi{}", machine.number))
            .arg(address(machine.number))
            .arg(metadata)
            .arg(&self.lbctl)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        machine.process = Some(command.spawn().expect("a machine starts"));
        drop(all);
        self.route(id);
    }

    /// Ends it as its power button does.
    pub(super) fn stop(&self, id: &str) {
        let mut all = self.all.lock().expect("not poisoned");
        if let Some(machine) = all.get_mut(id) {
            end(machine);
        }
    }

    pub(super) fn console(&self, id: &str) -> Vec<u8> {
        let path = super::folder_of(&self.folder, id).join("console");
        std::fs::read(path).unwrap_or_default()
    }

    pub(super) fn take_address(&self, of_backend: &str) {
        let mut elastic = self.elastic.lock().expect("not poisoned");
        elastic.insert(
            of_backend.to_owned(),
            (address(free_number("lbi", &NEXT)), None),
        );
    }

    /// The elastic address of a machine.
    pub(super) fn elastic_of(&self, id: &str) -> Option<String> {
        let elastic = self.elastic.lock().expect("not poisoned");
        let mut given = elastic.values();
        let (address, _) = given.find(|(_, owner)| owner.as_deref() == Some(id))?;
        Some(address.clone())
    }

    /// What an elastic address of the backend is.
    pub(super) fn elastic(&self, of_backend: &str) -> Option<String> {
        let elastic = self.elastic.lock().expect("not poisoned");
        elastic.get(of_backend).map(|(address, _)| address.clone())
    }

    /// Gives an elastic address to a machine, or to none.
    pub(super) fn give_address(&self, of_backend: &str, id: Option<&str>) {
        let mut elastic = self.elastic.lock().expect("not poisoned");
        if let Some((_, owner)) = elastic.get_mut(of_backend) {
            *owner = id.map(str::to_owned);
        }
        drop(elastic);
        if let Some(id) = id {
            self.route(id);
        }
    }

    /// Brings the elastic addresses of a machine to it, as soon as it has a network.
    fn route(&self, id: &str) {
        let all = self.all.lock().expect("not poisoned");
        let Some(machine) = all.get(id).filter(|machine| machine.process.is_some()) else {
            return;
        };
        let name = format!("lbi{}", machine.number);
        drop(all);
        let elastic = self.elastic.lock().expect("not poisoned").clone();
        for (address, _) in elastic
            .values()
            .filter(|(_, owner)| owner.as_deref() == Some(id))
        {
            let script = format!(
                "for i in $(seq 100); do ip -n {name} route show default 2>/dev/null | grep -q via && break; \
                 sleep 0.05; done; ip -n {name} address replace {address}/32 dev eth0; \
                 ip route replace {address}/32 dev {name}"
            );
            drop(Command::new("sh").args(["-c", &script]).status());
        }
    }
}

fn plain(encoded: &str) -> String {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn end(machine: &mut Machine) {
    let Some(mut process) = machine.process.take() else {
        return;
    };
    let id = Pid::from_raw(process.id().cast_signed()).expect("a process id is not 0");
    // It may have ended by itself.
    let _ = kill_process(id, Signal::TERM);
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until && process.try_wait().is_ok_and(|ended| ended.is_none()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(process.kill());
    drop(process.wait());
    let name = format!("lbi{}", machine.number);
    for args in [["netns", "del", &name], ["link", "del", &name]] {
        drop(Command::new("ip").args(args).output());
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let mut all = self.all.lock().expect("not poisoned");
        all.values_mut().for_each(end);
    }
}

/// Serves the metadata of a machine, with a token alone (`IMDSv2`), until this process ends.
fn metadata(id: &str, user_data: &Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (id, user_data) = (id.to_owned(), Arc::clone(user_data));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let data = user_data.lock().expect("not poisoned").clone();
            drop(tell(&id, &data, stream));
        }
    });
    format!("HERE:{port}")
}

fn tell(id: &str, user_data: &str, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut has_token) = (String::new(), false);
    reader.read_line(&mut line)?;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        if field.trim().is_empty() {
            break;
        }
        has_token |= field.to_ascii_lowercase().trim() == "x-aws-ec2-metadata-token: secret";
    }
    let mut words = line.split(' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some("PUT"), Some("/latest/api/token")) => (200, "secret"),
        (Some("GET"), _) if !has_token => (401, ""),
        (Some("GET"), Some("/latest/meta-data/instance-id")) => (200, id),
        (Some("GET"), Some("/latest/user-data")) => (200, user_data),
        _ => (404, ""),
    };
    let head = format!(
        "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}
