//! Between whoever asks and moto: what moto lacks, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::machines::Machines;
use super::{CloudMachine, Faults, Shared, xml};

/// The most that EC2 takes as user data.
const USER_DATA_BYTES_MAX: usize = 16 << 10;

/// A launch that was answered.
#[derive(Debug)]
struct Launched {
    parameters: String,
    id: String,
    answer: String,
}

#[derive(Debug)]
pub(super) struct Gateway {
    backend: SocketAddr,
    pub(super) faults: Shared<Faults>,
    pub(super) counts: Shared<BTreeMap<String, usize>>,
    pub(super) reasons: Shared<BTreeMap<String, String>>,
    tokens: Shared<BTreeMap<String, Launched>>,
    /// Which elastic address of the backend a machine was given by which association.
    associations: Shared<BTreeMap<String, String>>,
    unseen: Shared<BTreeMap<String, u32>>,
    /// The state that is shown for so many looks more.
    passing: Shared<BTreeMap<String, (&'static str, u32)>>,
    gone: Shared<BTreeSet<String>>,
    machines: Machines,
    calls: Shared<u32>,
}

impl Gateway {
    pub(super) fn new(backend: SocketAddr, folder: PathBuf, lbctl: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            backend,
            faults: Mutex::default(),
            counts: Mutex::default(),
            reasons: Mutex::default(),
            tokens: Mutex::default(),
            associations: Mutex::default(),
            unseen: Mutex::default(),
            passing: Mutex::default(),
            gone: Mutex::default(),
            machines: Machines::new(folder, lbctl),
            calls: Mutex::default(),
        })
    }

    /// The machines as the backend knows them, with their real addresses.
    pub(super) fn machines(&self) -> Vec<CloudMachine> {
        let text = self.real(&self.ask("DescribeInstances", &[]));
        let mut found = Vec::new();
        xml::each_machine(&text, |id, own| {
            found.push(CloudMachine {
                id: id.to_owned(),
                state: xml::first(own, "name").unwrap_or_default(),
                address: self.machines.address(id).unwrap_or_default(),
            });
            None
        });
        found
    }

    /// Asks the backend.
    pub(super) fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let mut all = vec![("Action", action), ("Version", "2016-11-15")];
        all.extend(parameters);
        self.forward(&encode(&all)).1
    }

    /// What an administrator does, past everything that goes wrong.
    pub(super) fn handle_now(&self, parameters: &[(&str, &str)]) {
        let mut all = parameters.to_vec();
        all.push(("Version", "2016-11-15"));
        let faults = std::mem::take(&mut *self.faults.lock().expect("not poisoned"));
        drop(self.handle(&encode(&all)));
        *self.faults.lock().expect("not poisoned") = faults;
    }

    /// The status and the body of an answer; nothing when it is lost.
    fn handle(&self, body: &str) -> Option<(u16, String)> {
        let parameters = decode(body);
        let value = |name: &str| parameters.get(name).map(String::as_str);
        let action = value("Action").unwrap_or_default().to_owned();
        *self
            .counts
            .lock()
            .expect("not poisoned")
            .entry(action.clone())
            .or_default() += 1;
        if let Some(error) = self.refused(&action) {
            return Some(error);
        }
        let is_trial = value("DryRun") == Some("true");
        if action == "RunInstances" && !is_trial {
            if let Some(answer) = self.launched_before(&parameters) {
                return Some(answer);
            }
            let data = STANDARD.decode(value("UserData").unwrap_or_default());
            if data.is_ok_and(|data| data.len() > USER_DATA_BYTES_MAX) {
                let told = "User data is limited to 16384 bytes";
                return Some((400, xml::error("InvalidParameterValue", told)));
            }
        }
        if is_trial {
            let told = "Request would have succeeded, but DryRun flag is set.";
            return Some((412, xml::error("DryRunOperation", told)));
        }
        if action == "GetConsoleOutput" {
            return Some((200, self.console(value("InstanceId").unwrap_or_default())));
        }
        let body = with_user_data(&action, &parameters, body);
        let (status, answer) = self.forward(&with_size(&action, &parameters, &body));
        if status == 200 {
            self.done(&action, &parameters, &answer);
        }
        let mut faults = self.faults.lock().expect("not poisoned");
        if status == 200 && faults.cut.as_deref() == Some(action.as_str()) {
            faults.cut = None;
            return None;
        }
        drop(faults);
        let shown = if action == "DescribeInstances" {
            self.shown(&answer)
        } else {
            answer
        };
        Some((status, self.real(&shown)))
    }

    fn refused(&self, action: &str) -> Option<(u16, String)> {
        let mut faults = self.faults.lock().expect("not poisoned");
        let mut calls = self.calls.lock().expect("not poisoned");
        *calls += 1;
        if faults.throttle_every > 0 && calls.is_multiple_of(faults.throttle_every) {
            let told = "Request limit exceeded.";
            return Some((503, xml::error("RequestLimitExceeded", told)));
        }
        if let Some((refused, code, message)) = &faults.refused
            && (refused == action || refused == "*")
        {
            return Some((400, xml::error(code, message)));
        }
        if action == "DeleteSecurityGroup" && faults.in_use > 0 {
            faults.in_use -= 1;
            let told = "resource sg has a dependent object";
            return Some((400, xml::error("DependencyViolation", told)));
        }
        None
    }

    /// What EC2 answers to a token that it knows.
    fn launched_before(&self, parameters: &BTreeMap<String, String>) -> Option<(u16, String)> {
        let token = parameters.get("ClientToken")?;
        let tokens = self.tokens.lock().expect("not poisoned");
        let launched = tokens.get(token)?;
        if self
            .gone
            .lock()
            .expect("not poisoned")
            .contains(&launched.id)
        {
            let told = "The instance that was launched with this token is terminated";
            return Some((400, xml::error("IdempotentInstanceTerminated", told)));
        }
        if launched.parameters != shown_parameters(parameters) {
            let told = "Arguments on this idempotent request are inconsistent";
            return Some((400, xml::error("IdempotentParameterMismatch", told)));
        }
        Some((200, self.real(&launched.answer)))
    }

    /// Makes real what the backend has written down.
    fn done(&self, action: &str, parameters: &BTreeMap<String, String>, answer: &str) {
        let value = |name: &str| parameters.get(name).map(String::as_str);
        let ids: Vec<&str> = parameters
            .iter()
            .filter(|(name, _)| name.starts_with("InstanceId"))
            .map(|(_, id)| id.as_str())
            .collect();
        let faults = self.faults.lock().expect("not poisoned").clone();
        match action {
            "RunInstances" => {
                let Some(id) = xml::first(answer, "instanceId") else {
                    return;
                };
                if let Some(token) = value("ClientToken") {
                    let launched = Launched {
                        parameters: shown_parameters(parameters),
                        id: id.clone(),
                        answer: answer.to_owned(),
                    };
                    let mut tokens = self.tokens.lock().expect("not poisoned");
                    tokens.insert(token.to_owned(), launched);
                }
                let image = value("ImageId").unwrap_or_default();
                self.machines.make(&id, image, value("UserData"));
                self.machines.start(&id);
                self.pass(&id, "pending", faults.slow);
                let mut unseen = self.unseen.lock().expect("not poisoned");
                unseen.insert(id, faults.unseen);
            }
            "StartInstances" => {
                for id in ids {
                    self.machines.start(id);
                    self.pass(id, "pending", faults.slow);
                }
            }
            "StopInstances" => {
                for id in ids {
                    self.machines.stop(id);
                    self.pass(id, "stopping", faults.slow);
                }
            }
            "TerminateInstances" => {
                for id in ids {
                    self.machines.stop(id);
                    self.gone
                        .lock()
                        .expect("not poisoned")
                        .insert(id.to_owned());
                    self.pass(id, "shutting-down", faults.slow);
                }
            }
            "ModifyInstanceAttribute" => {
                if let (Some(id), Some(data)) = (ids.first(), value("UserData.Value")) {
                    self.machines.tell(id, data);
                }
            }
            _ => self.address_done(action, parameters, answer),
        }
    }

    /// The same for what is about elastic addresses.
    fn address_done(&self, action: &str, parameters: &BTreeMap<String, String>, answer: &str) {
        let value = |name: &str| parameters.get(name).map(String::as_str);
        match action {
            "AllocateAddress" => {
                let address = xml::first(answer, "publicIp").unwrap_or_default();
                self.machines.take_address(&address);
            }
            "AssociateAddress" => {
                let id = value("AllocationId").unwrap_or_default();
                let known = self.ask("DescribeAddresses", &[("AllocationId.1", id)]);
                if let (Some(address), Some(instance)) =
                    (xml::first(&known, "publicIp"), value("InstanceId"))
                {
                    let given = xml::first(answer, "associationId").unwrap_or_default();
                    let mut associations = self.associations.lock().expect("not poisoned");
                    associations.insert(given, address.clone());
                    drop(associations);
                    self.machines.give_address(&address, Some(instance));
                }
            }
            "DisassociateAddress" => {
                let associations = self.associations.lock().expect("not poisoned");
                let taken = value("AssociationId").and_then(|id| associations.get(id));
                if let Some(address) = taken {
                    self.machines.give_address(address, None);
                }
            }
            _ => {}
        }
    }

    fn pass(&self, id: &str, state: &'static str, looks: u32) {
        let mut passing = self.passing.lock().expect("not poisoned");
        passing.insert(id.to_owned(), (state, looks));
    }

    /// What a look shows: some machines not yet, some on their way, and why those that are gone are.
    fn shown(&self, answer: &str) -> String {
        xml::each_machine(answer, |id, own| {
            if let Some(left) = self.unseen.lock().expect("not poisoned").get_mut(id)
                && *left > 0
            {
                *left -= 1;
                return None;
            }
            let mut own = own.to_owned();
            if let Some((state, left)) = self.passing.lock().expect("not poisoned").get_mut(id)
                && *left > 0
            {
                *left -= 1;
                let is = xml::first(&own, "name").unwrap_or_default();
                own = own.replacen(
                    &format!("<name>{is}</name>"),
                    &format!("<name>{state}</name>"),
                    1,
                );
            }
            if let Some(reason) = self.reasons.lock().expect("not poisoned").get(id) {
                let told = format!(
                    "<stateReason><code>{reason}</code><message>{reason}: taken away</message></stateReason></item>"
                );
                let end = own.len() - "</item>".len();
                own.truncate(end);
                if let Some(was) = xml::first(&own, "stateReason") {
                    own = own.replace(&format!("<stateReason>{was}</stateReason>"), "");
                }
                own.push_str(&told);
            }
            Some(own)
        })
    }

    /// The addresses that exist in the place of those that the backend has thought of.
    fn real(&self, answer: &str) -> String {
        let answer = xml::each_machine(answer, |id, own| {
            let mut own = own.to_owned();
            if let Some(address) = self.machines.address(id) {
                for name in ["ipAddress", "privateIpAddress"] {
                    for was in xml::all(&own, name) {
                        // The backend forgets at a stop which machine has an elastic address.
                        let now = match name {
                            "ipAddress" => self.machines.elastic_of(id),
                            _ => None,
                        };
                        let now = now.unwrap_or_else(|| address.clone());
                        own = own.replace(
                            &format!("<{name}>{was}</{name}>"),
                            &format!("<{name}>{now}</{name}>"),
                        );
                    }
                }
            }
            Some(own)
        });
        let mut answer = answer;
        for was in xml::all(&answer, "publicIp") {
            if let Some(now) = self.machines.elastic(&was) {
                answer = answer.replace(
                    &format!("<publicIp>{was}</publicIp>"),
                    &format!("<publicIp>{now}</publicIp>"),
                );
            }
        }
        answer
    }

    fn console(&self, id: &str) -> String {
        let output = STANDARD.encode(self.machines.console(id));
        format!(
            "<GetConsoleOutputResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>1</requestId>\
             <instanceId>{id}</instanceId><timestamp>2026-01-01T00:00:00.000Z</timestamp><output>{output}</output>\
             </GetConsoleOutputResponse>"
        )
    }

    fn forward(&self, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.backend).expect("moto is there");
        let head = format!(
            "POST / HTTP/1.1\r\nHost: ec2.{region}.amazonaws.com\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{region}/ec2/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len(),
            region = super::REGION
        );
        let sent = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
        sent.expect("moto takes it");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("moto answers");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (status.unwrap_or(500), body.to_owned())
    }
}

/// The backend does not know how large the disk of an image is.
/// The backend decodes what it is given once too often.
fn with_user_data(action: &str, parameters: &BTreeMap<String, String>, body: &str) -> String {
    let name = "UserData.Value";
    let Some(data) = parameters
        .get(name)
        .filter(|_| action == "ModifyInstanceAttribute")
    else {
        return body.to_owned();
    };
    let twice = STANDARD.encode(data);
    let pairs = parameters.iter().map(|(key, value)| {
        let value = if key == name { &twice } else { value };
        (key.as_str(), value.as_str())
    });
    encode(&pairs.collect::<Vec<_>>())
}

fn with_size(action: &str, parameters: &BTreeMap<String, String>, body: &str) -> String {
    let size = "BlockDeviceMapping.1.Ebs.VolumeSize";
    if action == "RunInstances" && !parameters.contains_key(size) {
        return format!("{body}&{size}=1");
    }
    body.to_owned()
}

/// Everything that a launch is made of.
fn shown_parameters(parameters: &BTreeMap<String, String>) -> String {
    format!("{parameters:?}")
}

/// Serves it until this process ends.
pub(super) fn serve(gateway: &Arc<Gateway>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let gateway = Arc::clone(gateway);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let gateway = Arc::clone(&gateway);
            std::thread::spawn(move || converse(&gateway, stream));
        }
    });
    address
}

fn converse(gateway: &Gateway, stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).ok()?;
            if field.trim().is_empty() {
                break;
            }
            let (name, value) = field.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        // A connection that is cut says nothing.
        let (status, answer) = gateway.handle(&String::from_utf8_lossy(&body))?;
        let head = format!(
            "HTTP/1.1 {status} Answer\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        stream
            .write_all(&[head.as_bytes(), answer.as_bytes()].concat())
            .ok()?;
    }
}

fn encode(parameters: &[(&str, &str)]) -> String {
    let escape = |text: &str| {
        text.bytes().fold(String::new(), |mut made, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
                made.push(char::from(byte));
            } else {
                made.extend(["%".to_owned(), format!("{byte:02X}")]);
            }
            made
        })
    };
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn decode(body: &str) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.bytes());
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).unwrap_or(b'?')
                }
                byte => byte,
            });
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}
