//! Identification types.

registry!(u8 /// "IKEv2 Identification Payload ID Types".
IdType { Any = 0, Ipv4 = 1, Fqdn = 2, Rfc822 = 3, Ipv6 = 5, Dn = 9, Gn = 10, KeyId = 11, FcName = 12, Null = 13 });
