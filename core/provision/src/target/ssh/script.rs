//! The scripts that run on a machine. Each is whole: what all of them begin with, then what it does.

/// The unit for systemd, as packages have it, with the program where this one puts it.
const PACKAGED_UNIT: &str = include_str!("../../../../../packer/files/lbctl.service");

/// Where packages have the program, and where a release in force is.
const PACKAGED_PROGRAM: &str = "/usr/bin/lbctl";
pub(super) const PROGRAM: &str = "/opt/lbctl/current/lbctl";

macro_rules! script {
    ($($part:literal),+) => { concat!($(include_str!(concat!("scripts/", $part, ".sh"))),+) };
}

pub(super) const LOOK: &str = script!("begin", "look");
pub(super) const CLAIM: &str = script!("begin", "own", "claim");
pub(super) const ADOPT: &str = script!("begin", "adopt", "claim");
pub(super) const ACCOUNT: &str = script!("begin", "own", "account");
pub(super) const RELEASE: &str = script!("begin", "own", "release");
pub(super) const UNIT: &str = script!("begin", "own", "unit");
pub(super) const FILE: &str = script!("begin", "own", "file");
pub(super) const SWITCH: &str = script!("begin", "own", "switch");
pub(super) const DOCUMENT: &str = script!("begin", "own", "document");
pub(super) const PRUNE: &str = script!("begin", "own", "prune");
pub(super) const ACCESS: &str = script!("begin", "own", "access");
pub(super) const DESTROY: &str = script!("begin", "own", "destroy");

/// The unit as a machine gets it.
pub(super) fn unit() -> String {
    PACKAGED_UNIT.replace(PACKAGED_PROGRAM, PROGRAM)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn each_script_is_one_for_a_shell_of_any_machine() {
        let all = [
            LOOK, CLAIM, ADOPT, ACCOUNT, RELEASE, UNIT, FILE, SWITCH, DOCUMENT, PRUNE, ACCESS,
            DESTROY,
        ];
        for script in all {
            let read = Command::new("sh")
                .args(["-n", "-c", script])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(read.status.success(), "{script}\n{read:?}");
        }
    }

    #[test]
    fn the_unit_starts_the_release_in_force() {
        let unit = unit();
        assert!(unit.contains("ExecStart=/opt/lbctl/current/lbctl run"));
        assert!(!unit.contains(PACKAGED_PROGRAM), "{unit}");
    }
}
