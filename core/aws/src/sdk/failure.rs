//! What the SDK says when something goes wrong.

use std::error::Error;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;

use crate::error::CloudError;

/// What the failure of an action means.
pub(super) fn failed<E>(action: &'static str) -> impl Fn(SdkError<E>) -> CloudError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    move |error| {
        if let Some(told) = error.as_service_error() {
            let meta = ProvideErrorMetadata::meta(told);
            let code = meta.code().unwrap_or("Unknown");
            let message = meta.message().unwrap_or_default();
            return CloudError::of(action, code, message, error.request_id());
        }
        let why = in_full(&error);
        // What cannot be signed was never sent.
        if why.contains("credential") {
            return CloudError::NoCredentials { why };
        }
        CloudError::Unreachable { why }
    }
}

/// An error with its causes, the same words once.
pub(super) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.extend([": ", &told]);
        }
        cause = error.source();
    }
    text
}
