//! Cases as text: what is sent, byte by byte, and what must come of it.
//!
//! A file is a theme. `== NAME` begins a case, `# ` a comment. Then come the bytes and the outcomes:
//!
//! ```text
//! > LINE        what is sent, followed by CR LF; in request files by the client, in response files
//!               by the server, which has then been asked with a GET or with the request in @ lines
//! >>BYTES       the same, without CR LF
//! >* N LINE     the line N times
//! then finish   the sender ends its sending side; `then close` and `then reset` end the connection
//! pass          it goes through, and arrives as:
//! < LINE        start line, fields, an empty line, and the body, which may end in a
//! <<BYTES       without CR LF
//! + LINE        a trailer field
//! ```
//!
//! `SERVER-ADDRESS` in a field that arrives stands for the address of the recording server. Escapes: `\r \n \t \0 \\`, `\xNN`, and `\(TEXT*N)` for a repetition. What the other outcomes mean
//! is written at [`Outcome`].

use std::fs;
use std::path::Path;

use super::message::{Message, tidy};

/// One message or sequence of messages with what must come of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// The file and the name, for whoever reads of a failure.
    pub(super) name: String,
    /// The `>` lines.
    pub(super) sent: Vec<u8>,
    /// The `>` lines behind `later`: sent when the first ones have been answered or delivered.
    pub(super) sent_later: Vec<u8>,
    /// The `@` lines: what the client of a response case asks.
    pub(super) asked: Vec<u8>,
    /// The server of a response case answers as soon as it has seen the head of the request.
    pub(super) early: bool,
    /// How the sender ends.
    pub(super) ending: Ending,
    pub(super) outcomes: Vec<Outcome>,
}

/// How a sender ends when it has sent everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    /// It stays.
    #[default]
    Stay,
    /// It ends its sending side and goes on to read.
    Finish,
    /// It closes the connection.
    Close,
    /// It resets the connection.
    Reset,
}

/// What must come of a message.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// `pass`: it arrives as this message. `pass close`: and the client connection is closed behind
    /// it. `pass once`: and the server connection is not used again.
    Pass {
        /// What arrives.
        message: Message,
        /// Whether the connection that it came on may be used again.
        reusable: bool,
    },
    /// `refuse STATUS...`: the client gets one of these statuses and a closed connection, and no byte
    /// of the message reaches a server.
    Refuse(Vec<u16>),
    /// `abort STATUS...`: the same, but its beginning may have reached a server, never its end.
    Abort(Vec<u16>),
    /// `nothing`: the client is gone; no byte reaches a server.
    Nothing,
    /// `unfinished`: the client is gone; a server gets at most a part.
    Unfinished,
    /// `bad`: the client gets a 502 of the balancer and nothing of what the server sent.
    Bad,
    /// `cut STATUS`: the client gets the beginning and sees that it is not whole.
    Cut(u16),
    /// `bad or cut STATUS`: either, depending on what has arrived when the balancer sees it.
    BadOrCut(u16),
}

/// Every case of the files in a folder beside this one.
pub(super) fn read_all(folder: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("it/corpus")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let theme = path.file_stem().unwrap().to_string_lossy().into_owned();
        read(&theme, &fs::read_to_string(path).unwrap())
    };
    files.iter().flat_map(read).collect()
}

fn read(theme: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let (mut later, mut arrives) = (false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            if let Some(case) = cases.last_mut() {
                case.arrived(&mut arrives);
            }
            cases.push(Case {
                name: format!("{theme}: {name}"),
                ..Case::default()
            });
            later = false;
        } else if !line.is_empty() && !line.starts_with("# ") {
            let case = cases.last_mut().expect("a file begins with a case");
            let understood = case.read_line(line, &mut later, &mut arrives);
            assert!(
                understood,
                "{theme} line {}: {line:?} is not understood",
                number + 1
            );
        }
    }
    cases.last_mut().expect("a case").arrived(&mut arrives);
    for case in &cases {
        assert!(!case.outcomes.is_empty(), "{} has no outcome", case.name);
    }
    cases
}

impl Case {
    fn read_line(&mut self, line: &str, later: &mut bool, arrives: &mut Vec<u8>) -> bool {
        let sent = if *later {
            &mut self.sent_later
        } else {
            &mut self.sent
        };
        if let Some(bytes) = line.strip_prefix("<").and_then(bytes_of) {
            arrives.extend(bytes);
        } else if let Some(bytes) = line.strip_prefix(">").and_then(bytes_of) {
            sent.extend(bytes);
        } else if let Some(bytes) = line.strip_prefix("@").and_then(bytes_of) {
            self.asked.extend(bytes);
        } else if let Some(field) = line.strip_prefix("+ ") {
            self.arrived(arrives);
            let Some(Outcome::Pass { message, .. }) = self.outcomes.last_mut() else {
                return false;
            };
            message
                .trailers
                .push(tidy(&unescape(field)).expect("a field"));
        } else if let Some(ending) = line.strip_prefix("then ") {
            self.ending = match ending {
                "finish" => Ending::Finish,
                "close" => Ending::Close,
                "reset" => Ending::Reset,
                _ => return false,
            };
        } else if line == "early" {
            self.early = true;
        } else if line == "later" {
            *later = true;
        } else {
            self.arrived(arrives);
            return self.read_outcome(line);
        }
        true
    }

    fn read_outcome(&mut self, line: &str) -> bool {
        let statuses = |list: &str| {
            list.split(' ')
                .map(str::parse)
                .collect::<Result<Vec<u16>, _>>()
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pass = |reusable| Outcome::Pass {
            message: Message::default(),
            reusable,
        };
        let outcome = match (word, rest) {
            ("pass", "") => pass(true),
            ("pass", "close" | "once") => pass(false),
            ("nothing", "") => Outcome::Nothing,
            ("unfinished", "") => Outcome::Unfinished,
            ("bad", "") => Outcome::Bad,
            ("pass*", count) => {
                let count: usize = count.parse().expect("a number");
                self.outcomes.extend(vec![pass(true); count]);
                return true;
            }
            ("cut", status) => Outcome::Cut(status.parse().expect("a status")),
            ("bad", rest) => match rest.strip_prefix("or cut ").map(str::parse) {
                Some(Ok(status)) => Outcome::BadOrCut(status),
                _ => return false,
            },
            ("refuse", list) => Outcome::Refuse(statuses(list).expect("statuses")),
            ("abort", list) => Outcome::Abort(statuses(list).expect("statuses")),
            _ => return false,
        };
        self.outcomes.push(outcome);
        true
    }

    /// The `<` lines so far are what arrives, for every `pass` that has no message yet.
    fn arrived(&mut self, arrives: &mut Vec<u8>) {
        if arrives.is_empty() {
            return;
        }
        let expected = Message::as_written(&std::mem::take(arrives));
        for outcome in &mut self.outcomes {
            if let Outcome::Pass { message, .. } = outcome
                && message.line.is_empty()
            {
                *message = expected.clone();
            }
        }
    }
}

/// The bytes of a line behind its first mark.
fn bytes_of(rest: &str) -> Option<Vec<u8>> {
    let mut rest = rest.chars();
    let line = |text: &str| [unescape(text), b"\r\n".to_vec()].concat();
    match rest.next() {
        None => Some(line("")),
        Some(' ') => Some(line(rest.as_str())),
        Some('<' | '>' | '@') => Some(unescape(rest.as_str())),
        Some('*') => {
            let counted = rest.as_str().trim_start();
            let (count, text) = counted.split_once(' ').unwrap_or((counted, ""));
            Some(line(text).repeat(count.parse().ok()?))
        }
        Some(_) => None,
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            bytes.extend(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
            }
            Some('(') => {
                let (inner, after) = rest
                    .as_str()
                    .split_once(')')
                    .expect("a closing parenthesis");
                let (inner, count) = inner.rsplit_once('*').expect("a count");
                bytes.extend(unescape(inner).repeat(count.parse().expect("a count")));
                rest = after.chars();
            }
            other => panic!("the escape {other:?} in {text:?}"),
        }
    }
    bytes
}
