//! What goes wrong on the way to a machine and there, and what to do about it.

use std::io;

/// Why something could not be done on a machine.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// The program `ssh` cannot be started.
    #[error("the program `ssh` cannot be started")]
    Program(#[source] io::Error),
    /// A directory for the connection, or a file to send, cannot be used.
    #[error("cannot use {what}")]
    Local {
        /// What it is.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The machine shows another host key than it should.
    #[error("{host} shows another host key than it should: somebody may be in between")]
    HostKeyChanged {
        /// The machine.
        host: String,
    },
    /// Nobody knows the host key.
    #[error("nobody here knows the host key of {host}")]
    HostKeyUnknown {
        /// The machine.
        host: String,
    },
    /// The user may not log in.
    #[error("{host} lets nobody in: {told}")]
    Denied {
        /// The machine.
        host: String,
        /// What `ssh` said.
        told: String,
    },
    /// There is no way to the machine.
    #[error("{host} cannot be reached: {told}")]
    Unreachable {
        /// The machine.
        host: String,
        /// What `ssh` said.
        told: String,
    },
    /// The connection broke.
    #[error("the connection to {host} broke: {told}")]
    Broken {
        /// The machine.
        host: String,
        /// What `ssh` said.
        told: String,
    },
    /// The user is not root and cannot become root.
    #[error(
        "the user on {host} is not root, and `sudo` does not let them be without a password: {told}"
    )]
    NoSudo {
        /// The machine.
        host: String,
        /// What `sudo` said.
        told: String,
    },
    /// Somebody else is at work there.
    #[error("another `lbctl provision` is at work on {host}")]
    Busy {
        /// The machine.
        host: String,
    },
    /// There is no room.
    #[error("{host} has no room: {told}")]
    NoSpace {
        /// The machine.
        host: String,
        /// How much there is, and how much is needed.
        told: String,
    },
    /// The program does not run there.
    #[error("the program does not run on {host}: {told}")]
    DoesNotRun {
        /// The machine.
        host: String,
        /// What it said.
        told: String,
    },
    /// A release did not serve as it should; the one before it serves.
    #[error("the release does not serve on {host}: {told}")]
    BadRelease {
        /// The machine.
        host: String,
        /// What was seen.
        told: String,
    },
    /// The machine belongs to somebody else meanwhile.
    #[error("{host} is not ours any more: {told}")]
    NotOurs {
        /// The machine.
        host: String,
        /// Whose it is.
        told: String,
    },
    /// The balancer refused its document.
    #[error("the balancer on {host} does not take its document: {told}")]
    Document {
        /// The machine.
        host: String,
        /// What it said.
        told: String,
    },
    /// A script failed.
    #[error("{host}: {told}")]
    Script {
        /// The machine.
        host: String,
        /// What it said.
        told: String,
    },
}

/// The exit codes of our scripts.
pub(super) mod code {
    pub(in crate::target::ssh) const NO_SUDO: i32 = 91;
    pub(in crate::target::ssh) const BUSY: i32 = 92;
    pub(in crate::target::ssh) const NO_SPACE: i32 = 93;
    pub(in crate::target::ssh) const DOES_NOT_RUN: i32 = 95;
    pub(in crate::target::ssh) const BAD_RELEASE: i32 = 96;
    pub(in crate::target::ssh) const NOT_OURS: i32 = 97;
    pub(in crate::target::ssh) const DOCUMENT: i32 = 98;
}

/// The most that is kept of what a machine says.
const TOLD_CHARS_MAX: usize = 2000;

impl SshError {
    /// What a command that failed means. `ssh` itself ends with 255.
    pub(super) fn of(host: &str, code: Option<i32>, stderr: &str) -> Self {
        let host = host.to_owned();
        let told = readable(stderr);
        match code {
            Some(255) | None => Self::of_transport(host, told),
            Some(code::NO_SUDO) => Self::NoSudo { host, told },
            Some(code::BUSY) => Self::Busy { host },
            Some(code::NO_SPACE) => Self::NoSpace { host, told },
            Some(code::DOES_NOT_RUN) => Self::DoesNotRun { host, told },
            Some(code::BAD_RELEASE) => Self::BadRelease { host, told },
            Some(code::NOT_OURS) => Self::NotOurs { host, told },
            Some(code::DOCUMENT) => Self::Document { host, told },
            Some(code) if told.is_empty() => Self::Script {
                host,
                told: format!("a command ended with {code} and said nothing"),
            },
            Some(_) => Self::Script { host, told },
        }
    }

    fn of_transport(host: String, told: String) -> Self {
        let says = |texts: &[&str]| texts.iter().any(|text| told.contains(text));
        if says(&["IDENTIFICATION HAS CHANGED", "host key for", "Host key for"])
            && says(&["has changed", "HAS CHANGED"])
        {
            Self::HostKeyChanged { host }
        } else if says(&["host key is known", "Host key verification failed"]) {
            Self::HostKeyUnknown { host }
        } else if says(&["Permission denied", "Too many authentication failures"]) {
            Self::Denied { host, told }
        } else if says(&[
            "Connection refused",
            "timed out",
            "No route to host",
            "Network is unreachable",
            "Could not resolve",
        ]) {
            Self::Unreachable { host, told }
        } else {
            Self::Broken { host, told }
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Program(_) => {
                "install the OpenSSH client, such as the package openssh-client".to_owned()
            }
            Self::Local { .. } => "see who may write there, and whether there is room".to_owned(),
            Self::HostKeyChanged { host } => format!(
                "find out on the machine itself what its key is: ssh-keygen -lf \
                 /etc/ssh/ssh_host_ed25519_key.pub. When it was installed anew, put the new key into \
                 `host_key`, or `ssh-keygen -R {host}` and connect once by hand"
            ),
            Self::HostKeyUnknown { host } => format!(
                "compare `ssh-keyscan -t ed25519 {host}` with the machine itself and put it into \
                 `host_key`, or connect once by hand: ssh {host}"
            ),
            Self::Denied { host, .. } => format!(
                "see that `ssh {host}` works without a question: name `user` and `identity_file`, or load \
                 the key into the agent with ssh-add"
            ),
            Self::Unreachable { host, .. } => {
                format!(
                    "see that the machine is up, and that `ssh {host}` gets through to its port"
                )
            }
            Self::Broken { .. } => "the same command goes on where it was".to_owned(),
            Self::NoSudo { .. } => {
                "log in as root, or let the user become root: a file in /etc/sudoers.d \
                 with `USER ALL=(ALL) NOPASSWD: ALL`"
                    .to_owned()
            }
            Self::Busy { .. } => "wait for it to end, and try again".to_owned(),
            Self::NoSpace { .. } => {
                "make room below /opt: df -h /opt; the same command goes on then".to_owned()
            }
            Self::DoesNotRun { .. } => {
                "name a program for this machine with `program`: one that was built \
                 for its processor and for a C library that is not newer than the machine's"
                    .to_owned()
            }
            Self::BadRelease { .. } => {
                "the release before it serves on; see `journalctl --unit lbctl` on \
                 the machine, and install a release that works"
                    .to_owned()
            }
            Self::NotOurs { .. } => "see whose it is with `lbctl provision plan`".to_owned(),
            Self::Document { .. } => {
                "mend the document, and apply again; what was in force still is".to_owned()
            }
            Self::Script { .. } => {
                "mend that on the machine; the same command goes on then".to_owned()
            }
        }
    }
}

/// What a machine said, without what a terminal would act on, and bounded: its end says most.
fn readable(text: &str) -> String {
    let clean: Vec<char> = text
        .trim()
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect();
    let skip = clean.len().saturating_sub(TOLD_CHARS_MAX);
    clean.into_iter().skip(skip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_is_told_apart() {
        let of = |told: &str| SshError::of("lb1", Some(255), told);
        let changed =
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.";
        assert!(matches!(of(changed), SshError::HostKeyChanged { .. }));
        let unknown =
            "No ED25519 host key is known for lb1 and you have requested strict checking.";
        assert!(matches!(of(unknown), SshError::HostKeyUnknown { .. }));
        let denied = "root@lb1: Permission denied (publickey).";
        assert!(matches!(of(denied), SshError::Denied { .. }));
        let refused = "ssh: connect to host lb1 port 22: Connection refused";
        assert!(matches!(of(refused), SshError::Unreachable { .. }));
        assert!(matches!(
            of("client_loop: send disconnect"),
            SshError::Broken { .. }
        ));
        assert!(matches!(
            SshError::of("lb1", Some(93), "x"),
            SshError::NoSpace { .. }
        ));
        assert!(matches!(
            SshError::of("lb1", Some(1), "x"),
            SshError::Script { .. }
        ));
    }

    #[test]
    fn a_machine_cannot_paint_our_terminal() {
        let SshError::Script { told, .. } = SshError::of("lb1", Some(1), "\x1b[31m\u{7}no\n")
        else {
            panic!("not that");
        };
        assert_eq!(told, "[31mno");
    }
}
