//! What clouds and machines without a system are named by: regions, images, networks, disks, addresses of APIs.

use std::str::FromStr;

use super::machine::is_key;
use super::{InvalidValue, as_str, text_value};

/// A region of AWS: 1 to 32 small letters, digits and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsRegion(Box<str>);

/// An image of a machine in EC2: `ami-` and 8 or 17 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsImage(Box<str>);

/// A subnet in EC2: `subnet-` and 8 or 17 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsSubnet(Box<str>);

/// A type of a machine in EC2, such as `t3.small`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsInstanceType(Box<str>);

/// The value of a tag: at most 256 letters, digits, spaces and `_.:/=+-@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagValue(Box<str>);

/// The name of a profile in the files of the AWS command line: 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsProfile(Box<str>);

/// The public key of a person: its type and the key in base64, as `ssh-keygen` writes them into a `.pub` file. What
/// follows them is left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(Box<str>);

/// Where an API is served: a URL of `http` or `https` without user, password, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiUrl(Box<str>);

/// The name of a network interface of Linux: 1 to 15 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(Box<str>);

/// What a disk of a machine is told from its others by: its serial number, its world wide name (WWN), or what Linux calls
/// it without `/dev/` (`sda`, `nvme0n1`). The last changes from one start to the next where there are several disks. 1 to
/// 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskName(Box<str>);

/// What tells a machine from others behind one management controller: 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemId(Box<str>);

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;

/// The text, when it is legal.
fn checked(
    text: &str,
    is_legal: bool,
    what: &str,
    mend: &'static str,
) -> Result<Box<str>, InvalidValue> {
    if is_legal {
        return Ok(text.into());
    }
    let reason = format!("`{}` is not {what}", text.escape_debug());
    Err(InvalidValue::new(reason, mend))
}

/// Whether a text is a prefix and the digits by which EC2 names things.
fn is_id(text: &str, prefix: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix(prefix)
        .is_some_and(|digits| [8, 17].contains(&digits.len()) && digits.bytes().all(digit))
}

/// Whether a text begins with a letter or a digit, and has only these and `others`.
fn is_word(text: &str, length_max: usize, others: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    text.len() <= length_max
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(legal)
}

impl FromStr for AwsRegion {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_legal = is_word(text, 32, "-") && !text.contains(|c: char| c.is_ascii_uppercase());
        let mend = "the name of a region, such as \"eu-central-1\"";
        checked(text, is_legal, "a region of AWS", mend).map(Self)
    }
}

impl FromStr for AwsImage {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "the image that `packer build -only='amazon-ebssurrogate.*' packer` has made, such as \
                    \"ami-0123456789abcdef0\"";
        checked(text, is_id(text, "ami-"), "an image of EC2", mend).map(Self)
    }
}

impl FromStr for AwsSubnet {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "a subnet such as \"subnet-0123456789abcdef0\"";
        checked(text, is_id(text, "subnet-"), "a subnet of EC2", mend).map(Self)
    }
}

impl FromStr for AwsInstanceType {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_legal = is_word(text, 64, ".-") && text.contains('.');
        let mend = "a type such as \"t3.small\" or \"c7i.large\"";
        checked(text, is_legal, "a type of machine in EC2", mend).map(Self)
    }
}

impl FromStr for TagValue {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
        let is_legal = text.chars().count() <= 256 && text.chars().all(legal);
        let mend = "at most 256 letters, digits, spaces and `_.:/=+-@`";
        checked(text, is_legal, "the value of a tag", mend).map(Self)
    }
}

impl FromStr for AwsProfile {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "the name of a profile of ~/.aws/config, such as \"production\"";
        checked(text, is_word(text, 64, "-_.@/+"), "a profile", mend).map(Self)
    }
}

impl FromStr for PublicKey {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut words = text.split_ascii_whitespace();
        let found = words.next().zip(words.next());
        match found.filter(|(kind, key)| is_key(kind, key)) {
            Some((kind, key)) => Ok(Self(format!("{kind} {key}").into())),
            None => Err(InvalidValue::new(
                format!("`{}` is not a public key", text.escape_debug()),
                "the type and the key, such as `ssh-ed25519 AAAA…`, from a .pub file",
            )),
        }
    }
}

impl FromStr for ApiUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}#?@".contains(&b);
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let is_legal = text.len() <= URL_BYTES_MAX
            && rest.bytes().all(legal)
            && !authority.is_empty()
            && !authority.starts_with(':');
        let mend = "a URL such as \"https://10.0.0.9\"; user and password have keys of their own";
        checked(text, is_legal, "the URL of an API", mend).map(Self)
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "the name of an interface as `ip link` shows it, such as \"br0\"";
        checked(text, is_word(text, 15, "-_."), "a network interface", mend).map(Self)
    }
}

impl FromStr for DiskName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend = "the serial number of a disk, such as \"S4EVNF0M8\", or its name without /dev/, such as \"sda\"";
        checked(text, is_word(text, 128, "-_.:"), "a disk", mend).map(Self)
    }
}

impl FromStr for SystemId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mend =
            "the last part of its path below /redfish/v1/Systems, such as \"System.Embedded.1\"";
        checked(text, is_word(text, 64, "-_.:"), "a system", mend).map(Self)
    }
}

as_str!(
    AwsRegion,
    AwsImage,
    AwsSubnet,
    AwsInstanceType,
    TagValue,
    AwsProfile,
    PublicKey,
    ApiUrl,
    InterfaceName,
    DiskName,
    SystemId,
);

text_value!(AwsRegion, format: "lb-aws-region", example: "eu-central-1", "A region of AWS.");
text_value!(
    AwsImage,
    format: "lb-aws-image",
    example: "ami-0123456789abcdef0",
    "An image of a machine in EC2."
);
text_value!(
    AwsSubnet,
    format: "lb-aws-subnet",
    example: "subnet-0123456789abcdef0",
    "A subnet in EC2."
);
text_value!(
    AwsInstanceType,
    format: "lb-aws-instance-type",
    example: "t3.small",
    "A type of a machine in EC2."
);
text_value!(
    TagValue,
    format: "lb-tag-value",
    example: "web shop",
    "The value of a tag: at most 256 letters, digits, spaces and `_.:/=+-@`."
);
text_value!(
    AwsProfile,
    format: "lb-aws-profile",
    example: "production",
    "The name of a profile in the files of the AWS command line."
);
text_value!(
    PublicKey,
    format: "lb-public-key",
    example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGbHqzKtnu6OHfb1QSJ1tzuE8mHI1ILmYLMTI5VXYmxr",
    "The public key of a person: its type and the key in base64, as a `.pub` file has them."
);
text_value!(
    ApiUrl,
    format: "lb-api-url",
    example: "https://10.0.0.9",
    "Where an API is served: a URL of `http` or `https`."
);
text_value!(
    InterfaceName,
    format: "lb-interface-name",
    example: "br0",
    "The name of a network interface of Linux."
);
text_value!(
    DiskName,
    format: "lb-disk-name",
    example: "S4EVNF0M8",
    "A disk by its serial number, its WWN, or as Linux calls it without `/dev/`."
);
text_value!(
    SystemId,
    format: "lb-system-id",
    example: "System.Embedded.1",
    "What tells a machine from others behind one management controller."
);

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: FromStr<Err = InvalidValue> + std::fmt::Display>(good: &[&str], bad: &[&str]) {
        for text in good {
            let value = text
                .parse::<T>()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(value.to_string(), *text);
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_in_clouds_have_their_forms() {
        all::<AwsRegion>(&["eu-central-1"], &["", "EU", "eu central", "-1"]);
        all::<AwsImage>(
            &["ami-0123456789abcdef0", "ami-12345678"],
            &["", "ami-", "ami-0123", "i-12345678", "ami-1234567X"],
        );
        all::<AwsSubnet>(&["subnet-12345678"], &["12345678", "subnet-"]);
        all::<AwsInstanceType>(&["t3.small", "u-6tb1.metal"], &["", "small", "t3 small"]);
        all::<TagValue>(&["", "web shop: 1/2"], &["a\nb", "<", &"x".repeat(257)]);
        all::<AwsProfile>(&["default"], &["", "a b", "-x"]);
    }

    #[test]
    fn places_of_apis_hold_no_password() {
        all::<ApiUrl>(
            &["http://127.0.0.1:5000", "https://[::1]/redfish"],
            &[
                "",
                "https://",
                "ftp://a",
                "https://u:p@a",
                "https://a?b",
                "https://:1",
            ],
        );
    }

    #[test]
    fn parts_of_machines_are_no_paths_and_no_options() {
        all::<InterfaceName>(
            &["br0", "br-lan.5"],
            &["", "-br", "a/b", "sixteencharacter"],
        );
        all::<DiskName>(
            &["sda", "nvme0n1", "WD-WCC4E1", "naa.5000c500a1b2c3d4"],
            &["", "/dev/sda", "../sda", "sd a", &"x".repeat(129)],
        );
        all::<SystemId>(&["1", "System.Embedded.1"], &["", "a/b", "a b"]);
    }
}
