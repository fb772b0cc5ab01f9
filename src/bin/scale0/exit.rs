//! Exit codes, decided in one place.

use std::process::ExitCode;

use scale0::sdk::CallError;

use crate::output::tell;

/// How a command failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It was tried, and did not work: 1.
    Error(String),
    /// It could not be tried as it was asked for: 2.
    Usage(String),
    /// No answer in time: 3.
    Timeout(String),
    /// No such service: 4.
    NoService(String),
    /// Nobody reads what it prints any more: 0, for that is how `head` ends.
    Unread,
}

/// What a command comes to.
pub(crate) type Outcome = Result<(), Failed>;

/// Tells the user and the shell.
pub(crate) fn code(outcome: Outcome) -> ExitCode {
    let (code, text) = match outcome {
        Ok(()) | Err(Failed::Unread) => return ExitCode::SUCCESS,
        Err(Failed::Error(text)) => (1, text),
        Err(Failed::Usage(text)) => (2, text),
        Err(Failed::Timeout(text)) => (3, text),
        Err(Failed::NoService(text)) => (4, text),
    };
    tell(format_args!("scale0: {text}"));
    ExitCode::from(code)
}

impl Failed {
    pub(crate) fn error(error: impl std::fmt::Display) -> Self {
        Self::Error(error.to_string())
    }

    pub(crate) fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match (&error, error.code()) {
            (CallError::Timeout { .. }, _) => Self::Timeout(text),
            (
                CallError::Name(_)
                | CallError::Property(_)
                | CallError::NoOneWay
                | CallError::TooLarge { .. }
                | CallError::TooManyParts { .. },
                _,
            ) => Self::Usage(text),
            (CallError::Refused { .. }, Some(408 | 504)) => Self::Timeout(text),
            (CallError::Refused { .. }, Some(404)) => Self::NoService(text),
            _ => Self::Error(text),
        }
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::error(error)
    }
}
