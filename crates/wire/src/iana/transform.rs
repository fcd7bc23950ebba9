//! "Transform Type Values" and the registries of each transform type (RFC 7296 3.3.2 and successors).

registry!(u8 /// Transform types; 6 to 12 are the additional key exchanges of RFC 9370.
TransformType { Encr = 1, Prf = 2, Integ = 3, Ke = 4, Esn = 5, AddKe1 = 6, AddKe2 = 7, AddKe3 = 8, AddKe4 = 9, AddKe5 = 10, AddKe6 = 11, AddKe7 = 12 });

registry!(/// Transform type 1.
Encr: u16 {
    Des = 2, TripleDes = 3, Cast = 6, Blowfish = 7, Null = 11, AesCbc = 12, AesCtr = 13, AesCcm8 = 14, AesCcm12 = 15,
    AesCcm16 = 16, AesGcm8 = 18, AesGcm12 = 19, AesGcm16 = 20, NullAesGmac = 21, CamelliaCbc = 23, CamelliaCtr = 24,
    CamelliaCcm8 = 25, CamelliaCcm12 = 26, CamelliaCcm16 = 27, ChaCha20Poly1305 = 28,
});

registry!(/// Transform type 2.
Prf: u16 { HmacMd5 = 1, HmacSha1 = 2, Aes128Xcbc = 4, HmacSha256 = 5, HmacSha384 = 6, HmacSha512 = 7, Aes128Cmac = 8 });

registry!(/// Transform type 3. `None` is number 0; 1024 up are private numbers that charon uses inside.
Integ: u16 {
    None = 0, HmacMd5_96 = 1, HmacSha1_96 = 2, AesXcbc96 = 5, HmacMd5_128 = 6, HmacSha1_160 = 7, AesCmac96 = 8,
    Aes128Gmac = 9, Aes192Gmac = 10, Aes256Gmac = 11, HmacSha256_128 = 12, HmacSha384_192 = 13, HmacSha512_256 = 14,
    /// Private use: SHA-256 cut to 96 bits (`sha256_96`), as old kernels did.
    HmacSha256_96 = 1024,
});

registry!(/// Transform type 4 (and 6 to 12): key exchange methods.
Ke: u16 {
    None = 0, Modp768 = 1, Modp1024 = 2, Modp1536 = 5, Modp2048 = 14, Modp3072 = 15, Modp4096 = 16, Modp6144 = 17,
    Modp8192 = 18, Ecp256 = 19, Ecp384 = 20, Ecp521 = 21, Modp1024s160 = 22, Modp2048s224 = 23, Modp2048s256 = 24,
    Ecp192 = 25, Ecp224 = 26, BrainpoolP224 = 27, BrainpoolP256 = 28, BrainpoolP384 = 29, BrainpoolP512 = 30,
    X25519 = 31, X448 = 32, MlKem512 = 35, MlKem768 = 36, MlKem1024 = 37,
});

registry!(/// Transform type 5.
Esn: u16 { No = 0, Yes = 1 });
