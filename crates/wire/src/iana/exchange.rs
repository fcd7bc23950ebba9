//! Exchange types.

registry!(u8 /// "IKEv2 Exchange Types"; 2, 4, 5, 32 are ISAKMP's (IKEv1).
ExchangeType {
    IdentityProtection = 2, Aggressive = 4, InformationalV1 = 5, QuickMode = 32, IkeSaInit = 34, IkeAuth = 35,
    CreateChildSa = 36, Informational = 37, SessionResume = 38, Intermediate = 43, FollowupKe = 44,
});
