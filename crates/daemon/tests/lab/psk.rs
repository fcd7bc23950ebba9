//! Configurations with a pre-shared key, for tests of what is behind IKE.
#![allow(dead_code, reason = "each test binary uses its part")]

/// A connection; `connection` and `children` are added to it. A peer without a name may be anybody.
pub(crate) fn connection(name: &str, [me, peer]: [&str; 2], connection: &str, children: &str) -> String {
    let peer = if peer.is_empty() { String::new() } else { format!("id = {peer}") };
    format!(
        "  {name} {{
    version = 2
    proposals = aes128-sha256-x25519
    {connection}
    local {{
      auth = psk
      id = {me}
    }}
    remote {{
      auth = psk
      {peer}
    }}
    children {{
      {children}
    }}
  }}
"
    )
}

/// A `swanctl.conf` of these connections, with pools `v4` and `v6` and everybody's secret.
pub(crate) fn whole(connections: &str) -> String {
    format!(
        "connections {{
{connections}}}
pools {{
  v4 {{
    addrs = 10.3.0.0/24
  }}
  v6 {{
    addrs = fd03::/112
  }}
}}
secrets {{
  ike {{
    secret = \"a long enough secret\"
  }}
}}
"
    )
}
