//! Places on the web and in the mail.

use std::str::FromStr;

use super::{InvalidValue, as_str, text_value};

/// A URL of `https`, without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpsUrl(Box<str>);

/// An e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(Box<str>);

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2048;
/// The longest address (RFC 5321 section 4.5.3.1).
const EMAIL_BYTES_MAX: usize = 254;

as_str!(HttpsUrl, EmailAddress);

impl FromStr for HttpsUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&b);
        let rest = text.strip_prefix("https://").unwrap_or_default();
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if text.len() <= URL_BYTES_MAX
            && rest.bytes().all(legal)
            && !authority.is_empty()
            && !authority.starts_with(':')
            && !authority.contains('@')
        {
            return Ok(Self(text.into()));
        }
        Err(InvalidValue::new(
            format!("`{}` is not a URL of https", text.escape_debug()),
            "a URL such as \"https://acme.example/directory\"",
        ))
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let legal = |b: u8| b.is_ascii_graphic() && !b"\"(),:;<>[\\]?&%#".contains(&b);
        let (name, domain) = text.rsplit_once('@').unwrap_or_default();
        if text.len() <= EMAIL_BYTES_MAX
            && !name.is_empty()
            && !name.contains('@')
            && !domain.is_empty()
            && text.bytes().all(legal)
        {
            return Ok(Self(text.into()));
        }
        Err(InvalidValue::new(
            format!("`{}` is not an e-mail address", text.escape_debug()),
            "an address such as \"admin@shop.example\"",
        ))
    }
}

text_value!(
    HttpsUrl,
    format: "lb-https-url",
    example: "https://acme.example/directory",
    "A URL of `https`."
);
text_value!(
    EmailAddress,
    format: "lb-email",
    example: "admin@shop.example",
    "An e-mail address."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_of_https_and_name_a_host() {
        for good in ["https://a", "https://a:14000/dir?x=y", "https://[::1]/"] {
            assert!(good.parse::<HttpsUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://",
            "http://a",
            "https:///a",
            "https://u:p@a/",
            "https://a b",
            "https://a#b",
        ] {
            assert!(bad.parse::<HttpsUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_name_and_a_domain() {
        assert!(
            "first.last+tag@shop.example"
                .parse::<EmailAddress>()
                .is_ok()
        );
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b?cc=d"] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
        }
    }
}
