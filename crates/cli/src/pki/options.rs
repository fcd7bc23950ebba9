//! The commands of pki and their options, as a table.
use super::{Call, Outcome, missing};
use super::{acert, container, generate, issue, names, ocsp, print, public, request, signcrl, verify};
use crate::getopt::{Opt, flag, value};
use crate::out::{complain, put};

/// A command: itself an option of pki.
pub(super) struct Command {
    pub(super) short: char,
    pub(super) long: &'static str,
    pub(super) about: &'static str,
    pub(super) options: &'static [Opt],
    pub(super) run: fn(&Call<'_>) -> Outcome,
}

/// Options that every command has.
pub(super) const SHARED: &[Opt] = &[
    flag("help", 'h', "show usage information"),
    value("debug", 'v', "debug level, default: 1"),
    value("options", '+', "read command line options from file"),
];

const IN: Opt = value("in", 'i', "input file, default: stdin");
const KEYID: Opt = value("keyid", 'x', "handle of a private key on a smartcard or TPM");
const OUTFORM: Opt = value("outform", 'f', "der or pem, default: der");
const DIGEST: Opt = value("digest", 'g', "sha256, sha384 or sha512, default: what suits the key");
const PADDING: Opt = value("rsa-padding", 'R', "pkcs1 or pss, default: pkcs1");
const DATEFORM: Opt = value("dateform", 'D', "strptime(3) format of dates, default: %d.%m.%y %T");
const CRITICAL: Opt = value("critical", 'X', "add a critical extension with this OID");
const SAN: Opt = value("san", 'a', "subjectAltName to include");
const LIFETIME: Opt = value("lifetime", 'l', "days it is valid");
const NOT_BEFORE: Opt = value("not-before", 'F', "date and time from which it is valid");
const NOT_AFTER: Opt = value("not-after", 'T', "date and time until which it is valid");
const SERIAL: Opt = value("serial", 's', "serial number in hex, default: random");
const CA: Opt = flag("ca", 'b', "it is a certification authority");
const PATHLEN: Opt = value("pathlen", 'p', "how many authorities may be below it");
const ADDRBLOCK: Opt = value("addrblock", 'B', "addresses it may use (RFC 3779)");
const NC_PERMITTED: Opt = value("nc-permitted", 'n', "names that may be below it");
const NC_EXCLUDED: Opt = value("nc-excluded", 'N', "names that must not be below it");
const CERT_POLICY: Opt = value("cert-policy", 'P', "OID of a certificate policy");
const CPS_URI: Opt = value("cps-uri", 'C', "practice statement of the policy before");
const USER_NOTICE: Opt = value("user-notice", 'U', "notice of the policy before");
const POLICY_MAPPING: Opt = value("policy-mapping", 'M', "issuer's OID:subject's OID");
const POLICY_EXPLICIT: Opt = value("policy-explicit", 'E', "requireExplicitPolicy constraint");
const POLICY_INHIBIT: Opt = value("policy-inhibit", 'H', "inhibitPolicyMapping constraint");
const POLICY_ANY: Opt = value("policy-any", 'A', "inhibitAnyPolicy constraint");
const FLAG: Opt =
    value("flag", 'e', "serverAuth, clientAuth, ikeIntermediate, crlSign, ocspSigning or msSmartcardLogon");
const OCSP: Opt = value("ocsp", 'o', "URI of an OCSP responder to include");
const CACERT: Opt = value("cacert", 'c', "certificate of the authority");
const CAKEY: Opt = value("cakey", 'k', "private key of the authority");
const CAKEYID: Opt = value("cakeyid", 'x', "handle of the authority's key on a smartcard or TPM");

/// All commands.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        short: 'z',
        long: "acert",
        about: "issue an attribute certificate",
        options: &[
            IN,
            value("group", 'm', "a group the holder belongs to"),
            value("issuercert", 'c', "certificate of the issuer"),
            value("issuerkey", 'k', "private key of the issuer"),
            value("issuerkeyid", 'x', "handle of the issuer's key on a smartcard or TPM"),
            SERIAL,
            value("lifetime", 'l', "hours it is valid, default: 24"),
            NOT_BEFORE,
            NOT_AFTER,
            DATEFORM,
            DIGEST,
            PADDING,
            OUTFORM,
        ],
        run: acert::run,
    },
    Command {
        short: 'd',
        long: "dn",
        about: "extract the subject DN of an X.509 certificate",
        options: &[IN, value("format", 'f', "config, hex, base64 or bin, default: config")],
        run: names::dn,
    },
    Command {
        short: 'E',
        long: "est",
        about: "not available",
        options: &[],
        run: |_| missing("est", "enrolment protocols are not implemented; use pki --req and --issue"),
    },
    Command {
        short: 'e',
        long: "estca",
        about: "not available",
        options: &[],
        run: |_| missing("estca", "enrolment protocols are not implemented"),
    },
    Command {
        short: 'g',
        long: "gen",
        about: "generate a new private key",
        options: &[
            value("type", 't', "rsa, ecdsa or ed25519, default: rsa"),
            value("size", 's', "bits, default: rsa 2048, ecdsa 384"),
            flag("safe-primes", 'p', "not available"),
            value("shares", 'n', "not available"),
            value("threshold", 'l', "not available"),
            OUTFORM,
        ],
        run: generate::run,
    },
    Command {
        short: 'i',
        long: "issue",
        about: "issue a certificate using a CA certificate and key",
        options: &[
            IN,
            value("type", 't', "pub, pkcs10, priv, rsa, ecdsa or ed25519, default: pub"),
            CACERT,
            CAKEY,
            CAKEYID,
            value("dn", 'd', "distinguished name of the subject"),
            SAN,
            LIFETIME,
            NOT_BEFORE,
            NOT_AFTER,
            DATEFORM,
            SERIAL,
            CA,
            PATHLEN,
            ADDRBLOCK,
            NC_PERMITTED,
            NC_EXCLUDED,
            CERT_POLICY,
            CPS_URI,
            USER_NOTICE,
            POLICY_MAPPING,
            POLICY_EXPLICIT,
            POLICY_INHIBIT,
            POLICY_ANY,
            FLAG,
            value("crl", 'u', "URI of a CRL to include"),
            value("crlissuer", 'I', "issuer of the CRL at the URI before"),
            OCSP,
            DIGEST,
            PADDING,
            CRITICAL,
            OUTFORM,
        ],
        run: issue::issue,
    },
    Command {
        short: 'k',
        long: "keyid",
        about: "calculate key identifiers of a key/certificate",
        options: &[
            IN,
            KEYID,
            value("type", 't', "priv, rsa, ecdsa, ed25519, pub, pkcs10 or x509, default: priv"),
            value("id", 'I', "all, spk or spki, default: all"),
            value("format", 'f', "pretty, hex, base64 or bin, default: pretty"),
        ],
        run: names::keyid,
    },
    Command {
        short: 'o',
        long: "ocsp",
        about: "show an OCSP request, or answer it",
        options: &[
            IN,
            flag("respond", 'r', "answer the request"),
            value("listen", 'L', "answer requests over HTTP at address:port"),
            value("cacert", 'C', "certificate of an authority"),
            value("key", 'k', "private key of the signer"),
            value("keyid", 'K', "handle of the signer's key on a smartcard or TPM"),
            value("cert", 'c', "certificate of the signer, where it is not the authority"),
            value("certid", 'X', "handle of the signer's certificate on a smartcard or TPM"),
            value("index", 'x', "index.txt of the authority before"),
            value("crl", 'u', "CRL of the authority before"),
            value("lifetime", 'l', "minutes an answer is valid"),
            DIGEST,
            PADDING,
        ],
        run: ocsp::run,
    },
    Command {
        short: 'u',
        long: "pkcs12",
        about: "PKCS#12 functions",
        options: &[
            IN,
            flag("list", 'l', "list certificates and keys"),
            value("export", 'e', "export the credential with this index"),
            OUTFORM,
        ],
        run: container::run,
    },
    Command {
        short: '7',
        long: "pkcs7",
        about: "not available",
        options: &[],
        run: |_| missing("pkcs7", "no kept library signs and encrypts CMS; use openssl cms"),
    },
    Command {
        short: 'a',
        long: "print",
        about: "print a credential in a human readable form",
        options: &[
            IN,
            KEYID,
            value("type", 't', "x509, crl, ac, pub, priv, rsa, ecdsa or ed25519, default: x509"),
        ],
        run: print::run,
    },
    Command {
        short: 'p',
        long: "pub",
        about: "extract the public key from a private key/certificate",
        options: &[
            IN,
            KEYID,
            value("type", 't', "priv, rsa, ecdsa, ed25519, pub, pkcs10 or x509, default: priv"),
            value("outform", 'f', "der, pem, dnskey or sshkey, default: der"),
        ],
        run: public::run,
    },
    Command {
        short: 'r',
        long: "req",
        about: "create a PKCS#10 certificate request",
        options: &[
            IN,
            KEYID,
            value("type", 't', "priv, rsa, ecdsa or ed25519, default: priv"),
            value("oldreq", 'o', "take names and attributes from this request"),
            value("dn", 'd', "distinguished name of the subject"),
            SAN,
            value("profile", 'P', "server, client, dual or ocsp"),
            value("password", 'p', "challengePassword to include"),
            DIGEST,
            PADDING,
            OUTFORM,
        ],
        run: request::run,
    },
    Command {
        short: 'S',
        long: "scep",
        about: "not available",
        options: &[],
        run: |_| missing("scep", "enrolment protocols are not implemented; use pki --req and --issue"),
    },
    Command {
        short: 'C',
        long: "scepca",
        about: "not available",
        options: &[],
        run: |_| missing("scepca", "enrolment protocols are not implemented"),
    },
    Command {
        short: 's',
        long: "self",
        about: "create a self signed certificate",
        options: &[
            IN,
            KEYID,
            value("type", 't', "priv, rsa, ecdsa or ed25519, default: priv"),
            value("dn", 'd', "distinguished name of subject and issuer"),
            SAN,
            LIFETIME,
            NOT_BEFORE,
            NOT_AFTER,
            DATEFORM,
            SERIAL,
            CA,
            PATHLEN,
            ADDRBLOCK,
            NC_PERMITTED,
            NC_EXCLUDED,
            CERT_POLICY,
            CPS_URI,
            USER_NOTICE,
            POLICY_MAPPING,
            POLICY_EXPLICIT,
            POLICY_INHIBIT,
            POLICY_ANY,
            FLAG,
            OCSP,
            DIGEST,
            PADDING,
            CRITICAL,
            OUTFORM,
        ],
        run: issue::self_signed,
    },
    Command {
        short: 'c',
        long: "signcrl",
        about: "issue a CRL using a CA certificate and key",
        options: &[
            CACERT,
            CAKEY,
            CAKEYID,
            LIFETIME,
            value("this-update", 'F', "date and time from which it is valid"),
            value("next-update", 'T', "date and time of the next one"),
            DATEFORM,
            value("lastcrl", 'a', "CRL from which revocations are copied"),
            value("basecrl", 'b', "base for which this is a delta CRL"),
            value("crluri", 'u', "URI of the freshest delta CRL to include"),
            value("cert", 'z', "certificate to revoke"),
            value("serial", 's', "serial number to revoke, in hex"),
            value("reason", 'r', "why the next one is revoked"),
            value("date", 'd', "when the next one was revoked, as unix time"),
            DIGEST,
            PADDING,
            CRITICAL,
            OUTFORM,
        ],
        run: signcrl::run,
    },
    Command {
        short: 'v',
        long: "verify",
        about: "verify a certificate using the CA certificate",
        options: &[
            IN,
            value("cacert", 'c', "authority's certificate, or a directory of them"),
            value("crl", 'l', "CRL, or a directory of them"),
            flag("online", 'o', "fetch CRLs and ask OCSP responders"),
        ],
        run: verify::run,
    },
];

/// Where usage goes: after a mistake, to standard error.
fn banner(mistake: Option<&str>) -> impl Fn(&str) {
    match mistake {
        Some(mistake) => {
            complain!("Error: {mistake}");
            |line: &str| complain!("{line}")
        }
        None => |line: &str| put!("{line}"),
    }
}

/// What pki is called with.
pub(super) fn print_usage(mistake: Option<&str>) {
    let line = banner(mistake);
    line(concat!("cygnet ", env!("CARGO_PKG_VERSION"), " pki"));
    line("usage:");
    for command in COMMANDS {
        let name = format!("--{}", command.long);
        line(&format!("  pki {name:<9} (-{})  {}", command.short, command.about));
    }
    line("  pki --help    (-h)  show usage information");
}

impl Command {
    /// What this command is called with.
    pub(super) fn print_usage(&self, mistake: Option<&str>) {
        let line = banner(mistake);
        line(concat!("cygnet ", env!("CARGO_PKG_VERSION"), " pki"));
        line("usage:");
        line(&format!("  pki --{} [options]", self.long));
        for option in self.options.iter().chain(SHARED) {
            let name = format!("--{}", option.long);
            line(&format!("        {name:<17} (-{})  {}", option.short, option.about));
        }
    }
}
