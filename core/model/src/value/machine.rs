//! Machines and how they are reached over SSH.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{InvalidValue, as_str, text_value};

/// A machine as SSH finds it: a name, an address, or a name of the SSH configuration. At most 253
/// characters, and none that a shell or an option would begin with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Machine(Box<str>);

impl FromStr for Machine {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let first = |c: char| c.is_ascii_alphanumeric() || c == ':';
        if text.len() <= 253 && text.starts_with(first) && text.chars().all(legal) {
            return Ok(Self(text.into()));
        }
        let mend = "a name or an address, such as `lb1.example` or `10.0.0.5`; the user and the port have \
                    keys of their own";
        Err(InvalidValue::new(
            format!("`{text}` is not a machine"),
            mend,
        ))
    }
}

/// The name of a user of a machine: 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

impl FromStr for UserName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.len() <= 64 && text.starts_with(first) && text.chars().all(legal) {
            return Ok(Self(text.into()));
        }
        let mend = "1 to 64 letters, digits, `-`, `_` or `.`, the first a letter, a digit or `_`";
        Err(InvalidValue::new(
            format!("`{text}` is not the name of a user"),
            mend,
        ))
    }
}

/// The public host key of a machine: its type and the key in base64, as `ssh-keyscan` prints them
/// behind the name. What follows them is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(Box<str>);

impl FromStr for HostKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut words = text.split_ascii_whitespace();
        let found = words
            .next()
            .zip(words.next())
            .filter(|(kind, key)| is_key(kind, key));
        let Some((kind, key)) = found else {
            let mend = "the type and the key, such as `ssh-ed25519 AAAA…`, which \
                        `ssh-keyscan -t ed25519 MACHINE` prints behind the name";
            let reason = format!("`{text}` is not the public host key of a machine");
            return Err(InvalidValue::new(reason, mend));
        };
        Ok(Self(format!("{kind} {key}").into()))
    }
}

/// Whether the key says of itself what it is (RFC 4253 section 6.6): its type comes first, with its
/// length in four bytes.
pub(super) fn is_key(kind: &str, key: &str) -> bool {
    let known = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
    let Ok(bytes) = STANDARD.decode(key) else {
        return false;
    };
    let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
    known.iter().any(|begin| kind.starts_with(begin))
        && bytes.len() <= 16384
        && bytes
            .strip_prefix(&length[..])
            .is_some_and(|rest| rest.starts_with(kind.as_bytes()))
}

as_str!(Machine, UserName, HostKey);

text_value!(
    Machine,
    format: "lb-machine",
    example: "lb1.example",
    "A machine as SSH finds it: a name, an address, or a name of the SSH configuration."
);
text_value!(
    UserName,
    format: "lb-user-name",
    example: "admin",
    "The name of a user of a machine: 1 to 64 letters, digits, `-`, `_` or `.`."
);
text_value!(
    HostKey,
    format: "lb-host-key",
    example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbHqzKtnu6OHfb1QSJ1tzuE8mHI1ILmYLMTI5VXYmxr",
    "The public host key of a machine: its type and the key in base64, as `ssh-keyscan` prints them behind the name."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_ssh_would_take_for_an_option_is_a_machine_or_a_user() {
        for good in ["lb1", "lb-1.example", "10.0.0.5", "fe80::1%eth0", "::1"] {
            assert!(good.parse::<Machine>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-oProxyCommand=id",
            "a b",
            "root@lb1",
            "a;id",
            "$(id)",
            "ü",
        ] {
            assert!(bad.parse::<Machine>().is_err(), "{bad}");
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_key_says_itself_what_it_is() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbHqzKtnu6OHfb1QSJ1tzuE8mHI1ILmYLMTI5VXYmxr";
        assert_eq!(key.parse::<HostKey>().unwrap().as_str(), key);
        let with_comment = format!("  {key} root@lb1\n");
        assert_eq!(with_comment.parse::<HostKey>().unwrap().as_str(), key);
        let other = key.replace("ssh-ed25519", "ssh-rsa");
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 !",
            &other,
            "lb1 ssh-ed25519",
        ] {
            assert!(bad.parse::<HostKey>().is_err(), "{bad}");
        }
    }
}
