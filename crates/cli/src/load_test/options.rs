//! The options of `cygnet load-test`.
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Debug, Clone, Args)]
pub(crate) struct LoadTest {
    /// The gateway: an address or a host name
    pub(crate) gateway: String,
    /// How many clients
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 100)]
    pub(crate) clients: u32,
    /// Set-ups begun per second
    #[arg(long, short, value_name = "PER-SECOND", default_value_t = 50.0)]
    pub(crate) rate: f64,
    /// Set-ups under way at once; the next one waits. Gateways count half-open IKE_SAs per address and overall
    /// (charon.block_threshold, charon.cookie_threshold)
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) concurrent: u32,
    /// How long all stay up once the last one is there; "forever" is until Ctrl-C. Time with a unit: 500ms, 10s, 5m, 2h
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = hold)]
    pub(crate) hold: Hold,
    /// End after this time whatever has been reached
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) duration: Option<std::time::Duration>,
    /// Each client leaves after this time and comes again, until --duration or Ctrl-C
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) churn: Option<std::time::Duration>,

    /// Identity of the clients; %d is the client's number, %5d the same with five digits, %% a per cent sign
    #[arg(long, value_name = "PATTERN", default_value = "client-%d@example.org")]
    pub(crate) identity: String,
    /// Number of the first client
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) first: u32,
    /// Whom the gateway must prove to be; it is also asked for that identity. Default: whoever has the credentials
    #[arg(long, value_name = "IDENTITY", default_value = "%any")]
    pub(crate) gateway_id: String,
    /// How the clients authenticate
    #[arg(long, value_name = "METHOD", default_value = "psk")]
    pub(crate) auth: Method,
    /// File with the pre-shared key or the password: its first line, as in swanctl.conf (0x… is hexadecimal, 0s… Base64);
    /// "-" is standard input. Without it the secret is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// The secret is a pattern as --identity is, so that each client has its own
    #[arg(long)]
    pub(crate) secret_per_client: bool,

    /// EAP method of the clients: mschapv2, md5, gtc, ttls, peap or tls
    #[arg(long, value_name = "METHOD", default_value = "mschapv2")]
    pub(crate) eap_method: String,
    /// User names in EAP, as --identity is written. Default: the identity
    #[arg(long, value_name = "PATTERN")]
    pub(crate) user: Option<String>,
    /// Whom the server of EAP-TLS, TTLS and PEAP must prove to be. Default: the gateway
    #[arg(long, value_name = "IDENTITY")]
    pub(crate) aaa_id: Option<String>,
    /// File with the authority that the gateway's certificate comes from; may be given several times. Default: --issuer
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// Certificate of an authority that issues one to each client as it comes
    #[arg(long, value_name = "FILE", requires = "issuer_key")]
    pub(crate) issuer: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(crate) issuer_key: Option<PathBuf>,
    /// Kind of the clients' key: issued certificates all have the same
    #[arg(long, value_name = "KIND", default_value = "ecdsa")]
    pub(crate) key_type: KeyKind,
    /// Directory with certificates and keys instead, one client for each certificate that has its key there
    #[arg(long, value_name = "DIR", conflicts_with = "issuer")]
    pub(crate) certs: Option<PathBuf>,

    /// Virtual addresses that each client asks for
    #[arg(long, value_name = "FAMILY", default_value = "v4")]
    pub(crate) vip: Vip,
    /// Networks behind the gateway. Default: everything of the families of --vip
    #[arg(long, value_name = "SUBNET", value_delimiter = ',')]
    pub(crate) remote_ts: Vec<String>,
    /// IKE proposals, as in swanctl.conf
    #[arg(long, value_name = "PROPOSALS", default_value = "default")]
    pub(crate) proposal: String,
    /// ESP proposals, as in swanctl.conf
    #[arg(long, value_name = "PROPOSALS", default_value = "default")]
    pub(crate) esp_proposal: String,
    /// Rekey each IKE_SA after this time, less up to a tenth at random
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) rekey_ike: Option<std::time::Duration>,
    /// Rekey each CHILD_SA after this time, less up to a tenth at random
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) rekey_child: Option<std::time::Duration>,
    /// Each client asks whether the gateway lives when it has heard nothing for so long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) dpd: Option<std::time::Duration>,

    /// Send packets of SIZE bytes (IP header included, 84 by default) through the tunnel of each client, so many per second
    #[arg(long, value_name = "PER-SECOND[:SIZE]", requires = "target", value_parser = traffic)]
    pub(crate) traffic: Option<(f64, u16)>,
    /// Where they go: an address gets ICMP echo requests, an address with a port UDP datagrams for its echo service
    #[arg(long, value_name = "ADDRESS[:PORT]", requires = "traffic", value_parser = target)]
    pub(crate) target: Option<(IpAddr, Option<u16>)>,

    /// Come from these addresses in turn. Default: the one that the kernel chooses
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) source: Vec<IpAddr>,
    /// The gateway's port. With 500, clients go on at 4500 after IKE_SA_INIT; with another one they begin and stay there,
    /// behind the non-ESP marker
    #[arg(long, value_name = "PORT", default_value_t = 500)]
    pub(crate) port: u16,
    /// Do not pretend to be behind a NAT: the gateway will not put ESP into UDP
    #[arg(long)]
    pub(crate) no_encap: bool,
    /// First wait for an answer; each further one is 1.8 times as long
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub(crate) retransmit_timeout: std::time::Duration,
    /// How often a request is repeated before the client gives up
    #[arg(long, value_name = "NUMBER", default_value_t = 4)]
    pub(crate) retransmit_tries: u32,
    /// Threads, each with a share of the clients. Default: one for each 10,000 set-ups per second, so mostly one
    #[arg(long, value_name = "NUMBER")]
    pub(crate) threads: Option<u8>,
    /// Go beyond what a gateway on the Internet is spared from by default
    #[arg(long)]
    pub(crate) i_operate_this_gateway: bool,
    /// One JSON document at the end, schema cygnet.load-test/1; progress goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// A pre-shared key
    Psk,
    /// Certificates: --issuer or --certs
    Cert,
    /// EAP; the gateway has a certificate
    Eap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyKind {
    /// ECDSA with P-256
    Ecdsa,
    /// RSA with 3072 bits
    Rsa,
    /// Ed25519
    Ed25519,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vip {
    /// One of IPv4
    V4,
    /// One of IPv6
    V6,
    /// One of each
    Both,
    /// None
    None,
}

/// How long clients stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Forever,
    For(std::time::Duration),
}

fn hold(text: &str) -> Result<Hold, String> {
    if text == "forever" { Ok(Hold::Forever) } else { time(text).map(Hold::For) }
}

/// A time with its unit; without one it is seconds.
fn time(text: &str) -> Result<std::time::Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time has a unit: ms, s, m or h".to_owned()),
    };
    let seconds =
        number.parse::<f64>().map_err(|_| "a time begins with a number: 10s, 5m, 1.5h".to_owned())? * scale;
    if seconds > 31_536_000.0 {
        return Err("a year is the longest time".to_owned());
    }
    std::time::Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// Packets per second and their size.
fn traffic(text: &str) -> Result<(f64, u16), String> {
    let (rate, size) = text.split_once(':').unwrap_or((text, "84"));
    let number = |e: &dyn std::fmt::Display| format!("packets per second and size, as in 10 or 0.5:200: {e}");
    let rate: f64 = rate.parse().map_err(|e| number(&e))?;
    if !rate.is_finite() {
        return Err(number(&"not a number"));
    }
    Ok((rate, size.parse().map_err(|e| number(&e))?))
}

fn target(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    let both: std::net::SocketAddr = text
        .parse()
        .map_err(|_| "an address, or an address with a port: 10.1.0.10, [fd01::10]:7".to_owned())?;
    Ok((both.ip(), Some(both.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in
            [("10s", 10_000), ("250ms", 250), ("7", 7_000), ("1.5h", 5_400_000), ("2m", 120_000)]
        {
            assert_eq!(time(text).unwrap().as_millis(), ms, "{text}");
        }
        for bad in ["", "s", "10 s", "1d", "-1s", "1.2.3s", "1e9s", "99999h"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(hold("forever"), Ok(Hold::Forever));
    }

    #[test]
    fn packets_and_targets() {
        assert_eq!(traffic("10"), Ok((10.0, 84)));
        assert_eq!(traffic("0.5:1400"), Ok((0.5, 1400)));
        for bad in ["", ":84", "x", "10:", "10:70000", "inf", "NaN"] {
            assert!(traffic(bad).is_err(), "{bad}");
        }
        assert_eq!(target("10.1.0.10"), Ok(([10, 1, 0, 10].into(), None)));
        assert_eq!(target("10.1.0.10:7"), Ok(([10, 1, 0, 10].into(), Some(7))));
        assert_eq!(target("[fd01::10]:7").map(|t| t.1), Ok(Some(7)));
        assert_eq!(target("fd01::10").map(|t| t.1), Ok(None));
        assert!(target("host:7").is_err());
    }
}
