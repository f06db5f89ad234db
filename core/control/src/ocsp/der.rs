//! As much of DER (X.690) as OCSP needs.

/// Something that is not DER, or other than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotDer(pub(super) &'static str);

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// The context-specific tag with this number around other values.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The context-specific tag with this number of a value that holds no others.
pub(super) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

/// Values that follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value, whatever it is; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Value<'a>>, NotDer> {
        let [tag, first, ..] = *self.0 else {
            return if self.0.is_empty() {
                Ok(None)
            } else {
                Err(NotDer("a value is cut off"))
            };
        };
        if tag & 0x1f == 0x1f {
            return Err(NotDer("a tag is longer than any that is used"));
        }
        let (length, head) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81..=0x83 => {
                let count = usize::from(first & 0x7f);
                let digits = self
                    .0
                    .get(2..2 + count)
                    .ok_or(NotDer("a length is cut off"))?;
                let length = digits.iter().fold(0, |sum, d| sum << 8 | usize::from(*d));
                let is_short = digits.first() == Some(&0) || length < 0x80;
                if is_short {
                    return Err(NotDer("a length is longer than need be"));
                }
                (length, 2 + count)
            }
            _ => return Err(NotDer("a length is none, or too large")),
        };
        let (whole, rest) = self
            .0
            .split_at_checked(head + length)
            .ok_or(NotDer("a value is cut off"))?;
        self.0 = rest;
        Ok(Some(Value {
            tag,
            content: whole.get(head..).unwrap_or_default(),
            whole,
        }))
    }

    /// The next value, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Result<Value<'a>, NotDer> {
        match self.next()? {
            Some(value) if value.tag == tag => Ok(value),
            Some(_) | None => Err(NotDer("a value is missing, or of another kind")),
        }
    }

    /// The next value, if it has this tag.
    pub(super) fn take_if(&mut self, tag: u8) -> Result<Option<Value<'a>>, NotDer> {
        if self.0.first() == Some(&tag) {
            return self.next();
        }
        Ok(None)
    }

    /// What is in the next value, which must have this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Result<Self, NotDer> {
        Ok(Self(self.take(tag)?.content))
    }

    /// Nothing must follow.
    pub(super) const fn end(&self) -> Result<(), NotDer> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(NotDer("something follows that should not"))
        }
    }
}

/// A value of these parts.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        bytes.push(short);
    } else {
        let digits = length.to_be_bytes();
        let zeros = digits.iter().take_while(|d| **d == 0).count();
        let digits = digits.get(zeros..).unwrap_or_default();
        bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
        bytes.extend_from_slice(digits);
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let bytes = value(SEQUENCE, &[&content, &[1]]);
            let mut reader = Reader::new(&bytes);
            let found = reader.take(SEQUENCE).unwrap();
            assert_eq!(found.content.len(), length + 1);
            assert_eq!(found.whole, bytes);
            assert_eq!(reader.next(), Ok(None));
        }
    }

    #[test]
    fn what_is_cut_off_or_could_be_written_otherwise_is_refused() {
        for bytes in [
            &[0x30][..],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81],
            &[0x30, 0x81, 1, 0],
            &[0x30, 0x82, 0, 0x80],
            &[0x30, 0x84, 0, 0, 0, 1, 0],
            &[0x30, 0xff],
            &[0x3f, 1, 0],
        ] {
            assert!(Reader::new(bytes).next().is_err(), "{bytes:x?}");
        }
        assert!(Reader::new(&[2, 1, 0]).take(SEQUENCE).is_err());
        assert!(Reader::new(&[2, 1, 0]).end().is_err());
    }
}
