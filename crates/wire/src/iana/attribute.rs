//! Configuration payload types and attribute types.

registry!(u8 /// "IKEv2 Configuration Payload CFG Types".
ConfigType { Request = 1, Reply = 2, Set = 3, Ack = 4 });
registry!(/// "IKEv2 Configuration Payload Attribute Types" and Cisco Unity's private ones.
ConfigAttribute: u16 {
    Ip4Address = 1, Ip4Netmask = 2, Ip4Dns = 3, Ip4Nbns = 4, AddressExpiry = 5, Ip4Dhcp = 6, ApplicationVersion = 7, Ip6Address = 8,
    Ip6Dns = 10, Ip6Nbns = 11, Ip6Dhcp = 12, Ip4Subnet = 13, SupportedAttributes = 14, Ip6Subnet = 15, MipHomePrefix = 16,
    Ip6Link = 17, Ip6Prefix = 18, HomeAgentAddress = 19, PCscfIp4 = 20, PCscfIp6 = 21, FtT = 22, ExternalSourceNat = 23,
    TimeoutPeriod = 24, DnsDomain = 25, DnssecTa = 26, Ip4Server = 23456, Ip6Server = 23457,
    UnityBanner = 28672, UnitySavePasswd = 28673, UnityDefDomain = 28674, UnitySplitDnsName = 28675, UnitySplitInclude = 28676,
    UnityNattPort = 28677, UnityLocalLan = 28678, UnityPfs = 28679, UnityFwType = 28680, UnityBackupServers = 28681, UnityDdnsHostname = 28682,
});
