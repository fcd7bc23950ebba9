//! Daemon-wide settings that engines obey (`strongswan.conf`, section of the daemon).

/// Settings of the engines; names and defaults are `strongswan.conf`'s (`charon.…`).
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "fields are strongswan.conf's keys")]
pub struct Settings {
    /// Seconds.
    pub retransmit_timeout: f64,
    pub retransmit_base: f64,
    pub retransmit_tries: u32,
    /// Percent, 0 to 20.
    pub retransmit_jitter: u32,
    /// Seconds, 0 = none.
    pub retransmit_limit: u32,
    /// Seconds.
    pub keep_alive: u64,
    pub keep_alive_dpd_margin: u64,
    pub half_open_timeout: u64,
    pub cookie_threshold: u32,
    pub cookie_threshold_ip: u32,
    pub block_threshold: u32,
    pub dos_protection: bool,
    pub init_limit_half_open: u32,
    pub ikesa_limit: u32,
    pub make_before_break: bool,
    pub delete_rekeyed: bool,
    pub delete_rekeyed_delay: u64,
    pub reuse_ikesa: bool,
    pub close_ike_on_child_failure: bool,
    pub inactivity_close_ike: bool,
    pub initiator_only: bool,
    pub prefer_configured_proposals: bool,
    /// Whole IP packet, bytes; 0 = 1280 for v6 and 576 for v4.
    pub fragment_size: u16,
    pub fragment_size_v4: u16,
    pub fragment_size_v6: u16,
    pub max_packet: u32,
    pub send_vendor_id: bool,
    pub replay_window: u32,
    pub spi_min: u32,
    pub spi_max: u32,
    pub reqid_base: u32,
    pub port: u16,
    pub port_nat_t: u16,
    pub retry_initiate_interval: u64,
    /// The data plane carries ESP in UDP only (`plugins.kernel-libipsec.raw_esp = no`): a NAT is faked where there is none.
    pub esp_in_udp_only: bool,
    /// The data plane has IPComp.
    pub plane_ipcomp: bool,
    pub multiple_authentication: bool,
    pub accept_private_algs: bool,
    pub ignore_acquire_ts: bool,
    pub flush_auth_cfg: bool,
    pub signature_authentication: bool,
    pub hash_and_url: bool,
    pub force_eap_only_authentication: bool,
    /// `announce_auth_methods`: say which authentication methods are accepted (RFC 9593).
    pub announce_auth_methods: bool,
    /// Mark and mask of packets that are not led into tunnels, which `%unique` must not draw
    /// (`plugins.kernel-netlink.fwmark` with `!`).
    pub passed_mark: Option<(u32, u32)>,
    /// DNS servers of gateways are of use (`plugins.resolve.load`, `plugins.updown.dns_handler`): ask for them.
    pub request_dns: bool,
    /// Names of the connections that ask for P-CSCF servers, too (RFC 7651; `plugins.p-cscf.enable`).
    pub request_p_cscf: std::collections::BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retransmit_timeout: 4.0,
            retransmit_base: 1.8,
            retransmit_tries: 5,
            retransmit_jitter: 0,
            retransmit_limit: 0,
            keep_alive: 20,
            keep_alive_dpd_margin: 0,
            half_open_timeout: 30,
            cookie_threshold: 30,
            cookie_threshold_ip: 3,
            block_threshold: 5,
            dos_protection: true,
            init_limit_half_open: 0,
            ikesa_limit: 0,
            make_before_break: true,
            delete_rekeyed: false,
            delete_rekeyed_delay: 5,
            reuse_ikesa: true,
            close_ike_on_child_failure: false,
            inactivity_close_ike: false,
            initiator_only: false,
            prefer_configured_proposals: true,
            fragment_size: 1280,
            fragment_size_v4: 1280,
            fragment_size_v6: 1280,
            max_packet: 10000,
            send_vendor_id: false,
            replay_window: 32,
            spi_min: 0xc000_0000,
            spi_max: 0xcfff_ffff,
            reqid_base: 1,
            port: 500,
            port_nat_t: 4500,
            retry_initiate_interval: 0,
            esp_in_udp_only: false,
            plane_ipcomp: false,
            multiple_authentication: true,
            accept_private_algs: false,
            ignore_acquire_ts: false,
            flush_auth_cfg: false,
            signature_authentication: true,
            hash_and_url: false,
            force_eap_only_authentication: false,
            announce_auth_methods: false,
            passed_mark: Some((220, u32::MAX)),
            request_dns: true,
            request_p_cscf: std::collections::BTreeSet::new(),
        }
    }
}
