//! `pki --ocsp`.
use super::{Call, Outcome};

pub(super) fn run(_call: &Call<'_>) -> Outcome {
    super::missing("ocsp", "not answered yet")
}
