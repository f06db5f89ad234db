//! The codes of all problems, in one table. A code never changes its meaning and is never used
//! again: operators search for it, and programs compare it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Severity;

macro_rules! codes {
    ($($code:literal $name:ident: $meaning:literal,)*) => {
        /// What kind of problem it is. Codes from E00 are about the text, E01 about single values,
        /// E02 and W02 about values that do not fit together, E03 about changes of single objects.
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
    "E0202" AddressTaken: "Two things listen on the same address.",
    "E0203" RuleDoesNothing: "A rule has neither an action nor header edits.",
    "E0204" DuplicateRule: "Two rules of a virtual service have the same name.",
    "E0205" HttpOnly: "A virtual service for TCP uses what only HTTP has.",
    "E0206" NowhereToGo: "A virtual service has neither a pool nor rules.",
    "E0207" ForbiddenField: "A header field that frames the message or belongs to one connection is changed.",
    "E0208" FieldEditedTwice: "A header field is changed in two ways that exclude each other.",
    "E0209" NotARedirect: "The status of a redirect is not one that redirects.",
    "E0210" NotFinal: "The status of an answer is one that announces another answer.",
    "E0211" BodyNotAllowed: "An answer has a body, which its status forbids.",
    "E0212" ProbeWithoutBody: "A probe looks at a body that its method never brings.",
    "E0213" BadCookie: "An attribute of a cookie would break it.",
    "E0214" CookieNeedsSecure: "A cookie is one that browsers only take with `secure`.",
    "E0215" CloseFalse: "`close = false` says nothing.",
    "E0216" SorryPoolIsPool: "The sorry pool of a virtual service is the pool that it stands in for.",
    "E0217" NotAFileName: "A file has no usable name.",
    "E0218" UnknownCertificate: "A certificate is named that does not exist.",
    "E0219" UnknownAuthority: "An authority is named that does not exist.",
    "E0220" TlsPassedThrough: "TLS is both passed to servers as it is and decrypted.",
    "E0221" RedirectInCircles: "Clients that use https are sent to https.",
    "E0222" PassThroughOnly: "A rule looks at what is only seen of TLS that is passed to servers.",
    "E0223" InsecureAndVerified: "Servers may show any certificate, and must show a certain one.",
    "E0224" UnknownAcmeAccount: "An account of ACME is named that does not exist.",
    "E0225" TermsNotAgreed: "The terms of an authority are not agreed to.",
    "E0226" WildcardNeedsDns: "A wildcard is to be proved in a way that proves single hosts only.",
    "E0227" AddressFromAcme: "An authority is to issue a certificate for an IP address.",
    "E0228" Http3NeedsTls: "A virtual service speaks HTTP/3, which there is only with TLS.",
    "E0301" UnknownObject: "An object is named that does not exist.",
    "E0302" OtherName: "An object is given another name than it has.",
    "E0303" NoOrder: "An object without a place among others is moved.",
    "E0401" MachineTwice: "Two balancers of a fleet are on the same machine.",
    "E0402" NoWayToAdmin: "A virtual machine passes nothing on to the port of its admin API.",
    "E0403" ForwardTwice: "Two virtual machines of a fleet are reached at the same address.",
    "E0404" ProgramOfImage: "A program is named for a machine whose image holds it.",
    "E0405" AdminOpenToWorld: "The admin API of a machine in a cloud is open to nobody, or to everybody.",
    "E0406" AddressNotReachable: "The address at which a machine is to be reached is none that can be reached.",
    "E0501" NotAToken: "What makes the first token of a machine is not the text of a token.",
    "E0502" GatewayOfDhcp: "An interface that asks for its address is given a gateway.",
    "W0201" NeverMatches: "A rule can never match, as an earlier one decides on all of its requests.",
    "W0202" UnusedPool: "A pool is used by no virtual service.",
    "W0203" ServerTwice: "A pool has two servers with the same address.",
    "W0204" ServiceDisabled: "A virtual service is disabled.",
    "W0205" PoolWithoutServers: "A pool has no servers.",
    "W0206" NoServerTakesClients: "No server of a pool takes new clients.",
    "W0207" NoHealthCheck: "A pool of several servers has no health check.",
    "W0208" TimeoutAboveInterval: "A probe may take longer than the time between two probes.",
    "W0209" AnswerNotChecked: "A probe sends a text and does not look at the answer.",
    "W0210" ConnectionsShared: "Connections with Windows authentication are shared between users.",
    "W0211" MetricsExposed: "Metrics are served on more than a loopback address.",
    "W0212" WeightsIgnored: "Servers have different weights, which the balance ignores.",
    "W0213" CookieShared: "Two pools of a virtual service set the same cookie.",
    "W0214" TargetAboveHead: "The request target may be larger than the whole header.",
    "W0215" CertificateUnused: "A certificate is given for an address that is not.",
    "W0216" UnusedCertificate: "A certificate is shown by nothing.",
    "W0217" UnusedAuthority: "An authority is trusted by nothing.",
    "W0218" RedirectsEverything: "A virtual service that sends everything to https has a pool or rules.",
    "W0219" InsecureServers: "Servers of a pool may show any certificate.",
    "W0220" Http2InVain: "Servers of a pool are to be spoken with in HTTP/2, and never will be.",
    "W0221" UnusedAcmeAccount: "An account of ACME is used by no certificate.",
    "W0222" ChallengeNotReached: "Nothing answers where an authority of ACME asks.",
    "W0401" ClusterOfOne: "A balancer of a fleet is alone in its cluster.",
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

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        found
            .copied()
            .ok_or_else(|| Error::custom(format!("`{text}` is not a code")))
    }
}

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "Code".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[EW][0-9]{4}$",
            "description": "What kind of problem it is; the codes are stable.",
            "examples": ["E0201"],
        })
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
