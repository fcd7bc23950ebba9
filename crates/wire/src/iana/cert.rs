//! Certificate encodings.

registry!(u8 /// "IKEv2 Certificate Encodings".
CertEncoding { Pkcs7 = 1, Pgp = 2, DnsSigned = 3, X509 = 4, Kerberos = 6, Crl = 7, Arl = 8, Spki = 9, X509Attribute = 10, HashUrl = 12, HashUrlBundle = 13, Ocsp = 14, RawPublicKey = 15 });
