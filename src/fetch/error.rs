//! Why something could not be fetched.

use crate::{store, transport};

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place has no such file.
    #[error("cannot fetch {name}: there is no such file")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// Not to be had at any place that was given.
    #[error("cannot fetch {name}: {reason}")]
    Unavailable {
        /// The name of what was wanted.
        name: String,
        /// What each place answered.
        reason: String,
    },
    /// What came is not what was announced.
    #[error(
        "cannot fetch {name}: expected {expected}, got {got}\n\
         hint: the archive may be mid-update; run the build again"
    )]
    Mismatch {
        /// The name of what was wanted.
        name: String,
        /// What was announced.
        expected: String,
        /// What came.
        got: String,
    },
    /// Longer than a document of its kind may be.
    #[error("cannot fetch {name}: it is longer than {limit} bytes")]
    TooLong {
        /// What was asked for.
        name: String,
        /// The limit.
        limit: u64,
    },
    /// A local file that cannot be read, or a place that we do not know how to reach.
    #[error("cannot read {name}: {reason}")]
    Unreadable {
        /// What was asked for.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The other side, or the way to it.
    #[error(transparent)]
    Transport(transport::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether there is no such file: for a caller who knows another one to ask for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound { .. })
    }
}

impl From<transport::Error> for Error {
    fn from(error: transport::Error) -> Error {
        match error {
            transport::Error::Status { url, status: 404 | 410 } => Error::NotFound { name: url },
            error => Error::Transport(error),
        }
    }
}
