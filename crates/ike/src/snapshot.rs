//! The whole state of an IKE_SA as one plain value.

/// To come.
#[derive(Debug, Clone)]
pub struct IkeSaState;
