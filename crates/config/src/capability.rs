//! What this build can do: the one place where keys are switched on.
//!
//! A key that needs something missing is accepted at its default and refused by name at any other value.

use std::collections::BTreeSet;

/// Something a key may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// IKE version 1.
    Ikev1,
    /// XAuth.
    Xauth,
    /// Post-quantum pre-shared keys (RFC 8784).
    Ppk,
    /// The mediation extension.
    Mediation,
    /// IKE from other local ports than 500 and 4500.
    LocalPorts,
    /// AH.
    Ah,
    /// Transport mode.
    Transport,
    /// Transport mode through a proxy (Mobile IPv6).
    TransportProxy,
    /// BEET mode.
    Beet,
    /// IP-TFS (RFC 9347).
    Iptfs,
    /// Security labels.
    Labels,
    /// Per-CPU CHILD_SAs (RFC 9611).
    PerCpu,
    /// Hardware offload.
    Offload,
    /// Marks.
    Marks,
    /// XFRM interface ids.
    InterfaceIds,
    /// VTI devices that the daemon makes.
    Vti,
    /// Fixed priorities of policies.
    Priority,
    /// Policies of the kernel: interfaces, forwarding policies, none at all.
    KernelPolicies,
    /// HMAC-SHA-256 truncated to 96 bits.
    Sha256_96,
    /// Padding against traffic analysis.
    TfcPadding,
    /// Choosing what is copied between inner and outer headers.
    HeaderCopy,
}

impl Capability {
    /// What is missing, for the operator.
    #[must_use]
    pub fn missing(self) -> &'static str {
        match self {
            Self::Ikev1 => "IKEv1 is not available yet: set version = 2",
            Self::Xauth => "XAuth, a part of IKEv1, is not available yet: set auth = eap, pubkey or psk",
            Self::Ppk => "post-quantum pre-shared keys (PPK) are not available yet",
            Self::Mediation => "the mediation extension is not available yet",
            Self::LocalPorts => "local IKE ports other than 500 and 4500 are not available yet",
            Self::Ah => "AH is not available with userspace ESP: use esp_proposals",
            Self::Transport => "transport mode is not available yet: set mode = tunnel",
            Self::TransportProxy => "transport proxy mode is not available yet: set mode = tunnel",
            Self::Beet => "BEET mode is not available with userspace ESP: set mode = tunnel",
            Self::Iptfs => "IP-TFS is not available yet: set mode = tunnel",
            Self::Labels => "security labels are not available yet",
            Self::PerCpu => "per-CPU SAs are not available yet",
            Self::Offload => "hardware offload is not available with userspace ESP",
            Self::Marks => "marks are not available with userspace ESP",
            Self::InterfaceIds => "XFRM interface ids are not available with userspace ESP",
            Self::Vti => "VTI devices are not available with userspace ESP",
            Self::Priority => "fixed priorities of policies are not available with userspace ESP",
            Self::KernelPolicies => "kernel policies are not available with userspace ESP",
            Self::Sha256_96 => "HMAC-SHA-256 truncated to 96 bits is not available yet",
            Self::TfcPadding => "TFC padding is not available yet",
            Self::HeaderCopy => {
                "choosing what is copied between inner and outer headers is not available yet"
            }
        }
    }
}

/// The capabilities of a build and its data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Nothing but what every build has: IKEv2 with all its authentication, tunnel mode, pass and drop.
    #[must_use]
    pub fn none() -> Self {
        Self(BTreeSet::new())
    }

    /// What there is with userspace ESP.
    #[must_use]
    pub fn userspace() -> Self {
        Self([Capability::HeaderCopy, Capability::Ppk, Capability::TfcPadding, Capability::Transport].into())
    }

    /// What there is with the kernel's IPsec.
    #[must_use]
    pub fn xfrm() -> Self {
        let kernel = [
            Capability::Ah,
            Capability::Beet,
            Capability::InterfaceIds,
            Capability::KernelPolicies,
            Capability::Marks,
            Capability::Offload,
            Capability::Priority,
            Capability::Vti,
        ];
        kernel.into_iter().fold(Self::userspace(), Self::with)
    }

    /// The same and one more.
    #[must_use]
    pub fn with(mut self, capability: Capability) -> Self {
        self.0.insert(capability);
        self
    }

    /// It is there.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::userspace()
    }
}
