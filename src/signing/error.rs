//! Why a text is no key that can be used. Nothing of the text is shown.

/// Why a text is no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is no PEM text.
    #[error(
        "it has no line `-----BEGIN …-----`\nhint: a key is a PEM text of several lines; in YAML it stands after `|`"
    )]
    NoPem,
    /// Its end is missing.
    #[error("its line `-----END …-----` is missing: it was cut short")]
    CutShort,
    /// It is too long for any key.
    #[error("it is longer than 64 KiB")]
    TooLong,
    /// What stands between its first and last line is no base64.
    #[error("what stands between its lines BEGIN and END is no base64")]
    NotBase64,
    /// It is of a kind that isn't known.
    #[error(
        "it is of another kind\nhint: a private key begins with BEGIN PRIVATE KEY, EC PRIVATE KEY or ENCRYPTED SIGSTORE \
         PRIVATE KEY, a public one with BEGIN PUBLIC KEY"
    )]
    Kind,
    /// It is a public key where a private one is needed.
    #[error(
        "it is a public key, and only a private one signs\nhint: with cosign that is the file cosign.key"
    )]
    IsPublic,
    /// It is a private key where a public one is enough.
    #[error(
        "it is a private key, and the public one is enough\nhint: with cosign that is the file cosign.pub; `openssl pkey \
         -pubout` makes it of the private one"
    )]
    IsPrivate,
    /// It is encrypted in a way that isn't cosign's.
    #[error(
        "it is encrypted as PKCS #8 has it\nhint: `cosign import-key-pair` makes a key of it that estaleiro and cosign read, \
         `openssl pkcs8` one without a password"
    )]
    Pkcs8Encrypted,
    /// It is of an algorithm that isn't understood.
    #[error(
        "it is a key for {0}: expected ECDSA on the curve P-256, as `cosign generate-key-pair` makes it, or Ed25519"
    )]
    Algorithm(&'static str),
    /// What is in it is broken.
    #[error("its {0} cannot be read: it is damaged")]
    Damaged(&'static str),
    /// It is an EC key, and none of ours.
    #[error("it cannot be read as a key on the curve P-256: it is damaged, or on another curve")]
    Sec1,
    /// It is encrypted in an unheard-of way.
    #[error("it is encrypted by {0}: expected scrypt and nacl/secretbox, as cosign does")]
    Encryption(&'static str),
    /// Whoever made it wants more of this machine than any key is worth.
    #[error("it asks for more memory or time than cosign ever does (scrypt's N, r and p)")]
    Cost,
    /// The password is another one.
    #[error(
        "its password is another one, or it is damaged\nhint: with cosign that is what COSIGN_PASSWORD was at `cosign generate-key-pair`"
    )]
    Password,
}
