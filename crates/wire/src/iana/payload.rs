//! Payload types, protocol ids, authentication methods, traffic selector types.

registry!(u8 /// "IKEv2 Payload Types" (RFC 7296 3.2).
PayloadType {
    None = 0, Sa = 33, Ke = 34, IdI = 35, IdR = 36, Cert = 37, CertReq = 38, Auth = 39, Nonce = 40, Notify = 41,
    Delete = 42, VendorId = 43, TsI = 44, TsR = 45, Sk = 46, Cp = 47, Eap = 48, Skf = 53,
});
registry!(u8 /// "IKEv2 Security Protocol Identifiers".
ProtocolId { None = 0, Ike = 1, Ah = 2, Esp = 3 });
registry!(u8 /// "IKEv2 Authentication Method".
AuthMethod { Rsa = 1, Psk = 2, Dss = 3, Ecdsa256 = 9, Ecdsa384 = 10, Ecdsa521 = 11, Null = 13, Signature = 14 });
registry!(u8 /// "IKEv2 Traffic Selector Types".
TsType { Ipv4 = 7, Ipv6 = 8 });
