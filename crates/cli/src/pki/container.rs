//! `pki --pkcs12`.
use super::{Call, Outcome};

pub(super) fn run(_call: &Call<'_>) -> Outcome {
    super::missing("pkcs12", "containers are not read yet")
}
