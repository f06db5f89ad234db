//! The codes of all problems, in one table. A code never changes its meaning and is never used
//! again: operators search for it, and programs compare it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Severity;

macro_rules! codes {
    ($($code:literal $name:ident: $meaning:literal,)*) => {
        /// What kind of problem it is. Codes from E00 are about the text, E01 about single values,
        /// E02 and W02 about values that do not fit together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it is printed.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What the code means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

codes! {
    "E0001" Syntax: "The text is not valid TOML or JSON.",
    "E0002" DuplicateKey: "A key is given twice.",
    "E0003" TooLarge: "The document is larger than any balancer needs.",
    "E0004" TooDeep: "Values are nested deeper than any document needs.",
    "E0005" TooManyProblems: "There are more problems than are listed.",
    "E0101" WrongType: "A value is of the wrong type.",
    "E0102" UnknownKey: "A key is not known.",
    "E0103" MissingKey: "A required key is missing.",
    "E0104" OutOfRange: "A number is out of its range.",
    "E0105" WrongLength: "A text or list is too short or too long.",
    "E0106" UnknownChoice: "A value is none of the choices.",
    "E0107" BadFormat: "A text does not have the form that its key needs.",
    "E0108" NotOneChoice: "A table must hold exactly one of the choices.",
    "E0109" Unreadable: "A value was refused for another reason.",
    "E0201" UnknownPool: "A pool is named that does not exist.",
}

impl Code {
    /// Whether a document with such a problem can be used.
    pub const fn severity(self) -> Severity {
        if self.as_str().as_bytes()[0] == b'W' {
            Severity::Warning
        } else {
            Severity::Error
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_problems_share_a_code() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
