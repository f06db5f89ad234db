//! Open files: how many the process may have, and how many connections that allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A connection of a client, and the one to its server.
const PER_CONNECTION: u64 = 2;

/// Listeners, event queues, logs, health checks and idle server connections.
const OTHERS: u64 = 200;

/// What counts as no limit: Linux allows no more unless `fs.nr_open` was raised.
const UNLIMITED: u64 = 1 << 20;

/// The process may not have as many open files as the document needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorsError {
    /// The document says how many connections it wants.
    #[error(
        "`limits.connections_max` = {connections} needs {needed} open files, \
         but the process may only have {allowed}"
    )]
    TooFew {
        /// What the document says.
        connections: u64,
        /// Open files for that.
        needed: u64,
        /// Open files that are allowed.
        allowed: u64,
    },
    /// Not even one connection can be served.
    #[error("the process may only have {allowed} open files, too few to serve anything")]
    Useless {
        /// Open files that are allowed.
        allowed: u64,
    },
}

impl DescriptorsError {
    /// What to do.
    pub fn help(&self) -> String {
        let raise = |needed| {
            format!(
                "raise the limit with LimitNOFILE={needed} in the systemd unit or `ulimit -n {needed}`"
            )
        };
        match *self {
            Self::TooFew {
                needed, allowed, ..
            } => format!(
                "{}, or lower `limits.connections_max` to {}",
                raise(needed),
                connections(allowed)
            ),
            Self::Useless { .. } => raise(65_536),
        }
    }
}

/// Raises the limit on open files as far as the process may, and tells how many client connections
/// that allows.
pub(crate) fn raise(connections_max: Option<u32>) -> Result<usize, DescriptorsError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let hard = maximum.unwrap_or(UNLIMITED);
    let raised = Rlimit {
        current: Some(hard),
        maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => hard,
        Err(_) => current.unwrap_or(UNLIMITED),
    };
    let connections = fit(connections_max, allowed)?;
    Ok(usize::try_from(connections).unwrap_or(usize::MAX))
}

/// How many client connections fit into so many open files; those that the document asks for must. The
/// document may ask for more or fewer later, so its number is only checked.
fn fit(connections_max: Option<u32>, allowed: u64) -> Result<u64, DescriptorsError> {
    let possible = connections(allowed);
    if possible == 0 {
        return Err(DescriptorsError::Useless { allowed });
    }
    if let Some(wanted) = connections_max.map(u64::from)
        && wanted > possible
    {
        return Err(DescriptorsError::TooFew {
            connections: wanted,
            needed: wanted * PER_CONNECTION + OTHERS,
            allowed,
        });
    }
    Ok(possible)
}

const fn connections(allowed: u64) -> u64 {
    allowed.saturating_sub(OTHERS) / PER_CONNECTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_connections_are_possible_as_files_allow_whatever_the_document_says() {
        assert_eq!(fit(None, 1024), Ok(412));
        assert_eq!(fit(Some(400), 1024), Ok(412));
    }

    #[test]
    fn a_limit_that_cannot_be_kept_is_refused_with_both_ways_out() {
        let error = fit(Some(10_000), 1024).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`limits.connections_max` = 10000 needs 20200 open files, \
             but the process may only have 1024"
        );
        let help = error.help();
        assert!(
            help.contains("LimitNOFILE=20200") && help.contains("to 412"),
            "{help}"
        );
    }

    #[test]
    fn a_process_without_files_says_so_instead_of_accepting_nobody() {
        assert_eq!(
            fit(None, 64),
            Err(DescriptorsError::Useless { allowed: 64 })
        );
    }
}
