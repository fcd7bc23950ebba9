//! What is signed, as ASN.1. Names and keys stay the bytes they came as, so that an issuer's name is exactly the
//! subject of the issuer's certificate.
use der::asn1::{Any, BitString, GeneralizedTime, ObjectIdentifier, OctetString, SetOfVec, Uint};
use der::{Sequence, ValueOrd};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::{Time, Validity};

/// Anything with a signature (RFC 5280 4.1).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct Signed {
    pub(crate) tbs: Any,
    pub(crate) algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: BitString,
}

/// TBSCertificate (RFC 5280 4.1).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(crate) version: u8,
    pub(crate) serial: Uint,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Any,
    pub(crate) validity: Validity,
    pub(crate) subject: Any,
    pub(crate) key: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Vec<Extension>>,
}

/// TBSCertList (RFC 5280 5.1).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct TbsCertList {
    pub(crate) version: u8,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) issuer: Any,
    pub(crate) this_update: Time,
    #[asn1(optional = "true")]
    pub(crate) next_update: Option<Time>,
    #[asn1(optional = "true")]
    pub(crate) revoked: Option<Vec<Revoked>>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Vec<Extension>>,
}

/// An entry of a CRL.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct Revoked {
    pub(crate) serial: Uint,
    pub(crate) date: Time,
    #[asn1(optional = "true")]
    pub(crate) extensions: Option<Vec<Extension>>,
}

/// CertificationRequestInfo (RFC 2986 4.1).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct RequestInfo {
    pub(crate) version: u8,
    pub(crate) subject: Any,
    pub(crate) key: Any,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    pub(crate) attributes: SetOfVec<Attribute>,
}

/// An attribute of a request, or of an attribute certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Sequence, ValueOrd)]
pub(crate) struct Attribute {
    pub(crate) kind: ObjectIdentifier,
    pub(crate) values: SetOfVec<Any>,
}

/// AttributeCertificateInfo (RFC 5755 4.1).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct AttributeCertificateInfo {
    pub(crate) version: u8,
    pub(crate) holder: Holder,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    pub(crate) issuer: IssuerForm,
    pub(crate) signature: AlgorithmIdentifierOwned,
    pub(crate) serial: Uint,
    pub(crate) validity: AttributeValidity,
    pub(crate) attributes: Vec<Attribute>,
    #[asn1(optional = "true")]
    pub(crate) extensions: Option<Vec<Extension>>,
}

/// Whose attributes they are.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct Holder {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) certificate: Option<IssuerSerial>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) names: Option<Vec<GeneralName>>,
}

/// A certificate, by its issuer and serial number.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct IssuerSerial {
    pub(crate) issuer: Vec<GeneralName>,
    pub(crate) serial: Uint,
}

/// V2Form: who vouches for the attributes.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct IssuerForm {
    #[asn1(optional = "true")]
    pub(crate) names: Option<Vec<GeneralName>>,
}

/// AttCertValidityPeriod.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct AttributeValidity {
    pub(crate) not_before: GeneralizedTime,
    pub(crate) not_after: GeneralizedTime,
}

/// IetfAttrSyntax (RFC 5755 4.4).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct GroupList {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) authority: Option<Vec<GeneralName>>,
    pub(crate) values: Vec<Any>,
}

/// IPAddressFamily (RFC 3779 2.2.3.2).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct AddressFamily {
    pub(crate) family: OctetString,
    pub(crate) blocks: Vec<Any>,
}

/// IPAddressRange (RFC 3779 2.2.3.8).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct AddressRange {
    pub(crate) min: BitString,
    pub(crate) max: BitString,
}

/// RSAPublicKey (RFC 8017 A.1.1).
#[derive(Debug, Clone, Sequence)]
pub(crate) struct RsaKey {
    pub(crate) modulus: Uint,
    pub(crate) exponent: Uint,
}

/// PolicyConstraints as strongSwan's pki writes them: with explicit tags, where RFC 5280 has implicit ones.
#[derive(Debug, Clone, Sequence)]
pub(crate) struct ExplicitConstraints {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) explicit: Option<u32>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) inhibit: Option<u32>,
}
