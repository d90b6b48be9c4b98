//! Labels: the constants that keep one derivation, hash or signature apart from every other.
//!
//! A label belongs to one construction. Those of this workspace are all here, so that a test can see that no two are
//! equal and none is the beginning of another; `docs/labels.md` says what each is for.

/// The name of one construction: 1 to 255 bytes of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(&'static str);

impl Label {
    /// A label of the application's own, for `export` of a session and the like.
    ///
    /// ```compile_fail
    /// # use symbolon_keys::Label;
    /// const RECEIPT: Label = Label::new("symbolon/receipt/v1"); // this space is ours
    /// # let _ = RECEIPT;
    /// ```
    /// ```
    /// # use symbolon_keys::Label;
    /// const RECEIPT: Label = Label::new("example.org/receipt/v1");
    /// # let _ = RECEIPT;
    /// ```
    ///
    /// # Panics
    /// While compiling, if `name` is empty, longer than 255 bytes, not ASCII, or in our own space `symbolon/`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(!starts_with(name.as_bytes(), b"symbolon/"), "labels under symbolon/ are reserved");
        Self::checked(name)
    }

    pub(crate) const fn checked(name: &'static str) -> Self {
        assert!(
            !name.is_empty() && name.len() <= 255 && name.is_ascii(),
            "a label is 1 to 255 bytes of ASCII"
        );
        Self(name)
    }

    /// The label as it goes into derivations.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }

    /// The label as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "bounded by the lengths just compared"
)]
const fn starts_with(text: &[u8], prefix: &[u8]) -> bool {
    let mut i = 0;
    while i < prefix.len() {
        if i >= text.len() || text[i] != prefix[i] {
            return false;
        }
        i += 1;
    }
    true
}

macro_rules! labels {
    ($($(#[$doc:meta])+ $name:ident = $text:literal;)+) => {
        $($(#[$doc])+ pub const $name: Label = Label::checked($text);)+
        /// Every label of this workspace.
        pub const ALL: &[Label] = &[$($name),+];
    };
}

labels! {
    /// The four keys of an [identity](crate) from its seed.
    IDENTITY = "symbolon/keys/identity/v1";
    /// The fingerprint of a public identity.
    FINGERPRINT = "symbolon/keys/fingerprint/v1";
    /// The key of something kept under a passphrase (C9).
    PASSPHRASE = "symbolon/keys/passphrase/v1";

    /// The beginning of every Noise prologue of ours (C5).
    AGREEMENT = "symbolon/agreement/v1";
    /// The two path-proof keys, exported from a completed handshake (C5).
    PATH = "symbolon/agreement/path/v1";
    /// Stateless cookies (C6).
    COOKIE = "symbolon/agreement/cookie/v1";
    /// The keyed digest of a stored profile (A7).
    PROFILE = "symbolon/agreement/profile/v1";

    /// From the shared secret of two static keys to a pseudo-random key (C4).
    TABLE_ROOT = "symbolon/table/root/v1";
    /// The root of one pair of users (C4).
    TABLE_PAIR = "symbolon/table/pair/v1";
    /// The key and commitment of one message (C4).
    TABLE_MESSAGE = "symbolon/table/message/v1";
    /// Proof of possession of a table key (C7).
    TABLE_POSSESSION = "symbolon/table/pop/v1";
    /// The signature over a registration (C7).
    TABLE_REGISTER = "symbolon/table/register/v1";
    /// The ephemeral key of a registration challenge, from the directory's own secret.
    TABLE_CHALLENGE = "symbolon/table/challenge/v1";
    /// A user's signature over their directory record.
    TABLE_RECORD = "symbolon/table/record/v1";
    /// The signature of the key before over a changed directory record.
    TABLE_CHANGE = "symbolon/table/change/v1";
    /// The hash that links a directory record to the one before.
    TABLE_HISTORY = "symbolon/table/history/v1";
    /// The signature of an approval.
    TABLE_APPROVAL = "symbolon/table/approval/v1";
    /// A table kept under a device's key.
    TABLE_SNAPSHOT = "symbolon/table/snapshot/v1";

    /// The salt of a frame's inner encryption (C3).
    PAD_SALT = "symbolon/ledger/pad-salt/v1";
    /// The key of a frame's inner encryption (C3).
    PAD_INNER = "symbolon/ledger/pad-inner/v1";
    /// The id of a request, from its frame (C3).
    LEDGER_REQUEST = "symbolon/ledger/request/v1";
    /// Messages of the witness of reservations (C3w).
    WITNESS = "symbolon/ledger/witness/v1";
    /// One key of a key sequence (C3k).
    SEQUENCE = "symbolon/ledger/sequence/v1";
    /// A key of a key sequence that serves as a pre-shared key (C3k).
    SEQUENCE_PSK = "symbolon/ledger/psk/v1";
    /// The keys of a bundle's chunks.
    BUNDLE = "symbolon/ledger/bundle/v1";
    /// The hash that links an entry of the journal to all before it.
    JOURNAL = "symbolon/ledger/journal/v1";
    /// The id of the transfer that pays back what is left when a pad ends.
    SETTLEMENT = "symbolon/ledger/settlement/v1";
    /// The id of the transfer by which an answer raises the value of its pad.
    CREDIT = "symbolon/ledger/credit/v1";
    /// The id of the transfer that pays for a session key.
    KEY_FEE = "symbolon/ledger/key-fee/v1";

    /// The hash of a context stanza (C1).
    ENVELOPE_CTX = "symbolon/envelope/ctx/v1";
    /// Wraps under a user's shared key (C1).
    SHARED_KEY = "symbolon/envelope/shared-key/v1";
    /// Wraps under a version of the private server key (C1).
    SERVER_KEY = "symbolon/envelope/server-key/v1";
    /// The encrypted context of an envelope (C2).
    ENVELOPE_CONTEXT = "symbolon/envelope/context/v1";
    /// A user key from a passphrase (C8).
    USER_KEY = "symbolon/envelope/user-key/v1";
    /// The new key and parameters of a user who changes the passphrase.
    USER_KEY_CHANGE = "symbolon/envelope/change/v1";
    /// The exported ring of server keys.
    SERVER_KEYS = "symbolon/envelope/server-keys/v1";
    /// The salt that an unknown user is told (C8).
    UNKNOWN_SALT = "symbolon/envelope/unknown-salt/v1";

    /// What a server keeps secret beside the four keys of its identity, from the identity's seed.
    SERVER_SECRETS = "symbolon/server/secrets/v1";
    /// The ids behind a voucher: its account, and the transfers made with it.
    VOUCHER = "symbolon/server/voucher/v1";
    /// What a quote was given for: the service and the request.
    QUOTE = "symbolon/server/quote/v1";
}
