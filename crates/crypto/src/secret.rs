//! Bytes that wipe themselves and never print.
use zeroize::Zeroizing;

/// A secret of any length: wiped on drop, compared in constant time, `Debug` prints only the length.
/// `Clone` is deliberate and explicit; serialisation exists for HA and restart and must stay inside encrypted links.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}
