//! Vendor IDs (RFC 7296 3.12): strongSwan's, by which two ends know that they mean the same by its private notifies.
use crate::core::Core;
use crate::sa::IkeSa;
use wire::ike::Payload;

/// MD5 of `strongSwan`.
const STRONGSWAN: [u8; 16] =
    [0x88, 0x2f, 0xe5, 0x6d, 0x6f, 0xd2, 0x0d, 0xbc, 0x22, 0x51, 0x61, 0x3b, 0x2e, 0xbe, 0x5b, 0xeb];

/// Ours for IKE_SA_INIT, where it is wanted (`send_vendor_id`).
pub(crate) fn ours(core: &Core) -> Option<Payload> {
    core.snapshot.settings.send_vendor_id.then(|| Payload::VendorId(STRONGSWAN.to_vec()))
}

/// What the peer's IKE_SA_INIT says.
pub(crate) fn note(core: &mut Core, sa: &mut IkeSa, p: &[Payload]) {
    sa.features.private = p.iter().any(|p| matches!(p, Payload::VendorId(id) if *id == STRONGSWAN));
    if sa.features.private {
        say!(core, sa, Ike 1, "received strongSwan vendor ID");
    }
}

/// Whether both have said that they know the private notifies.
pub(crate) fn agreed(core: &Core, sa: &IkeSa) -> bool {
    sa.features.private && core.snapshot.settings.send_vendor_id
}
