//! RADIUS: codes, attributes, and the numbers that attributes hold (RFC 2865, 2866, 2869, 3162, 5176).

registry!(u8 /// "RADIUS Packet Type Codes".
RadiusCode {
    AccessRequest = 1, AccessAccept = 2, AccessReject = 3, AccountingRequest = 4, AccountingResponse = 5,
    AccessChallenge = 11, StatusServer = 12, StatusClient = 13, DisconnectRequest = 40, DisconnectAck = 41,
    DisconnectNak = 42, CoaRequest = 43, CoaAck = 44, CoaNak = 45,
});
registry!(u8 /// "RADIUS Attribute Types", those that a gateway meets.
RadiusType {
    UserName = 1, UserPassword = 2, ChapPassword = 3, NasIpAddress = 4, NasPort = 5, ServiceType = 6,
    FramedProtocol = 7, FramedIpAddress = 8, FramedIpNetmask = 9, FramedRouting = 10, FilterId = 11, FramedMtu = 12,
    FramedCompression = 13, ReplyMessage = 18, CallbackNumber = 19, CallbackId = 20, FramedRoute = 22, State = 24,
    Class = 25, VendorSpecific = 26, SessionTimeout = 27, IdleTimeout = 28, TerminationAction = 29,
    CalledStationId = 30, CallingStationId = 31, NasIdentifier = 32, ProxyState = 33, AcctStatusType = 40,
    AcctDelayTime = 41, AcctInputOctets = 42, AcctOutputOctets = 43, AcctSessionId = 44, AcctAuthentic = 45,
    AcctSessionTime = 46, AcctInputPackets = 47, AcctOutputPackets = 48, AcctTerminateCause = 49,
    AcctMultiSessionId = 50, AcctLinkCount = 51, AcctInputGigawords = 52, AcctOutputGigawords = 53,
    EventTimestamp = 55, ChapChallenge = 60, NasPortType = 61, PortLimit = 62, TunnelType = 64,
    TunnelMediumType = 65, TunnelClientEndpoint = 66, TunnelServerEndpoint = 67, TunnelPassword = 69,
    ConnectInfo = 77, ConfigurationToken = 78, EapMessage = 79, MessageAuthenticator = 80, TunnelPrivateGroupId = 81,
    TunnelAssignmentId = 82, TunnelPreference = 83, AcctInterimInterval = 85, NasPortId = 87, FramedPool = 88,
    ChargeableUserIdentity = 89, NasIpv6Address = 95, FramedInterfaceId = 96, FramedIpv6Prefix = 97,
    FramedIpv6Route = 99, FramedIpv6Pool = 100, ErrorCause = 101, EapKeyName = 102, DelegatedIpv6Prefix = 123,
    FramedIpv6Address = 168, DnsServerIpv6Address = 169,
});
registry!(u8 /// Microsoft's attributes in `Vendor-Specific` (RFC 2548).
MicrosoftType {
    ChapResponse = 1, ChapError = 2, MppeEncryptionPolicy = 7, MppeEncryptionTypes = 8, ChapDomain = 10,
    ChapChallenge = 11, MppeSendKey = 16, MppeRecvKey = 17, ChapSuccess = 26, PrimaryDnsServer = 28,
    SecondaryDnsServer = 29, PrimaryNbnsServer = 30, SecondaryNbnsServer = 31,
});
registry!(/// Values of Error-Cause (RFC 5176 3.5).
ErrorCause: u16 {
    ResidualSessionContextRemoved = 201, InvalidEapPacket = 202, UnsupportedAttribute = 401, MissingAttribute = 402,
    NasIdentificationMismatch = 403, InvalidRequest = 404, UnsupportedService = 405, UnsupportedExtension = 406,
    InvalidAttributeValue = 407, AdministrativelyProhibited = 501, RequestNotRoutable = 502,
    SessionContextNotFound = 503, SessionContextNotRemovable = 504, OtherProxyProcessingError = 505,
    ResourcesUnavailable = 506, RequestInitiated = 507, MultipleSessionSelectionUnsupported = 508,
});
registry!(/// Values of Acct-Terminate-Cause (RFC 2866 5.10).
TerminateCause: u16 {
    UserRequest = 1, LostCarrier = 2, LostService = 3, IdleTimeout = 4, SessionTimeout = 5, AdminReset = 6,
    AdminReboot = 7, PortError = 8, NasError = 9, NasRequest = 10, NasReboot = 11, PortUnneeded = 12,
    PortPreempted = 13, PortSuspended = 14, ServiceUnavailable = 15, Callback = 16, UserError = 17, HostRequest = 18,
});
registry!(/// Values of Acct-Status-Type (RFC 2866 5.1).
AcctStatus: u16 { Start = 1, Stop = 2, InterimUpdate = 3, AccountingOn = 7, AccountingOff = 8 });
