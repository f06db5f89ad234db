//! What EC2 refuses, told apart by what there is to do about it.

/// Why EC2 did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// Nobody says who asks.
    #[error("there are no credentials for AWS: {why}")]
    NoCredentials {
        /// Where was looked in vain.
        why: String,
    },
    /// AWS does not know whoever asks, or not any more.
    #[error("AWS does not accept the credentials: {message} ({code})")]
    Credentials {
        /// The code.
        code: String,
        /// What AWS says.
        message: String,
    },
    /// Whoever asks may not do this.
    #[error("AWS does not permit `{action}`: {message}")]
    Denied {
        /// The action, as policies have it.
        action: String,
        /// What AWS says.
        message: String,
    },
    /// The region is unknown, or closed to the account.
    #[error("AWS does not serve this account in the region: {message}")]
    Region {
        /// What AWS says.
        message: String,
    },
    /// There is nobody who answers.
    #[error("EC2 cannot be reached: {why}")]
    Unreachable {
        /// Why.
        why: String,
    },
    /// Too many calls.
    #[error("AWS is asked too often: {message}")]
    Throttled {
        /// What AWS says.
        message: String,
    },
    /// The account may have no more of it.
    #[error("the account may have no more of it: {message} ({code})")]
    Quota {
        /// The code.
        code: String,
        /// What AWS says.
        message: String,
    },
    /// AWS has no more of it at the moment.
    #[error("AWS has no such machine free at the moment: {message}")]
    NoCapacity {
        /// What AWS says.
        message: String,
    },
    /// It is not there, or not yet.
    #[error("it is not there: {message} ({code})")]
    NotFound {
        /// The code.
        code: String,
        /// What AWS says.
        message: String,
    },
    /// It is there already.
    #[error("it is there already: {message} ({code})")]
    Exists {
        /// The code.
        code: String,
        /// What AWS says.
        message: String,
    },
    /// Something else still uses it.
    #[error("something still uses it: {message}")]
    InUse {
        /// What AWS says.
        message: String,
    },
    /// The token has made a machine already, of something else.
    #[error("another machine was made with this token")]
    TokenUsed,
    /// The token has made a machine that is gone.
    #[error("the machine that was made with this token is gone")]
    TokenOver,
    /// It would be allowed: the answer to a trial.
    #[error("it would be done")]
    WouldWork,
    /// Something else.
    #[error("AWS refuses `{action}`: {message} ({code}{request})")]
    Other {
        /// The action.
        action: String,
        /// The code.
        code: String,
        /// What AWS says.
        message: String,
        /// The id of the request, which the support of AWS asks for.
        request: String,
    },
}

impl CloudError {
    /// What a code of EC2 means.
    pub fn of(action: &str, code: &str, message: &str, request: Option<&str>) -> Self {
        let (code, message) = (code.to_owned(), message.trim().to_owned());
        match code.as_str() {
            "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "IncompleteSignature" => Self::Credentials { code, message },
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "Blocked" => {
                Self::Denied {
                    action: named(&message).unwrap_or_else(|| action.to_owned()),
                    message: without_blob(&message),
                }
            }
            "OptInRequired" | "PendingVerification" => Self::Region { message },
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "Unavailable"
            | "ServiceUnavailable" => Self::Throttled { message },
            "IdempotentParameterMismatch" => Self::TokenUsed,
            "IdempotentInstanceTerminated" => Self::TokenOver,
            "DryRunOperation" => Self::WouldWork,
            "DependencyViolation" | "InvalidGroup.InUse" => Self::InUse { message },
            "InsufficientInstanceCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientCapacity"
            | "InsufficientCapacityOnHost"
            | "SpotMaxPriceTooLow"
            | "InsufficientAddressCapacity" => Self::NoCapacity { message },
            other if is_quota(other) => Self::Quota { code, message },
            other if other.ends_with(".NotFound") || other.ends_with("NotFoundException") => {
                Self::NotFound { code, message }
            }
            other if other.ends_with(".Duplicate") => Self::Exists { code, message },
            _ => Self::Other {
                action: action.to_owned(),
                code,
                message,
                request: request.map_or_else(String::new, |id| format!(", request {id}")),
            },
        }
    }

    /// Whether it is that something is not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

/// Codes with a limit in them; that of calls is another thing.
fn is_quota(code: &str) -> bool {
    code.ends_with("LimitExceeded") || code == "MaxSpotInstanceCountExceeded"
}

/// The action that a message names, such as `ec2:CreateTags`.
fn named(message: &str) -> Option<String> {
    let mut words = message.split([' ', '\'', '"', ',']);
    words
        .find(|word| {
            word.split_once(':').is_some_and(|(service, action)| {
                service == "ec2"
                    && !action.is_empty()
                    && action.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        })
        .map(str::to_owned)
}

/// A message without the encoded rest, which says nothing to a person.
fn without_blob(message: &str) -> String {
    let end = message.find("Encoded authorization failure");
    let told = end.and_then(|end| message.get(..end)).unwrap_or(message);
    told.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_what_there_is_to_do() {
        let of = |code: &str| CloudError::of("ec2:RunInstances", code, "told", None);
        assert!(matches!(of("AuthFailure"), CloudError::Credentials { .. }));
        assert!(matches!(of("VcpuLimitExceeded"), CloudError::Quota { .. }));
        assert!(matches!(
            of("RequestLimitExceeded"),
            CloudError::Throttled { .. }
        ));
        assert!(matches!(
            of("InvalidInstanceID.NotFound"),
            CloudError::NotFound { .. }
        ));
        assert!(matches!(
            of("InvalidGroup.Duplicate"),
            CloudError::Exists { .. }
        ));
        assert!(of("Odd").to_string().contains("Odd"));
    }

    #[test]
    fn a_denial_names_its_action_and_leaves_the_blob_out() {
        let told = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/a is not authorized \
                    to perform: ec2:CreateTags on resource: x. Encoded authorization failure message: abcdef";
        let error = CloudError::of("ec2:RunInstances", "UnauthorizedOperation", told, None);
        let text = error.to_string();
        assert!(text.contains("`ec2:CreateTags`"), "{text}");
        assert!(!text.contains("abcdef"), "{text}");
        let other = CloudError::of("ec2:RunInstances", "UnauthorizedOperation", "no", None);
        assert!(other.to_string().contains("`ec2:RunInstances`"));
    }
}
